//! Which images are accepted: `policy.json` (containers-policy.json(5)).
//!
//! The requirements of the most special scope that is configured for an image have to be met, all of
//! them. Signatures cannot be checked yet: a requirement of one refuses every image, and says why.

mod read;
mod scope;

#[cfg(test)]
mod tests;

pub use read::{Identity, KeyType, Keys, Requirement};
pub use scope::Scopes;

use crate::error::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    default: Vec<Requirement>,
    transports: BTreeMap<String, BTreeMap<String, Vec<Requirement>>>,
    /// Where it comes from, for messages.
    origin: PathBuf,
}

impl Policy {
    /// Reads the first of some files that is there: the user's, then the system's.
    pub fn load(files: &[PathBuf]) -> Result<Self> {
        for path in files {
            if let Some(bytes) = crate::file::read(path)? {
                return Self::read(path, &bytes);
            }
        }
        let names: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
        let text = format!("there is no policy: neither of {} is there", names.join(", "));
        let hint = "one that accepts everything is {\"default\": [{\"type\": \
                    \"insecureAcceptAnything\"}]}";
        Err(Error::new(ErrorKind::NotFound, text).with_hint(hint))
    }

    /// Reads the text of a file. Whatever is not known, or there twice, makes it invalid: a typing error
    /// must not be a hole.
    pub fn read(path: &Path, text: &[u8]) -> Result<Self> {
        let policy = read::read(text).map_err(|error| Error::in_file(path, error))?;
        Ok(Self { default: policy.default, transports: policy.transports, origin: path.to_owned() })
    }

    /// What is required of an image, and the scope that says so.
    pub fn requirements(&self, scopes: &Scopes) -> (&[Requirement], String) {
        let transport = scopes.transport();
        if let Some(configured) = self.transports.get(transport) {
            for scope in scopes.names() {
                if let Some(requirements) = configured.get(scope) {
                    return (requirements, format!("{transport}:{scope}"));
                }
            }
        }
        (&self.default, "default".into())
    }

    /// Accepts an image or refuses it. It is asked before anything of the image is used.
    pub fn check(&self, scopes: &Scopes) -> Result<()> {
        let (requirements, scope) = self.requirements(scopes);
        let image = scopes.image();
        let refuse = |why: &str| {
            let origin = self.origin.display();
            let text = format!("{image} is refused by {origin}, scope {scope}: {why}");
            Err(Error::new(ErrorKind::Denied, text))
        };
        for requirement in requirements {
            match requirement {
                Requirement::AcceptAnything => {}
                Requirement::Reject => return refuse("it rejects every image"),
                signed => {
                    let what = signed.name();
                    let why = format!("it requires {what}, and signatures cannot be checked yet");
                    return refuse(&why);
                }
            }
        }
        // The reader refuses an empty list; it would accept everything.
        if requirements.is_empty() { refuse("it has no requirements") } else { Ok(()) }
    }
}
