//! Devices by the Container Device Interface: `--device VENDOR/CLASS=NAME` and `--gpus`.

use super::engine::Engine;
use super::running::box_with;
use e2e::stderr;

impl Engine {
    /// With directories for specifications.
    fn with_specs(test: &str) -> Option<Self> {
        let engine = Self::new(test)?;
        engine.0.sh("mkdir low high; echo from-host > file");
        Some(engine)
    }

    fn put(&self, name: &str, text: &str) {
        let text = text.replace("DIR", &self.0.path(""));
        std::fs::write(self.0.path(name), text).unwrap();
    }

    fn args<'a>(&self, args: &[&'a str]) -> Vec<&'a str> {
        [&["--cdi-spec-dir", "low", "--cdi-spec-dir", "high"], args].concat()
    }

    fn cdi(&self, args: &[&str]) -> String {
        self.ok(&self.args(args))
    }

    fn refused(&self, args: &[&str]) -> String {
        self.0.fails(125, &self.args(args))
    }
}

const VENDOR: &str = r#"
cdiVersion: "0.7.0"
kind: vendor.com/class
containerEdits:
  env: ["COMMON=yes"]
devices:
- name: "0"
  annotations: {a: b}
  containerEdits:
    env: ["DEVICE=zero", "PATH=/bin:/vendor"]
    deviceNodes:
    - {path: /dev/mine, hostPath: /dev/full, permissions: rw}
    - {path: /dev/made, type: c, major: 1, minor: 3, fileMode: 0640, uid: 7, gid: 8}
    mounts:
    - {hostPath: DIR/file, containerPath: /vendor/file, options: [ro, nosuid]}
    - {hostPath: tmpfs, containerPath: /vendor/memory, type: tmpfs, options: [size=1m]}
    hooks:
    - {hookName: createRuntime, path: /usr/bin/touch, args: [touch, DIR/hooked], timeout: 10}
    additionalGids: [77]
- name: "1"
  containerEdits:
    env: ["DEVICE=one"]
"#;

#[test]
fn a_device_brings_what_its_vendor_says() {
    let Some(engine) = Engine::with_specs("a_device_brings_what_its_vendor_says") else { return };
    engine.put("low/vendor.yaml", VENDOR);
    let script = "echo $COMMON $DEVICE $PATH; cat /vendor/file; stat -c '%t %T' /dev/mine; \
                  stat -c '%a %u:%g %t %T' /dev/made; echo x > /dev/mine 2>/dev/null || echo full; \
                  echo x > /dev/made && echo null; grep -c /vendor/memory /proc/mounts; id -G";
    let script = script.replace("grep", "busybox grep");
    let said = engine.cdi(&[
        "run",
        "--name",
        "it",
        "--device",
        "vendor.com/class=0",
        "box:1",
        "sh",
        "-c",
        &script,
    ]);
    assert_eq!(said, "yes zero /bin:/vendor\nfrom-host\n1 7\n640 7:8 1 3\nfull\nnull\n1\n0 77");
    assert!(std::path::Path::new(&engine.0.path("hooked")).exists());
    let shown = engine.cdi(&[
        "inspect",
        "--format",
        "{{range .HostConfig.DeviceRequests}}{{.Driver}} {{.DeviceIDs}}{{end}}",
        "it",
    ]);
    assert_eq!(shown, "cdi [vendor.com/class=0]");
    // What the file says by then counts, wherever the command is given.
    engine.put("low/vendor.yaml", &VENDOR.replace("DEVICE=zero", "DEVICE=new"));
    assert!(engine.ok(&["start", "-a", "it"]).starts_with("yes new "));
    let said = engine.cdi(&[
        "run",
        "--rm",
        "--device",
        "vendor.com/class=1",
        "--device",
        "/dev/full:/dev/plain",
        "box:1",
        "sh",
        "-c",
        "echo $DEVICE; ls /dev/plain",
    ]);
    assert_eq!(said, "one\n/dev/plain");
}

