//! What somebody types once in a while: options that contradict each other, values that nobody has, places that are
//! another's.

use super::engine::Engine;
use e2e::stdout;

#[test]
fn options_that_cannot_be_meant_are_refused_in_words() {
    let Some(engine) = Engine::new("options_that_cannot_be_meant_are_refused_in_words") else {
        return;
    };
    let (dir, file) = (engine.0.path("dir"), engine.0.path("dir/file"));
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(&file, "x").unwrap();
    let volume = |rest: &str| format!("{dir}:{rest}");
    for (options, words) in [
        (&["-v", &volume("/d:rw,ro")][..], "invalid mode: rw,ro"),
        (&["-v", &volume("/d:shared,slave")], "invalid mode: shared,slave"),
        (&["-v", &volume("/d:ro:x")], "too many colons"),
        (&["-v", "dir"], "the target is not an absolute path"),
        (&["-v", &format!("{file}:/etc")], "mounting a file, "),
        (&["-v", &volume("/etc/passwd")], "mounting a directory, "),
        (&["--mount", &format!("type=bind,src={file},dst=/etc")], "on a directory, /etc"),
        (&["--uts", "host", "-h", "x"], "hostname and the UTS mode"),
        (&["--cpu-shares", "-1"], "--cpu-shares: it is a number"),
        (&["--cpuset-cpus", "4000"], "requested CPUs are not available: 4000"),
        (&["--cpuset-cpus", "all"], "it is no list of CPUs"),
        (&["--health-cmd", "pwd", "--health-interval", "1ns"], "cannot be less than 1ms"),
        (&["--expose", "99999"], "invalid port"),
    ] {
        let text = engine.0.fails(125, &[&["run", "--rm"], options, &["box:1", "pwd"]].concat());
        assert!(text.contains(words), "{options:?}: {text}");
    }
    assert_eq!(engine.ok(&["ps", "-aq"]), "");
    // What is mounted below another mount lies there, whatever the image has at its place.
    let below = volume("/d/file/deep");
    let mounts = ["-v", &volume("/d"), "--tmpfs", "/d/file2", "--shm-size", "0"];
    assert_eq!(
        engine.ok(&[&["run", "--rm"], &mounts[..], &["box:1", "cat", "/d/file"]].concat()),
        "x"
    );
    engine.0.fails(125, &["run", "--rm", "-v", &volume("/d"), "-v", &below, "box:1", "pwd"]);
}

#[test]
fn who_joins_an_ipc_namespace_shares_its_memory_by_name_too() {
    let test = "who_joins_an_ipc_namespace_shares_its_memory_by_name_too";
    let Some(engine) = Engine::idle(test) else { return };
    engine.ok(&["run", "-d", "--name", "it", "--ipc", "shareable", "--shm-size", "2m", "box:1"]);
    engine.ok(&["exec", "it", "sh", "-c", "echo theirs > /dev/shm/a"]);
    let script =
        "cat /dev/shm/a; echo mine > /dev/shm/b; grep -c 'dev/shm.*size=2048k' /proc/mounts";
    let join = ["run", "--ipc", "container:it", "--name", "two", "box:1", "sh", "-c", script];
    assert_eq!(engine.ok(&join), "theirs\n1");
    assert_eq!(engine.ok(&["exec", "it", "cat", "/dev/shm/b"]), "mine");
    // At each start it is that of the other's last one.
    engine.ok(&["restart", "-t", "0", "it"]);
    engine.ok(&["exec", "it", "sh", "-c", "echo new > /dev/shm/a"]);
    assert_eq!(engine.ok(&["start", "-a", "two"]), "new\n1");
    engine.ok(&["run", "-d", "--name", "own", "--ipc", "private", "box:1"]);
    let text = engine.0.fails(125, &["run", "--rm", "--ipc", "container:own", "box:1", "pwd"]);
    assert!(text.contains("non-shareable IPC"), "{text}");
    engine.ok(&["rm", "-f", "two"]);
    engine.ok(&["fsck"]);
}

