//! Several pullers of the same content.

use super::*;
use crate::Kind;
use std::time::Duration;

#[test]
fn of_many_pullers_one_fetches_each_layer() {
    let scratch = Scratch::new();
    drop(scratch.open());
    // Different orders and parts: none may wait for another one that waits for it.
    let images = [Image::new(&[1, 2, 3]), Image::new(&[3, 1]), Image::new(&[2, 3, 4])];
    let fetched: usize = std::thread::scope(|scope| {
        let pull = |number: usize| {
            let (image, scratch) = (&images[number % 3], &scratch);
            scope.spawn(move || {
                image.pull(&scratch.open(), &format!("example.com/{number}:1")).unwrap()
            })
        };
        let threads: Vec<_> = (0..24).map(pull).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(fetched, 4);
    let store = scratch.open();
    assert_eq!(store.names().unwrap().0.len(), 24);
    assert_eq!(findings(&store), []);
    assert_eq!(leftovers(&scratch.root()), Vec::<PathBuf>::new());
}

#[test]
fn who_waits_gets_the_claim_when_it_is_given_up() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let mut digests = [key(1).diff_id, key(2).diff_id];
    digests.sort();
    let digest = digests[0];
    let mut first = store.begin().unwrap();
    first.claim(&[digest]).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut second = store.begin().unwrap();
            second.claim(&[digest]).unwrap();
            second
        });
        std::thread::sleep(Duration::from_millis(50));
        assert!(!waiting.is_finished());
        // The first one's transfer broke: the second one fetches, and nobody else.
        first.release(&digest);
        let second = waiting.join().unwrap();
        first.claim(&digests[1..]).unwrap();
        assert_eq!(first.claim(&[digest]).unwrap_err().kind(), Kind::Busy);
        drop(second);
        first.claim(&[digest]).unwrap();
    });
}

#[test]
fn claims_out_of_order_do_not_wait() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let mut digests = [key(1).diff_id, key(2).diff_id];
    digests.sort();
    let mut first = store.begin().unwrap();
    first.claim(&digests[1..]).unwrap();
    let mut second = store.begin().unwrap();
    second.claim(&digests[..1]).unwrap();
    let error = first.claim(&digests[..1]).unwrap_err();
    assert_eq!(error.kind(), Kind::Busy);
    drop(second);
    first.claim(&digests).unwrap();
}
