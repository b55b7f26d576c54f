//! Processes that are killed, at every step and at any time.
//!
//! A worker is this test program itself, started again. It tells a file what it is going to do and what
//! it has done; what it has done must be so, whatever killed it.

use super::*;
use crate::{ContainerRecord, Kind, fault};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};

/// Tells a worker what to do: scratch directory, name, seed, steps to live (0: all), operations.
pub(super) const JOB: &str = "TARE_STORE_WORKER";
/// Another directory for the logs than the scratch directory.
pub(super) const LOGS: &str = "TARE_STORE_LOGS";
/// How many kills the mixed test tries, where somebody wants more than CI.
const KILLS: &str = "TARE_STORE_KILLS";
const KILLS_DEFAULT: usize = 120;
const WORKERS: usize = 8;
/// So many that most layers have few names or none, and so few that several want the same.
const IMAGES: u64 = 10;

/// A random number generator that needs no seed but a number (SplitMix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ value >> 31) % limit
    }
}

fn image(number: u32) -> Image {
    // Neighbours share layers.
    Image::new(&[number, number + 1, number + 2])
}

fn start(scratch: &Path, name: &str, seed: u64, steps: u64, operations: &str) -> Child {
    let job = format!("{}|{name}|{seed}|{steps}|{operations}", scratch.display());
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::crash::worker", "--ignored", "--nocapture"])
        .env(JOB, job)
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

fn was_killed(status: ExitStatus) -> bool {
    let killed = status.signal() == Some(9);
    assert!(killed || status.success(), "a worker failed: {status}");
    killed
}

#[test]
#[ignore = "what the other tests start"]
fn worker() {
    let Ok(job) = std::env::var(JOB) else { return };
    let parts: Vec<&str> = job.split('|').collect();
    let [scratch, name, seed, steps, operations] = parts[..] else { panic!("{job}") };
    let (scratch, steps) = (Path::new(scratch), steps.parse().unwrap());
    // At once: a worker that unwinds could be killed on its way, and pass for one that was.
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        tell(info);
        std::process::abort();
    }));
    if steps != 0 {
        fault::arm(steps);
    }
    let log = log_dir(scratch);
    let mut worker = Worker { scratch, log: &log, name, random: Random(seed.parse().unwrap()) };
    match operations {
        "life" => worker.life(),
        count => {
            fault::dawdle();
            (0..count.parse().unwrap()).for_each(|_| worker.random_operation());
        }
    }
}

/// Where the workers' logs are: a power cut must not take them.
pub(super) fn log_dir(scratch: &Path) -> PathBuf {
    std::env::var_os(LOGS).map_or_else(|| scratch.to_path_buf(), PathBuf::from)
}

struct Worker<'a> {
    scratch: &'a Path,
    log: &'a Path,
    name: &'a str,
    random: Random,
}

impl Worker<'_> {
    fn log(&self, line: &str) {
        let path = self.log.join(format!("log-{}", self.name));
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
        fault::step("logged");
    }

    /// One of everything, in one order.
    fn life(&mut self) {
        self.pull(1, 1);
        self.pull(1, 2);
        self.container("c1");
        self.untag(1);
        self.collect();
        self.pull(2, 1);
        self.untag(1);
        self.untag(2);
        self.collect();
    }

    fn random_operation(&mut self) {
        let slot = self.random.below(2) as u32;
        match self.random.below(10) {
            0..=2 => {
                let number = self.random.below(IMAGES) as u32;
                self.pull(slot, number);
            }
            3..=5 => self.untag(slot),
            6 => self.container(&format!("{}-{slot}", self.name)),
            _ => self.collect(),
        }
    }

    fn reference(&self, slot: u32) -> String {
        format!("example.com/{}:{slot}", self.name)
    }

    fn pull(&self, slot: u32, number: u32) {
        let (image, reference) = (image(number), self.reference(slot));
        self.log(&format!("begin {reference} {}", image.digest()));
        image.pull(&open(self.scratch).unwrap(), &reference).unwrap();
        self.log(&format!("done {reference} {}", image.digest()));
    }

    fn untag(&self, slot: u32) {
        let reference = self.reference(slot);
        self.log(&format!("begin {reference} -"));
        match open(self.scratch).unwrap().untag(&reference, None) {
            Err(error) if error.kind() == Kind::NotFound => {}
            result => drop(result.unwrap()),
        }
        self.log(&format!("done {reference} -"));
    }

    /// Makes a container on an image of its own, and removes it.
    fn container(&self, id: &str) {
        let store = open(self.scratch).unwrap();
        let image = Image::new(&[3, 4]);
        let record = ContainerRecord {
            id: id.into(),
            image: image.digest().into(),
            layers: image.keys().iter().map(ToString::to_string).collect(),
            time_s: 1,
            mounted: Vec::new(),
            is_ephemeral: false,
        };
        let mut work = store.begin().unwrap();
        image.fetch(&mut work).unwrap();
        work.commit().unwrap();
        match store.create_container(record.clone()) {
            Err(error) if error.kind() == Kind::Exists => {}
            result => drop(result.unwrap()),
        }
        work.finish().unwrap();
        let upper = store.container(id).unwrap().upper_dir().unwrap();
        crate::files::write_record(&upper, "x", &record, crate::Durability::None).unwrap();
        drop(upper);
        store.remove_container(id).unwrap();
    }

    fn collect(&self) {
        open(self.scratch).unwrap().collect().unwrap();
    }
}

