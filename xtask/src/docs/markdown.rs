//! The command line reference.

use super::Program;
use super::help::Help;
use std::fmt::Write;

/// One page for all programs.
pub(super) fn reference(programs: &[&Program]) -> String {
    let mut page = String::from(
        "# Command line reference\n\n\
         Made by `cargo xtask docs` from what the programs say with `--help`; the manual pages in\n\
         [man](man) have the exit statuses, files and examples too.\n",
    );
    for program in programs {
        let _ = write!(page, "\n## {}\n\n{}.\n\n", program.name, capital(&program.help.summary));
        let _ = writeln!(page, "    {}\n", program.help.usage);
        page.push_str("| verb | |\n|---|---|\n");
        for (name, help) in &program.help.verbs {
            let anchor = format!("{}-{name}", program.name);
            let _ = writeln!(page, "| [{name}](#{anchor}) | {} |", cell(help));
        }
        options(&mut page, &program.help);
        for (name, help) in &program.verbs {
            let _ = write!(page, "\n### {} {name}\n\n", program.name);
            let _ = write!(page, "{}.\n\n    {}\n", capital(&help.summary), help.usage);
            for paragraph in &help.description {
                let _ = write!(page, "\n{paragraph}\n");
            }
            options(&mut page, help);
        }
    }
    page
}

fn options(page: &mut String, help: &Help) {
    let rows: Vec<_> = help.arguments.iter().chain(&help.options).collect();
    let only_help = rows.iter().all(|(name, _)| name.contains("--help"));
    if rows.is_empty() || only_help {
        return;
    }
    page.push_str("\n| option | |\n|---|---|\n");
    for (name, text) in rows.into_iter().filter(|(name, _)| !name.contains("--help")) {
        let _ = writeln!(page, "| `{}` | {} |", cell(name), cell(text));
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
