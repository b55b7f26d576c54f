//! Lists, sizes, durations and zones: values of docker's go-units and of Go, and what is meant to be
//! wider than either of docker and podman.

use serde_json::Value as Json;
use template::listing::{Form, Listing, inspect};
use template::table::Columns;
use template::{ErrorKind, Field, Struct, Time, Value, Zone, units};

fn rows(table: &str) -> impl Iterator<Item = Json> {
    table.lines().map(|line| serde_json::from_str(line).unwrap())
}

#[test]
fn sizes_are_written_as_go_units_writes_them() {
    let mut count = 0;
    for row in rows(include_str!("data/units.jsonl")) {
        // Fractions and negative sizes are nothing that is shown.
        let Some(size) = row[0].as_u64() else { continue };
        let found =
            [units::decimal_size(size, 4), units::decimal_size(size, 3), units::binary_size(size)];
        assert_eq!(
            Json::from(found.to_vec()),
            Json::from(row.as_array().unwrap()[1..].to_vec()),
            "{size}"
        );
        count += 1;
    }
    assert!(count > 30, "{count}");
}

#[test]
fn sizes_are_read_as_go_units_reads_them() {
    for row in rows(include_str!("data/sizes.jsonl")) {
        let text = row[0].as_str().unwrap();
        let found = [units::read_size(text, 1000), units::read_size(text, 1024)];
        // Go takes underscores between digits, which nobody writes.
        if !text.contains('_') {
            assert_eq!(found.map(Json::from), [row[1].clone(), row[2].clone()], "{text}");
        }
    }
}

#[test]
fn durations_are_written_as_go_units_writes_them() {
    for row in rows(include_str!("data/durations.jsonl")) {
        assert_eq!(units::duration(row[0].as_i64().unwrap()), row[1].as_str().unwrap(), "{row}");
    }
}

#[test]
fn zones_are_those_of_go() {
    let mut count = 0;
    for row in rows(include_str!("data/zones.jsonl")) {
        let name = row[0].as_str().unwrap().replace('/', "-");
        let path = format!("{}/tests/data/zones/{name}", env!("CARGO_MANIFEST_DIR"));
        let zone = Zone::parse(&std::fs::read(path).unwrap()).unwrap();
        let time = zone.show(Time::unix(row[1].as_i64().unwrap(), 0));
        assert_eq!(Json::from(time.offset()), row[2], "{row}");
        assert_eq!(Json::from(time.zone()), row[3], "{row}");
        count += 1;
    }
    assert!(count > 100, "{count}");
}

#[test]
fn damaged_zones_are_refused_or_read() {
    let path = format!("{}/tests/data/zones/America-New_York", env!("CARGO_MANIFEST_DIR"));
    let whole = std::fs::read(path).unwrap();
    for length in 0..whole.len() - 1 {
        assert!(Zone::parse(&whole[..length]).is_none(), "{length}");
    }
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff, b'/', b',', b'9'] {
            let mut damaged = whole.clone();
            damaged[at] = value;
            if let Some(zone) = Zone::parse(&damaged) {
                for seconds in [i64::MIN, -1, 0, 1_700_000_000, i64::MAX] {
                    zone.show(Time::unix(seconds, 0)).to_string();
                }
            }
        }
    }
}

fn images() -> Vec<Value> {
    let row = |id: &str, name: &str, size: u64| {
        Struct::value(
            "*image",
            vec![
                Field::renamed("ID", "Id", id),
                Field::new("Repository", name),
                Field::new("Size", units::decimal_size(size, 3)),
                Field::new("Names", Value::texts([name])),
            ],
        )
    };
    vec![
        row("4bcff63911fc", "alpine", 7_377_856),
        row("0123456789ab", "registry.example.com/team/app", 1_000),
    ]
}

fn list<T>(show: impl FnOnce(&Listing) -> T) -> T {
    let rows = images();
    show(&Listing {
        headings: &[("ID", "IMAGE ID"), ("Repository", "REPOSITORY"), ("Size", "SIZE")],
        table: "{{.Repository}}\t{{.ID}}\t{{.Size}}",
        rows: &rows,
        with_headings: true,
        columns: Columns::DOCKER,
    })
}

#[track_caller]
fn check_table(template: &str, expected: &str) {
    let found = list(|listing| listing.table_by(template)).unwrap();
    assert_eq!(String::from_utf8(found).unwrap(), expected);
}

#[track_caller]
fn check_template(template: &str, expected: &str) {
    let found = list(|listing| listing.template(template)).unwrap();
    assert_eq!(String::from_utf8(found).unwrap(), expected);
}

