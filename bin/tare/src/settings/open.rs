//! From a place to a source or sink.

use super::{Access, Settings};
use crate::failure::{Failure, Result};
use oci::image::media_type::Format;
use std::path::{Path, PathBuf};
use transport::containers_storage::{self, Configuration, Storage};
use transport::daemon::{self, DaemonSink, DaemonSource};
use transport::directory::{DirectorySink, DirectorySource};
use transport::docker_archive::{Archive, ArchiveSink};
use transport::import::{self, ImportSource};
use transport::layout::{LayoutArchive, LayoutArchiveSink, LayoutSink, LayoutSource};
use transport::place::{Place, StorageImage};
use transport::registry::{Registry, RegistrySink, RegistrySource};
use transport::{Sink, Source};

/// Opens an image to read it. The store's own are opened by the caller, who has the store.
pub(crate) fn open_source(
    settings: &Settings<'_>,
    place: &Place,
    access: &Access,
) -> Result<Box<dyn Source>> {
    Ok(match place {
        Place::Registry(image) => {
            let beside = settings.beside(&image.name, access)?;
            Box::new(registry_source(settings, &image.name, access)?.with_beside(beside))
        }
        Place::Layout(place) => {
            Box::new(LayoutSource::open(place, access.shared_blobs.as_deref())?)
        }
        Place::Directory(directory) => Box::new(DirectorySource::open(directory)?),
        Place::LayoutArchive(place) => {
            let archive = LayoutArchive::open(&place.directory, &settings.temporary_dir()?)?;
            Box::new(archive.source(&place.select)?)
        }
        Place::DockerArchive(place) => {
            let archive = Archive::open(&place.path, &settings.temporary_dir()?)?;
            Box::new(archive.source(&place.select)?)
        }
        Place::Daemon(image) => {
            Box::new(DaemonSource::open(&daemon_options(settings, access)?, image)?)
        }
        Place::Storage(image) => {
            Box::new(Storage::open(&storage_options(settings, image)?)?.source(image)?)
        }
        Place::Tar(path) => Box::new(import_tar(settings, path)?),
        Place::Rootfs(directory) => {
            Box::new(ImportSource::open_tree(directory, &import_options(settings)?)?)
        }
        other => return Err(unsupported(other, "read from")),
    })
}

/// An archive with a root file system, or standard input.
fn import_tar(settings: &Settings<'_>, path: &Path) -> Result<ImportSource> {
    let options = import_options(settings)?;
    Ok(match path == Path::new("-") {
        true => ImportSource::read_tar(&mut std::io::stdin().lock(), path, &options)?,
        false => ImportSource::open_tar(path, &options)?,
    })
}

/// What a root file system without a configuration becomes: an image of this machine's kind.
fn import_options(settings: &Settings<'_>) -> Result<import::Options> {
    let wanted = settings.wanted();
    let config = oci::image::ImageConfig {
        architecture: wanted.architecture,
        os: wanted.os,
        variant: wanted.variant,
        ..oci::image::ImageConfig::default()
    };
    let latest_seconds = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok());
    let temporary = settings.temporary_dir()?;
    Ok(import::Options { config, format: Format::Oci, latest_seconds, temporary })
}

/// Where dockerd is: as an option says, as docker's variables do, or where it usually is.
fn daemon_options(settings: &Settings<'_>, access: &Access) -> Result<daemon::Options> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut options = daemon::Options::new(&settings.temporary_dir()?);
    let verify = variable("DOCKER_TLS_VERIFY").is_some();
    let from_environment = || {
        let host = variable("DOCKER_HOST")?;
        // docker speaks TLS there only when it is told to.
        Some(match host.strip_prefix("tcp://") {
            Some(rest) if !verify => format!("http://{rest}"),
            _ => host,
        })
    };
    if let Some(host) = access.daemon_host.clone().or_else(from_environment) {
        options.host = host;
    }
    options.certificates =
        access.cert_dir.clone().or_else(|| variable("DOCKER_CERT_PATH").map(PathBuf::from));
    options.insecure = access.tls_verify == Some(false);
    options.system_authorities = super::access::system_authorities();
    Ok(options)
}

