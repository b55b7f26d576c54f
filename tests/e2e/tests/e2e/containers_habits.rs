//! What scripts of docker's users rely on beside single options: members that templates ask for, exit codes, homes.

use super::engine::Engine;
use super::networks::Host;
use e2e::stdout;

#[test]
fn templates_of_scripts_find_their_members() {
    let Some(engine) = Engine::idle("templates_of_scripts_find_their_members") else { return };
    let script = "echo 12345 > /five; exec sleep 1000";
    let mounts = ["-v", "/etc:/host:ro", "-v", "data:/data", "-v", "/anonymous"];
    let words = ["box:1", "sh", "-c", script];
    let options = ["run", "-d", "--name", "it", "-l", "from.some-where=it"];
    engine.ok(&[&options[..], &mounts, &words].concat());
    engine.until("it has written", || engine.ok(&["diff", "it"]).contains("/five"));
    let of = |template: &str| engine.ok(&["inspect", "-f", template, "it"]);
    assert_eq!(
        of(
            "{{range .Mounts}}{{.Type}} {{.Destination}} {{if not .Name}}-{{end}}{{.Driver}} {{end}}"
        ),
        "bind /host - volume /data local volume /anonymous local"
    );
    assert_eq!(of("{{with .State.Health}}{{.Status}}{{else}}no check{{end}}"), "no check");
    assert_eq!(of("{{json .Config.Volumes}}"), r#"{"/anonymous":{}}"#);
    assert_eq!(of("{{.SizeRw}}"), "<nil>");
    let sizes = engine.ok(&["inspect", "-s", "-f", "{{.SizeRw}} {{.SizeRootFs}}", "it"]);
    let (own, all) = sizes.split_once(' ').unwrap();
    assert_eq!(own, "6");
    assert!(all.parse::<u64>().unwrap() > 1_000_000, "{sizes}");
    assert_eq!(
        of(
            "{{.NetworkSettings.Bridge}}{{.NetworkSettings.IPv6Gateway}}{{.HostConfig.VolumeDriver}}\
            {{.HostConfig.Isolation}}{{json .HostConfig.VolumesFrom}}"
        ),
        "null"
    );
    let document = engine.ok(&["inspect", "it"]);
    assert!(!document.contains("\"Health\"") && !document.contains("SizeRw"), "{document}");
    let table = ["ps", "--format", "table {{.Names}}\t{{.Label \"from.some-where\"}}"];
    assert_eq!(engine.ok(&table), "NAMES     some where\nit        it");
    // Without a template a list is the usual one.
    assert!(engine.ok(&["ps", "--format", ""]).starts_with("CONTAINER ID"));
    for wanted in ["box:1", "box", "localhost/box:1", "localhost/box"] {
        let filter = format!("ancestor={wanted}");
        assert_eq!(engine.ok(&["ps", "--format", "{{.Names}}", "-f", &filter]), "it", "{wanted}");
    }
    assert_eq!(engine.ok(&["ps", "-q", "-f", "ancestor=bo"]), "");
}

#[test]
fn ports_of_a_range_are_shown_as_docker_has_them() {
    let Some(host) = Host::new("ports_of_a_range_are_shown_as_docker_has_them") else { return };
    let said = host.run(
        "tare run -d --name it -p 8000-8002:8000-8002 -p 9000:90 --expose 81 box:1 sleep 1000 > /dev/null
         tare ps --format '{{.Ports}}'
         tare inspect -f '{{json .HostConfig.PortBindings}}' it
         tare inspect -f '{{range $port, $at := .NetworkSettings.Ports}}{{$port}} {{if $at}}{{(index $at 0).HostPort}}{{else}}-{{end}} {{end}}' it
         tare ps -q --filter network=$(tare network inspect -f '{{.Id}}' bridge) | wc -l
         tare run --rm -h a.b.c box:1 sh -c 'cat /etc/hosts' | tail -1 | cut -f 2",
    );
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines[..5],
        [
            "0.0.0.0:8000-8002->8000-8002/tcp, 0.0.0.0:9000->90/tcp, 81/tcp",
            "{\"8000/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8000\"}],\"8001/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8001\"}],\
             \"8002/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8002\"}],\"90/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"9000\"}]}",
            "8000/tcp 8000 8001/tcp 8001 8002/tcp 8002 81/tcp - 90/tcp 9000 ",
            "1",
            "a.b.c a",
        ]
    );
}

