//! `--mount`, as docker and podman have it.

use super::{check_target, existing, parse};
use crate::called::Called;
use crate::failure::{Failure, Result};
use engine::record::Mount;

/// A key of one kind of mount alone.
const OF_KINDS: [(&str, &[&str]); 5] = [
    ("bind-", &["bind"]),
    ("volume-", &["volume"]),
    ("tmpfs-", &["tmpfs", "ramfs"]),
    ("image-", &["image"]),
    ("relabel", &["bind", "volume"]),
];
/// podman's kinds of mounts, and others', that are not here.
const REFUSED: [(&str, &str, &str); 3] = [
    ("npipe", "it is for containers of Windows", "type=bind mounts a socket"),
    ("cluster", "it is for services of swarm", "type=volume"),
    ("artifact", "an artifact has no tree of files", "`tare artifact extract` and type=bind"),
];

/// A mount while it is read.
struct Reader<'t> {
    text: &'t str,
    mount: Mount,
    /// A source that is not there is made.
    makes: bool,
    /// `ro` is said of the topmost mount alone, or of all.
    recursive: String,
}

/// `type=...,source=...,target=...`.
pub(in crate::container) fn mount(text: &str) -> Result<Mount> {
    let mount = Mount { kind: "volume".into(), copy_up: true, ..Mount::default() };
    let mut reader = Reader { text, mount, makes: false, recursive: String::new() };
    let fields = parse::fields(text);
    // What a key means depends on the kind.
    for field in &fields {
        let (key, value) = parse::pair(field);
        if key == "type" {
            reader.mount.kind = value.to_ascii_lowercase();
        }
    }
    // An image is only read unless somebody says otherwise.
    reader.mount.read_only = reader.mount.kind == "image";
    for field in &fields {
        reader.field(field)?;
    }
    reader.finish()
}

