//! Options that several verbs have.

use super::Access;
use crate::failure::{Failure, Result};
use clap::Args;
use oci::image::Wanted;
use std::path::PathBuf;
use std::time::Duration;
use transport::auth::Credentials;

const STORE: &str = "Store";
/// docker's and podman's.
const LEVELS: [&str; 8] = ["trace", "debug", "info", "warn", "warning", "error", "fatal", "panic"];

/// Options of every verb: the store's anywhere, skopeo's before the verb, as it has them.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The store [default: /var/lib/tare, of a user ~/.local/share/tare]
    #[arg(long, global = true, value_name = "DIR", help_heading = STORE)]
    pub(crate) root: Option<PathBuf>,
    /// Where the store's mounts are recorded, lost at a restart
    #[arg(long, global = true, value_name = "DIR", help_heading = STORE)]
    pub(crate) runroot: Option<PathBuf>,
    /// Which images are accepted [default: ~/.config/containers/policy.json, /etc/containers/policy.json]
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub(crate) policy: Option<PathBuf>,
    /// Accept every image, whatever the policy says
    #[arg(long, hide_short_help = true)]
    pub(crate) insecure_policy: bool,
    /// Accept only images whose policy requires signatures
    #[arg(long, hide_short_help = true)]
    pub(crate) require_signed: bool,
    /// Where registries are [default: ~/.config/containers/registries.conf, /etc/containers/registries.conf]
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub(crate) registries_conf: Option<PathBuf>,
    /// Where signatures are kept beside registries
    #[arg(long = "registries.d", value_name = "DIR", hide_short_help = true)]
    pub(crate) registries_d: Option<PathBuf>,
    /// Choose images for this architecture instead of the machine's
    #[arg(long, value_name = "ARCH", hide_short_help = true)]
    pub(crate) override_arch: Option<String>,
    /// Choose images for this operating system
    #[arg(long, value_name = "OS", hide_short_help = true)]
    pub(crate) override_os: Option<String>,
    /// Choose images for this variant of the architecture
    #[arg(long, value_name = "VARIANT", hide_short_help = true)]
    pub(crate) override_variant: Option<String>,
    /// Directory for large temporary files [default: in the store]
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub(crate) tmpdir: Option<PathBuf>,
    /// End the command when it takes longer, such as 10m
    #[arg(long, value_name = "TIME", value_parser = parse_seconds, hide_short_help = true)]
    pub(crate) command_timeout: Option<Duration>,
    /// Tell of every request to a registry, and its answer
    #[arg(short = 'D', long, hide_short_help = true)]
    pub(crate) debug: bool,
    /// debug is --debug; all others say what is said anyway
    #[arg(short, long, value_name = "LEVEL", value_parser = LEVELS, hide = true)]
    pub(crate) log_level: Option<String>,
    /// Where docker's settings are, with credentials for registries [default: ~/.docker]
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub(crate) config: Option<PathBuf>,
    /// Fetch layers that manifests say to be at other addresses, by HTTPS and anonymously
    #[arg(long, hide_short_help = true)]
    pub(crate) foreign_layers: bool,
    /// Where specifications of CDI devices are (repeated) [default: /etc/cdi, /var/run/cdi, of a user ~/.config/cdi, too]
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub(crate) cdi_spec_dir: Vec<PathBuf>,
    /// Read one more containers.conf, by its path or from containers.conf.modules (repeated)
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub(crate) module: Vec<PathBuf>,
    /// What registries see before `tare` as the name of the program
    #[arg(long, value_name = "PREFIX", hide_short_help = true)]
    pub(crate) user_agent_prefix: Option<String>,
    #[command(flatten)]
    pub(crate) podman: super::podman::PodmanGlobal,
}

/// How a registry is reached.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RegistryArgs {
    /// File with credentials
    #[arg(long, value_name = "FILE")]
    pub(crate) authfile: Option<PathBuf>,
    /// Directory with certificates of the registry (*.crt) and own ones (*.cert, *.key)
    #[arg(long, value_name = "DIR")]
    pub(crate) cert_dir: Option<PathBuf>,
    /// Credentials for the registry
    #[arg(long, value_name = "USER[:PASSWORD]")]
    pub(crate) creds: Option<String>,
    /// Require HTTPS and a certificate that somebody vouches for [default: true]
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub(crate) tls_verify: Option<bool>,
    /// How often something is tried again that has failed
    #[arg(long, alias = "retry-times", value_name = "NUMBER")]
    pub(crate) retry: Option<u32>,
    /// Pause before that, such as 2s or 1m
    #[arg(long, value_name = "TIME", value_parser = parse_seconds)]
    pub(crate) retry_delay: Option<Duration>,
}

