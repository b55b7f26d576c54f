//! Outputs and errors of Go's `text/template` 1.27, with docker's functions, beside ours.
//!
//! A line of `data/go.jsonl` has a template `t`, what it is applied to `d` (`@image` is
//! [`image`]), and the output `o` or the error `e`; with `s`, missing keys are errors.

use serde_json::Value as Json;
use template::table::{Columns, align};
use template::{Field, MissingKey, Struct, Template, Time, Value};

/// The value that the table calls `@image`; the other program has a struct like it.
fn image() -> Value {
    let id = "sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1";
    let labels = [
        ("maintainer", "Ann <ann@example.com>"),
        ("org.opencontainers.image.version", "1.2"),
        ("b", ""),
    ];
    let nested =
        vec![Field::new("Test", Value::Nil("[]string")).omit_empty(), Field::new("Num", -3)];
    let any = serde_json::json!({"k": [1, "two", null]});
    let label = labels.map(|(name, value)| (name.to_string(), value.to_string()));
    Struct::value(
        "main.image",
        vec![
            Field::renamed("ID", "Id", id),
            Field::renamed(
                "Names",
                "RepoTags",
                Value::texts(["docker.io/library/alpine:3.19", "localhost/x:latest"]),
            ),
            Field::new("Labels", Value::text_map(labels)),
            Field::new("Size", 7_377_856),
            Field::new("Created", Time::unix(1_706_315_448, 624_602_109)),
            Field::new("Health", Value::Nil("*main.inner")).omit_empty(),
            Field::new("Nested", Struct::value("main.inner", nested)),
            Field::new("Empty", Value::Nil("[]string")),
            Field::new("None", Value::Nil("map[string]string")),
            Field::new("Ratio", Value::Float(0.25)),
            Field::new("On", true),
            Field::new("Any", Value::from(&any)),
            Field::hidden("Label", Value::Lookup(std::sync::Arc::new(label.into()))),
        ],
    )
}

fn outcome(text: &str, data: &Value, strict: bool) -> Result<String, String> {
    let template = Template::parse("", text).map_err(|error| error.to_string())?;
    let missing = if strict { MissingKey::Error } else { MissingKey::NoValue };
    let text = template.missing_key(missing).render(data).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn output_and_errors_are_those_of_go() {
    let image = image();
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in include_str!("data/go.jsonl").lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let text = case["t"].as_str().unwrap();
        let data = match case["d"].as_str() {
            Some("@image") => image.clone(),
            _ => Value::from(&case["d"]),
        };
        let expected = match (case["o"].as_str(), case["e"].as_str()) {
            (Some(output), None) => Ok(output.to_string()),
            (None, Some(error)) => Err(error.to_string()),
            _ => panic!("{line}"),
        };
        let found = outcome(text, &data, case["s"].as_bool().unwrap_or(false));
        count += 1;
        if found != expected {
            wrong.push(format!("{text} of {}\n  Go   {expected:?}\n  ours {found:?}", case["d"]));
        }
    }
    assert!(count > 1000, "{count}");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

fn rows(table: &str) -> impl Iterator<Item = Json> {
    table.lines().map(|line| serde_json::from_str(line).unwrap())
}

#[test]
fn times_are_shown_as_go_shows_them() {
    let mut count = 0;
    for row in rows(include_str!("data/times.jsonl")) {
        let number = |at: usize| row[at].as_i64().unwrap();
        let (nanoseconds, offset) = (number(1).try_into().unwrap(), number(2).try_into().unwrap());
        let time = Time::unix(number(0), nanoseconds).in_zone(offset, row[3].as_str().unwrap());
        assert_eq!(time.format(row[4].as_str().unwrap()), row[5].as_str().unwrap(), "{row}");
        count += 1;
    }
    assert!(count > 200, "{count}");
}

#[test]
fn times_are_read_as_go_reads_them() {
    let mut count = 0;
    for row in rows(include_str!("data/parse.jsonl")) {
        let time = Time::parse_rfc3339(row[0].as_str().unwrap());
        let found = time.map(|time| serde_json::json!([time.seconds(), time.nanoseconds()]));
        assert_eq!(found.unwrap_or(Json::Null), row[1], "{}", row[0]);
        count += 1;
    }
    assert!(count > 20, "{count}");
}

#[test]
fn columns_are_aligned_as_go_aligns_them() {
    for row in rows(include_str!("data/tables.jsonl")) {
        let number = |at: usize| usize::try_from(row[at].as_u64().unwrap()).unwrap();
        let columns = Columns { min_width: number(0), padding: number(1) };
        assert_eq!(align(row[2].as_str().unwrap(), columns), row[3].as_str().unwrap(), "{row}");
    }
}
