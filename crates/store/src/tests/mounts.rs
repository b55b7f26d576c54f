//! Mounts, each test in a mount namespace of its own.

use super::*;
use crate::{ContainerRecord, Form, Kind, View};
use std::process::Command;

/// Lets the test's thread have mounts that nobody else sees; `None`: this machine does not.
pub(super) fn private(test: &str) -> Option<Scratch> {
    const CLONE_NEWNS: u32 = 0x0002_0000;
    let unshared = sys::process::unshare(CLONE_NEWNS);
    if let Err(errno) = unshared {
        skips::skip(test, &format!("no mount namespace can be made: {errno}"));
        return None;
    }
    sys::mount::mount("", "/", "", sys::mount::MS_REC | sys::mount::MS_PRIVATE, "").unwrap();
    Some(Scratch::new())
}

pub(super) fn pulled(scratch: &Scratch, seeds: &[u32]) -> (Store, Image) {
    let store = scratch.open();
    let image = Image::new(seeds);
    image.pull(&store, "example.com/a:1").unwrap();
    // The layers say who they are.
    for seed in seeds {
        let diff = scratch.root().join(format!("layers/{}/diff", key(*seed)));
        std::fs::write(diff.join("top"), format!("{seed}")).unwrap();
        std::fs::write(diff.join(format!("only-{seed}")), "").unwrap();
    }
    (store, image)
}

pub(super) fn read(path: PathBuf) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_mounted_image_is_seen_and_kept() {
    let Some(scratch) = private("a_mounted_image_is_seen_and_kept") else { return };
    let (store, image) = pulled(&scratch, &[1, 2, 3]);
    for form in [Form::Overlay, Form::OverlayClassic] {
        let mounted = store.mount_as(View::Layers(&image.keys()), None, form).unwrap();
        assert_eq!(mounted.form, form);
        assert_eq!(read(mounted.target.join("top")), "3");
        for seed in [1, 2, 3] {
            assert!(mounted.target.join(format!("only-{seed}")).exists());
        }
        let written = std::fs::write(mounted.target.join("x"), "");
        assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        // Another process, that is, another handle.
        let other = scratch.open();
        let seen = other.mounts().unwrap();
        assert_eq!((seen.len(), seen[0].target.as_str()), (1, mounted.target.to_str().unwrap()));
        assert_eq!(other.usage().unwrap().mounts, 1);
        other.untag("example.com/a:1", None).unwrap();
        assert_eq!(other.collect().unwrap().layers, []);
        assert_eq!(read(mounted.target.join("top")), "3");
        other.unmount(&mounted.id, false).unwrap();
        assert!(!mounted.target.exists());
        assert_eq!(other.unmount(&mounted.id, false).unwrap_err().kind(), Kind::NotFound);
        // The blobs went with the name.
        image.pull(&store, "example.com/a:1").unwrap();
    }
    store.untag("example.com/a:1", None).unwrap();
    assert_eq!(store.collect().unwrap().layers.len(), 3);
}

#[test]
fn who_looks_at_a_mount_hinders_nobody_who_takes_it_away() {
    use sys::fs::{Lock, O_RDONLY, lock, open_at};
    /// So long it is seen that nothing comes of it; a slow machine sees less.
    const EARLY: std::time::Duration = std::time::Duration::from_millis(50);
    let Some(scratch) = private("who_looks_at_a_mount_hinders_nobody") else { return };
    let (store, image) = pulled(&scratch, &[1, 2]);
    // As everybody does who lists mounts, and whoever else takes it away.
    for how in [Lock::TryShared, Lock::TryExclusive] {
        let mounted = store.mount(View::Layers(&image.keys()), None).unwrap();
        let record = mounted.target.parent().unwrap().to_str().unwrap();
        let look = open_at(sys::CWD, record, O_RDONLY, 0).unwrap();
        lock(&look, how).unwrap();
        assert_eq!(store.mounts().unwrap().len(), 1);
        let (sender, done) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| sender.send(store.unmount(&mounted.id, false)).unwrap());
            let early = done.recv_timeout(EARLY);
            assert!(early.is_err(), "{how:?}: {early:?}");
            drop(look);
            assert!(done.recv().unwrap().is_ok());
        });
        assert_eq!(store.mounts().unwrap(), []);
    }
}