#[test]
fn exec_has_the_users_home_and_makes_no_directories() {
    let test = "exec_has_the_users_home_and_makes_no_directories";
    let Some(engine) = Engine::idle(test) else { return };
    engine.ok(&["run", "-d", "--name", "it", "box:1"]);
    engine.ok(&["run", "-d", "--name", "own", "-e", "HOME=/own", "box:1"]);
    let home = |options: &[&str], name: &str| {
        engine.ok(&[&["exec"], options, &[name, "sh", "-c", "echo $HOME"]].concat())
    };
    assert_eq!(home(&[], "it"), "/root");
    assert_eq!(home(&["-u", "web"], "it"), "/home/web");
    assert_eq!(home(&["-u", "web", "-e", "HOME=/x"], "it"), "/x");
    assert_eq!(home(&["-u", "web"], "own"), "/own");
    assert_eq!(engine.ok(&["exec", "-w", "/etc/../tmp", "it", "pwd"]), "/tmp");
    let text = engine.0.fails(127, &["exec", "-w", "/no/such", "it", "pwd"]);
    assert!(text.contains("chdir to \"/no/such\""), "{text}");
    assert!(!engine.ok(&["exec", "it", "ls", "/"]).contains("no"));
    engine.0.fails(125, &["exec", "-w", "etc", "it", "pwd"]);
}

#[test]
fn a_command_line_that_is_wrong_is_no_exit_code_of_a_program() {
    let test = "a_command_line_that_is_wrong_is_no_exit_code_of_a_program";
    let Some(engine) = Engine::new(test) else { return };
    for verb in [&["run"][..], &["container", "run"], &["exec"], &["container", "exec"]] {
        let text = engine.0.fails(125, &[verb, &["--nosuch", "box:1"]].concat());
        assert!(text.contains("--nosuch"), "{text}");
        engine.0.fails(125, &[verb, &["nosuch:1", "true"]].concat());
    }
    engine.0.fails(2, &["ps", "--nosuch"]);
    let text = engine.0.fails(125, &["run", "--rm", "--platform", "linux/s390x", "box:1", "true"]);
    assert!(text.contains("wanted linux/s390x, actual: linux/"), "{text}");
    for volume in [":/d", "data:", "data::ro"] {
        engine.0.fails(125, &["run", "--rm", "-v", volume, "box:1", "true"]);
    }
    // Options before the verb hide it from nobody.
    assert_eq!(engine.ok(&["help", "ps"]), engine.ok(&["ps", "--help"]));
    engine.ok(&["create", "--name", "help", "box:1"]);
    assert_eq!(engine.ok(&["rm", "help"]), "help");
}

#[test]
fn variables_and_directories_come_from_where_docker_takes_them() {
    let test = "variables_and_directories_come_from_where_docker_takes_them";
    let Some(engine) = Engine::changed(test, &["ENV A=image", "ENV B=image"]) else { return };
    std::fs::write(engine.0.path("vars"), "\u{feff}C=file\r\n").unwrap();
    let args = ["run", "--rm", "-e", "A", "--env-file", "vars", "box:1", "sh", "-c"];
    let args = [&args[..], &["echo \"[$A] [$B] [$C]\""]].concat();
    let said = |value: Option<&str>| {
        let mut command = engine.0.command(&args);
        match value {
            Some(value) => command.env("A", value),
            None => command.env_remove("A"),
        };
        stdout(&command.output().unwrap())
    };
    assert_eq!(said(Some("caller")), "[caller] [image] [file]\n");
    // What the caller has not, the container has not.
    assert_eq!(said(None), "[] [image] [file]\n");
    engine.ok(&["run", "--rm", "-v", "./new/dir:/d", "box:1", "touch", "/d/made"]);
    assert!(std::path::Path::new(&engine.0.path("new/dir/made")).exists());
}

