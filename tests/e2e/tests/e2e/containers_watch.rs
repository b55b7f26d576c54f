//! `tare events`, `top`, `stats`, `update`, `healthcheck run`, `inspect`, `system df`, `info` and `prune`.

use super::engine::{Engine, PATIENCE};
use e2e::stdout;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn what_happened_is_told() {
    let Some(engine) = Engine::idle("what_happened_is_told") else { return };
    let output =
        engine.0.tare(&["run", "--name", "one", "-l", "k=v", "box:1", "sh", "-c", "exit 3"]);
    assert_eq!(output.status.code(), Some(3));
    engine.ok(&["run", "--rm", "--name", "two", "-v", "data:/d", "box:1", "pwd"]);
    let of = |filters: &[&str]| -> Vec<String> {
        let format = "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}";
        let mut args = vec!["events", "--since", "1h", "--until", "0s", "--format", format];
        args.extend(filters.iter().flat_map(|filter| ["--filter", filter]));
        engine.ok(&args).lines().map(str::to_owned).collect()
    };
    assert_eq!(
        of(&["container=one"]),
        [
            "container create one",
            "container attach one",
            "container start one",
            "container die one"
        ]
    );
    assert_eq!(
        of(&["label=k=v", "event=die", "event=start"]),
        ["container start one", "container die one"]
    );
    assert_eq!(of(&["container=two", "event=destroy"]), ["container destroy two"]);
    assert_eq!(
        of(&["type=volume"]),
        ["volume create <no value>", "volume mount <no value>", "volume unmount <no value>"]
    );
    assert_eq!(of(&["image=box", "container=one"]).len(), 4);
    let died = ["events", "--since", "1h", "--until", "0s", "--filter", "event=die"];
    let died = [&died[..], &["--filter", "container=one"]].concat();
    let line = engine.ok(&died);
    let id = engine.ok(&["inspect", "--format", "{{.Id}}", "one"]);
    assert!(
        line.contains(&format!(
            " container die {id} (execDuration=0, exitCode=3, image=box:1, k=v, name=one)"
        )),
        "{line}"
    );
    let json = engine.ok(&[&died[..], &["--format", "json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["status"], &json["Actor"]["Attributes"]["exitCode"]),
        (&"die".into(), &"3".into())
    );
    engine.0.fails(1, &["events", "--filter", "x=y", "--until", "0s"]);
    engine.0.fails(1, &["events", "--since", "nonsense"]);
}

#[test]
fn what_clients_checks_and_volumes_do_is_told_in_dockers_words() {
    let test = "what_clients_checks_and_volumes_do_is_told_in_dockers_words";
    let Some(engine) = Engine::new(test) else { return };
    let check = ["--health-cmd", "pwd", "--health-interval", "100ms"];
    let volumes = ["-v", "data:/d:ro", "-v", "/own"];
    engine.ok(&[&["run", "-d", "-t", "--name", "it"], &check[..], &volumes, &["box:1"]].concat());
    let told = |filters: &[&str], format: &str| -> Vec<String> {
        let mut args = vec!["events", "--since", "1h", "--until", "0s", "--format", format];
        args.extend(filters.iter().flat_map(|filter| ["--filter", filter]));
        engine.ok(&args).lines().map(str::to_owned).collect()
    };
    let of = |action: &str, format: &str| {
        let began = std::time::Instant::now();
        loop {
            let lines = told(&["container=it", &format!("event={action}")], format);
            if !lines.is_empty() {
                return lines[0].clone();
            }
            assert!(began.elapsed() < PATIENCE, "{action}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    let attributes = "{{len .Actor.Attributes.execID}} {{.Actor.Attributes.exitCode}} {{.Actor.Attributes.name}}";
    // A check is a program that is executed.
    assert_eq!(of("health_status: healthy", "{{.Action}}"), "health_status: healthy");
    assert_eq!(of("exec_create: /bin/sh -c pwd", "{{.Action}}"), "exec_create: /bin/sh -c pwd");
    assert_eq!(of("exec_start: /bin/sh -c pwd", "{{len .Actor.Attributes.execID}}"), "64");
    assert_eq!(of("exec_die", attributes), "64 0 it");
    assert_eq!(engine.0.tare(&["exec", "it", "sh", "-c", "exit 7"]).status.code(), Some(7));
    let codes = told(&["container=it", "event=exec_die"], "{{.Actor.Attributes.exitCode}}");
    assert!(codes.contains(&"7".to_owned()), "{codes:?}");
    engine.ok(&["top", "it"]);
    assert_eq!(of("top", "{{.Actor.Attributes.name}}"), "it");
    // A client that has no terminal has no size; what it leaves is the container's end.
    let mut attached = engine.0.command(&["attach", "--no-stdin", "it"]).spawn().unwrap();
    assert_eq!(of("attach", "{{.Actor.Attributes.image}}"), "box:1");
    attached.kill().unwrap();
    attached.wait().unwrap();
    engine.ok(&["stop", "-t", "0", "it"]);
    let id = engine.ok(&["inspect", "--format", "{{.Id}}", "it"]);
    let names = "container destination driver propagation read/write".split(' ');
    let shown: String =
        names.map(|name| format!("{{{{index .Actor.Attributes \"{name}\"}}}}|")).collect();
    let mounts = told(&["type=volume", "event=mount"], &shown);
    assert_eq!(mounts, [format!("{id}|/d|local||false|"), format!("{id}|/own|local||true|")]);
    assert_eq!(told(&["volume=data"], "{{.Action}}"), ["create", "mount", "unmount"]);
}

#[test]
fn what_happens_is_followed() {
    let Some(engine) = Engine::idle("what_happens_is_followed") else { return };
    engine.ok(&["create", "--name", "one", "box:1", "pwd"]);
    // Without a beginning it begins now, and goes on.
    let mut command = engine.0.command(&["events", "--format", "{{.Action}}"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let heard = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // The other one may not have begun yet: it is started until that has heard of it.
        scope.spawn(|| {
            while !heard.load(Ordering::Relaxed) {
                engine.0.tare(&["start", "one"]);
            }
        });
        let line = lines.next();
        heard.store(true, Ordering::Relaxed);
        assert_eq!(line.unwrap().unwrap(), "start");
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn processes_are_shown() {
    let Some(engine) = Engine::idle("processes_are_shown") else { return };
    engine.ok(&["run", "-d", "--name", "it", "-u", "web", "box:1"]);
    engine.ok(&["exec", "-d", "it", "sleep", "2000"]);
    let pid = engine.ok(&["inspect", "--format", "{{.State.Pid}}", "it"]);
    let said = engine.ok(&["top", "it"]);
    let lines: Vec<Vec<&str>> =
        said.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
    let own = lines.iter().find(|line| line.get(1) == Some(&pid.as_str())).unwrap();
    assert_eq!((own[5], own[6], &own[7..]), ("?", "00:00:00", &["sleep", "1000"][..]));
    assert!(lines.iter().any(|line| line.ends_with(&["sleep", "2000"])), "{said}");
    if super::images_scratch::has_program("processes_are_shown", "ps") {
        let said = engine.ok(&["top", "it", "-eo", "pid,args"]);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 3, "{said}");
        assert!(said.contains(&format!("{pid} sleep 1000")), "{said}");
        engine.0.fails(1, &["top", "it", "-eo", "args"]);
    }
    engine.ok(&["stop", "-t", "0", "it"]);
    assert!(engine.0.fails(1, &["top", "it"]).contains("is not running"));
}

#[test]
fn usage_is_shown_and_limits_change() {
    let Some(engine) = Engine::idle("usage_is_shown_and_limits_change") else { return };
    engine.ok(&["run", "-d", "--name", "it", "-m", "64m", "box:1"]);
    engine.ok(&["create", "--name", "off", "box:1"]);
    let stats = |format: &str| engine.ok(&["stats", "--no-stream", "--format", format, "it"]);
    let said = stats("{{.Name}} {{.PIDs}} {{.CPUPerc}} {{.MemUsage}}");
    assert!(said.starts_with("it 1 ") && said.ends_with(" / 64MiB"), "{said}");
    let table = engine.ok(&["stats", "--no-stream", "-a"]);
    assert!(table.starts_with("CONTAINER ID   NAME"), "{table}");
    assert_eq!(table.lines().count(), 3, "{table}");
    assert_eq!(engine.ok(&["stats", "--no-stream"]).lines().count(), 2);
    assert_eq!(engine.ok(&["update", "-m", "128m", "--pids-limit", "77", "it", "off"]), "it\noff");
    assert!(stats("{{.MemUsage}}").ends_with(" / 128MiB"));
    let field = |name: &str, field: &str| {
        engine.ok(&["inspect", "--format", &format!("{{{{{field}}}}}"), name])
    };
    for name in ["it", "off"] {
        assert_eq!(field(name, ".HostConfig.Memory"), "134217728");
        assert_eq!(field(name, ".HostConfig.PidsLimit"), "77");
    }
    engine.ok(&["start", "off"]);
    assert!(
        engine
            .ok(&["stats", "--no-stream", "--format", "{{.MemUsage}}", "off"])
            .ends_with(" / 128MiB")
    );
    engine.0.fails(1, &["update", "it"]);
    engine.0.fails(1, &["update", "-m", "1m", "--memory-reservation", "2m", "it"]);
    // The supervisor follows another policy.
    engine.ok(&["update", "--restart", "always", "off"]);
    let pid = field("off", ".State.Pid");
    assert!(sys::process::kill(pid.parse().unwrap(), 9).is_ok());
    let again = (0..6000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let now = field("off", ".State.Pid");
        now != pid && now != "0"
    });
    assert!(again, "it is not started again");
    engine.ok(&["run", "-d", "--rm", "--name", "gone", "box:1"]);
    let said = engine.0.fails(1, &["update", "--restart", "always", "gone"]);
    assert!(said.contains("AutoRemove is enabled"), "{said}");
}

#[test]
fn health_is_checked_when_asked() {
    let Some(engine) = Engine::idle("health_is_checked_when_asked") else { return };
    engine.ok(&[
        "run",
        "-d",
        "--name",
        "it",
        "--health-cmd",
        "cat /ok",
        "--health-interval",
        "1h",
        "box:1",
    ]);
    let output = engine.0.tare(&["healthcheck", "run", "it"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).ends_with("unhealthy\n"), "{}", stdout(&output));
    engine.ok(&["exec", "it", "touch", "/ok"]);
    assert_eq!(engine.ok(&["healthcheck", "run", "it"]), "");
    engine.ok(&["run", "-d", "--name", "none", "box:1"]);
    assert!(
        engine.0.fails(125, &["healthcheck", "run", "none"]).contains("no defined healthcheck")
    );
    engine.ok(&["stop", "-t", "0", "none"]);
    assert!(engine.0.fails(125, &["healthcheck", "run", "none"]).contains("is not running"));
}

#[test]
fn nobody_waits_for_what_a_check_or_a_program_leaves_running() {
    let test = "nobody_waits_for_what_a_check_or_a_program_leaves_running";
    let Some(engine) = Engine::new(test) else { return };
    let check = "sleep 1000 & echo fine";
    engine.ok(&[
        "run",
        "-d",
        "--name",
        "it",
        "--health-cmd",
        check,
        "--health-interval",
        "1h",
        "box:1",
        "sleep",
        "1000",
    ]);
    assert_eq!(engine.ok(&["healthcheck", "run", "it"]), "");
    let format = "{{.State.Health.Status}} {{range .State.Health.Log}}{{.Output}}{{end}}";
    assert_eq!(engine.ok(&["inspect", "--format", format, "it"]), "healthy fine");
    // Without a supervisor the command itself listens.
    sys::process::kill(engine.supervisor("it"), 9).unwrap();
    let is_alone = || engine.0.tare(&["attach", "--no-stdin", "it"]).status.code() == Some(1);
    engine.until("it is unsupervised", is_alone);
    assert_eq!(engine.ok(&["healthcheck", "run", "it"]), "");
    engine.ok(&["stop", "-t", "0", "it"]);
    // In the machine's pid namespace nothing ends with the program: what is left writes on for ever, and is killed.
    let script = "busybox yes & exit 3";
    engine.ok(&["run", "-d", "--name", "loud", "--pid", "host", "box:1", "sh", "-c", script]);
    assert_eq!(engine.ok(&["wait", "loud"]), "3");
    assert_eq!(engine.ok(&["ps", "-q"]), "");
}

#[test]
fn a_name_is_a_container_s_then_an_image_s_then_a_volume_s() {
    let test = "a_name_is_a_container_s_then_an_image_s_then_a_volume_s";
    let Some(engine) = Engine::idle(test) else { return };
    engine.ok(&["tag", "box:1", "both:latest"]);
    engine.ok(&["create", "--name", "both", "-v", "data:/d", "box:1"]);
    engine.ok(&["volume", "create", "both"]);
    let kind = |args: &[&str]| -> Vec<String> {
        let text = engine.ok(&[&["inspect"], args].concat());
        let all: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        let kind = |value: &serde_json::Value| {
            let of = |name: &str| !value[name].is_null();
            if of("State") {
                "container"
            } else if of("RepoTags") {
                "image"
            } else {
                "volume"
            }
            .to_owned()
        };
        all.iter().map(kind).collect()
    };
    assert_eq!(kind(&["both", "box:1", "data"]), ["container", "image", "volume"]);
    assert_eq!(kind(&["--type", "image", "both"]), ["image"]);
    assert_eq!(kind(&["--type", "container", "both"]), ["container"]);
    assert_eq!(kind(&["--type", "volume", "both"]), ["volume"]);
    assert!(engine.ok(&["inspect", "-s", "both"]).contains("\"SizeRw\": 0"));
    engine.0.fails(1, &["inspect", "--type", "pod", "both"]);
    assert_eq!(engine.0.tare(&["inspect", "nobody"]).status.code(), Some(1));
}

#[test]
fn the_store_counts_containers_and_volumes() {
    let test = "the_store_counts_containers_and_volumes";
    let Some(engine) = Engine::idle(test) else { return };
    engine.ok(&["run", "-d", "--name", "on", "-v", "data:/d", "box:1"]);
    engine.ok(&[
        "run",
        "--name",
        "off",
        "-v",
        "/anonymous",
        "box:1",
        "sh",
        "-c",
        "echo 1234567 > /x",
    ]);
    engine.ok(&["volume", "create", "free"]);
    let usage = engine.ok(&[
        "system",
        "df",
        "--format",
        "{{.Type}}: {{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}",
    ]);
    let lines: Vec<&str> = usage.lines().collect();
    assert!(lines[0].starts_with("Images: 1 1 "), "{usage}");
    assert_eq!(lines[1..3], ["Containers: 2 1 8B 8B (100%)", "Local Volumes: 3 2 0B 0B"]);
    let format =
        "{{.Containers}} {{.ContainersRunning}} {{.ContainersPaused}} {{.ContainersStopped}}";
    assert_eq!(engine.ok(&["info", "--format", format]), "2 1 0 1");
    let said = engine.0.fails(2, &["rmi", "box:1"]);
    assert!(said.contains("uses the image"), "{said}");
    let said = engine.ok(&["system", "prune", "-f", "--volumes"]);
    assert!(said.starts_with("Deleted Containers:\n"), "{said}");
    assert_eq!(engine.ok(&["ps", "-a", "--format", "{{.Names}}"]), "on");
    assert_eq!(engine.ok(&["volume", "ls", "-q"]), "data\nfree");
    engine.ok(&["image", "prune", "-af"]);
    assert_eq!(engine.ok(&["images", "-q"]).lines().count(), 1);
    engine.ok(&["rm", "-f", "on"]);
    engine.ok(&["image", "prune", "-af"]);
    assert_eq!(engine.ok(&["images", "-q"]), "");
}
