//! The image of a container: pulled if it is not there, and what its configuration comes to.

use super::options::ContainerArgs;
use super::parse;
use crate::failure::{Failure, Result};
use crate::image::pull::{Policy, Pull};
use crate::settings::Settings;
use engine::record::Config;
use images::View;
use oci::image::{ContainerConfig, ImageConfig, Wanted};
use store::{LayerKey, Store};

/// What an image gives to a container.
pub(super) struct Found {
    pub(super) config: Config,
    pub(super) layers: Vec<LayerKey>,
    /// Directories that the image wants to be volumes.
    pub(super) volumes: Vec<String>,
}

/// Sees that the store has the image, as `--pull` says. It is pulled by a process of its own, because making
/// namespaces and having threads do not go together.
pub(super) fn bring(settings: &Settings<'_>, arguments: &ContainerArgs, name: &str) -> Result<()> {
    let is_there = || -> Result<bool> {
        let store = settings.store(true)?;
        match images::find(&store, name) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == images::Kind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    };
    match arguments.pull.unwrap_or(Policy::Missing) {
        Policy::Missing if is_there()? => return Ok(()),
        Policy::Never if is_there()? => return Ok(()),
        Policy::Never => {
            return Err(Failure::new(format!("{name}: it is not in the store"))
                .hint("leave --pull=never out, or `tare pull` it"));
        }
        _ => {}
    }
    let failed = |errno: sys::Errno| Failure::new(format!("pulling {name}: {errno}"));
    let Some(child) = sys::process::fork_plain().map_err(failed)? else {
        let pull = Pull::for_run(arguments, name);
        let code = match crate::image::pull::run(settings.global, &pull) {
            Ok(()) => 0,
            Err(failure) => {
                failure.tell();
                failure.exit_code(crate::RUN_FAILED)
            }
        };
        std::process::exit(code.into());
    };
    match sys::wait::child(child.pid, true).map_err(failed)? {
        Some((_, exit)) if exit.shell_code() == 0 => Ok(()),
        // It has said why.
        Some((_, exit)) => {
            Err(Failure::told(u8::try_from(exit.shell_code()).unwrap_or(crate::RUN_FAILED)))
        }
        None => Err(failed(sys::Errno::ECHILD)),
    }
}

/// The manifest of an image of the store, and its layers.
pub(super) fn layers(
    settings: &Settings<'_>,
    store: &Store,
    name: &str,
) -> Result<(String, Vec<String>)> {
    let found = images::find(store, name)?;
    let rights = settings.caller.rights();
    let view =
        View::open(store, &found.digest, &found.media_type, Some(&settings.wanted()), rights)?;
    let layers = view.all_layers()?.iter().map(ToString::to_string).collect();
    Ok((view.manifest.digest().to_string(), layers))
}

/// An image that is there may be of another platform than the one that is asked for.
fn check_platform(arguments: &ContainerArgs, wanted: &Wanted, image: &ImageConfig) -> Result<()> {
    let is = (image.os.as_str(), image.architecture.as_str());
    let is_fine = is == (wanted.os.as_str(), wanted.architecture.as_str());
    if !arguments.platform.is_given() || is_fine {
        return Ok(());
    }
    let name = arguments.image();
    let (os, architecture) = is;
    Err(Failure::new(format!(
        "image with reference {name} was found but does not match the specified platform: wanted {}/{}, actual: {os}/{architecture}",
        wanted.os, wanted.architecture
    ))
    .hint("--pull always asks for the one of the platform"))
}

/// What the image says, with what options put in its place.
pub(super) fn read(
    settings: &Settings<'_>,
    store: &Store,
    arguments: &ContainerArgs,
) -> Result<Found> {
    let rights = settings.caller.rights();
    let found = images::find(store, arguments.image())?;
    let wanted = arguments.platform.wanted(settings.wanted())?;
    let view = View::open(store, &found.digest, &found.media_type, Some(&wanted), rights)?;
    let Some(whole) = &view.config else {
        return Err(Failure::new(format!("{}: an artifact is no image", arguments.image())));
    };
    check_platform(arguments, &wanted, whole)?;
    let image = whole.config.clone().unwrap_or_default();
    let (entrypoint, cmd) = words(arguments, &image)?;
    let config = Config {
        image_name: found.names.first().map_or_else(String::new, |it| it.reference.to_string()),
        image_id: view.id.to_string(),
        manifest: view.manifest.digest().to_string(),
        platform: format!("{}/{}", whole.os, whole.architecture),
        entrypoint,
        cmd,
        env: image.env.clone(),
        working_dir: working_directory(arguments, &image)?,
        user: arguments.user.clone().unwrap_or_else(|| image.user.clone()),
        labels: image.labels.clone(),
        exposed_ports: image.exposed_ports.keys().cloned().collect(),
        stop_signal: image.stop_signal.clone(),
        stop_timeout: image.stop_timeout,
        healthcheck: image.healthcheck.clone(),
        ..Config::default()
    };
    let volumes = image.volumes.keys().cloned().collect();
    Ok(Found { config, layers: view.all_layers()?, volumes })
}

/// What is run: as docker has it, an entry point and what follows it.
fn words(
    arguments: &ContainerArgs,
    config: &ContainerConfig,
) -> Result<(Vec<String>, Vec<String>)> {
    let (entrypoint, usual) = match &arguments.entrypoint {
        // Another entry point has not the arguments of the image's own.
        Some(text) => (parse::entrypoint(text)?, Vec::new()),
        None => (config.entrypoint.0.clone(), config.cmd.0.clone()),
    };
    let rest = if arguments.args().is_empty() { usual } else { arguments.args().to_vec() };
    match entrypoint.is_empty() && rest.is_empty() {
        true => Err(Failure::new(format!("{}: the image has no command", arguments.image()))
            .hint("write one behind it")),
        false => Ok((entrypoint, rest)),
    }
}

fn working_directory(arguments: &ContainerArgs, config: &ContainerConfig) -> Result<String> {
    let chosen = arguments.workdir.as_deref().unwrap_or(&config.working_dir);
    match chosen {
        "" => Ok("/".into()),
        path if path.starts_with('/') => Ok(path.to_owned()),
        path if arguments.workdir.is_none() => Ok(format!("/{path}")),
        path => Err(Failure::new(format!("--workdir: {path:?} is not an absolute path"))),
    }
}