impl Reader<'_> {
    fn bad(&self, why: impl std::fmt::Display) -> Failure {
        Failure::new(format!("invalid argument {:?} for --mount: {why}", self.text))
            .hint("write type=bind|volume|tmpfs|image,source=...,target=...[,readonly]")
    }

    fn field(&mut self, field: &str) -> Result<()> {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.trim().to_ascii_lowercase(), value.to_owned()),
            None => (field.trim().to_ascii_lowercase(), String::new()),
        };
        let key_is_plain = !field.contains('=');
        let is_true = |value: &str| match value {
            "" if key_is_plain => Some(true),
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        };
        let truth = || {
            is_true(&value)
                .ok_or_else(|| self.bad(format!("{key}: {value:?} is neither true nor false")))
        };
        match key.as_str() {
            "type" => {}
            "source" | "src" => self.mount.source = value,
            "target" | "dst" | "destination" => {
                self.mount.target = check_target(&value).map_err(|why| self.bad(why))?;
            }
            "readonly" | "ro" => self.mount.read_only = truth()?,
            "rw" | "readwrite" => self.mount.read_only = !truth()?,
            "consistency" => {}
            _ => return self.special(&key, value, field),
        }
        Ok(())
    }

    /// Keys of some kinds only.
    fn special(&mut self, key: &str, value: String, field: &str) -> Result<()> {
        let kind = self.mount.kind.clone();
        let of = OF_KINDS
            .iter()
            .find(|(prefix, kinds)| key.starts_with(prefix) && !kinds.contains(&kind.as_str()));
        if of.is_some() {
            let what = key.split('-').next().unwrap_or_default();
            return Err(self.bad(format!("cannot mix '{what}*' options with mount type '{kind}'")));
        }
        let truth = match value.as_str() {
            "" | "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(self.bad(format!("{key}: {value:?} is neither true nor false"))),
        };
        let is_of_files = matches!(kind.as_str(), "bind" | "volume" | "image" | "glob");
        match key {
            "bind-propagation" | "propagation" => self.propagation(&value)?,
            "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared" => {
                self.propagation(key)?
            }
            "bind-nonrecursive" => {
                if truth? {
                    self.mount.options.push("bind".into());
                }
            }
            "bind-recursive" => self.recursive = value,
            "bind-create-src" => self.makes = truth?,
            // Labels of SELinux: of no use where there is none; files keep the owner that they have.
            "relabel" if matches!(value.as_str(), "shared" | "private" | "") => {}
            "z" => {}
            "volume-nocopy" | "nocopy" => self.mount.copy_up = !truth?,
            "copy" => self.mount.copy_up = truth?,
            "volume-subpath" | "image-subpath" => self.subpath(value)?,
            "subpath" if matches!(kind.as_str(), "volume" | "image") => self.subpath(value)?,
            "u" | "chown" if is_of_files || kind == "tmpfs" => self.mount.as_user = truth?,
            "idmap" if is_of_files && value.is_empty() => self.mount.options.push("idmap".into()),
            "idmap" if is_of_files => {
                read_idmap(&value, &mut self.mount).map_err(|why| self.bad(why))?;
            }
            "no-dereference" if kind == "bind" => self.mount.options.push("copy-symlink".into()),
            "exec" | "noexec" | "suid" | "nosuid" | "dev" | "nodev" => {
                self.mount.options.push(key.into());
            }
            _ => return self.inner(key, value, field),
        }
        Ok(())
    }

    /// Keys of file systems, and of volumes that are made.
    fn inner(&mut self, key: &str, value: String, field: &str) -> Result<()> {
        let kind = self.mount.kind.as_str();
        match key {
            "volume-label" => {
                let (name, value) = parse::pair(&value);
                self.mount.labels.insert(name, value);
            }
            "volume-opt" => {
                let (name, value) = parse::pair(&value);
                self.mount.volume_options.insert(name, value);
            }
            "volume-driver" if matches!(value.as_str(), "local" | "") => {}
            "volume-driver" => {
                return Err(self.bad(format!("volume-driver: there is no driver {value:?}")).hint(
                    "local is the only one; its options are volume-opt=type=..., device=..., o=...",
                ));
            }
            "tmpfs-size" => self.mount.options.push(format!("size={}", parse::size(&value)?)),
            "tmpfs-mode" => {
                let is_mode = u32::from_str_radix(&value, 8).is_ok_and(|mode| mode <= 0o7777);
                if !is_mode {
                    return Err(self.bad(format!(
                        "invalid value for tmpfs-mode: {value:?} is no octal number"
                    )));
                }
                self.mount.options.push(format!("mode={value}"));
            }
            "tmpcopyup" if kind == "tmpfs" => self.mount.options.push("tmpcopyup".into()),
            "notmpcopyup" if kind == "tmpfs" => self.mount.options.retain(|it| it != "tmpcopyup"),
            "noswap" | "noatime" if kind == "tmpfs" => self.mount.options.push(key.into()),
            "uid" | "gid" | "mode" | "max" if kind == "devpts" => {
                self.mount.options.push(format!("{key}={value}"));
            }
            _ => return Err(self.bad(format!("unexpected key '{key}' in '{field}'"))),
        }
        Ok(())
    }

    fn propagation(&mut self, value: &str) -> Result<()> {
        let ways = ["private", "rprivate", "slave", "rslave", "shared", "rshared"];
        if !ways.contains(&value) {
            return Err(
                self.bad(format!("bind-propagation: {value:?} is none of {}", ways.join(", ")))
            );
        }
        self.mount.options.push(value.into());
        Ok(())
    }

    fn subpath(&mut self, value: String) -> Result<()> {
        // podman's begin with the root directory of what is mounted.
        let is_absolute = value.starts_with('/') && !Called::is_podman();
        if is_absolute || value.split('/').any(|part| part == "..") {
            return Err(self.bad(format!("subpath: {value:?} leads out")));
        }
        self.mount.subpath = value;
        Ok(())
    }

    fn finish(mut self) -> Result<Mount> {
        let kind = self.mount.kind.clone();
        if let Some((_, why, hint)) = REFUSED.iter().find(|(name, ..)| *name == kind) {
            return Err(self.bad(format!("type={kind}: {why}")).hint(*hint));
        }
        if kind == "glob" {
            if !self.mount.source.starts_with('/') {
                return Err(self.bad("type=glob: source=PATTERN is required, which begins with /"));
            }
            return Ok(self.mount);
        }
        if self.mount.target.is_empty() {
            return Err(self.bad("target is required"));
        }
        let options = &mut self.mount.options;
        match self.recursive.as_str() {
            "" | "enabled" => {}
            "disabled" => options.push("bind".into()),
            "writable" => options.push("ro".into()),
            "readonly" if !self.mount.read_only => {
                return Err(self.bad("bind-recursive=readonly: it needs readonly"));
            }
            "readonly" if !options.iter().any(|it| it == "rprivate") => {
                return Err(self.bad("bind-recursive=readonly: it needs bind-propagation=rprivate"));
            }
            "readonly" => {}
            other => return Err(self.bad(format!("bind-recursive: {other:?} is unknown"))),
        }
        if self.recursive == "writable" && !self.mount.read_only {
            self.mount.options.retain(|it| it != "ro");
        }
        match kind.as_str() {
            "bind" => {
                let found = existing(&self.mount.source, self.makes);
                self.mount.source = found.map_err(|why| match Called::is_podman() {
                    true => {
                        let source = &self.mount.source;
                        Failure::new(format!("statfs {source}: no such file or directory"))
                    }
                    false => self.bad(format!("bind source path does not exist: {why}")),
                })?;
            }
            "volume" => {
                self.mount.name = std::mem::take(&mut self.mount.source);
                self.mount.anonymous = self.mount.name.is_empty();
            }
            "tmpfs" | "ramfs" | "devpts" if !self.mount.source.is_empty() => {
                return Err(self.bad(format!("type={kind}: it has no source")));
            }
            "tmpfs" | "ramfs" | "devpts" => {}
            "image" if self.mount.source.is_empty() => {
                return Err(self.bad("type=image: source=IMAGE is required"));
            }
            "image" => self.mount.copy_up = false,
            other => return Err(self.bad(format!("type {other:?} is unknown"))),
        }
        Ok(self.mount)
    }
}

