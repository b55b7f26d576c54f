//! The options that say how a registry is reached, of every verb that reaches one: a registry of the test's
//! notes with which credentials it is asked, and how often.

use super::all;
use e2e::images::{Sample, Yard};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

/// `user:hunter2`
const BASIC: &str = "Basic dXNlcjpodW50ZXIy";

/// How verbs are called that reach a registry: at OPTIONS with what is tested, at HOST the registry.
const CALLS: &[(&str, &str)] = &[
    ("copy --src", "copy OPTIONS docker://HOST/x:1 dir:copied"),
    ("copy --dest", "copy OPTIONS oci:layout:one docker://HOST/x:1"),
    ("sync --src", "sync --src docker --dest dir OPTIONS HOST/x:1 synced"),
    ("sync --dest", "sync --src dir --dest docker OPTIONS tree HOST"),
    ("delete", "delete OPTIONS docker://HOST/x:1"),
    ("inspect", "inspect OPTIONS docker://HOST/x:1"),
    ("list-tags", "list-tags OPTIONS docker://HOST/x"),
    ("pull", "pull OPTIONS HOST/x:1"),
    ("push", "push OPTIONS one docker://HOST/x:1"),
    ("search", "search OPTIONS HOST/x"),
    ("manifest add", "manifest add OPTIONS list docker://HOST/x:1"),
    ("manifest create", "manifest create --amend OPTIONS new docker://HOST/x:1"),
    ("manifest inspect", "manifest inspect OPTIONS docker://HOST/x:1"),
    ("manifest push", "manifest push OPTIONS list docker://HOST/x:1"),
    ("artifact pull", "artifact pull OPTIONS HOST/x:1"),
    ("artifact push", "artifact push OPTIONS HOST/x:1 file"),
    ("login", "login OPTIONS --username user --password hunter2 HOST"),
];
/// What is tested: options without `--`, and the prefixes that they have with skopeo.
const OPTIONS: &[&str] = &[
    "authfile",
    "cert-dir",
    "creds",
    "no-creds",
    "username",
    "password",
    "registry-token",
    "retry",
    "retry-times",
    "retry-delay",
    "tls-verify",
];

/// A verb's call, and its option without the prefix of a side.
fn call(verb: &str, long: &str) -> Option<(&'static str, String)> {
    let verb = verb.strip_prefix("image ").unwrap_or(verb);
    let name = long.strip_prefix("--")?;
    let (key, name) = match (verb, name.split_once('-')) {
        ("copy" | "sync", Some((side @ ("src" | "dest"), rest))) => {
            (format!("{verb} --{side}"), rest)
        }
        ("copy" | "sync", _) => (format!("{verb} --src"), name),
        _ => (verb.to_owned(), name),
    };
    let call = CALLS.iter().find(|(known, _)| *known == key)?.1;
    // The others say what is kept, and are tested with that.
    let is_here = verb != "login" || ["cert-dir", "tls-verify"].contains(&name);
    (is_here && OPTIONS.contains(&name)).then(|| (call, name.to_owned()))
}

/// Whether an option is tested here.
pub(super) fn covers(verb: &str, long: &str) -> bool {
    call(verb, long).is_some()
}

/// A registry that has nothing.
struct Registry {
    host: String,
    /// Each request: what is asked for, and the credentials; empty where there are none.
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Registry {
    /// One that wants credentials, or one that is out of order.
    fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = asked.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let noted = noted.clone();
                std::thread::spawn(move || serve(client, answer, &noted));
            }
        });
        Self { host, asked }
    }

    fn take(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.asked.lock().expect("no thread has panicked"))
    }
}

const UNAUTHORIZED: &str =
    "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"test\"\r\nContent-Length: 0\r\n\r\n";
const NOTHING: &str = "404 Not Found\r\nContent-Length: 0\r\n\r\n";
const OUT_OF_ORDER: &str = "503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

/// Whether somebody tries TLS at first: that has no lines to wait for.
pub(crate) fn speaks_tls(reader: &mut impl BufRead) -> bool {
    const HANDSHAKE: u8 = 0x16;
    reader.fill_buf().is_ok_and(|bytes| bytes.first() == Some(&HANDSHAKE))
}

fn serve(client: TcpStream, answer: &str, noted: &Mutex<Vec<(String, String)>>) {
    let mut reader = BufReader::new(client.try_clone().expect("a socket"));
    let mut client = client;
    if speaks_tls(&mut reader) {
        return;
    }
    loop {
        let (mut asked, mut credentials) = (String::new(), String::new());
        let mut line = String::new();
        // A body would follow its head; none is sent before the first answer.
        while reader.read_line(&mut line).is_ok_and(|length| length > 2) {
            if let Some((name, value)) = line.trim_end().split_once(": ")
                && name.eq_ignore_ascii_case("authorization")
            {
                credentials = value.to_owned();
            }
            if asked.is_empty() {
                asked = line.trim_end().to_owned();
            }
            line.clear();
        }
        if line.is_empty() {
            return;
        }
        let answer = if credentials.is_empty() { answer } else { NOTHING };
        noted.lock().expect("no thread has panicked").push((asked, credentials));
        if client.write_all(format!("HTTP/1.1 {answer}").as_bytes()).is_err() {
            return;
        }
    }
}

const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls");

