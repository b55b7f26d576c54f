//! Disks that are full, of bytes or of files.

use super::*;
use crate::Kind;
use sys::Errno;

/// Sizes of a tmpfs are tried one after the other until everything fits.
fn fill(test: &str, options: impl Fn(u32) -> String, least_failures: u32) {
    const STEPS_LIMIT: u32 = 400;
    let Some(outer) = mounts::private(test) else { return };
    let disk = outer.0.join("disk");
    std::fs::create_dir(&disk).unwrap();
    let image = Image::new(&[1, 2]);
    let mut failures = 0;
    for step in 1..STEPS_LIMIT {
        let path = disk.to_str().unwrap();
        sys::mount::mount("none", path, "tmpfs", 0, options(step)).unwrap();
        let pulled = open(&disk).and_then(|store| image.pull(&store, "example.com/a:1"));
        if let Err(error) = &pulled {
            failures += 1;
            assert_eq!(error.kind(), Kind::Os(Errno::ENOSPC), "step {step}: {error}");
            assert!(error.hint().is_some());
        }
        // With a little more room the next command goes on.
        let more = options(STEPS_LIMIT);
        sys::mount::mount("none", path, "tmpfs", sys::mount::MS_REMOUNT, more).unwrap();
        if disk.join("root/store.json").exists() {
            let in_flight = |dir: &str| std::fs::read_dir(disk.join("root").join(dir)).unwrap();
            let left = ["staging", "claims"].into_iter().flat_map(in_flight).count();
            // What a command that failed could not remove goes with the next one.
            assert_eq!(left, 0, "step {step}: {pulled:?}");
        }
        let store = open(&disk).unwrap();
        assert_eq!(leftovers(&disk.join("root")), Vec::<PathBuf>::new(), "step {step}");
        assert_eq!(findings(&store), [], "step {step}");
        assert_eq!(store.resolve("example.com/a:1").is_ok(), pulled.is_ok(), "step {step}");
        image.pull(&store, "example.com/a:1").unwrap();
        assert_eq!(findings(&store), [], "step {step}");
        drop(store);
        sys::mount::unmount(path, 0).unwrap();
        if pulled.is_ok() {
            assert!(failures >= least_failures, "only {failures} failures");
            return;
        }
    }
    panic!("it never fitted");
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing_in_the_store() {
    let test = "a_full_disk_is_told_and_leaves_nothing_in_the_store";
    fill(test, |step| format!("size={}k", 4 * step), 5);
}

#[test]
fn a_disk_without_inodes_is_told_and_leaves_nothing_in_the_store() {
    let test = "a_disk_without_inodes_is_told_and_leaves_nothing_in_the_store";
    fill(test, |step| format!("nr_inodes={}", step + 1), 30);
}

#[test]
fn what_nobody_needs_goes_from_a_disk_without_a_free_inode() {
    let test = "what_nobody_needs_goes_from_a_disk_without_a_free_inode";
    let Some(outer) = mounts::private(test) else { return };
    let disk = outer.0.join("disk");
    let path = disk.to_str().unwrap();
    std::fs::create_dir(&disk).unwrap();
    sys::mount::mount("none", path, "tmpfs", 0, "").unwrap();
    let store = open(&disk).unwrap();
    Image::new(&[1, 2]).pull(&store, "example.com/a:1").unwrap();
    Image::new(&[2, 3]).pull(&store, "example.com/b:1").unwrap();
    store.untag("example.com/a:1", None).unwrap();
    let stat = sys::fs::statfs(sys::fs::open_read(path).unwrap()).unwrap();
    let none = format!("nr_inodes={}", stat.f_files - stat.f_ffree);
    sys::mount::mount("none", path, "tmpfs", sys::mount::MS_REMOUNT, none).unwrap();
    assert_eq!(store.begin().unwrap_err().kind(), Kind::Os(Errno::ENOSPC));
    // Somebody who is killed before the space is free leaves it to the next command.
    let (collected, garbage) = store.gc().unwrap();
    assert_eq!((collected.layers, collected.blobs.len()), (vec![key(1)], 2));
    drop(garbage);
    assert_eq!(leftovers(&disk.join("root")).len(), 3);
    drop(store);
    let store = open(&disk).unwrap();
    assert_eq!(leftovers(&disk.join("root")), Vec::<PathBuf>::new());
    assert_eq!(findings(&store), []);
    store.untag("example.com/b:1", None).unwrap();
    store.collect().unwrap();
    assert!(store.layers().unwrap().is_empty() && store.blobs().unwrap().is_empty());
    assert_eq!(leftovers(&disk.join("root")), Vec::<PathBuf>::new());
    drop(store);
    sys::mount::unmount(path, 0).unwrap();
}
