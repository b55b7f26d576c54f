//! Root directories: of a directory of the machine's, what the image has of its own, and the file by which programs know
//! that they are in a container.

use super::images_scratch::Scratch;
use super::running::box_with;
use e2e::{skip, stderr, stdout};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

struct Engine(Scratch);

impl Engine {
    fn new(test: &str) -> Option<Self> {
        box_with(test, &["CMD [\"sh\"]"]).map(Self)
    }

    fn run(&self, options: &[&str], script: &str) -> String {
        let mut args = vec!["run", "--rm"];
        args.extend(options);
        args.extend(["sh", "-c", script]);
        self.0.ok(&args)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        e2e::clean_up(self.0.command(&["rm", "-af"]));
    }
}

#[test]
fn a_directory_of_the_machine_is_a_root_directory() {
    let Some(engine) = Engine::new("a_directory_of_the_machine_is_a_root_directory") else {
        return;
    };
    let dir = engine.0.path("box");
    let over = format!("{dir}:O");
    let there = |name: &str| std::path::Path::new(&dir).join(name).exists();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o751)).unwrap();
    let script = "touch /new /etc/passwd; stat -c %a /; [ -e /run/.containerenv ] && ls /new";
    assert_eq!(engine.run(&["--rootfs", &over], script), "751\n/new");
    assert!(!there("new") && !there("dev") && !there("run"), "the directory stays as it is");
    engine.0.ok(&[
        "run",
        "--name",
        "over",
        "--rootfs",
        &over,
        "sh",
        "-c",
        "touch /new; echo x >> /etc/passwd",
    ]);
    assert_eq!(engine.0.ok(&["diff", "over"]), "C /etc\nC /etc/passwd\nA /new");
    assert_eq!(engine.0.ok(&["start", "-a", "over"]), "");
    engine.0.sh("mkdir out");
    let out = engine.0.path("out");
    engine.0.ok(&["cp", "over:/new", &out]);
    assert!(there("../out/new"));
    let field = |field: &str| engine.0.ok(&["inspect", "--format", field, "over"]);
    assert_eq!(field("{{.Image}}|{{.Rootfs}}|{{.Config.Image}}"), format!("|{dir}|{over}"));
    let text = engine.0.fails(1, &["commit", "over", "x:1"]);
    assert!(text.contains("it is of no image"), "{text}");
    // Without :O the container changes the directory itself.
    engine.0.ok(&["run", "--name", "direct", "--rootfs", &dir, "sh", "-c", "touch /new"]);
    assert!(there("new"));
    let text = engine.0.fails(1, &["diff", "direct"]);
    assert!(
        text.contains("the container changes") && text.contains("hint: --rootfs DIR:O"),
        "{text}"
    );
    engine.0.ok(&["rm", "over", "direct"]);
    assert!(there("new") && there("bin/busybox"), "the directory is not the container's to remove");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&dir), "nothing stays mounted");
    for (text, code, why) in [
        (dir.as_str(), 127, "no command is given"),
        ("/nowhere/at/all", 125, "No such file"),
        ("/", 125, "the machine's own root directory"),
        ("/:O", 125, "the store lies in it"),
        (&format!("{dir}:idmap"), 125, "idmap needs a user namespace"),
        (&format!("{dir}:idmap=uids=0-1-1"), 125, "idmap takes no ids"),
        (&format!("{dir}/etc/passwd"), 125, "it is no directory"),
    ] {
        let mut args = vec!["run", "--rm", "--rootfs", text];
        args.extend((code != 127).then_some("true"));
        let told = engine.0.fails(code, &args);
        assert!(told.contains(why), "{text}: {told}");
    }
}

