//! Rows of the list of images, with docker's and podman's names of fields.

use crate::output::Clock;
use images::Listed;
use oci::image::ImageConfig;
use oci::{AnyDigest, Reference};
use std::collections::BTreeMap;
use store::NameRecord;
use template::{Field, Struct, Time, Value, units};

/// What stands where there is nothing.
const NONE: &str = "<none>";
/// Digits of an ID that lists show.
pub(crate) const SHORT_ID: usize = 12;
/// Digits of a size that lists show.
const SIZE_DIGITS: usize = 3;

/// Headings of the table, by the names of fields.
pub(crate) const HEADINGS: [(&str, &str); 18] = [
    ("Containers", "CONTAINERS"),
    ("Created", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedSince", "CREATED"),
    ("CreatedTime", "CREATED TIME"),
    ("Dangling", "DANGLING"),
    ("Digest", "DIGEST"),
    ("History", "HISTORY"),
    ("ID", "IMAGE ID"),
    ("Id", "IMAGE ID"),
    ("Labels", "LABELS"),
    ("Names", "NAMES"),
    ("ReadOnly", "R/O"),
    ("Repository", "REPOSITORY"),
    ("SharedSize", "SHARED SIZE"),
    ("Size", "SIZE"),
    ("Tag", "TAG"),
    ("VirtualSize", "SIZE"),
];

/// A row: an image under one of its names, or without a name.
pub(crate) struct Row<'r> {
    pub(crate) image: &'r Listed,
    pub(crate) name: Option<&'r NameRecord>,
}

impl<'r> Row<'r> {
    /// The rows of an image.
    pub(crate) fn all(image: &'r Listed) -> Vec<Self> {
        let named: Vec<Self> =
            image.given_names().map(|name| Self { image, name: Some(name) }).collect();
        match named.is_empty() {
            true => vec![Self { image, name: None }],
            false => named,
        }
    }

    /// Repository and tag.
    pub(crate) fn name_parts(&self) -> (String, String) {
        let Some(name) = self.name else { return (NONE.into(), NONE.into()) };
        match Reference::parse(&name.reference) {
            Ok(reference) => {
                let tag = reference.tag().unwrap_or(NONE).to_owned();
                (reference.name().to_owned(), tag)
            }
            // A name that another program gave.
            Err(_) => (name.reference.clone(), NONE.into()),
        }
    }
}

/// What rows are made with.
pub(crate) struct Maker<'m> {
    pub(crate) clock: &'m Clock,
    pub(crate) no_trunc: bool,
    /// Labels cost a look into each configuration.
    pub(crate) config: &'m dyn Fn(&Listed) -> Option<ImageConfig>,
}

/// When an image was made.
pub(crate) fn created(image: &Listed) -> Option<Time> {
    Time::parse_rfc3339(&image.facts.created).filter(|time| !time.is_zero())
}

/// An ID as lists show it.
pub(crate) fn shown_id(id: &AnyDigest, no_trunc: bool) -> String {
    let text = id.to_string();
    match (no_trunc, text.split_once(':')) {
        (false, Some((_, hex))) => hex.chars().take(SHORT_ID).collect(),
        _ => text,
    }
}

/// A size as lists show it.
pub(crate) fn shown_size(bytes: u64) -> String {
    units::decimal_size(bytes, SIZE_DIGITS)
}

