//! Device access rules: their meaning, and how they are written on v1.
//!
//! The specification's list has the meaning of the v1 device cgroup after each rule was written in
//! turn. [`Rules`] plays that through, so that the same state is reached with one write per
//! exception and so that v2 ([`super::device_filter`]) means the same.

use super::tree::Dir;
use crate::error::{Error, Kind, Result};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use oci::runtime::{DeviceRule, Map};
use sys::Errno;

/// What may be done with a device: bits of [`READ`], [`WRITE`] and [`MKNOD`]. The values are
/// those of `BPF_DEVCG_ACC_*`.
pub(super) type Access = u8;
pub(super) const MKNOD: Access = 1;
pub(super) const READ: Access = 2;
pub(super) const WRITE: Access = 4;
pub(super) const ALL_ACCESS: Access = MKNOD | READ | WRITE;

/// Devices that an exception is about; `None` is every number. The order (major, minor, kind) is
/// the order in which exceptions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Match {
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
    pub(super) kind: DeviceKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DeviceKind {
    Block,
    Char,
}

/// The state of a device cgroup: what is not an exception is allowed or denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) default_allow: bool,
    pub(super) exceptions: Map<Access, Match>,
}

/// One step from a state to another, as `devices.allow` or `devices.deny` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) allow: bool,
    pub(super) text: String,
}

impl Rules {
    /// The state after the whole list, starting from "deny all".
    pub(super) fn parse(rules: &[DeviceRule]) -> Result<Self> {
        let mut state = Self::default();
        for (index, rule) in rules.iter().enumerate() {
            let failed = |message: String| {
                Error::invalid(format!("linux.resources.devices[{index}]: {message}"))
            };
            state.apply(rule).map_err(failed)?;
        }
        Ok(state)
    }

    fn apply(&mut self, rule: &DeviceRule) -> core::result::Result<(), String> {
        if rule.access.is_empty() {
            return Err("device access must not be empty".into());
        }
        let kind = match rule.kind.as_str() {
            // `a` is every device and every access, whatever else the rule says.
            "" | "a" => {
                *self = Self { default_allow: rule.allow, exceptions: Map::new() };
                return Ok(());
            }
            "b" => DeviceKind::Block,
            "c" => DeviceKind::Char,
            other => return Err(format!("invalid device type \"{}\"", other.escape_debug())),
        };
        let number = |value: Option<i64>| match value {
            // -1 is how a wildcard was written before numbers could be absent.
            None | Some(-1) => Ok(None),
            Some(value) => u32::try_from(value)
                .map(Some)
                .map_err(|_| format!("device number {value} is out of range")),
        };
        let (major, minor) = (number(rule.major)?, number(rule.minor)?);
        let access = parse_access(&rule.access, rule.allow)
            .ok_or_else(|| format!("unknown device access \"{}\"", rule.access.escape_debug()))?;
        let which = Match { major, minor, kind };
        if rule.allow == self.default_allow {
            self.take_back(which, access)
        } else {
            *self.exceptions.or_default(which) |= access;
            Ok(())
        }
    }

    /// Removes an exception. The kernel ignores it when the exception is part of a wider one,
    /// which would leave a user with more access than the configuration shows: an error instead.
    fn take_back(&mut self, which: Match, access: Access) -> core::result::Result<(), String> {
        for wider in [
            Match { major: None, ..which },
            Match { minor: None, ..which },
            Match { major: None, minor: None, ..which },
        ] {
            let other = self.exceptions.get(&wider).copied().unwrap_or(0);
            if wider != which && other & access != 0 {
                return Err(format!(
                    "cannot punch a hole for \"{}\" in the wildcard rule \"{}\"",
                    line(&which, access),
                    line(&wider, other)
                ));
            }
        }
        self.exceptions.retain(|known, left| {
            *left &= if *known == which { !access } else { Access::MAX };
            *left != 0
        });
        Ok(())
    }

