//! Mounts with the ids of user namespaces.

use super::mounts::{private, pulled, read};
use super::*;
use crate::{ContainerRecord, Form, HeldMount, Kind, Mapping, View};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use sys::Fd;

/// A user namespace whose ids from 0 on are those from `first` on.
fn users(first: u32) -> Fd {
    let (wait, go) = sys::fs::pipe().unwrap();
    let how = sys::process::Clone { namespaces: sys::process::CLONE_NEWUSER, ..Default::default() };
    let Some(child) = sys::process::fork(how).unwrap() else {
        drop(go);
        let _ = sys::fs::read(&wait, &mut [0]);
        sys::process::exit(0)
    };
    for file in ["uid_map", "gid_map"] {
        let path = format!("/proc/{}/{file}", child.pid);
        std::fs::write(path, format!("0 {first} 65536")).unwrap();
    }
    let users = sys::fs::open_read(format!("/proc/{}/ns/user", child.pid)).unwrap();
    drop(go);
    sys::wait::child(child.pid, true).unwrap();
    users
}

/// A place where a held mount is seen.
fn show(scratch: &Scratch, held: &HeldMount, name: &str) -> PathBuf {
    let place = scratch.0.join(name);
    std::fs::create_dir_all(&place).unwrap();
    let fd = sys::fs::open_at(
        sys::CWD,
        place.as_os_str().as_encoded_bytes(),
        sys::fs::O_PATH | sys::fs::O_DIRECTORY,
        0,
    )
    .unwrap();
    sys::mount::attach(held.mount(), &fd).unwrap();
    place
}

/// Whoever holds it has it open.
fn unmount(place: &Path) {
    sys::mount::unmount(place.as_os_str().as_encoded_bytes(), sys::mount::MNT_DETACH).unwrap();
}

fn owner(path: impl AsRef<Path>) -> (u32, u32) {
    let meta = std::fs::symlink_metadata(path.as_ref()).unwrap();
    (meta.uid(), meta.gid())
}

fn make(store: &Store, id: &str, image: &Image) {
    let record = ContainerRecord {
        id: id.into(),
        layers: image.keys().iter().map(ToString::to_string).collect(),
        ..ContainerRecord::default()
    };
    drop(store.create_container(record.clone()).unwrap());
}

#[test]
fn containers_with_different_ids_share_layers() {
    let Some(scratch) = private("containers_with_different_ids_share_layers") else { return };
    let (store, image) = pulled(&scratch, &[1, 2]);
    let layer = scratch.root().join(format!("layers/{}/diff", key(2)));
    std::os::unix::fs::chown(layer.join("only-2"), Some(33), Some(34)).unwrap();
    std::os::unix::fs::chown(layer.join("data"), Some(70_000), Some(70_000)).unwrap();
    let ways = [(Form::Overlay, false), (Form::Overlay, true), (Form::OverlayClassic, true)];
    for (number, (form, attach)) in ways.into_iter().enumerate() {
        let mut held = Vec::new();
        for first in [100_000, 300_000] {
            let id = format!("c-{number}-{first}");
            make(&store, &id, &image);
            let users = users(first);
            let mapping = Mapping { users: &users, root: (first, first) };
            let container = store.container(&id).unwrap();
            let view = View::Container(&container);
            let mount = store.mount_mapped_as(view, mapping, form, attach).unwrap();
            let place = show(&scratch, &mount, &id);
            assert_eq!(owner(place.join("top")), (first, first));
            assert_eq!(owner(place.join("only-2")), (first + 33, first + 34));
            // Nobody is mapped to it.
            assert_eq!(owner(place.join("data")), (65534, 65534));
            held.push((id, first, place, container, mount));
        }
        for (id, first, place, ..) in &held {
            let upper = scratch.root().join("containers").join(id).join("upper");
            // A file of its own, a changed one, one that is somebody else's, and none.
            std::fs::create_dir(place.join("etc/own")).unwrap_err();
            sys::ids::set_file_owner(*first, *first);
            let made = std::fs::create_dir(place.join("own"));
            sys::ids::set_file_owner(0, 0);
            made.unwrap();
            assert_eq!(owner(upper.join("own")), (0, 0));
            std::fs::set_permissions(place.join("top"), PermissionsExt::from_mode(0o600)).unwrap();
            assert_eq!(owner(upper.join("top")), (0, 0));
            std::os::unix::fs::chown(place.join("top"), Some(first + 7), Some(first + 8)).unwrap();
            assert_eq!(owner(upper.join("top")), (7, 8));
            std::fs::remove_file(place.join("only-2")).unwrap();
            assert_eq!(std::fs::metadata(upper.join("only-2")).unwrap().rdev(), 0);
            assert!(!place.join("only-2").exists());
        }
        assert_eq!(owner(layer.join("top")), (0, 0));
        for (id, _, place, container, mount) in held {
            unmount(&place);
            drop((container, mount));
            store.remove_container(&id).unwrap();
        }
        // The places where mounts were attached are gone.
        let list = read("/proc/thread-self/mountinfo".into());
        assert!(!list.contains(scratch.0.to_str().unwrap()), "{list}");
    }
    let run = scratch.0.join("run").join(&store.record().uuid).join("mounts");
    assert_eq!(std::fs::read_dir(run).unwrap().count(), 0);
    assert_eq!(leftovers(&scratch.root()), Vec::<PathBuf>::new());
}

