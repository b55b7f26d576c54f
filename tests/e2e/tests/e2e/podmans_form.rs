//! What podman's users type where docker's verb does something else, and what the program says then when it goes by
//! podman's name.

use super::images_scratch::Scratch;
use super::running::box_with;
use e2e::{stderr, stdout};
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

/// A scratch store whose containers go with it.
struct Engine(Scratch);

impl Engine {
    fn new(test: &str) -> Option<Self> {
        box_with(test, &["CMD [\"sh\"]"]).map(Self)
    }

    fn ok(&self, args: &[&str]) -> String {
        self.0.ok(args)
    }

    /// The program by podman's name, with a file for standard input: its exit code, and what it says.
    fn fed(&self, args: &[&str], input: Stdio) -> (i32, String, String) {
        let mut command = self.0.command(args);
        let output = command.arg0("podman").stdin(input).output().expect("starting the program");
        let text = stderr(&output).trim_end().to_owned();
        (output.status.code().unwrap_or(-1), stdout(&output).trim_end().to_owned(), text)
    }

    fn podman(&self, args: &[&str]) -> (i32, String, String) {
        self.fed(args, Stdio::null())
    }

    /// By podman's name: it has to succeed.
    fn podmans(&self, args: &[&str]) -> String {
        let (code, out, text) = self.podman(args);
        assert_eq!(code, 0, "{args:?}: {text}");
        out
    }

    /// By podman's name: it has to fail with this code and these words.
    fn refused(&self, code: i32, args: &[&str], words: &str) {
        let (found, out, text) = self.podman(args);
        assert_eq!((found, out.as_str(), text.as_str()), (code, "", words), "{args:?}");
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        e2e::clean_up(self.0.command(&["rm", "-af"]));
    }
}

#[test]
fn by_podmans_name_copies_begin_at_the_working_directory_and_belong_to_the_user() {
    let test = "by_podmans_name_copies_begin_at_the_working_directory_and_belong_to_the_user";
    let Some(engine) = Engine::new(test) else { return };
    let options = ["run", "-d", "--name", "it", "-w", "/srv/app", "-u", "7:8", "box:1"];
    engine.ok(&[&options[..], &["sleep", "1000"]].concat());
    engine.0.sh("echo x > x; chown 1:1 x; mkdir d; echo y > d/y; echo none > none");
    engine.podmans(&["cp", "x", "it:."]);
    engine.podmans(&["cp", "-a=false", "x", "it:kept"]);
    engine.podmans(&["cp", "d", "it:/"]);
    let look = ["exec", "it", "stat", "-c", "%n %u:%g", "/srv/app/x", "/srv/app/kept", "/d/y"];
    assert_eq!(engine.ok(&look), "/srv/app/x 7:8\n/srv/app/kept 1:1\n/d/y 7:8");
    // What a link leads to is copied, and belongs to whoever copies.
    engine.ok(&[
        "exec",
        "-u",
        "0",
        "it",
        "sh",
        "-c",
        "ln -s /srv/app/x /link; ln -s /nosuch /bad; mkdir /x",
    ]);
    engine.podmans(&["cp", "it:/link", "."]);
    engine.podmans(&["cp", "it:/link", "got"]);
    assert_eq!(engine.0.sh("cat got; stat -c %u got"), "x\n0\n");
    let there = |place: &str, path: &str| {
        format!("Error: {path:?} could not be found on {place}: no such file or directory")
    };
    let inside = |path: &str| there("container it", path);
    engine.refused(125, &["cp", "it:nosuch", "."], &inside("nosuch"));
    engine.refused(125, &["cp", "it:/bad", "."], &inside("/bad"));
    engine.refused(125, &["cp", "it:/*", "."], &inside("/*"));
    engine.refused(125, &["cp", "x", "it:/nosuch/"], &inside("/nosuch/"));
    engine.refused(125, &["cp", "x", "it:/bad/"], &inside("/bad/"));
    engine.refused(125, &["cp", "nosuch", "it:/"], &there("the host", "nosuch"));
    let not_into = "Error: destination must be a directory when copying a directory";
    engine.refused(125, &["cp", "d", "it:x"], not_into);
    engine.refused(125, &["cp", "it:/d", "x"], not_into);
    let clash = "Error: copying to container: error creating \"/x\": open /x: file exists";
    engine.refused(125, &["cp", "x", "it:/"], clash);
    engine.podmans(&["cp", "--overwrite", "x", "it:/"]);
    let output =
        "Error: invalid destination: \"/dev/stdout\" must be a directory or a regular file";
    engine.refused(125, &["cp", "it:x", "/dev/stdout"], output);
    let input = || Stdio::from(File::open(engine.0.path("none")).unwrap());
    let (code, _, text) = engine.fed(&["cp", "-", "it:/d"], input());
    let words = "Error: source must be a (compressed) tar archive when copying from stdin";
    assert_eq!((code, text.as_str()), (125, words));
    let (code, _, text) = engine.fed(&["cp", "-", "it:/x"], input());
    let words = "Error: destination must be a directory when copying from stdin";
    assert_eq!((code, text.as_str()), (125, words));
}