/// What the logs say a name may be: the last thing that was done, or what was begun after it.
fn expectations(logs: &Path) -> BTreeMap<String, Vec<String>> {
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in std::fs::read_dir(logs).unwrap() {
        let path = entry.unwrap().path();
        if !path.file_name().unwrap().to_str().unwrap().starts_with("log-") {
            continue;
        }
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let values = expected.entry(words[1].into()).or_insert_with(|| vec!["-".into()]);
            if words[0] == "done" {
                values.clear();
            }
            values.push(words[2].into());
        }
    }
    expected
}

/// The next command finds a store in order, and leaves no trace of the killed ones.
fn check(scratch: &Path, context: &str) {
    check_with(scratch, scratch, context);
}

/// The same with logs that are elsewhere.
pub(super) fn check_with(scratch: &Path, logs: &Path, context: &str) {
    let store = open(scratch).unwrap();
    assert_eq!(leftovers(&scratch.join("root")), Vec::<PathBuf>::new(), "{context}");
    assert_eq!(findings(&store), [], "{context}");
    for (reference, values) in expectations(logs) {
        let found = store.resolve(&reference).map(|record| record.digest.to_string());
        let found = found.unwrap_or_else(|error| {
            assert_eq!(error.kind(), Kind::NotFound, "{context}: {error}");
            "-".into()
        });
        assert!(values.contains(&found), "{context}: {reference} is {found}, not {values:?}");
    }
    store.collect().unwrap();
    assert_eq!(findings(&store), [], "{context}");
    assert!(!scratch.join("root/store.json.tmp").exists(), "{context}");
}

/// With no names left, nothing is.
pub(super) fn check_empties(scratch: &Path) {
    let store = open(scratch).unwrap();
    for record in store.names().unwrap().0 {
        store.untag(&record.reference, None).unwrap();
    }
    for id in store.containers().unwrap() {
        store.remove_container(&id).unwrap();
    }
    store.collect().unwrap();
    assert_eq!((store.blobs().unwrap().len(), store.layers().unwrap().len()), (0, 0));
}

#[test]
fn a_process_killed_at_any_step_leaves_a_store_in_order() {
    /// More steps than there are.
    const STEPS_LIMIT: u64 = 1000;
    let mut killed = 0;
    for steps in 1..STEPS_LIMIT {
        let scratch = Scratch::new();
        let status = start(&scratch.0, "w", 1, steps, "life").wait().unwrap();
        check(&scratch.0, &format!("killed at step {steps}"));
        if !was_killed(status) {
            check_empties(&scratch.0);
            break;
        }
        killed += 1;
        // The same again does what it would have done.
        if steps % 10 == 0 {
            let status = start(&scratch.0, "w", 1, 0, "life").wait().unwrap();
            assert!(!was_killed(status));
            check(&scratch.0, &format!("again after step {steps}"));
            check_empties(&scratch.0);
        }
    }
    assert!((100..STEPS_LIMIT as usize - 1).contains(&killed), "{killed} kills");
}

#[test]
fn processes_killed_at_any_time_lose_nothing_and_leave_nothing() {
    const SEED: u64 = 4;
    let wanted = std::env::var(KILLS).ok().and_then(|text| text.parse().ok());
    let wanted = wanted.unwrap_or(KILLS_DEFAULT);
    let scratch = Scratch::new();
    let mut random = Random(SEED);
    let (mut killed, mut round) = (0, 0);
    while killed < wanted {
        round += 1;
        assert!(round < 10 * wanted, "only {killed} workers died");
        let mut workers: Vec<Child> = (0..WORKERS)
            .map(|number| {
                // Half of them die at a step, the others when their time has come.
                let steps = if number % 2 == 0 { 1 + random.below(400) } else { 0 };
                let seed = random.below(u64::MAX);
                start(&scratch.0, &format!("w{number}"), seed, steps, "40")
            })
            .collect();
        std::thread::sleep(std::time::Duration::from_millis(20 + random.below(150)));
        for worker in workers.iter_mut().skip(1).step_by(2) {
            let _ = worker.kill();
        }
        for mut worker in workers {
            killed += usize::from(was_killed(worker.wait().unwrap()));
        }
        check(&scratch.0, &format!("round {round}"));
    }
    check_empties(&scratch.0);
    tell(&format!("killed {killed} workers in {round} rounds"));
}

/// For whoever runs more of them than CI.
pub(super) fn tell(what: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{what}");
}

#[test]
fn processes_that_work_at_once_do_not_disturb_each_other() {
    let scratch = Scratch::new();
    let worker = |number: usize| start(&scratch.0, &format!("w{number}"), number as u64, 0, "30");
    let workers: Vec<Child> = (0..WORKERS).map(worker).collect();
    for mut worker in workers {
        assert!(!was_killed(worker.wait().unwrap()));
    }
    check(&scratch.0, "after all");
    check_empties(&scratch.0);
}
