//! `tare secret` and `run --secret`.

use super::engine::Engine;
use e2e::{stderr, stdout};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

impl Engine {
    /// Makes a secret of standard input.
    fn secret(&self, args: &[&str], text: &[u8]) -> std::process::Output {
        let mut command = self.0.command(&[&["secret", "create"], args, &["-"]].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // One that refuses the name does not read.
        let _ = child.stdin.take().unwrap().write_all(text);
        child.wait_with_output().unwrap()
    }

    /// Every file of the store in which a text is, by its name.
    fn found(&self, text: &str) -> String {
        let script = format!("busybox grep -rlF '{text}' store run /run/tare 2>/dev/null || true");
        self.0.sh(&script).replace(&self.0.path(""), "")
    }
}

const SECRET: &str = "w0rd-that-nobody-sees";

#[test]
fn secrets_are_made_listed_and_removed() {
    let Some(engine) = Engine::new("secrets_are_made_listed_and_removed") else { return };
    let made = engine.secret(&["--label", "a=b", "one"], SECRET.as_bytes());
    let id = stdout(&made).trim().to_owned();
    assert_eq!(id.len(), 25, "{}", stderr(&made));
    std::fs::write(engine.0.path("file"), "two").unwrap();
    engine.ok(&["secret", "create", "two", "file"]);
    let output = engine
        .0
        .command(&["secret", "create", "--env", "three", "OF_ENV"])
        .env("OF_ENV", "3")
        .output();
    assert!(output.unwrap().status.success());
    assert_eq!(
        engine.ok(&["secret", "ls", "--format", "{{.Name}} {{.Driver}}"]),
        "one file\nthree file\ntwo file"
    );
    assert_eq!(engine.ok(&["secret", "ls", "-q", "--filter", "name=one"]), id);
    assert_eq!(engine.ok(&["secret", "ls", "-q", "--filter", "label=a"]), id);
    assert!(engine.ok(&["secret", "ls"]).starts_with("ID "));
    assert_eq!(
        engine.ok(&[
            "secret",
            "inspect",
            "--format",
            "{{.Spec.Name}} {{.Spec.Labels.a}}",
            &id[..9]
        ]),
        "one b"
    );
    let shown = engine.ok(&["secret", "inspect", "one"]);
    assert!(shown.contains(&id) && !shown.contains(SECRET), "{shown}");
    let shown =
        engine.ok(&["secret", "inspect", "--showsecret", "--format", "{{.SecretData}}", "one"]);
    assert_eq!(shown, SECRET);
    let kept = std::fs::metadata(engine.0.path("store/secrets/one/data")).unwrap();
    assert_eq!(kept.mode() & 0o7777, 0o600);
    assert_eq!(engine.0.tare(&["secret", "exists", "one"]).status.code(), Some(0));
    assert_eq!(engine.0.tare(&["secret", "exists", "nosuch"]).status.code(), Some(1));
    // One that is there stays, unless somebody says otherwise.
    let again = engine.secret(&["one"], b"other");
    assert!(stderr(&again).contains("one: secret name in use\nhint: "), "{}", stderr(&again));
    assert!(engine.secret(&["--ignore", "one"], b"other").status.success());
    assert!(engine.secret(&["--replace", "two"], b"other").status.success());
    let of = |name: &str| {
        engine.ok(&["secret", "inspect", "--showsecret", "--format", "{{.SecretData}}", name])
    };
    assert_eq!((of("one").as_str(), of("two").as_str()), (SECRET, "other"));
    let events = engine.ok(&[
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "--filter",
        "type=secret",
        "--format",
        "{{.Action}}",
    ]);
    assert_eq!(events.lines().filter(|line| *line == "create").count(), 4, "{events}");
    assert_eq!(engine.ok(&["secret", "rm", "one"]), id);
    engine.ok(&["secret", "rm", "-a"]);
    assert_eq!(engine.ok(&["secret", "ls", "-q"]), "");
    let said = engine.0.fails(1, &["secret", "rm", "one"]);
    assert!(said.contains("no such secret: one"), "{said}");
    engine.ok(&["secret", "rm", "--ignore", "one"]);
}

#[test]
fn what_is_no_secret_is_refused() {
    let Some(engine) = Engine::new("what_is_no_secret_is_refused") else { return };
    for (args, text, why) in [
        (&["../x"][..], &b"x"[..], "no name of a secret"),
        (&["a=b"], b"x", "no name of a secret"),
        (&["-d", "pass", "a"], b"x", "there is no such driver"),
        (&["--driver-opts", "path=/x", "a"], b"x", "the driver file has none"),
        (&["a"], b"", "it has 0 bytes"),
        (&["a"], &[b'x'; 512_000][..], "it has 512000 bytes"),
    ] {
        let said = stderr(&engine.secret(args, text));
        assert!(said.contains(why) && said.contains("hint: "), "{args:?}: {said}");
    }
    for (args, why) in [
        ("nosuch", "no such secret: nosuch"),
        ("a,type=x", "type is neither mount nor env"),
        ("a,type=env,mode=0400", "a variable has none"),
        ("a,mode=9", "no octal number"),
        ("a,target=../x", "goes up"),
        ("a,x=y", "is unknown"),
    ] {
        assert!(engine.secret(&["--replace", "a"], b"x").status.success());
        let said = engine.0.fails(125, &["run", "--rm", "--secret", args, "box:1"]);
        assert!(said.contains(why), "{args}: {said}");
    }
    let said = engine.0.fails(1, &["config", "create", "x", "file"]);
    assert!(said.contains("services") && said.contains("--secret"), "{said}");
}

#[test]
fn a_container_gets_secrets_as_files_and_variables() {
    let test = "a_container_gets_secrets_as_files_and_variables";
    let Some(engine) = Engine::new(test) else { return };
    assert!(engine.secret(&["one"], SECRET.as_bytes()).status.success());
    let script = "cat /run/secrets/one; echo; stat -c '%a %u:%g' /run/secrets/one; cat /etc/key; echo; \
                  stat -c '%a %u:%g' /etc/key; stat -c '%a' /run/secrets/deep/er; echo $one $OTHER; \
                  busybox grep -c ' /run/secrets tmpfs ro,' /proc/mounts; echo x > /run/secrets/one || echo kept";
    let said = engine.0.tare(&[
        "run",
        "--name",
        "it",
        "--secret",
        "one",
        "--secret",
        "source=one,target=/etc/key,uid=33,gid=50,mode=0440",
        "--secret",
        "one,target=deep/er,mode=0400",
        "--secret",
        "one,type=env",
        "--secret",
        "one,type=env,target=OTHER",
        "box:1",
        "sh",
        "-c",
        script,
    ]);
    let wanted =
        format!("{SECRET}\n444 0:0\n{SECRET}\n440 33:50\n400\n{SECRET} {SECRET}\n1\nkept\n");
    assert_eq!(stdout(&said), wanted, "{}", stderr(&said));
    // Whoever reads the container's variables later sees them, too.
    engine.ok(&[
        "run",
        "-d",
        "--name",
        "long",
        "--secret",
        "one,type=env",
        "box:1",
        "sleep",
        "1000",
    ]);
    assert_eq!(engine.ok(&["exec", "long", "sh", "-c", "echo $one"]), SECRET);
    assert!(!engine.ok(&["inspect", "long"]).contains(SECRET));
    engine.ok(&["rm", "-f", "long"]);
    let shown = engine.ok(&["inspect", "it"]);
    assert!(shown.contains("\"Secrets\"") && !shown.contains(SECRET), "{shown}");
    // A user of the container's can read what is for everybody.
    let said = engine.ok(&[
        "run",
        "--rm",
        "-u",
        "web",
        "--secret",
        "one",
        "box:1",
        "cat",
        "/run/secrets/one",
    ]);
    assert_eq!(said, SECRET);
    // What it is by then counts.
    assert!(engine.secret(&["--replace", "one"], b"new").status.success());
    assert!(stdout(&engine.0.tare(&["start", "-a", "it"])).starts_with("new\n"));
    let said = engine.0.fails(1, &["secret", "rm", "one"]);
    assert!(said.contains("container it has it"), "{said}");
    engine.ok(&["rm", "it"]);
    engine.ok(&["secret", "rm", "one"]);
}

#[test]
fn a_secret_is_in_nothing_that_is_made_of_its_container() {
    let test = "a_secret_is_in_nothing_that_is_made_of_its_container";
    let Some(engine) = Engine::new(test) else { return };
    assert!(engine.secret(&["one"], SECRET.as_bytes()).status.success());
    let secrets = ["--secret", "one", "--secret", "one,target=/key", "--secret", "one,type=env"];
    engine
        .ok(&[&["run", "-d", "--name", "it"][..], &secrets, &["box:1", "sleep", "1000"]].concat());
    assert_eq!(engine.ok(&["exec", "it", "cat", "/key"]), SECRET);
    engine.ok(&["commit", "it", "made:1"]);
    let script = "cat /key /run/secrets/one 2>/dev/null; echo $one";
    assert_eq!(engine.ok(&["run", "--rm", "made:1", "sh", "-c", script]), "");
    engine.ok(&["export", "-o", &engine.0.path("export.tar"), "it"]);
    assert_eq!(engine.0.sh(&format!("busybox grep -c {SECRET} export.tar || true")), "0\n");
    engine.ok(&["stop", "-t", "0", "it"]);
    assert_eq!(engine.found(SECRET), "store/secrets/one/data\n");
    engine.ok(&["rm", "it"]);
    engine.ok(&["fsck"]);
}

#[test]
fn secrets_belong_to_the_ids_of_a_user_namespace() {
    let test = "secrets_belong_to_the_ids_of_a_user_namespace";
    let Some(engine) = Engine::new(test) else { return };
    assert!(engine.secret(&["one"], b"x").status.success());
    let output = engine.0.tare(&[
        "run",
        "--rm",
        "--uidmap",
        "0:500000:1000",
        "--secret",
        "one,uid=33,gid=50,mode=0400",
        "box:1",
        "stat",
        "-c",
        "%u:%g",
        "/run/secrets/one",
    ]);
    if stderr(&output).contains("idmapped") {
        e2e::skip(test, &format!("no idmapped mounts: {}", stderr(&output).trim()));
        return;
    }
    assert_eq!(stdout(&output), "33:50\n", "{}", stderr(&output));
}

/// X1: what stays for everybody to see has forgotten the command line that it comes from, and, where a container sees
/// it, the environment.
#[test]
fn what_the_command_was_given_is_not_seen_beside_it() {
    let Some(engine) = Engine::new("what_the_command_was_given_is_not_seen_beside_it") else {
        return;
    };
    let sleep = ["-e", "PASSWORD=hidden", "--init", "--name", "a", "box:1", "sleep", "1000"];
    engine.ok(&[&["run", "-d"][..], &sleep].concat());
    let pid = engine.field("a", ".State.Pid");
    let state = std::fs::read_to_string(
        engine.0.path(&format!("store/containers/{}/state.json", engine.field("a", ".Id"))),
    );
    let supervisor = state.unwrap();
    let supervisor = supervisor.split("\"supervisor\":").nth(1).unwrap();
    let supervisor: String = supervisor.chars().take_while(char::is_ascii_digit).collect();
    let read = |pid: &str, file: &str| {
        let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap();
        String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned()
    };
    assert_eq!(read(&supervisor, "cmdline"), "tare-supervise");
    assert_eq!(read(&pid, "cmdline"), "tare-init");
    assert_eq!(read(&pid, "environ"), "");
    assert!(engine.ok(&["exec", "a", "cat", "/proc/1/cmdline"]).starts_with("tare-init"));
    engine.ok(&["rm", "-f", "-t", "0", "a"]);
}
