//! `tare mutate`: images made of others, in the store.

mod annotate;
mod append;
mod flatten;
mod rebase;

use crate::failure::{Failure, Result};
use crate::image::{full_name, now, print};
use crate::settings::{Global, PlatformArgs, Settings};
use clap::{Args, Subcommand};
use images::{Change, Draft, Found, Made, Naming};
use oci::image::{Document, Platform};
use store::Store;

/// Make images of others: other environment, more layers, another base
///
/// Without a subcommand it changes what containers of an image have. The image is one of the store, and so is what is
/// made: `tare push` sends it. The same changes of the same image are the same bytes.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  tare mutate debian:13 --env LANG=C.UTF-8 --label team=a --tag app:1\n  \
                  tare mutate append --base debian:13 --new-layer files.tar --tag app:1\n  \
                  tare mutate rebase app:1 --old-base debian:12 --new-base debian:13 --tag app:2"
)]
pub(crate) struct Mutate {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    result: ResultArgs,
    /// The image
    #[arg(value_name = "IMAGE", required = true)]
    image: Option<String>,
}

#[derive(Debug, Subcommand)]
enum What {
    Annotate(annotate::Annotate),
    Append(append::Append),
    Flatten(flatten::Flatten),
    Rebase(rebase::Rebase),
}

/// What is changed.
#[derive(Debug, Args)]
struct ChangeArgs {
    /// Set an environment variable
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Take an environment variable away
    #[arg(long, value_name = "NAME")]
    unset_env: Vec<String>,
    /// Set a label
    #[arg(short, long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Take a label away
    #[arg(long, value_name = "NAME")]
    unset_label: Vec<String>,
    /// Set an annotation of the manifest
    #[arg(short, long, value_name = "NAME=VALUE")]
    annotation: Vec<String>,
    /// Set the program: a list in JSON, or words with commas between them
    #[arg(long, value_name = "WORDS")]
    entrypoint: Option<String>,
    /// Set the program, or the arguments of the entry point
    #[arg(long, value_name = "WORDS")]
    cmd: Option<String>,
    /// Set the user
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Set the working directory
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Add ports: 80, 53/udp
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    exposed_ports: Vec<String>,
    /// Add a directory that becomes a volume
    #[arg(long, value_name = "DIR")]
    volume: Vec<String>,
    /// Set the signal that ends containers
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// Set who made the image
    #[arg(long, value_name = "TEXT")]
    author: Option<String>,
    /// Set the platform: OS/ARCH[/VARIANT][:OSVERSION]
    #[arg(long, value_name = "PLATFORM")]
    set_platform: Option<String>,
    /// Make a change that is written as in a Dockerfile, such as 'EXPOSE 80'
    #[arg(short, long, value_name = "LINE")]
    change: Vec<String>,
    /// Add a layer from a tar archive; - is standard input
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    append: Vec<String>,
}

/// Which image of an index is taken, and what is made of it.
#[derive(Debug, Args)]
pub(crate) struct ResultArgs {
    /// Name the new image
    #[arg(short, long, alias = "new-tag", alias = "new_tag", value_name = "NAME")]
    tag: Vec<String>,
    /// When the image was made: seconds since 1970, RFC 3339 or now [default: as before, or $SOURCE_DATE_EPOCH]
    #[arg(long, value_name = "TIME")]
    created: Option<String>,
    #[command(flatten)]
    platform: PlatformArgs,
}

pub(crate) fn run(global: &Global, arguments: &Mutate) -> Result<()> {
    match &arguments.what {
        Some(What::Annotate(arguments)) => annotate::run(global, arguments),
        Some(What::Append(arguments)) => append::run(global, arguments),
        Some(What::Flatten(arguments)) => flatten::run(global, arguments),
        Some(What::Rebase(arguments)) => rebase::run(global, arguments),
        None => {
            let name = arguments.image.as_deref().unwrap_or_default();
            let during = |failure: Failure| failure.during(format_args!("changing {name}"));
            change(global, name, &arguments.change, &arguments.result).map_err(during)
        }
    }
}

fn change(global: &Global, name: &str, what: &ChangeArgs, result: &ResultArgs) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let base = Base::find(&settings, &store, name, &result.platform)?;
    let mut draft = Draft::of_image(&store, &base.document, settings.caller.rights())?;
    for file in &what.append {
        append::add(&mut draft, file, &result.step("tare mutate --append")?)?;
    }
    let changes = what.changes(&draft)?;
    images::apply_changes(&mut draft.configuration, &changes)?;
    for pair in &what.annotation {
        let (name, value) = name_and_value(pair)?;
        draft.annotations.insert(name, value);
    }
    let made = result.finish(draft, &base.origin())?;
    print(&made.id.hex())
}

/// The image that is changed.
pub(crate) struct Base {
    pub(crate) found: Found,
    pub(crate) document: Document,
}

