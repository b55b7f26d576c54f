//! A directory with a store of its own, for tests of images.

use e2e::{program, skip, stderr, stdout};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A directory, removed with everything in it at the end of the test.
pub(crate) struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    /// Makes one.
    pub(crate) fn new() -> Self {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tare-e2e-images-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
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
        let mut command = Command::new(program("tare"));
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
