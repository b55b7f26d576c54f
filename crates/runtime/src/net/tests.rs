//! Devices that move, between two network namespaces of the test's own.

use super::*;
use crate::error::Kind;
use std::io::Write;
use std::process::Command;

/// Runs `ip` in the thread's namespace.
fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().expect("starting ip");
    assert!(output.status.success(), "ip {arguments}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn enter(namespace: &Fd) {
    process::set_namespace(namespace, process::CLONE_NEWNET).unwrap();
}

/// Two namespaces; the thread is in the first, which has a pair of devices, `v0` and `v1`.
struct Pair {
    host: Fd,
    target: Fd,
}

impl Pair {
    fn new(test: &str) -> Option<Self> {
        let skip = |reason: &str| {
            let _ = writeln!(std::io::stderr(), "SKIP {test}: {reason}");
            None
        };
        if Command::new("ip").arg("-V").output().is_err() {
            return skip("needs iproute2");
        }
        let mut made = (0..2).map(|_| {
            process::unshare(process::CLONE_NEWNET)?;
            fs::open_read(OWN)
        });
        let (Some(Ok(target)), Some(Ok(host))) = (made.next(), made.next()) else {
            return skip("may not make network namespaces");
        };
        if find(&Rtnetlink::open().unwrap(), "lo") != Ok(LOOPBACK_INDEX) {
            return skip("no loopback device");
        }
        let veth =
            Command::new("ip").args("link add v0 type veth peer name v1".split(' ')).status();
        if !veth.is_ok_and(|status| status.success()) {
            return skip("the kernel has no veth devices");
        }
        Some(Self { host, target })
    }

    /// What `ip` says in the target.
    fn inside(&self, arguments: &str) -> String {
        enter(&self.target);
        let text = ip(arguments);
        enter(&self.host);
        text
    }

    fn move_all(&self, devices: &[(&str, &str)]) -> Result<()> {
        let device = |(name, inner): &(&str, &str)| {
            (String::from(*name), NetDevice { name: String::from(*inner) })
        };
        let moved = move_devices(&devices.iter().map(device).collect(), &self.target);
        let inode = |fd: &Fd| fs::stat_fd(fd).unwrap().st_ino;
        assert_eq!(inode(&fs::open_read(OWN).unwrap()), inode(&self.host), "back home");
        moved
    }
}

#[test]
fn a_device_keeps_what_belongs_to_it() {
    let Some(pair) = Pair::new("a_device_keeps_what_belongs_to_it") else { return };
    ip("link set v0 mtu 1789 address 02:11:22:33:44:55 multicast off");
    ip("link set v0 up");
    ip("addr add 192.0.2.7/24 brd 192.0.2.255 dev v0");
    ip("addr add 192.0.2.8/24 dev v0 label v0:x");
    ip("addr add 198.51.100.1 peer 198.51.100.2 dev v0");
    ip("addr add 2001:db8::7/64 dev v0 nodad");
    // These stay behind: not global, not permanent.
    ip("addr add 127.0.0.33/32 scope host dev v0");
    ip("addr add 192.0.2.9/24 dev v0 valid_lft 1000 preferred_lft 1000");
    ip("addr add 2001:db8::9/64 dev v0 nodad valid_lft 1000 preferred_lft 1000");
    pair.move_all(&[("v0", "net0")]).unwrap();

    assert_eq!(find(&Rtnetlink::open().unwrap(), "v0"), Err(Errno::ENODEV));
    let link = pair.inside("-o link show net0");
    for part in ["mtu 1789", "link/ether 02:11:22:33:44:55", ",UP"] {
        assert!(link.contains(part), "{part}: {link}");
    }
    assert!(!link.contains("MULTICAST"), "{link}");
    let list = pair.inside("-o addr show net0 scope global");
    for part in [
        "inet 192.0.2.7/24 brd 192.0.2.255",
        "inet 192.0.2.8/24",
        "inet 198.51.100.1 peer 198.51.100.2/32",
        "inet6 2001:db8::7/64",
    ] {
        assert!(list.contains(part), "{part}: {list}");
    }
    assert_eq!(list.lines().count(), 4, "{list}");
    assert!(!pair.inside("-o addr show net0").contains("127.0.0.33"));
}

#[test]
fn templates_take_the_first_free_number() {
    let Some(pair) = Pair::new("templates_take_the_first_free_number") else { return };
    pair.inside("link add eth0 type veth peer name eth2");
    pair.move_all(&[("v0", "eth%d"), ("v1", "eth1")]).unwrap();
    let list = pair.inside("-o link");
    let names = ["eth0", "eth1", "eth2", "eth3"];
    assert!(names.iter().all(|name| list.contains(&format!(": {name}@"))), "{list}");
}

#[test]
fn a_taken_name_or_a_missing_device_moves_nothing() {
    let test = "a_taken_name_or_a_missing_device_moves_nothing";
    let Some(pair) = Pair::new(test) else { return };
    ip("link set v0 up");
    pair.inside("link add eth0 type veth peer name eth1");
    let check = |devices: &[(&str, &str)], kind: Kind, expected: &str| {
        let error = pair.move_all(devices).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, expected));
        let list = ip("-o link");
        assert!(list.contains("v0@v1") && list.contains("v1@v0"), "{list}");
        assert!(ip("-o link show v0").contains(",UP"));
    };
    let taken = "linux.netDevices: \"v1\": the container has a device \"eth0\" already";
    check(&[("v0", "ok"), ("v1", "eth0")], Kind::Exists, taken);
    let missing = "linux.netDevices: \"v2\": looking for the device: no such device";
    check(&[("v0", ""), ("v2", "x")], Kind::Os, missing);
    let bound = "linux.netDevices: \"lo\": moving it: invalid argument";
    check(&[("lo", "lo7")], Kind::Os, bound);
    enter(&pair.target);
    let own = move_devices(&Map::from_iter([("lo".into(), NetDevice::default())]), &pair.target);
    let what = "linux.netDevices: the container's network namespace is the host's";
    assert_eq!(own.unwrap_err().to_string(), what);
}

#[test]
fn many_addresses_come_in_several_packets() {
    let Some(pair) = Pair::new("many_addresses_come_in_several_packets") else { return };
    let batch: String = (0..1000)
        .map(|n| format!("addr add 10.0.{}.{}/16 dev v0\n", n / 250, 1 + n % 250))
        .collect();
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(batch.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    pair.move_all(&[("v0", "")]).unwrap();
    assert_eq!(pair.inside("-o -4 addr show v0").lines().count(), 1000);
}
