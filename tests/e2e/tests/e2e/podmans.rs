//! What podman's users type, where docker has no word of its own for it, and the form of what the program says when it
//! goes by podman's name.

use super::engine::Engine;
use e2e::{stderr, stdout};
use std::os::unix::process::CommandExt;

impl Engine {
    /// The program by podman's name: its exit code, and what it says.
    fn podman(&self, args: &[&str]) -> (i32, String, String) {
        let output = self.0.command(args).arg0("podman").output().expect("starting the program");
        (output.status.code().unwrap_or(-1), stdout(&output), stderr(&output))
    }
}

#[test]
fn verbs_are_about_all_the_latest_or_filtered_containers() {
    let test = "verbs_are_about_all_the_latest_or_filtered_containers";
    let Some(engine) = Engine::new(test) else { return };
    let one = engine.ok(&["create", "--name", "one", "box:1", "sleep", "1000"]);
    let two = engine.ok(&["create", "--name", "two", "-l", "a=b", "box:1", "sleep", "1000"]);
    let lines = |text: String| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let both = || lines(format!("{one}\n{two}"));
    assert_eq!(lines(engine.ok(&["start", "--all"])), both());
    assert_eq!(engine.ok(&["inspect", "-l", "--format", "{{.Name}}"]), "/two");
    assert_eq!(engine.ok(&["exec", "-l", "cat", "/etc/hostname"]), two[..12]);
    assert_eq!(engine.ok(&["pause", "--filter", "label=a"]), two);
    assert_eq!(engine.ok(&["unpause", "--all"]), two);
    let file = engine.0.path("id");
    std::fs::write(&file, format!("{one}\n")).unwrap();
    assert_eq!(engine.ok(&["kill", "--cidfile", &file]), one);
    assert_eq!(engine.ok(&["ps", "--filter", "id=^[^g]", "--format", "{{.Names}}"]), "two");
    assert_eq!(engine.ok(&["ps", "-a", "--filter", "name=^o", "--format", "{{.Names}}"]), "one");
    assert_eq!(engine.ok(&["ps", "-a", "--sort", "names", "--format", "{{.Names}}"]), "one\ntwo");
    assert_eq!(engine.ok(&["ps", "--filter", "status=stopped", "--format", "{{.Names}}"]), "one");
    assert_eq!(lines(engine.ok(&["restart", "-t", "0", "--all"])), both());
    assert_eq!(lines(engine.ok(&["stop", "-t", "0", "-a"])), both());
    assert_eq!(engine.ok(&["start", "--filter", "label=a", "one", "two"]), "two");
    let text = engine.0.fails(1, &["start", "--all", "one"]);
    assert!(text.contains("either start all containers"), "{text}");
    assert_eq!(engine.ok(&["wait", "--condition", "running", "two"]), "-1");
    assert_eq!(engine.ok(&["wait", "--ignore", "nosuch"]), "-1");
    assert_eq!(engine.ok(&["stop", "--ignore", "--cidfile", "/nosuch/file"]), "");
    assert_eq!(engine.0.tare(&["container", "exists", "two"]).status.code(), Some(0));
    assert_eq!(engine.0.tare(&["container", "exists", "nosuch"]).status.code(), Some(1));
    assert_eq!(engine.ok(&["rm", "-f", "--filter", "label=a"]), two);
    engine.ok(&["create", "--name", "joined", "--network", "container:one", "box:1"]);
    assert_eq!(engine.field("joined", ".HostConfig.NetworkMode"), format!("container:{one}"));
    assert_eq!(engine.ok(&["rm", "--depend", "one"]).lines().count(), 2);
    assert_eq!(engine.ok(&["ps", "-aq"]), "");
}

