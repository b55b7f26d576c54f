//! Turning the current process into the container's: identity, limits, filter, exec.
//!
//! Shared by a container's first process and by `exec`. Everything that can be wrong is found
//! while the configuration is read ([`Plan::new`]); what runs inside the container then only
//! makes system calls.

mod attributes;
mod capabilities;
mod identity;
mod program;

pub use attributes::parse_list;
pub(crate) use attributes::set_affinity;
pub use capabilities::CapabilityPlan;
pub(crate) use identity::home_of;
pub use program::Program;
pub(crate) use program::environment;

use crate::config;
use crate::error::{Attempt, Error, Result};
use crate::procfs::Proc;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::{MemoryPolicy, Personality, Process};
use sys::{Fd, fs, seccomp as filter};

/// A compiled system call filter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// The instructions.
    pub instructions: Vec<filter::Instruction>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
}

impl Filter {
    /// Whether installing it makes a listener.
    fn has_listener(&self) -> bool {
        self.flags & filter::FLAG_NEW_LISTENER != 0
    }

    /// The instructions as bytes: `code` (2), `jt`, `jf`, `k` (4), in the machine's byte order.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.instructions.len() * 8);
        for instruction in &self.instructions {
            bytes.extend_from_slice(&instruction.code.to_ne_bytes());
            bytes.extend_from_slice(&[instruction.jt, instruction.jf]);
            bytes.extend_from_slice(&instruction.k.to_ne_bytes());
        }
        bytes
    }

    /// Reads what [`Filter::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8], flags: u32) -> Option<Self> {
        if !bytes.len().is_multiple_of(8) {
            return None;
        }
        let instructions = bytes.chunks_exact(8).map(|chunk| filter::Instruction {
            code: u16::from_ne_bytes([chunk[0], chunk[1]]),
            jt: chunk[2],
            jf: chunk[3],
            k: u32::from_ne_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]),
        });
        Some(Self { instructions: instructions.collect(), flags })
    }
}

/// A process that was checked and only has to be put into effect.
#[derive(Debug)]
pub struct Plan {
    /// As configured.
    pub process: Process,
    /// Its capability sets.
    pub capabilities: CapabilityPlan,
    /// Its filter.
    pub filter: Option<Filter>,
    /// NUMA policy of the container.
    pub memory_policy: Option<MemoryPolicy>,
    /// Execution domain of the container.
    pub personality: Option<Personality>,
    /// How many descriptors behind the standard three are handed on.
    pub preserve_fds: u32,
    /// How many of these were passed by socket activation (`LISTEN_FDS`).
    pub listen_fds: u32,
    /// Whether it is in a user namespace that forbids `setgroups`.
    pub groups_denied: bool,
    /// Whether it keeps the caller's supplementary groups.
    pub keep_groups: bool,
}

impl Plan {
    /// Checks a process. Warnings (unknown capabilities) go to `warnings`.
    pub fn new(process: Process, warnings: &mut Vec<String>) -> Result<Self> {
        config::validate_process(&process, "process")?;
        let capabilities = CapabilityPlan::new(process.capabilities.as_ref(), warnings);
        Ok(Self {
            process,
            capabilities,
            filter: None,
            memory_policy: None,
            personality: None,
            preserve_fds: 0,
            listen_fds: 0,
            groups_denied: false,
            keep_groups: false,
        })
    }
}

/// What is left to do between the last word to the parent and the program.
pub struct Prepared {
    program: Program,
    filter_pending: bool,
}

impl Prepared {
    /// The program's environment.
    pub(crate) fn env(&self) -> &sys::CStrings {
        self.program.env()
    }

    /// Puts the filter in force now, for what runs before the program in its place.
    pub(crate) fn install_filter(
        &mut self,
        plan: &Plan,
        on_listener: OnListener<'_>,
    ) -> Result<()> {
        if core::mem::take(&mut self.filter_pending)
            && let Some(filter) = &plan.filter
        {
            install(filter, on_listener)?;
        }
        Ok(())
    }
}

/// Called with the listener's descriptor once a filter that has one is installed.
pub type OnListener<'a> = &'a mut dyn FnMut(Fd) -> Result<()>;

/// Puts the plan into effect, up to the last steps that must come directly before exec. The
/// current root is the container's.
///
/// Without `no_new_privs` only a privileged process may install a filter, so it is in force for
/// what follows: then only system calls are made that every profile allows because every program
/// start makes them. The program is looked for before.
pub fn prepare(plan: &Plan, proc: &Proc, on_listener: OnListener<'_>) -> Result<Prepared> {
    let process = &plan.process;
    attributes::apply(plan)?;
    crate::lsm::set_exec_label(proc, process)?;
    let (env, home_needed) = program::environment(process, plan.listen_fds);
    let user = identity::look_up(process.user.uid, home_needed)?;
    make_working_directory(&process.cwd)?;
    identity::hand_over_pipes(plan);
    close_on_exec(3 + plan.preserve_fds, proc)?;
    limit_open_files(process)?;
    // As root: the directory may be one that only root may enter, and the look where it is comes
    // before a filter that forbids it. The user's own attempt, for one that root may not enter (on a
    // file server), comes below.
    let entered = fs::chdir(&process.cwd).is_ok() && is_inside();
    let mut filter_pending = process.no_new_privileges && plan.filter.is_some();
    let mut found = None;
    if process.no_new_privileges {
        sys::process::set_no_new_privileges().attempt(|| "setting no_new_privs")?;
    } else if let Some(filter) = &plan.filter {
        found = Some(Program::find(process, &env, user.as_deref())?);
        install(filter, on_listener)?;
    }
    identity::apply(plan)?;
    if !entered {
        enter_working_directory(&process.cwd)?;
    }
    if let Some(mask) = process.user.umask {
        fs::umask(mask);
    } else {
        fs::umask(0o022);
    }
    let program = match found {
        Some(program) => program,
        None => Program::find(process, &env, user.as_deref())?,
    };
    if let Some(filter) = plan.filter.as_ref().filter(|filter| filter.has_listener())
        && filter_pending
    {
        // At exec there may be no parent any more that would hand the listener on (create).
        install(filter, on_listener)?;
        filter_pending = false;
    }
    Ok(Prepared { program, filter_pending })
}

