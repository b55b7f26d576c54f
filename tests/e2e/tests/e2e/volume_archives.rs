//! `tare volume export`, `import` and `mount`: the files of a volume, taken away and brought back.

use super::engine::{Engine, PATIENCE};
use super::images_scratch::has_program;
use super::running::box_with;
use e2e::{program, stderr, stdout};
use std::fs::File;
use std::process::Stdio;
use std::time::{Duration, Instant};

impl Engine {
    /// Runs a script with a volume at `/d`.
    fn within(&self, volume: &str, script: &str) -> String {
        self.ok(&["run", "--rm", "-v", &format!("{volume}:/d"), "box:1", "sh", "-c", script])
    }
}

const MAKE: &str = "mkdir -m 2750 /d/sub; echo one > /d/sub/one; ln /d/sub/one /d/two; ln -s sub/one /d/link; \
                    chmod 640 /d/sub/one; chown -h 33:50 /d/sub/one /d/link /d/sub; chown 33 /d; chmod 700 /d";
const LOOK: &str = "cd /d; stat -c '%n %a %u:%g %h' . sub sub/one two link; cat two link; ls -A";
const SEEN: &str = ". 700 33:0 3\nsub 2750 33:50 2\nsub/one 640 33:50 2\ntwo 640 33:50 2\nlink 777 33:50 1\n\
                    one\none\nlink\nsub\ntwo";