/// A registry with a certificate that nobody knows, and the directory with its authority.
fn encrypted(yard: &Yard) -> (Child, String) {
    let [certificate, key] = ["server.crt", "server.key"].map(|name| format!("{TLS}/{name}"));
    let root = yard.path("encrypted");
    let serve = ["registry", "serve", "--listen", "127.0.0.1:0", "--no-sync", "--root", &root];
    let tls = ["--tls-cert", &certificate, "--tls-key", &key];
    let mut command = yard.tare_command(&[&serve[..], &tls].concat());
    let mut child = command.stdout(Stdio::piped()).spawn().expect("starting a registry");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("its output");
    BufReader::new(stdout).read_line(&mut line).expect("its address");
    let host = line.trim_end().strip_prefix("listening on ").expect("its address").to_owned();
    yard.write("certs/ca.crt", &std::fs::read(format!("{TLS}/ca.crt")).expect("an authority"));
    (child, host)
}

#[test]
fn every_verb_asks_for_the_certificates_that_its_options_name() {
    let yard = filled("127.0.0.1:1");
    let (mut registry, host) = encrypted(&yard);
    let mut count = 0;
    for option in all() {
        let Some((call, name)) = call(&option.verb, &option.long) else { continue };
        let (bad, good) = match name.as_str() {
            "cert-dir" => ("", format!("{} certs", option.long)),
            "tls-verify" => ("=true", format!("{}=false", option.long)),
            _ => continue,
        };
        let bad = if bad.is_empty() { String::new() } else { format!("{}{bad}", option.long) };
        for (options, is_known) in [(bad, false), (good, true)] {
            let args = args(call, &options, &host);
            let output = yard.tare(&args.iter().map(String::as_str).collect::<Vec<_>>());
            let text = e2e::stderr(&output);
            let complains = text.contains("UnknownIssuer") || text.contains("certificate");
            assert_eq!(complains, !is_known, "{args:?}: {text}");
            count += 1;
        }
    }
    registry.kill().expect("ending the registry");
    registry.wait().expect("its end");
    assert!(count > 60, "{count}");
}

/// A store with an image, an index and an artifact, a layout, a directory for `sync`, and files with credentials.
fn filled(host: &str) -> Yard {
    let yard = Yard::new();
    Sample::default().write(&yard.path("layout"), "one");
    yard.write(
        "home/.config/containers/registries.conf",
        format!("[[registry]]\nlocation = \"{host}\"\ninsecure = true\n").as_bytes(),
    );
    yard.write(
        "auth.json",
        format!("{{\"auths\":{{\"{host}\":{{\"auth\":\"dXNlcjpodW50ZXIy\"}}}}}}").as_bytes(),
    );
    yard.fine(&["copy", "-q", "oci:layout:one", "store:one"]);
    yard.fine(&["copy", "-q", "oci:layout:one", "dir:tree/x:1"]);
    yard.fine(&["manifest", "create", "list", "store:one"]);
    yard.write("file", b"artifact");
    yard.fine(&["artifact", "add", "artifact", "file"]);
    yard
}

/// A call with an option in it, `--OPTION` or `--SIDE-OPTION`.
fn args(call: &str, options: &str, host: &str) -> Vec<String> {
    let text = call.replace("OPTIONS", options).replace("HOST", host);
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn every_verb_uses_the_credentials_that_its_options_name() {
    let registry = Registry::start(UNAUTHORIZED);
    let yard = filled(&registry.host);
    let mut count = 0;
    for option in all() {
        let Some((call, name)) = call(&option.verb, &option.long) else { continue };
        let long = &option.long;
        let prefix = long.strip_suffix(name.as_str()).expect("a suffix");
        let (options, expected) = match name.as_str() {
            "authfile" => (format!("{long} auth.json"), BASIC),
            "creds" => (format!("{long} user:hunter2"), BASIC),
            "username" => (format!("{long} user {prefix}password hunter2"), BASIC),
            "password" => (format!("{prefix}username user {long} hunter2"), BASIC),
            "registry-token" => (format!("{long} abc"), "Bearer abc"),
            // In spite of the file.
            "no-creds" => (format!("{prefix}authfile auth.json {long}"), ""),
            _ => continue,
        };
        let args = args(call, &options, &registry.host);
        let output = yard.tare(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let asked = registry.take();
        let text = e2e::stderr(&output);
        assert!(!output.status.success(), "{args:?}: {text}");
        match expected {
            "" => assert!(
                !asked.is_empty() && asked.iter().all(|(_, it)| it.is_empty()),
                "{args:?}: {asked:?}"
            ),
            expected => {
                assert!(asked.iter().any(|(_, it)| it == expected), "{args:?}: {asked:?} {text}")
            }
        }
        assert!(!text.contains("hunter2"), "{text}");
        count += 1;
    }
    assert!(count > 60, "{count}");
}

#[test]
fn every_verb_tries_again_as_often_as_its_option_says() {
    let registry = Registry::start(OUT_OF_ORDER);
    let yard = filled(&registry.host);
    let mut count = 0;
    for option in all() {
        let Some((call, name)) = call(&option.verb, &option.long) else { continue };
        let long = &option.long;
        let options = match name.as_str() {
            "retry" | "retry-times" => format!("{long} 2 --retry-delay 10ms"),
            "retry-delay" if option.program == "skopeo" => format!("--retry-times 2 {long} 10ms"),
            "retry-delay" => format!("--retry 2 {long} 10ms"),
            _ => continue,
        };
        let args = args(call, &options, &registry.host);
        let output = yard.tare(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let text = e2e::stderr(&output);
        assert!(!output.status.success() && text.contains("503"), "{args:?}: {text}");
        let asked = registry.take();
        for (request, _) in &asked {
            let count = asked.iter().filter(|(it, _)| it == request).count();
            // Some verbs ask twice.
            assert_eq!(count % 3, 0, "{args:?}: {asked:?} {text}");
        }
        count += 1;
    }
    assert!(count > 15, "{count}");
}
