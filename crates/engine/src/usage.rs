//! What a container that runs uses of the machine, and changes of what it may use.

use crate::client;
use crate::error::{Error, Kind, Result};
use crate::launch;
use crate::locks::Changing;
use crate::place::{self, Container, Engine};
use crate::record::{Config, Resources, Restart};
use crate::supervisor::Attach;
use crate::wire::kind;
use runtime::config::ContainerId;
use sys::time;

const KIB: u64 = 1024;
/// Whoever starts or ends a container is done by then.
const CHANGE_WAIT_MS: u64 = 10_000;
const LOOK_MS: u64 = 20;

/// Of one moment. Sizes are bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time since its start.
    pub cpu_ns: u64,
    /// Without what is kept of files that nobody uses.
    pub memory: u64,
    /// Its own limit, or all memory of the machine.
    pub memory_limit: u64,
    /// Received and sent.
    pub network: (u64, u64),
    /// Read and written.
    pub block: (u64, u64),
    /// Processes and threads.
    pub pids: u64,
}

impl Engine {
    /// What a container uses. It has a cgroup of its own.
    pub fn usage(&self, container: &Container) -> Result<Usage> {
        let id = ContainerId::parse(&container.config.id)?;
        let stats = runtime::verbs::Events::watch(&self.place.host, &id)?.stats()?;
        let stats = stats.ok_or_else(|| ended(&container.config))?;
        let machine = memory_of_machine();
        let memory = &stats.memory;
        let cold = |names: &[&str]| {
            let found = |(name, _): &(&String, &u64)| names.contains(&name.as_str());
            memory.raw.iter().find(found).map_or(0, |(_, bytes)| *bytes)
        };
        let limit = memory.usage.limit;
        let block = |wanted: &str| {
            let is = |op: &str| op.eq_ignore_ascii_case(wanted);
            let entries = stats.blkio.io_service_bytes.iter().filter(|entry| is(&entry.op));
            entries.map(|entry| entry.value).sum()
        };
        Ok(Usage {
            cpu_ns: stats.cpu.usage.total,
            memory: memory
                .usage
                .usage
                .saturating_sub(cold(&["total_inactive_file", "inactive_file"])),
            memory_limit: if limit == 0 || limit > machine { machine } else { limit },
            network: network(container.state.pid),
            block: (block("read"), block("write")),
            pids: stats.pids.current,
        })
    }

    /// The processes of a container, as this machine knows them.
    pub fn processes(&self, container: &Container) -> Result<Vec<i32>> {
        let id = ContainerId::parse(&container.config.id)?;
        let mut pids = runtime::verbs::processes(&self.place.host, &id)?;
        if pids.len() <= 1 {
            // Without a cgroup of its own: those of its pid namespace, where that is its own.
            let space = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
            let own = space(&container.state.pid.to_string())
                .filter(|it| Some(it) != space("self").as_ref());
            for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let Ok(pid) = name.parse() else { continue };
                if own.is_some() && space(&name) == own && !pids.contains(&pid) {
                    pids.push(pid);
                }
            }
        }
        Ok(pids)
    }

    /// Gives a container other limits and another restart policy. One that runs has them at once; returns warnings.
    pub fn update(
        &self,
        changing: &mut Changing,
        resources: &Resources,
        restart: Option<&Restart>,
    ) -> Result<Vec<String>> {
        let container = &mut changing.container;
        let mut config = container.config.clone();
        config.resources.clone_from(resources);
        if let Some(restart) = restart {
            config.restart = restart.clone();
        }
        let mut warnings = Vec::new();
        if container.is_running() && config.resources != container.config.resources {
            let change = launch::limits_of(&config)?;
            let id = ContainerId::parse(&config.id)?;
            let changed =
                runtime::verbs::update(&self.place.host, &id, &change, &Default::default());
            warnings = match changed {
                // What has just ended has them at its next start.
                Err(_) if !place::is_alive(&container.state) => Vec::new(),
                result => result?,
            };
        }
        container.config = config;
        self.save(container)?;
        self.tell("update", &container.config, &[]);
        Ok(warnings)
    }
}

impl Engine {
    /// Has the supervisor of a container that runs check what its record says now.
    pub fn renew_checks(&self, container: &Container) -> Result<()> {
        let deadline = time::monotonic_ms() + CHANGE_WAIT_MS;
        loop {
            let Some(now) = self.load(&container.config.id)?.filter(|it| it.supervised) else {
                // The next supervisor takes them from the record.
                return Ok(());
            };
            let asked = client::connect(&now, Attach::default())
                .and_then(|mut session| session.ask(kind::HEALTH, &[]));
            match asked {
                // It starts or ends at this moment.
                Err(error) if error.kind() == Kind::State && time::monotonic_ms() < deadline => {
                    time::sleep_ms(LOOK_MS);
                }
                result => return result,
            }
        }
    }
}

fn ended(config: &Config) -> Error {
    Error::new(Kind::State, format!("container {} has just ended", config.name))
}

fn memory_of_machine() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|it| it.split_whitespace().next()).and_then(|it| it.parse().ok());
    kib.unwrap_or(0u64) * KIB
}

/// Bytes received and sent in the network namespace of a process, but for those to itself.
fn network(pid: i32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let mut sum = (0, 0);
    for line in text.lines() {
        let Some((name, numbers)) = line.split_once(':') else { continue };
        let numbers: Vec<u64> =
            numbers.split_whitespace().filter_map(|it| it.parse().ok()).collect();
        if let (false, Some(received), Some(sent)) =
            (name.trim() == "lo", numbers.first(), numbers.get(8))
        {
            sum = (sum.0 + received, sum.1 + sent);
        }
    }
    sum
}
