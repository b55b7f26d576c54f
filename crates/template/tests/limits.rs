//! No template runs for ever, fills the memory or overflows the stack.

use template::limits::{NESTING_LIMIT, SOURCE_LIMIT_BYTES};
use template::{ErrorKind, Limits, Template, Value};

fn small() -> Limits {
    Limits {
        steps: 200_000,
        output_bytes: 1 << 16,
        text_bytes: 1 << 14,
        list: 1 << 10,
        ..Limits::default()
    }
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let template = Template::parse("", text).unwrap().limits(small());
    let error = template.render(&Value::texts(["a", "b"])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    assert!(error.to_string().ends_with(expected), "{error}");
}

#[test]
fn steps_are_counted() {
    const STEPS: &str = "takes more than 200000 steps";
    check("{{range 9000000000000000000}}{{end}}", STEPS);
    check("{{range 1000}}{{range 1000}}{{range 1000}}{{end}}{{end}}{{end}}", STEPS);
    check(
        "{{define `a`}}{{range 99}}{{template `b`}}{{end}}{{end}}{{define `b`}}{{range 99}}{{template `c`}}{{end}}{{end}}{{define `c`}}{{range 99}}{{end}}{{end}}{{range 99}}{{template `a`}}{{end}}",
        STEPS,
    );
    // What functions look at counts, too.
    check("{{$x := printf `%16000s` ``}}{{range 100000}}{{$y := eq $x $x}}{{end}}", STEPS);
    check(
        "{{$x := split (printf `%1000s` ``) ``}}{{range 100000}}{{$y := slice $x}}{{end}}",
        STEPS,
    );
}

#[test]
fn output_is_limited() {
    const OUTPUT: &str = "writes more than 65536 bytes";
    check("{{range 9000000}}0123456789abcdef{{end}}", OUTPUT);
    check("{{range 9000000}}{{printf `%1000d` .}}{{end}}", OUTPUT);
    check("{{$x := split (printf `%1000s` ``) ``}}{{range 100}}{{$x}}{{end}}", OUTPUT);
}

#[test]
fn what_functions_make_is_limited() {
    const TEXT: &str = "makes more than 16384 bytes";
    check("{{$x := `abcdefgh`}}{{range 60}}{{$x = print $x $x}}{{end}}", TEXT);
    check("{{$x := printf `%1000000d` 1}}", TEXT);
    check("{{$x := printf `%1000000.1000000f` 1.0}}", TEXT);
    check("{{$x := printf `%.1000000f%.1000000e%.1000000g%#.1000000x` 1.0 1.0 1.0 1.0}}", TEXT);
    check("{{$x := printf `%1000000v` .}}", TEXT);
    check("{{$x := pad `a` 9000000000000000000 1}}", TEXT);
    check("{{$x := pad `a` 1 100000}}", TEXT);
    check("{{$x := join (split (printf `%1000s` ``) ``) (printf `%100s` ``)}}", TEXT);
    check("{{$x := html (printf `%9000q` `<<`) (printf `%9000q` `<<`)}}", TEXT);
    check("{{$x := split (printf `%9000s` ``) ``}}", "makes more than 1024 elements");
    check("{{$x := split (printf `%9000s` ``) ` `}}", "makes more than 1024 elements");
}

#[test]
fn depth_is_limited() {
    check(
        "{{define `a`}}{{template `a`}}{{end}}{{template `a`}}",
        "exceeded maximum template depth (200)",
    );
    // As deep as can be on the small stack of a test's thread, by every way down.
    let open = "{{with (print (print (print 1)))}}".repeat(30);
    let close = "{{end}}".repeat(30);
    let text = format!(
        "{{{{define `a`}}}}{open}{{{{template `a`}}}}{close}{{{{end}}}}{{{{template `a`}}}}"
    );
    check(&text, "exceeded maximum template depth (200)");
}

#[test]
fn nesting_is_limited() {
    let check = |text: String, fits: bool| match Template::parse("", &text) {
        Ok(template) => {
            assert!(fits);
            template.render(&Value::from("x")).unwrap();
        }
        Err(error) => {
            assert!(!fits, "{error}");
            assert_eq!(error.kind(), ErrorKind::Limit);
            let expected =
                format!("template: :1: blocks and parentheses nest deeper than {NESTING_LIMIT}");
            assert_eq!(error.to_string(), expected);
        }
    };
    for (count, fits) in [(NESTING_LIMIT, true), (NESTING_LIMIT + 1, false), (20_000, false)] {
        check(format!("{{{{{}1{}}}}}", "(".repeat(count), ")".repeat(count)), fits);
        check(["{{if .}}".repeat(count), "{{end}}".repeat(count)].concat(), fits);
        check(["{{with .}}".repeat(count), "{{end}}".repeat(count)].concat(), fits);
        check(["{{range 1}}".repeat(count), "{{end}}".repeat(count)].concat(), fits);
        let chain = "{{else if 0}}".repeat(count - 1);
        check(format!("{{{{if 0}}}}{chain}{{{{else}}}}x{{{{end}}}}"), fits);
    }
}

#[test]
fn length_is_limited() {
    let text = "x".repeat(SOURCE_LIMIT_BYTES);
    assert_eq!(Template::parse("", &text).unwrap().render(&Value::Null).unwrap(), text.as_bytes());
    let error = Template::parse("", &(text + "x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
}

#[test]
fn what_was_written_before_an_error_is_there() {
    let mut out = Vec::new();
    let template = Template::parse("", "{{range .}}{{.}},{{end}}{{index . 5}}").unwrap();
    template.render_to(&Value::texts(["a", "b"]), &mut out).unwrap_err();
    assert_eq!(out, b"a,b,");
}

#[test]
fn headings_are_left_alone() {
    let text = "{{json .A}} {{upper .A}} {{truncate .A 1}} {{join .A `,`}} {{split .A `:`}} {{pad .A 1 1}}|";
    let template = Template::parse("", text).unwrap().for_headings();
    let found = template.render(&Value::text_map([("A", "Names")])).unwrap();
    assert_eq!(String::from_utf8_lossy(&found), "Names Names Names Names Names  Names |");
}
