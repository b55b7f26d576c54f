//! Messages as bytes, written and read.

use super::{HEADER_BYTES, KIND_MASK, NESTED, REQUEST};

/// Messages that are sent together. Each has its number among them as its sequence number.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Where the last message begins.
    start: usize,
    count: u32,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Begins a message; `fixed` is the structure of messages of this kind. Returns its number.
    pub(crate) fn message(&mut self, kind: u16, flags: u16, fixed: &[u8]) -> u32 {
        let number = self.count;
        self.start = self.bytes.len();
        self.count += 1;
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(REQUEST | flags).to_ne_bytes());
        self.bytes.extend_from_slice(&number.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(fixed);
        self.measure();
        number
    }

    /// The last message wants an acknowledgement.
    pub(crate) fn acknowledge(&mut self) {
        self.bytes[self.start + 6] |= super::ACK as u8;
    }

    /// Appends an attribute to the last message.
    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.bytes.extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.measure();
    }

    /// Appends a number in this machine's order, as rtnetlink has them.
    pub(crate) fn number(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    /// Appends a number in the network's order, as nf_tables has them.
    pub(crate) fn big_number(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_be_bytes());
    }

    /// Appends a text with its NUL.
    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        self.attribute(kind, &[value.as_bytes(), b"\0"].concat());
    }

    /// Appends an attribute that attributes are in.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        self.nest_plain(kind | NESTED, fill);
    }

    /// The same without the mark that old interfaces do not know. It is longer than 64 KB only where elements
    /// are many; those come in several messages.
    pub(crate) fn nest_plain(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        fill(self);
        let length = (self.bytes.len() - at) as u16;
        self.bytes[at..at + 2].copy_from_slice(&length.to_ne_bytes());
        self.measure();
    }

    /// Appends bytes that are no attribute.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.measure();
    }

    fn measure(&mut self) {
        let length = (self.bytes.len() - self.start) as u32;
        self.bytes[self.start..self.start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// How many messages there are: the number of the next one.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The messages of what was received: kind, flags, sequence number and body. What is damaged ends the list.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, u16, u32, &[u8])> {
    std::iter::from_fn(move || {
        let length = word(bytes, 0)? as usize;
        let body = bytes.get(HEADER_BYTES..length)?;
        let kinds = word(bytes, 4)?.to_ne_bytes();
        let sequence = word(bytes, 8)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        let pair = |a: u8, b: u8| u16::from_ne_bytes([a, b]);
        Some((pair(kinds[0], kinds[1]), pair(kinds[2], kinds[3]), sequence, body))
    })
}

/// Kind and value of each attribute; what is damaged ends the list.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let head = word(bytes, 0)?.to_ne_bytes();
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([head[2], head[3]]) & KIND_MASK, value))
    })
}

/// The number at `at`, in this machine's order.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// The number at `at`, in the network's order.
pub(crate) fn big_word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

/// A text up to its NUL.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut batch = Batch::new();
        batch.message(16, 4, &[0; 16]);
        batch.text(3, "eth0");
        batch.nest(18, |batch| {
            batch.text(1, "veth");
            batch.nest(2, |batch| batch.number(7, 5));
        });
        assert_eq!(batch.message(17, 0, &[1; 4]), 1);
        let all: Vec<_> = messages(batch.bytes()).collect();
        assert_eq!(all.len(), 2);
        let (kind, flags, sequence, body) = all[0];
        assert_eq!((kind, flags, sequence), (16, 5, 0));
        let list: Vec<_> = attributes(&body[16..]).collect();
        assert_eq!(list[0], (3, &b"eth0\0"[..]));
        let inner: Vec<_> = attributes(list[1].1).collect();
        assert_eq!((list[1].0, inner[0]), (18, (1, &b"veth\0"[..])));
        assert_eq!(attributes(inner[1].1).next(), Some((7, &5u32.to_ne_bytes()[..])));
        assert_eq!((all[1].2, all[1].3), (1, &[1u8; 4][..]));
    }

    #[test]
    fn damaged_answers_end_without_a_panic() {
        let mut seed = 1u32;
        for length in 0..200usize {
            for _ in 0..50 {
                let mut bytes = Vec::new();
                for _ in 0..length {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    // Small numbers are lengths and kinds more often than not.
                    bytes.push((seed >> 24) as u8 & if seed & 0x100 == 0 { 0x1f } else { 0xff });
                }
                assert!(messages(&bytes).count() <= length);
                assert!(attributes(&bytes).count() <= length);
            }
        }
    }
}
