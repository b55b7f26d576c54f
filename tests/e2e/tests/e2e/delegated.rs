//! Limits of an ordinary user's containers: where control groups are delegated, by an administrator or by the user's
//! own systemd, and where they are not.

use super::images_scratch::Scratch;
use super::running::box_with;
use e2e::{program, skip, stderr, stdout};
use std::process::Command;

const NOBODY: u32 = 65534;
/// Whoever wants these tests to be run with a systemd of a user's own makes one for this user (`cargo xtask vm` does).
const USER: &str = "tare-e2e";

/// What has a container limited, measured, changed, stopped and entered, and its expected output.
const LIMITS: &str = "
    tare import -q box.tar box:1 > /dev/null
    tare run --rm --memory 64m --cpus 0.5 --pids-limit 33 box:1 sh -c 'cd /sys/fs/cgroup; cat memory.max cpu.max pids.max'
    tare run -d --name it --memory 64m box:1 sleep 1000 > /dev/null
    tare stats --no-stream --format '{{.PIDs}} {{.MemUsage}}' it | sed 's/ .* / /'
    tare update --memory 32m --pids-limit 9 it
    tare exec it cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /proc/self/cgroup
    tare pause it; tare inspect --format '{{.State.Status}}' it; tare unpause it
    tare top it | wc -l
    tare rm -f it
    tare run --name big --memory 16m --memory-swap 16m box:1 sh -c 'x=a; while :; do x=$x$x; done'; echo $?
    tare inspect --format '{{.State.OOMKilled}}' big; tare rm big
    tare run --name small --memory 16m --memory-swap 16m box:1 pwd; tare inspect --format '{{.State.OOMKilled}}' small; tare rm small";
const LIMITED: &str = "67108864\n50000 100000\n33\n1 64MiB\nit\n33554432\n9\n0::/\nit\npaused\nit\n2\nit\n\
                       137\ntrue\nbig\n/\nfalse\nsmall\n";

/// Somebody with a store, and no rights.
struct Ordinary {
    scratch: Scratch,
    uid: u32,
}

impl Ordinary {
    fn new(test: &str, uid: u32) -> Option<Self> {
        let scratch = box_with(test, &["CMD [\"sh\"]"])?;
        // The build directory may be closed to other users.
        std::fs::copy(program("tare"), scratch.path("tare")).unwrap();
        scratch.sh(&format!("mkdir home; chmod 755 . tare; chown {uid}:{uid} home"));
        Some(Self { scratch, uid })
    }

    /// Runs a script as the user, in a control group or where this process is; `tare` in it is the program.
    fn run(&self, group: &str, script: &str) -> (String, String) {
        let tare =
            "tare() { ./tare --root home/store --runroot home/run --insecure-policy \"$@\"; }";
        std::fs::write(self.scratch.path("script"), format!("{tare}\n{script}\n")).unwrap();
        let user = format!(
            "test -z \"$1\" || echo $$ > $1/cgroup.procs
             exec setpriv --reuid {0} --regid {0} --clear-groups env -u XDG_CONFIG_HOME TARE_NETWORK=none \
             HOME=$PWD/home XDG_RUNTIME_DIR=$PWD/home sh ./script",
            self.uid
        );
        let mut command = Command::new("sh");
        command.args(["-ec", &user, "x", group]).current_dir(self.scratch.path(""));
        let output = command.output().unwrap();
        (stdout(&output), stderr(&output))
    }
}

