//! Manual pages, in the macros of man(7).

use super::Program;
use super::help::Help;
use super::prose::Prose;
use std::fmt::Write;

/// The page of a program with all of its verbs.
pub(super) fn program(program: &Program, section: u8, prose: &Prose) -> String {
    let mut page = start(program.name, &program.help.summary, section);
    usage(&mut page, &program.help.usage);
    text(&mut page, "DESCRIPTION", prose.description);
    heading(&mut page, ".SH", "OPTIONS");
    entries(&mut page, &program.help.options);
    heading(&mut page, ".SH", "VERBS");
    for (name, help) in &program.verbs {
        heading(&mut page, ".SS", name);
        let _ =
            writeln!(page, ".B {}\n.PP\n{}.", escape(&help.usage), escape(&capital(&help.summary)));
        let own: Vec<_> =
            help.options.iter().filter(|(name, _)| !name.contains("--help")).collect();
        entries(&mut page, own);
    }
    rest(&mut page, prose);
    page
}

/// The page of one verb.
pub(super) fn verb(
    program: &Program,
    help: &Help,
    name: &str,
    section: u8,
    prose: &Prose,
) -> String {
    let mut page = start(&format!("{}-{name}", program.name), &help.summary, section);
    usage(&mut page, &help.usage);
    heading(&mut page, ".SH", "DESCRIPTION");
    for paragraph in &help.description {
        let _ = writeln!(page, ".PP\n{}", escape(paragraph));
    }
    for paragraph in prose.description {
        let _ = writeln!(page, ".PP\n{}", escape(paragraph));
    }
    heading(&mut page, ".SH", "ARGUMENTS");
    entries(&mut page, &help.arguments);
    heading(&mut page, ".SH", "OPTIONS");
    entries(&mut page, &help.options);
    rest(&mut page, prose);
    page
}

fn start(name: &str, summary: &str, section: u8) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        ".\\\" Made by `cargo xtask docs` from the program's --help.\n\
         .TH {} {section} \"\" \"tare {version}\" \"Tare\"\n.SH NAME\n{} \\- {}\n",
        name.to_uppercase(),
        escape(name),
        escape(summary)
    )
}

fn usage(page: &mut String, usage: &str) {
    let _ = writeln!(page, ".SH SYNOPSIS\n.B {}", escape(usage));
}

fn heading(page: &mut String, request: &str, title: &str) {
    let _ = writeln!(page, "{request} {}", escape(title));
}

fn text(page: &mut String, title: &str, paragraphs: &[&str]) {
    heading(page, ".SH", title);
    for paragraph in paragraphs {
        let _ = writeln!(page, ".PP\n{}", escape(paragraph));
    }
}

fn entries<'a>(page: &mut String, list: impl IntoIterator<Item = &'a (String, String)>) {
    for (name, help) in list {
        let _ = writeln!(page, ".TP\n.B {}\n{}", escape(name), escape(help));
    }
}

fn rest(page: &mut String, prose: &Prose) {
    for (title, list) in [
        ("EXIT STATUS", prose.exit_status),
        ("ENVIRONMENT", prose.environment),
        ("FILES", prose.files),
    ] {
        if !list.is_empty() {
            heading(page, ".SH", title);
        }
        for (name, meaning) in list {
            let _ = writeln!(page, ".TP\n.B {}\n{}", escape(name), escape(meaning));
        }
    }
    heading(page, ".SH", "EXAMPLES");
    for (what, commands) in prose.examples {
        let _ =
            writeln!(page, ".PP\n{}\n.PP\n.nf\n.RS\n{}\n.RE\n.fi", escape(what), escape(commands));
    }
    let _ = writeln!(page, ".SH SEE ALSO\n{}", escape(prose.see_also));
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Text that roff shows as it is: hyphens that can be copied, no requests, no escapes.
fn escape(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
        let line = line.replace('`', "\\(ga").replace('^', "\\(ha").replace('~', "\\(ti");
        if line.starts_with('.') { format!("\\&{line}") } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_a_request_or_an_escape() {
        assert_eq!(escape(".x\n'a' -b \\n"), "\\&.x\n\\(aqa\\(aq \\-b \\en");
    }
}
