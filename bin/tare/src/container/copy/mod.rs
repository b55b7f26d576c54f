//! `tare cp`: files into containers, and out of them.
//!
//! Everything is done in a process that looks into the container ([`engine::inside`]): its paths are resolved with its
//! root directory for a root, on both ways the files go through an archive that this program makes and reads itself,
//! and nothing of the container is run.

mod between;
mod ends;
pub(crate) mod stream;

use crate::called::Called;
use crate::failure::{Failure, Result};
use crate::settings::Global;
use clap::Args;
use ends::{Side, Target};
use engine::{Container, Engine, Inside, Scope};
use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use stream::{Clash, Ids, Making, Owner};

/// Copy files between containers and this machine
///
/// A path of a container is written CONTAINER:PATH, and begins at its root directory. - is a tar archive on standard
/// input or output. A directory goes into the target if that is there, or becomes it; DIR/. is what is in it.
#[derive(Debug, Args)]
#[command(
    override_usage = "tare cp [OPTIONS] CONTAINER:SOURCE TARGET|-\n       tare cp [OPTIONS] SOURCE|- CONTAINER:TARGET\n       \
                      tare cp [OPTIONS] CONTAINER:SOURCE CONTAINER:TARGET",
    after_help = "Examples:\n  tare cp web:/etc/nginx/nginx.conf .\n  tare cp site/. web:/srv/www\n  \
                  tare cp web:/srv/www other:/srv\n  tare cp web:/var/log - | tar -t"
)]
pub(crate) struct Cp {
    /// In a container files belong to its user; on this machine they keep their owners
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    archive: Option<bool>,
    /// Copy what a link leads to, if the source is one
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Replace directories by files, and files by directories
    #[arg(long)]
    overwrite: bool,
    /// Say nothing of what was copied
    #[arg(short, long)]
    quiet: bool,
    /// What is copied: a path, CONTAINER:PATH or -
    #[arg(value_name = "SOURCE")]
    source: OsString,
    /// Where it goes: a path, CONTAINER:PATH or -
    #[arg(value_name = "TARGET")]
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
    let outer = match (&from, &to) {
        (Some(_), Some(_)) => None,
        (Some(_), None) => Some(&target),
        (None, Some(_)) => Some(&source),
        (None, None) => {
            return Err(Failure::new("must specify at least one container source")
                .hint("write CONTAINER:PATH for one of both"));
        }
    };
    if outer.is_some_and(Vec::is_empty) {
        return Err(Failure::new("source or destination path is empty")
            .hint("write a path, or - for an archive on standard input or output"));
    }
    let is_stream = outer.is_some_and(|path| path == b"-");
    if is_stream && from.is_some() && std::io::stdout().is_terminal() {
        return Err(Failure::new("a terminal is nothing to write an archive to")
            .hint("`tare cp CONTAINER:PATH - > FILE`"));
    }
    let engine = super::open(global, false)?;
    let end = |name: &Option<String>, path: Vec<u8>| -> Result<End> {
        let container = name.as_ref().map(|name| engine.find(name)).transpose()?;
        Ok(End { name: name.clone().unwrap_or_default(), container, path })
    };
    let (source, target) = (end(&from, source)?, end(&to, target)?);
    let work = Work { engine: &engine, source, target, is_stream, arguments };
    work.run()?;
    work.record();
    Ok(())
}

/// One end of a copy: of a container, or of this machine.
struct End {
    name: String,
    container: Option<Container>,
    /// As typed.
    path: Vec<u8>,
}

impl End {
    fn side<'s>(&'s self, inside: &'s Inside) -> Side<'s> {
        match self.container {
            Some(_) => Side::Container { inside, name: &self.name },
            None => Side::Host,
        }
    }

    /// Its path. One of a container begins at the root directory, to podman's users at the working directory.
    fn place(&self) -> Vec<u8> {
        match &self.container {
            Some(container) if Called::is_podman() && !self.path.starts_with(b"/") => {
                let dir = container.config.working_dir.as_bytes();
                [if dir.is_empty() { b"/" } else { dir }, b"/", &self.path].concat()
            }
            _ => self.path.clone(),
        }
    }

    /// podman's words for what is not there, to its users.
    fn words(&self, error: engine::Error) -> engine::Error {
        if !Called::is_podman() || error.kind() != engine::Kind::NotFound {
            return error;
        }
        let place = match self.container {
            Some(_) => format!("container {}", self.name),
            None => "the host".to_owned(),
        };
        let path = String::from_utf8_lossy(&self.path);
        let text = format!("{path:?} could not be found on {place}: no such file or directory");
        engine::Error::new(engine::Kind::NotFound, text)
    }
}

struct Work<'w> {
    engine: &'w Engine,
    source: End,
    target: End,
    is_stream: bool,
    arguments: &'w Cp,
}

type Done = engine::Result<()>;

