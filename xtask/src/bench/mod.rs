//! `cargo xtask bench WHAT`: measurements beside the peers that are installed.

mod bundle;
mod engine;
mod images;
mod measure;
mod registry;
mod runtime;

use std::process::ExitCode;

const USAGE: &str =
    "usage: cargo xtask bench runtime [--rounds N] [--idle-ms N] [--only TOOL,...] [--programs DIR]

       cargo xtask bench images [--rounds N] [--programs DIR]

       cargo xtask bench engine [--rounds N] [--programs DIR] [--only TOOL,...]

       cargo xtask bench registry [--rounds N] [--program TARE] [--only SERVER,...]

  `runtime` measures tare-runtime beside crun, runc and youki, where they are on the PATH, and beside the
  floor: the bare system calls that the same container needs. `images` measures
  tare beside skopeo, podman, buildah and containerd, and beside the parts of a pull, each alone. `engine` runs
  containers with tare, podman and docker. These need root. `registry` measures
  tare registry serve beside docker-registry, where it is on the PATH.
";

/// Whether a program is on the `PATH`.
pub(crate) fn is_installed(name: &str) -> bool {
    runtime::on_path(name).is_some()
}

/// Runs the benchmark that `arguments` name.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    // What was asked for may be misunderstood; what goes wrong later is another failure.
    let parsed = match arguments.split_first() {
        Some((what, rest)) if what == "runtime" => {
            runtime::Options::parse(rest).map(|options| runtime::run(&options))
        }
        Some((what, rest)) if what == "images" => {
            images::Options::parse(rest).map(|options| images::run(&options))
        }
        Some((what, rest)) if what == "engine" => {
            engine::Options::parse(rest).map(|options| engine::run(&options))
        }
        Some((what, rest)) if what == "registry" => {
            registry::Options::parse(rest).map(|options| registry::run(&options))
        }
        _ => return crate::misused(USAGE),
    };
    let result = match parsed {
        Ok(result) => result,
        Err(error) => return crate::misused(&format!("bench: {error}\n{USAGE}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::say(&format!("bench: {error}\n"));
            ExitCode::FAILURE
        }
    }
}
