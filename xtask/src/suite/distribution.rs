//! The conformance suite of the distribution specification, against `tare registry serve` or another
//! registry that runs already.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What is left of a run: the server and its directory.
struct Server {
    address: String,
    child: Option<Child>,
    dir: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Runs the suite; returns how many cases failed. `target` is a program like `tare`, or the address of a
/// registry; by default it is the program of this build.
pub(super) fn run(folder: &Path, target: Option<&String>) -> Result<u32, String> {
    let suite = folder.join("conformance");
    if !suite.is_file() {
        return Err(format!("{}: is not there; was the suite built?", suite.display()));
    }
    let server = start(target)?;
    let results = server.dir.join("results");
    let version = std::env::var("OCI_VERSION").unwrap_or_else(|_| "stable".into());
    let output = Command::new(&suite)
        .env("OCI_REGISTRY", &server.address)
        .env("OCI_TLS", "disabled")
        .env("OCI_VERSION", &version)
        .env("OCI_RESULTS_DIR", &results)
        .current_dir(&server.dir)
        .output()
        .map_err(|error| format!("{}: {error}", suite.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let cases: Vec<_> = text.lines().filter_map(case).collect();
    if cases.is_empty() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the suite has no result: {}", said.trim()));
    }
    for (state, name) in &cases {
        crate::print(&format!("{state}\t{name}\n"));
    }
    // A case may be several checks: of an interface and of its data.
    let counts = |names: &[&str]| names.iter().map(|name| count(&text, name)).sum::<u32>();
    let (passed, failed) = (counts(&["Pass"]), counts(&["FAIL", "Error"]));
    let skipped = counts(&["Skip", "Disabled"]);
    crate::print(&format!("{passed} passed, {failed} failed, {skipped} skipped ({version})\n"));
    Ok(failed)
}

/// `  Pass..........................:        860`, which comes once with a number.
fn count(text: &str, name: &str) -> u32 {
    let number = |line: &str| {
        let (before, number) = line.trim().split_once(':')?;
        (before.trim_end_matches('.') == name).then(|| number.trim().parse().ok())?
    };
    text.lines().find_map(number).unwrap_or(0)
}

/// `  OCI Conformance Test/sha256 blobs/stream: Pass`
fn case(line: &str) -> Option<(&'static str, &str)> {
    let (name, state) = line.trim().rsplit_once(": ")?;
    if !name.starts_with("OCI Conformance Test") {
        return None;
    }
    match state {
        "Pass" => Some(("pass", name)),
        "FAIL" | "Error" => Some(("fail", name)),
        "Skip" | "Disabled" => Some(("skip", name)),
        _ => None,
    }
}

fn start(target: Option<&String>) -> Result<Server, String> {
    let dir = std::env::temp_dir().join(format!("tare-suite-registry-{}", std::process::id()));
    std::fs::create_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let mut server = Server { address: String::new(), child: None, dir };
    if let Some(address) = target.filter(|text| text.parse::<SocketAddr>().is_ok()) {
        server.address.clone_from(address);
        return Ok(server);
    }
    let program = super::program("tare", target)?;
    let mut child = Command::new(&program)
        .args(["registry", "serve", "--listen", "127.0.0.1:0", "--root"])
        .arg(server.dir.join("registry"))
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let output = child.stdout.take();
    server.child = Some(child);
    let mut line = String::new();
    let read = output.map(|output| BufReader::new(output).read_line(&mut line));
    match line.trim().strip_prefix("listening on ") {
        Some(address) => server.address = address.into(),
        None => return Err(format!("the server has not started: {read:?} {line:?}")),
    }
    Ok(server)
}

#[cfg(test)]
mod tests {
    use super::case;

    #[test]
    fn results_are_read() {
        let check = |line: &str, expected| assert_eq!(case(line), expected, "{line}");
        check("  OCI Conformance Test/a b: Pass", Some(("pass", "OCI Conformance Test/a b")));
        check("OCI Conformance Test: FAIL", Some(("fail", "OCI Conformance Test")));
        check("  OCI Conformance Test/x: Disabled", Some(("skip", "OCI Conformance Test/x")));
        check("       - blob out of order chunk: Patch", None);
        check("  Blob chunked..................:       Pass", None);
        let text =
            "OCI Conformance Test: Pass\n  Pass.....:   Pass\n  Pass......:    860\n  FAIL..:  2\n";
        assert_eq!((super::count(text, "Pass"), super::count(text, "FAIL")), (860, 2));
        assert_eq!(super::count(text, "Skip"), 0);
    }
}
