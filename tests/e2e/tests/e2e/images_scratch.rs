//! A directory with a store of its own, for tests of images.

use e2e::{program, skip, stderr, stdout};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A directory, removed with everything in it at the end of the test.
pub(crate) struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    /// Makes one.
    pub(crate) fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// Makes one below a directory.
    pub(crate) fn below(parent: &std::path::Path) -> Self {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tare-e2e-images-{}-{number}", std::process::id());
        let dir = parent.join(name);
        // A test that was killed may have had this process's number.
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("making a directory");
        Self { dir }
    }

    /// A path in it, as text.
    pub(crate) fn path(&self, below: &str) -> String {
        self.dir.join(below).to_string_lossy().into_owned()
    }

    /// Runs `tare` on the store in the directory.
    pub(crate) fn tare(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("running tare")
    }

    /// Runs `tare`, and returns what it prints; it has to succeed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.tare(args);
        assert!(output.status.success(), "tare {args:?}: {}", stderr(&output));
        stdout(&output).trim_end().to_owned()
    }

    /// Runs `tare`, which has to fail with a code; returns what it says.
    pub(crate) fn fails(&self, code: i32, args: &[&str]) -> String {
        let output = self.tare(args);
        assert_eq!(output.status.code(), Some(code), "tare {args:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "tare {args:?}");
        stderr(&output)
    }

    /// A command of `tare`, with the directory for a working directory and home.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.in_place(Command::new(program("tare")), args)
    }

    /// The same, for a program whose every call the test decides.
    pub(crate) fn watched_command(&self, args: &[&str]) -> Command {
        self.in_place(e2e::watch::command("tare"), args)
    }

    fn in_place(&self, mut command: Command, args: &[&str]) -> Command {
        command
            .args([
                "--root",
                &self.path("store"),
                "--runroot",
                &self.path("run"),
                "--insecure-policy",
            ])
            .args(args)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .env_remove("SOURCE_DATE_EPOCH")
            // The machine's own network is no test's to change.
            .env("TARE_NETWORK", "none")
            // What this machine's containers have besides is no test's, either.
            .env("CONTAINERS_CONF", "/dev/null")
            .env_remove("XDG_CONFIG_HOME")
            .env("HOME", &self.dir);
        command
    }

    /// Runs a shell script in the directory.
    pub(crate) fn sh(&self, script: &str) -> String {
        let output = Command::new("sh").args(["-ec", script]).current_dir(&self.dir).output();
        let output = output.expect("running a shell");
        assert!(output.status.success(), "{script}: {}", stderr(&output));
        stdout(&output)
    }

    /// Makes an image in the store, of a layer for each script that makes files in an empty directory.
    pub(crate) fn image(&self, name: &str, layers: &[&str]) -> String {
        let mut args =
            vec!["mutate".to_owned(), "append".to_owned(), "--tag".to_owned(), name.to_owned()];
        for (number, script) in layers.iter().enumerate() {
            let tree = format!("tree-{}-{number}", COUNTER.fetch_add(1, Ordering::Relaxed));
            self.sh(&format!(
                "mkdir {tree}; cd {tree}; {script}\n tar -c --mtime=@7 --sort=name -f ../{tree}.tar ."
            ));
            args.extend(["-f".to_owned(), self.path(&format!("{tree}.tar"))]);
        }
        self.ok(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Whether a program is on the machine; if not, the test is skipped, and says so.
pub(crate) fn has_program(test: &str, name: &str) -> bool {
    let there = Command::new(name).arg("--version").output().is_ok();
    if !there {
        skip(test, &format!("needs {name}"));
    }
    there
}

/// docker's registry on a port of its own, until it is dropped.
pub(crate) struct Registry {
    process: Child,
    /// Its name, with the port.
    pub(crate) name: String,
}

impl Registry {
    /// Starts it, with its content in a test's directory, which then knows that it has no TLS. `None`: the machine
    /// has none; said by SKIP.
    pub(crate) fn start(test: &str, scratch: &Scratch) -> Option<Self> {
        const START_LIMIT: Duration = Duration::from_secs(120);
        let address = format!("127.0.0.1:{}", skips::free_port());
        let config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\n\
             http:\n  addr: {address}\nlog:\n  level: error\n",
            scratch.path("registry")
        );
        std::fs::write(scratch.path("registry.yml"), config).expect("writing its configuration");
        let mut command = Command::new("docker-registry");
        command.args(["serve", &scratch.path("registry.yml")]);
        let started = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let Ok(process) = started else {
            skip(test, "needs docker-registry");
            return None;
        };
        let registry = Self { process, name: address };
        let began = Instant::now();
        while TcpStream::connect(&registry.name).is_err() {
            assert!(began.elapsed() < START_LIMIT, "the registry does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        let settings = scratch.path(".config/containers");
        std::fs::create_dir_all(&settings).expect("making a directory");
        let text = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", registry.name);
        std::fs::write(format!("{settings}/registries.conf"), text).expect("writing settings");
        Some(registry)
    }

    /// A name in it.
    pub(crate) fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.name)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
