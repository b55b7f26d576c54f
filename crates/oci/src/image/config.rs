//! The configuration of an image: what its programs start with.

use super::manifest::Manifest;
use super::read_json;
use crate::digest::AnyDigest;
use crate::document;
use crate::error::{Error, ErrorKind, shown};
use crate::json::{Failed, FromJson, Raw, Reader, ToJson, Writer};
use crate::map::Map;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Largest configuration: that of manifests. Ordinary ones have some kilobytes.
pub const CONFIG_LIMIT_BYTES: usize = super::document::SIZE_LIMIT_BYTES;

document! {
    /// An image's configuration, with docker's additions that somebody reads.
    ImageConfig {
        created: String,
        author: String,
        architecture: String => always,
        variant: String,
        os: String => always,
        os_version as "os.version": String,
        os_features as "os.features": Vec<String>,
        config: Option<ContainerConfig>,
        rootfs: RootFs => required,
        history: Vec<History>,
    }

    /// What containers of the image have unless they are told otherwise.
    ContainerConfig {
        user as "User": String,
        exposed_ports as "ExposedPorts": Map<Raw>,
        env as "Env": Vec<String>,
        entrypoint as "Entrypoint": Words,
        cmd as "Cmd": Words,
        volumes as "Volumes": Map<Raw>,
        working_dir as "WorkingDir": String,
        labels as "Labels": Map,
        stop_signal as "StopSignal": String,
        /// In seconds.
        stop_timeout as "StopTimeout": Option<i64>,
        on_build as "OnBuild": Vec<String>,
        shell as "Shell": Words,
        healthcheck as "Healthcheck": Option<Healthcheck>,
        hostname as "Hostname": String,
        domainname as "Domainname": String,
    }

    /// How a container's health is found out. Times are in nanoseconds; 0 takes what is inherited.
    Healthcheck {
        test as "Test": Vec<String>,
        interval as "Interval": i64,
        timeout as "Timeout": i64,
        start_period as "StartPeriod": i64,
        start_interval as "StartInterval": i64,
        retries as "Retries": i64,
    }

    /// The layers as they are unpacked.
    RootFs(snake) {
        kind as "type": String => always,
        /// The lowest first.
        diff_ids: Vec<AnyDigest> => always,
    }

    /// One step that made the image.
    History(snake) {
        created: String,
        created_by: String,
        author: String,
        comment: String,
        empty_layer: bool,
    }
}

impl ImageConfig {
    /// Reads a configuration, as leniently as programs that run images do.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > CONFIG_LIMIT_BYTES {
            return Err(Error::new(
                ErrorKind::TooLarge,
                &["the configuration is larger than 4 MiB"],
            ));
        }
        read_json(bytes)
    }

    /// Checks what the specification demands beyond what running an image needs.
    pub fn check(&self) -> Result<(), Error> {
        if self.rootfs.kind != "layers" {
            let kind = shown(&self.rootfs.kind);
            return Err(Error::invalid(&["rootfs.type: `", &kind, "`, expected `layers`"]));
        }
        let env = self.config.iter().flat_map(|config| &config.env);
        for entry in env {
            if entry.split_once('=').is_none_or(|(name, _)| name.is_empty()) {
                let parts = ["config.Env: `", &shown(entry), "` has no name and value"];
                return Err(Error::invalid(&parts));
            }
        }
        Ok(())
    }

    /// Checks that the configuration and a manifest tell of as many layers.
    pub fn check_layers(&self, manifest: &Manifest) -> Result<(), Error> {
        let (ids, layers) = (self.rootfs.diff_ids.len(), manifest.layers.len());
        if ids == layers {
            return Ok(());
        }
        let (ids, layers) = (ids.to_string(), layers.to_string());
        Err(Error::invalid(&["rootfs.diff_ids: ", &ids, " of them, but ", &layers, " layers"]))
    }
}

/// A command's words. Early versions of docker wrote a single one without a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

impl FromJson for Words {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Failed> {
        if reader.peek() != b'"' {
            return self.0.read(reader);
        }
        let mut word = String::new();
        word.read(reader)?;
        self.0 = Vec::from([word]);
        Ok(())
    }

    fn reset(&mut self) {
        self.0.clear();
    }
}

impl ToJson for Words {
    fn write(&self, writer: &mut Writer) {
        self.0.write(writer);
    }

    fn is_absent(&self) -> bool {
        self.0.is_empty()
    }
}
