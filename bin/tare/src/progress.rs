//! What a user sees while something goes on: a bar for each layer on a terminal, a line otherwise.

use images::{Bar, End, Progress, Step};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};

/// Digits of a digest that are shown: docker's.
const DIGITS: usize = 12;
/// How often bars are drawn in a second.
const RATE: u8 = 12;

/// Shows what is going on, on standard error.
pub(crate) enum Shown {
    /// Nothing.
    Quiet,
    /// A line for each thing.
    Lines,
    /// Bars, on a terminal that is so wide.
    Bars(MultiProgress, u16),
}

/// What a terminal has room for beside the name of a step, from so many columns on: of steps whose length is
/// known, and of others. A line that is too long would be two, and stay behind when it is drawn again.
const LAYOUTS: [(u16, &str, &str); 4] = [
    (
        95,
        "{msg} [{bar:30}] {bytes:>10} / {total_bytes:<10} {bytes_per_sec}",
        "{msg} {spinner} {bytes:>10} {bytes_per_sec}",
    ),
    (
        75,
        "{msg} [{wide_bar}] {bytes:>10} / {total_bytes:<10} {bytes_per_sec:>13}",
        "{msg} {spinner} {bytes:>10} {bytes_per_sec}",
    ),
    (52, "{msg} {bytes:>10} / {total_bytes}", "{msg} {spinner} {bytes:>10}"),
    (0, "{msg}", "{msg}"),
];
/// What a terminal is taken for that does not say how wide it is.
const COLUMNS: u16 = 80;

impl Shown {
    /// What fits to where standard error goes.
    pub(crate) fn new(quiet: bool) -> Self {
        match quiet {
            true => Self::Quiet,
            false if std::io::stderr().is_terminal() => {
                let target = ProgressDrawTarget::stderr_with_hz(RATE);
                let size = sys::tty::size(sys::BorrowedFd::from_raw(2)).ok();
                let columns = size.map(|size| size.columns).filter(|columns| *columns > 0);
                Self::Bars(MultiProgress::with_draw_target(target), columns.unwrap_or(COLUMNS))
            }
            false => Self::Lines,
        }
    }
}

fn line(text: &str) {
    // With standard error closed there is nobody to tell.
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

fn short(digest: &str) -> &str {
    let hex = digest.split_once(':').map_or(digest, |(_, hex)| hex);
    hex.get(..DIGITS).unwrap_or(hex)
}

impl Progress for Shown {
    fn begin(&self, step: &Step) -> Box<dyn Bar> {
        let name = format!("{} {}", step.what, short(&step.digest));
        match self {
            Self::Quiet => Box::new(images::Silent),
            Self::Lines => Box::new(Line(format!("{} {}", step.what, step.digest))),
            Self::Bars(bars, columns) => {
                let bar = match step.bytes {
                    Some(bytes) => ProgressBar::new(bytes),
                    None => ProgressBar::no_length(),
                };
                let fits = |(least, ..): &&(u16, &str, &str)| columns >= least;
                let (_, known, unknown) = LAYOUTS.iter().find(fits).unwrap_or(&LAYOUTS[0]);
                let template = if step.bytes.is_some() { known } else { unknown };
                let style = ProgressStyle::with_template(template);
                let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
                let bar = bars.add(bar.with_style(style.progress_chars("=> ")));
                bar.set_message(name.clone());
                Box::new(Drawn { bar, name })
            }
        }
    }

    fn note(&self, text: &str) {
        match self {
            // What changes is told in any case.
            Self::Quiet | Self::Lines => line(text),
            Self::Bars(bars, _) => drop(bars.println(text)),
        }
    }
}

struct Line(String);

impl Bar for Line {
    fn advance(&self, _bytes: u64) {}

    fn end(&self, how: End) {
        match how {
            End::Done => line(&self.0),
            End::Present => line(&format!("{} skipped: already exists", self.0)),
            End::Mounted => line(&format!("{} skipped: mounted from another repository", self.0)),
            // The error says it.
            End::Failed => {}
        }
    }
}

struct Drawn {
    bar: ProgressBar,
    name: String,
}

impl Bar for Drawn {
    fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn end(&self, how: End) {
        let word = match how {
            End::Done => "done",
            End::Present => "skipped: already exists",
            End::Mounted => "skipped: mounted from another repository",
            End::Failed => "failed",
        };
        let style = ProgressStyle::with_template("{msg}");
        self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.bar.finish_with_message(format!("{} {word}", self.name));
    }
}