#[test]
fn options_of_podmans_run_do_what_they_say() {
    let test = "options_of_podmans_run_do_what_they_say";
    let Some(engine) = Engine::new(test) else { return };
    let run = |options: &[&str], script: &str| {
        let mut args = vec!["run", "--rm", "--network", "none"];
        args.extend(options);
        args.extend(["box:1", "sh", "-c", script]);
        engine.ok(&args)
    };
    assert_eq!(run(&["--umask", "0027"], "umask"), "0027");
    let environment = |options: &[&str]| {
        let mut args = vec!["run", "--rm", "--network", "none"];
        args.extend(options);
        args.extend(["box:1", "/bin/busybox", "env"]);
        engine.ok(&args)
    };
    let text = environment(&["--unsetenv", "PATH"]);
    assert!(text.contains("HOME=/root") && !text.contains("PATH="), "{text}");
    assert_eq!(environment(&["--unsetenv-all", "-e", "A=b"]), "A=b\nHOME=/root");
    assert_eq!(
        run(&["-e", "A=1", "--env-merge", "A=${A}x${NONE}"], "echo $A"),
        "1",
        "the options' own variables are the last"
    );
    let rooted = "[ -e /etc/hosts ] && echo hosts; [ -e /etc/hostname ] && echo hostname; true";
    assert_eq!(run(&[], rooted), "hosts\nhostname");
    assert_eq!(run(&["--no-hosts", "--no-hostname"], rooted), "");
    let tmpfs = "touch /tmp/x /run/x && echo both";
    assert_eq!(run(&["--read-only", "--read-only-tmpfs"], tmpfs), "both");
    assert_eq!(run(&["--ipc", "none"], "[ -e /dev/shm/. ] || echo none"), "none");
    assert_eq!(run(&["--memory", "0", "--name", "/slash"], "echo $HOSTNAME").len(), 12);
    engine.0.fails(125, &["run", "--rm", "--umask", "9", "box:1", "true"]);
    engine.0.fails(125, &["run", "--rm", "--tz", "../etc/passwd", "box:1", "true"]);
    engine.0.fails(125, &["run", "--rm", "--health-on-failure", "kill", "box:1", "true"]);
    let late = engine.0.tare(&["run", "--name", "late", "--timeout", "1", "box:1", "sleep", "99"]);
    assert_eq!(late.status.code(), Some(255));
    assert_eq!(engine.field("late", ".State.ExitCode"), "-1");
    let (pid, conmon) = (engine.0.path("pid"), engine.0.path("conmon"));
    engine.ok(&[
        "run",
        "-d",
        "--replace",
        "--name",
        "late",
        "--pidfile",
        &pid,
        "--conmon-pidfile",
        &conmon,
        "box:1",
        "sleep",
        "99",
    ]);
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    assert_eq!(read(&pid), engine.field("late", ".State.Pid"));
    assert_eq!(read(&conmon), engine.field("late", ".State.ConmonPid"));
    engine.ok(&["run", "-d", "--name", "second", "box:1", "sh", "-c", "echo two"]);
    engine
        .until("the second one has ended", || engine.field("second", ".State.Running") == "false");
    let text = engine.ok(&["logs", "--names", "late", "second"]);
    assert_eq!(text, "second two");
}

#[test]
fn health_checks_are_run_when_somebody_asks_and_an_unhealthy_container_is_seen_to() {
    let test = "health_checks_are_run_when_somebody_asks_and_an_unhealthy_container_is_seen_to";
    let Some(engine) = Engine::new(test) else { return };
    let start = |action: &str| {
        engine.ok(&[
            "run",
            "-d",
            "--replace",
            "--name",
            "web",
            "--health-cmd",
            "[ ! -e /bad ] || { rm /bad; false; }",
            "--health-interval",
            "disable",
            "--health-retries",
            "1",
            "--health-on-failure",
            action,
            "--health-max-log-count",
            "2",
            "box:1",
            "sleep",
            "1000",
        ]);
    };
    start("none");
    assert_eq!(engine.field("web", ".State.Health.Status"), "starting");
    for _ in 0..3 {
        assert_eq!(engine.ok(&["healthcheck", "run", "web"]), "");
    }
    assert_eq!(engine.field("web", ".State.Health.Status"), "healthy");
    assert_eq!(engine.field("web", "len .State.Health.Log"), "2");
    engine.ok(&["exec", "web", "touch", "/bad"]);
    let failed = engine.0.tare(&["healthcheck", "run", "web"]);
    assert_eq!((failed.status.code(), stdout(&failed).as_str()), (Some(1), "unhealthy\n"));
    assert_eq!(engine.field("web", ".State.Health.FailingStreak"), "1");
    engine.ok(&["wait", "--condition", "unhealthy", "web"]);
    for action in ["kill", "stop"] {
        start(action);
        engine.ok(&["exec", "web", "touch", "/bad"]);
        assert_eq!(engine.0.tare(&["healthcheck", "run", "web"]).status.code(), Some(1));
        assert_eq!(engine.field("web", ".State.Running"), "false", "{action}");
    }
    start("restart");
    engine.ok(&["exec", "web", "touch", "/bad"]);
    assert_eq!(engine.0.tare(&["healthcheck", "run", "web"]).status.code(), Some(1));
    engine.ok(&["wait", "--condition", "running", "web"]);
    assert_eq!(engine.field("web", ".RestartCount"), "1");
}

