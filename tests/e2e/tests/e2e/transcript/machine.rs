//! A machine for the examples: the registries of the manual pages under their own names, with TLS and on
//! their own ports, in a network and a mount namespace; the directories that the examples name are the
//! test's.

use e2e::images::{Sample, Yard};
use e2e::{is_root, program, skip, stdout};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};
use sys::wait::{POLLIN, PollFd};
use sys::{fs, tty};
use transport::Sink;
use transport::hash::verify_manifest;
use transport::layout::{LayoutSink, Place};

/// What a program at a terminal may take for its next word.
const DEADLINE_MS: u64 = 120_000;
const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls");
/// Where the test's directory is on the machine.
const HOME: &str = "/srv";
/// The registries: address and port, names, whether they want a password from everybody.
const REGISTRIES: [(&str, &str, bool); 7] = [
    ("127.0.0.2:443", "registry-1.docker.io docker.io", false),
    ("127.0.0.3:443", "quay.io", false),
    ("127.0.0.4:443", "registry.example.com", false),
    ("127.0.0.5:443", "my-registry.local.lan", false),
    ("127.0.0.6:443", "registry.fedoraproject.org", false),
    ("127.0.0.7:443", "registry.access.redhat.com", false),
    ("127.0.0.1:5000", "localhost", true),
];
const USERS: [(&str, &str); 4] =
    [("testuser", "testpassword"), ("test", "test"), ("foo", "bar"), ("john", "this is a secret")];

/// Makes the directories that the examples name the test's. It stays until it is killed.
const ENTER: &str = "set -e
ip link set lo up
touch bin/tare
mount --bind \"$TARE\" bin/tare
mount --rbind . /srv
mount --bind var-lib /var/lib
mount --bind media /media
mount --bind home /home
mount --bind etc /etc
mount --bind tmp /tmp
echo ready
exec sleep 3600
";

/// Images: what is in them, how many layers they have, and where they are.
const IMAGES: &[(&str, usize, &[&str])] = &[
    ("skopeo", 2, &["quay.io/skopeo/stable:latest"]),
    ("busybox", 1, &["busybox:latest", "registry.example.com/busybox:latest"]),
    (
        "glibc",
        1,
        &["registry.example.com/busybox:1-glibc", "registry.example.com/repo/busybox:1-glibc"],
    ),
    (
        "musl",
        1,
        &["registry.example.com/busybox:1-musl", "registry.example.com/repo/busybox:1-musl"],
    ),
    ("nginx", 3, &["nginx:1.17.8", "registry.example.com/nginx:1.13.1-alpine-perl"]),
    ("nginx-3", 3, &["registry.example.com/nginx:1.13.3-alpine-perl"]),
    (
        "fedora",
        1,
        &["fedora:20", "fedora:21", "fedora:latest", "registry.fedoraproject.org/fedora:latest"],
    ),
    ("fedora-30", 1, &["localhost:5000/fedora:30", "localhost:5000/fedora:31"]),
    ("fedora-32", 1, &["localhost:5000/fedora:latest"]),
    ("ubi8", 1, &["registry.access.redhat.com/ubi8:latest"]),
    ("python", 2, &["python:latest"]),
    ("redis-1", 1, &["registry.example.com/redis:1.0"]),
    ("redis-2", 1, &["registry.example.com/redis:2.0"]),
    ("redis-3", 1, &["registry.example.com/redis:3.0"]),
    (
        "pause",
        1,
        &["registry.example.com/example/pause:latest", "registry.example.com/example/pause:3.9"],
    ),
    ("etcd", 1, &["quay.io/coreos/etcd:latest", "quay.io/coreos/etcd:v3"]),
    ("alpine-3.11", 1, &["registry.example.com/alpine:3.11.6"]),
    (
        "alpine-3.12",
        1,
        &["registry.example.com/alpine:3.12.0", "registry.example.com/alpine:3.12.1"],
    ),
];

const FILES: [(&str, &str); 4] = [
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
    ("etc/containers/policy.json", "{\"default\":[{\"type\":\"insecureAcceptAnything\"}]}\n"),
    ("etc/containers/registries.conf", "unqualified-search-registries = [\"docker.io\"]\n"),
    ("work/testpassword.txt", "testpassword\n"),
];
const DIRECTORIES: [&str; 7] =
    ["bin", "tmp", "config", "runtime", "var-lib", "media/usb", "work/authdir"];

/// What is to be mirrored, as in skopeo-sync(1).
const SYNC: &str = r#"registry.example.com:
    images:
        busybox: []
        redis:
            - "1.0"
            - "2.0"
            - "DIGEST"
    images-by-tag-regex:
        nginx: ^1\.13\.[12]-alpine-perl$
    images-by-semver:
        alpine: ">= 3.12.0"
    credentials:
        username: john
        password: this is a secret
    tls-verify: true
    cert-dir: /home/john/certs