#[test]
fn by_podmans_name_force_means_what_podman_means_by_it() {
    let test = "by_podmans_name_force_means_what_podman_means_by_it";
    let Some(engine) = Engine::new(test) else { return };
    engine.refused(
        1,
        &["volume", "rm", "x"],
        "Error: no volume with name \"x\" found: no such volume",
    );
    engine.refused(1, &["image", "rm", "x"], "Error: x: image not known");
    engine.refused(
        1,
        &["network", "rm", "x"],
        "Error: unable to find network with name or ID x: network not found",
    );
    engine.ok(&["volume", "create", "one"]);
    engine.ok(&["tag", "box:1", "other:1"]);
    assert_eq!(engine.podmans(&["volume", "rm", "--force", "x", "one"]), "one");
    assert_eq!(
        engine.podmans(&["image", "rm", "--force", "x", "other:1"]),
        "Untagged: localhost/other:1"
    );
    assert_eq!(engine.podmans(&["network", "rm", "-t", "-1", "--force", "x"]), "");
    // Containers go with the volume that they have, by podman's name only.
    engine.ok(&["run", "-d", "--name", "it", "-v", "two:/d", "box:1", "sleep", "1000"]);
    engine.0.fails(1, &["volume", "rm", "--force", "two"]);
    assert_eq!(engine.podmans(&["volume", "rm", "--force", "-t0", "two"]), "two");
    assert_eq!(engine.ok(&["ps", "-aq"]), "");
}

