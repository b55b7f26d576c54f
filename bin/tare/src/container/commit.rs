//! `tare commit`.

use super::copy::stream::{piped, told};
use crate::failure::{Failure, Result};
use crate::image::{full_name, now};
use crate::settings::{Global, Settings};
use archive::pack;
use archive::tar::{Bytes, Writer};
use clap::Args;
use engine::record::{Config, status};
use engine::{Container, Engine};
use images::{Change, Draft, Naming, Rights};
use oci::Digest;
use oci::image::History;
use std::io::Write;

/// Make an image of a container
///
/// The image of the container gets one more layer: what the container has written, without volumes. Containers of the new
/// image have what this one has: its program, environment, user and labels, and what --change says. A container that
/// runs is paused meanwhile.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tare commit -m 'with tools' -c 'CMD [\"bash\"]' work debian:tools"
)]
pub(crate) struct Commit {
    /// Say who made the image
    #[arg(short, long, value_name = "TEXT")]
    author: Option<String>,
    /// Change the image as a line of a Dockerfile does, such as 'CMD ["sh"]' (repeated)
    #[arg(short, long, value_name = "LINE")]
    change: Vec<String>,
    /// Say in the history what it is
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Pause the container meanwhile [default: true, where it can be paused]
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pause: Option<bool>,
    /// podman's: print nothing but the ID, as here always
    #[arg(short, long, hide = true)]
    quiet: bool,
    /// The container: its name, or the beginning of its ID
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Name of the image
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<String>,
}

/// Lets a container go on at the end.
struct Paused<'p>(&'p Engine, &'p str);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        if let Ok(container) = self.0.find(self.1) {
            let _ = self.0.unpause(&container);
        }
    }
}

pub(crate) fn run(global: &Global, arguments: &Commit) -> Result<()> {
    let settings = Settings::load(global)?;
    let engine = super::open(global, false)?;
    let container = engine.find(&arguments.container)?;
    let config = &container.config;
    if config.manifest.is_empty() {
        return Err(Failure::new(format!("{}: it is of no image", config.name))
            .hint("`tare export` and `tare import` make one of its files"));
    }
    let names: Vec<String> =
        arguments.name.as_deref().map(full_name).transpose()?.into_iter().collect();
    let runs = container.status() == status::RUNNING;
    let paused = match runs && arguments.pause.unwrap_or(true) {
        true => match engine.pause(&container) {
            Ok(()) => Some(Paused(&engine, &config.id)),
            // An ordinary user may have no cgroup that could be frozen.
            Err(_) if arguments.pause.is_none() => None,
            Err(error) => return Err(error.into()),
        },
        false => None,
    };
    let is_live = container.is_running() && paused.is_none();
    let rights = settings.caller.rights();
    engine.with_ids(|engine| {
        let made = commit(engine, &container, arguments, &names, (rights, is_live));
        let made = made.map_err(|failure| told(failure.message()));
        let id = made?;
        engine.tell("commit", config, &[("imageID", &id), ("imageRef", &names.concat())]);
        crate::output::write(format!("{id}\n").as_bytes()).map_err(|it| told(it.message()))
    })?;
    Ok(())
}

fn commit(
    engine: &Engine,
    container: &Container,
    arguments: &Commit,
    names: &[String],
    (rights, is_live): (Rights, bool),
) -> Result<String> {
    let (store, config) = (engine.store(), &container.config);
    // The container keeps it in the store.
    let image = crate::image::users::document_of(store, Digest::parse(&config.manifest)?)?;
    let mut draft = Draft::of_image(store, &image, rights)?;
    let created = images::rfc3339(now());
    let words: Vec<&str> =
        config.entrypoint.iter().chain(&config.cmd).map(String::as_str).collect();
    let step = History {
        created: created.clone(),
        created_by: words.join(" "),
        author: arguments.author.clone().unwrap_or_default(),
        comment: arguments.message.clone().unwrap_or_default(),
        ..History::default()
    };
    let opened = store.container(&config.id)?;
    let upper = opened.upper_dir()?;
    let has_root = store.has_changed_root(&opened)?;
    let options =
        pack::Options { notes: Some(rights.notes), is_live, latest: None, is_system: false };
    piped(
        |writer| {
            let mut writer = Writer::new(Bytes::new(writer));
            // Its own directory is part of the layer only where somebody has changed it.
            match has_root {
                true => pack::pack_one(upper.borrow(), b".", b".", options, &mut writer),
                false => pack::pack(upper.borrow(), options, &mut writer),
            }
            .map_err(told)?;
            writer.finish().map_err(told)?.into_inner().flush().map_err(told)
        },
        |reader| draft.add_archive(reader, &step).map_err(told),
    )?;
    let mut changes = of_container(config);
    changes.push(Change::Created(created));
    changes.extend(arguments.author.clone().map(Change::Author));
    images::apply_changes(&mut draft.configuration, &changes)?;
    let changes = Change::parse_all(&arguments.change, &draft.configuration)?;
    images::apply_changes(&mut draft.configuration, &changes)?;
    let made = draft.finish(&Naming { names, origin: "", time_s: now() })?;
    Ok(made.id.to_string())
}

/// What containers of the new image have as this one has.
fn of_container(config: &Config) -> Vec<Change> {
    let mut changes = vec![Change::Cmd(config.cmd.clone())];
    changes.push(Change::Entrypoint(config.entrypoint.clone()));
    for variable in &config.env {
        if let Some((name, value)) = variable.split_once('=') {
            changes.push(Change::Env(name.into(), value.into()));
        }
    }
    for (name, value) in config.labels.iter() {
        changes.push(Change::Label(name.clone(), value.clone()));
    }
    changes.extend(config.exposed_ports.iter().cloned().map(Change::Expose));
    changes.push(Change::User(config.user.clone()));
    if config.working_dir != "/" {
        changes.push(Change::WorkingDir(config.working_dir.clone()));
    }
    if !config.stop_signal.is_empty() {
        changes.push(Change::StopSignal(config.stop_signal.clone()));
    }
    changes.extend(config.stop_timeout.map(Change::StopTimeout));
    changes.extend(config.healthcheck.clone().map(Change::Healthcheck));
    changes
}
