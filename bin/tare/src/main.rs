//! `tare`: containers without a daemon.

mod artifact;
mod called;
mod caller;
mod cli;
mod container;
mod failure;
mod healthcheck;
mod image;
mod interrupt;
mod json_lines;
mod labels;
mod manifest;
mod mounting;
mod mutate;
mod network;
mod output;
mod pattern;
mod progress;
mod refused;
mod registry;
mod remote;
mod secret;
mod settings;
mod swarm;
mod system;
mod terminal;
mod unshare;
mod volume;

use called::Called;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// docker's code for its own mistakes, where a container's program has all others.
const RUN_FAILED: u8 = 125;
const FAILED: u8 = 1;
/// A command line that cannot be understood.
const USAGE: u8 = 2;

/// The code of what most verbs fail with.
fn own_code() -> u8 {
    if Called::is_podman() { called::PODMAN_FAILED } else { FAILED }
}

fn main() -> ExitCode {
    if cli::enters_container(&words()) {
        // It starts again for that, and must not have done much. What fails is told by the verb, which does it, too.
        let _ = container::seal();
    }
    let arguments = match cli::Tare::read(words()) {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() && Called::is_podman() => {
            let words = words();
            if let Err(failure) = settings::check_modules(&cli::modules(&words)) {
                failure.tell();
                return ExitCode::from(failure.exit_code(called::PODMAN_FAILED));
            }
            let text = called::podmans_usage(&error, &words);
            let _ = std::io::stderr().write_all(text.as_bytes());
            return ExitCode::from(called::PODMAN_FAILED);
        }
        Err(error) => {
            // Help and version are data, anything else is a mistake.
            match refused::explain(&words(), &error) {
                Some(failure) => failure.tell(),
                None => drop(error.print()),
            }
            let mistake = if cli::ends_as_program(&words()) { RUN_FAILED } else { USAGE };
            return ExitCode::from(if error.use_stderr() { mistake } else { 0 });
        }
    };
    let own = if cli::ends_as_program(&words()) { RUN_FAILED } else { own_code() };
    match verb(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.tell();
            ExitCode::from(failure.exit_code(own))
        }
    }
}

/// What was typed; `help VERB` is docker's for `VERB --help`.
fn words() -> Vec<std::ffi::OsString> {
    let mut words: Vec<_> = std::env::args_os().collect();
    let help = words.iter().position(|word| word == "help");
    if let Some(at) = help.filter(|at| refused::is_first_verb(&words, *at)) {
        words.remove(at);
        words.push("--help".into());
    }
    words
}

fn verb(arguments: cli::Tare) -> failure::Result<u8> {
    let mut global = arguments.front.global;
    global.debug |= matches!(global.log_level.as_deref(), Some("debug" | "trace"));
    global.podman.apply()?;
    settings::check_modules(&global.module)?;
    limit(&global, &arguments.verb)?;
    run(&global, arguments.verb)
}

