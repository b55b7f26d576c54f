//! `--filter` of verbs that choose images.

use super::rows::created;
use crate::failure::{Failure, Result};
use crate::labels;
use images::Listed;
use oci::Reference;
use oci::image::ImageConfig;
use oci::reference::pattern_matches;
use template::Time;

/// A point in time, to compare with.
type Instant = (i64, u32);

/// What an image has to be. Filters of one kind are alternatives, but for labels; those of several
/// kinds have to hold together.
#[derive(Debug, Default)]
pub(super) struct Filters {
    dangling: Option<bool>,
    containers: Option<bool>,
    /// None of the store's images is what these are asked for.
    impossible: bool,
    /// What labels have to be there, or not.
    labels: Vec<(String, bool)>,
    references: Vec<String>,
    ids: Vec<String>,
    digests: Vec<String>,
    before: Option<Instant>,
    since: Option<Instant>,
    until: Option<Instant>,
}

/// What filters are read and applied with.
pub(super) struct Surroundings<'s> {
    /// Seconds since 1970.
    pub(super) now: i64,
    /// When the image of a name was made.
    pub(super) created_of: &'s dyn Fn(&str) -> Result<Option<Time>>,
    /// The configuration of an image.
    pub(super) config: &'s dyn Fn(&Listed) -> Option<ImageConfig>,
    /// Whether containers use an image.
    pub(super) is_used: &'s dyn Fn(&Listed) -> bool,
}

impl Filters {
    /// Reads `KEY=VALUE` (`KEY!=VALUE` of labels).
    pub(super) fn read(all: &[String], surroundings: &Surroundings<'_>) -> Result<Self> {
        let mut filters = Self::default();
        for text in all {
            filters
                .add(text, surroundings)
                .map_err(|failure| failure.during(format_args!("--filter {text}")))?;
        }
        Ok(filters)
    }

    fn add(&mut self, text: &str, surroundings: &Surroundings<'_>) -> Result<()> {
        let (key, value) = text.split_once('=').ok_or_else(|| Failure::new("must be KEY=VALUE"))?;
        let time_of = |name: &str| -> Result<Instant> {
            let time = (surroundings.created_of)(name)?;
            time.map(|time| instant(&time)).ok_or_else(|| {
                Failure::new(format!("{name}: the image does not say when it was made"))
            })
        };
        match key {
            "dangling" => self.dangling = Some(truth(value)?),
            "label" => self.labels.push((value.into(), true)),
            "label!" => self.labels.push((value.into(), false)),
            "before" => self.before = Some(time_of(value)?),
            "since" | "after" => self.since = Some(time_of(value)?),
            "until" => self.until = Some((point_in_time(value, surroundings.now)?, 0)),
            "reference" => match pattern_matches(value, "") {
                Some(_) => self.references.push(value.to_owned()),
                None => return Err(Failure::new("the pattern is malformed")),
            },
            "id" => self.ids.push(value.trim_start_matches("sha256:").to_owned()),
            "digest" => self.digests.push(value.to_owned()),
            "containers" => match value {
                "external" => self.impossible = true,
                _ => self.containers = Some(truth(value)?),
            },
            // There are neither images of build steps nor read-only ones, and every image has a manifest.
            "intermediate" | "readonly" | "manifest" => self.impossible |= truth(value)?,
            _ => {
                return Err(Failure::new("there is no such filter").hint(
                    "before, containers, dangling, digest, id, intermediate, label, readonly, \
                     reference, since, until",
                ));
            }
        }
        Ok(())
    }

    /// One more pattern for names.
    pub(super) fn add_reference(&mut self, pattern: &str) {
        self.references.push(pattern.to_owned());
    }

    /// Whether an image is chosen, under any of its names.
    pub(super) fn choose(&self, image: &Listed, surroundings: &Surroundings<'_>) -> bool {
        let is_dangling = image.given_names().next().is_none();
        let made = created(image).map(|time| instant(&time));
        let id = image.facts.id.to_string();
        let hex = id.split_once(':').map_or("", |(_, hex)| hex);
        let any = |all: &[String], holds: &dyn Fn(&str) -> bool| {
            all.is_empty() || all.iter().any(|text| holds(text))
        };
        let in_time = [
            self.before.is_none_or(|time| made.is_some_and(|made| made < time)),
            self.until.is_none_or(|time| made.is_some_and(|made| made < time)),
            self.since.is_none_or(|time| made.is_some_and(|made| made > time)),
        ];
        !self.impossible
            && in_time == [true; 3]
            && self.dangling.is_none_or(|wanted| wanted == is_dangling)
            && any(&self.ids, &|text| hex.starts_with(text))
            && any(&self.digests, &|text| {
                let digests = [image.root.to_string(), image.facts.manifest.to_string()];
                digests.iter().any(|digest| digest == text || digest.ends_with(&format!(":{text}")))
            })
            && (self.references.is_empty()
                || image.given_names().any(|name| self.has_name(&name.reference)))
            && self.containers.is_none_or(|wanted| wanted == (surroundings.is_used)(image))
            && self.has_labels(image, surroundings)
    }

