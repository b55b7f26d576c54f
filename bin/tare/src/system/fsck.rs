//! `tare fsck`.

use crate::failure::{Failure, Result};
use crate::output;
use crate::settings::{Global, Settings};
use clap::Args;
use std::collections::BTreeSet;
use store::{Finding, Problem};
use template::{Field, Struct, Value};

/// The store is not in order.
const FOUND: u8 = 1;

/// Check the store, and mend it
///
/// Looks at the form and place of everything, and follows every name. Exits with 1 when something is
/// wrong (with --repair, when something is still wrong).
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Read every byte: hash blobs, and make the archive of each layer again
    #[arg(long, conflicts_with = "quick")]
    full: bool,
    /// Look at records and sizes only (the default)
    #[arg(short, long)]
    quick: bool,
    /// Take what is damaged out of the way; a pull fetches it again
    #[arg(short, long)]
    repair: bool,
    /// podman's word for --repair that does not stop at containers
    #[arg(short, long, hide = true)]
    force: bool,
    /// Refused: layers that nothing refers to are no mistake
    #[arg(short, long, value_name = "TIME", hide = true)]
    max: Option<String>,
    /// json, or a Go template for each finding
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

pub(crate) fn run(global: &Global, arguments: &Check) -> Result<u8> {
    if arguments.max.is_some() {
        return Err(Failure::new(
            "--max: layers that nothing refers to are no mistake, however old",
        )
        .hint("`tare gc` removes them"));
    }
    let repair = arguments.repair || arguments.force;
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let mut rebuild = |layer: &store::Layer| {
        images::rebuild_layer(layer, &mut std::io::sink())
            .map_err(|error| store::Error::new(store::Kind::Corrupt, error.to_string()))
    };
    let check = match arguments.full {
        true => store::Check { hash_blobs: true, rebuild: Some(&mut rebuild) },
        false => store::Check::default(),
    };
    let findings = store.fsck(check)?;
    let (taken, left) = match repair && !findings.is_empty() {
        // What is out of the way is missing now, and has names that lead to it.
        true => (store.repair(&findings)?, store.fsck(store::Check::default())?),
        false => (Vec::new(), findings.clone()),
    };
    tell(arguments, &findings, &taken, &left)?;
    Ok(if left.is_empty() { 0 } else { FOUND })
}

fn tell(
    arguments: &Check,
    findings: &[Finding],
    taken: &[Finding],
    left: &[Finding],
) -> Result<()> {
    let row = |finding: &Finding| {
        let digest = finding.digest.map(|digest| digest.to_string()).unwrap_or_default();
        Struct::value(
            "finding",
            vec![
                Field::renamed("Path", "path", finding.path.as_str()),
                Field::renamed("Problem", "problem", name(finding.problem)),
                Field::renamed("Text", "text", finding.text.as_str()),
                Field::renamed("Digest", "digest", digest).omit_empty(),
                Field::renamed("Name", "name", finding.name.clone().unwrap_or_default())
                    .omit_empty(),
                Field::renamed("Repaired", "repaired", taken.contains(finding)),
            ],
        )
    };
    let rows: Vec<Value> = findings.iter().map(row).collect();
    match arguments.format.as_deref() {
        Some("json") => return output::write(&output::pretty(&Value::list(rows))),
        Some(format) => return output::inspected(Some(format), &rows),
        None => {}
    }
    let mut text = String::new();
    for finding in findings {
        let end = if taken.contains(finding) { " (taken out of the way)" } else { "" };
        text.push_str(&format!("{}: {}{end}\n", name(finding.problem), finding.text));
    }
    if findings.is_empty() {
        text.push_str("the store is in order\n");
    }
    output::write(text.as_bytes())?;
    let names: BTreeSet<&str> = left.iter().filter_map(|it| it.name.as_deref()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    if !left.is_empty() {
        let failure = Failure::new(format!("{} objects of the store are not in order", left.len()));
        match (arguments.repair || arguments.force, names.is_empty()) {
            (false, _) => failure.hint("`tare fsck --repair` takes what is damaged out of the way"),
            (true, false) => {
                failure.hint(format!("`tare pull {}` fetches them again", names.join(" ")))
            }
            (true, true) => failure,
        }
        .tell();
    }
    Ok(())
}

fn name(problem: Problem) -> &'static str {
    match problem {
        Problem::Missing => "missing",
        Problem::Damaged => "damaged",
        Problem::Unreadable => "unreadable",
        Problem::Foreign => "foreign",
        Problem::Leftover => "leftover",
    }
}