#[test]
fn by_podmans_name_volumes_are_pruned_and_listed_as_podman_does() {
    let test = "by_podmans_name_volumes_are_pruned_and_listed_as_podman_does";
    let Some(engine) = Engine::new(test) else { return };
    for name in ["one", "two"] {
        engine.ok(&["volume", "create", "--label", "a=b", name]);
    }
    engine.ok(&["create", "--name", "it", "-v", "used:/d", "box:1"]);
    std::fs::write(engine.0.path("no"), "n\n").unwrap();
    let no = Stdio::from(File::open(engine.0.path("no")).unwrap());
    let (code, out, _) = engine.fed(&["volume", "prune"], no);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((code, &lines[1..]), (0, &["one", "two"][..]), "{out}");
    let listed = engine.podmans(&["volume", "ls", "--format", "json", "--filter", "name=one"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["Labels"]["a"], "b");
    assert_eq!((&listed[0]["NeedsCopyUp"], &listed[0]["NeedsChown"]), (&true.into(), &true.into()));
    assert_eq!(engine.podmans(&["volume", "prune", "-f"]), "one\ntwo");
    assert_eq!(engine.ok(&["volume", "ls", "-q"]), "used");
    let words = "Error: invalid volume option device for driver 'local': faccessat /nosuch: no such file or directory";
    engine.refused(
        125,
        &["volume", "create", "-o", "type=bind", "-o", "device=/nosuch", "x"],
        words,
    );
}

#[test]
fn by_podmans_name_mistakes_are_told_in_podmans_words() {
    let test = "by_podmans_name_mistakes_are_told_in_podmans_words";
    let Some(engine) = Engine::new(test) else { return };
    engine.refused(
        125,
        &["run", "-h"],
        "Error: flag needs an argument: 'h' in -h\nSee 'podman run --help'",
    );
    engine.refused(
        125,
        &["bad", "--invalid"],
        "Error: unknown flag: --invalid\nSee 'podman --help'",
    );
    let (_, _, text) = engine.podman(&["pod", "create", "--name", "x"]);
    assert!(text.contains("'pod'"), "{text}");
    engine.refused(125, &["untag", "box:1", "x.io/y:1"], "Error: x.io/y:1: tag not known");
    let delay = ["pull", "--retry-delay", "bogus", "box:1"];
    engine.refused(125, &delay, "Error: time: invalid duration \"bogus\"");
    let files = ["login", "--authfile", "a", "--compat-auth-file", "b", "x.io"];
    let (code, _, text) = engine.podman(&files);
    assert!(code == 125 && text.contains("can not be set simultaneously"), "{text}");
    std::fs::write(engine.0.path("bad"), "no archive".repeat(200)).unwrap();
    let (code, _, text) = engine.podman(&["load", "-i", &engine.0.path("bad")]);
    assert_eq!(code, 125);
    assert!(text.contains("payload does not match any of the supported image formats: "), "{text}");
    engine.ok(&["create", "--name", "it", "box:1"]);
    engine.refused(
        125,
        &["port", "it", "99/tcp"],
        "Error: failed to find published port \"99/tcp\"",
    );
    let (code, out, text) =
        engine.podman(&["run", "-it", "--rm", "box:1", "sh", "-c", "echo hello"]);
    assert_eq!((code, out.as_str()), (0, "hello"));
    assert!(text.contains("level=warning msg=\"The input device is not a TTY."), "{text}");
    let said = engine.0.fails(125, &["run", "-it", "--rm", "box:1", "pwd"]);
    assert!(said.contains("stdin is not a terminal"), "{said}");
}

#[test]
fn what_a_pattern_finds_is_mounted() {
    let Some(engine) = Engine::new("what_a_pattern_finds_is_mounted") else { return };
    engine.0.sh(
        "mkdir -p g/one g/two; echo a > g/a1; echo b > g/a2; echo c > g/.a3; touch g/one/x g/two/x",
    );
    let at = |options: &str| format!("type=glob,src={},{options}", engine.0.path("g/a*"));
    let run = |mount: &str, script: &str| {
        engine.0.tare(&["run", "--rm", "--mount", mount, "box:1", "sh", "-c", script])
    };
    let output = run(
        &at("destination=/found"),
        "ls -A /found; cat /found/a1 /found/a2; echo new > /found/a1",
    );
    assert_eq!(stdout(&output), "a1\na2\na\nb\n", "{}", stderr(&output));
    let place = engine.0.path("g");
    let output = run(&at("ro"), &format!("cd {place} && ls -A && cat a1 && echo x > a2"));
    assert_eq!(stdout(&output), "a1\na2\nnew\n", "{}", stderr(&output));
    assert!(stderr(&output).contains("Read-only file system"), "{}", stderr(&output));
    let clash = format!("type=glob,src={},destination=/d", engine.0.path("g/?*/x"));
    let said = engine.0.fails(125, &["run", "--rm", "--mount", &clash, "box:1", "pwd"]);
    assert!(said.contains("Duplicate mount point: /d/x"), "{said}");
    engine.refused(
        125,
        &["run", "--rm", "--mount", "type=glob,src=/nosuch*", "box:1"],
        "Error: no file paths matching glob \"/nosuch*\"",
    );
    let bind = ["run", "--rm", "--mount", "type=bind,src=/nosuch*,target=/x", "box:1"];
    engine.refused(125, &bind, "Error: statfs /nosuch*: no such file or directory");
    let bind = ["run", "--rm", "--mount", "type=bind,src=/tmp", "box:1"];
    engine.refused(125, &bind, "Error: must set volume destination");
}

#[test]
fn an_image_goes_with_its_container() {
    let Some(engine) = Engine::new("an_image_goes_with_its_container") else { return };
    let is_there = |name: &str| engine.0.tare(&["image", "exists", name]).status.success();
    engine.ok(&["commit", &engine.ok(&["create", "box:1"]), "gone:1"]);
    engine.ok(&["create", "--name", "user", "gone:1"]);
    let output = engine.0.tare(&["run", "--rmi", "gone:1", "pwd"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "/\n"));
    let text = stderr(&output);
    assert!(
        text.contains("failed to remove image gone:1: image is in use by a container"),
        "{text}"
    );
    assert!(is_there("gone:1"));
    engine.ok(&["rm", "user"]);
    let output = engine.0.tare(&["run", "--rmi", "gone:1", "sh", "-c", "exit 7"]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(7), ""));
    assert!(!is_there("gone:1") && is_there("box:1"));
    // The container that waits takes it away as well.
    engine.ok(&["commit", &engine.ok(&["create", "box:1"]), "gone:2"]);
    engine.ok(&["run", "-d", "--rmi", "--name", "it", "gone:2", "sleep", "1000"]);
    let shown =
        ["inspect", "-f", "{{.HostConfig.AutoRemoveImage}} {{.HostConfig.AutoRemove}}", "it"];
    assert_eq!(engine.ok(&shown), "true true");
    engine.ok(&["stop", "-t", "0", "it"]);
    assert!(!is_there("gone:2"));
    assert_eq!(engine.ok(&["ps", "-q"]), "");
    engine.refused(
        125,
        &["run", "--rmi", "--rm=false", "box:1"],
        "Error: the --rmi option does not work without --rm",
    );
    let said = engine.0.fails(125, &["run", "--rmi", "host:/bin/sh"]);
    assert!(said.contains("is no image of the store\nhint: "), "{said}");
    engine.ok(&["fsck"]);
}

