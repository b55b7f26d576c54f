//! Which images of an index are meant.

use crate::error::{Error, Kind, Result};
use oci::image::{Descriptor, Index, Wanted};
use std::collections::BTreeSet;

/// Which images of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instances {
    /// The one for a platform.
    One(Wanted),
    /// All.
    All,
    /// None: the index alone.
    IndexOnly,
}

impl Instances {
    /// Chooses from an index.
    pub fn choose<'i>(&self, index: &'i Index) -> Result<Vec<&'i Descriptor>> {
        match self {
            Self::All => Ok(index.manifests.iter().collect()),
            Self::IndexOnly => Ok(Vec::new()),
            Self::One(wanted) => {
                let found = index.choose(wanted);
                found.map(|found| vec![found]).ok_or_else(|| {
                    let variant = match wanted.variant.is_empty() {
                        true => String::new(),
                        false => format!("/{}", wanted.variant),
                    };
                    let text = format!(
                        "there is no image for {}/{}{variant}",
                        wanted.os, wanted.architecture
                    );
                    let platforms = index.manifests.iter().filter_map(|it| it.platform.as_ref());
                    let there: BTreeSet<String> = platforms
                        .map(|it| format!("{}/{}", it.os, it.architecture))
                        .filter(|it| it != "unknown/unknown")
                        .collect();
                    let there: Vec<String> = there.into_iter().collect();
                    let hint = match there.is_empty() {
                        true => "the index says of none for which platform it is".to_owned(),
                        false => format!("there are {}: choose by --platform", there.join(", ")),
                    };
                    Error::new(Kind::NotFound, text).with_hint(hint)
                })
            }
        }
    }
}
