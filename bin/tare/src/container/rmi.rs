//! `--rmi`: the image goes with the container, unless somebody else uses it.

use super::options::ContainerArgs;
use crate::called::Called;
use crate::failure::{Failure, Result};
use crate::settings::warn;
use engine::record::Config;
use engine::{Engine, Place};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// What cannot go together.
pub(super) fn check(arguments: &ContainerArgs) -> Result<()> {
    if !arguments.beyond.rmi {
        return Ok(());
    }
    // The option itself says no more that it was typed.
    if Called::is_podman() && std::env::args().any(|word| word == "--rm=false") {
        return Err(Failure::new("the --rmi option does not work without --rm"));
    }
    match arguments.image().starts_with("host:") {
        true => Err(Failure::new("--rmi: a program of this machine is no image of the store")
            .hint("leave it out")),
        false => Ok(()),
    }
}

/// Removes the image of a container that is gone. It is done by a process of its own: the supervisor holds nothing that
/// a removal needs, and ends next. What is used stays, which is no mistake.
pub(super) fn remove(place: &Place, config: &Config) {
    let name = if config.image_name.is_empty() { &config.image } else { &config.image_name };
    let mut command = Command::new("/proc/self/exe");
    command.arg0("tare").args(["rmi", "--ignore", "--root"]).arg(&place.root);
    command.arg("--runroot").arg(&place.runroot).arg("--").arg(name);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Nobody is there to be told; whoever waits for the container looks for the image.
    let _ = quiet.status();
}

/// Tells whoever has waited for the container that its image is still there.
pub(super) fn tell(engine: &Engine, image: &str) {
    let Ok(found) = images::find(engine.store(), image) else { return };
    let why = match crate::image::users::Users::of(engine.store()) {
        Ok(users) if users.has_containers_of(&found.digest.into()) => {
            "image is in use by a container"
        }
        _ => "it is in use, or has other names",
    };
    warn(&format!("failed to remove image {image}: {why}"));
}
