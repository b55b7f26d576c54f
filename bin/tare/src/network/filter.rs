//! `--filter` of verbs about networks.

use super::Shown;
use crate::failure::{Failure, Result};
use crate::image::filter::{point_in_time, truth};
use crate::labels;
use crate::pattern;
use regex_lite::Regex;

/// What a network has to be. Filters of one kind are alternatives, but for labels; those of several kinds have to hold
/// together.
#[derive(Debug, Default)]
pub(super) struct Filters {
    drivers: Vec<String>,
    ids: Vec<Regex>,
    names: Vec<Regex>,
    scopes: Vec<String>,
    /// What labels have to be there, or not.
    labels: Vec<(String, bool)>,
    built_in: Option<bool>,
    dangling: Option<bool>,
    until: Option<i64>,
}

impl Filters {
    pub(super) fn read(all: &[String], now: i64) -> Result<Self> {
        let mut filters = Self::default();
        for text in all {
            filters
                .add(text, now)
                .map_err(|failure| failure.during(format_args!("--filter {text}")))?;
        }
        Ok(filters)
    }

    fn add(&mut self, text: &str, now: i64) -> Result<()> {
        let (key, value) = text.split_once('=').ok_or_else(|| Failure::new("must be KEY=VALUE"))?;
        match key {
            "driver" => self.drivers.push(value.into()),
            "id" => self.ids.push(pattern::read(key, value)?),
            "name" => self.names.push(pattern::read(key, value)?),
            "scope" => self.scopes.push(value.into()),
            "label" => self.labels.push((value.into(), true)),
            "label!" => self.labels.push((value.into(), false)),
            "dangling" => self.dangling = Some(truth(value)?),
            "until" => self.until = Some(point_in_time(value, now)?),
            "type" => {
                self.built_in = match value {
                    "builtin" => Some(true),
                    "custom" => Some(false),
                    _ => return Err(Failure::new("must be builtin or custom")),
                }
            }
            _ => {
                return Err(Failure::new("there is no such filter")
                    .hint("dangling, driver, id, label, name, scope, type, until"));
            }
        }
        Ok(())
    }

    /// Whether a network is chosen; `is_used`: whether containers are in it.
    pub(super) fn choose(&self, shown: &Shown, is_used: impl FnOnce() -> bool) -> bool {
        let network = &shown.network;
        let any = |all: &[String], holds: &dyn Fn(&str) -> bool| {
            all.is_empty() || all.iter().any(|text| holds(text))
        };
        let label =
            |(label, wanted): &(String, bool)| labels::has(&network.labels, label) == *wanted;
        let matches =
            |all: &[Regex], text: &str| all.is_empty() || all.iter().any(|it| it.is_match(text));
        any(&self.drivers, &|driver| driver == shown.driver)
            && matches(&self.ids, &network.id)
            && matches(&self.names, &network.name)
            && any(&self.scopes, &|scope| scope == "local")
            && self.labels.iter().all(label)
            && self.built_in.is_none_or(|wanted| wanted == shown.is_built_in())
            && self.until.is_none_or(|until| network.created_s < until)
            && self.dangling.is_none_or(|wanted| wanted == (!shown.is_built_in() && !is_used()))
    }
}