/// The last steps, and exec. Returns only on error.
pub fn execute(plan: &Plan, mut prepared: Prepared, on_listener: OnListener<'_>) -> Error {
    match prepared.install_filter(plan, on_listener) {
        Ok(()) => prepared.program.execute(),
        Err(error) => error,
    }
}

/// Number of `RLIMIT_NOFILE` (include/uapi/asm-generic/resource.h).
pub(crate) const OPEN_FILES: u32 = 7;
/// A process that makes a container holds a tree for every mount, and some descriptors more.
pub(crate) const OPEN_FILES_NEEDED: u64 = 1024;

/// The parent has raised the limit where it has to be; what is left is to lower it.
fn limit_open_files(process: &Process) -> Result<()> {
    let of_files = |limit: &&oci::runtime::Rlimit| {
        config::limit_number(&limit.kind).is_some_and(|number| number == OPEN_FILES)
    };
    match process.rlimits.iter().rfind(of_files) {
        Some(limit) => sys::sched::set_limit_of(0, OPEN_FILES, limit.soft, limit.hard)
            .attempt(|| "process.rlimits: setting RLIMIT_NOFILE"),
        None => Ok(()),
    }
}

/// What the caller left open does not reach the program. Descriptors that are opened after this
/// close on exec by themselves.
fn close_on_exec(first: u32, proc: &Proc) -> Result<()> {
    match fs::cloexec_from(first) {
        // Kernels before 5.11. A filter around this process may answer EPERM for what it does not
        // know.
        Err(sys::Errno::ENOSYS | sys::Errno::EINVAL | sys::Errno::EPERM) => {
            for number in open_descriptors(proc)?.into_iter().filter(|&n| n >= first as i32) {
                // A descriptor that is gone by now is as good as closed.
                let _ = fs::set_cloexec(sys::BorrowedFd::from_raw(number), true);
            }
            Ok(())
        }
        result => result.attempt(|| "closing inherited descriptors"),
    }
}

/// The numbers of this process's descriptors. The container may have another `/proc`, or none.
pub(crate) fn open_descriptors(proc: &Proc) -> Result<Vec<i32>> {
    let attempt = || "listing inherited descriptors";
    let flags = fs::O_RDONLY | fs::O_DIRECTORY;
    let dir = fs::open_at(proc, "self/fd", flags, 0).attempt(attempt)?;
    let entries = fs::read_dir(dir.borrow()).attempt(attempt)?;
    let number = |entry: fs::DirEntry| core::str::from_utf8(&entry.name).ok()?.parse().ok();
    Ok(entries.into_iter().filter_map(number).collect())
}

fn install(filter: &Filter, on_listener: OnListener<'_>) -> Result<()> {
    let listener = sys::seccomp::install(&filter.instructions, filter.flags).map_err(|errno| {
        let hint = match errno {
            sys::Errno::EINVAL => "the kernel does not know a flag or action of linux.seccomp",
            _ => "a filter needs process.noNewPrivileges or CAP_SYS_ADMIN",
        };
        Error::os("installing the seccomp filter", errno).with_hint(hint)
    })?;
    match listener {
        Some(listener) => on_listener(listener),
        None => Ok(()),
    }
}

/// Makes the working directory where it is missing, as container root.
fn make_working_directory(cwd: &str) -> Result<()> {
    if fs::stat_at(sys::CWD, cwd, 0).is_ok() {
        return Ok(());
    }
    let ends = cwd.match_indices('/').map(|(at, _)| at).chain([cwd.len()]);
    for end in ends.filter(|&end| end > 0) {
        match fs::mkdir(sys::CWD, &cwd[..end], 0o755) {
            Ok(()) | Err(sys::Errno::EEXIST) => {}
            // The change of directory below gives the final word.
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

/// Enters the working directory, and makes sure that it is inside the root: a path such as
/// `/proc/self/fd/7` could lead to a directory of the host (CVE-2024-21626).
fn enter_working_directory(cwd: &str) -> Result<()> {
    fs::chdir(cwd).map_err(|errno| refused_entry(cwd, errno))?;
    if is_inside() {
        return Ok(());
    }
    let what = format!("process.cwd: {cwd:?} is outside of the container's root file system");
    Err(Error::new(crate::error::Kind::Denied, what))
}

/// Whether the current directory is below the root, as far as `getcwd` may tell.
fn is_inside() -> bool {
    fs::current_dir().is_ok_and(|path| path.starts_with(b"/"))
}

fn refused_entry(cwd: &str, errno: sys::Errno) -> Error {
    Error::os(format!("process.cwd: chdir to {cwd:?}"), errno)
        .with_hint("create it in the image, or choose a directory that the user may enter")
}