#[test]
fn forms_are_read_from_the_option() {
    let check = |text: &str, expected: Form| assert_eq!(Form::read(text), expected, "{text}");
    check("table", Form::Table(None));
    check("table ", Form::Table(None));
    check("table {{.ID}}", Form::Table(Some(" {{.ID}}".into())));
    check("json", Form::Json);
    check("{{.ID}}", Form::Template("{{.ID}}".into()));
    check("{{json .}}", Form::Template("{{json .}}".into()));
    check("", Form::Template(String::new()));
}

#[test]
fn tables_have_columns_at_tabs() {
    let expected = "\
REPOSITORY                      IMAGE ID       SIZE
alpine                          4bcff63911fc   7.38MB
registry.example.com/team/app   0123456789ab   1kB
";
    let found = list(|listing| listing.table()).unwrap();
    assert_eq!(String::from_utf8(found).unwrap(), expected);
    check_table("{{.Repository}}\\t{{.ID}}\\t{{.Size}}", expected);
    check_table(" {{.Repository}}\t{{.ID}}\t{{.Size}} ", expected);
    check_table(
        "{{.ID}}: {{.Size}}\\t{{.Repository}}",
        "\
IMAGE ID: SIZE         REPOSITORY
4bcff63911fc: 7.38MB   alpine
0123456789ab: 1kB      registry.example.com/team/app
",
    );
}

#[test]
fn tables_without_tabs_have_columns_at_spaces() {
    check_table(
        "{{.ID}} {{ .Size }}",
        "\
IMAGE ID       SIZE
4bcff63911fc   7.38MB
0123456789ab   1kB
",
    );
    check_table(
        "{{.ID}}  {{printf \"%s x\" .Size}}",
        "\
IMAGE ID       SIZE x
4bcff63911fc   7.38MB x
0123456789ab   1kB x
",
    );
}

#[test]
fn headings_are_not_changed_by_functions() {
    check_table(
        "{{upper .Repository}}\\t{{truncate .ID 4}}\\t{{lower .Size}}",
        "\
REPOSITORY                      IMAGE ID   SIZE
ALPINE                          4bcf       7.38mb
REGISTRY.EXAMPLE.COM/TEAM/APP   0123       1kb
",
    );
}

#[test]
fn templates_are_for_rows_or_for_the_list() {
    check_template("{{.ID}}", "4bcff63911fc\n0123456789ab\n");
    check_template(
        "{{.Id}} {{index .Names 0}}\\n",
        "4bcff63911fc alpine\n0123456789ab registry.example.com/team/app\n",
    );
    check_template("{{range .}}{{.ID}};{{end}}", "4bcff63911fc;0123456789ab;");
    check_template("{{- range . -}} {{.ID}}\\n{{- end -}}", "4bcff63911fc0123456789ab");
    check_template("{{range .Names}}{{.}}{{end}}", "alpine\nregistry.example.com/team/app\n");
    check_template("{{json .}}", "\
{\"Id\":\"4bcff63911fc\",\"Repository\":\"alpine\",\"Size\":\"7.38MB\",\"Names\":[\"alpine\"]}
{\"Id\":\"0123456789ab\",\"Repository\":\"registry.example.com/team/app\",\"Size\":\"1kB\",\"Names\":[\"registry.example.com/team/app\"]}
");
    check_template("", "\n\n");
    // The end of a line in quotes is one, although the shell's text has none.
    check_template("{{printf \"%s\\n\" .ID}}", "4bcff63911fc\n0123456789ab\n");
}

#[test]
fn errors_are_those_of_the_template() {
    let check = |template: &str, kind: ErrorKind, expected: &str| {
        let error = list(|listing| listing.template(template)).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(error.to_string(), expected);
    };
    check(
        "{{.Nope}}",
        ErrorKind::Execution,
        "template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope in type *image",
    );
    check("{{.ID", ErrorKind::Syntax, "template: :1: unclosed action");
    check("{{foo}}", ErrorKind::Syntax, "template: :1: function \"foo\" not defined");
}

#[test]
fn inspecting_looks_into_the_document_too() {
    let value = &images()[0];
    let show = |template: &str| inspect(template, value).map(|out| String::from_utf8(out).unwrap());
    assert_eq!(show("{{.ID}}").unwrap(), "4bcff63911fc\n");
    assert_eq!(show("{{.Id}}").unwrap(), "4bcff63911fc\n");
    assert_eq!(show("{{range .Names}}{{.}}{{end}}").unwrap(), "alpine\n");
    let error = show("{{.Nope}}").unwrap_err();
    assert_eq!(
        error.to_string(),
        "template: :1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\""
    );
}