impl RegistryArgs {
    /// What the libraries want to know.
    pub(crate) fn access(&self) -> Result<Access> {
        Ok(Access {
            authfile: self.authfile.clone(),
            credentials: self.creds.as_deref().map(parse_credentials).transpose()?,
            cert_dir: self.cert_dir.clone(),
            tls_verify: self.tls_verify,
            attempts: self.retry.map(|times| times.saturating_add(1)),
            backoff: self.retry_delay,
            ..Access::default()
        })
    }
}

/// Which image of an index.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct PlatformArgs {
    /// Platform of the image: OS/ARCH[/VARIANT]
    #[arg(long, value_name = "PLATFORM", conflicts_with_all = ["arch", "os", "variant"])]
    pub(crate) platform: Option<String>,
    /// Architecture of the image
    #[arg(long)]
    pub(crate) arch: Option<String>,
    /// Operating system of the image
    #[arg(long)]
    pub(crate) os: Option<String>,
    /// Variant of the architecture
    #[arg(long)]
    pub(crate) variant: Option<String>,
}

impl PlatformArgs {
    /// Whether anything is chosen.
    pub(crate) fn is_given(&self) -> bool {
        [&self.platform, &self.arch, &self.os, &self.variant].into_iter().any(Option::is_some)
    }

    /// What is wanted where the options say nothing else.
    pub(crate) fn wanted(&self, default: Wanted) -> Result<Wanted> {
        let mut wanted = default;
        if let Some(platform) = &self.platform {
            return parse_platform(platform, wanted);
        }
        if let Some(architecture) = &self.arch {
            if *architecture != wanted.architecture {
                wanted.variant.clear();
            }
            wanted.architecture.clone_from(architecture);
        }
        if let Some(os) = &self.os {
            wanted.os.clone_from(os);
        }
        if let Some(variant) = &self.variant {
            wanted.variant.clone_from(variant);
        }
        Ok(wanted)
    }
}

/// `linux/arm64/v8`, `linux/amd64`, `arm64`, `linux`.
fn parse_platform(text: &str, mut wanted: Wanted) -> Result<Wanted> {
    let parts: Vec<&str> = text.split('/').collect();
    let malformed = || {
        Failure::new(format!("--platform {text}: expected OS/ARCH[/VARIANT]"))
            .hint("for example linux/amd64 or linux/arm/v7")
    };
    if parts.iter().any(|part| part.is_empty()) {
        return Err(malformed());
    }
    match parts[..] {
        ["linux" | "windows" | "freebsd" | "darwin"] => wanted.os = parts[0].to_owned(),
        [architecture] => {
            wanted.architecture = normal_architecture(architecture).to_owned();
            wanted.variant.clear();
        }
        [os, architecture] => {
            wanted.os = os.to_owned();
            wanted.architecture = normal_architecture(architecture).to_owned();
            wanted.variant.clear();
        }
        [os, architecture, variant] => {
            wanted.os = os.to_owned();
            wanted.architecture = normal_architecture(architecture).to_owned();
            wanted.variant = variant.to_owned();
        }
        _ => return Err(malformed()),
    }
    Ok(wanted)
}

fn normal_architecture(name: &str) -> &str {
    match name {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i686" => "386",
        other => other,
    }
}

/// `user:password`; without a colon the password is empty, as skopeo has it.
pub(crate) fn parse_credentials(text: &str) -> Result<Credentials> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    match user.is_empty() {
        true => Err(Failure::new("credentials without a user: expected USER[:PASSWORD]")),
        false => Ok(Credentials::Basic { user: user.to_owned(), password: password.to_owned() }),
    }
}

/// Go's durations, in their plain forms: `90s`, `1m30s`, `500ms`, `2h`.
pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let malformed = || format!("`{text}` is no time: write 500ms, 2s, 1m30s");
    let mut total = 0f64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|it: char| !it.is_ascii_digit() && it != '.');
        let (number, unit) = rest.split_at(digits.ok_or_else(malformed)?);
        let end = unit.find(|it: char| it.is_ascii_digit()).unwrap_or(unit.len());
        let factor = match &unit[..end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(malformed()),
        };
        total += number.parse::<f64>().map_err(|_| malformed())? * factor;
        rest = &unit[end..];
    }
    if text.is_empty() {
        return Err(malformed());
    }
    Duration::try_from_secs_f64(total).map_err(|_| malformed())
}