/// `uids=DISK-SHOWN-COUNT#...;gids=...`.
pub(super) fn read_idmap(text: &str, mount: &mut Mount) -> std::result::Result<(), String> {
    for part in text.split(';').filter(|part| !part.is_empty()) {
        let (key, ranges) =
            part.split_once('=').ok_or_else(|| format!("idmap: {part:?} is no list of ids"))?;
        let list = match key {
            "uids" => &mut mount.uid_map,
            "gids" => &mut mount.gid_map,
            _ => return Err(format!("idmap: {key:?} is neither uids nor gids")),
        };
        for range in ranges.split('#') {
            if range.starts_with('@') {
                return Err(
                    "idmap: @ is not there; write the ids of the host that are to be seen".into()
                );
            }
            let numbers: Vec<&str> = range.split('-').collect();
            if numbers.len() != 3 || numbers.iter().any(|it| it.parse::<u32>().is_err()) {
                return Err(format!("idmap: {range:?} is not DISK-SHOWN-COUNT"));
            }
            list.push(numbers.join(":"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read() {
        let made = mount("type=tmpfs,target=/x,tmpfs-size=1m,tmpfs-mode=700").unwrap();
        assert_eq!(made.options, ["size=1048576", "mode=700"]);
        let made = mount("type=bind,src=/,dst=/x,readonly,bind-propagation=rslave").unwrap();
        assert!(made.read_only && made.options == ["rslave"]);
        let made = mount("type=image,source=box:1,target=/x,image-subpath=etc").unwrap();
        assert!(made.read_only && made.subpath == "etc" && made.source == "box:1");
        assert!(!mount("type=image,source=box:1,target=/x,rw=true").unwrap().read_only);
        let made = mount("target=/x,\"volume-opt=o=size=1m,uid=7\",volume-opt=type=tmpfs").unwrap();
        assert_eq!(made.volume_options.get("o").map(String::as_str), Some("size=1m,uid=7"));
        let made = mount("type=bind,src=/,dst=/x,idmap=uids=0-1000-10;gids=0-5-1#1-9-2").unwrap();
        assert_eq!(
            (made.uid_map.concat(), made.gid_map.join(" ")),
            ("0:1000:10".into(), "0:5:1 1:9:2".into())
        );
        let made = mount("type=bind,src=/,dst=/x,ro,bind-recursive=writable").unwrap();
        assert!(made.read_only && made.options == ["ro"]);
    }

    #[test]
    fn what_is_no_mount_is_refused_with_a_reason() {
        for (text, why) in [
            ("", "unexpected key"),
            ("a=b", "unexpected key 'a'"),
            ("target=x", "not an absolute path"),
            ("type=x,target=/x", "type \"x\" is unknown"),
            ("type=bind,source=/nowhere,target=/x", "bind source path does not exist"),
            (
                "type=tmpfs,target=/x,bind-propagation=rslave",
                "cannot mix 'bind*' options with mount type 'tmpfs'",
            ),
            ("type=bind,source=/,target=/x,volume-nocopy", "cannot mix 'volume*'"),
            ("type=tmpfs,source=/x,target=/x", "it has no source"),
            ("type=tmpfs,target=/x,tmpfs-mode=9", "no octal number"),
            ("type=volume,target=/x,volume-subpath=../y", "leads out"),
            ("type=volume,target=/x,volume-driver=nfs", "there is no driver"),
            ("type=image,target=/x", "source=IMAGE is required"),
            ("type=glob,target=/x", "type=glob"),
            ("type=npipe,target=/x", "containers of Windows"),
            ("type=bind,source=/,target=/x,bind-recursive=readonly", "it needs readonly"),
            ("type=bind,source=/,target=/x,bind-propagation=x", "is none of"),
            ("type=bind,source=/,target=/x,readonly=maybe", "neither true nor false"),
            ("type=bind,source=/,target=/x,idmap=uids=@0-1-1", "@ is not there"),
        ] {
            let failure = mount(text).unwrap_err();
            assert!(failure.message().contains(why), "{text}: {}", failure.message());
        }
    }
}