fn run(global: &settings::Global, verb: cli::Verb) -> failure::Result<u8> {
    use cli::Verb;
    match verb {
        Verb::Run(arguments) => return container::run::run(global, &arguments),
        Verb::Create(arguments) => container::run::create(global, &arguments)?,
        Verb::Start(arguments) => return container::start::run(global, &arguments),
        Verb::Stop(arguments) => return container::stop::stop(global, &arguments),
        Verb::Restart(arguments) => return container::stop::restart(global, &arguments),
        Verb::Kill(arguments) => return container::stop::kill(global, &arguments),
        Verb::Rm(arguments) => return container::remove::run(global, &arguments),
        Verb::Ps(arguments) => container::list::run(global, &arguments)?,
        Verb::Logs(arguments) => container::logs::run(global, &arguments)?,
        Verb::Exec(arguments) => return container::exec::run(global, &arguments),
        Verb::Attach(arguments) => return container::attach::run(global, &arguments),
        Verb::Cp(arguments) => container::copy::run(global, &arguments)?,
        Verb::Commit(arguments) => container::commit::run(global, &arguments)?,
        Verb::Export(arguments) => container::export::run(global, &arguments)?,
        Verb::Volume(arguments) => return volume::run(global, &arguments),
        Verb::Top(arguments) => container::top::run(global, &arguments)?,
        Verb::Stats(arguments) => container::stats::run(global, &arguments)?,
        Verb::Update(arguments) => return container::update::run(global, &arguments),
        Verb::Events(arguments) => system::events::run(global, &arguments)?,
        Verb::Healthcheck(arguments) => return healthcheck::run(global, &arguments),
        Verb::Wait(arguments) => return container::state::wait(global, &arguments),
        Verb::Pause(arguments) => return container::state::pause(global, &arguments),
        Verb::Unpause(arguments) => return container::state::unpause(global, &arguments),
        Verb::Rename(arguments) => container::state::rename(global, &arguments)?,
        Verb::Port(arguments) => container::state::port(global, &arguments)?,
        Verb::Container(arguments) => return container::noun(global, &arguments),
        Verb::Registry(arguments) => registry::run(&arguments)?,
        Verb::Pull(arguments) => image::pull::run(global, &arguments)?,
        Verb::Push(arguments) => image::push::run(global, &arguments)?,
        Verb::Copy(arguments) => image::copy::run(global, &arguments)?,
        Verb::Sync(arguments) => image::sync::run(global, &arguments)?,
        Verb::Inspect(arguments) => return image::inspect_place::run(global, &arguments),
        Verb::ListTags(arguments) => image::list_tags::run(global, &arguments)?,
        Verb::Delete(arguments) => image::delete::run(global, &arguments)?,
        Verb::ManifestDigest(arguments) => image::manifest_digest::run(&arguments)?,
        Verb::Images(arguments) => image::list::run(global, &arguments)?,
        Verb::Image(arguments) => return image::run(global, &arguments),
        Verb::Fsck(arguments) => return system::fsck::run(global, &arguments),
        Verb::Gc(arguments) => system::gc::run(global, &arguments)?,
        Verb::History(arguments) => image::history::run(global, &arguments)?,
        Verb::Mount(arguments) => return mounting::mount(global, &arguments),
        Verb::Prune(arguments) => image::prune::run(global, &arguments)?,
        Verb::Rmi(arguments) => return image::remove::run(global, &arguments),
        Verb::System(arguments) => return system::run(global, &arguments),
        Verb::Doctor(arguments) => return system::doctor::run(global, &arguments),
        Verb::Info(arguments) => system::info::info(global, &arguments)?,
        Verb::Version(arguments) => system::info::version(global, &arguments)?,
        Verb::Tag(arguments) => image::tag::tag(global, &arguments)?,
        Verb::Unmount(arguments) => return mounting::unmount(global, &arguments),
        Verb::Untag(arguments) => image::tag::untag(global, &arguments)?,
        Verb::Login(arguments) => remote::login::run(global, &arguments)?,
        Verb::Logout(arguments) => remote::logout::run(global, &arguments)?,
        Verb::Search(arguments) => remote::search::run(global, &arguments)?,
        Verb::Import(arguments) => image::import::run(global, &arguments)?,
        Verb::Load(arguments) => image::load::run(global, &arguments)?,
        Verb::Save(arguments) => image::save::run(global, &arguments)?,
        Verb::Diff(arguments) => image::diff::of_either(global, &arguments)?,
        Verb::Artifact(arguments) => artifact::run(global, &arguments)?,
        Verb::Secret(arguments) => return secret::run(global, &arguments),
        Verb::Unshare(arguments) => return unshare::run(global, &arguments),
        Verb::Network(arguments) => return network::run(global, &arguments),
        Verb::Manifest(arguments) => return manifest::run(global, &arguments),
        Verb::Mutate(arguments) => mutate::run(global, &arguments)?,
        other => refuse(&other)?,
    }
    Ok(0)
}

/// Verbs that are known so that it can be said why they are not there.
fn refuse(verb: &cli::Verb) -> failure::Result<()> {
    use cli::Verb;
    match verb {
        Verb::Configs(arguments) => swarm::refuse_configs(arguments),
        Verb::StandaloneVerify(_) => image::signing::refuse_verb("standalone-verify"),
        Verb::GenerateSigstoreKey(_) => image::signing::refuse_verb("generate-sigstore-key"),
        _ => image::signing::refuse_verb("standalone-sign"),
    }
}

/// Sees to `--command-timeout`.
fn limit(global: &settings::Global, verb: &cli::Verb) -> failure::Result<()> {
    let Some(limit) = global.command_timeout else { return Ok(()) };
    if matches!(verb, cli::Verb::Run(_)) {
        // Threads and the making of namespaces do not go together.
        return Err(failure::Failure::new("--command-timeout: it is for verbs about images"));
    }
    end_after(limit);
    Ok(())
}

/// Ends the process when a time is over: whatever it has begun is in order then, as after a kill.
fn end_after(limit: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        let text = format!("tare: --command-timeout {limit:?}: the time is over\n");
        let _ = std::io::stderr().write_all(text.as_bytes());
        std::process::exit(FAILED.into());
    });
}
