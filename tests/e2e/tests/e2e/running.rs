//! `tare run IMAGE`.

use super::images_scratch::{Registry, Scratch};
use e2e::{is_root, program, skip, stderr, stdout};
use std::process::{Command, Stdio};

/// A root directory with a shell, and an image of it.
pub(super) const MAKE: &str = "
    mkdir -p box/bin box/etc box/tmp box/home/web
    cp \"$(command -v busybox)\" box/bin/
    for name in sh ls cat id echo touch pwd sleep chown stat mkdir; do ln -s busybox box/bin/$name; done
    printf 'root:x:0:0:root:/root:/bin/sh\\nweb:x:33:33::/home/web:/bin/sh\\n' > box/etc/passwd
    printf 'root:x:0:\\nweb:x:33:\\nlogs:x:50:web\\n' > box/etc/group
    chmod 1777 box/tmp
    tar -C box -cf box.tar .";

/// A store with that image; nothing where containers cannot be made.
pub(super) fn box_with(test: &str, changes: &[&str]) -> Option<Scratch> {
    if !is_root() {
        skip(test, "needs root");
        return None;
    }
    let scratch = Scratch::new();
    scratch.sh(MAKE);
    let mut args = vec!["import", "-q"];
    args.extend(changes.iter().flat_map(|change| ["--change", change]));
    let (tar, name) = (scratch.path("box.tar"), "box:1");
    args.extend([tar.as_str(), name]);
    scratch.ok(&args);
    Some(scratch)
}

pub(super) fn containers(scratch: &Scratch) -> usize {
    std::fs::read_dir(scratch.path("store/containers")).unwrap().count()
}

#[test]
fn an_image_runs_as_its_configuration_says() {
    let changes = [
        "ENV A=image B=image",
        "USER web",
        "WORKDIR /srv/deep",
        "ENTRYPOINT [\"sh\", \"-c\"]",
        "CMD [\"id; pwd; echo $A $B $HOME\"]",
    ];
    let Some(scratch) = box_with("an_image_runs_as_its_configuration_says", &changes) else {
        return;
    };
    let said = scratch.ok(&["run", "--rm", "box:1"]);
    let id = "uid=33(web) gid=33(web) groups=33(web),50(logs)";
    assert_eq!(said, format!("{id}\n/srv/deep\nimage image /home/web"));
    // Options come before what the image says, and arguments in the place of its command.
    std::fs::write(scratch.path("vars"), "# none\n\nB=file\nC=file\n").unwrap();
    let file = scratch.path("vars");
    let said = scratch.ok(&[
        "run",
        "--env-file",
        &file,
        "-e",
        "C=option",
        "-u",
        "7:logs",
        "-w",
        "/tmp",
        "box:1",
        "id -u; id -g; pwd; echo $A $B $C",
    ]);
    assert_eq!(said, "7\n50\n/tmp\nimage file option");
    // Another entry point has not the command of the image's own.
    assert_eq!(scratch.ok(&["run", "--entrypoint", "echo", "box:1"]), "");
    assert_eq!(scratch.ok(&["run", "--entrypoint", "[\"echo\", \"a\"]", "box:1", "b"]), "a b");
    let text = scratch.fails(125, &["run", "-u", "nobody", "box:1"]);
    assert!(text.contains("user \"nobody\": /etc/passwd of the image has none\nhint: "), "{text}");
}

#[test]
fn what_a_container_writes_goes_with_it() {
    let Some(scratch) = box_with("what_a_container_writes_goes_with_it", &["CMD [\"sh\"]"]) else {
        return;
    };
    let output =
        scratch.tare(&["run", "--rm", "box:1", "sh", "-c", "echo x > /new; cat /new; exit 7"]);
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("x\n", Some(7)));
    assert_eq!(scratch.tare(&["run", "--rm", "box:1", "cat", "/new"]).status.code(), Some(1));
    assert_eq!(scratch.tare(&["run", "--rm", "box:1", "nosuch"]).status.code(), Some(127));
    assert_eq!(scratch.tare(&["run", "--rm", "box:1", "/etc/passwd"]).status.code(), Some(126));
    let output = scratch.tare(&["run", "--rm", "--read-only", "box:1", "touch", "/new"]);
    assert!(stderr(&output).contains("Read-only file system"), "{}", stderr(&output));
    let said = scratch.ok(&["run", "--rm", "--hostname", "here", "box:1", "cat", "/etc/hostname"]);
    assert_eq!(said, "here");
    assert_eq!(containers(&scratch), 0);
    assert!(!std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&scratch.path("")));
    scratch.ok(&["fsck"]);
}