#[test]
fn a_volume_comes_back_from_its_archive_as_it_was() {
    let test = "a_volume_comes_back_from_its_archive_as_it_was";
    let Some(engine) = Engine::new(test) else { return };
    engine.within("one", MAKE);
    let tar = engine.0.path("one.tar");
    assert_eq!(engine.ok(&["volume", "export", "one", "-o", &tar]), "");
    assert_eq!(engine.0.sh("tar -tf one.tar | LC_ALL=C sort"), "./\nlink\nsub/\nsub/one\ntwo\n");
    // The same files are the same archive, wherever it goes.
    let output = engine.0.tare(&["volume", "export", "one"]);
    assert!(output.stdout == std::fs::read(&tar).unwrap(), "{}", stderr(&output));
    engine.ok(&["volume", "create", "two"]);
    engine.ok(&["volume", "import", "two", &tar]);
    assert_eq!(engine.within("two", LOOK), SEEN);
    // From standard input, packed, over what there is.
    engine.within(
        "three",
        "mkdir /d/two /d/kept; echo x > /d/two/x; echo y > /d/kept/y; echo old > /d/sub",
    );
    engine.0.sh("gzip -c one.tar > one.tgz");
    for archive in ["-", "none given"] {
        let args = ["volume", "import", "three", archive];
        let mut command = engine.0.command(if archive == "-" { &args } else { &args[..3] });
        let input = File::open(engine.0.path("one.tgz")).unwrap();
        let output = command.stdin(Stdio::from(input)).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    assert_eq!(
        engine.within("three", "cd /d; cat two link kept/y; ls -A"),
        "one\none\ny\nkept\nlink\nsub\ntwo"
    );
    engine.ok(&["fsck"]);
}

#[test]
fn archives_that_cannot_be_made_or_read_are_told() {
    let test = "archives_that_cannot_be_made_or_read_are_told";
    let Some(engine) = Engine::new(test) else { return };
    let tar = engine.0.path("x.tar");
    let said = engine.0.fails(1, &["volume", "export", "nosuch", "-o", &tar]);
    assert!(said.contains("get nosuch: no such volume\nhint: "), "{said}");
    assert!(!std::path::Path::new(&tar).exists());
    let said = engine.0.fails(1, &["volume", "import", "nosuch", &tar]);
    assert!(said.contains("get nosuch: no such volume\nhint: "), "{said}");
    engine.within("one", "echo x > /d/x");
    let said = engine.0.fails(1, &["volume", "import", "one", &tar]);
    assert!(said.contains("opening ") && said.contains("No such file or directory"), "{said}");
    std::fs::write(&tar, "no archive at all, but as long as that of a header".repeat(64)).unwrap();
    let said = engine.0.fails(1, &["volume", "import", "one", &tar]);
    assert!(said.contains("no tar archive: "), "{said}");
    let said = engine.0.fails(1, &["volume", "export", "one", "-o", "/nosuch/x"]);
    assert!(said.contains("making /nosuch/x: No such file or directory"), "{said}");
    assert_eq!(engine.within("one", "ls -A /d; cat /d/x"), "x\nx");
}

/// Names and links of an archive do not lead out of the volume.
#[test]
fn a_hostile_archive_changes_nothing_beside_the_volume() {
    let test = "a_hostile_archive_changes_nothing_beside_the_volume";
    let Some(engine) = Engine::new(test) else { return };
    let host = engine.0.path("host");
    engine.0.sh("mkdir host; echo mine > host/file; echo evil > evil");
    engine.0.sh(&format!(
        "ln -s {host} out; tar -cf links.tar out; rm out; mkdir out; cp evil out/file; tar -rf links.tar out/file
         tar -P -cf up.tar --transform 's,^evil,../../../../evil,' evil; tar -P -cf abs.tar --transform 's,^evil,{host}/file,' evil
         ln {host}/file hard; tar -P -cf hard.tar --transform 'flags=r;s,^hard,{host}/file,' hard"
    ));
    for name in ["links", "up", "abs", "hard"] {
        engine.ok(&["volume", "create", name]);
        let output =
            engine.0.tare(&["volume", "import", name, &engine.0.path(&format!("{name}.tar"))]);
        // Some of these names are taken for ones of the volume.
        drop(output);
        assert_eq!(engine.0.sh("ls host; cat host/file"), "file\nmine\n", "{name}");
        let beside = engine
            .0
            .sh(&format!("ls -A store/volumes/{name} store/volumes | grep -c evil || true"));
        assert_eq!(beside, "0\n", "{name}");
    }
    // A link that containers have left in the volume leads nowhere else, either.
    engine.within("left", &format!("ln -s {host} /d/out"));
    engine.0.sh("tar -cf left.tar out/file");
    drop(engine.0.tare(&["volume", "import", "left", &engine.0.path("left.tar")]));
    assert_eq!(engine.0.sh("ls host; cat host/file"), "file\nmine\n");
}

#[test]
fn memory_is_exported_as_long_as_somebody_has_it() {
    let test = "memory_is_exported_as_long_as_somebody_has_it";
    let Some(engine) = Engine::new(test) else { return };
    engine.ok(&["volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "memory"]);
    let run = ["run", "-d", "--name", "it", "-v", "memory:/d", "box:1", "sh", "-c"];
    engine.ok(&[&run[..], &["echo x > /d/x; echo ready; sleep 1000"]].concat());
    let began = Instant::now();
    while !engine.ok(&["logs", "it"]).contains("ready") {
        assert!(began.elapsed() < PATIENCE, "it says nothing");
        std::thread::sleep(Duration::from_millis(10));
    }
    let tar = engine.0.path("memory.tar");
    engine.ok(&["volume", "export", "memory", "-o", &tar]);
    assert_eq!(
        engine.0.sh("tar -xOf memory.tar x; mkdir -p b; echo y > b/y; tar -C b -cf y.tar y"),
        "x\n"
    );
    engine.ok(&["volume", "import", "memory", &engine.0.path("y.tar")]);
    assert_eq!(engine.ok(&["exec", "it", "cat", "/d/x", "/d/y"]), "x\ny");
    engine.ok(&["rm", "-f", "-t", "0", "it"]);
    let said = engine.0.fails(1, &["volume", "import", "memory", &tar]);
    assert!(said.contains("it is memory that no container has now\nhint: "), "{said}");
    engine.ok(&["volume", "export", "memory", "-o", &tar]);
    assert_eq!(engine.0.sh("tar -tf memory.tar; ls -A store/volumes/memory/_data"), "./\n");
    // A directory of the host's that is a volume.
    let (host, device) = (engine.0.path("host"), format!("device={}", engine.0.path("host")));
    engine.0.sh("mkdir host; echo h > host/h");
    engine.ok(&["volume", "create", "-o", "type=none", "-o", &device, "-o", "o=bind", "bound"]);
    engine.ok(&["volume", "import", "bound", &engine.0.path("y.tar")]);
    engine.ok(&["volume", "export", "bound", "-o", &tar]);
    assert_eq!(engine.0.sh("tar -tf memory.tar; ls host"), "./\nh\ny\nh\ny\n");
    assert!(
        !std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&engine.0.path("")),
        "{host}"
    );
}

#[test]
fn volumes_are_found_without_being_mounted() {
    let test = "volumes_are_found_without_being_mounted";
    let Some(engine) = Engine::new(test) else { return };
    engine.within("one", "echo x > /d/x");
    let place = engine.ok(&["volume", "mount", "one"]);
    assert_eq!(place, engine.0.path("store/volumes/one/_data"));
    std::fs::write(format!("{place}/y"), "y\n").unwrap();
    assert_eq!(engine.within("one", "cat /d/x /d/y"), "x\ny");
    assert_eq!(engine.ok(&["volume", "unmount", "one"]), "one");
    let output = engine.0.tare(&["volume", "mount", "nosuch", "one"]);
    assert_eq!((output.status.code(), stdout(&output).trim_end()), (Some(1), place.as_str()));
    assert!(stderr(&output).contains("get nosuch: no such volume"), "{}", stderr(&output));
    engine.ok(&["volume", "create", "-o", "type=tmpfs", "memory"]);
    let said = engine.0.fails(1, &["volume", "mount", "memory"]);
    assert!(said.contains("it has a file system of its own\nhint: "), "{said}");
}

/// An ordinary user's volumes have files of ids that only their namespace knows.
#[test]
fn an_ordinary_user_takes_volumes_away_and_brings_them_back() {
    let test = "an_ordinary_user_takes_volumes_away_and_brings_them_back";
    let Some(scratch) = box_with(test, &["CMD [\"sh\"]"]) else { return };
    // The build directory may be closed to other users.
    std::fs::copy(program("tare"), scratch.path("tare")).unwrap();
    scratch.sh(
        "mkdir home; chmod 755 . tare; chown 65534:65534 home; echo 65534:200000:65536 > ranges",
    );
    let tare = "setpriv --reuid 65534 --regid 65534 --clear-groups env -u XDG_CONFIG_HOME TARE_NETWORK=none \
                HOME=$PWD/home XDG_RUNTIME_DIR=$PWD/home ./tare --root home/store --runroot home/run";
    scratch.sh(&format!("{tare} import -q box.tar box:1"));
    let round = format!(
        "{tare} run --rm -v one:/d box:1 sh -c 'echo x > /d/x; OWNER chmod 600 /d/x'; {tare} volume export one > one.tar; \
         {tare} volume create two >&2; {tare} volume import two - < one.tar; \
         {tare} run --rm -v two:/d box:1 stat -c '%n %a %u:%g' /d/x; {tare} volume rm one two >&2"
    );
    assert_eq!(scratch.sh(&round.replace("OWNER", "")), "/d/x 600 0:0\n");
    if !has_program(test, "newuidmap") {
        return;
    }
    let script = round.replace("OWNER", "chown 33:50 /d/x;");
    std::fs::write(scratch.path("round.sh"), script).unwrap();
    let said = scratch.sh(
        "unshare -m sh -ec 'mount --bind ranges /etc/subuid; mount --bind ranges /etc/subgid; sh -e round.sh'",
    );
    assert_eq!(said, "/d/x 600 33:50\n");
    let listed = scratch.sh("tar --numeric-owner -tvf one.tar");
    assert!(listed.contains(" 33/50 "), "{listed}");
}
