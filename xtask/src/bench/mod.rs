//! `cargo xtask bench WHAT`: measurements beside the peers that are installed.

mod bundle;
mod engine;
mod images;
mod measure;
mod options;
mod registry;
mod runtime;

use options::Options;
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
    let Some((what, rest)) = arguments.split_first() else { return crate::misused(USAGE) };
    let read = |rounds, known: &[&str]| Options::parse(rest, rounds, known);
    let parsed = match what.as_str() {
        "runtime" => read(50, &["--rounds", "--idle-ms", "--only", "--programs"])
            .map(|options| runtime::run(&options)),
        "images" => read(5, &["--rounds", "--programs"]).map(|options| images::run(&options)),
        "engine" => {
            read(20, &["--rounds", "--programs", "--only"]).map(|options| engine::run(&options))
        }
        "registry" => {
            read(3, &["--rounds", "--program", "--only"]).map(|options| registry::run(&options))
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