impl Maker<'_> {
    /// What the verb's own table shows of a row: of a thousand images this takes a few milliseconds
    /// less than everything that a template may ask for.
    pub(crate) fn short_row(&self, row: &Row<'_>) -> Value {
        let (repository, tag) = row.name_parts();
        let facts = &row.image.facts;
        Struct::value(
            "image",
            vec![
                Field::new("Repository", repository),
                Field::new("Tag", tag),
                Field::new("Digest", row.image.root.to_string()),
                Field::new("ID", shown_id(&facts.id, self.no_trunc)),
                Field::new("CreatedSince", self.clock.age(created(row.image).as_ref())),
                Field::new("Size", shown_size(facts.size_bytes)),
            ],
        )
    }

    /// What templates see of a row.
    pub(crate) fn row(&self, row: &Row<'_>, with_labels: bool) -> Value {
        let image = row.image;
        let (repository, tag) = row.name_parts();
        let time = created(image);
        let age = self.clock.age(time.as_ref());
        let at = self.clock.listed(time.as_ref());
        let size = shown_size(image.facts.size_bytes);
        let id = shown_id(&image.facts.id, self.no_trunc);
        let names = image.given_names().map(|name| name.reference.as_str());
        let mut fields = vec![
            Field::new("Containers", "N/A"),
            Field::new("CreatedAt", at),
            Field::new("CreatedSince", age.as_str()),
            Field::new("Digest", image.root.to_string()),
            Field::new("ID", id.as_str()),
            Field::new("Repository", repository),
            Field::new("SharedSize", "N/A"),
            Field::new("Size", size.as_str()),
            Field::new("Tag", tag),
            Field::new("UniqueSize", "N/A"),
            Field::new("VirtualSize", size.as_str()),
            // podman's.
            Field::hidden("Created", age),
            Field::hidden("CreatedTime", time.map_or(Value::Nil("*time.Time"), Value::from)),
            Field::hidden("Dangling", row.name.is_none()),
            Field::hidden("History", Value::Nil("[]string")),
            Field::hidden("Id", id),
            Field::hidden("Names", Value::texts(names.clone())),
            Field::hidden("ParentId", ""),
            Field::hidden("ReadOnly", false),
            Field::hidden("RepoDigests", Value::texts(repo_digests(image))),
            Field::hidden("RepoTags", Value::texts(names)),
        ];
        if with_labels {
            fields.push(Field::hidden("Labels", Value::text_map(self.labels(image))));
        }
        Struct::value("image", fields)
    }

    fn labels(&self, image: &Listed) -> BTreeMap<String, String> {
        let config = (self.config)(image).and_then(|config| config.config);
        let labels = config.map(|config| config.labels).unwrap_or_default();
        labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// An image in the list that JSON is: podman's members.
    pub(crate) fn json(&self, image: &Listed) -> Value {
        let time = created(image);
        let names: Vec<&str> = image.given_names().map(|name| name.reference.as_str()).collect();
        let named = !names.is_empty();
        let some = |field: Field| if named { field } else { field.omit_empty() };
        Struct::value(
            "image",
            vec![
                Field::new("Id", image.facts.id.to_string().trim_start_matches("sha256:")),
                Field::new("ParentId", ""),
                Field::new(
                    "RepoTags",
                    if named { Value::texts(&names) } else { Value::Nil("[]string") },
                ),
                Field::new("RepoDigests", Value::texts(repo_digests(image))),
                Field::new("Size", image.facts.size_bytes),
                Field::new("SharedSize", 0),
                Field::new("VirtualSize", image.facts.size_bytes),
                Field::new("Labels", Value::text_map(self.labels(image))),
                Field::new("Containers", 0),
                some(Field::new("Names", Value::texts(&names))),
                Field::new("Digest", image.root.to_string()),
                Field::new("History", Value::texts(&names)).omit_empty(),
                Field::new("Dangling", !named).omit_empty(),
                Field::new("Created", time.as_ref().map_or(0, Time::seconds)),
                Field::new("CreatedAt", time.map_or_else(String::new, |time| time.rfc3339())),
            ],
        )
    }
}

/// `REPOSITORY@DIGEST` for each repository that the image has names in.
pub(crate) fn repo_digests(image: &Listed) -> Vec<String> {
    let mut all: Vec<String> = image
        .given_names()
        .filter_map(|name| Reference::parse(&name.reference).ok())
        .map(|reference| format!("{}@{}", reference.name(), image.root))
        .collect();
    all.dedup();
    all
}
