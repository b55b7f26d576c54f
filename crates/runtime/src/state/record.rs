//! What is kept of a container between the processes that handle it.

use crate::config::ContainerId;
use crate::procfs;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::{Hooks, Map, NamespaceKind, NetDevice, Process, Resources, State, Status};
use sys::Errno;

oci::document! {
    /// The record of a container. Fields that are added get a default, so that a newer program reads
    /// what an older one wrote; a change of meaning takes a new version.
    Record(snake) {
        /// Format of this record.
        version: u32 => always,
        /// The configuration's `ociVersion`.
        oci_version: String,
        /// The container's name.
        id: String,
        /// The bundle's absolute path.
        bundle: String,
        /// The root file system's absolute path.
        rootfs: String,
        /// When it was made, as RFC 3339 in UTC with nanoseconds.
        created: String,
        /// Who made it.
        owner: u32,
        /// Its first process, 0 before there is one.
        pid: i32,
        /// That process's start time in clock ticks since boot: with the pid it names one process.
        pid_start: u64,
        /// From the configuration.
        annotations: Map,
        /// The configured process: what `exec` starts from.
        process: Process,
        /// Hooks that are still to come (`poststart`, `poststop`).
        hooks: Option<Hooks>,
        /// The kinds of namespace that it has of its own or has joined.
        namespaces: Vec<NamespaceKind>,
        /// Its pid namespace is another container's: what is in it does not end with the first process.
        joined_pids: bool,
        /// NUMA policy of its processes.
        memory_policy: Option<oci::runtime::MemoryPolicy>,
        /// Execution domain of its processes.
        personality: Option<oci::runtime::Personality>,
        /// Without a mount namespace: destinations below the root to unmount when it is deleted.
        shared_mounts: Vec<String>,
        /// Without a mount namespace: the mount that the root directory is on, below the one that is
        /// made for the container.
        shared_root: u64,
        /// Its cgroups: written before they are made.
        cgroup: Option<crate::cgroup::Plan>,
        /// The limits in force, as created or last updated.
        resources: Option<Resources>,
        /// Network devices that move into it, by their names on the host.
        net_devices: Map<NetDevice>,
        /// Directories of resctrl that are made for it and have to be removed, in this order.
        rdt_groups: Vec<String>,
        /// The directory of the class (closID) that it is put in.
        rdt_class: String,
        /// Whether an own reaper is its first process.
        init: bool,
        /// Whether `start` makes the program's process beside it.
        started_late: bool,
        /// The host's terminal that this process gets.
        console: String,
        /// Where the terminal of this process goes.
        console_socket: String,
        /// Whether `exec`'d processes get a session keyring of their own.
        new_keyring: bool,
        /// The seccomp agent's socket and metadata, for exec.
        listener_path: String,
        /// What the agent is told.
        listener_metadata: String,
        /// `SECCOMP_FILTER_FLAG_*` of the filter.
        filter_flags: u32,
    }
}

impl Record {
    /// Format written by this program.
    pub const VERSION: u32 = 1;

    /// Reads the text of a container's record and checks what later steps rely on: a record that
    /// was damaged must not make them kill or remove anything else.
    pub fn parse(text: &[u8], id: &ContainerId) -> core::result::Result<Self, String> {
        let record: Self = oci::json::read(text)?;
        if record.version != Self::VERSION {
            return Err(format!("has format {}, this program reads format 1", record.version));
        }
        if record.id != id.as_str() {
            return Err(format!("is that of container {:?}", record.id));
        }
        if record.pid < 0 {
            return Err(format!("pid: {} is not a process", record.pid));
        }
        if let Some(plan) = &record.cgroup {
            plan.check().map_err(|error| format!("{error}"))?;
        }
        crate::rdt::check(&record)?;
        Ok(record)
    }

    /// Whether the kernel ends all of the container with its first process.
    pub fn has_own_pids(&self) -> bool {
        self.namespaces.contains(&NamespaceKind::Pid) && !self.joined_pids
    }

    /// Whether the container's first process lives. Where nobody can tell, it does: what is taken
    /// for dead is removed without being killed.
    pub fn is_alive(&self) -> bool {
        self.pid > 0
            && match procfs::read_stat(self.pid) {
                Ok(stat) => stat.start_ticks == self.pid_start && !stat.is_dead(),
                Err(errno) => !matches!(errno, Errno::ENOENT | Errno::ESRCH),
            }
    }

    /// The state document for hooks and agents.
    pub fn state(&self, status: Status) -> State {
        let alive = status != Status::Stopped;
        State {
            oci_version: self.oci_version.clone(),
            id: self.id.clone(),
            status,
            pid: if alive { self.pid } else { 0 },
            bundle: self.bundle.clone(),
            annotations: self.annotations.clone(),
        }
    }
}

/// A point in time as RFC 3339 in UTC with nanoseconds.
pub fn format_time(time: sys::time::Time) -> String {
    const DAY_SECONDS: i64 = 86_400;
    let days = time.seconds.div_euclid(DAY_SECONDS);
    let second = time.seconds.rem_euclid(DAY_SECONDS);
    // Civil date from days since 1970: years of 400-year eras that begin in March.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let nanos = time.nanos;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        let check = |seconds, nanos, text: &str| {
            assert_eq!(format_time(sys::time::Time { seconds, nanos }), text);
        };
        check(0, 0, "1970-01-01T00:00:00.000000000Z");
        check(951_782_399, 999_999_999, "2000-02-28T23:59:59.999999999Z");
        check(951_782_400, 1, "2000-02-29T00:00:00.000000001Z");
        check(4_102_444_799, 0, "2099-12-31T23:59:59.000000000Z");
    }

    #[test]
    fn a_process_is_known_by_its_start_time_too() {
        let pid = sys::process::id();
        let start = procfs::process_stat(pid).unwrap().start_ticks;
        let record = |pid, pid_start| Record { pid, pid_start, ..Record::default() };
        assert!(record(pid, start).is_alive());
        assert!(!record(pid, start + 1).is_alive());
        assert!(!record(0, 0).is_alive());
    }
}
