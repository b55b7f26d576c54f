//! What mounts show that is no plain path of the host's: images, volumes with a file system of their own, parts of
//! volumes and images, secrets, and trees whose mounts the host is to see.
//!
//! It is put together in the supervisor's mount namespace, where nobody else sees it, at places below the container's
//! directory, and goes with this or with the supervisor. What is looked for in a volume or an image is resolved by the
//! kernel with that for a root: its links lead nowhere else.

use super::userns::Mapping;
use super::volume_file_systems as file_systems;
use crate::error::{During, Error, Result};
use crate::place::Engine;
use crate::record::{Config, Mount, SecretUse};
use oci::{AnyDigest, Digest};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use store::{HeldMount, LayerKey, MountedImage, View};
use sys::fs::{
    O_DIRECTORY, O_PATH, O_RDONLY, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, S_IFDIR, S_IFMT,
};
use sys::mount::{self, MNT_DETACH};
use sys::{CWD, Fd};

/// Below the container's directory.
const DIR: &str = "mounts";
/// What an image's mount has written, as long as the container is there.
const WRITTEN: &str = "images";
/// Where secrets are that do not say otherwise.
const SECRETS_DIR: &str = "/run/secrets";
/// All secrets of a container together; one has at most half a megabyte.
const SECRETS_OPTIONS: &str = "mode=755,size=64m";

/// What was put together.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    dir: PathBuf,
    /// By the target of the mount.
    sources: BTreeMap<String, PathBuf>,
    /// Files and directories with secrets: where they are, and where they go.
    secrets: Vec<(PathBuf, String)>,
    /// What was mounted, in its order.
    mounted: Vec<PathBuf>,
    held: Vec<HeldMount>,
    is_shared: bool,
}

/// The images that a container mounts, for the store.
pub(crate) fn mounted_images(config: &Config) -> Result<Vec<MountedImage>> {
    let image = |mount: &Mount| -> Result<MountedImage> {
        let digest = Digest::parse(&mount.name)
            .map_err(|_| Error::invalid(format!("{}: no digest", mount.name)))?;
        Ok(MountedImage { image: AnyDigest::from(digest), layers: mount.layers.clone() })
    };
    config.mounts.iter().filter(|mount| mount.kind == "image").map(image).collect()
}

impl Staged {
    /// Puts together what a container needs. `outer` is the mount namespace of the command.
    pub(super) fn make(
        engine: &Engine,
        config: &Config,
        mapping: Option<&Mapping>,
        outer: Option<&Fd>,
    ) -> Result<Self> {
        let mut made = Self::of_mounts(engine, config, mapping, outer)?;
        made.add_secrets(engine, &config.secrets, mapping)?;
        Ok(made)
    }

    /// The same without secrets.
    pub(crate) fn of_mounts(
        engine: &Engine,
        config: &Config,
        mapping: Option<&Mapping>,
        outer: Option<&Fd>,
    ) -> Result<Self> {
        let mut made = Self::default();
        made.dir = engine.path_of(&config.id).join(DIR);
        for (number, mount) in config.mounts.iter().enumerate() {
            let attempt = || format!("mounting at {}", mount.target);
            made.one(engine, config, number, mount, mapping, outer)
                .map_err(|error| error.during(attempt()))?;
        }
        Ok(made)
    }

    /// Where a mount's source is, if it is not where the record says.
    pub(crate) fn source(&self, mount: &Mount) -> Option<&Path> {
        self.sources.get(&mount.target).map(PathBuf::as_path)
    }

    /// Files and directories with secrets, and where they are mounted.
    pub(super) fn secrets(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.secrets.iter().map(|(source, target)| (source.as_path(), target.as_str()))
    }

    /// The host is to see what is mounted below one of the mounts.
    pub(super) fn is_shared(&self) -> bool {
        self.is_shared
    }

    fn one(
        &mut self,
        engine: &Engine,
        config: &Config,
        number: usize,
        mount: &Mount,
        mapping: Option<&Mapping>,
        outer: Option<&Fd>,
    ) -> Result<()> {
        let whole = match mount.kind.as_str() {
            "image" => Some(self.image(engine, config, number, mount, mapping)?),
            "volume" => self.volume(engine, number, mount)?,
            "bind" if is_shared(mount) => self.shared(number, mount, outer)?,
            _ => None,
        };
        let part = mount.subpath.trim_matches('/');
        let source = if part.is_empty() {
            whole
        } else {
            let whole = whole.unwrap_or_else(|| engine.volume_path(&mount.name));
            Some(self.part(number, &whole, part)?)
        };
        if let Some(source) = source {
            self.sources.insert(mount.target.clone(), source);
        }
        Ok(())
    }

