//! `tare export`, `tare commit`, `tare diff` of containers.

use super::engine::Engine;

fn idle(test: &str) -> Option<Engine> {
    Engine::changed(test, &["CMD [\"sleep\", \"1000\"]", "ENV A=image", "LABEL from=image"])
}

const CHANGE: &str = "busybox rm /bin/pwd; echo new > /new; mkdir -p /srv/deep; echo x > /srv/deep/x; \
                      echo more >> /etc/group; busybox rm -r /home/web; mkdir /home/web";

#[test]
fn what_a_container_has_changed_is_told() {
    let Some(engine) = idle("what_a_container_has_changed_is_told") else { return };
    engine.ok(&["run", "-d", "--name", "idle", "-v", "data:/data", "box:1"]);
    assert_eq!(engine.ok(&["diff", "idle"]), "A /data");
    engine.ok(&["run", "-d", "--name", "it", "box:1"]);
    engine.ok(&["exec", "it", "sh", "-c", CHANGE]);
    let wanted = "C /bin\nD /bin/pwd\nC /etc\nC /etc/group\nC /home\nC /home/web\nA /new\nA /srv\nA /srv/deep\nA /srv/deep/x";
    assert_eq!(engine.ok(&["diff", "it"]), wanted);
    engine.ok(&["stop", "-t", "0", "it"]);
    assert_eq!(engine.ok(&["container", "diff", "it"]), wanted);
    let json = engine.ok(&["diff", "--format", "json", "it"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["deleted"], serde_json::json!(["/bin/pwd"]));
    // A name of no container is one of an image.
    assert!(engine.ok(&["diff", "box:1"]).contains("A /bin/busybox"));
    engine.0.fails(1, &["diff", "nobody"]);
}

#[test]
fn the_files_of_a_container_are_exported() {
    let Some(engine) = idle("the_files_of_a_container_are_exported") else { return };
    engine.ok(&["run", "-d", "--name", "it", "-v", "data:/data", "--tmpfs", "/tmp", "box:1"]);
    engine.ok(&["exec", "it", "sh", "-c", &format!("{CHANGE}; echo v > /data/v; echo t > /tmp/t")]);
    for stop in [false, true] {
        if stop {
            engine.ok(&["stop", "-t", "0", "it"]);
        }
        engine.ok(&["export", "-o", "out.tar", "it"]);
        let names = engine.0.sh("tar -tf out.tar");
        for name in ["bin/busybox", "new", "srv/deep/x", "etc/passwd", "data/"] {
            assert!(names.lines().any(|it| it.trim_start_matches("./") == name), "{name}: {names}");
        }
        for name in ["bin/pwd", "data/v", "tmp/t", "proc/self", "dev/null"] {
            assert!(!names.contains(name), "{name}: {names}");
        }
        let piped = engine.0.tare(&["export", "it"]);
        assert_eq!(piped.stdout, std::fs::read(engine.0.path("out.tar")).unwrap());
    }
    engine.ok(&["import", "-q", "--change", "CMD cat /new", "out.tar", "again:1"]);
    assert_eq!(engine.ok(&["run", "--rm", "again:1"]), "new");
    engine.0.fails(1, &["export", "-o", "none/out.tar", "it"]);
    engine.0.fails(1, &["export", "nobody"]);
    assert!(
        !std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&engine.0.path("store"))
    );
}

#[test]
fn an_image_is_made_of_a_container() {
    let Some(engine) = idle("an_image_is_made_of_a_container") else { return };
    let run =
        ["run", "-d", "--name", "it", "-e", "B=run", "-l", "more=run", "-w", "/home", "box:1"];
    engine.ok(&run);
    engine.ok(&["exec", "it", "sh", "-c", CHANGE]);
    for (number, options) in [&[][..], &["--pause=false"]].iter().enumerate() {
        let name = format!("made:{number}");
        let args = [
            &["commit", "-a", "Me", "-m", "why", "-c", "CMD [\"cat\", \"/new\"]"][..],
            options,
            &["it", &name],
        ]
        .concat();
        let id = engine.ok(&args);
        assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
        assert_eq!(engine.ok(&["inspect", "--format", "{{.State.Status}}", "it"]), "running");
        assert_eq!(engine.ok(&["run", "--rm", &name]), "new");
        let script = "echo $A $B; busybox pwd; test -e /bin/pwd || echo gone; cat /srv/deep/x";
        let said = engine.ok(&["run", "--rm", &name, "sh", "-c", script]);
        assert_eq!(said, "image run\n/home\ngone\nx");
        let format = "{{.Author}} {{json .Config.Labels}} {{.Id}}";
        let said = engine.ok(&["image", "inspect", "--format", format, &name]);
        assert_eq!(said, format!("Me {{\"from\":\"image\",\"more\":\"run\"}} {id}"));
        let history =
            engine.ok(&["history", "--format", "{{.Comment}} {{.CreatedBy}}", "--no-trunc", &name]);
        assert!(history.starts_with("why sleep 1000"), "{history}");
    }
    let id = engine.ok(&["container", "commit", "it"]);
    assert_eq!(engine.ok(&["run", "--rm", &id, "cat", "/new"]), "new");
    engine.0.fails(1, &["commit", "it", "-c", "FROM x"]);
    engine.0.fails(1, &["commit", "nobody"]);
    engine.ok(&["fsck", "--full"]);
}

#[test]
fn what_was_done_to_the_root_directory_itself_is_committed() {
    let test = "what_was_done_to_the_root_directory_itself_is_committed";
    let Some(engine) = idle(test) else { return };
    engine.ok(&["run", "--name", "same", "box:1", "busybox", "touch", "/x"]);
    engine.ok(&["run", "--name", "other", "box:1", "busybox", "chmod", "1711", "/"]);
    for (name, layer_has_it, mode) in [("same", "", "755"), ("other", "./\n", "1711")] {
        let image = format!("{name}:1");
        engine.ok(&["commit", name, &image]);
        assert_eq!(engine.ok(&["run", "--rm", &image, "busybox", "stat", "-c", "%a", "/"]), mode);
        engine.ok(&["save", "-q", "-o", "s.tar", &image]);
        let script = r"last=$(tar -xOf s.tar manifest.json | grep -o '[0-9a-f]*\.tar' | tail -1)
            tar -xOf s.tar $last | tar -t | grep -x '\./' || true; rm s.tar";
        assert_eq!(engine.0.sh(script), layer_has_it, "{name}");
    }
    engine.ok(&["fsck", "--full"]);
}
