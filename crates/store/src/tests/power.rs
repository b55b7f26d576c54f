//! Power cuts: a file system in a file is cut off from its disk while workers use it.

use super::crash::{self, JOB, LOGS, Random};
use super::*;
use std::process::{Child, Command, Stdio};

/// How many cuts are tried, where somebody wants more than CI.
const CUTS: &str = "TARE_STORE_CUTS";
const CUTS_DEFAULT: usize = 5;
const WORKERS: usize = 4;
const TEST: &str = "a_power_cut_loses_nothing_that_was_acknowledged";

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output =
        Command::new(program).args(arguments).output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn start(scratch: &Path, logs: &Path, number: usize, seed: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::crash::worker", "--ignored", "--nocapture"])
        .env(JOB, format!("{}|w{number}|{seed}|0|100000", scratch.display()))
        .env(LOGS, logs)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A worker ends because the disk is gone, and for no other reason.
fn check_end(worker: Child) {
    let output = worker.wait_with_output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("input/output error") || text.contains("read-only"), "{text}");
}

/// Waits until a worker says that something is done, for so long.
fn wait_for_word(logs: &Path) {
    const LOOKS_LIMIT: u32 = 20_000;
    let done = || {
        let text = |number| std::fs::read_to_string(logs.join(format!("log-w{number}")));
        let texts = (0..WORKERS).filter_map(|number| text(number).ok());
        texts.map(|text| text.matches("done").count()).sum::<usize>()
    };
    let before = done();
    let _ = (0..LOOKS_LIMIT).find(|_| done() != before);
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let Some(outer) = mounts::private(TEST) else { return };
    let (image, disk) = (outer.0.join("image"), outer.0.join("disk"));
    let (image, logs) = (image.to_str().unwrap(), outer.0.as_path());
    std::fs::create_dir(&disk).unwrap();
    let file = std::fs::File::create(image).unwrap();
    file.set_len(64 << 20).unwrap();
    let mount = || run("mount", &["-o", "loop", image, disk.to_str().unwrap()]);
    let made = run("mkfs.ext4", &["-q", "-F", image]).and_then(|()| mount());
    if let Err(why) = made {
        return skips::skip(TEST, &format!("no file system in a file: {why}"));
    }
    let wanted = std::env::var(CUTS).ok().and_then(|text| text.parse().ok());
    let mut random = Random(7);
    let wanted = wanted.unwrap_or(CUTS_DEFAULT);
    for cut in 0..wanted {
        let worker = |number| start(&disk, logs, number, cut as u64 * 100 + number as u64);
        // Others' syncing is good for what a worker forgets, so some cuts have only one.
        let count = if cut % 2 == 0 { 1 } else { WORKERS };
        let workers: Vec<Child> = (0..count).map(worker).collect();
        std::thread::sleep(std::time::Duration::from_millis(30 + random.below(400)));
        wait_for_word(logs);
        let opened = sys::fs::open_read(disk.to_str().unwrap()).unwrap();
        sys::fs::cut_off(&opened).unwrap();
        drop(opened);
        workers.into_iter().for_each(check_end);
        run("umount", &[disk.to_str().unwrap()]).unwrap();
        mount().unwrap();
        crash::check_with(&disk, logs, &format!("cut {cut}"));
    }
    crash::check_empties(&disk);
    run("umount", &[disk.to_str().unwrap()]).unwrap();
    crash::tell(&format!("cut off {wanted} times"));
}
