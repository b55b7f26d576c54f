//! `tare login`, `logout` and `search`, with docker's registry, which wants a name and a password.

use e2e::{program, skip, stderr, stdout};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

struct Registry {
    child: Child,
    root: PathBuf,
    host: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

impl Registry {
    fn start(test: &str) -> Option<Self> {
        let root = std::env::temp_dir().join(format!("tare-e2e-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        let port = skips::free_port();
        // user, hunter2
        let line = "user:$2b$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n";
        std::fs::write(root.join("htpasswd"), line).unwrap();
        let config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {0}/data\nlog:\n  level: error\nhttp:\n  addr: 127.0.0.1:{port}\nauth:\n  htpasswd:\n    realm: x\n    path: {0}/htpasswd\n",
            root.display()
        );
        std::fs::write(root.join("config.yml"), config).unwrap();
        let started = Command::new("docker-registry")
            .args(["serve", root.join("config.yml").to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = started else {
            skip(test, "docker-registry is not installed");
            std::fs::remove_dir_all(root).unwrap();
            return None;
        };
        let registry = Self { child, root, host: format!("localhost:{port}") };
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(120), "the registry does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(registry)
    }

    fn auth_file(&self) -> PathBuf {
        self.root.join("auth/auth.json")
    }

    /// Runs `tare` without a terminal, with something on its standard input.
    fn tare(&self, arguments: &[&str], input: &str) -> Output {
        let arguments: Vec<String> =
            arguments.iter().map(|it| it.replace("HOST", &self.host)).collect();
        let mut child = Command::new("setsid")
            .arg("--wait")
            .arg(program("tare"))
            .args(["--root", self.root.join("store").to_str().unwrap()])
            .args(["--runroot", self.root.join("run").to_str().unwrap()])
            .args(arguments)
            .env("REGISTRY_AUTH_FILE", self.auth_file())
            .env("HOME", &self.root)
            .env_remove("XDG_CONFIG_HOME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Some do not read it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn check(&self, arguments: &[&str], input: &str, code: i32, out: &str, err: &str) {
        let output = self.tare(arguments, input);
        let (found, told) = (stdout(&output), stderr(&output));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {found}{told}");
        assert_eq!(found, out.replace("HOST", &self.host), "{arguments:?}");
        assert!(told.contains(&err.replace("HOST", &self.host)), "{arguments:?}: {told}");
        assert_eq!(told.is_empty(), err.is_empty(), "{arguments:?}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

/// An OCI layout with an image without layers.
fn write_layout(root: &Path) {
    let blobs = root.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let config =
        r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let digest = |text: &str| {
        let mut child =
            Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        stdout(&child.wait_with_output().unwrap())[..64].to_owned()
    };
    let put = |text: &str| {
        let name = digest(text);
        std::fs::write(blobs.join(&name), text).unwrap();
        format!(r#""digest":"sha256:{name}","size":{}"#, text.len())
    };
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json",{}}},"layers":[]}}"#,
        put(config)
    );
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json",{},"annotations":{{"org.opencontainers.image.ref.name":"app"}}}}]}}"#,
        put(&manifest)
    );
    std::fs::write(root.join("index.json"), index).unwrap();
    std::fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

#[test]
fn a_login_is_checked_kept_used_and_forgotten() {
    let Some(registry) = Registry::start("a_login_is_checked_kept_used_and_forgotten") else {
        return;
    };
    let login = ["login", "-u", "user", "--password-stdin", "HOST"];
    registry.check(&login, "wrong\n", 1, "", "the name or password is not accepted");
    assert!(!registry.auth_file().exists());
    registry.check(&["login", "--get-login", "HOST"], "", 1, "", "not logged in to HOST");
    registry.check(&login, "hunter2\n", 0, "Login Succeeded!\n", "");
    assert_eq!(std::fs::metadata(registry.auth_file()).unwrap().mode() & 0o777, 0o600);
    registry.check(&["login", "--get-login", "HOST"], "", 0, "user\n", "");
    registry.check(&["login", "HOST"], "", 0, "Already logged in to HOST\n", "");
    // What is kept is used.
    let layout = registry.root.join("layout");
    write_layout(&layout);
    let source = format!("oci:{}:app", layout.display());
    let copied = registry.tare(&["copy", "--quiet", &source, "docker://HOST/team/app:1"], "");
    assert!(copied.status.success(), "{}", stderr(&copied));
    let found = registry.tare(&["search", "HOST/app"], "");
    let lines: Vec<String> = stdout(&found).lines().map(str::to_owned).collect();
    assert!(lines[0].starts_with("NAME ") && lines[0].contains("DESCRIPTION"), "{lines:?}");
    assert!(lines[1].starts_with(&format!("{}/team/app ", registry.host)), "{lines:?}");
    let format = ["search", "--format", "{{.Name}} {{.Stars}}", "HOST/"];
    registry.check(&format, "", 0, "HOST/team/app 0\n", "");
    let tags = ["search", "--list-tags", "--format", "{{.Name}}:{{.Tag}}", "HOST/team/app"];
    registry.check(&tags, "", 0, "HOST/team/app:1\n", "");
    registry.check(&["search", "HOST/nothing"], "", 0, "", "");
    registry.check(&["search", "--filter", "x=y", "HOST/"], "", 1, "", "filters are stars=");
    registry.check(&["logout", "HOST"], "", 0, "Removed login credentials for HOST\n", "");
    registry.check(&["logout", "HOST"], "", 1, "", "not logged in to HOST");
    let denied = registry.tare(&["search", "HOST/app"], "");
    assert!(stderr(&denied).contains("answers 401"), "{}", stderr(&denied));
}

#[test]
fn logins_are_for_namespaces_and_in_dockers_form_too() {
    let test = "logins_are_for_namespaces_and_in_dockers_form_too";
    fn login<'a>(rest: &[&'a str]) -> Vec<&'a str> {
        [&["login", "-u", "user", "--password-stdin"], rest].concat()
    }
    let Some(registry) = Registry::start(test) else { return };
    let fine = "Login Succeeded!\n";
    registry.check(&login(&["HOST/team"]), "hunter2", 0, fine, "");
    registry.check(&["login", "--get-login", "HOST/team/app"], "", 0, "user\n", "");
    registry.check(&["login", "--get-login", "HOST/other"], "", 1, "", "not logged in");
    registry.check(&["logout", "HOST"], "", 1, "", "not logged in to HOST");
    registry.check(
        &["logout", "--all"],
        "",
        0,
        "Removed login credentials for all registries\n",
        "",
    );
    registry.check(&["login", "--get-login", "HOST/team"], "", 1, "", "not logged in");
    let docker = registry.root.join("config.json");
    std::fs::write(&docker, r#"{"psFormat":"x"}"#).unwrap();
    let file = docker.to_str().unwrap();
    let other = ["--compat-auth-file", file, "HOST"];
    let verbose = format!("Used: {file}\n{fine}");
    registry.check(&login(&[&["--verbose"], &other[..]].concat()), "hunter2\r\n", 0, &verbose, "");
    let text = std::fs::read_to_string(&docker).unwrap();
    assert!(text.contains("psFormat") && text.contains(&registry.host), "{text}");
    let space = ["--compat-auth-file", file, "HOST/team"];
    registry.check(&login(&space), "hunter2", 1, "", "whole registries only");
    registry.check(
        &[&["logout"], &other[..]].concat(),
        "",
        0,
        "Removed login credentials for HOST\n",
        "",
    );
}

#[test]
fn passwords_are_asked_for_at_the_terminal_only() {
    let Some(registry) = Registry::start("passwords_are_asked_for_at_the_terminal_only") else {
        return;
    };
    registry.check(&["login", "HOST"], "user\nhunter2\n", 1, "", "there is no terminal");
    registry.check(&["login", "--password-stdin", "HOST"], "hunter2", 1, "", "needs --username");
    registry.check(&["login", "-u", "a:b", "-p", "x", "HOST"], "", 1, "", "has no colon");
    registry.check(&["login", "HOST/a:tag"], "", 1, "", "is no name of a repository");
    // Somebody who types.
    let script = r#"
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
said, answers = b"", [(b"Username: ", b"user\n"), (b"Password: ", b"hunter2\n")]
while True:
    try:
        part = os.read(terminal, 1000)
    except OSError:
        break
    if not part:
        break
    said += part
    if answers and said.endswith(answers[0][0]):
        os.write(terminal, answers.pop(0)[1])
sys.stdout.buffer.write(said)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;
    let output = Command::new("python3")
        .args(["-c", script])
        .arg(program("tare"))
        .args(["login", &registry.host])
        .env("REGISTRY_AUTH_FILE", registry.auth_file())
        .env("HOME", &registry.root)
        .output();
    let Ok(output) = output else {
        return skip("passwords_are_asked_for_at_the_terminal_only", "python3 is not installed");
    };
    let said = stdout(&output);
    assert!(output.status.success(), "{said}{}", stderr(&output));
    assert!(said.contains("Username: user") && said.contains("Login Succeeded!"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn a_password_is_taken_from_a_secret() {
    let Some(registry) = Registry::start("a_password_is_taken_from_a_secret") else { return };
    let made = registry.tare(&["secret", "create", "user", "-"], "hunter2\n");
    assert!(made.status.success(), "{}", stderr(&made));
    registry.tare(&["secret", "create", "other", "-"], "wrong");
    let login = |secret| ["login", "-u", "user", "--secret", secret, "HOST"];
    registry.check(&login("other"), "", 1, "", "the name or password is not accepted");
    registry.check(&login("none"), "", 1, "", "no such secret: none");
    registry.check(&login("user"), "", 0, "Login Succeeded!\n", "");
    // Without another one, its name is the user's.
    registry.check(&["logout", "HOST"], "", 0, "Removed login credentials for HOST\n", "");
    registry.check(&["login", "--secret", "user", "HOST"], "", 0, "Login Succeeded!\n", "");
    registry.check(&["login", "--get-login", "HOST"], "", 0, "user\n", "");
}