#[test]
fn a_root_directory_has_the_ids_of_a_user_namespace() {
    let test = "a_root_directory_has_the_ids_of_a_user_namespace";
    let Some(engine) = Engine::new(test) else { return };
    let dir = engine.0.path("box");
    let users = ["--uidmap", "0:300000:65536"];
    let told = engine.0.tare(&[&["run", "--rm"], &users[..], &["box:1", "true"]].concat());
    if stderr(&told).contains("mapped") || stderr(&told).contains("idmapped") {
        return skip(test, "the file system has no idmapped mounts");
    }
    let run = |place: &str, script: &str| {
        let options = [&users[..], &["--rootfs", place]].concat();
        engine.run(&options, script)
    };
    let script = "touch /made; stat -c %u:%g /made /bin/busybox; cat /proc/self/uid_map";
    for place in [format!("{dir}:O:idmap"), format!("{dir}:idmap")] {
        let told = run(&place, script);
        let map: Vec<&str> = told.split_whitespace().collect();
        assert_eq!(map, ["0:0", "0:0", "0", "300000", "65536"], "{place}");
    }
    let made = std::fs::metadata(format!("{dir}/made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (0, 0), "what its root makes is root's on the disk");
    let text = engine.0.fails(
        125,
        &[&["run", "--rm"], &users[..], &["--rootfs", &format!("{dir}:O"), "true"]].concat(),
    );
    assert!(text.contains("nobody could write") && text.contains(":O:idmap"), "{text}");
}

#[test]
fn the_root_directory_has_the_mode_and_owner_of_the_image() {
    let test = "the_root_directory_has_the_mode_and_owner_of_the_image";
    let Some(engine) = Engine::new(test) else { return };
    let said = |image: &str| engine.run(&[image], "stat -c '%a %u:%g' /");
    assert_eq!(said("box:1"), "755 0:0");
    engine.0.sh("chmod 555 box; chown 7:8 box; tar -C box -cf root.tar .; tar -C box -cf rest.tar bin etc tmp");
    for (tar, image) in [("root.tar", "root:1"), ("rest.tar", "rest:1")] {
        engine.0.ok(&["import", "-q", &engine.0.path(tar), image]);
    }
    assert_eq!(said("root:1"), "555 7:8");
    assert_eq!(said("rest:1"), "755 0:0", "of a tar without an entry for it");
    // The topmost layer that has an entry for it counts.
    engine.0.ok(&["run", "--name", "one", "root:1", "sh", "-c", "touch /tmp/x"]);
    assert_eq!(engine.0.ok(&["diff", "one"]), "C /tmp\nA /tmp/x", "nobody has changed /");
    engine.0.ok(&["commit", "one", "above:1"]);
    assert_eq!(said("above:1"), "555 7:8");
    engine.0.sh("mkdir -m 711 top; touch top/y; tar -C top -cf top.tar .");
    let top = engine.0.path("top.tar");
    engine.0.ok(&["mutate", "append", "--tag", "top:1", "-f", &top, "--base", "above:1"]);
    assert_eq!(said("top:1"), "711 0:0");
    // What a container changes of it stays with the container.
    engine.0.ok(&["run", "--name", "two", "root:1", "sh", "-c", "chmod 700 /"]);
    engine.0.ok(&["start", "-a", "two"]);
    engine.0.ok(&["export", "-o", &engine.0.path("two.tar"), "two"]);
    assert!(engine.0.sh("tar -tvf two.tar | head -n 1").starts_with("drwx------ 7/8"));
    engine.0.ok(&["export", "-o", &engine.0.path("one.tar"), "one"]);
    assert!(engine.0.sh("tar -tvf one.tar | head -n 1").starts_with("dr-xr-xr-x 7/8"));
    // A mounted image that is written to has it, too.
    let mount = "type=image,source=root:1,target=/there,rw";
    assert_eq!(engine.run(&["--mount", mount, "box:1"], "stat -c '%a %u:%g' /there"), "555 7:8");
}

#[test]
fn what_is_mounted_upon_is_no_change_of_the_container() {
    let test = "what_is_mounted_upon_is_no_change_of_the_container";
    let Some(engine) = Engine::new(test) else { return };
    // An image that has none of it, and a file of its own in the place of one.
    engine.0.sh("mkdir bare; cp -r box/bin bare; tar -C bare -cf bare.tar bin");
    engine.0.sh("mkdir bare/etc; echo mine > bare/etc/hosts; tar -C bare -cf own.tar bin etc");
    for image in ["bare", "own"] {
        engine.0.ok(&["import", "-q", &engine.0.path(&format!("{image}.tar")), image]);
    }
    let look = "cd /; ls -d dev etc proc run sys; stat -c '%a %u:%g' etc run; ls -A etc run";
    let all = "dev\netc\nproc\nrun\nsys\n755 0:0\n755 0:0\netc:\nhostname\nhosts\nresolv.conf\n\nrun:\n.containerenv";
    for options in [&[][..], &["--userns", "auto"], &["--read-only"]] {
        for image in ["bare", "own"] {
            engine.0.ok(&[&["run", "--name", "it"], options, &[image, "sh", "-c", look]].concat());
            assert_eq!(engine.0.ok(&["logs", "it"]), all, "{image} {options:?}");
            let upper = "find store/containers/*/upper -mindepth 1";
            assert_eq!(engine.0.sh(upper), "", "{image} {options:?}");
            assert_eq!(engine.0.ok(&["diff", "it"]), "");
            engine.0.ok(&["rm", "it"]);
        }
    }
    // Nobody sees a file that was not to be there.
    assert_eq!(engine.run(&["--no-hosts", "bare"], "ls /etc"), "hostname\nresolv.conf");
    assert_eq!(engine.run(&["--no-hosts", "own"], "cat /etc/hosts"), "mine");
    // What is written beside them is kept, by a start and by an image.
    let write = "echo x > /run/x; echo x >> /etc/x; wc -l < /etc/x";
    engine.0.ok(&["run", "--name", "it", "bare", "sh", "-c", write]);
    assert_eq!(engine.0.ok(&["start", "-a", "it"]), "2");
    assert_eq!(engine.0.ok(&["diff", "it"]), "A /etc\nA /etc/x\nA /run\nA /run/x");
    engine.0.ok(&["commit", "-q", "it", "kept"]);
    assert_eq!(engine.run(&["kept"], "cat /etc/x"), "x\nx");
    assert_eq!(engine.0.sh("rm -rf kept; mkdir kept").as_str(), "");
    engine.0.ok(&["save", "-o", &engine.0.path("kept.tar"), "kept"]);
    let files = "tar -C kept -xf kept.tar; for it in $(find kept -type f -name '*.tar'); do tar -tf $it; done | grep -E '^etc|^run|^dev|^proc|^sys'";
    assert_eq!(engine.0.sh(files), "etc/\netc/x\nrun/\nrun/x\n");
}

#[test]
fn programs_know_by_a_file_that_they_are_in_a_container() {
    let test = "programs_know_by_a_file_that_they_are_in_a_container";
    let Some(engine) = Engine::new(test) else { return };
    let size = "/bin/busybox stat -c %s /run/.containerenv 2>/dev/null || echo none";
    for options in [&[][..], &["--tmpfs", "/run"], &["--read-only"], &["--init"]] {
        assert_eq!(engine.run(&[options, &["box:1"]].concat(), size), "0", "{options:?}");
    }
    engine.0.sh("mkdir bound; echo own > bound/own");
    let bound = format!("{}:/run", engine.0.path("bound"));
    assert_eq!(engine.run(&["-v", &bound, "box:1"], size), "none");
    assert!(!std::path::Path::new(&engine.0.path("bound/.containerenv")).exists());
    let file = format!("{}:/run/.containerenv", engine.0.path("bound/own"));
    assert_eq!(engine.run(&["-v", &file, "box:1"], "cat /run/.containerenv"), "own");
    engine.0.ok(&["run", "--name", "plain", "box:1", "sh", "-c", "true"]);
    assert_eq!(engine.0.ok(&["diff", "plain"]), "");
    // A privileged one is told which it is, in a way that no name can leave.
    let facts = ". /run/.containerenv; echo \"$engine|$name|$image|$imageid|$rootless|${#id}\"";
    let image = engine.0.ok(&["inspect", "--format", "{{.Id}}", "box:1"]);
    let image = image.trim_start_matches("sha256:");
    let by = |name: &str| {
        let args = ["run", "--rm", "--privileged", "--name", "told", "box:1", "sh", "-c", facts];
        let output = engine.0.command(&args).arg0(name).output().unwrap();
        stdout(&output).trim_end().to_owned()
    };
    let version = engine.0.ok(&["version", "--format", "{{.Version}}"]);
    for name in ["tare", "podman"] {
        let expected = format!("{name}-{version}|told|localhost/box:1|{image}|0|64");
        assert_eq!(by(name), expected);
    }
    let odd = engine.0.path("o$(touch broken)\"`id`");
    engine.0.sh("cp -a box 'o$(touch broken)\"`id`'");
    let script = ". /run/.containerenv; echo \"$image\"";
    let told = engine.run(&["--privileged", "--rootfs", &format!("{odd}:O")], script);
    assert_eq!(told, format!("{odd}:O"));
    // A link of the image's leads nowhere else.
    engine.0.sh("rm -rf box/run; ln -s /tmp/elsewhere box/run; mkdir box/tmp/elsewhere; tar -C box -cf link.tar .");
    engine.0.ok(&["import", "-q", &engine.0.path("link.tar"), "link:1"]);
    assert_eq!(engine.run(&["link:1"], size), "0");
    assert!(!std::path::Path::new("/tmp/elsewhere").exists());
}

#[test]
fn groups_and_variables_of_the_caller_are_passed_on() {
    let test = "groups_and_variables_of_the_caller_are_passed_on";
    let Some(engine) = Engine::new(test) else { return };
    if Command::new("setpriv").arg("--version").output().is_err() {
        return skip(test, "needs setpriv");
    }
    let with_groups = |args: &[&str]| {
        let inner = engine.0.command(args);
        let mut command = Command::new("setpriv");
        command.args(["--groups", "1234,5678"]).arg(inner.get_program()).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let output = command.output().unwrap();
        (output.status.code(), stdout(&output).trim_end().to_owned(), stderr(&output))
    };
    let keep = ["run", "--rm", "--group-add", "keep-groups"];
    let id = ["box:1", "id", "-G"];
    assert_eq!(with_groups(&[&keep[..], &id].concat()).1, "0 1234 5678");
    assert_eq!(with_groups(&[&["run", "--rm"][..], &id].concat()).1, "0");
    let users = ["--uidmap", "0:300000:65536"];
    let (code, groups, text) = with_groups(&[&keep[..], &users, &id].concat());
    if code == Some(0) {
        assert_eq!(groups, "0 65534 65534", "they count, and have no name there");
    } else {
        assert!(text.contains("idmapped"), "{text}");
    }
    let text = engine.0.fails(125, &[&keep[..], &["--group-add", "457"], &id].concat());
    assert!(text.contains("not allowed with any other --group-add"), "{text}");
    let variables = |options: &[&str]| {
        let mut args = vec!["run", "--rm"];
        args.extend(options);
        args.extend(["box:1", "/bin/busybox", "env"]);
        let mut command = engine.0.command(&args);
        command.envs([("GLOB_ONE", "1"), ("GLOB_TWO", "2"), ("OTHER", "3")]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let mut found: Vec<String> = stdout(&output)
            .lines()
            .filter(|line| line.starts_with("GLOB") || line.starts_with("OTHER"))
            .map(str::to_owned)
            .collect();
        found.sort();
        found.join(" ")
    };
    assert_eq!(variables(&[]), "");
    assert_eq!(variables(&["--env", "GLOB*"]), "GLOB_ONE=1 GLOB_TWO=2");
    assert_eq!(variables(&["--env", "GLOB*", "--env", "GLOB_TWO=own"]), "GLOB_ONE=1 GLOB_TWO=own");
    assert_eq!(variables(&["--env-host"]), "GLOB_ONE=1 GLOB_TWO=2 OTHER=3");
    if std::path::Path::new("/usr/share/zoneinfo/Asia/Tokyo").exists() {
        let zone = ["run", "--rm", "--tz", "Asia/Tokyo", "box:1", "/bin/busybox", "date", "+%Z"];
        assert_eq!(engine.0.ok(&zone), "JST");
    }
}
