//! `tare registry serve`, with real clients and registries.

mod bucket;
mod clients;
mod copies;
mod http2;

use e2e::images::Yard;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

/// A server, which ends with the test.
struct Served {
    child: Child,
    host: String,
}

impl Served {
    /// Starts one on a directory of a yard.
    fn start(yard: &Yard, root: &str, options: &[&str]) -> Self {
        let root = yard.path(root);
        let mut args = vec!["registry", "serve", "--listen", "127.0.0.1:0", "--root", &root];
        args.extend(options);
        let mut command = yard.tare_command(&args);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("starting tare");
        let output = child.stdout.take().expect("a pipe");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("reading where it listens");
        let host = line.trim().strip_prefix("listening on ").map(str::to_owned);
        let Some(host) = host else {
            let _ = child.kill();
            let _ = child.wait();
            panic!("it has not started: {line:?}");
        };
        Self { child, host }
    }

    /// A place in it.
    fn place(&self, name: &str) -> String {
        format!("docker://{}/{name}", self.host)
    }

    /// Ends it.
    fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.end();
    }
}
