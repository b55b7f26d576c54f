//! `tare secret`: small texts that containers get, and nobody else sees. podman's verbs.

mod list;

use crate::failure::{Failure, Result};
use crate::output;
use crate::settings::{Global, warn};
use clap::{Args, Subcommand};
use engine::Engine;
use engine::secrets::{Existing, SIZE_LIMIT_BYTES, Secret};
use std::io::Read;
use template::{Field, Struct, Value};

/// Manage secrets
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Noun {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Create(Create),
    Exists(Exists),
    Inspect(Inspect),
    #[command(visible_alias = "list")]
    Ls(list::List),
    #[command(visible_alias = "remove")]
    Rm(Remove),
}

/// Make a secret of a file, of standard input or of a variable
///
/// It is kept in the store, in a file that only the store's owner can read.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  printf %s \"$PASSWORD\" | tare secret create db-password -\n  tare secret create --env token TOKEN"
)]
struct Create {
    /// file, the only one
    #[arg(short, long, value_name = "DRIVER", default_value = "file", hide_default_value = true)]
    driver: String,
    /// Not here: there is nothing to choose
    #[arg(long, value_name = "KEY=VALUE", hide = true)]
    driver_opts: Vec<String>,
    /// The last argument is a variable's name
    #[arg(long)]
    env: bool,
    /// Leave one that is there as it is
    #[arg(long, conflicts_with = "replace")]
    ignore: bool,
    /// Set a label (repeated)
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    label: Vec<String>,
    /// Put it in the place of one that is there
    #[arg(long)]
    replace: bool,
    /// Not here: it is for services of swarm
    #[arg(long, value_name = "DRIVER", hide = true)]
    template_driver: Option<String>,
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    /// The file, or - for standard input
    #[arg(value_name = "FILE|-")]
    source: String,
}

/// Say by the exit code whether there is a secret
#[derive(Debug, Args)]
struct Exists {
    /// The secret: its name, or the beginning of its ID
    #[arg(value_name = "SECRET")]
    secret: String,
}

/// Show what is known of secrets, but not what they are
#[derive(Debug, Args)]
struct Inspect {
    /// json, or a Go template for each secret
    #[arg(short, long, value_name = "FORMAT", conflicts_with = "pretty")]
    format: Option<String>,
    /// Show it for people
    #[arg(long)]
    pretty: bool,
    /// Show what they are, too
    #[arg(long)]
    showsecret: bool,
    /// The secrets: names, or the beginnings of IDs
    #[arg(required = true, value_name = "SECRET")]
    secrets: Vec<String>,
}

/// Remove secrets that no container has
#[derive(Debug, Args)]
struct Remove {
    /// Remove all
    #[arg(short, long)]
    all: bool,
    /// Secrets that are not there are no mistake
    #[arg(short, long)]
    ignore: bool,
    /// The secrets: names, or the beginnings of IDs
    #[arg(required_unless_present = "all", value_name = "SECRET")]
    secrets: Vec<String>,
}

pub(crate) fn run(global: &Global, noun: &Noun) -> Result<u8> {
    match &noun.verb {
        Verb::Create(arguments) => create(global, arguments)?,
        Verb::Exists(arguments) => {
            let engine = crate::container::open(global, true)?;
            return Ok(u8::from(engine.secret(&arguments.secret).is_err()));
        }
        Verb::Inspect(arguments) => return inspect(global, arguments),
        Verb::Ls(arguments) => list::run(global, arguments)?,
        Verb::Rm(arguments) => return remove(global, arguments),
    }
    Ok(0)
}

