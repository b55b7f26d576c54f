//! `tare volume`: directories that outlive containers.

mod archive;
mod cluster;
mod list;
mod mount;
mod prune;

use crate::called::Called;
use crate::failure::{Failure, Result};
use crate::labels;
use crate::output;
use crate::settings::Global;
use clap::{Args, Subcommand};
use engine::Engine;
use engine::volumes::Volume;
use template::{Field, Struct, Value};

pub(crate) use list::{HEADINGS, read_filters, rows_with_sizes};
pub(crate) use prune::prune_unused;

/// Manage volumes
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Noun {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Create(Box<Create>),
    Exists(Exists),
    Export(archive::Export),
    Import(archive::Import),
    Inspect(Inspect),
    #[command(visible_alias = "list")]
    Ls(list::List),
    Mount(mount::Mount),
    Prune(prune::Prune),
    #[command(visible_alias = "remove")]
    Rm(Remove),
    #[command(visible_alias = "umount")]
    Unmount(mount::Unmount),
    #[command(hide = true)]
    Update(cluster::Update),
}

/// Make a volume, if there is none of the name
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tare volume create --label team=a data")]
struct Create {
    /// local, the only one
    #[arg(short, long, value_name = "DRIVER", default_value = "local", hide_default_value = true)]
    driver: String,
    /// Set a label (repeated)
    #[arg(long, value_name = "NAME[=VALUE]")]
    label: Vec<String>,
    /// Its file system: type=tmpfs|nfs|none|..., device=DEVICE, o=OPTION,... (repeated) [default: a directory of the store]
    #[arg(short, long, value_name = "NAME=VALUE")]
    opt: Vec<String>,
    /// docker's older way to name it
    #[arg(long, value_name = "NAME", hide = true, conflicts_with = "volume")]
    name: Option<String>,
    /// podman's: a volume that is there is no mistake, as here always
    #[arg(long, hide = true)]
    ignore: bool,
    #[command(flatten)]
    cluster: cluster::Cluster,
    /// Its name [default: one made of random digits]
    #[arg(value_name = "VOLUME")]
    volume: Option<String>,
}

/// Say by the exit code whether there is a volume of a name
#[derive(Debug, Args)]
struct Exists {
    /// The volume
    #[arg(value_name = "VOLUME")]
    volume: String,
}

/// Show what is known of volumes
#[derive(Debug, Args)]
struct Inspect {
    /// json, or a Go template for each volume
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// The volumes
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
}

/// Remove volumes that no container has
#[derive(Debug, Args)]
struct Remove {
    /// Volumes that are not there are no mistake
    #[arg(short, long)]
    force: bool,
    /// podman's: all of them
    #[arg(short, long, hide = true)]
    all: bool,
    /// By podman's name: seconds for containers that have them, which --force removes then
    #[arg(short, long, hide = true, value_name = "SECONDS", allow_hyphen_values = true)]
    time: Option<i64>,
    /// The volumes
    #[arg(required_unless_present = "all", value_name = "VOLUME")]
    volumes: Vec<String>,
}

pub(crate) fn run(global: &Global, noun: &Noun) -> Result<u8> {
    match &noun.verb {
        Verb::Create(arguments) => create(global, arguments)?,
        Verb::Exists(arguments) => {
            let engine = crate::container::open(global, true)?;
            return Ok(u8::from(engine.volume(&arguments.volume)?.is_none()));
        }
        Verb::Export(arguments) => archive::export(global, arguments)?,
        Verb::Import(arguments) => archive::import(global, arguments)?,
        Verb::Inspect(arguments) => return inspect(global, arguments),
        Verb::Ls(arguments) => list::run(global, arguments)?,
        Verb::Mount(arguments) => return mount::mount(global, arguments),
        Verb::Prune(arguments) => prune::run(global, arguments)?,
        Verb::Rm(arguments) => return remove(global, arguments),
        Verb::Unmount(arguments) => return mount::unmount(global, arguments),
        Verb::Update(arguments) => return Err(arguments.refuse()),
    }
    Ok(0)
}