#[test]
fn an_archive_is_loaded_from_an_address() {
    let Some(engine) = Engine::new("an_archive_is_loaded_from_an_address") else { return };
    let path = engine.0.path("saved.tar");
    engine.ok(&["save", "-o", &path, "box:1"]);
    let archive = std::fs::read(&path).unwrap();
    engine.ok(&["rmi", "box:1"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/x.tar", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut asked = [0; 4096];
        let count = client.read(&mut asked).unwrap();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            archive.len()
        );
        client.write_all(head.as_bytes()).unwrap();
        client.write_all(&archive).unwrap();
        String::from_utf8_lossy(&asked[..count]).into_owned()
    });
    assert_eq!(engine.ok(&["load", "-q", "-i", &address]), "Loaded image: localhost/box:1");
    assert!(server.join().unwrap().starts_with("GET /x.tar "));
    assert_eq!(engine.ok(&["run", "--rm", "box:1", "pwd"]), "/");
}

#[test]
fn networks_are_shown_in_podmans_form() {
    let Some(engine) = Engine::new("networks_are_shown_in_podmans_form") else { return };
    let range = ["--subnet", "10.93.0.0/24", "--ip-range", "10.93.0.128/25"];
    engine.ok(&[&["network", "create", "--label", "a=b"], &range[..], &["app"]].concat());
    let document = |text: &str| -> serde_json::Value { serde_json::from_str(text).unwrap() };
    let shown = document(&engine.podmans(&["network", "inspect", "app"]));
    let network = &shown[0];
    assert_eq!((&network["name"], &network["dns_enabled"]), (&"app".into(), &true.into()));
    assert_eq!(network["subnets"][0]["gateway"], "10.93.0.1");
    assert_eq!(network["subnets"][0]["lease_range"]["end_ip"], "10.93.0.255");
    assert_eq!((&network["labels"]["a"], network["Name"].is_null()), (&"b".into(), true));
    let listed = document(&engine.podmans(&["network", "ls", "--format", "json"]));
    assert_eq!(&listed[0], network);
    // Templates know both, whatever the name.
    let format = "{{.Name}} {{.DNSEnabled}} {{.IPv6Enabled}} {{range .Subnets}}{{.Subnet}}{{end}} {{.Driver}} {{.Scope}} \
        {{range .IPAM.Config}}{{.Gateway}}{{end}}";
    let said = "app true false 10.93.0.0/24 bridge local 10.93.0.1";
    assert_eq!(engine.podmans(&["network", "inspect", "-f", format, "app"]), said);
    assert_eq!(engine.ok(&["network", "inspect", "-f", format, "app"]), said);
    let format = "{{.Name}} {{.DNSEnabled}} {{range .Subnets}}{{.Subnet}}{{end}}";
    let list = ["network", "ls", "-f", "name=app", "--format", format];
    assert_eq!(engine.ok(&list), "app true 10.93.0.0/24");
}
