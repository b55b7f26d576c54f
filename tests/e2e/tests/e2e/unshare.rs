//! `tare unshare`: a program in the user namespace of an ordinary user's containers.

use super::images_scratch::{Scratch, has_program};
use super::running::box_with;
use e2e::{program, stderr, stdout};
use std::process::{Command, Output};

/// Runs a script as an ordinary user, with ids of other users or without; `user` in it is the program.
fn as_user(scratch: &Scratch, has_ranges: bool, script: &str) -> Output {
    let user = "user() { ./tare --root home/store --runroot home/run \"$@\"; }";
    std::fs::write(scratch.path("script"), format!("{user}\n{script}\n")).unwrap();
    let ranges = if has_ranges { "ranges" } else { "none" };
    let enter = format!(
        "mount --bind {ranges} /etc/subuid; mount --bind {ranges} /etc/subgid
         exec setpriv --reuid 65534 --regid 65534 --clear-groups env -u XDG_CONFIG_HOME -u XDG_DATA_HOME -u SHELL \
         HOME=$PWD/home XDG_RUNTIME_DIR=$PWD/home sh ./script"
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-ec", &enter]).current_dir(scratch.path(""));
    command.output().expect("running unshare")
}

fn prepare(test: &str) -> Option<Scratch> {
    let scratch = box_with(test, &["CMD [\"sh\"]"])?;
    std::fs::copy(program("tare"), scratch.path("tare")).unwrap();
    scratch.sh(
        "mkdir home; chmod 755 . tare; chown 65534:65534 home; echo 65534:200000:65536 > ranges; touch none",
    );
    Some(scratch)
}

#[test]
fn files_of_containers_are_seen_and_removed_in_their_user_namespace() {
    let test = "files_of_containers_are_seen_and_removed_in_their_user_namespace";
    let Some(scratch) = prepare(test) else { return };
    if !has_program(test, "newuidmap") {
        return;
    }
    let output = as_user(
        &scratch,
        true,
        "user unshare cat /proc/self/uid_map | tr -s ' '
         user import -q box.tar box:1 > /dev/null
         mkdir home/data
         user run --rm --network none -v $PWD/home/data:/d box:1 sh -c 'echo x > /d/f; mkdir /d/own; touch /d/own/x; chown 33:50 /d/f /d/own; busybox chmod 700 /d/own'
         stat -c '%u %g' home/data/f
         rm -rf home/data/own 2> /dev/null && echo removed || true
         user unshare sh -c 'id -u; stat -c \"%u %g\" home/data/f; ls home/data/own; echo $_CONTAINERS_ROOTLESS_UID'
         user unshare chown 1000:1000 home/data/f; stat -c %u home/data/f
         user unshare rm -r home/data && test ! -e home/data && echo gone
         user unshare sh -c 'exit 7' || echo $?
         echo 'echo from a shell' | user unshare",
    );
    let said = stdout(&output);
    let expected = " 0 65534 1\n 1 200000 65536\n200032 200049\n0\n33 50\nx\n65534\n200999\ngone\n7\nfrom a shell\n";
    assert_eq!(said, expected, "{}", stderr(&output));
}

#[test]
fn a_user_without_other_ids_is_alone_in_the_user_namespace() {
    let test = "a_user_without_other_ids_is_alone_in_the_user_namespace";
    let Some(scratch) = prepare(test) else { return };
    let output = as_user(
        &scratch,
        false,
        "user unshare cat /proc/self/uid_map | tr -s ' '
         user unshare id -u
         touch home/own; user unshare stat -c %u home/own
         user unshare /nosuch || echo $?
         user unshare /etc/passwd || echo $?
         user unshare --rootless-netns true || echo $?",
    );
    assert_eq!(stdout(&output), " 0 65534 1\n0\n0\n127\n126\n1\n", "{}", stderr(&output));
    let said = stderr(&output);
    for text in
        ["tare: /nosuch: No such file or directory\n", "tare: /etc/passwd: Permission denied\n"]
    {
        assert!(said.contains(text), "{said}");
    }
    assert!(said.contains("no network namespace in common\nhint: "), "{said}");
}

#[test]
fn root_needs_no_user_namespace() {
    let Some(scratch) = box_with("root_needs_no_user_namespace", &[]) else { return };
    let said = scratch.fails(1, &["unshare", "id"]);
    assert_eq!(said, "tare: please use unshare with rootless: root sees all files as they are\n");
}
