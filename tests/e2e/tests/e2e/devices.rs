//! `linux.netDevices`, from network namespaces that the test makes: the machine's is not touched.

use e2e::{Bundle, skip, stderr, stdout};
use serde_json::json;
use std::process::{Child, Command, Output, Stdio};

/// Whether this machine can run these tests.
fn has_veth(test: &str) -> bool {
    let probe = "ip link add v0 type veth peer name v1";
    let probed = Command::new("unshare").args(["-n", "sh", "-c", probe]).output();
    let works = probed.is_ok_and(|output| output.status.success());
    if !works {
        skip(test, "needs unshare, iproute2 and veth devices");
    }
    works
}

/// Calls the runtime in a new network namespace, behind a script that makes devices in it.
fn call(bundle: &Bundle, script: &str, args: &[&str]) -> Output {
    bundle.write();
    let call = bundle.command(args);
    Command::new("unshare")
        .args(["-n", "sh", "-e", "-c", &format!("{script}\nexec \"$@\""), "sh"])
        .arg(call.get_program())
        .args(call.get_args())
        .stdin(Stdio::null())
        .output()
        .expect("starting unshare")
}

fn run(bundle: &Bundle, script: &str) -> Output {
    call(bundle, script, &["run", "--bundle", bundle.path(""), bundle.id()])
}

const VETH: &str = "ip link add v0 type veth peer name v1
    ip addr add 192.0.2.7/24 dev v0
    ip addr add 2001:db8::7/64 dev v0 nodad
    ip link set v0 mtu 1789 up";

#[test]
fn a_device_moves_in_before_hooks_and_sysctls() {
    let test = "a_device_moves_in_before_hooks_and_sysctls";
    let Some(mut bundle) = Bundle::new(test).filter(|_| has_veth(test)) else { return };
    bundle.config["linux"]["netDevices"] = json!({"v0": {"name": "net0"}});
    bundle.config["linux"]["sysctl"] = json!({"net.ipv4.conf.net0.forwarding": "1"});
    let log = bundle.path("hook.log");
    let hook = format!("cat {} > {log}", bundle.path("state/*/state.json"));
    bundle.config["hooks"]["createRuntime"] =
        json!([{"path": "/bin/sh", "args": ["sh", "-c", hook]}]);
    bundle.args(&["sh", "-c", "busybox ip addr; cat /proc/sys/net/ipv4/conf/net0/forwarding"]);
    let output = run(&bundle, VETH);
    let text = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    for part in [" net0@", "mtu 1789", ",UP", "inet 192.0.2.7/24", "inet6 2001:db8::7/64"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.ends_with("\n1\n"), "{text}");
    // Whoever deletes the container knows from the record that a device is gone.
    let record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(log).unwrap()).expect("the record is JSON");
    assert_eq!(record["net_devices"], json!({"v0": {"name": "net0"}}));
}

#[test]
fn a_device_moves_into_a_user_namespace() {
    let test = "a_device_moves_into_a_user_namespace";
    let Some(mut bundle) = Bundle::new(test).filter(|_| has_veth(test)) else { return };
    // With a time namespace there is a helper between the runtime and the init.
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.extend([json!({"type": "user"}), json!({"type": "time"})]);
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    bundle.config["linux"]["uidMappings"] = map.clone();
    bundle.config["linux"]["gidMappings"] = map;
    bundle.config["linux"]["netDevices"] = json!({"v0": {"name": "eth%d"}});
    std::os::unix::fs::chown(bundle.path("rootfs"), Some(100_000), Some(100_000)).unwrap();
    bundle.args(&["sh", "-c", "id -u; busybox ip addr show eth0"]);
    let output = run(&bundle, VETH);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.starts_with("0\n") && text.contains("inet 192.0.2.7/24"), "{text}");
}

/// A process that holds a network namespace.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_device_stays_in_a_namespace_that_was_joined() {
    let test = "a_device_stays_in_a_namespace_that_was_joined";
    let Some(mut bundle) = Bundle::new(test).filter(|_| has_veth(test)) else { return };
    let mut holder = Command::new("unshare");
    holder.args(["-n", "sh", "-c", "ip link set lo up; echo; exec sleep 1000"]);
    let mut holder = Holder(holder.stdout(Stdio::piped()).spawn().unwrap());
    // Its word says that it is in its namespace.
    let mut word = [0u8; 1];
    std::io::Read::read_exact(holder.0.stdout.as_mut().unwrap(), &mut word).unwrap();
    let path = format!("/proc/{}/ns/net", holder.0.id());
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    let network = namespaces.iter_mut().find(|n| n["type"] == "network").unwrap();
    network["path"] = json!(path);
    bundle.config["linux"]["netDevices"] = json!({"v0": {}});
    bundle.args(&["sh", "-c", "busybox ip addr show v0"]);
    // The other end has to outlive the host of this run, or the kernel would remove both.
    let script = format!("{VETH}\nip link set v1 netns {}", holder.0.id());
    let output = run(&bundle, &script);
    assert!(stdout(&output).contains("inet 192.0.2.7/24"), "{}", stderr(&output));
    let enter = format!("--net={path}");
    let list = Command::new("nsenter").args([&enter, "ip", "-o", "addr"]).output().unwrap();
    assert!(stdout(&list).contains(" v0 "), "{list:?}");
    assert!(stdout(&list).contains("inet 192.0.2.7/24"), "{list:?}");

    // The name is taken now.
    bundle.config["linux"]["netDevices"] = json!({"v2": {"name": "v0"}});
    let output = run(&bundle, "ip link add v2 type veth peer name v3");
    let taken = "linux.netDevices: \"v2\": the container has a device \"v0\" already";
    assert!(stderr(&output).contains(taken), "{}", stderr(&output));
    assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn devices_that_cannot_move_are_refused() {
    let test = "devices_that_cannot_move_are_refused";
    let Some(mut bundle) = Bundle::new(test).filter(|_| has_veth(test)) else { return };
    bundle.args(&["true"]);
    bundle.config["linux"]["netDevices"] = json!({"nosuch": {}});
    let check = |bundle: &Bundle, output: Output, expected: &str| {
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new());
    };
    check(&bundle, run(&bundle, ":"), "linux.netDevices: \"nosuch\": looking for the device");
    let args = ["--rootless", "true", "run", "--bundle", bundle.path(""), bundle.id()];
    let rootless = "linux.netDevices: a rootless caller cannot move devices of the host";
    check(&bundle, call(&bundle, ":", &args), rootless);
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "network");
    check(&bundle, run(&bundle, ":"), "linux.netDevices: there is no network namespace");
    let own = json!({"type": "network", "path": "/proc/self/ns/net"});
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(own);
    check(&bundle, run(&bundle, ":"), "the container's network namespace is the host's");
}
