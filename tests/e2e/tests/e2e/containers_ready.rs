//! What goes out of containers beside their streams: the word that they are ready, entries of the journal, terminals
//! that are left alone.

use super::engine::{Engine, PATIENCE};
use e2e::{program, skip, stderr, stdout};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

#[test]
fn systemd_hears_that_a_container_is_ready_from_whom_it_is_said() {
    let test = "systemd_hears_that_a_container_is_ready_from_whom_it_is_said";
    let Some(engine) = Engine::new(test) else { return };
    let path = engine.0.path("notify.sock");
    let heard = UnixDatagram::bind(&path).unwrap();
    heard.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let next = || {
        let mut buffer = [0u8; 4096];
        heard
            .recv(&mut buffer)
            .ok()
            .map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned())
    };
    let patient = || {
        let began = Instant::now();
        loop {
            match next() {
                Some(text) => break text,
                None => assert!(began.elapsed() < PATIENCE, "nothing is heard"),
            }
        }
    };
    let run = |args: &[&str], script: &str| {
        let all = [&["run", "-d", "--name", "it"], args, &["box:1", "sh", "-c", script]].concat();
        let output = engine.0.command(&all).env("NOTIFY_SOCKET", &path).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    };
    let wait = "echo $NOTIFY_SOCKET; while ! [ -e /go ]; do sleep 0.05; done; exec sleep 1000";
    // The container has no socket of the host's, and is ready at once for whom the supervisor answers.
    run(&["--sdnotify", "conmon"], wait);
    let text = patient();
    assert!(text.starts_with("READY=1\nMAINPID="), "{text}");
    let pid: i32 = text.rsplit('=').next().unwrap().parse().unwrap();
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    assert_eq!(name, "tare-supervise\n");
    assert_eq!(engine.ok(&["logs", "it"]), "");
    engine.ok(&["rm", "-f", "it"]);
    run(&["--sdnotify", "ignore"], wait);
    assert_eq!(next(), None);
    engine.ok(&["rm", "-f", "it"]);
    run(
        &["--sdnotify", "healthy", "--health-cmd", "[ -e /go ]", "--health-interval", "100ms"],
        wait,
    );
    assert_eq!(next(), None);
    engine.ok(&["exec", "it", "touch", "/go"]);
    assert!(patient().starts_with("READY=1\n"));
    engine.ok(&["rm", "-f", "it"]);
    // What else the container says stays with it.
    run(&[], wait);
    engine.until("it says where", || engine.ok(&["logs", "it"]) == "/run/notify/notify");
    let id = engine.ok(&["inspect", "--format", "{{.Id}}", "it"]);
    let own = engine.0.path(&format!("store/containers/{id}/files/notify"));
    let inside = UnixDatagram::unbound().unwrap();
    let link = engine.0.path("short");
    std::os::unix::fs::symlink(own, &link).unwrap();
    let socket = format!("{link}/notify");
    inside.send_to(b"STATUS=x\nMAINPID=1\nWATCHDOG=1", &socket).unwrap();
    assert_eq!(next(), None);
    inside.send_to(b"STATUS=x\nREADY=1\nMAINPID=1", &socket).unwrap();
    let text = patient();
    assert!(
        text.starts_with("READY=1\nMAINPID=") && !text.ends_with("=1") && !text.contains("STATUS"),
        "{text}"
    );
    engine.ok(&["rm", "-f", "it"]);
    let refused = engine.0.tare(&["run", "--sdnotify", "nobody", "box:1"]);
    assert!(!refused.status.success());
}

