//! Networks of ordinary users, by pasta.

use crate::setting::{PATIENCE, Setting};
use net::{
    Kind, Namespace, PastaRequest, PortHolder, PortSpec, Publishing, find_pasta, start_pasta,
};
use private_net::sh;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A directory that an ordinary user may write to.
const DIR: &str = "/tmp/tare-net-pasta";
const NOBODY: u32 = 65534;
/// The host asks itself: some versions of pasta give the container the host's own address, which has no way to it.
const HOST: &str = "127.0.0.1:8080";

/// A user's own namespaces of users and networks, held by a process.
struct Own(Child);

impl Own {
    fn new() -> Option<Self> {
        let mut command = Command::new("unshare");
        command.args(["-Urn", "sh", "-c", "echo ready; exec sleep 600"]).stdout(Stdio::piped());
        let mut child = command.spawn().ok()?;
        let mut text = [0; 5];
        std::io::Read::read_exact(child.stdout.as_mut()?, &mut text).ok()?;
        Some(Self(child))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn pasta_connects_a_container_and_publishes_its_ports() {
    let test = "pasta_connects_a_container_and_publishes_its_ports";
    let Some(setting) = Setting::new(test) else { return };
    if !private_net::has(test, "pasta") || !private_net::has(test, "python3") {
        return;
    }
    std::fs::create_dir_all(DIR).unwrap();
    sh(&format!("chmod 1777 {DIR}"));
    // Credentials are a thread's own, as far as the kernel goes.
    setting.host.inside(setting.host.own(), || {
        assert!(sys::ids::set_groups(&[]).is_ok() && sys::ids::set_gid(NOBODY).is_ok());
        sys::ids::set_uid(NOBODY).unwrap();
        as_ordinary_user(test);
    });
    std::fs::remove_dir_all(DIR).unwrap();
}

fn as_ordinary_user(test: &str) {
    let pasta = find_pasta(["/usr/bin", "/usr/local/bin"].map(Path::new)).unwrap();
    let Some(own) = Own::new() else {
        return skips::skip(test, "ordinary users may not make namespaces");
    };
    let pid = own.0.id() as i32;
    let netns = sys::fs::open_read(format!("/proc/{pid}/ns/net"));
    assert!(netns.is_ok(), "{netns:?}");
    let specs = PortSpec::parse("8080:80").unwrap();
    let publishing = Publishing { v4: true, v6: false, default_ip: None };
    let (holder, ports) = PortHolder::reserve(&specs, publishing).unwrap();
    drop(holder);
    let request = PastaRequest {
        program: &pasta,
        namespace: Namespace::Process(pid),
        ports: &ports,
        dir: Path::new(DIR),
        interface: Some("eth0"),
        options: &[],
    };
    let running = start_pasta(&request).unwrap();
    let server = "import socket\ns = socket.create_server(('0.0.0.0', 80))\nprint(1, flush=True)\nwhile True:\n    s.accept()[0].send(b'hello')";
    let inside = Command::new("nsenter")
        .args([
            "-t",
            &pid.to_string(),
            "-U",
            "-n",
            "--preserve-credentials",
            "python3",
            "-c",
            server,
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut inside = Own(inside);
    let mut ready = [0; 1];
    std::io::Read::read_exact(inside.0.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let mut stream = std::net::TcpStream::connect(HOST).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = [0; 5];
    std::io::Read::read_exact(&mut stream, &mut text).unwrap();
    assert_eq!(&text, b"hello");
    // A second one finds the port taken, and says so.
    let error = start_pasta(&request).unwrap_err();
    assert_eq!(error.kind(), Kind::InUse, "{error}");
    assert!(sys::process::signal_pidfd(&running.pidfd, 0).is_ok());
    running.stop();
    assert!(std::net::TcpStream::connect(HOST).is_err());
    let left = std::fs::read_dir(DIR).unwrap().count();
    assert_eq!(left, 0, "no file is left");
}