quay.io:
    tls-verify: false
    images:
        coreos/etcd:
            - latest
"#;

/// Archives with one, two, and four images, of which one has no name. docker keeps names there as they were
/// typed.
const ARCHIVES: &str = r#"
set -e
archive() {
    file=$1
    shift
    tare save -q -m -o "$file" "$@"
    mkdir /tmp/x
    tar -xf "$file" -C /tmp/x
    sed -i 's,localhost/,,g' /tmp/x/manifest.json
    tar -cf "$file" -C /tmp/x .
    rm -r /tmp/x
}
tagged() {
    tare tag "$(tare pull -q oci:/srv/layout:"$1")" "$2"
}
tagged busybox busybox:1.28.3
tagged glibc example.com/empty:latest
tagged musl example.com/empty/but:different
tagged redis-1 image1:tag1
tagged redis-2 image2:tag2
tagged pause image4:tag4
archive /tmp/busybox.tar busybox:1.28.3
archive /tmp/docker-two-images.tar example.com/empty:latest example.com/empty/but:different
gzip /tmp/busybox.tar /tmp/docker-two-images.tar
untagged=$(tare pull -q oci:/srv/layout:redis-3)
archive /tmp/four-tags-with-an-untag.tar image1:tag1 image2:tag2 "$untagged" image4:tag4
"#;

pub(super) struct Machine {
    yard: Yard,
    /// The process whose namespaces are the machine's.
    holder: Child,
    registries: Vec<Child>,
}

impl Machine {
    /// Starts it. `None`: this takes root; said by SKIP.
    pub(super) fn start(test: &str) -> Option<Self> {
        if !is_root() {
            skip(test, "needs root for namespaces");
            return None;
        }
        let yard = Yard::new();
        lay_out(&yard);
        let mut holder = Command::new("unshare")
            .args(["--mount", "--net", "--propagation", "private", "sh", "-c", ENTER])
            .env("TARE", program("tare"))
            .current_dir(yard.path(""))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starting unshare");
        assert_eq!(first_line(&mut holder), "ready\n");
        let mut machine = Self { yard, holder, registries: Vec::new() };
        for (number, (address, _, wants_password)) in REGISTRIES.iter().enumerate() {
            machine.serve(number, address, *wants_password);
        }
        machine.fill();
        Some(machine)
    }

    /// Runs a command as the examples show it; what it prints, and how it ends when that is not well.
    pub(super) fn run(&self, command: &str, typed: &[String]) -> String {
        let (printed, code) = match typed {
            [] => {
                let merged = format!("exec 2>&1\n{command}");
                let output = self.enter(&["sh", "-c", &merged]).output().expect("starting a shell");
                (stdout(&output), output.status.code())
            }
            typed => {
                let words = ["setsid", "--ctty", "--wait", "sh", "-c", command];
                at_a_terminal(self.enter(&words), typed)
            }
        };
        match code {
            Some(0) => printed,
            Some(code) => format!("{printed}[exit status {code}]\n"),
            None => format!("{printed}[killed]\n"),
        }
    }