impl Base {
    pub(crate) fn find(
        settings: &Settings<'_>,
        store: &Store,
        name: &str,
        platform: &PlatformArgs,
    ) -> Result<Self> {
        let found = images::find(store, name)?;
        let wanted = platform.wanted(settings.wanted())?;
        let document = images::open_image(store, &found, &wanted)?;
        Ok(Self { found, document })
    }

    /// Without a choice of one image of an index.
    fn whole(store: &Store, name: &str) -> Result<Self> {
        let found = images::find(store, name)?;
        let document = images::open_document(store, &found)?;
        Ok(Self { found, document })
    }

    /// Where its layers came from.
    pub(crate) fn origin(&self) -> String {
        let mut sources = self.found.names.iter().map(|name| name.source.as_str());
        sources.find(|source| !source.is_empty()).unwrap_or_default().to_owned()
    }
}

impl ChangeArgs {
    fn changes(&self, draft: &Draft<'_>) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        changes.extend(self.unset_env.iter().cloned().map(Change::NoEnv));
        changes.extend(self.unset_label.iter().cloned().map(Change::NoLabel));
        for pair in &self.env {
            let (name, value) = name_and_value(pair)?;
            changes.push(Change::Env(name, value));
        }
        for pair in &self.label {
            let (name, value) = name_and_value(pair)?;
            changes.push(Change::Label(name, value));
        }
        changes.extend(self.entrypoint.as_deref().map(words).map(Change::Entrypoint));
        changes.extend(self.cmd.as_deref().map(words).map(Change::Cmd));
        changes.extend(self.user.clone().map(Change::User));
        changes.extend(self.workdir.clone().map(Change::WorkingDir));
        changes.extend(self.exposed_ports.iter().cloned().map(Change::Expose));
        changes.extend(self.volume.iter().cloned().map(Change::Volume));
        changes.extend(self.stop_signal.clone().map(Change::StopSignal));
        changes.extend(self.author.clone().map(Change::Author));
        if let Some(platform) = &self.set_platform {
            changes.push(Change::Platform(parse_platform(platform)?));
        }
        changes.extend(Change::parse_all(&self.change, &draft.configuration)?);
        Ok(changes)
    }
}

impl ResultArgs {
    /// A step of the history.
    pub(crate) fn step(&self, by: &str) -> Result<oci::image::History> {
        Ok(oci::image::History {
            created: self.created()?.unwrap_or_default(),
            created_by: by.to_owned(),
            ..Default::default()
        })
    }

    /// When the image was made, if somebody says so.
    fn created(&self) -> Result<Option<String>> {
        let variable = || std::env::var("SOURCE_DATE_EPOCH").ok().filter(|it| !it.is_empty());
        let Some(text) = self.created.clone().or_else(variable) else { return Ok(None) };
        let seconds = match text.as_str() {
            "now" => Some(now()),
            text => text.parse().ok().or_else(|| images::parse_rfc3339(text)),
        };
        match seconds {
            Some(seconds) => Ok(Some(images::rfc3339(seconds))),
            None => Err(Failure::new(format!("`{text}` is no time"))
                .hint("write seconds since 1970, 2024-05-01T12:00:00Z or now")),
        }
    }

    /// The names in full.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        self.tag.iter().map(|name| full_name(name)).collect()
    }

    /// Writes the image, with its names.
    pub(crate) fn finish(&self, mut draft: Draft<'_>, origin: &str) -> Result<Made> {
        if let Some(created) = self.created()? {
            images::apply_changes(&mut draft.configuration, &[Change::Created(created)])?;
        }
        let names = self.names()?;
        Ok(draft.finish(&Naming { names: &names, origin, time_s: now() })?)
    }
}

/// `NAME=VALUE`.
pub(crate) fn name_and_value(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Failure::new(format!("`{text}`: expected NAME=VALUE"))),
    }
}

/// A list in JSON, or words with commas between them.
fn words(text: &str) -> Vec<String> {
    match oci::json::read(text.as_bytes()) {
        Ok(words) => words,
        Err(_) if text.is_empty() => Vec::new(),
        Err(_) => text.split(',').map(str::to_owned).collect(),
    }
}

/// `linux/arm64/v8`, `windows/amd64:10.0.20348`.
fn parse_platform(text: &str) -> Result<Platform> {
    let (platform, version) = text.split_once(':').unwrap_or((text, ""));
    let parts: Vec<&str> = platform.split('/').collect();
    let (os, architecture, variant) = match parts[..] {
        [os, architecture] => (os, architecture, ""),
        [os, architecture, variant] => (os, architecture, variant),
        _ => ("", "", ""),
    };
    if os.is_empty() || architecture.is_empty() {
        return Err(Failure::new(format!("--set-platform {text}: expected OS/ARCH[/VARIANT]")));
    }
    Ok(Platform {
        os: os.into(),
        architecture: architecture.into(),
        variant: variant.into(),
        os_version: version.into(),
        ..Platform::default()
    })
}
