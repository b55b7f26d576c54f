//! Platforms, and the choice of one manifest among many.

use super::descriptor::Descriptor;
use super::manifest::Index;
use crate::document;
use alloc::string::String;
use alloc::vec::Vec;

document! {
    /// What a manifest's programs run on, in Go's words.
    Platform {
        architecture: String => required,
        os: String => required,
        os_version as "os.version": String,
        os_features as "os.features": Vec<String>,
        variant: String,
        /// Features of the processor: docker's lists have it, OCI keeps the name.
        features: Vec<String>,
    }
}

/// What an image is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `amd64`, `arm64`, ...
    pub architecture: String,
    /// `linux`.
    pub os: String,
    /// `v7`; empty when it is not known.
    pub variant: String,
    /// Empty when any will do.
    pub os_version: String,
    /// Of two equal manifests take that with gzip layers, for old programs behind.
    pub prefer_gzip: bool,
}

/// Variants from the most to the least demanding. A processor of one runs all that follow it.
const COMPATIBLE: [(&str, &[&str]); 2] = [("arm", &["v8", "v7", "v6", "v5"]), ("arm64", &["v8"])];
/// Variants that every processor of an architecture has.
const BASE: [(&str, &str); 1] = [("arm64", "v8")];
/// Set by whoever pushed a manifest whose layers are compressed with zstd.
const ZSTD_ANNOTATION: &str = "io.github.containers.compression.zstd";

impl Wanted {
    /// Variants that will do, the best first.
    fn variants(&self) -> Vec<&str> {
        let mut variants = Vec::new();
        if self.variant.is_empty() {
            variants.push("");
            let base = BASE.iter().find(|(architecture, _)| *architecture == self.architecture);
            variants.extend(base.map(|(_, variant)| *variant));
            return variants;
        }
        let order = COMPATIBLE
            .iter()
            .find(|(architecture, _)| *architecture == self.architecture)
            .and_then(|(_, order)| {
                order.iter().position(|known| *known == self.variant).map(|at| &order[at..])
            });
        match order {
            Some(order) => variants.extend(order),
            None => variants.push(&self.variant),
        }
        variants.push("");
        variants
    }

    /// How well a platform fits: the smaller the better, `None` not at all.
    fn rank(&self, platform: &Platform) -> Option<usize> {
        if platform.architecture != self.architecture || platform.os != self.os {
            return None;
        }
        let other_version = !self.os_version.is_empty()
            && !platform.os_version.is_empty()
            && platform.os_version != self.os_version;
        if other_version {
            return None;
        }
        self.variants().iter().position(|variant| *variant == platform.variant)
    }
}

impl Index {
    /// The manifest for a platform. One without a platform is taken when no other fits, and of equal
    /// ones that with zstd layers, then the first: the order of containers/image.
    pub fn choose(&self, wanted: &Wanted) -> Option<&Descriptor> {
        let rank = |descriptor: &Descriptor| match &descriptor.platform {
            Some(platform) => wanted.rank(platform),
            None => Some(usize::MAX),
        };
        let candidates = self.manifests.iter().enumerate().filter_map(|(position, descriptor)| {
            let zstd = descriptor.annotations.get(ZSTD_ANNOTATION).is_some_and(|it| it == "true");
            let second_choice = zstd == wanted.prefer_gzip;
            Some(((rank(descriptor)?, second_choice, position), descriptor))
        });
        candidates.min_by_key(|(order, _)| *order).map(|(_, descriptor)| descriptor)
    }
}