#[test]
fn logs_of_the_journal_are_read_back() {
    let test = "logs_of_the_journal_are_read_back";
    let Some(engine) = Engine::new(test) else { return };
    let journald = "/lib/systemd/systemd-journald";
    if !std::path::Path::new(journald).exists()
        || !super::images_scratch::has_program(test, "journalctl")
    {
        skip(test, "needs systemd-journald");
        return;
    }
    // A journal of the test's own: what is in /run there is seen by nobody else.
    let script = format!(
        "mount --make-rprivate /; mount -t tmpfs t /run; mkdir -p /run/systemd/journal /run/log/journal
         {journald} >/dev/null 2>&1 & journal=$!
         trap 'kill $journal' EXIT
         for try in $(seq 1200); do [ -S /run/systemd/journal/socket ] && break; sleep 0.05; done
         export TARE_NETWORK=none
         tare='{} --root {} --runroot {} --insecure-policy'
         $tare run --name it -l team=a -e E=f --log-driver journald --log-opt tag='{{{{.Name}}}}-x' --log-opt labels=team \
             --log-opt env=E box:1 sh -c 'echo one; echo two >&2; printf three' >/dev/null 2>&1
         for try in $(seq 1200); do [ $(journalctl -q CONTAINER_NAME=it | wc -l) = 3 ] && break; sleep 0.05; done
         echo all; $tare logs it 2>&1
         echo; echo tail; $tare logs -n 1 it; echo; echo err; $tare logs it 2>&1 >/dev/null
         echo later; $tare logs --since 1h --until 30m it
         echo time; $tare logs -t -n 1 it | busybox grep -c '^20.*Z three'
         echo fields; journalctl -q -o json CONTAINER_NAME=it | head -1 | busybox grep -o '\"SYSLOG_IDENTIFIER\":\"it-x\"'
         journalctl -q -o json TEAM=a E=f | wc -l
         $tare rm it >/dev/null",
        program("tare").display(),
        engine.0.path("store"),
        engine.0.path("run"),
    );
    std::fs::write(engine.0.path("script"), script).unwrap();
    let said = engine.0.sh("timeout 300 unshare -m sh -e script 2>&1");
    if !said.contains("\none\n") {
        skip(test, &format!("no journal runs here: {said}"));
        return;
    }
    assert_eq!(
        said,
        "all\none\ntwo\nthree\ntail\nthree\nerr\ntwo\nlater\ntime\n1\nfields\n\"SYSLOG_IDENTIFIER\":\"it-x\"\n3\n"
    );
}