#[test]
fn images_of_one_layer_and_of_none_are_mounted() {
    let Some(scratch) = private("images_of_one_layer_and_of_none_are_mounted") else { return };
    let (store, image) = pulled(&scratch, &[1]);
    for form in [Form::Overlay, Form::OverlayClassic, Form::Bind] {
        let place = scratch.0.join("a place");
        std::fs::create_dir_all(&place).unwrap();
        let mounted = store.mount_as(View::Layers(&image.keys()), Some(&place), form).unwrap();
        assert_eq!((mounted.form, &mounted.target), (form, &place));
        assert_eq!(read(place.join("top")), "1");
        assert!(std::fs::write(place.join("x"), "").is_err());
        assert_eq!(store.mounts().unwrap().len(), 1);
        store.unmount(&mounted.id, false).unwrap();
        assert!(!place.join("top").exists());
        let nothing = store.mount_as(View::Layers(&[]), None, form).unwrap();
        assert_eq!(std::fs::read_dir(&nothing.target).unwrap().count(), 0);
        store.unmount(&nothing.id, false).unwrap();
        assert_eq!(store.mounts().unwrap(), []);
    }
    let two = Image::new(&[1, 2]);
    two.pull(&store, "example.com/b:1").unwrap();
    let refused = store.mount_as(View::Layers(&two.keys()), None, Form::Bind).unwrap_err();
    assert!(refused.to_string().starts_with("stacking 2 layers: "), "{refused}");
    let missing = store.mount(View::Layers(&[key(9)]), None).unwrap_err();
    assert_eq!(missing.kind(), Kind::NotFound);
    let nowhere = store.mount(View::Layers(&image.keys()), Some(Path::new("/nowhere")));
    assert_eq!(nowhere.unwrap_err().kind(), Kind::NotFound);
    // What failed left nothing.
    let run = scratch.0.join("run").join(&store.record().uuid).join("mounts");
    assert_eq!(std::fs::read_dir(run).unwrap().count(), 0);
}

#[test]
fn hundreds_of_layers_are_stacked() {
    let Some(scratch) = private("hundreds_of_layers_are_stacked") else { return };
    let seeds: Vec<u32> = (0..crate::limits::LAYERS as u32).collect();
    let (store, image) = pulled(&scratch, &seeds);
    let mounted = store.mount(View::Layers(&image.keys()), None).unwrap();
    assert!(mounted.target.join("only-0").exists());
    assert_eq!(read(mounted.target.join("top")), format!("{}", seeds.len() - 1));
    store.unmount(&mounted.id, false).unwrap();
    let more = vec![key(0); crate::limits::LAYERS + 1];
    assert_eq!(store.mount(View::Layers(&more), None).unwrap_err().kind(), Kind::Limit);
}

#[test]
fn a_mount_in_use_stays_unless_forced() {
    let Some(scratch) = private("a_mount_in_use_stays_unless_forced") else { return };
    let (store, image) = pulled(&scratch, &[1, 2]);
    let mounted = store.mount(View::Layers(&image.keys()), None).unwrap();
    let open = std::fs::File::open(mounted.target.join("top")).unwrap();
    assert_eq!(store.unmount(&mounted.id, false).unwrap_err().kind(), Kind::InUse);
    assert_eq!(store.mounts().unwrap().len(), 1);
    // Hidden by another mount it is still there.
    sys::mount::mount("none", mounted.target.to_str().unwrap(), "tmpfs", 0, "").unwrap();
    assert_eq!(store.mounts().unwrap().len(), 1);
    sys::mount::unmount(mounted.target.to_str().unwrap(), 0).unwrap();
    store.unmount(&mounted.id, true).unwrap();
    assert_eq!(store.mounts().unwrap(), []);
    drop(open);
}

#[test]
fn a_mount_that_somebody_took_away_is_forgotten() {
    let Some(scratch) = private("a_mount_that_somebody_took_away_is_forgotten") else { return };
    let (store, image) = pulled(&scratch, &[1, 2]);
    let mounted = store.mount(View::Layers(&image.keys()), None).unwrap();
    sys::mount::unmount(mounted.target.to_str().unwrap(), 0).unwrap();
    assert_eq!(store.mounts().unwrap(), []);
    store.untag("example.com/a:1", None).unwrap();
    assert_eq!(store.collect().unwrap().layers.len(), 2);
    assert!(!mounted.target.exists(), "the record is swept");
}

#[test]
fn mounts_of_other_namespaces_are_kept() {
    let Some(scratch) = private("mounts_of_other_namespaces_are_kept") else { return };
    let (store, image) = pulled(&scratch, &[1, 2]);
    let mounted = store.mount(View::Layers(&image.keys()), None).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            const CLONE_NEWNS: u32 = 0x0002_0000;
            sys::process::unshare(CLONE_NEWNS).unwrap();
            assert_eq!(store.mounts().unwrap().len(), 1);
            let refused = store.unmount(&mounted.id, false).unwrap_err();
            assert_eq!(refused.kind(), Kind::Unsupported);
            store.untag("example.com/a:1", None).unwrap();
            assert_eq!(store.collect().unwrap().layers, []);
        });
    });
    store.unmount(&mounted.id, false).unwrap();
    assert_eq!(store.collect().unwrap().layers.len(), 2);
}

#[test]
fn a_held_mount_keeps_its_layers_until_it_is_dropped() {
    let Some(scratch) = private("a_held_mount_keeps_its_layers_until_it_is_dropped") else {
        return;
    };
    let (store, image) = pulled(&scratch, &[1, 2]);
    let held = store.mount_held(View::Layers(&image.keys())).unwrap();
    store.untag("example.com/a:1", None).unwrap();
    assert_eq!(store.collect().unwrap().layers, []);
    let file = sys::fs::read_file(held.mount(), "top", 10).unwrap();
    assert_eq!(file, b"2");
    let id = store.mounts().unwrap()[0].id.clone();
    assert_eq!(store.unmount(&id, true).unwrap_err().kind(), Kind::InUse);
    drop(held);
    assert_eq!(store.mounts().unwrap(), []);
    assert_eq!(store.collect().unwrap().layers.len(), 2);
}