/// The store of podman that is meant: as written, or as `storage.conf` says.
fn storage_options(
    settings: &Settings<'_>,
    image: &StorageImage,
) -> Result<containers_storage::Options> {
    if let Some(place) = &image.store {
        return Ok(containers_storage::Options::of(place));
    }
    let caller = &settings.caller;
    let home = caller.home.clone().unwrap_or_else(|| "/".into());
    let own = caller.config_home().map(|dir| dir.join("containers/storage.conf"));
    let named = std::env::var_os("CONTAINERS_STORAGE_CONF").map(PathBuf::from);
    let system = ["/etc/containers/storage.conf", "/usr/share/containers/storage.conf"];
    let files = named.into_iter().chain(own).chain(system.map(PathBuf::from));
    let mut found = None;
    for file in files {
        found = Configuration::read(&file)?;
        if found.is_some() {
            break;
        }
    }
    let user = std::env::var("USER").unwrap_or_default();
    let is_root = caller.uid == 0;
    let otherwise = match is_root {
        true => PathBuf::from("/var/lib/containers/storage"),
        false => caller
            .data
            .clone()
            .unwrap_or_else(|| home.join(".local/share"))
            .join("containers/storage"),
    };
    let user = (!is_root).then_some((&*home, caller.uid, &*user));
    Ok(found.unwrap_or_default().options(user, &otherwise))
}

/// An image of a registry, from the first of its places that has it.
pub(crate) fn registry_source(
    settings: &Settings<'_>,
    name: &oci::Reference,
    access: &Access,
) -> Result<RegistrySource> {
    let name = name.clone().or_latest();
    let places = settings.registries.pull_sources(&name)?;
    let options = |place: &transport::registries::Source| settings.registry_options(place, access);
    Ok(RegistrySource::open(&name, &places, &options)?)
}

/// Asks the registry of a repository, or the first of its mirrors that knows an answer.
pub(crate) fn ask_registry<T>(
    settings: &Settings<'_>,
    repository: &oci::Reference,
    access: &Access,
    ask: &dyn Fn(&Registry) -> transport::Result<T>,
) -> Result<T> {
    let mut failed: Option<Failure> = None;
    for place in settings.registries.pull_sources(repository)? {
        let options = settings.registry_options(&place, access);
        let answer =
            options.and_then(|options| ask(&Registry::connect(&place.reference, options)?));
        match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => {
                let error = Failure::from(error);
                failed = Some(match failed {
                    Some(first) => error.during(first.message()),
                    None => error,
                });
            }
        }
    }
    Err(failed.unwrap_or_else(|| Failure::new("no registry has it")))
}

/// Reaches the registry of a name to change something there: no mirror.
pub(crate) fn connect(
    settings: &Settings<'_>,
    name: &oci::Reference,
    access: &Access,
) -> Result<Registry> {
    let target = settings.registries.push_target(name)?;
    let options = settings.registry_options(&target, access)?;
    Ok(Registry::connect(&target.reference, options)?)
}

/// Opens a place to write an image to.
pub(crate) fn open_sink(
    settings: &Settings<'_>,
    place: &Place,
    access: &Access,
) -> Result<Box<dyn Sink>> {
    Ok(match place {
        Place::Registry(image) => {
            let name = image.name.clone().or_latest();
            let registry = connect(settings, &name, access)?;
            let beside = settings.beside(&name, access)?;
            Box::new(RegistrySink::new(registry, &name).with_beside(beside))
        }
        Place::Layout(place) => {
            Box::new(LayoutSink::create(place, access.shared_blobs.as_deref())?)
        }
        Place::Directory(directory) => Box::new(DirectorySink::create(directory)?),
        Place::LayoutArchive(place) => {
            Box::new(LayoutArchiveSink::create(place, &settings.temporary_dir()?)?)
        }
        Place::DockerArchive(place) => {
            let names = &access.additional_names;
            Box::new(ArchiveSink::create(place, names, &settings.temporary_dir()?)?)
        }
        Place::Daemon(image) => {
            Box::new(DaemonSink::create(&daemon_options(settings, access)?, image)?)
        }
        other => return Err(unsupported(other, "write to")),
    })
}

fn unsupported(place: &Place, what: &str) -> Failure {
    Failure::new(format!("{place}: nothing can {what} a {}: there", place.transport()))
}
