//! The text of `--help`, taken apart. Both programs' forms are read: options with their help on
//! the same line, and on the lines below.

/// What `--help` says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Help {
    /// One line.
    pub(super) summary: String,
    /// Paragraphs behind it.
    pub(super) description: Vec<String>,
    /// Behind "Usage:".
    pub(super) usage: String,
    /// Verbs with one line each.
    pub(super) verbs: Vec<(String, String)>,
    /// Operands that are explained.
    pub(super) arguments: Vec<(String, String)>,
    /// Options as they are written (`-b, --bundle DIR`), with their help.
    pub(super) options: Vec<(String, String)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Section {
    Text,
    Verbs,
    Arguments,
    Options,
    Other,
}

impl Help {
    /// Reads it.
    pub(super) fn parse(text: &str) -> Self {
        let mut help = Self::default();
        let mut section = Section::Text;
        let mut paragraphs: Vec<String> = vec![String::new()];
        for line in text.lines() {
            let heading = match line.trim_end() {
                "Commands:" | "Verbs:" => Some(Section::Verbs),
                "Arguments:" => Some(Section::Arguments),
                "Options:" => Some(Section::Options),
                other
                    if !other.starts_with(' ') && section != Section::Text && !other.is_empty() =>
                {
                    Some(if is_of_options(other) { Section::Options } else { Section::Other })
                }
                _ => None,
            };
            if let Some(found) = heading {
                section = found;
            } else if let Some(usage) = line.strip_prefix("Usage: ") {
                help.usage = usage.trim().to_string();
            } else if section == Section::Text {
                match (line.trim(), paragraphs.last_mut()) {
                    ("", _) => paragraphs.push(String::new()),
                    (words, Some(last)) => append(last, words),
                    (_, None) => {}
                }
            } else {
                help.take(section, line);
            }
        }
        let mut paragraphs = paragraphs.into_iter().filter(|paragraph| !paragraph.is_empty());
        let first = paragraphs.next().unwrap_or_default();
        // `tare-runtime run - create, start...`
        help.summary = first.split_once(" - ").map_or(first.clone(), |(_, rest)| rest.to_string());
        help.description = paragraphs.collect();
        help.verbs.retain(|(name, _)| name != "help");
        help
    }

    fn take(&mut self, section: Section, line: &str) {
        let list = match section {
            Section::Verbs => &mut self.verbs,
            Section::Arguments => &mut self.arguments,
            Section::Options => &mut self.options,
            Section::Text | Section::Other => return,
        };
        let words = line.trim();
        let indent = line.len() - line.trim_start().len();
        match list.last_mut() {
            _ if words.is_empty() => {}
            Some((_, text)) if indent > 6 => append(text, words),
            _ => {
                let (name, text) = words.split_once("  ").unwrap_or((words, ""));
                list.push((name.trim().to_string(), text.trim().to_string()));
            }
        }
    }
}

/// Whether a heading is that of some of the verb's options: not of those that every verb has, of those that are only
/// refused, or of what is behind them.
fn is_of_options(heading: &str) -> bool {
    let others = ["Store:", "Example:", "Examples:"];
    heading.ends_with(':') && !heading.ends_with("(not yet):") && !others.contains(&heading)
}

fn append(text: &mut String, words: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(words);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
    }

    #[test]
    fn options_have_headings() {
        let text = "Do it\n\nUsage: prog run [OPTIONS]\n\nOptions:\n  --keep  stay\n\nWatching and more:\n  \
                    --log FILE  lines\n\nSigning (not yet):\n  --sign  it\n\nStore:\n  --root DIR  all\n\nExample:\n  prog run\n";
        let help = Help::parse(text);
        assert_eq!(help.options, pairs(&[("--keep", "stay"), ("--log FILE", "lines")]));
    }

    #[test]
    fn one_line_for_each_option() {
        let text = "prog run - do it\n\nUsage: prog run [OPTION...] ID\n\nOptions:\n  \
                    -b, --bundle DIR                 the bundle\n      --keep       stay\n";
        let help = Help::parse(text);
        assert_eq!(
            (help.summary.as_str(), help.usage.as_str()),
            ("do it", "prog run [OPTION...] ID")
        );
        let expected = [("-b, --bundle DIR", "the bundle"), ("--keep", "stay")];
        assert_eq!(help.options, pairs(&expected));
    }

    #[test]
    fn help_on_the_lines_below() {
        let text = "Run a program\n\nIt is packed\nfirst.\n\nUsage: tare run <IMAGE>\n\nArguments:\n  \
                    <IMAGE>\n          What to run\n\nOptions:\n  -e, --env <NAME>\n          Set a\n\
                    \x20         variable\n\n      --rm\n          Remove\n\nExample:\n  tare run x\n";
        let help = Help::parse(text);
        assert_eq!(help.summary, "Run a program");
        assert_eq!(help.description, ["It is packed first."]);
        assert_eq!(help.arguments, pairs(&[("<IMAGE>", "What to run")]));
        assert_eq!(
            help.options,
            pairs(&[("-e, --env <NAME>", "Set a variable"), ("--rm", "Remove")])
        );
    }

    #[test]
    fn verbs_are_found() {
        let help = Help::parse(
            "x - y\n\nUsage: x\n\nVerbs:\n  create     make\n  help       this\n\nOptions:\n",
        );
        assert_eq!(help.verbs, pairs(&[("create", "make")]));
    }
}