#[test]
fn a_container_is_written_to_and_its_layers_are_not() {
    let Some(scratch) = private("a_container_is_written_to_and_its_layers_are_not") else { return };
    let (store, image) = pulled(&scratch, &[1, 2]);
    let record = ContainerRecord {
        id: "c1".into(),
        layers: image.keys().iter().map(ToString::to_string).collect(),
        ..ContainerRecord::default()
    };
    drop(store.create_container(record.clone()).unwrap());
    for form in [Form::Overlay, Form::OverlayClassic] {
        let container = store.container("c1").unwrap();
        let mounted = store.mount_as(View::Container(&container), None, form).unwrap();
        drop(container);
        std::fs::write(mounted.target.join("top"), "changed").unwrap();
        std::fs::remove_file(mounted.target.join("only-1")).ok();
        assert_eq!(store.remove_container("c1").unwrap_err().kind(), Kind::InUse);
        store.unmount(&mounted.id, false).unwrap();
        let upper = scratch.root().join("containers/c1/upper");
        assert_eq!(read(upper.join("top")), "changed");
        let layer = scratch.root().join(format!("layers/{}/diff", key(2)));
        assert_eq!(read(layer.join("top")), "2");
    }
    store.remove_container("c1").unwrap();
    assert_eq!(leftovers(&scratch.root()), Vec::<PathBuf>::new());
}

#[test]
fn what_nobody_keeps_is_not_synced_in_either_form() {
    let Some(scratch) = private("what_nobody_keeps_is_not_synced_in_either_form") else { return };
    let (store, image) = pulled(&scratch, &[1, 2]);
    for (id, is_ephemeral) in [("c1", true), ("c2", false)] {
        let record = ContainerRecord {
            id: id.into(),
            layers: image.keys().iter().map(ToString::to_string).collect(),
            is_ephemeral,
            ..ContainerRecord::default()
        };
        drop(store.create_container(record).unwrap());
        // Each once more: the kernel leaves a mark behind, with which it refuses another mount.
        for form in [Form::Overlay, Form::OverlayClassic, Form::Overlay, Form::OverlayClassic] {
            let container = store.container(id).unwrap();
            let mounted = store.mount_as(View::Container(&container), None, form).unwrap();
            let target = mounted.target.to_str().unwrap();
            let mounts = read("/proc/thread-self/mountinfo".into());
            let line = mounts.lines().find(|line| line.split(' ').nth(4) == Some(target)).unwrap();
            // Newer kernels call it `fsync=volatile`.
            assert_eq!(line.contains("volatile"), is_ephemeral, "{form:?}: {line}");
            drop(container);
            store.unmount(&mounted.id, false).unwrap();
        }
        store.remove_container(id).unwrap();
    }
}

const VICTIM: &str = "TARE_STORE_MOUNTER";

#[test]
#[ignore = "what the other test starts"]
fn victim() {
    let Ok(job) = std::env::var(VICTIM) else { return };
    let (scratch, steps) = job.split_once('|').unwrap();
    let store = open(Path::new(scratch)).unwrap();
    let image = Image::new(&[1, 2]);
    crate::fault::arm(steps.parse().unwrap());
    let mounted = store.mount(View::Layers(&image.keys()), None).unwrap();
    store.unmount(&mounted.id, false).unwrap();
    let held = store.mount_held(View::Layers(&image.keys())).unwrap();
    drop(held);
}

#[test]
fn a_mounting_process_killed_at_any_step_leaves_a_mount_or_nothing() {
    let name = "a_mounting_process_killed_at_any_step_leaves_a_mount_or_nothing";
    let Some(scratch) = private(name) else { return };
    let (store, _) = pulled(&scratch, &[1, 2]);
    let mut killed = 0;
    for steps in 1..100 {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::mounts::victim", "--ignored", "--nocapture"])
            .env(VICTIM, format!("{}|{steps}", scratch.0.display()))
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        store.collect().unwrap();
        for record in store.mounts().unwrap() {
            assert_eq!(read(Path::new(&record.target).join("top")), "2");
            store.unmount(&record.id, false).unwrap();
        }
        store.collect().unwrap();
        let run = scratch.0.join("run").join(&store.record().uuid).join("mounts");
        assert_eq!(std::fs::read_dir(run).unwrap().count(), 0, "killed at step {steps}");
        let list = read("/proc/thread-self/mountinfo".into());
        assert!(!list.contains(scratch.0.to_str().unwrap()), "step {steps}: {list}");
        if status.success() {
            break;
        }
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
        killed += 1;
    }
    assert!((8..99).contains(&killed), "{killed} kills");
}