    /// Whether a name is one of those that are looked for.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.references.is_empty()
            || self.references.iter().any(|pattern| matches_name(pattern, name))
    }

    fn has_labels(&self, image: &Listed, surroundings: &Surroundings<'_>) -> bool {
        if self.labels.is_empty() {
            return true;
        }
        let config = (surroundings.config)(image).and_then(|config| config.config);
        let all = config.map(|config| config.labels).unwrap_or_default();
        self.labels.iter().all(|(label, wanted)| labels::has(&all, label) == *wanted)
    }
}

fn instant(time: &Time) -> Instant {
    (time.seconds(), time.nanoseconds())
}

pub(crate) fn truth(text: &str) -> Result<bool> {
    match text {
        "true" | "1" | "t" | "T" | "TRUE" | "True" => Ok(true),
        "false" | "0" | "f" | "F" | "FALSE" | "False" => Ok(false),
        _ => Err(Failure::new("must be true or false")),
    }
}

/// `alpine` and `alpine:3*` match `docker.io/library/alpine:3.19`: by the whole name, docker's short
/// one, or, as with podman, any end of it; with the tag or without.
fn matches_name(pattern: &str, name: &str) -> bool {
    let Ok(reference) = Reference::parse(name) else {
        return pattern_matches(pattern, name) == Some(true);
    };
    if reference.matches(pattern) == Some(true) {
        return true;
    }
    let whole = reference.to_string();
    let bare = reference.name();
    let ends = |text: &str| -> bool {
        let starts = text.match_indices('/').map(|(at, _)| at + 1);
        std::iter::once(0)
            .chain(starts)
            .any(|at| pattern_matches(pattern, &text[at..]) == Some(true))
    };
    ends(&whole) || ends(bare)
}

/// A date, a time, seconds since 1970, or how long before now.
pub(crate) fn point_in_time(text: &str, now: i64) -> Result<i64> {
    let with_zone = |text: &str| Time::parse_rfc3339(text).map(|time| time.seconds());
    let found = match text.len() {
        _ if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        10 => with_zone(&format!("{text}T00:00:00Z")),
        16 => with_zone(&format!("{text}:00Z")),
        19 => with_zone(&format!("{text}Z")),
        _ => with_zone(text),
    };
    let found = found.or_else(|| duration(text).map(|seconds| now - seconds));
    found.ok_or_else(|| {
        Failure::new("is no point in time").hint("such as 2024-01-27T10:00:00Z, 1706351400 or 24h")
    })
}

/// Go's durations, `1h30m`, and docker's days.
fn duration(text: &str) -> Option<i64> {
    const UNITS: [(&str, f64); 5] =
        [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];
    let mut rest = text;
    let mut seconds = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = rest[..end].parse().ok()?;
        let (unit, size) = UNITS.iter().find(|(unit, _)| {
            rest[end..]
                .strip_prefix(unit)
                .is_some_and(|after| !after.starts_with(|c: char| c.is_ascii_alphabetic()))
        })?;
        seconds += number * size;
        rest = &rest[end + unit.len()..];
    }
    // No image is older.
    (seconds < 1e11).then_some(seconds as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_in_full_in_docker_s_form_and_by_their_ends() {
        let check = |pattern: &str, name: &str, expected: bool| {
            assert_eq!(matches_name(pattern, name), expected, "{pattern} {name}");
        };
        let alpine = "docker.io/library/alpine:3.19";
        for pattern in [
            "alpine",
            "alpine:3.19",
            "alpine:3*",
            "alp*",
            "docker.io/library/alpine",
            alpine,
            "library/alpine",
            "*",
            "docker.io/*/alpine:*",
        ] {
            check(pattern, alpine, true);
        }
        for pattern in ["alpine:3.18", "pine", "docker.io", "*/alpine/x", "busybox"] {
            check(pattern, alpine, false);
        }
        check("app", "registry.example.com:5000/team/app:1", true);
        check("team/app:*", "registry.example.com:5000/team/app:1", true);
        check("*/team/app", "registry.example.com:5000/team/app:1", true);
    }

    #[test]
    fn points_in_time_are_read_in_every_form() {
        let check = |text: &str, expected: Option<i64>| {
            assert_eq!(point_in_time(text, 1_000_000).ok(), expected, "{text}");
        };
        check("1706351400", Some(1_706_351_400));
        check("2024-01-27T10:30:00Z", Some(1_706_351_400));
        check("2024-01-27T11:30:00+01:00", Some(1_706_351_400));
        check("2024-01-27T10:30:00", Some(1_706_351_400));
        check("2024-01-27T10:30", Some(1_706_351_400));
        check("2024-01-27", Some(1_706_313_600));
        check("24h", Some(1_000_000 - 86_400));
        check("1h30m", Some(1_000_000 - 5_400));
        check("10d", Some(1_000_000 - 864_000));
        check("1.5s", Some(999_999));
        for text in ["", "x", "24", "5x", "h", "1.2.3s", "2024-13-01"] {
            if text != "24" {
                check(text, None);
            }
        }
    }
}
