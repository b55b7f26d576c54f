//! What files, the environment and options say, read into what the libraries want.

mod access;
mod args;
mod containers_conf;
mod open;
mod places;
mod podman;

pub(crate) use access::{Access, http2, system_authorities};
pub(crate) use args::{Global, PlatformArgs, RegistryArgs, parse_seconds};
pub(crate) use containers_conf::{Conf, Key};
pub(crate) use open::{ask_registry, connect, open_sink, open_source, registry_source};
pub(crate) use places::{DestinationArgs, PlaceArgs, RetryArgs, SourceArgs};

use crate::called::Called;
use crate::caller::Caller;
use crate::failure::{Failure, Result};
use images::Gate;
use std::path::PathBuf;
use std::sync::OnceLock;
use store::Store;
use transport::policy::{Policy, Scopes};
use transport::registries::{Files, Registries};
use transport::{auth, lookaside};

const SYSTEM: &str = "/etc/containers";
/// Where authorities of the system are on the distributions that there are.
const AUTHORITIES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The surroundings of one command.
pub(crate) struct Settings<'g> {
    pub(crate) global: &'g Global,
    pub(crate) caller: Caller,
    pub(crate) registries: Registries,
    /// `containers.conf`, for whoever asks.
    conf: OnceLock<Conf>,
}

impl<'g> Settings<'g> {
    /// Reads the configuration of registries.
    pub(crate) fn load(global: &'g Global) -> Result<Self> {
        let caller = Caller::new();
        let registries = Registries::load(&registries_files(global, &caller))?;
        let settings = Self { global, caller, registries, conf: OnceLock::new() };
        for warning in settings.registries.warnings() {
            warn(warning);
        }
        Ok(settings)
    }

    /// The same without the configuration of registries: for whatever is in the store.
    pub(crate) fn local(global: &'g Global) -> Self {
        Self {
            global,
            caller: Caller::new(),
            registries: Registries::default(),
            conf: OnceLock::new(),
        }
    }

    /// What `containers.conf` says, which most verbs do not ask for.
    pub(crate) fn conf(&self) -> Result<&Conf> {
        match self.conf.get() {
            Some(conf) => Ok(conf),
            None => {
                let conf = load_conf(self.global, &self.caller)?;
                Ok(self.conf.get_or_init(|| conf))
            }
        }
    }

    /// Opens the store: to write to it, or only to look at it.
    pub(crate) fn store(&self, read_only: bool) -> Result<Store> {
        open_store(self.global, &self.caller, read_only)
    }

    /// What is asked whether an image may be used.
    pub(crate) fn gate(&self) -> Result<Box<dyn Gate>> {
        if self.global.insecure_policy {
            return Ok(Box::new(AcceptAll));
        }
        let files = match &self.global.policy {
            Some(named) => vec![named.clone()],
            None => {
                let own = self.caller.config_home().map(|dir| dir.join("containers/policy.json"));
                own.into_iter().chain([PathBuf::from(SYSTEM).join("policy.json")]).collect()
            }
        };
        // A machine without a policy accepts what its user names, as docker does.
        if self.global.policy.is_none() && !files.iter().any(|file| file.exists()) {
            return match self.global.require_signed {
                false => Ok(Box::new(AcceptAll)),
                true => Err(Failure::new("--require-signed: there is no policy that requires any")
                    .hint("write one to /etc/containers/policy.json, or name it by --policy")),
            };
        }
        Ok(Box::new(Policy::load(&files)?))
    }

    /// Where signatures lie beside registries.
    pub(crate) fn lookaside(&self) -> Result<lookaside::Lookaside> {
        let own = self.caller.config_home().map(|dir| dir.join("containers/registries.d"));
        let directory = match (&self.global.registries_d, own) {
            (Some(named), _) => named.clone(),
            (None, Some(own)) if own.is_dir() => own,
            _ => PathBuf::from(SYSTEM).join("registries.d"),
        };
        Ok(lookaside::Lookaside::load(&directory)?)
    }

    /// Where files with credentials are, with one that an option names.
    pub(crate) fn auth_places(&self, named: Option<&PathBuf>) -> auth::Places {
        let variable = |name: &str| {
            std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
        };
        auth::Places {
            named: named.cloned().or_else(|| variable("REGISTRY_AUTH_FILE")),
            runtime_dir: self.caller.runtime_dir.clone(),
            config_home: self.caller.config.clone(),
            docker_config: self.global.config.clone().or_else(|| variable("DOCKER_CONFIG")),
            home: self.caller.home.clone().unwrap_or_else(|| "/".into()),
            uid: self.caller.uid,
        }
    }

    /// Records that something happened to an image of the store: with the name that was used for it, if it had one.
    pub(crate) fn tell_image(&self, action: &str, id: &str, name: &str) {
        let (root, _) = store_paths(self.global, &self.caller);
        let name = if name.is_empty() { id } else { name };
        engine::events::note(&root, "image", action, id, &[("name", name)]);
    }

    /// Directories with the certificates of registries, the user's first.
    pub(crate) fn certificate_dirs(&self) -> Vec<PathBuf> {
        let own = self.caller.config_home().map(|dir| dir.join("containers/certs.d"));
        let system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
        own.into_iter().chain(system).collect()
    }

