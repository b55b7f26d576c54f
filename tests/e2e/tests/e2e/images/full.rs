//! Disks that are full: of bytes, or of files. With a little more room each time, until the verb has
//! all that it needs.

use super::verbs::{Case, VERBS};
use e2e::failing::what_is_wrong_with;
use e2e::images::Yard;
use e2e::{report, rounds, skip};
use sys::Errno;

/// What every test run tries, and how much more room there is each time; `cargo xtask faults` tries all.
const USUAL_VERBS: [&str; 4] = ["pull", "gc", "rmi", "push to docker's archive"];
const USUAL_STEP: usize = 9;
const FREEING: [&str; 3] = ["rmi", "prune", "gc"];
const CLONE_NEWNS: u32 = 0x0002_0000;
const BLOCK: u64 = 4096;
/// More than any verb needs here.
const STEPS_LIMIT: u64 = 400;

/// What there is little of.
#[derive(Clone, Copy)]
pub(in super::super) enum Scarce {
    Bytes,
    Files,
}

/// Lets the test's thread, and what it starts, have mounts that nobody else sees. `false`: this machine
/// does not; said by SKIP.
pub(super) fn private_mounts(test: &str) -> bool {
    if let Err(errno) = sys::process::unshare(CLONE_NEWNS) {
        skip(test, &format!("no mount namespace can be made: {errno}"));
        return false;
    }
    sys::mount::mount("", "/", "", sys::mount::MS_REC | sys::mount::MS_PRIVATE, "").unwrap();
    true
}

/// A tmpfs that only the test's thread sees.
pub(in super::super) struct Disk {
    place: std::path::PathBuf,
}

impl Disk {
    pub(in super::super) fn new(test: &str) -> Option<Self> {
        if !private_mounts(test) {
            return None;
        }
        let place =
            std::env::temp_dir().join(format!("tare-e2e-full-{}-{test}", std::process::id()));
        // A test that was killed may have had this process's number, and left an empty directory.
        std::fs::create_dir_all(&place).unwrap();
        let disk = Self { place };
        disk.mount(0, "");
        Some(disk)
    }

    fn mount(&self, flags: u32, options: &str) {
        sys::mount::mount("none", self.place.to_str().unwrap(), "tmpfs", flags, options).unwrap();
    }

    /// Leaves so many blocks or files free.
    pub(in super::super) fn leave(&self, scarce: Scarce, count: u64) {
        let opened = sys::fs::open_read(self.place.to_str().unwrap()).unwrap();
        let stat = sys::fs::statfs(&opened).unwrap();
        let options = match scarce {
            Scarce::Bytes => format!("size={}", (stat.f_blocks - stat.f_bfree + count) * BLOCK),
            Scarce::Files => format!("nr_inodes={}", stat.f_files - stat.f_ffree + count),
        };
        self.mount(sys::mount::MS_REMOUNT, &options);
    }

    /// How many blocks are free.
    pub(in super::super) fn free_blocks(&self) -> u64 {
        let opened = sys::fs::open_read(self.place.to_str().unwrap()).unwrap();
        sys::fs::statfs(&opened).unwrap().f_bfree
    }

    /// How many files can be made.
    pub(in super::super) fn free_files(&self) -> u64 {
        let opened = sys::fs::open_read(self.place.to_str().unwrap()).unwrap();
        sys::fs::statfs(&opened).unwrap().f_ffree
    }

    /// Where it is.
    pub(in super::super) fn place(&self) -> &std::path::Path {
        &self.place
    }

    pub(in super::super) fn leave_all(&self) {
        self.mount(sys::mount::MS_REMOUNT, "size=1g,nr_inodes=1000000");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = sys::mount::unmount(self.place.to_str().unwrap(), 2);
        let _ = std::fs::remove_dir(&self.place);
    }
}

/// A verb with so little room. `true`: it succeeded.
fn with_room(case: &Case, disk: &Disk, scarce: Scarce, count: u64) -> (bool, Vec<String>) {
    case.reset();
    disk.leave(scarce, count);
    let output = case.run();
    disk.leave_all();
    let said = e2e::stderr(&output);
    let succeeded = output.status.success();
    let mut problems = Vec::new();
    if !succeeded {
        problems.extend(what_is_wrong_with(&said, Errno::ENOSPC));
    }
    problems.extend(case.what_is_wrong(succeeded));
    (succeeded, problems)
}

/// A verb with more and more room. Returns how often it failed.
fn fill(case: &Case, disk: &Disk, scarce: Scarce, step: usize) -> Vec<String> {
    let name = case.verb.name;
    case.reset();
    assert!(case.run().status.success(), "{name}");
    case.note_after();
    let (mut failures, mut problems) = (0, Vec::new());
    for count in (0..STEPS_LIMIT).step_by(step) {
        let (succeeded, found) = with_room(case, disk, scarce, count);
        problems.extend(found.into_iter().map(|it| format!("{name}: {count} left: {it}")));
        if succeeded {
            break;
        }
        failures += 1;
    }
    report(&format!("full at {failures} points of {name}"));
    // What frees space needs none.
    if FREEING.contains(&name) != (failures == 0) {
        problems.push(format!("{name} failed {failures} times"));
    }
    problems
}

fn fill_everywhere(test: &str, scarce: Scarce) {
    let Some(disk) = Disk::new(test) else { return };
    let is_long = rounds(0) > 0;
    let mut problems = Vec::new();
    for verb in &VERBS {
        if !is_long && !USUAL_VERBS.contains(&verb.name) {
            continue;
        }
        let Some(case) = Case::new_in(Yard::below(&disk.place), verb, test) else { continue };
        problems.extend(fill(&case, &disk, scarce, if is_long { 1 } else { USUAL_STEP }));
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn verbs_on_a_disk_without_space() {
    fill_everywhere("verbs_on_a_disk_without_space", Scarce::Bytes);
}

#[test]
fn verbs_on_a_disk_without_inodes() {
    fill_everywhere("verbs_on_a_disk_without_inodes", Scarce::Files);
}
