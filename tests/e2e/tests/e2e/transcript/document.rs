//! A document with commands and what they print: blocks of `console`, in which a line after `$ ` is a
//! command, and what follows up to the next one what it prints. In front of a block may stand what is
//! typed at its first command's terminal: `<!-- typed: ONE, TWO -->`.

const OPEN: &str = "```console";
const CLOSE: &str = "```";
const PROMPT: &str = "$ ";
const TYPED: (&str, &str) = ("<!-- typed: ", " -->");

/// What a document consists of.
enum Part {
    Text(String),
    Command { line: String, typed: Vec<String>, printed: String },
}

pub(super) struct Document {
    parts: Vec<Part>,
}

impl Document {
    pub(super) fn parse(text: &str) -> Self {
        let (mut parts, mut is_inside, mut typed) = (Vec::new(), false, Vec::new());
        for line in text.lines() {
            if let Some(words) =
                line.strip_prefix(TYPED.0).and_then(|rest| rest.strip_suffix(TYPED.1))
            {
                typed = words.split(", ").map(str::to_owned).collect();
            }
            let is_fence = line == OPEN || line == CLOSE;
            match (is_inside, line.strip_prefix(PROMPT)) {
                (true, Some(command)) => parts.push(Part::Command {
                    line: command.to_owned(),
                    typed: std::mem::take(&mut typed),
                    printed: String::new(),
                }),
                // What was printed the last time.
                (true, None) if !is_fence => {}
                _ => parts.push(Part::Text(line.to_owned())),
            }
            is_inside = if is_fence { line == OPEN } else { is_inside };
        }
        Self { parts }
    }

    /// Runs every command, in their order.
    pub(super) fn run(&mut self, run: &mut dyn FnMut(&str, &[String]) -> String) {
        for part in &mut self.parts {
            if let Part::Command { line, typed, printed } = part {
                *printed = run(line, typed);
            }
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(line) => text.extend([line, "\n"]),
                Part::Command { line, printed, .. } => {
                    text.extend([PROMPT, line, "\n", printed]);
                    if !printed.is_empty() && !printed.ends_with('\n') {
                        text.push('\n');
                    }
                }
            }
        }
        text
    }
}

#[test]
fn what_was_printed_is_replaced_and_nothing_else() {
    let text =
        "a\n```console\n$ one\nold\n$ two\n```\n<!-- typed: x, y -->\n```console\n$ three\n```\n";
    let mut document = Document::parse(text);
    document.run(&mut |line, typed| match line {
        "two" => String::new(),
        line => format!("{line}{}", typed.len()),
    });
    let expected = "a\n```console\n$ one\none0\n$ two\n```\n<!-- typed: x, y -->\n```console\n$ three\nthree2\n```\n";
    assert_eq!(document.text(), expected);
}
