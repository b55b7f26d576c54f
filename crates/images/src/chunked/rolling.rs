//! Where a file is cut: where its contents say so, so that a part that two files share is a chunk of both.
//!
//! The sum of a window of 64 bytes, as rsync and bup roll it; containers/storage cuts at the same places, but for
//! its holes.

const WINDOW: usize = 64;
const OFFSET: u32 = 31;
/// A chunk has 64 KiB on average.
const MASK: u32 = (1 << 16) - 1;

pub(super) struct Rolling {
    window: [u8; WINDOW],
    position: usize,
    first: u32,
    second: u32,
}

impl Default for Rolling {
    fn default() -> Self {
        let size = WINDOW as u32;
        let (first, second) = (size * OFFSET, size * (size - 1) * OFFSET);
        Self { window: [0; WINDOW], position: 0, first, second }
    }
}

impl Rolling {
    /// How many of the bytes belong to the current chunk, and whether it ends with them.
    pub(super) fn next(&mut self, bytes: &[u8]) -> (usize, bool) {
        for (index, &byte) in bytes.iter().enumerate() {
            let old = u32::from(std::mem::replace(&mut self.window[self.position], byte));
            self.position = (self.position + 1) % WINDOW;
            self.first = self.first.wrapping_add(u32::from(byte)).wrapping_sub(old);
            let gone = (WINDOW as u32) * (old + OFFSET);
            self.second = self.second.wrapping_add(self.first.wrapping_sub(gone));
            if self.second & MASK == MASK {
                return (index + 1, true);
            }
        }
        (bytes.len(), false)
    }
}

#[test]
fn cuts_depend_on_the_contents_alone() {
    let noise = |seed: u64| {
        let mut state = seed;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
    };
    let cuts = |bytes: &[u8]| {
        let (mut rolling, mut position, mut cuts) = (Rolling::default(), 0, Vec::new());
        while position < bytes.len() {
            let (length, ends) = rolling.next(&bytes[position..]);
            position += length;
            if ends {
                cuts.push(bytes.len() - position);
            }
        }
        cuts
    };
    let common: Vec<u8> = noise(1).take(2 << 20).collect();
    let other: Vec<u8> = noise(2).take(1000).chain(common.iter().copied()).collect();
    let (one, two) = (cuts(&common), cuts(&other));
    assert!((10..100).contains(&one.len()), "{} chunks", one.len());
    // Counted from the end they are the same once the window has passed the border.
    assert!(two.ends_with(&one[1..]), "{one:?} {two:?}");
}
