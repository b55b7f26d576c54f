//! A host of a test's own, as far as networks go: no test touches the machine's network.
//!
//! The thread of the test moves to a network namespace of its own, and with it every process that it starts. The
//! host there has a device `up0` with the addresses [`HOST`] and [`HOST_V6`], behind which is another namespace,
//! [`Host::outside`], with [`OUTSIDE`] and [`OUTSIDE_V6`]: the rest of the world, and the host's default route. The rest
//! of the world knows no way to the networks of containers, as it should be.

use std::process::{Command, Output};
use sys::{Fd, fs, process};

/// The host's addresses.
pub const HOST: &str = "192.0.2.1";
/// The host's address of IPv6.
pub const HOST_V6: &str = "2001:db8::1";
/// Somebody else's.
pub const OUTSIDE: &str = "192.0.2.2";
/// Somebody else's of IPv6.
pub const OUTSIDE_V6: &str = "2001:db8::2";
/// The thread's own namespace: `self` would be the first thread's.
const OWN: &str = "/proc/thread-self/ns/net";

/// The host. It ends with the test's thread and processes.
#[derive(Debug)]
pub struct Host {
    outside: Fd,
    own: Fd,
}

impl Host {
    /// Moves the calling thread to a new host. `None`: this machine cannot do that; said by SKIP.
    pub fn new(test: &str) -> Option<Self> {
        let skip = |reason: &str| {
            skips::skip(test, reason);
            None
        };
        if Command::new("ip").arg("-V").output().is_err() {
            return skip("needs iproute2");
        }
        if sys::ids::euid() != 0 {
            return skip("needs root");
        }
        let (Ok(outside), Ok(own)) = (unshare(), unshare()) else {
            return skip("may not make network namespaces");
        };
        let host = Self { outside, own };
        let made =
            Command::new("ip").args(["link", "add", "name", "br0", "type", "bridge"]).status();
        if !made.is_ok_and(|status| status.success()) {
            return skip("the kernel has no bridges");
        }
        sh("ip link del br0; ip link set lo up");
        sh("ip link add up0 type veth peer name down0");
        let outside = format!("/proc/{}/fd/{}", std::process::id(), host.outside.raw());
        sh(&format!("ip link set down0 netns {outside}"));
        sh(&format!("ip addr add {HOST}/24 dev up0; ip addr add {HOST_V6}/64 dev up0 nodad"));
        host.inside(&host.outside, || {
            sh("ip link set lo up");
            sh(&format!(
                "ip addr add {OUTSIDE}/24 dev down0; ip addr add {OUTSIDE_V6}/64 dev down0 nodad"
            ));
            sh("ip link set down0 up");
        });
        sh("ip link set up0 up");
        sh(&format!(
            "ip route add default via {OUTSIDE}; ip -6 route add default via {OUTSIDE_V6}"
        ));
        Some(host)
    }

    /// The namespace of the rest of the world.
    pub fn outside(&self) -> &Fd {
        &self.outside
    }

    /// The host's own namespace, for threads that are to work there.
    pub fn own(&self) -> &Fd {
        &self.own
    }

    /// A new namespace, as a container has one.
    pub fn container(&self) -> Fd {
        std::thread::scope(|scope| scope.spawn(unshare).join())
            .expect("a thread")
            .expect("a network namespace")
    }

    /// Calls something in a namespace, on a thread of its own, with every process that it starts.
    pub fn inside<T: Send>(&self, netns: &Fd, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let enter = move || {
                process::set_namespace(netns, process::CLONE_NEWNET).expect("entering a namespace");
                work()
            };
            scope.spawn(enter).join().expect("work in a namespace")
        })
    }
}

/// Moves the thread to a new network namespace.
fn unshare() -> sys::Result<Fd> {
    process::unshare(process::CLONE_NEWNET)?;
    fs::open_read(OWN)
}

/// Runs a shell's commands; all of them have to succeed.
pub fn sh(script: &str) -> String {
    let output = try_sh(script);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{script}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Runs a shell's commands.
pub fn try_sh(script: &str) -> Output {
    Command::new("sh").args(["-e", "-c", script]).output().expect("starting sh")
}

/// Whether a program is there; otherwise said by SKIP.
pub fn has(test: &str, program: &str) -> bool {
    let found = try_sh(&format!("command -v {program}")).status.success();
    if !found {
        skips::skip(test, &format!("needs {program}"));
    }
    found
}
