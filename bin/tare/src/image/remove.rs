//! `tare rmi`.

use super::prune;
use super::users::Users;
use crate::called::Called;
use crate::failure::{Failure, Result};
use crate::settings::{Global, Settings, store_paths, warn};
use crate::{FAILED, output};
use clap::Args;
use images::{By, Listed, View};
use oci::{AnyDigest, Digest, Reference};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use store::{NameRecord, Store};

/// podman's code for an image that somebody uses.
const IN_USE: u8 = 2;

/// With more names than these a removal does not wait for the collection: it takes 50 ms for a thousand.
const MANY: usize = 200;

/// Remove images from the store
///
/// A name is taken away; with its last name an image goes, and with it the layers that no other image,
/// container or mount needs. The command returns before their space is free.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tare rmi debian:13\n  tare rmi --force 4bcff63911fc\n  tare rmi --all"
)]
pub(crate) struct Remove {
    /// Remove all images
    #[arg(short, long, conflicts_with = "names")]
    all: bool,
    /// Remove an image that has several names by its ID, and one that is used: its users keep it
    #[arg(short, long)]
    force: bool,
    /// Do not mind images that are not there
    #[arg(short, long)]
    ignore: bool,
    /// Accepted for docker's sake: an image has no parents that could be kept
    #[arg(long)]
    no_prune: bool,
    /// Not here: a platform's image cannot be taken out of an index
    #[arg(long, hide = true)]
    platform: Vec<String>,
    /// Remove the images without a name, as `tare image prune` does
    #[arg(short, long, conflicts_with_all = ["names", "all"])]
    prune: bool,
    /// Names, IDs or digests
    #[arg(required_unless_present_any = ["all", "prune"], value_name = "IMAGE")]
    names: Vec<String>,
}

pub(crate) fn run(global: &Global, arguments: &Remove) -> Result<u8> {
    if !arguments.platform.is_empty() {
        return Err(Failure::new(
            "--platform: an index keeps its digest, so nothing can be taken out of it",
        ));
    }
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    if arguments.prune {
        return prune::nameless(global, &settings, &store).map(|()| 0);
    }
    let mut removal = Removal::new(&settings, &store, arguments.force)?;
    let mut failures: Vec<Failure> = Vec::new();
    let results = match arguments.all {
        true => removal.digests().iter().map(|digest| removal.remove_image(digest)).collect(),
        false => arguments.names.iter().map(|name| removal.remove(name)).collect::<Vec<_>>(),
    };
    for result in results {
        match result {
            Err(failure) if failure.is_missing() && arguments.ignore => {}
            // docker tells of it, podman does not.
            Err(failure) if failure.is_missing() && arguments.force && Called::is_podman() => {}
            Err(failure) => failures.push(failure),
            Ok(()) => {}
        }
    }
    removal.finish(global)?;
    let code = match failures.iter().any(Failure::is_in_use) {
        true => IN_USE,
        false => FAILED,
    };
    failures.iter().for_each(Failure::tell);
    Ok(if failures.is_empty() { 0 } else { code })
}

/// Images on their way out.
pub(crate) struct Removal<'r> {
    settings: &'r Settings<'r>,
    store: &'r Store,
    users: Users,
    force: bool,
    names: Vec<NameRecord>,
    /// IDs of images that have lost their last name.
    removed: Vec<Digest>,
}

impl<'r> Removal<'r> {
    pub(crate) fn new(settings: &'r Settings<'r>, store: &'r Store, force: bool) -> Result<Self> {
        let (names, _) = store.names()?;
        Self::of(settings, store, force, names)
    }

    /// Of these names: others that images get meanwhile stay.
    pub(super) fn of(
        settings: &'r Settings<'r>,
        store: &'r Store,
        force: bool,
        names: Vec<NameRecord>,
    ) -> Result<Self> {
        let users = Users::of(store)?;
        Ok(Self { settings, store, users, force, names, removed: Vec::new() })
    }

    pub(crate) fn digests(&self) -> Vec<Digest> {
        let all: BTreeSet<Digest> =
            self.names.iter().filter_map(|name| name.target().ok().copied()).collect();
        all.into_iter().collect()
    }

    /// Takes a name, or all names of an ID or digest.
    pub(super) fn remove(&mut self, text: &str) -> Result<()> {
        let found = images::find(self.store, text)?;
        let given = self.given(&found.digest);
        let named: Vec<NameRecord> =
            given.iter().filter(|name| found.names.contains(name)).cloned().collect();
        // `REPOSITORY@DIGEST` means the names in that repository.
        let by_name = found.by == By::Name || text.contains('@');
        if by_name && named.len() < given.len() {
            named.iter().try_for_each(|name| self.untag(name, found.digest))?;
            self.names.retain(|name| !named.contains(name));
            return Ok(());
        }
        if !by_name && given.len() > 1 && !self.force {
            let names: Vec<&str> = given.iter().map(|name| name.reference.as_str()).collect();
            let message = format!("{text}: the image has several names: {}", names.join(", "));
            return Err(Failure::new(message)
                .in_use()
                .hint("remove it by its names, or with --force"));
        }
        self.take(text, &found.digest, &found.media_type)
    }

