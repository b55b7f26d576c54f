//! The servers that are measured.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// No server needs longer to listen.
const START_LIMIT: Duration = Duration::from_secs(20);
/// The kernel counts processor time in these (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// A server with a directory of its own. Both go when it is dropped.
pub(super) struct Server {
    pub(super) address: String,
    child: Child,
    dir: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// An empty one.
pub(super) fn directory() -> Result<PathBuf, String> {
    let dir = std::env::temp_dir().join(format!("tare-bench-registry-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    Ok(dir)
}

impl Server {
    pub(super) fn tare(program: &Path) -> Result<Self, String> {
        let dir = directory()?;
        let child = Command::new(program)
            .args(["registry", "serve", "--listen", "127.0.0.1:0", "--root"])
            .arg(dir.join("registry"))
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let mut server = Self { address: String::new(), child, dir };
        let mut line = String::new();
        if let Some(output) = server.child.stdout.take() {
            let _ = BufReader::new(output).read_line(&mut line);
        }
        let address = line.trim().strip_prefix("listening on ");
        server.address = address.ok_or("tare registry serve has not started")?.into();
        Ok(server)
    }

    pub(super) fn docker_registry() -> Result<Self, String> {
        let dir = directory()?;
        // It cannot say which port it got; nobody else takes this one so soon.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.map_err(|error| format!("looking for a port: {error}"))?.to_string();
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{address}'}}\n",
            dir.join("registry").display()
        );
        let path = dir.join("config.yml");
        std::fs::write(&path, config).map_err(|error| format!("{}: {error}", path.display()))?;
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("docker-registry: {error}"))?;
        let server = Self { address, child, dir };
        let begin = Instant::now();
        while TcpStream::connect(&server.address).is_err() {
            if begin.elapsed() > START_LIMIT {
                return Err("docker-registry has not started".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.child.id())
    }

    /// Processor time of the server so far, in seconds.
    fn cpu(&self) -> Result<f64, String> {
        let path = self.file("stat");
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let fields: Vec<&str> =
            text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|it| it.parse::<f64>().ok());
        // utime and stime, the 14th and 15th of all.
        match (ticks(11), ticks(12)) {
            (Some(user), Some(system)) => Ok((user + system) / TICKS_PER_SECOND),
            _ => Err(format!("{path}: has another form")),
        }
    }

    /// Processor time of the server and time of the clock that some work takes, in seconds.
    pub(super) fn measure(
        &self,
        work: impl FnOnce() -> Result<(), String>,
    ) -> Result<(f64, f64), String> {
        let (before, begin) = (self.cpu()?, Instant::now());
        work()?;
        Ok((self.cpu()? - before, begin.elapsed().as_secs_f64()))
    }

    fn status_mib(&self, name: &str) -> Result<f64, String> {
        let path = self.file("status");
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.map(|kib| kib / 1024.0).ok_or_else(|| format!("{path}: has no {name}"))
    }

    /// Memory that it has now.
    pub(super) fn memory_mib(&self) -> Result<f64, String> {
        self.status_mib("VmRSS:")
    }

    /// Most memory that it had since [`Server::forget_peak`].
    pub(super) fn peak_mib(&self) -> Result<f64, String> {
        self.status_mib("VmHWM:")
    }

    pub(super) fn forget_peak(&self) -> Result<(), String> {
        let path = self.file("clear_refs");
        std::fs::write(&path, "5").map_err(|error| format!("{path}: {error}"))
    }
}
