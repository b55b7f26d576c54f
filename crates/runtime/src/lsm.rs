//! AppArmor and SELinux labels.
//!
//! Labels are written to `/proc/thread-self/attr` through the checked procfs descriptor, so that
//! nothing mounted over `/proc` can swallow or redirect them.

use crate::error::{Error, Kind, Result};
use crate::procfs::Proc;
use alloc::format;
use oci::runtime::Process;
use sys::{CWD, fs};

/// `SELINUX_MAGIC` of the file system at `/sys/fs/selinux`.
const SELINUX_MAGIC: i64 = 0xf97c_ff8c;

/// Whether AppArmor is on. A profile or label that is asked for where its module is off is an
/// error: the user would believe to be confined.
pub fn apparmor_enabled() -> bool {
    fs::read_file(CWD, "/sys/module/apparmor/parameters/enabled", 16)
        .is_ok_and(|text| text.starts_with(b"Y"))
}

/// Whether SELinux is on.
pub fn selinux_enabled() -> bool {
    let open = fs::open_at(CWD, "/sys/fs/selinux", fs::O_PATH | fs::O_DIRECTORY, 0);
    open.and_then(fs::statfs).is_ok_and(|stat| stat.f_type == SELINUX_MAGIC)
}

/// Checks that the labels of a process can be set, before anything is made.
pub fn check(process: &Process) -> Result<()> {
    let profile = &process.apparmor_profile;
    if !profile.is_empty() && profile != "unconfined" && !apparmor_enabled() {
        return Err(Error::new(
            Kind::Unsupported,
            format!("process.apparmorProfile: {profile:?}: AppArmor is not enabled on the host"),
        ));
    }
    let label = &process.selinux_label;
    if !label.is_empty() && !selinux_enabled() {
        return Err(Error::new(
            Kind::Unsupported,
            format!("process.selinuxLabel: {label:?}: SELinux is not enabled on the host"),
        ));
    }
    Ok(())
}

/// Sets what the next exec puts the process under.
pub(crate) fn set_exec_label(proc: &Proc, process: &Process) -> Result<()> {
    let label = &process.selinux_label;
    if !label.is_empty() {
        proc.write("thread-self/attr/exec", label)
            .map_err(|error| error.context(format!("process.selinuxLabel: {label:?}")))?;
    }
    let profile = &process.apparmor_profile;
    if !profile.is_empty() && apparmor_enabled() {
        let text = format!("exec {profile}");
        // Since Linux 5.8 AppArmor has a directory of its own beside other modules.
        proc.write("thread-self/attr/apparmor/exec", &text)
            .or_else(|_| proc.write("thread-self/attr/exec", &text))
            .map_err(|error| error.context(format!("process.apparmorProfile: {profile:?}")))?;
    }
    Ok(())
}
