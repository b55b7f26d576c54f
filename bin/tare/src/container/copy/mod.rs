//! `tare cp`: files into containers, and out of them.
//!
//! Everything is done in a process that looks into the container ([`engine::inside`]): its paths are resolved with its
//! root directory for a root, on both ways the files go through an archive that this program makes and reads itself,
//! and nothing of the container is run.

mod ends;
pub(super) mod stream;

use crate::failure::{Failure, Result};
use crate::settings::Global;
use clap::Args;
use ends::{Side, Target};
use engine::{Inside, Scope};
use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use stream::Owner;

/// Copy files between a container and this machine
///
/// A path of a container is written CONTAINER:PATH, and begins at its root directory. - is a tar archive on standard
/// input or output. A directory goes into the target if that is there, or becomes it; DIR/. is what is in it.
#[derive(Debug, Args)]
#[command(
    override_usage = "tare cp [OPTIONS] CONTAINER:SOURCE TARGET|-\n       tare cp [OPTIONS] SOURCE|- CONTAINER:TARGET",
    after_help = "Examples:\n  tare cp web:/etc/nginx/nginx.conf .\n  tare cp site/. web:/srv/www\n  \
                  tare cp web:/var/log - | tar -t"
)]
pub(crate) struct Cp {
    /// In a container files belong to its user; on this machine they keep their owners
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, hide_default_value = true, action = clap::ArgAction::Set)]
    archive: bool,
    /// Copy what a link leads to, if the source is one
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// podman's: directories may be replaced by files
    #[arg(long, hide = true)]
    overwrite: bool,
    /// Say nothing of what was copied
    #[arg(short, long)]
    quiet: bool,
    /// What is copied: a path, CONTAINER:PATH or -
    #[arg(value_name = "SOURCE", allow_hyphen_values = true)]
    source: OsString,
    /// Where it goes: a path, CONTAINER:PATH or -
    #[arg(value_name = "TARGET", allow_hyphen_values = true)]
    target: OsString,
}

/// `CONTAINER:PATH`, if that is what is meant: a path of this machine begins with `/` or `.`, or has no colon.
fn split(text: &OsStr) -> (Option<String>, Vec<u8>) {
    let bytes = text.as_bytes();
    let colon = bytes.iter().position(|byte| *byte == b':');
    match colon {
        Some(at) if !bytes.starts_with(b"/") && !bytes.starts_with(b".") && at > 0 => {
            (Some(String::from_utf8_lossy(&bytes[..at]).into_owned()), bytes[at + 1..].to_vec())
        }
        _ => (None, bytes.to_vec()),
    }
}

pub(crate) fn run(global: &Global, arguments: &Cp) -> Result<()> {
    let (from, source) = split(&arguments.source);
    let (to, target) = split(&arguments.target);
    let name = match (&from, &to) {
        (Some(name), None) | (None, Some(name)) => name,
        (Some(_), Some(_)) => {
            return Err(Failure::new("copying between containers is not supported")
                .hint("`tare cp ONE:PATH - | tare cp - OTHER:PATH`"));
        }
        (None, None) => {
            return Err(Failure::new("must specify at least one container source")
                .hint("write CONTAINER:PATH for one of both"));
        }
    };
    let outer = if from.is_some() { &target } else { &source };
    if outer.is_empty() {
        return Err(Failure::new("source or destination path is empty")
            .hint("write a path, or - for an archive on standard input or output"));
    }
    let is_stream = outer == b"-";
    if is_stream && from.is_some() && std::io::stdout().is_terminal() {
        return Err(Failure::new("a terminal is nothing to write an archive to")
            .hint("`tare cp CONTAINER:PATH - > FILE`"));
    }
    let engine = super::open(global, false)?;
    let container = engine.find(name)?;
    let work = Work { name, container: &container, arguments };
    engine::inside(&engine, &container, Scope::Mounts, |inside| match (&from, is_stream) {
        (Some(_), true) => work.to_stdout(inside, &source),
        (Some(_), false) => work.out(inside, &source, &target),
        (None, true) => work.unpack(inside, &target),
        (None, false) => work.bring(inside, &source, &target),
    })?;
    Ok(())
}