    /// The state that a `devices.list` shows. What a list of "allow all" denies is not in it.
    fn from_list(text: &str) -> Option<Self> {
        let mut state = Self::default();
        for line in text.lines() {
            let mut parts = line.split([' ', ':']);
            let (kind, major, minor, access) =
                (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
            let kind = match kind {
                "a" => return Some(Self { default_allow: true, exceptions: Map::new() }),
                "b" => DeviceKind::Block,
                "c" => DeviceKind::Char,
                _ => return None,
            };
            let number = |text: &str| match text {
                "*" => Some(None),
                text => text.parse().ok().map(Some),
            };
            let which = Match { major: number(major)?, minor: number(minor)?, kind };
            *state.exceptions.or_default(which) |= parse_access(access, true)?;
        }
        Some(state)
    }

    /// The writes that make this state from `current`, with as little disturbance as possible:
    /// "deny all" would make a running process fail for a moment. `None`: the state is unknown.
    pub(super) fn writes_from(&self, current: Option<&Self>) -> Vec<Write> {
        let none = Map::new();
        let mut writes = Vec::new();
        let kept = match current {
            // A list of "allow all" does not show what it denies.
            Some(current) if !current.default_allow && !self.default_allow => &current.exceptions,
            _ => {
                writes.push(Write { allow: self.default_allow, text: "a *:* rwm".into() });
                &none
            }
        };
        let step = |allow, which: &Match, access: Access| {
            (access != 0).then(|| Write { allow, text: line(which, access) })
        };
        let of = |map: &Map<Access, Match>, which| map.get(which).copied().unwrap_or(0);
        let lost = kept.iter().filter_map(|(which, &access)| {
            step(self.default_allow, which, access & !of(&self.exceptions, which))
        });
        let gained = self.exceptions.iter().filter_map(|(which, &access)| {
            step(!self.default_allow, which, access & !of(kept, which))
        });
        writes.extend(lost.chain(gained));
        writes
    }
}

/// `a` stands for all in what old configurations deny ("rwa"); it never allows more than the
/// letters beside it.
fn parse_access(text: &str, allow: bool) -> Option<Access> {
    text.bytes().try_fold(0, |set, byte| {
        Some(
            set | match byte {
                b'r' => READ,
                b'w' => WRITE,
                b'm' => MKNOD,
                b'a' if allow => 0,
                b'a' => READ | WRITE | MKNOD,
                _ => return None,
            },
        )
    })
}

pub(super) fn access_text(access: Access) -> String {
    [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')]
        .into_iter()
        .filter_map(|(bit, letter)| (access & bit != 0).then_some(letter))
        .collect()
}

fn line(which: &Match, access: Access) -> String {
    let kind = match which.kind {
        DeviceKind::Block => 'b',
        DeviceKind::Char => 'c',
    };
    let number = |number: Option<u32>| number.map_or("*".into(), |number| number.to_string());
    format!("{kind} {}:{} {}", number(which.major), number(which.minor), access_text(access))
}

/// Sets the rules of a v1 device cgroup. `fresh`: it was just made, so nobody is disturbed by
/// "deny all" and nothing has to be read.
pub(super) fn apply_v1(dir: &Dir, rules: &Rules, fresh: bool) -> Result<()> {
    if fresh {
        match write_all(dir, &rules.writes_from(None)) {
            // "All" rules are refused for a cgroup with children.
            Err(error) if error.errno() == Some(Errno::EINVAL) => {}
            result => return result,
        }
    }
    let text = dir.read("devices.list")?;
    let current = dir.parsed("devices.list", &text, Rules::from_list(&text))?;
    write_all(dir, &rules.writes_from(Some(&current)))?;
    // Only here, where something else may have changed it too, is the result verified; what an
    // "allow all" list denies cannot be seen.
    let text = dir.read("devices.list")?;
    let after = dir.parsed("devices.list", &text, Rules::from_list(&text))?;
    if after.default_allow != rules.default_allow || (!after.default_allow && after != *rules) {
        let message = format!("{}/devices.list does not have the rules that were set", dir.path());
        return Err(Error::new(Kind::Os, message));
    }
    Ok(())
}

fn write_all(dir: &Dir, writes: &[Write]) -> Result<()> {
    // One file is opened for each run of writes to it: a whole list is two opens.
    let mut open: Option<(bool, sys::Fd)> = None;
    for write in writes {
        let file = if write.allow { "devices.allow" } else { "devices.deny" };
        let refused = |errno| dir.refused(file, &write.text, errno);
        let fd = match open.take() {
            Some((allow, fd)) if allow == write.allow => fd,
            _ => dir.open_write(file).map_err(refused)?,
        };
        sys::fs::write(&fd, write.text.as_bytes()).map_err(refused)?;
        open = Some((write.allow, fd));
    }
    Ok(())
}

/// (path of the node if the container gets one by default, type, major, minor, access).
type DefaultDevice = (&'static str, char, Option<i64>, Option<i64>, &'static str);

/// What runc 1.5 allows every container after the configuration's own rules (`AllowedDevices`),
/// in its order. /dev/net/tun is there because orchestrators rely on it (runc#3468).
const DEFAULT_DEVICES: [DefaultDevice; 11] = [
    ("", 'c', None, None, "m"),
    ("", 'b', None, None, "m"),
    ("/dev/null", 'c', Some(1), Some(3), "rwm"),
    ("/dev/random", 'c', Some(1), Some(8), "rwm"),
    ("/dev/full", 'c', Some(1), Some(7), "rwm"),
    ("/dev/tty", 'c', Some(5), Some(0), "rwm"),
    ("/dev/zero", 'c', Some(1), Some(5), "rwm"),
    ("/dev/urandom", 'c', Some(1), Some(9), "rwm"),
    ("", 'c', Some(136), None, "rwm"),
    ("", 'c', Some(5), Some(2), "rwm"),
    ("", 'c', Some(10), Some(200), "rwm"),
];

/// The rules that every container gets behind those of its configuration.
pub fn default_device_rules() -> Vec<DeviceRule> {
    default_device_rules_without(&[])
}

/// [`default_device_rules`] for a container whose configuration makes nodes at `paths`: its
/// devices and rules take the place of the default ones of the same path.
pub fn default_device_rules_without(paths: &[&str]) -> Vec<DeviceRule> {
    DEFAULT_DEVICES
        .iter()
        .filter(|(path, ..)| path.is_empty() || !paths.contains(path))
        .map(|&(_, kind, major, minor, access)| DeviceRule {
            allow: true,
            kind: kind.to_string(),
            major,
            minor,
            access: access.to_string(),
        })
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// `+c 1:3 rw`, `-a`.
    pub(in super::super) fn rules(texts: &[&str]) -> Vec<DeviceRule> {
        let rule = |text: &&str| {
            let (allow, text) = (text.starts_with('+'), &text[1..]);
            let mut parts = text.split([' ', ':']);
            let kind = parts.next().unwrap().to_string();
            let mut number = || match parts.next() {
                None | Some("*") => None,
                Some(number) => Some(number.parse().unwrap()),
            };
            let (major, minor) = (number(), number());
            let access = parts.next().unwrap_or("rwm").to_string();
            DeviceRule { allow, kind, major, minor, access }
        };
        texts.iter().map(rule).collect()
    }

    fn check(list: &[&str], expected: &[&str]) {
        let state = Rules::parse(&rules(list)).unwrap();
        let writes: Vec<_> = state
            .writes_from(None)
            .into_iter()
            .map(|w| format!("{}{}", if w.allow { '+' } else { '-' }, w.text))
            .collect();
        assert_eq!(writes, expected, "{list:?}");
    }

    #[test]
    fn lists_become_the_fewest_writes() {
        check(&[], &["-a *:* rwm"]);
        check(&["-a"], &["-a *:* rwm"]);
        check(&["+a"], &["+a *:* rwm"]);
        check(&["+c 1:3 r", "+c 1:3 w", "+c 1:3 r"], &["-a *:* rwm", "+c 1:3 rw"]);
        check(&["+c 1:3 rwm", "-c 1:3 w"], &["-a *:* rwm", "+c 1:3 rm"]);
        check(&["+c 1:3 rwm", "-c 1:3 rwm"], &["-a *:* rwm"]);
        check(&["+c 1:3", "+a", "-b 8:* w"], &["+a *:* rwm", "-b 8:* w"]);
        check(&["+a", "-b 8:0 rw", "+b 8:0 r"], &["+a *:* rwm", "-b 8:0 w"]);
        check(&["-c 9:9 r"], &["-a *:* rwm"]);
        // Written in the order major, minor, kind; wildcards first.
        check(
            &["+c 10:200 rwm", "+b *:* m", "+c *:* m", "+c 5:* r", "+b 5:0 r", "+c 5:0 r"],
            &[
                "-a *:* rwm",
                "+b *:* m",
                "+c *:* m",
                "+c 5:* r",
                "+b 5:0 r",
                "+c 5:0 r",
                "+c 10:200 rwm",
            ],
        );
    }

    #[test]
    fn the_defaults_twice_are_the_defaults_once() {
        let mut twice = rules(&["-a"]);
        twice.extend(default_device_rules());
        twice.extend(default_device_rules());
        let state = Rules::parse(&twice).unwrap();
        assert_eq!(state.writes_from(None).len(), 1 + DEFAULT_DEVICES.len());
        let without = default_device_rules_without(&["/dev/null", "/dev/other"]);
        assert_eq!(without.len(), DEFAULT_DEVICES.len() - 1);
        assert!(!without.iter().any(|rule| rule.major == Some(1) && rule.minor == Some(3)));
    }

    #[test]
    fn what_the_kernel_would_ignore_is_refused() {
        for (list, expected) in [
            (&["+c *:* m", "-c 1:3 m"][..], "[1]: cannot punch a hole for \"c 1:3 m\""),
            (&["+c 1:* rw", "-c 1:3 w"], "cannot punch a hole"),
            (&["+c *:3 rw", "-c 1:3 w"], "cannot punch a hole"),
            (&["+a", "-c 1:* rw", "+c 1:3 w"], "cannot punch a hole"),
            (&["+x 1:3"], "invalid device type \"x\""),
            (&["+p 1:3"], "invalid device type \"p\""),
            (&["+c 1:3 rx"], "unknown device access"),
            (&["+c 4294967296:3 r"], "out of range"),
            (&["+c -2:3 r"], "out of range"),
        ] {
            let error = Rules::parse(&rules(list)).unwrap_err();
            assert!(error.to_string().contains(expected), "{list:?}: {error}");
        }
        let empty = DeviceRule::default();
        assert!(Rules::parse(&[empty]).unwrap_err().to_string().contains("must not be empty"));
        // The same without overlap is fine.
        check(&["+c *:* m", "-c 1:3 rw"], &["-a *:* rwm", "+c *:* m"]);
    }

    #[test]
    fn a_running_container_is_not_disturbed() {
        let check = |current: &str, list: &[&str], expected: &[&str]| {
            let current = Rules::from_list(current).unwrap();
            let target = Rules::parse(&rules(list)).unwrap();
            let text = |w: Write| format!("{}{}", if w.allow { '+' } else { '-' }, w.text);
            let writes = target.writes_from(Some(&current));
            assert_eq!(writes.into_iter().map(text).collect::<Vec<_>>(), expected);
        };
        check("c 1:3 rwm\nb *:* m\n", &["+c 1:3", "+b *:* m"], &[]);
        check(
            "c 1:3 rwm\nb *:* m\n",
            &["+c 1:3 r", "+c 1:5"],
            &["-b *:* m", "-c 1:3 wm", "+c 1:5 rwm"],
        );
        check("a *:* rwm\n", &["+a"], &["+a *:* rwm"]);
        check("a *:* rwm\n", &["+c 1:3 r"], &["-a *:* rwm", "+c 1:3 r"]);
        check("", &["+a", "-c 1:3 r"], &["+a *:* rwm", "-c 1:3 r"]);
        assert_eq!(Rules::from_list("x 1:3 r"), None);
        assert_eq!(Rules::from_list("c 1:3"), None);
        assert_eq!(Rules::from_list("c y:3 r"), None);
    }
}
