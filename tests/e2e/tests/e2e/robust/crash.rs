//! SIGKILL at exact points, and what `delete --force` makes of what is left.

use super::{
    GONE_DEADLINE, Role, Scenario, Tally, Verb, assert_nothing_left, clean, find, quietly,
};
use e2e::watch::Verdict;
use e2e::{rounds, spread};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many points of each kind a test run tries; `cargo xtask crash` tries all.
const USUAL_POINTS: usize = 2;

/// Who is killed, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kill {
    /// The runtime, before its n-th call.
    Caller,
    /// The init, before its n-th call.
    Child,
    /// The runtime, before the init's n-th call; the init goes on.
    CallerAtChild,
}

impl Kill {
    fn counts(self) -> Role {
        if self == Self::Caller { Role::Caller } else { Role::Child }
    }
}

/// Kills at one point. `false`: the point was not reached.
fn kill_at(scenario: &Scenario, bundle: &e2e::Bundle, kill: Kill, point: usize) -> bool {
    let case = format!("{}, {kill:?} at call {point}", scenario.name);
    scenario.prepare(bundle);
    let hit = Arc::new(AtomicBool::new(false));
    let (noted, mut tally) = (Arc::clone(&hit), Tally::default());
    let mut watched = scenario.watch(bundle, move |_, notice| {
        let Some((role, number)) = tally.next(notice) else { return Verdict::Continue };
        if role != kill.counts() || number != point || noted.swap(true, Ordering::Relaxed) {
            return Verdict::Continue;
        }
        if kill == Kill::CallerAtChild {
            let caller = tally.caller.unwrap_or_default();
            // It may have ended, while the init goes on.
            let killed = sys::process::kill(caller as i32, 9).is_ok();
            noted.store(killed, Ordering::Relaxed);
            return Verdict::Continue;
        }
        Verdict::Kill
    });
    let status = watched.wait();
    let hit = hit.load(Ordering::Relaxed);
    if status.success() && hit && kill == Kill::Child && scenario.verb == Verb::Create {
        // The init was killed while it waits for `start`, or a helper that had done its work.
        let status = bundle.status();
        assert!(["created", "stopped"].contains(&status.as_str()), "{case}: {status}");
    } else if hit && kill == Kill::Child && matches!(scenario.verb, Verb::Create | Verb::Run) {
        // A runtime that lives says what happened and takes everything back itself.
        let said = bundle.said();
        assert_eq!(status.code(), Some(1), "{case}: {said}");
        assert_eq!(said.lines().count(), 1, "{case}: {said}");
        assert!(said.contains("error"), "{case}: {said}");
        assert_nothing_left(&case, bundle);
    }
    clean(&case, bundle, watched);
    hit
}

/// Kills all over a scenario, and uses the name again.
fn kill_everywhere(name: &str) {
    let scenario = find(name);
    let Some(bundle) = scenario.bundle(name) else { return };
    let [callers, childs] = scenario.calls(&bundle).map(|calls| calls.len());
    let mut hits = 0;
    for kill in [Kill::Caller, Kill::Child, Kill::CallerAtChild] {
        let total = if kill == Kill::Caller { callers } else { childs };
        for point in spread(total, rounds(USUAL_POINTS)) {
            hits += usize::from(kill_at(scenario, &bundle, kill, point));
        }
        // The name is free.
        quietly(&bundle, &["create", "--bundle", bundle.path(""), bundle.id()]);
        quietly(&bundle, &["delete", "--force", bundle.id()]);
    }
    e2e::report(&format!("killed at {hits} points of {name}"));
    // The number of calls differs by one or two from run to run.
    assert!(hits > 0, "{name}: {callers} and {childs} calls");
}

/// An init that is killed closes the fifo that `start` listens to, just as exec does.
#[test]
fn start_tells_that_the_init_was_killed() {
    let scenario = find("create");
    let Some(bundle) = scenario.bundle("start_tells_that_the_init_was_killed") else { return };
    /// The init makes some forty calls between the fifo and exec.
    const MOST_CALLS: usize = 200;
    for point in 0..MOST_CALLS {
        let created = Arc::new(AtomicBool::new(false));
        let hit = Arc::new(AtomicBool::new(false));
        let (waits, noted) = (Arc::clone(&created), Arc::clone(&hit));
        let (mut tally, mut after) = (Tally::default(), 0);
        let mut watched = scenario.watch(&bundle, move |_, notice| {
            let by_init = matches!(tally.next(notice), Some((Role::Child, _)));
            if !by_init || !waits.load(Ordering::Relaxed) {
                return Verdict::Continue;
            }
            after += 1;
            if after - 1 < point || noted.swap(true, Ordering::Relaxed) {
                return Verdict::Continue;
            }
            Verdict::Kill
        });
        assert!(watched.wait().success(), "{}", bundle.said());
        created.store(true, Ordering::Relaxed);
        let start = bundle.runtime(&["start", bundle.id()]);
        let (said, hit) = (e2e::stderr(&start), hit.load(Ordering::Relaxed));
        let case = format!("call {point}: {said}");
        assert_eq!(start.status.success(), !hit, "{case}");
        assert_eq!(said.lines().count(), usize::from(hit), "{case}");
        clean(&case, &bundle, watched);
        if !hit {
            assert!(point >= 3, "{case}");
            return;
        }
    }
    panic!("the init makes more than {MOST_CALLS} calls before exec");
}

#[test]
fn a_killed_create_can_be_deleted() {
    kill_everywhere("create");
}

#[test]
fn a_killed_create_with_a_user_namespace_can_be_deleted() {
    kill_everywhere("create users");
}

#[test]
fn a_killed_create_with_a_joined_namespace_can_be_deleted() {
    kill_everywhere("create joined");
}

#[test]
fn a_killed_create_without_a_mount_namespace_can_be_deleted() {
    kill_everywhere("create shared");
}

#[test]
fn a_killed_create_without_a_cgroup_can_be_deleted() {
    kill_everywhere("create bare");
}

#[test]
fn a_killed_run_can_be_deleted() {
    kill_everywhere("run");
}

#[test]
fn a_container_of_a_killed_start_can_be_deleted() {
    kill_everywhere("start");
}

#[test]
fn a_container_of_a_killed_exec_can_be_deleted() {
    kill_everywhere("exec");
}

#[test]
fn a_killed_delete_can_be_repeated() {
    kill_everywhere("delete");
}

/// Nobody waits for what a detached call leaves behind: it looks before it goes.
#[test]
fn detached_processes_that_were_killed_are_told() {
    let scenario = find("exec");
    let Some(bundle) = scenario.bundle("detached_processes_that_were_killed_are_told") else {
        return;
    };
    let (path, id) = (bundle.path(""), bundle.id());
    let kill_at_exec = |args: &[&str]| {
        let mut tally = Tally::default();
        let mut watched = bundle.watched(args, move |_, notice| {
            let role = tally.next(notice).map(|(role, _)| role);
            let is_exec = role == Some(Role::Child) && notice.number == super::EXECVE;
            if is_exec { Verdict::Kill } else { Verdict::Continue }
        });
        let status = watched.wait();
        assert!(watched.is_gone_within(GONE_DEADLINE), "{args:?}");
        assert!(bundle.said().contains("was killed before it executed its program"), "{args:?}");
        status.code()
    };
    assert_eq!(kill_at_exec(&["run", "--detach", "--bundle", path, id]), Some(1));
    assert_nothing_left("run", &bundle);
    scenario.prepare(&bundle);
    assert_eq!(kill_at_exec(&["exec", "--detach", id, "sleep", "100"]), Some(255));
    assert_eq!(bundle.status(), "running");
}
