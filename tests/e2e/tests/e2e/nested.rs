//! Containers in containers: the runtime itself is the program, inside of what it made.

use e2e::{Bundle, program, stderr, stdout};
use serde_json::{Value, json};

/// A bundle in the container's root: a root of its own, and the runtime beside it.
struct Outer {
    bundle: Bundle,
    inner: Value,
}

impl Outer {
    fn new(test: &str) -> Option<Self> {
        let mut bundle = Bundle::new(test)?;
        let mut inner = bundle.config.clone();
        inner["process"]["args"] = json!(["sh", "-c", "echo $$ $(id -u); cat /proc/self/comm"]);
        inner["linux"]["cgroupsPath"] = json!("/inner");
        for dir in ["rootfs/inner", "rootfs/state"] {
            std::fs::create_dir(bundle.path(dir)).unwrap();
        }
        let copy = std::process::Command::new("cp")
            .args(["-a", bundle.path("rootfs/bin"), bundle.path("rootfs/inner/bin")])
            .status();
        assert!(copy.unwrap().success());
        std::fs::copy(program("tare-runtime"), bundle.path("rootfs/bin/tare-runtime")).unwrap();
        bundle.config["root"]["readonly"] = json!(false);
        Some(Self { bundle, inner })
    }

    /// Runs a container in the container, twice; the second one is entered, too.
    fn run(&mut self) {
        let dir = self.bundle.path("rootfs/nest");
        std::fs::create_dir(dir).unwrap();
        self.inner["root"]["path"] = json!("/inner");
        std::fs::write(format!("{dir}/config.json"), self.inner.to_string()).unwrap();
        self.inner["process"]["args"] = json!(["sleep", "100"]);
        std::fs::create_dir(format!("{dir}/long")).unwrap();
        std::fs::write(format!("{dir}/long/config.json"), self.inner.to_string()).unwrap();
        let script = "
            rt='tare-runtime --root /state'
            $rt run --bundle /nest one || exit 1
            $rt run -d --bundle /nest/long two </dev/null >/dev/null 2>/state/log || { cat /state/log; exit 2; }
            $rt exec two echo entered || exit 3
            $rt delete --force two || exit 4
            echo left: $($rt list --quiet)
        ";
        let output = self.bundle.sh(script);
        let expected = "1 0\ncat\nentered\nleft:\n";
        assert_eq!(stdout(&output), expected, "{}{}", stderr(&output), output.status);
        assert!(output.status.success());
        assert_eq!(self.bundle.leftovers(), Vec::<std::path::PathBuf>::new());
    }

    /// Rights that making containers takes, as engines give with `--privileged`.
    fn privilege(&mut self) {
        let own = std::fs::read_to_string("/proc/self/status").unwrap();
        let mask = own.lines().find_map(|line| line.strip_prefix("CapPrm:")).unwrap().trim();
        let mask = u64::from_str_radix(mask, 16).unwrap();
        let names = runtime_capabilities();
        let held: Vec<&String> = names
            .iter()
            .enumerate()
            .filter(|(bit, _)| mask >> bit & 1 != 0)
            .map(|(_, n)| n)
            .collect();
        for set in ["bounding", "effective", "permitted"] {
            self.bundle.config["process"]["capabilities"][set] = json!(held);
        }
        self.unmask();
        for mount in self.bundle.config["mounts"].as_array_mut().unwrap() {
            if let Some(options) = mount["options"].as_array_mut() {
                options.retain(|option| option != "ro");
            }
        }
    }

    /// A kernel lets no user namespace mount a procfs that shows more than the one that it has.
    fn unmask(&mut self) {
        for field in ["maskedPaths", "readonlyPaths"] {
            self.bundle.config["linux"].as_object_mut().unwrap().remove(field);
        }
    }
}

/// In the order of their numbers.
fn runtime_capabilities() -> Vec<String> {
    let output = std::process::Command::new(program("tare-runtime")).arg("features").output();
    let features: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let list = features["linux"]["capabilities"].as_array().unwrap();
    list.iter().map(|name| name.as_str().unwrap().to_string()).collect()
}

#[test]
fn a_privileged_container_has_containers() {
    let Some(mut outer) = Outer::new("a_privileged_container_has_containers") else { return };
    outer.privilege();
    outer.bundle.config["linux"]["resources"] =
        json!({"devices": [{"allow": true, "access": "rwm"}]});
    outer.run();
}

#[test]
fn root_of_a_user_namespace_has_containers() {
    let Some(mut outer) = Outer::new("root_of_a_user_namespace_has_containers") else { return };
    outer.privilege();
    outer.bundle.config["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "user"}));
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    outer.bundle.config["linux"]["uidMappings"] = map.clone();
    outer.bundle.config["linux"]["gidMappings"] = map;
    let chown = std::process::Command::new("chown")
        .args(["-hR", "100000:100000", outer.bundle.path("rootfs")])
        .status();
    assert!(chown.unwrap().success());
    outer.inner["linux"].as_object_mut().unwrap().remove("resources");
    outer.inner["linux"].as_object_mut().unwrap().remove("cgroupsPath");
    outer.run();
}

#[test]
fn a_container_without_rights_has_rootless_containers() {
    let test = "a_container_without_rights_has_rootless_containers";
    let Some(mut outer) = Outer::new(test) else { return };
    outer.unmask();
    // docker gives it; without it nobody may map the root of the namespace around.
    for set in ["bounding", "effective", "permitted"] {
        let capabilities = &mut outer.bundle.config["process"]["capabilities"][set];
        capabilities.as_array_mut().unwrap().push(json!("CAP_SETFCAP"));
    }
    let spec = outer.bundle.path("rootless");
    std::fs::create_dir(spec).unwrap();
    let made = outer.bundle.runtime(&["spec", "--rootless", "--bundle", spec]);
    assert!(made.status.success(), "{}", stderr(&made));
    let text = std::fs::read_to_string(format!("{spec}/config.json")).unwrap();
    let args = outer.inner["process"]["args"].clone();
    outer.inner = serde_json::from_str(&text).unwrap();
    outer.inner["process"]["terminal"] = json!(false);
    outer.inner["process"]["args"] = args;
    outer.run();
}