#[test]
fn an_image_is_pulled_as_it_is_wanted() {
    let test = "an_image_is_pulled_as_it_is_wanted";
    let Some(scratch) = box_with(test, &["CMD [\"echo\", \"one\"]"]) else { return };
    let Some(registry) = Registry::start(test, &scratch) else { return };
    let name = registry.at("box:1");
    scratch.ok(&["push", "-q", "box:1", &format!("docker://{name}")]);
    let text = scratch.fails(125, &["run", "--pull", "never", &name]);
    assert!(text.contains("it is not in the store\nhint: "), "{text}");
    assert_eq!(scratch.ok(&["run", "-q", &name]), "one");
    // Another image of that name is not looked for unless somebody wants it.
    let tar = scratch.path("box.tar");
    scratch.ok(&["import", "-q", "--change", "CMD [\"echo\", \"two\"]", &tar, "box:2"]);
    scratch.ok(&["push", "-q", "box:2", &format!("docker://{name}")]);
    assert_eq!(scratch.ok(&["run", &name]), "one");
    assert_eq!(scratch.ok(&["run", "-q", "--pull", "always", &name]), "two");
    let text = scratch.fails(125, &["run", &registry.at("nosuch")]);
    assert!(text.starts_with("tare: pulling "), "{text}");
    assert_eq!(text.matches("tare: ").count(), 1, "{text}");
}

#[test]
fn several_run_at_once() {
    let Some(scratch) = box_with("several_run_at_once", &["CMD [\"sh\"]"]) else { return };
    let commands: Vec<_> = (0..12)
        .map(|number| {
            let script = format!("echo {number} > /own; cat /own");
            let mut command = scratch.command(&["run", "--rm", "box:1", "sh", "-c", &script]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for (number, command) in commands.into_iter().enumerate() {
        let output = command.wait_with_output().unwrap();
        assert_eq!(stdout(&output), format!("{number}\n"), "{}", stderr(&output));
    }
    assert_eq!(containers(&scratch), 0);
}

#[test]
fn tables_of_users_are_those_of_the_image_only() {
    let test = "tables_of_users_are_those_of_the_image_only";
    let Some(scratch) = box_with(test, &["CMD [\"id\", \"-u\"]"]) else { return };
    let own = scratch.path("passwd");
    std::fs::write(&own, "web:x:77:77::/:/bin/sh\n").unwrap();
    // The host's file is not found through a link, and a pipe is not waited for.
    for make in
        [format!("ln -sf {own} box/etc/passwd"), "rm box/etc/passwd; mkfifo box/etc/passwd".into()]
    {
        scratch.sh(&format!("{make}; tar -C box -cf bad.tar ."));
        scratch.ok(&[
            "import",
            "-q",
            "--change",
            "CMD [\"id\", \"-u\"]",
            &scratch.path("bad.tar"),
            "bad:1",
        ]);
        let text = scratch.fails(125, &["run", "-u", "web", "bad:1"]);
        assert!(text.contains("passwd"), "{text}");
    }
}

#[test]
fn an_ordinary_user_runs_an_image() {
    let test = "an_ordinary_user_runs_an_image";
    let Some(scratch) = box_with(test, &["CMD [\"sh\"]"]) else { return };
    // The build directory may be closed to other users.
    std::fs::copy(program("tare"), scratch.path("tare")).unwrap();
    scratch.sh(
        "mkdir home; chmod 755 . tare; chown 65534:65534 home; echo 65534:200000:65536 > ranges",
    );
    let tare = "setpriv --reuid 65534 --regid 65534 --clear-groups env -u XDG_CONFIG_HOME \
                HOME=$PWD/home XDG_RUNTIME_DIR=$PWD/home ./tare --root home/store --runroot home/run";
    scratch.sh(&format!("{tare} import -q box.tar box:1"));
    let script = "id -u; touch /tmp/x; chown 33 /tmp/x 2>/dev/null; stat -c %u /tmp/x";
    let alone = scratch.sh(&format!("{tare} run --rm box:1 sh -c '{script}'"));
    assert_eq!(alone, "0\n0\n");
    let refused = Command::new("sh")
        .args(["-c", &format!("{tare} run --rm -u web box:1 id")])
        .current_dir(scratch.path(""))
        .output()
        .unwrap();
    assert!(stderr(&refused).contains("there is room for one user only"), "{}", stderr(&refused));
    if !super::images_scratch::has_program(test, "newuidmap") {
        return;
    }
    let several = scratch.sh(&format!(
        "unshare -m sh -ec 'mount --bind ranges /etc/subuid; mount --bind ranges /etc/subgid; \
         {tare} run --rm box:1 sh -c \"{script}\"; {tare} run --rm -u web box:1 id -u; ls home/store/containers'"
    ));
    assert_eq!(several, "0\n33\n33\n");
}