#[test]
fn the_later_directory_counts_and_files_that_contradict_each_other_do_not() {
    let test = "the_later_directory_counts_and_files_that_contradict_each_other_do_not";
    let Some(engine) = Engine::with_specs(test) else { return };
    let spec = |name: &str, value: &str| {
        format!(
            "{{\"cdiVersion\": \"1.0.0\", \"kind\": \"v.com/c\", \"devices\": [{{\"name\": \"{name}\", \
             \"containerEdits\": {{\"env\": [\"V={value}\"]}}}}]}}"
        )
    };
    engine.put("low/a.json", &spec("a", "low"));
    engine.put("high/a.json", &spec("a", "high"));
    engine.put("high/b.json", &spec("b", "one"));
    engine.put("high/c.json", &spec("b", "other"));
    let of = |device: &str| {
        ["run", "--rm", "--device", device, "box:1", "sh", "-c", "echo $V"].map(str::to_owned)
    };
    let words = of("v.com/c=a");
    assert_eq!(engine.cdi(&words.each_ref().map(String::as_str)), "high");
    let words = of("v.com/c=b");
    let text = engine.refused(&words.each_ref().map(String::as_str));
    assert!(
        text.contains("high/b.json and ") && text.contains("high/c.json both define it"),
        "{text}"
    );
    assert_eq!(
        engine.cdi(&["info", "--format", "{{json .DiscoveredDevices}}"]),
        "[{\"Source\":\"cdi\",\"ID\":\"v.com/c=a\"}]"
    );
    assert!(engine.cdi(&["info"]).ends_with("CDI devices:\n  v.com/c=a"));
}

#[test]
fn a_device_that_nobody_defines_is_refused_with_what_there_is() {
    let test = "a_device_that_nobody_defines_is_refused_with_what_there_is";
    let Some(engine) = Engine::with_specs(test) else { return };
    let text = engine.refused(&["run", "--rm", "--device", "vendor.com/class=9", "box:1"]);
    assert!(text.contains("no CDI specification defines it\nhint: "), "{text}");
    engine.put("low/vendor.yaml", VENDOR);
    let text = engine.refused(&["run", "--rm", "--device", "vendor.com/class=9", "box:1"]);
    assert!(text.contains("there are vendor.com/class=0, vendor.com/class=1\nhint: "), "{text}");
    let text = engine.refused(&["run", "--rm", "--device", "nonsense", "box:1"]);
    assert!(text.contains("neither a path nor the name of a CDI device"), "{text}");
}

#[test]
fn hostile_specifications_are_refused_in_one_sentence() {
    let test = "hostile_specifications_are_refused_in_one_sentence";
    let Some(engine) = Engine::with_specs(test) else { return };
    let of = |edits: &str| {
        format!(
            "cdiVersion: 0.6.0\nkind: v.com/c\ndevices:\n- name: x\n  containerEdits: {edits}\n"
        )
    };
    for (text, why) in [
        (of("{deviceNodes: [{path: /dev/../etc/x}]}"), "without `..`"),
        (of("{mounts: [{hostPath: /etc/../root, containerPath: /x}]}"), "without `..`"),
        (of("{mounts: [{hostPath: /etc, containerPath: ../x}]}"), "not an absolute path"),
        (of("{mounts: [{hostPath: /etc, containerPath: /}]}"), "containerPath cannot be /"),
        (of("{hooks: [{hookName: createRuntime, path: touch}]}"), "not an absolute path"),
        (of("{surprise: 1}"), "unknown field"),
        (of("&a {env: [*a]}"), "anchors and tags are not read"),
        (
            "cdiVersion: 77.0.0\nkind: v.com/c\ndevices: [{name: x, containerEdits: {}}]\n".into(),
            "is not known",
        ),
        ("{".repeat(100_000), "line "),
        (" ".repeat(5 << 20), "larger than 4 MiB"),
    ] {
        engine.put("high/bad.yaml", &text);
        let said = engine.refused(&["run", "--rm", "--device", "v.com/c=x", "box:1"]);
        assert!(said.contains("bad.yaml is refused: ") && said.contains(why), "{why}: {said}");
        assert_eq!(said.lines().count(), 2, "{said}");
    }
    engine.put("outside.yaml", &of("{}"));
    engine.0.sh("rm high/bad.yaml; ln -s ../outside.yaml high/bad.yaml");
    let said = engine.refused(&["run", "--rm", "--device", "v.com/c=x", "box:1"]);
    assert!(said.contains("it is a link"), "{said}");
    engine.0.sh("rm high/bad.yaml; cp outside.yaml high/bad.yaml; chown 12345 high/bad.yaml");
    let said = engine.refused(&["run", "--rm", "--device", "v.com/c=x", "box:1"]);
    assert!(said.contains("it belongs to user 12345"), "{said}");
    // What is wrong takes nothing away from the rest.
    engine.put("low/vendor.yaml", VENDOR);
    engine.cdi(&["run", "--rm", "--device", "vendor.com/class=1", "box:1", "id"]);
}

