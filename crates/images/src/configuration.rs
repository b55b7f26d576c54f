//! The configuration of an image that is being made.
//!
//! Other programs have members in it that nobody here knows: they stay as they are. What is written has
//! its members sorted, so that the same configuration is the same bytes.

use crate::error::{Error, Kind, Result};
use oci::image::{CONFIG_LIMIT_BYTES, ContainerConfig, History, ImageConfig, Platform, RootFs};
use oci::json::{self, FromJson, Raw, ToJson};
use oci::{AnyDigest, Digest, Map};

/// A configuration as members that are not all understood.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Configuration {
    members: Map<Raw>,
    /// The member `config`.
    container: Map<Raw>,
}

/// The member with what containers have.
const CONTAINER: &str = "config";

impl Configuration {
    /// That of an image without anything.
    pub fn new(platform: &Platform) -> Self {
        let mut new = Self::default();
        new.set_platform(platform);
        // What was written can be read.
        let _ = new.set_layers(&[]);
        new
    }

    /// Reads one.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        // What is refused elsewhere is refused here, too.
        ImageConfig::read(bytes)?;
        let invalid = |text: String| Error::new(Kind::Invalid, format!("configuration: {text}"));
        let mut members: Map<Raw> = json::read(bytes).map_err(invalid)?;
        let container = match members.get(CONTAINER) {
            Some(raw) if raw.as_str() != "null" => {
                json::read(raw.as_str().as_bytes()).map_err(invalid)?
            }
            _ => Map::default(),
        };
        members.retain(|key, value| key != CONTAINER && value.as_str() != "null");
        Ok(Self { members, container })
    }

    /// The bytes.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let mut members = self.members.clone();
        if !self.container.is_empty() {
            members.insert(CONTAINER.into(), raw(&self.container)?);
        }
        let bytes = json::write(&members).into_bytes();
        match bytes.len() > CONFIG_LIMIT_BYTES {
            true => Err(Error::new(Kind::Invalid, "the configuration is larger than 4 MiB")),
            false => Ok(bytes),
        }
    }

    /// What is understood of it.
    pub fn view(&self) -> Result<ImageConfig> {
        Ok(ImageConfig::read(&self.bytes()?)?)
    }

    /// What containers have unless they are told otherwise.
    pub fn container(&self) -> Result<ContainerConfig> {
        let read = json::read(json::write(&self.container).as_bytes());
        read.map_err(|text| Error::new(Kind::Invalid, format!("configuration: {text}")))
    }

    /// A member of `config`, or what its absence means.
    pub(crate) fn container_member<T: FromJson + Default>(&self, name: &str) -> Result<T> {
        member(&self.container, name)
    }

    /// Sets a member of `config`; an absent value takes it away.
    pub(crate) fn set_container_member(&mut self, name: &str, value: &dyn ToJson) -> Result<()> {
        set(&mut self.container, name, value)
    }

    /// Sets a member of the whole; an absent value takes it away.
    pub(crate) fn set_member(&mut self, name: &str, value: &dyn ToJson) -> Result<()> {
        set(&mut self.members, name, value)
    }

    /// The platform.
    pub fn platform(&self) -> Result<Platform> {
        let view = self.view()?;
        Ok(Platform {
            architecture: view.architecture,
            os: view.os,
            os_version: view.os_version,
            os_features: view.os_features,
            variant: view.variant,
            features: Vec::new(),
        })
    }

    /// Sets the platform.
    pub fn set_platform(&mut self, platform: &Platform) {
        let Platform { architecture, os, os_version, os_features, variant, .. } = platform;
        let fields: [(&str, &dyn ToJson); 5] = [
            ("architecture", architecture),
            ("os", os),
            ("os.version", os_version),
            ("os.features", os_features),
            ("variant", variant),
        ];
        for (name, value) in fields {
            // Strings can be read that were written.
            let _ = self.set_member(name, value);
        }
    }

    /// The steps that made the image, each as it stands there.
    pub(crate) fn history(&self) -> Result<Vec<Raw>> {
        member(&self.members, "history")
    }

    /// Sets the steps.
    pub(crate) fn set_history(&mut self, steps: &[Raw]) -> Result<()> {
        self.set_member("history", &steps)
    }

    /// Adds a step.
    pub fn add_history(&mut self, step: &History) -> Result<()> {
        let mut steps = self.history()?;
        steps.push(raw(step)?);
        self.set_history(&steps)
    }

    /// Sets the layers.
    pub(crate) fn set_layers(&mut self, diff_ids: &[Digest]) -> Result<()> {
        let diff_ids = diff_ids.iter().copied().map(AnyDigest::from).collect();
        self.set_member("rootfs", &RootFs { kind: "layers".into(), diff_ids })
    }
}

fn raw(value: &dyn ToJson) -> Result<Raw> {
    let read = json::read(json::write(value).as_bytes());
    read.map_err(|text| Error::new(Kind::Invalid, format!("configuration: {text}")))
}

fn member<T: FromJson + Default>(members: &Map<Raw>, name: &str) -> Result<T> {
    let Some(raw) = members.get(name) else { return Ok(T::default()) };
    if raw.as_str() == "null" {
        return Ok(T::default());
    }
    let read = json::read(raw.as_str().as_bytes());
    read.map_err(|text| Error::new(Kind::Invalid, format!("configuration: {name}: {text}")))
}

fn set(members: &mut Map<Raw>, name: &str, value: &dyn ToJson) -> Result<()> {
    match value.is_absent() {
        true => members.retain(|key, _| key != name),
        false => members.insert(name.into(), raw(value)?),
    }
    Ok(())
}

/// Whether a step made no layer.
pub(crate) fn is_empty_layer(step: &Raw) -> bool {
    json::read::<History>(step.as_str().as_bytes()).is_ok_and(|step| step.empty_layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"os":"linux","architecture":"arm64","moby.x":{"b":[1,2],"a":null},
        "config":{"Env":["A=b"],"ArgsEscaped":true,"Cmd":null},"rootfs":{"type":"layers","diff_ids":[]},
        "history":[{"created":"x","private":7},{"empty_layer":true}]}"#;

    #[test]
    fn what_nobody_knows_stays() {
        let mut configuration = Configuration::read(TEXT.as_bytes()).unwrap();
        configuration.set_container_member("Env", &vec!["A=c".to_owned()]).unwrap();
        configuration.set_container_member("User", &String::new()).unwrap();
        configuration.add_history(&History { comment: "c".into(), ..History::default() }).unwrap();
        let text = String::from_utf8(configuration.bytes().unwrap()).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"architecture":"arm64","config":{"ArgsEscaped":true,"Cmd":null,"Env":["A=c"]},"#,
                r#""history":[{"created":"x","private":7},{"empty_layer":true},{"comment":"c"}],"#,
                r#""moby.x":{"b":[1,2],"a":null},"os":"linux","#,
                r#""rootfs":{"type":"layers","diff_ids":[]}}"#
            )
        );
        assert_eq!(Configuration::read(text.as_bytes()).unwrap(), configuration);
        let steps = configuration.history().unwrap();
        assert_eq!(steps.iter().map(is_empty_layer).collect::<Vec<_>>(), [false, true, false]);
        let platform = configuration.platform().unwrap();
        assert_eq!((platform.os.as_str(), platform.architecture.as_str()), ("linux", "arm64"));
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["", "[]", "{}", r#"{"rootfs":7}"#] {
            assert_eq!(Configuration::read(text.as_bytes()).unwrap_err().kind(), Kind::Invalid);
        }
    }
}