fn create(global: &Global, arguments: &Create) -> Result<()> {
    arguments.cluster.check()?;
    if !matches!(arguments.driver.as_str(), "local" | "") {
        return Err(Failure::new(format!(
            "--driver {}: there is no such driver",
            arguments.driver
        ))
        .hint("local is the only one; `-v` mounts what the host has mounted from elsewhere"));
    }
    let engine = crate::container::open(global, false)?;
    let volume = Volume {
        name: arguments.volume.clone().or(arguments.name.clone()).unwrap_or_default(),
        labels: labels::read(&arguments.label),
        options: labels::read(&arguments.opt),
        ..Volume::default()
    };
    if Called::is_podman() {
        check_device(&volume)?;
    }
    let wanted = volume.options.clone();
    let (made, is_new) = engine.ensure_volume(volume)?;
    if !is_new && !wanted.is_empty() && made.options != wanted {
        return Err(Failure::new(format!("create {}: there is one with other options", made.name))
            .hint("remove it first, or choose another name"));
    }
    output::write(format!("{}\n", made.name).as_bytes())
}

/// podman looks for a directory that is bound when the volume is made, docker when it is used.
fn check_device(volume: &Volume) -> Result<()> {
    let option = |name: &str| volume.options.get(name).map_or("", String::as_str);
    let is_bound =
        option("type") == "bind" || option("o").split(',').any(|it| it.ends_with("bind"));
    let device = option("device");
    match is_bound && !std::path::Path::new(device).exists() {
        true => Err(Failure::new(format!(
            "invalid volume option device for driver 'local': faccessat {device}: no such file or directory"
        ))),
        false => Ok(()),
    }
}

/// docker's document of a volume; nothing where there is none.
pub(crate) fn value(engine: &Engine, name: &str) -> Result<Option<Value>> {
    let Some(volume) = engine.volume(name)? else { return Ok(None) };
    let texts = |map: &oci::Map| match map.is_empty() {
        true => Value::Nil("map[string]string"),
        false => Value::text_map(map.iter().map(|(key, value)| (key.clone(), value))),
    };
    let path = engine.volume_path(&volume.name);
    // What an image has there is copied to an empty one only.
    let is_empty = std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
    let path = path.to_string_lossy().into_owned();
    let podmans = |name, value: bool| match Called::is_podman() {
        true => Field::new(name, value),
        false => Field::hidden(name, value),
    };
    Ok(Some(Struct::value(
        "*volume",
        vec![
            Field::new("CreatedAt", volume.created.as_str()),
            Field::new("Driver", volume.driver.as_str()),
            Field::new("Labels", texts(&volume.labels)),
            Field::new("Mountpoint", path),
            Field::new("Name", volume.name.as_str()),
            Field::new("Options", texts(&volume.options)),
            Field::new("Scope", "local"),
            Field::hidden("Anonymous", volume.anonymous),
            podmans("NeedsCopyUp", is_empty),
            podmans("NeedsChown", is_empty),
        ],
    )))
}

fn inspect(global: &Global, arguments: &Inspect) -> Result<u8> {
    let names: Vec<&str> = arguments.volumes.iter().map(String::as_str).collect();
    show(global, &names, arguments.format.as_deref())
}

/// Shows volumes; the exit code.
pub(crate) fn show(global: &Global, names: &[&str], format: Option<&str>) -> Result<u8> {
    let engine = crate::container::open(global, true)?;
    let mut values = Vec::new();
    let mut code = 0;
    for name in names {
        match value(&engine, name)? {
            Some(value) => values.push(value),
            None => {
                Failure::new(format!("get {name}: no such volume")).tell();
                code = 1;
            }
        }
    }
    output::inspected(format, &values)?;
    Ok(code)
}

fn remove(global: &Global, arguments: &Remove) -> Result<u8> {
    let engine = crate::container::open(global, false)?;
    let names: Vec<String> = match arguments.all {
        true => engine.list_volumes()?.into_iter().map(|volume| volume.name).collect(),
        false => arguments.volumes.clone(),
    };
    let mut code = 0;
    for name in &names {
        if arguments.force && Called::is_podman() {
            // podman removes the containers that have it first.
            for id in engine.users_of_volume(name)? {
                if let Some(container) = engine.load(&id)? {
                    engine.remove_by_force(&container, arguments.time.unwrap_or(0))?;
                }
            }
        }
        match engine.remove_volume(name) {
            Ok(()) => output::write(format!("{name}\n").as_bytes())?,
            Err(error) if arguments.force && error.kind() == engine::Kind::NotFound => {
                // docker says the name in any case, podman what it has removed.
                if !Called::is_podman() {
                    output::write(format!("{name}\n").as_bytes())?;
                }
            }
            Err(error) => {
                let is_used = error.kind() == engine::Kind::State;
                Failure::from(error).tell();
                code = if Called::is_podman() && is_used { 2 } else { 1 };
            }
        }
    }
    Ok(code)
}