#[test]
fn a_health_check_is_changed_while_its_container_runs() {
    let test = "a_health_check_is_changed_while_its_container_runs";
    let Some(engine) = Engine::new(test) else { return };
    engine.ok(&["run", "-d", "--name", "web", "box:1", "sleep", "1000"]);
    for option in ["--health-interval=10s", "--health-retries=5", "--health-on-failure=kill"] {
        let said = engine.0.fails(1, &["update", option, "web"]);
        assert!(said.contains("healthcheck command is not set\nhint: "), "{said}");
    }
    let all =
        ["--health-cmd", "echo one", "--health-interval", "disable", "--health-timeout", "7s"];
    let more =
        ["--health-retries", "4", "--health-start-period", "3s", "--health-max-log-count", "2"];
    engine.ok(&[&["update"][..], &all, &more, &["web"]].concat());
    let check = "printf \"%v %v %v %v %v\" .Config.Healthcheck.Test .Config.Healthcheck.Interval \
                 .Config.Healthcheck.Timeout .Config.Healthcheck.Retries .Config.Healthcheck.StartPeriod";
    assert_eq!(engine.field("web", check), "[CMD-SHELL echo one] -1 7000000000 4 3000000000");
    assert_eq!(engine.field("web", ".State.Health.Status"), "starting");
    assert_eq!(engine.ok(&["healthcheck", "run", "web"]), "");
    // The rest of it stays, and what was found out does not.
    engine.ok(&[
        "update",
        "--health-cmd",
        "echo two; false",
        "--health-start-period",
        "0s",
        "--health-retries",
        "1",
        "web",
    ]);
    assert_eq!(engine.field("web", "len .State.Health.Log"), "0");
    assert_eq!(engine.0.tare(&["healthcheck", "run", "web"]).status.code(), Some(1));
    assert_eq!(engine.field("web", ".State.Health.Status"), "unhealthy");
    assert_eq!(engine.field("web", ".Config.Healthcheck.Timeout"), "7000000000");
    engine.ok(&["update", "--health-on-failure", "kill", "web"]);
    assert_eq!(engine.field("web", ".State.Running"), "true");
    engine.ok(&["update", "--no-healthcheck", "web"]);
    assert_eq!(engine.field("web", ".Config.Healthcheck.Test"), "[NONE]");
    let said = engine.0.fails(125, &["healthcheck", "run", "web"]);
    assert!(said.contains("has no defined healthcheck"), "{said}");
    // One that does not run has it from its next start on.
    engine.ok(&["stop", "-t", "0", "web"]);
    engine.ok(&["update", "--health-cmd", "true", "--health-interval", "100ms", "web"]);
    engine.ok(&["start", "web"]);
    engine.ok(&["wait", "--condition", "healthy", "web"]);
    engine.ok(&[
        "update",
        "--health-cmd",
        "exit 9",
        "--health-retries",
        "1",
        "--health-on-failure",
        "stop",
        "web",
    ]);
    engine.until("it is stopped", || engine.field("web", ".State.Running") == "false");
}

#[test]
fn by_podmans_name_the_program_speaks_as_podman_does() {
    let test = "by_podmans_name_the_program_speaks_as_podman_does";
    let Some(engine) = Engine::new(test) else { return };
    let said = |args: &[&str]| {
        let (code, _, text) = engine.podman(args);
        (code, text.trim_end().to_owned())
    };
    let missing = "Error: no container with name or ID \"nosuch\" found: no such container";
    assert_eq!(said(&["stop", "nosuch"]), (125, missing.into()));
    assert_eq!(said(&["inspect", "nosuch"]), (125, "Error: no such object: \"nosuch\"".into()));
    assert_eq!(
        said(&["run", "--nosuch"]).1,
        "Error: unknown flag: --nosuch\nSee 'podman run --help'"
    );
    assert_eq!(said(&["nosuch", "x"]).0, 125);
    engine.ok(&["run", "-d", "--name", "web", "box:1", "sleep", "1000"]);
    let (code, text) = said(&["rm", "web"]);
    assert!(code == 2 && text.contains("as it is running - running or paused"), "{code} {text}");
    assert_eq!(engine.podman(&["ps", "--format", "{{.Command}}"]).1, "sleep 1000\n");
    let (_, out, text) = engine.podman(&["stop", "-t", "1", "web"]);
    assert!(out == "web\n" && text.contains("resorting to SIGKILL"), "{text}");
    let events = ["events", "--since", "1h", "--stream=false", "--filter", "status=died"];
    assert!(engine.podman(&events).1.contains(" container died "));
    assert_eq!(engine.podman(&["--noout", "rm", "web"]).1, "");
    let mounts = ["create", "-v", "one:/x", "--tmpfs", "/x", "box:1"];
    assert_eq!(said(&mounts).1, "Error: /x: duplicate mount destination");
    let text = engine.0.fails(1, &mounts);
    assert!(text.contains("Duplicate mount point: /x"), "{text}");
    engine.ok(&["create", "-v", "one:/x", "-v", "one:/x", "box:1"]);
    let (code, text) = said(&["volume", "rm", "one"]);
    assert!(code == 2 && text.starts_with("Error: volume one is being used by"), "{code} {text}");
    let file = engine.0.path("out");
    engine.podman(&["--out", &file, "create", "box:1"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap().len(), 65);
}