    /// An image, read only or with what the container writes on top of it.
    fn image(
        &mut self,
        engine: &Engine,
        config: &Config,
        number: usize,
        mount: &Mount,
        mapping: Option<&Mapping>,
    ) -> Result<PathBuf> {
        let read = |name: &String| {
            LayerKey::parse(name).ok_or_else(|| Error::invalid(format!("{name:?} is not a layer")))
        };
        let layers = mount.layers.iter().map(read).collect::<Result<Vec<_>>>()?;
        let place = self.place(number.to_string().as_str())?;
        let written = match mount.read_only {
            true => None,
            false => {
                let path = engine.path_of(&config.id).join(WRITTEN).join(number.to_string());
                fs::create_dir_all(&path).during(|| format!("making {}", path.display()))?;
                let dir = open(&path)?;
                engine.store().make_upper(&dir, &layers)?;
                Some(dir)
            }
        };
        let view = match &written {
            None => View::Layers(&layers),
            Some(dir) => View::Written { layers: &layers, dir },
        };
        let store = engine.store();
        let users = mapping.map(Mapping::for_files).transpose()?.flatten();
        let held = match (&users, mapping.and_then(Mapping::root)) {
            (Some(users), Some(root)) => {
                store.mount_held_mapped(view, store::Mapping { users, root })?
            }
            _ => store.mount_held(view)?,
        };
        self.attach(held.mount(), &place)?;
        self.held.push(held);
        Ok(place)
    }

    /// A volume with a file system of its own; one without is where it is.
    fn volume(&mut self, engine: &Engine, number: usize, mount: &Mount) -> Result<Option<PathBuf>> {
        let Some(volume) = engine.volume(&mount.name)? else { return Ok(None) };
        if volume.options.is_empty() {
            return Ok(None);
        }
        let place = self.place(number.to_string().as_str())?;
        file_systems::mount(engine, &volume, &place)?;
        self.mounted.push(place.clone());
        Ok(Some(place))
    }

    /// A tree of the host's of which the host sees what is mounted in it: a copy that was made where the host's mounts are.
    fn shared(
        &mut self,
        number: usize,
        mount: &Mount,
        outer: Option<&Fd>,
    ) -> Result<Option<PathBuf>> {
        let Some(outer) = outer else { return Ok(None) };
        let recursive = !mount.options.iter().any(|it| it == "bind");
        let tree = file_systems::in_mounts_of(outer, || {
            mount::clone_tree(CWD, mount.source.as_bytes(), recursive)
        })?
        .during(|| format!("opening {}", mount.source))?;
        let is_directory = stat_mode(&tree)? & S_IFMT == S_IFDIR;
        let place = self.place_of(number.to_string().as_str(), is_directory)?;
        self.attach(&tree, &place)?;
        self.is_shared = true;
        Ok(Some(place))
    }

    /// Something in a volume or an image.
    fn part(&mut self, number: usize, whole: &Path, part: &str) -> Result<PathBuf> {
        let inside = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
        let found = sys::fs::open_at2(&open(whole)?, part, O_PATH, 0, inside).map_err(|errno| {
            Error::os(format!("subpath {part}"), errno)
                .with_hint("what is named has to be there already")
        })?;
        let is_directory = stat_mode(&found)? & S_IFMT == S_IFDIR;
        let tree = mount::clone_tree(&found, "", true).during(|| format!("subpath {part}"))?;
        let place = self.place_of(&format!("{number}.part"), is_directory)?;
        self.attach(&tree, &place)?;
        Ok(place)
    }