    /// A program on the machine, in the examples' directory.
    fn enter(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.holder.id().to_string(), "--mount", "--net", "--", "env"])
            .args(["-i", "--chdir", &format!("{HOME}/work"), "PATH=/srv/bin:/usr/bin:/bin"])
            .args(["HOME=/root", "XDG_CONFIG_HOME=/srv/config", "XDG_RUNTIME_DIR=/srv/runtime"])
            .args(["TARE_ROOT=/srv/store", "TARE_RUNROOT=/srv/run", "testpassword=testpassword"])
            .args(words)
            .stdin(Stdio::null());
        command
    }

    fn serve(&mut self, number: usize, address: &str, wants_password: bool) {
        let root = format!("{HOME}/registry-{number}");
        let mut args = vec!["tare", "registry", "serve", "--listen", address, "--root", &root];
        args.extend([
            "--no-sync",
            "--tls-cert",
            "/srv/tls/server.crt",
            "--tls-key",
            "/srv/tls/server.key",
        ]);
        if wants_password {
            args.extend(["--htpasswd", "/srv/tls/htpasswd"]);
        }
        let mut command = self.enter(&args);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("starting a registry");
        assert!(first_line(&mut child).starts_with("listening on "), "{address}");
        self.registries.push(child);
    }

    /// Puts there what the examples ask for.
    fn fill(&self) {
        for (text, layers, places) in IMAGES {
            let layers = *layers;
            let sample = Sample { text, layers, bytes: 2000, ..Sample::default() };
            let digest = sample.write(&self.yard.path("layout"), text);
            if *text == "redis-3" {
                let sync = SYNC.replace("DIGEST", &digest.to_string());
                self.yard.write("work/sync.yml", sync.as_bytes());
            }
            for place in *places {
                let access = match place.starts_with("localhost") {
                    true => "--dest-username test --dest-password test ",
                    false => "",
                };
                self.fine(&format!("tare copy -q {access}oci:/srv/layout:{text} docker://{place}"));
            }
        }
        self.fine(ARCHIVES);
        encrypt(&self.yard);
    }

    fn fine(&self, line: &str) {
        let output = self.enter(&["sh", "-c", line]).output().expect("starting a shell");
        assert!(output.status.success(), "{line}: {}", e2e::stderr(&output));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for child in self.registries.iter_mut().chain([&mut self.holder]) {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// An image whose layers claim to be encrypted, which is all that a copy without keys looks at.
fn encrypt(yard: &Yard) {
    let layout = yard.path("work/try-encrypt");
    let digest = Sample { text: "encrypted", ..Sample::default() }.write(&layout, "plain");
    let plain = yard.read(&format!("work/try-encrypt/blobs/sha256/{}", digest.hex()));
    let text =
        String::from_utf8(plain).expect("a manifest").replace("tar+gzip", "tar+gzip+encrypted");
    let manifest = verify_manifest(text.into_bytes(), "", None).expect("a manifest");
    let place = Place::parse(&format!("{layout}:encrypted")).expect("a place");
    let sink = LayoutSink::create(&place, None).expect("a layout");
    sink.finish(&manifest).expect("finishing an image");
}

/// Makes the directories and files that the machine is put together from.
fn lay_out(yard: &Yard) {
    for (path, content) in FILES {
        yard.write(path, content.as_bytes());
    }
    for directory in DIRECTORIES {
        std::fs::create_dir_all(yard.path(directory)).expect("making a directory");
    }
    let names = REGISTRIES.iter().map(|(address, names, _)| {
        format!("{} {names}\n", address.split(':').next().expect("an address"))
    });
    yard.write("etc/hosts", names.collect::<String>().as_bytes());
    for name in ["server.crt", "server.key"] {
        let content = std::fs::read(format!("{TLS}/{name}")).expect("a file of the tests");
        yard.write(&format!("tls/{name}"), &content);
    }
    let authority = std::fs::read(format!("{TLS}/ca.crt")).expect("a file of the tests");
    yard.write("etc/ssl/certs/ca-certificates.crt", &authority);
    yard.write("home/john/certs/ca.crt", &authority);
    let mut users = String::new();
    for (user, password) in USERS {
        let word = yard.write("word", password.as_bytes());
        let mut command = yard.tare_command(&["registry", "htpasswd", user]);
        let output = command.stdin(File::open(word).expect("the password")).output();
        users += &stdout(&output.expect("starting tare"));
    }
    yard.write("tls/htpasswd", users.as_bytes());
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    let stdout = child.stdout.take().expect("its output");
    BufReader::new(stdout).read_line(&mut line).expect("reading its first line");
    line
}

/// Runs a command at a terminal, at which something is typed after each question: a line that does not end.
fn at_a_terminal(mut command: Command, typed: &[String]) -> (String, Option<i32>) {
    let flags = fs::O_RDWR | fs::O_NOCTTY;
    let master = fs::open_at(sys::CWD, "/dev/ptmx", flags, 0).expect("a terminal");
    tty::unlock(&master).expect("unlocking it");
    let path = format!("/dev/pts/{}", tty::number(&master).expect("its number"));
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).custom_flags(fs::O_NOCTTY as i32);
    let inner = || options.open(&path).expect("its other end");
    command.stdin(inner()).stdout(inner()).stderr(inner());
    let mut child = command.spawn().expect("starting a shell");
    drop(command);
    let mut shown = String::new();
    let mut words = typed.iter();
    let mut buffer = [0u8; 4096];
    loop {
        let mut fds = [PollFd::new(&master, POLLIN)];
        let ready = sys::wait::poll(&mut fds, Some(DEADLINE_MS));
        assert_eq!(ready, Ok(1), "nothing more comes after {shown:?}");
        // Nobody has the other end any more.
        let Ok(length @ 1..) = fs::read(&master, &mut buffer) else { break };
        shown.push_str(&String::from_utf8_lossy(&buffer[..length]).replace('\r', ""));
        if shown.ends_with(": ")
            && let Some(word) = words.next()
        {
            fs::write(&master, format!("{word}\n").as_bytes()).expect("typing");
        }
    }
    (shown, child.wait().expect("its end").code())
}
