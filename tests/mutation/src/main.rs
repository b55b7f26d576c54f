//! `mutation --count N [--seed S] [--input NAME] [--case NUMBER]`: see `cargo xtask fuzz`.

use mutation::{Corpus, Subject, Tally};
use runtime::inputs::Input;
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

/// Configurations get as many cases as asked for; the other inputs are smaller.
const OTHERS_SHARE: u64 = 10;

const USAGE: &str =
    "usage: cargo xtask fuzz [--count N] [--seed S] [--input NAME] [--case NUMBER]\n";

struct Arguments {
    count: u64,
    seed: u64,
    input: Option<Subject>,
    case: Option<u64>,
}

fn say(text: &str) {
    // With standard output closed there is nobody to tell.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(why) => {
            say(&format!("mutation: {why}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&format!("mutation: {why}\n"));
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments { count: 1_000_000, seed: 1, input: None, case: None };
    let mut words = std::env::args().skip(1);
    while let Some(name) = words.next() {
        let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{name}: {value:?} is no number"));
        match name.as_str() {
            "--count" => arguments.count = number()?,
            "--seed" => arguments.seed = number()?,
            "--case" => arguments.case = Some(number()?),
            "--input" => {
                let known = Subject::all().find(|input| input.name() == value);
                arguments.input = Some(known.ok_or_else(|| format!("no input {value:?}"))?);
            }
            _ => return Err(format!("no option {name:?}")),
        }
    }
    Ok(arguments)
}

fn run(arguments: &Arguments) -> Result<(), String> {
    if let Some(number) = arguments.case {
        let input = arguments.input.ok_or("--case needs --input")?;
        let corpus = Corpus::load(input)?;
        let case = corpus.case(arguments.seed, number);
        say(&format!("{}\n", String::from_utf8_lossy(&case)));
        let tally = corpus.feed(arguments.seed, number)?;
        say(&format!("{tally:?}\n"));
        return Ok(());
    }
    let all = Subject::all();
    for input in all.filter(|&input| arguments.input.is_none_or(|only| only == input)) {
        let count = match input {
            Subject::Runtime(Input::Config) => arguments.count,
            _ if arguments.input.is_some() => arguments.count,
            _ => arguments.count / OTHERS_SHARE,
        };
        let Tally { taken, refused, slowest } = feed_all(input, arguments.seed, count)?;
        let name = input.name();
        say(&format!(
            "{name}: {count} cases, {taken} taken, {refused} refused, slowest {:?} (case {})\n",
            slowest.0, slowest.1
        ));
    }
    Ok(())
}

/// Feeds cases 0 to `count` on every processor.
fn feed_all(input: Subject, seed: u64, count: u64) -> Result<Tally, String> {
    let corpus = Corpus::load(input)?;
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || -> Result<Tally, String> {
        let mut tally = Tally::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(tally);
            }
            let _mark = Mark { input, seed, number };
            let fed = corpus.feed(seed, number);
            tally = tally.with(fed.map_err(|why| {
                // The others may stop too: what they would find stays to be found.
                next.store(count, Ordering::Relaxed);
                format!("{} --seed {seed} --case {number}: {why}", input.name())
            })?);
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_fold(Tally::default(), |sum, worker| {
            let tally = worker.join().map_err(|_| "a case panicked".to_string())??;
            Ok(sum.with(tally))
        })
    })
}

/// Names the case that a thread was at when it panicked.
struct Mark {
    input: Subject,
    seed: u64,
    number: u64,
}

impl Drop for Mark {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { input, seed, number } = self;
            say(&format!("panic in: --input {} --seed {seed} --case {number}\n", input.name()));
        }
    }
}
