//! `tare history`: the steps that made an image.

use super::rows::{SHORT_ID, shown_size};
use super::{look_at, now};
use crate::failure::{Failure, Result};
use crate::output::{self, Clock, tame};
use crate::settings::{Global, PlatformArgs, Settings};
use clap::Args;
use images::View;
use oci::image::History as Step;
use template::listing::Listing;
use template::table::{Columns, shown_width};
use template::{Field, Struct, Time, Value};

/// The ID of all steps but the last: nobody knows which image they were.
const MISSING: &str = "<missing>";
/// Columns of a step's command.
const COMMAND_WIDTH: usize = 45;
const HEADINGS: [(&str, &str); 8] = [
    ("Comment", "COMMENT"),
    ("Created", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("CreatedSince", "CREATED"),
    ("ID", "IMAGE"),
    ("Size", "SIZE"),
    ("Tags", "TAGS"),
];
const TABLE: &str = "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";

/// Show the steps that made an image, the last one first
#[derive(Debug, Args)]
pub(crate) struct History {
    /// json, table, table TEMPLATE, or a Go template for each step
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Sizes and ages for people
    #[arg(short = 'H', long, num_args = 0..=1, require_equals = true, default_value_t = true,
        default_missing_value = "true", value_name = "BOOL", action = clap::ArgAction::Set)]
    human: bool,
    /// Show IDs and commands in full
    #[arg(long)]
    no_trunc: bool,
    /// Show IDs only
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    platform: PlatformArgs,
    /// Image: name, ID or digest
    #[arg(value_name = "IMAGE")]
    image: String,
}

pub(crate) fn run(global: &Global, arguments: &History) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(true)?;
    let (_, view) = look_at(&settings, &store, &arguments.image, &arguments.platform)?;
    let steps = steps(&view)?;
    if arguments.quiet {
        let ids = steps.iter().map(|step| id(step, arguments.no_trunc) + "\n");
        return output::write(ids.collect::<String>().as_bytes());
    }
    let clock = Clock::new(now());
    let rows: Vec<Value> = steps.iter().map(|step| row(step, arguments, &clock)).collect();
    let listing = Listing {
        headings: &HEADINGS,
        table: TABLE,
        rows: &rows,
        with_headings: true,
        columns: Columns::DOCKER,
    };
    output::list(arguments.format.as_deref(), &listing, || steps.iter().map(json).collect())
}

/// A step, and what its layer takes.
struct Made<'v> {
    step: &'v Step,
    size: u64,
    /// The image, of its last step.
    id: Option<String>,
}

fn steps(view: &View) -> Result<Vec<Made<'_>>> {
    let config = view.config.as_ref();
    let config = config.ok_or_else(|| Failure::new("it is an artifact, which has no history"))?;
    let mut sizes = view.sizes.iter();
    let mut steps: Vec<Made> = config
        .history
        .iter()
        .map(|step| {
            let size = if step.empty_layer { None } else { sizes.next().copied() };
            Made { step, size: size.unwrap_or(0), id: None }
        })
        .collect();
    steps.reverse();
    if let Some(last) = steps.first_mut() {
        last.id = Some(view.id.to_string());
    }
    Ok(steps)
}

fn id(made: &Made, no_trunc: bool) -> String {
    match &made.id {
        Some(id) if no_trunc => id.clone(),
        Some(id) => id.split(':').next_back().unwrap_or(id).chars().take(SHORT_ID).collect(),
        None => MISSING.into(),
    }
}

fn row(made: &Made, arguments: &History, clock: &Clock) -> Value {
    let time = Time::parse_rfc3339(&made.step.created).filter(|time| !time.is_zero());
    let at = time.as_ref().map_or_else(String::new, |time| clock.local(time).rfc3339());
    let age = match (arguments.human, time.is_some()) {
        (true, true) => clock.age(time.as_ref()),
        (true, false) => "N/A".into(),
        (false, _) => at.clone(),
    };
    let size = match arguments.human {
        true => shown_size(made.size),
        false => made.size.to_string(),
    };
    let command = tame(&made.step.created_by);
    let command = if arguments.no_trunc { command } else { shorten(&command, COMMAND_WIDTH) };
    Struct::value(
        "history",
        vec![
            Field::new("Comment", tame(&made.step.comment)),
            Field::new("CreatedAt", at),
            Field::new("CreatedBy", command),
            Field::new("CreatedSince", age.as_str()),
            Field::new("ID", id(made, arguments.no_trunc)),
            Field::new("Size", size),
            Field::hidden("Created", age),
            Field::hidden("Tags", Value::Nil("[]string")),
        ],
    )
}

fn json(made: &Made) -> Value {
    let id = made.id.as_deref().map_or(MISSING, |id| id.trim_start_matches("sha256:"));
    Struct::value(
        "history",
        vec![
            Field::renamed("ID", "id", id),
            Field::renamed("Created", "created", made.step.created.as_str()),
            Field::renamed("CreatedBy", "CreatedBy", made.step.created_by.as_str()),
            Field::renamed("Size", "size", made.size),
            Field::renamed("Comment", "comment", made.step.comment.as_str()),
        ],
    )
}

/// A text of some columns; what does not fit ends with an ellipsis.
fn shorten(text: &str, width: usize) -> String {
    if shown_width(text) <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    for character in text.chars() {
        if shown_width(&short) + shown_width(character.encode_utf8(&mut [0; 4])) >= width {
            break;
        }
        short.push(character);
    }
    short.push('…');
    short
}