fn is_v2() -> bool {
    std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// A cgroup that belongs to a user, and a place in it for its processes.
struct Delegated(String);

impl Delegated {
    fn new(scratch: &Scratch, controllers: &str) -> Self {
        let root = "/sys/fs/cgroup";
        // What is above it says which controllers there are.
        let top = format!("{root}/tare-e2e-{}", std::process::id());
        let group = format!("{top}/user");
        scratch.sh(&format!(
            "mkdir -p {group}/own
             for name in {controllers}; do for dir in {root} {top} {group}; do echo +$name > $dir/cgroup.subtree_control; done; done
             cd {group}; chown {NOBODY} . own cgroup.procs cgroup.subtree_control own/cgroup.procs"
        ));
        Self(group)
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        for dir in std::path::Path::new(&self.0).join("own").ancestors().take(3) {
            let _ = std::fs::remove_dir(dir);
        }
    }
}

#[test]
fn limits_hold_in_a_delegated_control_group() {
    let test = "limits_hold_in_a_delegated_control_group";
    if !is_v2() {
        return skip(test, "needs cgroup v2");
    }
    let Some(user) = Ordinary::new(test, NOBODY) else { return };
    let group = Delegated::new(&user.scratch, "cpu memory pids");
    let (said, why) = user.run(&format!("{}/own", group.0), LIMITS);
    assert_eq!(said, LIMITED, "{why}");
    let (said, why) = user.run(&format!("{}/own", group.0), "tare doctor | grep -A 1 ' cgroups '");
    assert!(said.contains("delegated: cpu memory pids, not cpuset io\n"), "{said}{why}");
    assert!(
        said.contains("-> an administrator delegates controllers to users: `systemctl edit user@"),
        "{said}"
    );
    // A limit of a controller that is not the user's is refused by its name.
    let (said, why) =
        user.run(&format!("{}/own", group.0), "tare run --rm --cpuset-cpus 0 box:1 pwd; echo $?");
    assert_eq!(said, "125\n", "{why}");
    assert!(
        why.contains("cannot set cpuset limit: ")
            && why.contains("has no controller cpuset\nhint: "),
        "{why}"
    );
    let left: Vec<_> =
        std::fs::read_dir(&group.0).unwrap().flatten().filter(|it| it.path().is_dir()).collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn limits_are_refused_where_nothing_is_delegated() {
    let test = "limits_are_refused_where_nothing_is_delegated";
    let Some(user) = Ordinary::new(test, NOBODY) else { return };
    let (said, why) = user.run(
        "",
        "tare import -q box.tar box:1 > /dev/null
         for limit in '--memory 64m' '--cpus 0.5' '--pids-limit 33'; do tare run --rm $limit box:1 pwd; echo $?; done
         tare run --rm box:1 pwd; tare ps -aq",
    );
    assert_eq!(said, "125\n125\n125\n/\n", "{why}");
    let (doctor, _) = user.run("", "tare doctor | grep -A 1 ' cgroups '");
    match is_v2() {
        true => {
            for option in ["--memory", "--cpus", "--pids-limit"] {
                let refused = why.lines().find(|line| line.contains(option));
                assert!(
                    refused.is_some_and(|it| it.contains("no control group can be made here")),
                    "{why}"
                );
            }
            assert_eq!(why.matches("\nhint: `loginctl enable-linger").count(), 3, "{why}");
            assert!(doctor.contains("not delegated: no limit can be set\n"), "{doctor}");
            assert!(doctor.contains("-> `loginctl enable-linger"), "{doctor}");
        }
        false => {
            assert_eq!(why.matches("\nhint: ").count(), 3, "{why}");
            assert!(doctor.contains("version 1\n"), "{doctor}");
        }
    }
}

#[test]
fn limits_hold_by_the_systemd_of_a_user() {
    let test = "limits_hold_by_the_systemd_of_a_user";
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with(&format!("{USER}:")));
    let uid = line.and_then(|line| line.split(':').nth(2)?.parse().ok());
    let has_systemd =
        |uid: &u32| std::path::Path::new(&format!("/run/user/{uid}/systemd/private")).exists();
    let Some(uid) = uid.filter(has_systemd).filter(|_| is_v2()) else {
        return skip(
            test,
            &format!("needs cgroup v2, and a user {USER} with a systemd of its own"),
        );
    };
    let Some(user) = Ordinary::new(test, uid) else { return };
    let (said, why) = user.run("", LIMITS);
    assert_eq!(said, LIMITED, "{why}");
    let (said, why) = user.run("", "tare doctor | grep ' cgroups '");
    assert!(
        said.contains("version 2, delegated: ") && said.contains(" memory pids"),
        "{said}{why}"
    );
    // Scopes go with what is in them.
    let manager =
        format!("/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service/user.slice");
    let scopes = || {
        let all = std::fs::read_dir(&manager).into_iter().flatten().flatten();
        all.filter(|it| it.file_name().to_string_lossy().starts_with("tare-")).count()
    };
    let gone = (0..6000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        scopes() == 0
    });
    assert!(gone, "{} scopes are left", scopes());
}

#[test]
fn the_machines_mount_of_control_groups_stays_as_it_is() {
    let test = "the_machines_mount_of_control_groups_stays_as_it_is";
    let Some(scratch) = box_with(test, &["CMD [\"sh\"]"]) else { return };
    let mounts = || scratch.sh("grep ' - cgroup' /proc/self/mountinfo");
    let before = mounts();
    let show = "grep ' - cgroup' /proc/self/mountinfo | wc -l";
    for options in [&["--cgroupns", "host"][..], &["--cgroupns", "private"], &["--privileged"]] {
        scratch
            .ok(&[&["run", "-d", "--name", "it"], options, &["box:1", "sleep", "1000"]].concat());
        for more in
            [&["--cgroupns", "container:it"][..], &["--cgroupns", "container:it", "--privileged"]]
        {
            scratch.ok(&[&["run", "--rm"], more, &["box:1", "busybox", "sh", "-c", show]].concat());
            assert_eq!(mounts(), before, "{options:?} {more:?}");
        }
        scratch.ok(&["rm", "-f", "it"]);
    }
}

#[test]
fn a_controller_that_nobody_has_used_is_there_for_an_update() {
    let test = "a_controller_that_nobody_has_used_is_there_for_an_update";
    if !is_v2() {
        return skip(test, "needs cgroup v2");
    }
    let Some(scratch) = box_with(test, &["CMD [\"sleep\", \"1000\"]"]) else { return };
    let group = Delegated::new(&scratch, "cpu memory pids");
    let parent = group.0.strip_prefix("/sys/fs/cgroup").unwrap();
    let id = scratch.ok(&["run", "-d", "--name", "it", "--cgroup-parent", parent, "box:1"]);
    scratch.ok(&["update", "--cpuset-cpus", "0", "--blkio-weight", "200", "it"]);
    assert_eq!(scratch.sh(&format!("cat {}/{id}/cpuset.cpus", group.0)), "0\n");
    scratch.ok(&["rm", "-f", "it"]);
    assert!(!std::path::Path::new(&format!("{}/{id}", group.0)).exists());
}
