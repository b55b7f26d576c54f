//! Users and groups.

use super::Plan;
use crate::error::{Attempt, Error, Result};
use alloc::format;
use alloc::string::{String, ToString};
use sys::{Errno, fs, ids};

/// Becomes the configured user, with the configured capabilities.
pub(super) fn apply(plan: &Plan) -> Result<()> {
    let user = &plan.process.user;
    plan.capabilities.limit_bounding()?;
    // A change away from root would drop every capability that the configuration keeps.
    // Inheritable ones may be set by who has them permitted.
    let sets = plan.capabilities;
    let keep = user.uid != 0 && (sets.permitted | sets.inheritable) != 0;
    if keep {
        ids::set_keep_capabilities(true).attempt(|| "keeping capabilities")?;
    }
    set_groups(plan)?;
    if ids::gid() != user.gid || ids::egid() != user.gid {
        ids::set_gid(user.gid).map_err(|errno| unmapped("gid", user.gid, errno))?;
    }
    if ids::uid() != user.uid || ids::euid() != user.uid {
        ids::set_uid(user.uid).map_err(|errno| unmapped("uid", user.uid, errno))?;
    }
    if keep {
        ids::set_keep_capabilities(false).attempt(|| "ending to keep capabilities")?;
    }
    plan.capabilities.apply()
}

fn set_groups(plan: &Plan) -> Result<()> {
    let groups = &plan.process.user.additional_gids;
    if plan.keep_groups {
        return Ok(());
    }
    if plan.groups_denied {
        if groups.is_empty() {
            return Ok(());
        }
        return Err(Error::invalid(
            "process.user.additionalGids: this user namespace does not allow setgroups",
        )
        .with_hint("map groups with newgidmap (/etc/subgid), or leave additionalGids out"));
    }
    match ids::set_groups(groups) {
        Ok(()) => Ok(()),
        // Nothing to add, and nothing that could be dropped without privileges.
        Err(Errno::EPERM) if groups.is_empty() => Ok(()),
        Err(Errno::EINVAL) => {
            Err(Error::invalid("process.user.additionalGids: a group is not mapped"))
        }
        Err(errno) => Err(Error::os("process.user.additionalGids: setting groups", errno)),
    }
}

/// Lets the user open its own standard streams again (`/dev/stderr`): pipes belong to whoever made
/// them. Terminals have their owner already, and files keep theirs.
pub(super) fn hand_over_pipes(plan: &Plan) {
    let user = &plan.process.user;
    if user.uid == 0 {
        return;
    }
    for number in 0..3 {
        let stream = sys::BorrowedFd::from_raw(number);
        if fs::stat_fd(stream).is_ok_and(|stat| stat.st_mode & fs::S_IFMT == fs::S_IFIFO) {
            // Not possible for a caller, or in a user namespace, that does not own the pipe.
            let _ = fs::chown_fd(stream, user.uid, user.gid);
        }
    }
}

fn unmapped(what: &str, id: u32, errno: Errno) -> Error {
    let attempt = format!("process.user.{what}: becoming {id}");
    match errno {
        Errno::EINVAL => Error::invalid(format!("{attempt}: not mapped in the user namespace"))
            .with_hint(format!("add {id} to linux.{what}Mappings")),
        errno => Error::os(attempt, errno),
    }
}

/// Home directory of a user from the container's `/etc/passwd`, `/` if it does not say.
///
/// The file is the image's: it may be a link, a device, a fifo that blocks, or endless
/// (CVE-2024-9676, CVE-2026-47262), so only a regular file of bounded size is read.
pub(super) fn look_up(uid: u32, wanted: bool) -> Result<Option<String>> {
    /// The largest real files have some 100,000 users.
    const LIMIT_BYTES: usize = 10 << 20;
    if !wanted {
        return Ok(None);
    }
    let open = || -> sys::Result<alloc::vec::Vec<u8>> {
        let flags = fs::O_RDONLY | fs::O_NONBLOCK | fs::O_NOCTTY;
        let file = fs::open_at(sys::CWD, "/etc/passwd", flags, 0)?;
        if fs::stat_fd(&file)?.st_mode & fs::S_IFMT != fs::S_IFREG {
            return Err(Errno::EINVAL);
        }
        fs::read_to_end(&file, LIMIT_BYTES)
    };
    let home = open().ok().and_then(|text| home_of(&text, uid));
    Ok(Some(home.unwrap_or_else(|| "/".to_string())))
}

pub(crate) fn home_of(passwd: &[u8], uid: u32) -> Option<String> {
    passwd.split(|&byte| byte == b'\n').find_map(|line| {
        let mut fields = core::str::from_utf8(line).ok()?.split(':');
        let found: u32 = fields.nth(2)?.parse().ok()?;
        let home = fields.nth(2)?;
        (found == uid && !home.is_empty()).then(|| home.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_comes_from_the_first_line_with_the_number() {
        let text =
            b"root:x:0:0:root:/root:/bin/sh\n\xff\xfe\nshort:x:5\nx:x:7:7::/h:/s\ny:x:7:7::/i:/s";
        assert_eq!(home_of(text, 0).as_deref(), Some("/root"));
        assert_eq!(home_of(text, 7).as_deref(), Some("/h"));
        assert_eq!(home_of(text, 5), None);
        assert_eq!(home_of(text, 8), None);
    }
}