    /// The machine that images are for, unless an option says otherwise.
    pub(crate) fn wanted(&self) -> oci::image::Wanted {
        let global = self.global;
        let own = |option: &Option<String>, default: &str| {
            option.clone().unwrap_or_else(|| default.to_owned())
        };
        let architecture = own(&global.override_arch, architecture());
        let variant = match (&global.override_variant, &global.override_arch) {
            (Some(variant), _) => variant.clone(),
            (None, None) => own_variant().to_owned(),
            (None, Some(_)) => String::new(),
        };
        oci::image::Wanted {
            architecture,
            variant,
            os: own(&global.override_os, "linux"),
            ..oci::image::Wanted::default()
        }
    }

    /// [`Settings::temporary_dir`] for those who may need it.
    pub(crate) fn open_temporary(&self) -> images::Result<PathBuf> {
        self.temporary_dir()
            .map_err(|failure| images::Error::new(images::Kind::Os, failure.message()))
    }

    /// Where files go that are gone when the command ends: beside the store, never to a small `/tmp`.
    pub(crate) fn temporary_dir(&self) -> Result<PathBuf> {
        let dir = match &self.global.tmpdir {
            Some(named) => named.clone(),
            None => {
                // A directory that is none of a store's would be in the way of one.
                drop(self.store(false)?);
                store_paths(self.global, &self.caller).0.join("staging")
            }
        };
        let made = std::fs::create_dir_all(&dir);
        made.map_err(|error| Failure::new(format!("making {}: {error}", dir.display())))?;
        Ok(dir)
    }
}

/// Reads `containers.conf`.
pub(crate) fn load_conf(global: &Global, caller: &Caller) -> Result<Conf> {
    let conf = Conf::load(&containers_conf::Places::of(caller, &global.module)?)?;
    if global.debug {
        conf.notes().iter().for_each(|note| access::debug(note));
    }
    Ok(conf)
}

/// Sees that the modules are there that options name.
pub(crate) fn check_modules(modules: &[PathBuf]) -> Result<()> {
    let caller = Caller::new();
    modules.iter().try_for_each(|name| containers_conf::module(&caller, name).map(drop))
}

/// Opens the store that the options name.
pub(crate) fn open_store(global: &Global, caller: &Caller, read_only: bool) -> Result<Store> {
    let (root, runroot) = store_paths(global, caller);
    let options = store::Options { read_only, ..store::Options::default() };
    // One that nobody has made yet is empty: looking at it makes it.
    let options = match read_only && !root.join("store.json").exists() {
        true => store::Options { read_only: false, ..options },
        false => options,
    };
    Ok(Store::open(&root, &runroot, &options)?)
}

/// The store that the options name, and where its mounts are recorded.
pub(crate) fn store_paths(global: &Global, caller: &Caller) -> (PathBuf, PathBuf) {
    let said = |option: &Option<PathBuf>, name: &str| {
        let variable = || std::env::var_os(name).filter(|value| !value.is_empty());
        option.clone().or_else(|| variable().map(PathBuf::from))
    };
    let root = said(&global.root, "TARE_ROOT").unwrap_or_else(|| caller.data_root());
    let runroot =
        said(&global.runroot, "TARE_RUNROOT").unwrap_or_else(|| caller.state_root().join("store"));
    (root, runroot)
}

/// Tells something that does not stop the command.
pub(crate) fn warn(text: &str) {
    use std::io::Write;
    // With standard error closed there is nobody to tell.
    let line = match Called::is_podman() {
        true => format!(
            "time=\"{}\" level=warning msg={text:?}\n",
            images::rfc3339(crate::image::now())
        ),
        false => format!("tare: warning: {text}\n"),
    };
    let _ = std::io::stderr().write_all(line.as_bytes());
}

struct AcceptAll;

impl Gate for AcceptAll {
    fn check(&self, _scopes: &Scopes, _manifest: &oci::image::Document) -> images::Result<()> {
        Ok(())
    }
}

/// The files that say where registries are.
fn registries_files(global: &Global, caller: &Caller) -> Files {
    let variable = ["CONTAINERS_REGISTRIES_CONF", "REGISTRIES_CONFIG_PATH"]
        .iter()
        .find_map(|name| std::env::var_os(name).filter(|value| !value.is_empty()));
    let own = caller.config_home().map(|dir| dir.join("containers"));
    let named = global.registries_conf.clone().or(variable.map(PathBuf::from));
    let own_main = own.as_ref().map(|dir| dir.join("registries.conf")).filter(|it| it.exists());
    let own_drop_ins = own.as_ref().map(|dir| dir.join("registries.conf.d"));
    let chosen_aliases =
        caller.home.as_ref().map(|home| home.join(".cache/containers/short-name-aliases.conf"));
    Files {
        must_exist: named.is_some(),
        drop_ins: match &named {
            Some(_) => Vec::new(),
            None => {
                let system = PathBuf::from(SYSTEM).join("registries.conf.d");
                [system].into_iter().chain(own_drop_ins).collect()
            }
        },
        main: named.or(own_main).unwrap_or_else(|| PathBuf::from(SYSTEM).join("registries.conf")),
        chosen_aliases,
    }
}

/// Go's name of this machine's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        other => other,
    }
}

fn own_variant() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "v8",
        "arm" => "v7",
        _ => "",
    }
}