#[test]
fn a_whole_root_directory_is_copied_without_what_the_kernel_shows_there() {
    let test = "a_whole_root_directory_is_copied_without_what_the_kernel_shows_there";
    let Some(engine) = Engine::idle(test) else { return };
    engine.ok(&["run", "-d", "--name", "it", "-v", "data:/data", "box:1"]);
    engine.ok(&["exec", "it", "sh", "-c", "echo x > /data/own; echo y > /dev/shm/y"]);
    engine.0.sh("mkdir all");
    engine.ok(&["cp", "it:/.", "all"]);
    let look = "cat all/data/own all/dev/shm/y; ls all/proc all/sys all/dev/pts; ls all/etc/passwd; \
                find all/dev -type c -o -type b";
    assert_eq!(engine.0.sh(look), "x\ny\nall/dev/pts:\n\nall/proc:\n\nall/sys:\nall/etc/passwd\n");
    let output = engine.0.tare(&["cp", "it:/", "-"]);
    assert!(output.status.success() && output.stdout.len() > 1_000_000);
}

#[test]
fn the_group_of_a_program_is_among_its_groups() {
    let test = "the_group_of_a_program_is_among_its_groups";
    let Some(engine) = Engine::idle(test) else { return };
    let groups = ["sh", "-c", "grep ^Groups /proc/self/status | busybox tr -s '\\t ' ' '"];
    let run = |options: &[&str]| {
        engine.ok(&[&["run", "--rm"], options, &["box:1"], &groups].concat()).trim().to_owned()
    };
    assert_eq!(run(&[]), "Groups: 0");
    assert_eq!(run(&["-u", "1234:5"]), "Groups: 5");
    assert_eq!(run(&["-u", "1234", "--group-add", "7"]), "Groups: 0 7");
    engine.ok(&["run", "-d", "--name", "it", "box:1"]);
    let exec = engine.ok(&[&["exec", "-u", "1:6", "it"], &groups[..]].concat());
    assert_eq!(exec.trim(), "Groups: 6");
}

#[test]
fn read_only_is_everything_but_what_was_given_to_write() {
    let test = "read_only_is_everything_but_what_was_given_to_write";
    let Some(engine) = Engine::new(test) else { return };
    let script = "for file in /etc/hosts /etc/resolv.conf /etc/hostname /x; do busybox touch $file 2> /dev/null && echo $file; done; \
                  busybox touch /d/x /t/x /dev/shm/x && echo written";
    let options = ["run", "--rm", "--read-only", "-v", "data:/d", "--tmpfs", "/t", "box:1"];
    assert_eq!(engine.ok(&[&options[..], &["sh", "-c", script]].concat()), "written");
    let options =
        ["run", "--rm", "box:1", "sh", "-c", "echo 10.0.0.9 x >> /etc/hosts && echo fine"];
    assert_eq!(engine.ok(&options), "fine");
}

#[test]
fn times_are_those_of_the_users_clock() {
    let test = "times_are_those_of_the_users_clock";
    let Some(engine) = Engine::new(test) else { return };
    engine.ok(&["run", "--name", "it", "box:1", "sh", "-c", "echo said"]);
    let year = |zone: &str, option: &str, time: &str| {
        let mut command = engine.0.command(&["logs", option, time, "it"]);
        command.env("TZ", zone);
        stdout(&command.output().unwrap())
    };
    let shell = |zone: &str, ahead: &str| {
        engine.0.sh(&format!("TZ={zone} date -d '{ahead}' +%Y-%m-%dT%H:%M:%S")).trim().to_owned()
    };
    // Half an hour from now is behind them in all zones, and half an hour ago before.
    for zone in ["UTC", "Asia/Tokyo", "America/New_York"] {
        if !std::path::Path::new("/usr/share/zoneinfo").join(zone).exists() {
            e2e::skip(test, "needs /usr/share/zoneinfo");
            return;
        }
        assert_eq!(year(zone, "--since", &shell(zone, "30 minutes ago")), "said\n", "{zone}");
        assert_eq!(year(zone, "--since", &shell(zone, "30 minutes")), "", "{zone}");
        assert_eq!(year(zone, "--until", &shell(zone, "30 minutes ago")), "", "{zone}");
    }
    assert_eq!(year("Asia/Tokyo", "--since", ""), "said\n");
    assert_eq!(year("Asia/Tokyo", "--since", "2020-01-01T00:00+09:00"), "said\n");
    let text = engine.0.fails(1, &["system", "prune", "-f", "--volumes", "--filter", "until=1h"]);
    assert!(text.contains("not supported with \"--volumes\""), "{text}");
    assert_eq!(engine.ok(&["ps", "-a", "--format", "{{.Names}}"]), "it");
}