struct Work<'w> {
    name: &'w str,
    container: &'w engine::Container,
    arguments: &'w Cp,
}

type Done = engine::Result<()>;

impl<'w> Work<'w> {
    fn side<'s>(&'s self, inside: &'s Inside) -> Side<'s> {
        Side::Container { inside, name: self.name }
    }

    fn to_stdout(&self, inside: &Inside, source: &[u8]) -> Done {
        let source = ends::source(&self.side(inside), source, self.arguments.follow_link)?;
        stream::write(&source, &source.base, inside)
    }

    fn out(&self, inside: &Inside, source: &[u8], target: &[u8]) -> Done {
        let source = ends::source(&self.side(inside), source, self.arguments.follow_link)?;
        let target = ends::target(&Side::Host, target)?;
        let name = target.name_for(&source)?;
        let owner = if self.arguments.archive { Owner::Kept } else { Owner::Caller };
        let map = |uid, gid| inside.inner(uid, gid);
        let bytes = stream::pass(&source, &name, inside.is_live, &target, (owner, &map))?;
        self.tell(bytes, &self.arguments.target);
        Ok(())
    }

    fn bring(&self, inside: &Inside, source: &[u8], target: &[u8]) -> Done {
        let target = ends::target(&self.side(inside), target)?;
        let source = ends::source(&Side::Host, source, self.arguments.follow_link)?;
        let name = target.name_for(&source)?;
        let map = |uid, gid| inside.outer(uid, gid);
        let owner = self.owner(inside)?;
        let passed =
            inside.as_its_root(|| stream::pass(&source, &name, true, &target, (owner, &map)));
        let bytes = passed.map_err(|error| self.explain(error))?;
        self.tell(bytes, &self.arguments.target);
        Ok(())
    }

    fn unpack(&self, inside: &Inside, target: &[u8]) -> Done {
        let not_a_directory = || {
            let shown = self.arguments.target.to_string_lossy();
            engine::Error::new(
                engine::Kind::Invalid,
                format!("destination \"{shown}\" must be a directory"),
            )
        };
        let target = match ends::target(&self.side(inside), target) {
            Ok(target @ Target::Directory { .. }) => target,
            _ => return Err(not_a_directory()),
        };
        let map = |uid, gid| inside.outer(uid, gid);
        let owner = self.owner(inside)?;
        let read = inside.as_its_root(|| stream::read(std::io::stdin(), &target, (owner, &map)));
        read.map_err(|error| self.explain(error)).map(drop)
    }

    /// With `-a` the container's user, as docker.
    fn owner(&self, inside: &Inside) -> engine::Result<Owner> {
        Ok(match self.arguments.archive {
            false => Owner::Kept,
            true => {
                let (uid, gid) = engine::user_of(&self.container.config, inside)?;
                Owner::One(uid, gid)
            }
        })
    }

    /// What docker says of places that nothing can be written to.
    fn explain(&self, error: engine::Error) -> engine::Error {
        let text = error.to_string();
        if !text.contains("read-only file system") {
            return error;
        }
        let why = match self.container.config.security.read_only {
            true => "container rootfs is marked read-only",
            false => "mounted volume is marked read-only",
        };
        engine::Error::new(engine::Kind::Invalid, why).with_hint(text)
    }

    /// As docker, on standard error, where somebody looks.
    fn tell(&self, bytes: u64, target: &OsStr) {
        if self.arguments.quiet || !std::io::stdout().is_terminal() {
            return;
        }
        let size = template::units::decimal_size(bytes, 3);
        let text = format!("Successfully copied {size} to {}\n", target.to_string_lossy());
        // With standard error closed there is nobody to tell.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

#[test]
fn containers_are_told_from_paths() {
    for (text, container, path) in [
        ("web:/a", Some("web"), "/a"),
        ("web:a:b", Some("web"), "a:b"),
        ("./web:a", None, "./web:a"),
        ("/web:a", None, "/web:a"),
        (":a", None, ":a"),
        ("-", None, "-"),
    ] {
        let (found, rest) = split(OsStr::new(text));
        assert_eq!((found.as_deref(), rest), (container, path.as_bytes().to_vec()), "{text}");
    }
}