    /// Takes all names of what they name.
    pub(crate) fn remove_image(&mut self, digest: &Digest) -> Result<()> {
        let name = self.names.iter().find(|name| name.digest == AnyDigest::from(*digest));
        let media_type = name.map(|name| name.media_type.clone()).unwrap_or_default();
        self.take(&digest.to_string(), digest, &media_type)
    }

    fn given(&self, digest: &Digest) -> Vec<NameRecord> {
        let own = |name: &&NameRecord| {
            name.digest == AnyDigest::from(*digest) && Reference::parse(&name.reference).is_ok()
        };
        self.names.iter().filter(own).cloned().collect()
    }

    fn take(&mut self, text: &str, digest: &Digest, media_type: &str) -> Result<()> {
        let id = self.check_unused(text, digest, media_type)?;
        let any = AnyDigest::from(*digest);
        for name in self.names.iter().filter(|name| name.digest == any) {
            self.untag(name, *digest)?;
        }
        self.names.retain(|name| name.digest != any);
        self.removed.push(id);
        Ok(())
    }

    fn untag(&self, name: &NameRecord, digest: Digest) -> Result<()> {
        match self.store.untag(&name.reference, Some(&digest)) {
            // Somebody else was faster.
            Err(error) if error.kind() == store::Kind::NotFound => {}
            result => drop(result?),
        }
        self.settings.tell_image("untag", &digest.to_string(), &name.reference);
        match Reference::parse(&name.reference) {
            Ok(reference) => output::write(format!("Untagged: {reference}\n").as_bytes()),
            // Nobody gave it this one.
            Err(_) => Ok(()),
        }
    }

    /// Refuses what containers and mounts use; the image's ID.
    fn check_unused(&self, text: &str, digest: &Digest, media_type: &str) -> Result<Digest> {
        let (wanted, rights) = (self.settings.wanted(), self.settings.caller.rights());
        let view = View::open(self.store, digest, media_type, Some(&wanted), rights);
        let Ok(view) = view else {
            // Of an image that is damaged nothing can be said but that it should go.
            return Ok(*digest);
        };
        let listed = Listed {
            root: *digest,
            media_type: media_type.to_owned(),
            names: Vec::new(),
            facts: view.facts(),
        };
        if let Some(container) = self.users.containers_of(&listed).first()
            && !self.force
        {
            return Err(Failure::new(format!("{text}: container {container} uses the image"))
                .in_use()
                .hint("remove the container first; --force takes the names, and the container keeps its layers"));
        }
        if let Some(mount) = self.users.mounts_of(&view).first()
            && !self.force
        {
            let place = if mount.target.is_empty() { "a process" } else { &mount.target };
            return Err(Failure::new(format!("{text}: the image is mounted at {place}"))
                .in_use()
                .hint("`tare unmount` it first; --force takes the names, and the mount keeps its layers"));
        }
        Ok(view.id)
    }

    /// Tells which images are gone. What nothing leads to any more is taken away, and its space is left
    /// to a process of its own. Of many images the collection is, too: it reads all that stays.
    fn finish(self, global: &Global) -> Result<()> {
        if self.names.len() > MANY {
            self.tell()?;
            if !self.removed.is_empty() {
                in_background(global, self.settings, "--quiet");
            }
            return Ok(());
        }
        self.collect(global).map(drop)
    }

    /// The same, where the caller waits for the collection: bytes whose space will be free.
    pub(crate) fn collect(self, global: &Global) -> Result<u64> {
        if self.removed.is_empty() {
            return Ok(0);
        }
        let (collected, garbage) = self.store.gc()?;
        self.tell()?;
        drop(garbage);
        in_background(global, self.settings, "--trash-only");
        Ok(collected.bytes)
    }

    fn tell(&self) -> Result<()> {
        self.removed.iter().for_each(|id| self.settings.tell_image("delete", &id.to_string(), ""));
        let lines = self.removed.iter().map(|id| format!("Deleted: {id}\n"));
        output::write(lines.collect::<String>().as_bytes())
    }
}

/// Starts a process that collects, or unlinks what is in the store's trash. If it cannot be started, or
/// is killed, the next command that writes to the store does it.
fn in_background(global: &Global, settings: &Settings<'_>, what: &str) {
    use std::os::unix::process::CommandExt;
    let (root, runroot) = store_paths(global, &settings.caller);
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    let (root, runroot) = (absolute(root), absolute(runroot));
    let mut command = Command::new("/proc/self/exe");
    command.arg0("tare").args(["gc", what, "--root"]).arg(root);
    command.arg("--runroot").arg(runroot).current_dir("/").process_group(0);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Err(error) = quiet.spawn() {
        warn(&format!("starting a process that frees space: {error}; the next command does it"));
    }
}
