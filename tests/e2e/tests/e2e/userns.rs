//! `tare run --userns` and its kin: whose the files are, inside, outside and on the disk.

use super::images_scratch::{Scratch, has_program};
use super::running::{MAKE, box_with, containers};
use e2e::{is_root, program, skip, stderr, stdout};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};

const IDS: u32 = 65_536;

/// A container that says what its map is, does what a script says, and waits until its input ends.
struct Waiting {
    child: Child,
    /// The first of its ids outside.
    first: u32,
    said: BufReader<std::process::ChildStdout>,
}

impl Waiting {
    fn start(scratch: &Scratch, options: &[&str], script: &str) -> Self {
        let script = format!("cat /proc/self/uid_map; {script}; echo ready; cat");
        let mut args = vec!["run", "--rm", "-i"];
        args.extend(options);
        args.extend(["box:1", "sh", "-c", &script]);
        let mut command = scratch.command(&args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starting tare");
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        while !text.ends_with("ready\n") {
            assert_ne!(said.read_line(&mut text).unwrap(), 0, "it ended: {text}");
        }
        let map: Vec<u32> = text.split_whitespace().take(3).map(|it| it.parse().unwrap()).collect();
        assert_eq!((map[0], map[2]), (0, IDS), "{text}");
        Self { child, first: map[1], said }
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

/// Files and blocks of a directory.
fn amount(scratch: &Scratch, dir: &str) -> String {
    scratch.sh(&format!("find store/{dir} | wc -l; du -s store/{dir}"))
}

#[test]
fn containers_have_ids_of_their_own_and_layers_in_common() {
    let test = "containers_have_ids_of_their_own_and_layers_in_common";
    let Some(scratch) = box_with(test, &["CMD [\"sh\"]"]) else { return };
    let before = amount(&scratch, "layers");
    scratch.sh("mkdir -m 777 shared");
    let volume = format!("{}:/shared", scratch.path("shared"));
    let start = |name: &str| {
        let script = format!("touch /own /shared/{name}; chown 33:50 /own; chmod 700 /etc/passwd");
        Waiting::start(&scratch, &["--userns", "auto", "--name", name, "-v", &volume], &script)
    };
    let dir = |name: &str| {
        let link = std::fs::read_link(scratch.path(&format!("store/engine/names/{name}")));
        format!("store/containers/{}", link.unwrap().display())
    };
    let running = [("u-one", start("u-one")), ("u-two", start("u-two"))];
    let (one, two) = (running[0].1.first, running[1].1.first);
    assert!(one.abs_diff(two) >= IDS, "{one} {two}");
    for (name, container) in &running {
        let owner = |path: &str| {
            let meta = std::fs::symlink_metadata(scratch.path(path)).unwrap();
            (meta.uid(), meta.gid())
        };
        // In the store a file is the container's 0 and 33, elsewhere that of the host whom these are.
        assert_eq!(owner(&format!("{}/upper/own", dir(name))), (33, 50));
        assert_eq!(owner(&format!("{}/upper/etc/passwd", dir(name))), (0, 0));
        assert_eq!(owner(&format!("shared/{name}")), (container.first, container.first));
    }
    assert_eq!(amount(&scratch, "layers"), before);
    for (_, container) in running {
        container.end();
    }
    assert_eq!(containers(&scratch), 0);
    scratch.ok(&["fsck", "--full"]);
}

#[test]
fn files_of_an_image_are_the_containers() {
    let test = "files_of_an_image_are_the_containers";
    let Some(scratch) = box_with(test, &["CMD [\"sh\"]"]) else { return };
    scratch.sh("mkdir -p b/srv; chown 33:50 b/srv; touch b/srv/far; chown 65535:70000 b/srv/far");
    scratch.sh("cp -a box/. b/; tar -C b -cf b.tar .");
    scratch.ok(&["import", "-q", &scratch.path("b.tar"), "box:1"]);
    let look =
        "stat -c '%u %g' / /bin/busybox /srv /srv/far /etc/hosts; echo x >> /etc/hosts; id -u";
    let auto = scratch.ok(&["run", "--rm", "--userns", "auto", "box:1", "sh", "-c", look]);
    // 70000 is nobody's in 65536 ids.
    assert_eq!(auto, "0 0\n0 0\n33 50\n65535 65534\n0 0\n0");
    let look = "cat /proc/self/uid_map /proc/self/gid_map; stat -c '%u %g' /bin/busybox /srv";
    let words = |args: &[&str]| {
        let args = [&["run", "--rm"], args, &["box:1", "sh", "-c", look]].concat();
        scratch.ok(&args).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let maps = ["--uidmap", "0:500000:40", "--gidmap", "0:600000:10", "--gidmap", "50:7:1"];
    assert_eq!(words(&maps), "0 500000 40 0 600000 10 50 7 1 0 0 33 50");
    let maps = ["--userns", "auto:size=30,uidmapping=0:7:1,gidmapping=0:8:1"];
    let text = words(&maps);
    assert!(text.starts_with("0 7 1 1 ") && text.ends_with(" 0 0 65534 65534"), "{text}");
    // Root's keep-id is everybody who they are, with rights in the container only.
    assert_eq!(words(&["--userns", "keep-id"]), "0 0 4294967295 0 0 4294967295 0 0 33 50");
    let user = scratch.ok(&["run", "--rm", "--userns", "auto", "-u", "web", "box:1", "id"]);
    assert_eq!(user, "uid=33(web) gid=33(web) groups=33(web),50(logs)");
    let read_only = ["run", "--rm", "--userns", "auto", "--read-only", "--network", "host"];
    let args = [&read_only[..], &["box:1", "stat", "-c", "%u", "/etc/passwd"]].concat();
    assert_eq!(scratch.ok(&args), "0");
    scratch.ok(&["fsck"]);
}

#[test]
fn names_of_ranges_are_those_of_subuid() {
    let test = "names_of_ranges_are_those_of_subuid";
    let Some(scratch) = box_with(test, &["CMD [\"cat\", \"/proc/self/uid_map\"]"]) else { return };
    let tare = format!(
        "{} --root {} --runroot {}",
        program("tare").display(),
        scratch.path("store"),
        scratch.path("run")
    );
    let said = scratch.sh(&format!(
        "printf 'a:700000:5\\nb:1:1\\na:800000:6\\ncontainers:900000:100\\n' > uids
         printf 'containers:900050:100\\na:1000:9\\n' > gids
         unshare -m sh -ec 'mount --bind uids /etc/subuid; mount --bind gids /etc/subgid
         {tare} run --rm --subuidname a box:1; {tare} run --rm --userns auto:size=20 box:1
         {tare} run --rm --userns auto:size=51 box:1 2>&1 || true'"
    ));
    let words: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(words[..6], ["0", "700000", "5", "5", "800000", "6"]);
    // What both tables give to containers.
    assert_eq!(words[6..9], ["0", "900050", "20"]);
    assert!(said.contains("no 51 ids in a row free, of 50"), "{said}");
}

#[test]
fn setuid_programs_and_capabilities_work_with_other_ids() {
    let test = "setuid_programs_and_capabilities_work_with_other_ids";
    if !is_root() {
        return skip(test, "needs root");
    }
    if !has_program(test, "setcap") {
        return;
    }
    let scratch = Scratch::new();
    scratch.sh(MAKE);
    scratch.sh(
        "cp box/bin/busybox box/bin/su; chmod 4755 box/bin/su
         cp box/bin/busybox box/bin/chown2; mv box/bin/chown2 box/home/chown; setcap cap_chown+ep box/home/chown
         sed -i s/root:x:/root::/ box/etc/passwd; touch box/home/web/f; chown 33 box/home/web box/home/web/f
         tar --xattrs --xattrs-include='*' -C box -cf box.tar .",
    );
    scratch.ok(&["import", "-q", "--change", "USER web", &scratch.path("box.tar"), "box:1"]);
    let script = "/bin/su -c 'id -u' root; /home/chown 7 /home/web/f; stat -c %u /home/web/f";
    for userns in ["host", "auto"] {
        let args = ["run", "--rm", "--userns", userns, "--security-opt", "no-new-privileges=false"];
        let args = [&args[..], &["box:1", "sh", "-c", script]].concat();
        assert_eq!(scratch.ok(&args), "0\n7", "{userns}");
        // Without that option nothing is gained.
        let output =
            scratch.tare(&["run", "--rm", "--userns", userns, "box:1", "sh", "-c", script]);
        assert_eq!(stdout(&output), "33\n", "{userns}: {}", stderr(&output));
    }
}

#[test]
fn ids_of_what_a_killed_command_leaves_are_not_given_away() {
    let test = "ids_of_what_a_killed_command_leaves_are_not_given_away";
    let Some(scratch) = box_with(test, &["CMD [\"sh\"]"]) else { return };
    let Some(other) = box_with(test, &["CMD [\"cat\", \"/proc/self/uid_map\"]"]) else { return };
    let mut killed =
        Waiting::start(&scratch, &["--userns", "auto", "--name", "k"], "sleep 1000 & :");
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    // It still runs, and another store knows nothing of it.
    let map = other.ok(&["run", "--rm", "--userns", "auto", "box:1"]);
    let first: u32 = map.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(first.abs_diff(killed.first) >= IDS, "{first} {}", killed.first);
    scratch.ok(&["rm", "-f", "k"]);
    assert_eq!(containers(&scratch), 0);
    killed.said.read_to_end(&mut Vec::new()).unwrap();
    assert!(!std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&scratch.path("")));
    scratch.ok(&["gc"]);
    let mounts = scratch.sh("find run -path '*/mounts/*' | wc -l");
    assert_eq!(mounts, "0\n");
    scratch.ok(&["fsck"]);
}

#[test]
fn many_at_once_have_no_ids_in_common() {
    let test = "many_at_once_have_no_ids_in_common";
    let Some(scratch) = box_with(test, &["CMD [\"sh\"]"]) else { return };
    let running: Vec<Waiting> = std::thread::scope(|scope| {
        let start = |_| scope.spawn(|| Waiting::start(&scratch, &["--userns", "auto"], ":"));
        let threads: Vec<_> = (0..8).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut firsts: Vec<u32> = running.iter().map(|it| it.first).collect();
    firsts.sort_unstable();
    assert!(firsts.windows(2).all(|pair| pair[1] - pair[0] >= IDS), "{firsts:?}");
    running.into_iter().for_each(Waiting::end);
    assert_eq!(containers(&scratch), 0);
}

#[test]
fn an_ordinary_user_keeps_the_own_id() {
    let test = "an_ordinary_user_keeps_the_own_id";
    let Some(scratch) = box_with(test, &["CMD [\"sh\"]"]) else { return };
    // The build directory may be closed to other users.
    std::fs::copy(program("tare"), scratch.path("tare")).unwrap();
    scratch.sh(
        "mkdir -m 755 home; chmod 755 . tare; chown 65534:65534 home; echo 65534:200000:65536 > ranges",
    );
    let tare = "setpriv --reuid 65534 --regid 65534 --clear-groups env -u XDG_CONFIG_HOME \
                HOME=$PWD/home XDG_RUNTIME_DIR=$PWD/home ./tare --root home/store --runroot home/run";
    scratch.sh(&format!("{tare} import -q box.tar box:1"));
    let fails = |options: &str| {
        let script = format!("{tare} run --rm {options} box:1 id");
        let output = Command::new("sh")
            .args(["-c", &script])
            .current_dir(scratch.path(""))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(125), "{options}");
        stderr(&output)
    };
    for (options, why) in [
        ("--userns keep-id", "without user and group 0\nhint: more than one id takes ranges"),
        ("--userns auto", "an ordinary user may not map the ids of the store's files"),
        ("--userns nomap", "files of the image would be nobody's"),
        ("--subuidname x", "an ordinary user may not map"),
    ] {
        let text = fails(options);
        assert!(text.contains(why) && text.contains("\nhint: "), "{options}: {text}");
    }
    if !has_program(test, "newuidmap") {
        return;
    }
    let look = "id -u; cat /proc/self/uid_map; touch /x; stat -c %u /x /bin/busybox";
    let said = scratch.sh(&format!(
        "mkdir -m 777 v; unshare -m sh -ec 'mount --bind ranges /etc/subuid; mount --bind ranges /etc/subgid
         {tare} run --rm --userns keep-id -v $PWD/v:/v box:1 sh -c \"touch /v/x; {look}\"
         {tare} run --rm --userns keep-id:uid=7,gid=8 box:1 sh -c \"{look}; id -g\"
         {tare} run --rm --userns keep-id -u root box:1 id -u
         {tare} run --rm --uidmap 0:0:10 box:1 cat /proc/self/uid_map'; stat -c %u v/x"
    ));
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    // Files of the image that are root's are the caller's, in the container, too.
    let first = "65534 0 1 65534 65534 0 1 65535 65535 2 65534 65534";
    let second = "7 0 1 7 7 0 1 8 8 65529 7 7 8";
    assert_eq!(words, format!("{first} {second} 0 0 0 1 1 1 9 65534"));
}

#[test]
fn what_is_no_user_namespace_is_refused() {
    let test = "what_is_no_user_namespace_is_refused";
    let Some(scratch) = box_with(test, &["CMD [\"sh\"]"]) else { return };
    for (options, why) in [
        (&["--userns", "x"][..], "there is no such mode"),
        (&["--userns", "private"], "it needs ids"),
        (&["--userns", "container:x"], "cannot be joined yet"),
        (&["--userns", "auto", "--uidmap", "0:1:1"], "for each other's place"),
        (&["--uidmap", "0:1"], "beyond"),
        (&["--uidmap", "1:1:9"], "without user and group 0"),
        (&["--uidmap", "0:500000:9", "--uidmap", "8:1:1"], "ids in common"),
        (
            &["--uidmap", "0:500000:9", "-u", "web"],
            "user 33: the container's user namespace has not",
        ),
        (&["--userns", "auto:size=4000000000"], "no 4000000000 ids in a row free"),
        (&["--userns", "auto:size=x"], "is not a number of ids"),
    ] {
        let args = [&["run", "--rm"], options, &["box:1", "id"]].concat();
        if why == "beyond" {
            // One id is enough for a container of root alone.
            assert_eq!(scratch.ok(&args), "uid=0(root) gid=0(root) groups=0(root)");
            continue;
        }
        let text = scratch.fails(125, &args);
        assert!(text.contains(why) && text.contains("\nhint: "), "{options:?}: {text}");
    }
    let text = scratch.fails(125, &["run", "--rm", "--userns", "auto", "host:/bin/sh"]);
    assert!(text.contains("a program of this machine has the caller's ids\nhint: "), "{text}");
    assert_eq!(containers(&scratch), 0);
}