#[test]
fn every_option_of_logs_works_or_is_refused() {
    let test = "every_option_of_logs_works_or_is_refused";
    let Some(engine) = Engine::new(test) else { return };
    let run = |args: &[&str]| {
        engine.0.tare(
            &[
                &["run", "--name", "it", "-l", "team=a", "-e", "E=f"][..],
                args,
                &["box:1", "echo", "said"],
            ]
            .concat(),
        )
    };
    let output = run(&[
        "--log-opt",
        "labels=team,none",
        "--log-opt",
        "env=E",
        "--log-opt",
        "tag={{.Name}}/{{.ImageName}}",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(engine.ok(&["logs", "it"]), "said");
    assert_eq!(engine.ok(&["logs", "--details", "it"]), "E=f,team=a said");
    let id = engine.ok(&["inspect", "--format", "{{.Id}}", "it"]);
    let line =
        std::fs::read_to_string(engine.0.path(&format!("store/containers/{id}/container.log")))
            .unwrap();
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        value["attrs"],
        serde_json::json!({"E": "f", "team": "a", "tag": "it/box:1"}),
        "{line}"
    );
    engine.ok(&["rm", "it"]);
    let kept = engine.0.path("kept.log");
    let path = format!("path={kept}");
    let output = run(&[
        "--log-driver",
        "k8s-file",
        "--log-opt",
        &path,
        "--log-opt",
        "mode=non-blocking",
        "--log-opt",
        "max-buffer-size=1m",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(std::fs::read_to_string(kept).unwrap().ends_with(" stdout F said\n"));
    engine.ok(&["rm", "it"]);
    for (args, why) in [
        (&["--log-opt", "compress=true"][..], "are not packed"),
        (&["--log-opt", "labels-regex=a.*"], "not looked for by patterns"),
        (&["--log-opt", "mode=maybe"], "neither blocking nor non-blocking"),
        (&["--log-opt", "tag={{.Nothing}}"], "it is no tag"),
        (&["--log-opt", "colour=red"], "unknown log opt"),
        (&["--log-driver", "journald", "--log-opt", "max-size=1m"], "writes no file"),
        (&["--log-driver", "none", "--log-opt", "path=/x"], "writes no file"),
        (&["--log-driver", "syslog"], "no log driver named 'syslog'"),
    ] {
        let said = stderr(&run(args));
        assert!(said.contains(why), "{args:?}: {said}");
    }
}

#[test]
fn a_program_of_exec_is_left_alone_by_its_keys() {
    let test = "a_program_of_exec_is_left_alone_by_its_keys";
    let Some(engine) = Engine::new(test) else { return };
    if !super::images_scratch::has_program(test, "script") {
        return;
    }
    engine.ok(&["run", "-d", "--name", "it", "box:1", "sleep", "1000"]);
    // A terminal for it, whose user types: the keys in two parts, as slow fingers do.
    let exec = |options: &str, typed: &str, command: &str| {
        let tare = format!(
            "{} --root {} --runroot {} --insecure-policy",
            program("tare").display(),
            engine.0.path("store"),
            engine.0.path("run")
        );
        engine.0.sh(&format!(
            "({typed}) | timeout 300 script -qec \"{tare} exec -it {options} it {command}\" /dev/null && echo code 0 || echo code $?"
        ))
    };
    // Whoever types waits until the program listens.
    let id = engine.ok(&["inspect", "--format", "{{.Id}}", "it"]);
    let upper = engine.0.path(&format!("store/containers/{id}/upper"));
    let after = |mark: &str| format!("while ! [ -e {upper}/{mark} ]; do sleep 0.05; done;");
    let typed = format!(
        "{} printf 'echo said\\n'; {} printf '\\020'; sleep 0.2; printf '\\021'; sleep 3",
        after("listens"),
        after("heard")
    );
    let said = exec(
        "",
        &typed,
        "sh -c 'trap : HUP; touch /listens; read line; echo got \\$line; touch /heard; \
         while ! [ -e /go ]; do sleep 0.1; done; touch /done'",
    );
    assert!(said.contains("got echo said") && said.ends_with("code 0\n"), "{said}");
    // It runs on, and has its terminal.
    engine.ok(&["exec", "it", "touch", "/go"]);
    let done = || engine.0.tare(&["exec", "it", "cat", "/done"]).status.success();
    engine.until("it ends by itself", done);
    let typed = format!("{} printf '\\001x'; sleep 3", after("second"));
    let said = exec("--detach-keys ctrl-a,x", &typed, "sh -c 'touch /second; exec sleep 1000'");
    assert!(said.ends_with("code 0\n"), "{said}");
    // Nobody has left: its own code, and what it has said to its end.
    let typed = format!("{} printf 'a\\n'; sleep 3", after("third"));
    let said = exec("", &typed, "sh -c 'touch /third; read line; echo end; exit 7'");
    assert!(said.contains("end") && said.ends_with("code 7\n"), "{said}");
    let said = exec("", "sleep 1", "nosuch");
    assert!(said.ends_with("code 127\n"), "{said}");
    let output = engine.0.tare(&["exec", "-dt", "it", "sh", "-c", "[ -t 0 ] && echo yes > /tty"]);
    assert!(output.status.success() && stdout(&output).is_empty(), "{}", stderr(&output));
    engine.until("it has a terminal", || {
        engine.0.tare(&["exec", "it", "cat", "/tty"]).stdout == b"yes\n"
    });
    let said = engine.0.fails(125, &["exec", "--detach-keys", "nonsense", "it", "id"]);
    assert!(said.contains("invalid detach keys"), "{said}");
    engine.ok(&["rm", "-f", "it"]);
}