impl Work<'_> {
    fn run(&self) -> Done {
        let look = |container: &Container, action: &dyn Fn(&Inside) -> Done| {
            engine::inside(self.engine, container, Scope::Mounts, action)
        };
        match (&self.source.container, &self.target.container) {
            (Some(from), None) if self.is_stream => look(from, &|inside| self.to_stdout(inside)),
            (Some(from), None) => look(from, &|inside| self.out(inside)),
            (Some(from), Some(to)) if from.config.id == to.config.id => {
                look(to, &|inside| self.within(inside))
            }
            (Some(from), Some(to)) => self.between(from, to),
            (None, Some(to)) if self.is_stream => look(to, &|inside| self.unpack(inside)),
            (None, Some(to)) => look(to, &|inside| self.bring(inside)),
            (None, None) => Ok(()),
        }
    }

    /// Records what was done to containers, by docker's names.
    fn record(&self) {
        for (end, action) in [(&self.source, "archive-path"), (&self.target, "extract-to-dir")] {
            if let Some(container) = &end.container {
                self.engine.tell(action, &container.config, &[]);
            }
        }
    }

    fn find_source(&self, inside: &Inside) -> engine::Result<ends::Source> {
        // podman's cp copies no links.
        let follows = self.arguments.follow_link || Called::is_podman();
        ends::source(&self.source.side(inside), &self.source.place(), follows)
            .map_err(|error| self.source.words(error))
    }

    fn find_target(&self, inside: &Inside) -> engine::Result<Target> {
        ends::target(&self.target.side(inside), &self.target.place())
            .map_err(|error| self.target.words(error))
    }

    fn name_in(&self, target: &Target, base: &[u8], is_dir: bool) -> engine::Result<Vec<u8>> {
        target.name_for(base, is_dir).map_err(|error| self.target.words(error))
    }

    fn making<'m>(&self, owner: Owner, ids: Ids<'m>) -> Making<'m> {
        let clash = if self.arguments.overwrite { Clash::Replaced } else { Clash::Refused };
        Making { owner, ids, clash }
    }

    fn to_stdout(&self, inside: &Inside) -> Done {
        let source = self.find_source(inside)?;
        stream::write(&source, &source.base, inside, std::io::stdout().lock())
    }

    fn out(&self, inside: &Inside) -> Done {
        let source = self.find_source(inside)?;
        let target = self.find_target(inside)?;
        let name = self.name_in(&target, &source.base, source.is_dir)?;
        let owner = if self.arguments.archive == Some(true) && !Called::is_podman() {
            Owner::Kept
        } else {
            Owner::Caller
        };
        let ids = |uid, gid| inside.inner(uid, gid);
        let making = self.making(owner, &ids);
        let passed = stream::pass(&source, &name, inside.is_live, &target, making);
        self.tell(passed.map_err(|error| self.explain(error))?);
        Ok(())
    }

    fn bring(&self, inside: &Inside) -> Done {
        let target = self.find_target(inside)?;
        let source = self.find_source(inside)?;
        let name = self.name_in(&target, &source.base, source.is_dir)?;
        let ids = |uid, gid| inside.outer(uid, gid);
        let making = self.making(self.owner(inside)?, &ids);
        let passed = inside.as_its_root(|| stream::pass(&source, &name, true, &target, making));
        self.tell(passed.map_err(|error| self.explain(error))?);
        Ok(())
    }

    fn unpack(&self, inside: &Inside) -> Done {
        let not_a_directory = || {
            let shown = self.arguments.target.to_string_lossy();
            engine::Error::new(
                engine::Kind::Invalid,
                format!("destination \"{shown}\" must be a directory"),
            )
        };
        let target = match self.find_target(inside) {
            Ok(Target::Directory { dir }) => dir,
            _ => return Err(not_a_directory()),
        };
        let ids = |uid, gid| inside.outer(uid, gid);
        let making = self.making(self.owner(inside)?, &ids);
        let read = inside.as_its_root(|| stream::read(std::io::stdin(), &target, making));
        read.map_err(|error| self.explain(error)).map(drop)
    }

    /// With `-a` the container's user, as docker; podman's users have said it.
    fn owner(&self, inside: &Inside) -> engine::Result<Owner> {
        let is_own = self.arguments.archive.unwrap_or_else(Called::is_podman);
        match self.target.container.as_ref().filter(|_| is_own) {
            None => Ok(Owner::Kept),
            Some(container) => {
                let (uid, gid) = engine::user_of(&container.config, inside)?;
                Ok(Owner::One(uid, gid))
            }
        }
    }

    /// What docker says of places that nothing can be written to.
    fn explain(&self, error: engine::Error) -> engine::Error {
        let text = error.to_string();
        if let Some(text) = self.clash(&text) {
            return engine::Error::new(engine::Kind::Exists, text);
        }
        let Some(container) = &self.target.container else { return error };
        if !text.contains("read-only file system") {
            return error;
        }
        let why = match container.config.security.read_only {
            true => "container rootfs is marked read-only",
            false => "mounted volume is marked read-only",
        };
        engine::Error::new(engine::Kind::Invalid, why).with_hint(text)
    }

    /// podman's words for a directory in the place of a file, or the other way round.
    fn clash(&self, text: &str) -> Option<String> {
        let (_, rest) = text
            .strip_prefix("cannot overwrite ")
            .filter(|_| Called::is_podman())?
            .split_once('"')?;
        let (name, _) = rest.split_once('"')?;
        let (what, dir) = match self.target.container {
            Some(_) => ("to container", self.target.place()),
            None => ("from container", Vec::new()),
        };
        let path = format!("{}/{name}", String::from_utf8_lossy(&dir).trim_end_matches('/'));
        Some(format!("copying {what}: error creating {path:?}: open {path}: file exists"))
    }

    /// As docker, on standard error, where somebody looks.
    fn tell(&self, bytes: u64) {
        if self.arguments.quiet || !std::io::stdout().is_terminal() {
            return;
        }
        let size = template::units::decimal_size(bytes, 3);
        let target = self.arguments.target.to_string_lossy();
        let text = format!("Successfully copied {size} to {target}\n");
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