#[test]
fn gpus_are_chosen_by_number_and_by_name() {
    let Some(engine) = Engine::with_specs("gpus_are_chosen_by_number_and_by_name") else { return };
    let text = engine.refused(&["run", "--rm", "--gpus", "all", "box:1"]);
    assert!(text.contains("nvidia-ctk cdi generate"), "{text}");
    let devices: String = ["0", "1", "2", "GPU-x"]
        .iter()
        .map(|name| {
            format!(
                "- {{name: \"{name}\", containerEdits: {{env: [\"G{}=1\"]}}}}\n",
                &name[name.len() - 1..]
            )
        })
        .collect();
    engine.put(
        "low/gpus.yml",
        &format!("cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n{devices}"),
    );
    for (gpus, said) in [
        ("all", "111-"),
        ("2", "11--"),
        ("0", "----"),
        ("device=1", "-1--"),
        ("device=0,2", "1-1-"),
        ("\"device=GPU-x,1\"", "-1-1"),
        ("count=1,capabilities=utility", "1---utility"),
    ] {
        let script = "echo ${G0:--}${G1:--}${G2:--}${Gx:--}$NVIDIA_DRIVER_CAPABILITIES";
        assert_eq!(
            engine.cdi(&["run", "--rm", "--gpus", gpus, "box:1", "sh", "-c", script]),
            said,
            "{gpus}"
        );
    }
    let text = engine.refused(&["run", "--rm", "--gpus", "9", "box:1"]);
    assert!(text.contains("there are 3 of nvidia.com/gpu"), "{text}");
    let text = engine.refused(&["run", "--rm", "--gpus", "device=7", "box:1"]);
    assert!(text.contains("there are nvidia.com/gpu=0, nvidia.com/gpu=1"), "{text}");
}

#[test]
fn an_ordinary_user_has_devices_of_the_own_directory() {
    let test = "an_ordinary_user_has_devices_of_the_own_directory";
    let Some(scratch) = box_with(test, &["CMD [\"sh\"]"]) else { return };
    // The build directory may be closed to other users.
    std::fs::copy(e2e::program("tare"), scratch.path("tare")).unwrap();
    scratch.sh("mkdir -p home/.config/cdi; chmod 755 . tare; chown -R 65534:65534 home");
    let spec = "cdiVersion: 0.6.0\nkind: v.com/c\ndevices:\n- name: x\n  containerEdits:\n    env: [V=own]\n    \
                deviceNodes: [{path: /dev/mine, hostPath: /dev/full}]\n";
    std::fs::write(scratch.path("home/.config/cdi/v.yaml"), spec).unwrap();
    let tare = "setpriv --reuid 65534 --regid 65534 --clear-groups env -u XDG_CONFIG_HOME TARE_NETWORK=none \
                HOME=$PWD/home XDG_RUNTIME_DIR=$PWD/home ./tare --root home/store --runroot home/run";
    let said = scratch.sh(&format!(
        "{tare} import -q box.tar box:1 >/dev/null\n\
         {tare} run --rm --device v.com/c=x --device /dev/zero:/dev/other box:1 sh -c \
         'echo $V; stat -c \"%t %T\" /dev/mine /dev/other; (echo x > /dev/mine) 2>/dev/null || echo full'"
    ));
    assert_eq!(said, "own\n1 7\n1 5\nfull\n");
    let output = scratch.tare(&["info"]);
    assert!(output.status.success(), "{}", stderr(&output));
}