#[test]
fn a_view_of_layers_is_mapped() {
    let Some(scratch) = private("a_view_of_layers_is_mapped") else { return };
    let users = users(100_000);
    let mapping = Mapping { users: &users, root: (100_000, 100_000) };
    let (store, image) = pulled(&scratch, &[1, 2]);
    for (seeds, forms) in
        [(&[1u32][..], &[Form::Overlay, Form::Bind][..]), (&[1, 2], &[Form::Overlay])]
    {
        let keys: Vec<_> = seeds.iter().map(|seed| key(*seed)).collect();
        for (form, attach) in forms.iter().flat_map(|form| [(*form, false), (*form, true)]) {
            let view = View::Layers(&keys);
            let held = store.mount_mapped_as(view, mapping, form, attach).unwrap();
            let place = show(&scratch, &held, "place");
            assert_eq!(owner(place.join("top")), (100_000, 100_000), "{form:?}");
            let written = std::fs::write(place.join("x"), "").unwrap_err();
            assert_eq!(written.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
            unmount(&place);
        }
    }
    let copy = View::Copy { layers: &image.keys(), copy: key(1) };
    assert_eq!(store.mount_held_mapped(copy, mapping).unwrap_err().kind(), Kind::Unsupported);
}

#[test]
fn what_cannot_be_mapped_says_why() {
    let Some(scratch) = private("what_cannot_be_mapped_says_why") else { return };
    // Of the file systems that everybody has, overlayfs is one without idmapped mounts.
    let [lower, upper, work, place] = ["l", "u", "w", "p"].map(|name| {
        let path = scratch.0.join(name);
        std::fs::create_dir(&path).unwrap();
        path.display().to_string()
    });
    let data = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    if let Err(errno) = sys::mount::mount("none", &place, "overlay", 0, &data) {
        return skips::skip("what_cannot_be_mapped_says_why", &format!("overlayfs: {errno}"));
    }
    let inner = Scratch(PathBuf::from(&place));
    {
        let (store, image) = pulled(&inner, &[1, 2]);
        let users = users(100_000);
        let mapping = Mapping { users: &users, root: (100_000, 100_000) };
        let refused = store.mount_held_mapped(View::Layers(&image.keys()), mapping).unwrap_err();
        assert_eq!(refused.kind(), Kind::Unsupported);
        assert!(refused.to_string().starts_with("mapping the ids of the store's files: "));
        assert!(refused.hint().is_some_and(|hint| hint.contains("file system")));
        let run = inner.0.join("run").join(&store.record().uuid).join("mounts");
        assert_eq!(std::fs::read_dir(run).unwrap().count(), 0);
    }
    std::mem::forget(inner);
    sys::mount::unmount(&place, sys::mount::MNT_DETACH).unwrap();
}
