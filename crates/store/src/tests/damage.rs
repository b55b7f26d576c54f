//! Stores that something else has changed.

use super::*;
use crate::{Kind, Problem};

struct Damaged {
    scratch: Scratch,
    store: Store,
    image: Image,
}

fn damaged() -> Damaged {
    let scratch = Scratch::new();
    let store = scratch.open();
    let image = Image::new(&[1, 2]);
    image.pull(&store, "example.com/a:1").unwrap();
    Damaged { scratch, store, image }
}

impl Damaged {
    fn path(&self, path: &str) -> PathBuf {
        self.scratch.root().join(path)
    }

    fn blob(&self, digest: Digest) -> PathBuf {
        self.path(&crate::layout::blob(&digest))
    }

    fn check(&self, problem: Problem, text: &str) {
        let findings = findings(&self.store);
        let [finding] = &findings[..] else { panic!("{findings:#?}") };
        assert_eq!(finding.problem, problem);
        assert!(finding.text.contains(text), "{finding:?}");
    }

    /// A pull after the repair mends it.
    fn mend(&self) {
        self.store.repair(&findings(&self.store)).unwrap();
        self.image.pull(&self.store, "example.com/a:1").unwrap();
        assert_eq!(findings(&self.store), []);
    }
}

#[test]
fn a_flipped_bit_in_a_blob_is_found_and_mended() {
    let case = damaged();
    for digest in [case.image.digest(), digest_of(&case.image.config)] {
        let path = case.blob(digest);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[10] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        case.check(Problem::Damaged, "the stored bytes are");
        let error = case.store.read_blob(&digest, 4096).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        // The collector does not know what the damaged one leads to.
        let error = case.store.collect().unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        assert!(error.hint().unwrap().contains("fsck --repair"));
        case.mend();
    }
}

#[test]
fn a_blob_of_another_size_is_fetched_again() {
    let case = damaged();
    let config = &case.image.config;
    let digest = digest_of(config);
    std::fs::write(case.blob(digest), "").unwrap();
    case.check(Problem::Damaged, "");
    let mut work = case.store.begin().unwrap();
    let size_bytes = Some(config.len() as u64);
    let expected = crate::Expected { digest: Some(digest), size_bytes };
    assert!(!work.has_blob(expected).unwrap());
    work.put_bytes(config, expected).unwrap();
    work.commit().unwrap();
    assert_eq!(findings(&case.store), []);
}

#[test]
fn what_is_missing_is_named_with_the_image_that_needs_it() {
    let case = damaged();
    std::fs::remove_file(case.blob(digest_of(&case.image.config))).unwrap();
    case.check(Problem::Missing, "which example.com/a:1 needs");
    case.mend();
    std::fs::remove_dir_all(case.path(&crate::layout::layer(&key(2)))).unwrap();
    case.check(Problem::Missing, "which example.com/a:1 needs");
    case.mend();
    std::fs::remove_file(case.blob(case.image.digest())).unwrap();
    case.check(Problem::Missing, "which example.com/a:1 needs");
    assert_eq!(case.store.collect().unwrap_err().kind(), Kind::Corrupt);
    case.mend();
}

#[test]
fn a_changed_file_of_a_layer_is_found() {
    let case = damaged();
    let place = crate::layout::layer(&key(1));
    std::fs::write(case.path(&format!("{place}/diff/data")), "other").unwrap();
    assert_eq!(
        case.store.fsck(crate::Check::default()).unwrap(),
        [],
        "a quick check reads no file"
    );
    case.check(Problem::Damaged, "the tar that is made of it is sha256:");
    case.mend();
    std::fs::remove_dir_all(case.path(&format!("{place}/diff"))).unwrap();
    case.check(Problem::Unreadable, "diff");
    case.mend();
    std::fs::write(case.path(&format!("{place}/meta.json")), "{").unwrap();
    case.check(Problem::Unreadable, "meta.json");
    case.mend();
}

#[test]
fn a_layer_without_its_record_is_none_and_is_replaced() {
    let case = damaged();
    let place = crate::layout::layer(&key(1));
    std::fs::remove_file(case.path(&format!("{place}/meta.json"))).unwrap();
    assert!(case.store.layer(&key(1)).unwrap().is_none());
    assert_eq!(case.image.pull(&case.store, "example.com/a:1").unwrap(), 1);
    assert_eq!(findings(&case.store), []);
    assert_eq!(leftovers(&case.scratch.root()), Vec::<PathBuf>::new());
}

#[test]
fn a_damaged_record_of_a_name_hides_no_other() {
    let case = damaged();
    case.image.pull(&case.store, "example.com/b:1").unwrap();
    let (_, file) = crate::layout::name("example.com/a:1");
    std::fs::write(case.path(&file), "{\"reference\":7}").unwrap();
    let (names, errors) = case.store.names().unwrap();
    assert_eq!((names.len(), errors.len()), (1, 1));
    assert!(errors[0].to_string().contains("reference"), "{}", errors[0]);
    assert_eq!(case.store.collect().unwrap_err().kind(), Kind::Invalid);
    case.check(Problem::Unreadable, "reference");
    case.mend();
}

#[test]
fn foreign_things_are_told_and_stay() {
    let case = damaged();
    for path in ["layers/x", "blobs/sha256/zz"] {
        std::fs::create_dir(case.path(path)).unwrap();
    }
    std::fs::write(case.path("blobs/sha256/zz/y"), "").unwrap();
    let found = findings(&case.store);
    let problems: Vec<Problem> = found.iter().map(|finding| finding.problem).collect();
    assert_eq!(problems, [Problem::Foreign, Problem::Foreign]);
    assert_eq!(case.store.repair(&found).unwrap(), []);
    assert!(case.path("layers/x").exists());
}

#[test]
fn damaged_records_never_make_the_store_panic_or_lose_others() {
    const CASES: u32 = 3000;
    let case = damaged();
    let store_json = case.path("store.json");
    let name = case.path(&crate::layout::name("example.com/a:1").1);
    let meta = case.path(&format!("{}/meta.json", crate::layout::layer(&key(1))));
    let mut state: u32 = 7;
    let mut next = |limit: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % limit
    };
    for path in [&store_json, &name, &meta] {
        let good = std::fs::read(path).unwrap();
        for _ in 0..CASES / 3 {
            let mut bytes = good.clone();
            for _ in 0..1 + next(4) {
                let at = next(bytes.len());
                match next(4) {
                    0 => bytes[at] = next(256) as u8,
                    1 => bytes.truncate(at.max(1)),
                    2 => bytes.insert(at, b"{}[]\",:0e-"[next(10)]),
                    _ => drop(bytes.remove(at)),
                }
                if bytes.is_empty() {
                    bytes.push(b' ');
                }
            }
            std::fs::write(path, &bytes).unwrap();
            if path == &store_json {
                let _ = open(&case.scratch.0);
            } else {
                let _ = case.store.names().unwrap();
                let _ = case.store.fsck(crate::Check::default()).unwrap();
                let _ = case.store.gc().map(|(collected, garbage)| {
                    garbage.remove().unwrap();
                    collected
                });
            }
        }
        std::fs::write(path, &good).ok();
        // What a changed name no longer led to was garbage.
        case.image.pull(&case.store, "example.com/a:1").unwrap();
        let _ = case.store.repair(&findings(&case.store)).unwrap();
    }
    case.image.pull(&case.store, "example.com/a:1").unwrap();
    assert_eq!(findings(&case.store), []);
}
