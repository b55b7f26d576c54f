//! What a program lacked that has ended with a failure, as far as its last words say so.

use crate::launch::lacks;
use crate::launch::system::Init;
use crate::record::Config;

/// The last words are not longer.
const TAIL_BYTES: usize = 4096;
/// What the kernel's EPERM is called, and sudo's and busybox' ways to say it.
const REFUSALS: [&str; 4] = ["not permitted", "no new privileges", "eperm", "are you root"];

/// Words of programs that were refused something, the capability that it takes, and how to do without.
const KNOWN: &[(&[&str], &str, &str)] = &[
    (&["chroot"], "SYS_CHROOT", ""),
    (&["mknod"], "MKNOD", "--device gives a container a device of this machine"),
    (&["setcap", "cap_setfcap"], "SETFCAP", ""),
    (&["audit"], "AUDIT_WRITE", ""),
    (&["ping", "raw socket", "arping", "tcpdump", "pcap"], "NET_RAW", ""),
    (&["rtnetlink", "iptables", "nft", "ifconfig", "ip: ", "wireguard", "tun"], "NET_ADMIN", ""),
    (&["set date", "set time", "hwclock", "settimeofday", "clock_settime"], "SYS_TIME", ""),
    (&["nice", "sched_setscheduler", "chrt", "ioprio"], "SYS_NICE", ""),
    (&["ptrace", "strace", "gdb"], "SYS_PTRACE", ""),
    (&["mlock", "lock memory"], "IPC_LOCK", "--ulimit memlock=-1 allows a part of it"),
    (&["kernel buffer", "dmesg", "syslog"], "SYSLOG", ""),
    (&["rlimit", "resource limit", "ulimit"], "SYS_RESOURCE", "--ulimit sets limits from outside"),
    (&["sethostname"], "SYS_ADMIN", "--hostname sets the name from outside"),
    (
        &["mount", "unshare", "setns", "fuse", "pivot_root", "bwrap"],
        "SYS_ADMIN",
        "-v and --tmpfs mount from outside",
    ),
    (&["reboot", "kexec"], "SYS_BOOT", ""),
    (&["modprobe", "insmod"], "SYS_MODULE", ""),
];

/// The end of what a container has said.
#[derive(Debug, Default)]
pub(crate) struct Tail(Vec<u8>);

impl Tail {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let last = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
        let over = (self.0.len() + last.len()).saturating_sub(TAIL_BYTES);
        self.0.drain(..over);
        self.0.extend_from_slice(last);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What to try after an end with this code, if the last words are about rights that the container has not.
    pub(crate) fn hint(&self, config: &Config, code: i32) -> Option<String> {
        let text = String::from_utf8_lossy(&self.0).to_lowercase();
        if let Some(hint) = self.hint_of_systemd(config, code, &text) {
            return Some(hint);
        }
        // One that was killed has not given up for want of a right.
        let has_failed = (1..128).contains(&code);
        if !has_failed || config.security.privileged || config.security.preset == "none" {
            return None;
        }
        let line = text.lines().rev().find(|line| REFUSALS.iter().any(|it| line.contains(it)))?;
        if line.contains("no new privileges") {
            return Some(
                "programs that become root need --security-opt no-new-privileges=false".into(),
            );
        }
        let known = KNOWN.iter().find(|(words, ..)| words.iter().any(|word| has(line, word)));
        match known {
            Some((_, capability, instead)) if lacks(&config.security, capability) => {
                let instead = match *instead {
                    "" => String::new(),
                    instead => format!("; {instead}"),
                };
                Some(format!("this may need --cap-add {capability}{instead}"))
            }
            // It has what this takes: a filter of system calls is in the way.
            Some(_) => Some("this may need --security-opt seccomp=unconfined".into()),
            None => Some(
                "it lacks a right: --security docker gives docker's capabilities, --cap-add NAME one \
                 (capabilities(7)), --security-opt seccomp=unconfined all system calls"
                    .into(),
            ),
        }
    }

    /// systemd of 258 or more knows nothing but cgroup v2, and says so.
    fn hint_of_systemd(&self, config: &Config, code: i32, text: &str) -> Option<String> {
        let refuses = |line: &str| line.contains("refusing") && line.contains("cgroup");
        if code == 0 || Init::of(config) != Some(Init::Systemd) || !text.lines().any(refuses) {
            return None;
        }
        let hint = "this systemd needs cgroup v2: boot the machine with systemd.unified_cgroup_hierarchy=1, \
                    or take an image whose systemd is older than 258";
        Some(hint.into())
    }
}

/// Whether a line has a word, not as a part of another one.
fn has(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let behind = line[at + word.len()..].chars().next();
        let is_letter = |it: Option<char>| it.is_some_and(|it| it.is_ascii_alphanumeric());
        !is_letter(before) && !is_letter(behind)
    })
}

#[cfg(test)]
mod tests {
    use super::Tail;
    use crate::record::Config;

    fn hint(text: &str, preset: &str, added: &[&str]) -> Option<String> {
        let mut config = Config::default();
        config.security.preset = preset.into();
        config.security.cap_add = added.iter().map(ToString::to_string).collect();
        let mut tail = Tail::default();
        tail.push(text.as_bytes());
        tail.hint(&config, 1)
    }

    #[test]
    fn what_is_missing_is_named() {
        for (text, expected) in [
            (
                "chroot: cannot change root directory to '/': Operation not permitted\n",
                "--cap-add SYS_CHROOT",
            ),
            ("mknod: /dev/x: Operation not permitted", "--cap-add MKNOD"),
            ("date: cannot set date: Operation not permitted", "--cap-add SYS_TIME"),
            ("RTNETLINK answers: Operation not permitted\nmore", "--cap-add NET_ADMIN"),
            ("ping: permission denied (are you root?)", "--cap-add NET_RAW"),
            ("sudo: The \"no new privileges\" flag is set", "no-new-privileges=false"),
            ("something: Operation not permitted", "--security docker"),
        ] {
            let said = hint(text, "", &[]);
            assert!(said.as_ref().is_some_and(|it| it.contains(expected)), "{text}: {said:?}");
        }
        assert_eq!(hint("all is well", "", &[]), None);
        assert_eq!(hint("x: Permission denied", "", &[]), None);
        assert_eq!(hint("mount: Operation not permitted", "none", &[]), None);
        let said = hint("mount: Operation not permitted", "", &["SYS_ADMIN"]);
        assert!(said.is_some_and(|it| it.contains("seccomp")));
    }

    #[test]
    fn a_systemd_that_wants_another_kind_of_control_groups_is_told() {
        let mut tail = Tail::default();
        tail.push(b"Detected unsupported legacy cgroup hierarchy, refusing execution.\nExiting PID 1...\n");
        let mut config = Config::default();
        assert_eq!(tail.hint(&config, 255), None);
        config.system = "systemd".into();
        assert!(tail.hint(&config, 255).is_some_and(|it| it.contains("needs cgroup v2")));
        assert_eq!(tail.hint(&config, 0), None);
    }

    #[test]
    fn only_the_end_is_kept() {
        let mut tail = Tail::default();
        tail.push(b"chroot: Operation not permitted\n");
        (0..100).for_each(|_| tail.push(&[b'x'; 100]));
        tail.push(&[b'y'; 10_000]);
        assert_eq!(tail.0.len(), 4096);
        assert_eq!(tail.hint(&Config::default(), 1), None);
    }
}
