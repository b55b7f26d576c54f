//! `tare logout`.

use super::{FileArgs, default_registry};
use crate::failure::{Failure, Result};
use crate::image::print;
use crate::settings::{Access, Global, Settings};
use clap::Args;
use transport::auth::parse_name;

/// Forget the credentials for a registry
#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// Forget all credentials
    #[arg(short, long, conflicts_with = "registry")]
    all: bool,
    #[command(flatten)]
    file: FileArgs,
    /// Nothing is asked of the registry; accepted for skopeo's sake
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    tls_verify: Option<bool>,
    /// Registry, perhaps with a namespace [default: the first of unqualified-search-registries, or docker.io]
    #[arg(value_name = "REGISTRY")]
    registry: Option<String>,
}

pub(crate) fn run(global: &Global, arguments: &Logout) -> Result<()> {
    let settings = Settings::load(global)?;
    let keeper = arguments.file.keeper(&settings);
    if arguments.all {
        keeper.erase_all()?;
        return print("Removed login credentials for all registries");
    }
    let name = match &arguments.registry {
        Some(name) => parse_name(name)?,
        None => default_registry(&settings),
    };
    if !keeper.erase(&name)?.is_empty() {
        return print(&format!("Removed login credentials for {name}"));
    }
    let access = Access { authfile: arguments.file.named(), ..Access::default() };
    let failure = Failure::new(format!("not logged in to {name}"));
    // What is found all the same is another program's, or a namespace's.
    Err(match settings.lookup(&access).find(&name)? {
        Some(_) => failure.hint(
            "credentials for it are in another file: name it by --authfile or --compat-auth-file",
        ),
        None => failure,
    })
}