#[test]
fn an_image_that_comes_again_is_that_of_its_containers() {
    let test = "an_image_that_comes_again_is_that_of_its_containers";
    let Some(engine) = Engine::new(test) else { return };
    engine.ok(&["create", "--name", "it", "box:1"]);
    let digest = || engine.ok(&["images", "--format", "{{.Digest}}"]);
    let before = digest();
    // An archive of docker's has another manifest.
    engine.ok(&["save", "-q", "-o", "saved.tar", "box:1"]);
    engine.ok(&["load", "-q", "-i", "saved.tar"]);
    assert_ne!(digest(), before);
    assert_eq!(engine.ok(&["images", "-q", "--filter", "containers=true"]).lines().count(), 1);
    assert!(
        engine
            .ok(&["system", "df"])
            .lines()
            .nth(1)
            .unwrap()
            .starts_with("Images          1         1 ")
    );
    engine.0.fails(2, &["rmi", "box:1"]);
    engine.ok(&["commit", "it", "made:1"]);
}

#[test]
fn a_reset_leaves_nothing() {
    let Some(engine) = Engine::idle("a_reset_leaves_nothing") else { return };
    engine.ok(&["run", "-d", "--name", "it", "-v", "data:/d", "box:1"]);
    engine.ok(&["volume", "create", "other"]);
    std::fs::write(engine.0.path("word"), "word").unwrap();
    engine.ok(&["secret", "create", "word", "word"]);
    engine.ok(&["network", "create", "--subnet", "10.99.0.0/24", "app"]);
    engine.ok(&["system", "reset", "--force"]);
    for list in
        [&["ps", "-aq"][..], &["images", "-q"], &["volume", "ls", "-q"], &["secret", "ls", "-q"]]
    {
        assert_eq!(engine.ok(list), "", "{list:?}");
    }
    assert_eq!(engine.ok(&["network", "ls", "-q", "-f", "type=custom"]), "");
    engine.ok(&["fsck"]);
}

#[test]
fn what_is_waited_for_may_be_one_of_several_or_a_removal() {
    let test = "what_is_waited_for_may_be_one_of_several_or_a_removal";
    let Some(engine) = Engine::idle(test) else { return };
    let wait = |conditions: &[&str]| {
        let options = conditions.iter().flat_map(|it| ["--condition", it]);
        let args: Vec<&str> = ["wait"].into_iter().chain(options).chain(["it"]).collect();
        engine.ok(&args)
    };
    engine.ok(&[
        "create",
        "--name",
        "it",
        "box:1",
        "sh",
        "-c",
        "trap 'exit 3' TERM; sleep 1000 & wait",
    ]);
    assert_eq!(wait(&["configured"]), "-1");
    assert_eq!(wait(&["running", "created"]), "-1");
    assert_eq!(wait(&["stopped"]), "0");
    engine.ok(&["start", "it"]);
    assert_eq!(wait(&["running,exited"]), "-1");
    // It goes for good while it is waited for, and not when it has only ended.
    let waits = |condition: &str| {
        let mut command = engine.0.command(&["wait", "--condition", condition, "it"]);
        command.stdout(std::process::Stdio::piped()).spawn().unwrap()
    };
    let mut waiting = [waits("removed"), waits("removing"), waits("next-exit")];
    let id = engine.field("it", ".Id");
    for waiting in &waiting {
        // Whoever comes later finds nothing to wait for.
        let holds_it = || {
            let held = std::fs::read_dir(format!("/proc/{}/fd", waiting.id())).unwrap().flatten();
            let mut names = held.filter_map(|entry| std::fs::read_link(entry.path()).ok());
            names.any(|name| name.ends_with(format!("containers/{id}")))
        };
        engine.until("it is waited for", holds_it);
    }
    engine.until("it can end", || engine.ok(&["top", "it"]).contains("sleep 1000"));
    engine.ok(&["stop", "it"]);
    assert_eq!(wait(&["exited", "paused"]), "3");
    let [gone, going, next] = &mut waiting;
    assert!(gone.try_wait().unwrap().is_none() && going.try_wait().unwrap().is_none());
    assert!(next.wait().unwrap().success());
    engine.ok(&["rm", "it"]);
    for waiting in waiting {
        assert_eq!(stdout(&waiting.wait_with_output().unwrap()), "3\n");
    }
    engine.0.fails(1, &["wait", "it"]);
    assert_eq!(engine.ok(&["wait", "--ignore", "it"]), "-1");
    engine.0.fails(2, &["wait", "--condition", "nosuch", "it"]);
}
