//! Verbs about registries of others.

pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod search;

use crate::failure::{Failure, Result};
use crate::settings::{Access, Settings};
use clap::Args;
use std::path::PathBuf;
use transport::auth::{Form, Keeper};
use transport::registry::Host;

/// Which file has credentials.
#[derive(Debug, Args)]
pub(crate) struct FileArgs {
    /// File with credentials
    #[arg(long, value_name = "FILE", conflicts_with = "compat_auth_file")]
    authfile: Option<PathBuf>,
    /// The same in docker's form, such as ~/.docker/config.json
    #[arg(long, value_name = "FILE")]
    compat_auth_file: Option<PathBuf>,
}

impl FileArgs {
    /// The file, also for looking.
    fn named(&self) -> Option<PathBuf> {
        self.compat_auth_file.clone().or_else(|| self.authfile.clone())
    }

    fn keeper(&self, settings: &Settings<'_>) -> Keeper {
        let lookup = settings.lookup(&Access::default());
        // Whoever names docker's directory means docker's file.
        let named = settings.global.config.as_ref().filter(|_| self.authfile.is_none());
        let dockers = named.map(|dir| dir.join("config.json"));
        let (file, form) = match self.compat_auth_file.clone().or(dockers) {
            Some(file) => (file, Form::Docker),
            None => (settings.auth_places(self.authfile.as_ref()).primary(), Form::Containers),
        };
        Keeper { file, form, helpers: lookup.helpers, search_path: lookup.search_path }
    }
}

/// The registry that is meant when none is named: the first that short names are looked for in.
fn default_registry(settings: &Settings<'_>) -> String {
    settings.registries.search().first().map_or("docker.io", String::as_str).to_owned()
}

/// Reaches a registry, which may be written with a namespace.
fn connect(settings: &Settings<'_>, name: &str, access: &Access) -> Result<Host> {
    let domain = name.split('/').next().unwrap_or(name);
    let reference = oci::Reference::parse(&format!("{name}/x"))?;
    if reference.domain() != domain {
        return Err(Failure::new(format!("`{domain}` is no registry in the name of an image"))
            .hint("a registry has a dot or a port in its name, or is localhost"));
    }
    let place = settings.registries.push_target(&reference)?;
    Ok(Host::connect(domain, settings.registry_options(&place, access)?)?)
}
