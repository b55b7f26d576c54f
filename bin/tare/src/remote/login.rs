//! `tare login`.

use super::{FileArgs, connect, default_registry};
use crate::called::Called;
use crate::failure::{Failure, Result};
use crate::image::print;
use crate::settings::{Access, Global, Settings, warn};
use crate::terminal;
use clap::Args;
use std::io::Read;
use std::path::PathBuf;
use transport::auth::{Credentials, parse_name};

/// Longest password on standard input. Tokens of clouds have some kilobytes.
const PASSWORD_LIMIT_BYTES: u64 = 64 << 10;

/// Log in to a registry
///
/// The name and password are checked with the registry, and kept for it, or for a namespace of it. Without
/// them what is kept is checked, and they are asked for at the terminal.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tare login registry.example\n  \
                        tare login -u me --password-stdin registry.example/team <token")]
pub(crate) struct Login {
    /// Name of the user
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,
    /// Password, which other users of the machine can see here
    #[arg(short, long, value_name = "PASSWORD")]
    password: Option<String>,
    /// Read the password from standard input
    #[arg(long, conflicts_with = "password")]
    password_stdin: bool,
    /// Print who is logged in, and do nothing else
    #[arg(long)]
    get_login: bool,
    #[command(flatten)]
    file: FileArgs,
    /// Directory with certificates of the registry (*.crt) and own ones (*.cert, *.key)
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,
    /// Require HTTPS and a certificate that somebody vouches for [default: true]
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    tls_verify: Option<bool>,
    /// Print where the credentials are kept
    #[arg(short, long)]
    verbose: bool,
    /// Take the password from this secret, and its name for that of the user where none is given
    #[arg(long, value_name = "NAME", conflicts_with_all = ["password", "password_stdin"])]
    secret: Option<String>,
    /// Registry, perhaps with a namespace [default: the first of unqualified-search-registries, or docker.io]
    #[arg(value_name = "REGISTRY")]
    registry: Option<String>,
}

pub(crate) fn run(global: &Global, arguments: &Login) -> Result<()> {
    let settings = Settings::load(global)?;
    let name = match &arguments.registry {
        Some(name) => parse_name(name)?,
        None => default_registry(&settings),
    };
    let access = Access {
        authfile: arguments.file.named(),
        cert_dir: arguments.cert_dir.clone(),
        tls_verify: arguments.tls_verify,
        ..Access::default()
    };
    let kept = settings.lookup(&access).find(&name)?;
    let known = kept.as_ref().and_then(|kept| match kept {
        Credentials::Basic { user, .. } | Credentials::Identity { user, .. } => Some(user.clone()),
        Credentials::Bearer { .. } => None,
    });
    if arguments.get_login {
        let missing = || Failure::new(format!("not logged in to {name}"));
        return print(&known.ok_or_else(missing)?);
    }
    let is_new =
        arguments.username.is_some() || arguments.password.is_some() || arguments.secret.is_some();
    if let Some(kept) = kept.filter(|_| !is_new && !arguments.password_stdin) {
        let access = Access { credentials: Some(kept), ..access.clone() };
        match connect(&settings, &name, &access)?.log_in() {
            Ok(()) => return print(&format!("Already logged in to {name}")),
            Err(error) if error.kind() == transport::ErrorKind::Denied => {
                warn(&format!("what was kept for {name} is no longer accepted"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let secret = arguments.secret.as_deref().map(|name| read_secret(global, name)).transpose()?;
    let credentials = ask(arguments, known.unwrap_or_default(), secret)?;
    let access = Access { credentials: Some(credentials.clone()), ..access };
    connect(&settings, &name, &access)?.log_in().map_err(|error| {
        match Called::is_podman() && error.kind() == transport::ErrorKind::Denied {
            true => Failure::new(format!("logging into \"{name}\": invalid username/password")),
            false => error.into(),
        }
    })?;
    let stored = arguments.file.keeper(&settings).store(&name, &credentials);
    let place = stored.map_err(|error| {
        Failure::from(error).hint_unless("name another file by --authfile, or REGISTRY_AUTH_FILE")
    })?;
    if arguments.verbose {
        print(&format!("Used: {place}"))?;
    }
    print("Login Succeeded!")
}

/// What options and the terminal say.
fn ask(arguments: &Login, known: String, secret: Option<String>) -> Result<Credentials> {
    let hint = "name the user by --username, and give the password with --password-stdin";
    let user = match &arguments.username {
        Some(user) => user.clone(),
        None if arguments.password_stdin => {
            return Err(Failure::new("--password-stdin needs --username"));
        }
        None if arguments.secret.is_some() => arguments.secret.clone().unwrap_or_default(),
        None => {
            let shown = if known.is_empty() { String::new() } else { format!(" ({known})") };
            let typed = terminal::ask(&format!("Username{shown}"), hint)?;
            if typed.is_empty() { known } else { typed }
        }
    };
    let password = match &arguments.password {
        Some(password) => {
            // As docker, and unlike podman.
            if !Called::is_podman() {
                warn("other users can see --password: --password-stdin is better");
            }
            password.clone()
        }
        None if arguments.password_stdin => read_password()?,
        None if secret.is_some() => secret.unwrap_or_default(),
        None => terminal::ask_secret("Password", hint)?,
    };
    if user.is_empty() || password.is_empty() {
        return Err(Failure::new("a login needs a name and a password"));
    }
    if user.contains(':') {
        return Err(Failure::new(format!("a name of a user has no colon: `{user}`")));
    }
    Ok(Credentials::Basic { user, password })
}

/// All of standard input but the end of its last line.
fn read_password() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().take(PASSWORD_LIMIT_BYTES).read_to_string(&mut text)?;
    Ok(without_end(&text))
}

fn read_secret(global: &Global, name: &str) -> Result<String> {
    let engine = crate::container::open(global, true)?;
    // It may be named by its ID.
    let data = engine.secret_data(&engine.secret(name)?.name)?;
    let text = String::from_utf8(data);
    let text = text.map_err(|_| Failure::new(format!("secret {name}: is no text")))?;
    Ok(without_end(&text))
}

fn without_end(text: &str) -> String {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text).to_owned()
}
