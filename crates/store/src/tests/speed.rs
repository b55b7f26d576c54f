//! What must not grow with the number of images. Loose limits: other tests run at the same time.

use super::*;
use std::time::{Duration, Instant};

#[test]
fn a_thousand_names_are_listed_at_once_and_one_more_costs_the_same() {
    const COUNT: usize = 1000;
    /// The promise is 20 ms in an optimised program on an idle machine.
    const LIST_LIMIT: Duration = Duration::from_millis(200);
    let scratch = Scratch::new();
    let store = scratch.open();
    let image = Image::new(&[1]);
    image.pull(&store, "example.com/first:1").unwrap();
    let mut work = store.begin().unwrap();
    let mut tag = |number: usize| {
        let start = Instant::now();
        work.tag(&image.record(&format!("example.com/repository/{number}:tag"))).unwrap();
        start.elapsed()
    };
    let times: Vec<Duration> = (1..COUNT).map(&mut tag).collect();
    // The rest is what else machine and disk do.
    let least = |times: &[Duration]| times.iter().copied().min().unwrap();
    let (first, last) = (least(&times[100..200]), least(&times[COUNT - 101..]));
    let fastest = |_| {
        let start = Instant::now();
        assert_eq!(store.names().unwrap().0.len(), COUNT);
        start.elapsed()
    };
    let listed = (0..50).map(fastest).min().unwrap();
    assert!(last < 4 * first, "naming took {first:?}, then {last:?}");
    assert!(listed < LIST_LIMIT, "listing took {listed:?}");
}