fn create(global: &Global, arguments: &Create) -> Result<()> {
    if !matches!(arguments.driver.as_str(), "file" | "") {
        return Err(Failure::new(format!("--driver {}: there is no such driver", arguments.driver))
            .hint("file is the only one; a shell gives what another program keeps: `pass show NAME | tare secret create NAME -`"));
    }
    if let Some(option) = arguments.driver_opts.first() {
        return Err(Failure::new(format!("--driver-opts {option}: the driver file has none"))
            .hint("--root chooses another store"));
    }
    if arguments.template_driver.is_some() {
        return Err(Failure::new("--template-driver: it is for services of swarm")
            .hint("fill the text in before: `envsubst < FILE | tare secret create NAME -`"));
    }
    let source = &arguments.source;
    let failed =
        |why: &dyn std::fmt::Display| Failure::new(format!("secret {}: {why}", arguments.name));
    let data = match source.as_str() {
        name if arguments.env => {
            let value = std::env::var_os(name);
            let value =
                value.ok_or_else(|| failed(&format_args!("there is no variable {name}")))?;
            std::os::unix::ffi::OsStringExt::into_vec(value)
        }
        "-" => read(&mut std::io::stdin().lock()).map_err(|error| failed(&error))?,
        path => {
            let opened = std::fs::File::open(path);
            let mut file = opened.map_err(|error| failed(&format_args!("{path}: {error}")))?;
            read(&mut file).map_err(|error| failed(&format_args!("{path}: {error}")))?
        }
    };
    let labels = crate::labels::read(&arguments.label);
    let existing = match (arguments.ignore, arguments.replace) {
        (true, _) => Existing::Keep,
        (_, true) => Existing::Replace,
        _ => Existing::Refuse,
    };
    let engine = crate::container::open(global, false)?;
    let id = engine.create_secret(&arguments.name, &data, labels, existing)?;
    output::write(format!("{id}\n").as_bytes())
}

/// One byte more than a secret may have is read, so that a larger one is seen.
fn read(from: &mut dyn Read) -> std::io::Result<Vec<u8>> {
    let mut data = Vec::new();
    from.take(SIZE_LIMIT_BYTES as u64 + 1).read_to_end(&mut data)?;
    Ok(data)
}

fn texts(map: &oci::Map) -> Value {
    Value::text_map(map.iter().map(|(key, value)| (key.clone(), value)))
}

/// podman's document of a secret.
fn value(engine: &Engine, secret: &Secret, shows: bool) -> Result<Value> {
    let driver = vec![
        Field::new("Name", secret.driver.as_str()),
        Field::new("Options", texts(&oci::Map::default())),
    ];
    let spec = vec![
        Field::new("Name", secret.name.as_str()),
        Field::new("Driver", Struct::value("driver", driver)),
        Field::new("Labels", texts(&secret.labels)),
    ];
    let mut fields = vec![
        Field::new("ID", secret.id.as_str()),
        Field::new("CreatedAt", secret.created.as_str()),
        Field::new("UpdatedAt", secret.updated.as_str()),
        Field::new("Spec", Struct::value("spec", spec)),
    ];
    if shows {
        let data = engine.secret_data(&secret.name)?;
        fields.push(Field::new("SecretData", String::from_utf8_lossy(&data).into_owned()));
    }
    Ok(Struct::value("*secret", fields))
}

fn inspect(global: &Global, arguments: &Inspect) -> Result<u8> {
    let engine = crate::container::open(global, true)?;
    let mut values = Vec::new();
    let (mut code, mut text) = (0, String::new());
    for name in &arguments.secrets {
        match engine.secret(name) {
            Ok(secret) if arguments.pretty => {
                let labels: Vec<String> =
                    secret.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
                text.push_str(&format!(
                    "ID:                {}\nName:              {}\nLabels:            {}\nDriver:            {}\nCreated at:        {}\nUpdated at:        {}\n",
                    secret.id, secret.name, labels.join(", "), secret.driver, secret.created, secret.updated
                ));
            }
            Ok(secret) => values.push(value(&engine, &secret, arguments.showsecret)?),
            Err(error) => {
                Failure::from(error).tell();
                code = 1;
            }
        }
    }
    match arguments.pretty {
        true if arguments.showsecret => warn("--showsecret: --pretty does not show it"),
        true => {}
        false => output::inspected(arguments.format.as_deref(), &values)?,
    }
    output::write(text.as_bytes())?;
    Ok(code)
}

fn remove(global: &Global, arguments: &Remove) -> Result<u8> {
    let engine = crate::container::open(global, false)?;
    let names: Vec<String> = match arguments.all {
        true => engine.list_secrets()?.into_iter().map(|secret| secret.name).collect(),
        false => arguments.secrets.clone(),
    };
    let mut code = 0;
    for name in &names {
        match engine.remove_secret(name) {
            Ok(secret) => output::write(format!("{}\n", secret.id).as_bytes())?,
            Err(error) if arguments.ignore && error.kind() == engine::Kind::NotFound => {}
            Err(error) => {
                Failure::from(error).tell();
                code = 1;
            }
        }
    }
    Ok(code)
}