    fn add_secrets(
        &mut self,
        engine: &Engine,
        secrets: &[SecretUse],
        mapping: Option<&Mapping>,
    ) -> Result<()> {
        let files: Vec<&SecretUse> = secrets.iter().filter(|it| !it.is_variable).collect();
        if files.is_empty() {
            return Ok(());
        }
        let top = self.place("secrets")?;
        let flags = mount::MS_NOSUID | mount::MS_NODEV | mount::MS_NOEXEC;
        let path = top.as_os_str().as_bytes();
        // Secrets do not go to a disk by swapping, where the kernel can promise that (Linux 6.4, and not to users).
        mount::mount("tmpfs", path, "tmpfs", flags, format!("{SECRETS_OPTIONS},noswap"))
            .or_else(|_| mount::mount("tmpfs", path, "tmpfs", flags, SECRETS_OPTIONS))
            .during(|| "making a file system for secrets")?;
        self.mounted.push(top.clone());
        let common = top.join("common");
        let mut has_common = false;
        for (number, secret) in files.into_iter().enumerate() {
            let attempt = || format!("secret {}", secret.name);
            let below = Path::new(&secret.target).strip_prefix(SECRETS_DIR).ok();
            let file = match below {
                Some(below) => common.join(below),
                None => top.join(number.to_string()),
            };
            let data = engine.secret_data(&secret.name).map_err(|error| error.during(attempt()))?;
            write_secret(&file, &data, secret, mapping).map_err(|error| {
                let errno = sys::Errno(error.raw_os_error().unwrap_or(sys::Errno::EIO.0));
                let error = Error::os(attempt(), errno);
                match errno {
                    sys::Errno::EINVAL => error.with_hint(format!(
                        "the container has neither user {} nor group {}; leave uid and gid out, or have ranges in /etc/subuid and /etc/subgid",
                        secret.uid, secret.gid
                    )),
                    _ => error,
                }
            })?;
            match below {
                Some(_) => has_common = true,
                None => self.secrets.push((file, secret.target.clone())),
            }
        }
        if has_common {
            self.secrets.insert(0, (common, SECRETS_DIR.to_owned()));
        }
        Ok(())
    }

    /// A directory to mount at.
    fn place(&self, name: &str) -> Result<PathBuf> {
        self.place_of(name, true)
    }

    fn place_of(&self, name: &str, is_directory: bool) -> Result<PathBuf> {
        let path = self.dir.join(name);
        let made = fs::create_dir_all(&self.dir).and_then(|()| match is_directory {
            true => fs::create_dir_all(&path),
            false => fs::write(&path, b""),
        });
        made.during(|| format!("making {}", path.display()))?;
        Ok(path)
    }

    fn attach(&mut self, tree: &Fd, place: &Path) -> Result<()> {
        let attempt = || format!("mounting at {}", place.display());
        let target = sys::fs::open_at(CWD, place.as_os_str().as_bytes(), O_PATH, 0);
        mount::attach(tree, target.during(attempt)?).during(attempt)?;
        self.mounted.push(place.to_path_buf());
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        for place in self.mounted.iter().rev() {
            // Taken away with the rest, what the host shares would go there, too.
            let alone = mount::MS_PRIVATE | mount::MS_REC;
            let _ = mount::mount("", place.as_os_str().as_bytes(), "", alone, "");
            let _ = mount::unmount(place.as_os_str().as_bytes(), MNT_DETACH);
        }
    }
}

fn is_shared(mount: &Mount) -> bool {
    mount.options.iter().any(|option| matches!(option.as_str(), "shared" | "rshared"))
}

fn open(path: &Path) -> Result<Fd> {
    sys::fs::open_at(CWD, path.as_os_str().as_bytes(), O_RDONLY | O_DIRECTORY, 0)
        .during(|| format!("opening {}", path.display()))
}

fn stat_mode(fd: &Fd) -> Result<u32> {
    Ok(sys::fs::stat_fd(fd).during(|| "looking at the source")?.st_mode)
}

fn write_secret(
    file: &Path,
    data: &[u8],
    secret: &SecretUse,
    mapping: Option<&Mapping>,
) -> std::io::Result<()> {
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(file, data)?;
    let owner = match mapping {
        Some(mapping) => mapping
            .owner(secret.uid, secret.gid)
            .ok_or_else(|| std::io::Error::from_raw_os_error(sys::Errno::EINVAL.0))?,
        None => (secret.uid, secret.gid),
    };
    std::os::unix::fs::chown(file, Some(owner.0), Some(owner.1))?;
    fs::set_permissions(file, fs::Permissions::from_mode(secret.mode))
}
