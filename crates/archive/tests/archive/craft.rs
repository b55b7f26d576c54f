//! Archives with any header that one can think of.

/// An archive in the making.
#[derive(Clone, Default)]
pub struct Craft(pub Vec<u8>);

/// A header before its checksum.
pub struct Block(pub [u8; 512]);

impl Block {
    pub fn new(kind: u8, name: &[u8], size: u64) -> Self {
        let mut block = Self([0; 512]);
        let length = name.len().min(100);
        block.put(0, &name[..length]);
        block.put(100, b"0000644\0");
        block.put(108, b"0000000\0");
        block.put(116, b"0000000\0");
        block.put(124, format!("{size:011o}\0").as_bytes());
        block.put(136, b"00000000000\0");
        block.0[156] = kind;
        block.put(257, b"ustar\x0000");
        block.put(329, b"0000000\0");
        block.put(337, b"0000000\0");
        block
    }

    pub fn put(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub fn gnu(&mut self) -> &mut Self {
        self.put(257, b"ustar  \0")
    }

    pub fn sealed(&self) -> [u8; 512] {
        let mut block = self.0;
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }
}

impl Craft {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn block(self, block: &Block) -> Self {
        let sealed = block.sealed();
        self.raw(&sealed)
    }

    /// Contents, padded.
    pub fn data(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        let length = self.0.len().next_multiple_of(512);
        self.0.resize(length, 0);
        self
    }

    pub fn file(self, name: &str, data: &[u8]) -> Self {
        self.block(&Block::new(b'0', name.as_bytes(), data.len() as u64)).data(data)
    }

    pub fn dir(self, name: &str) -> Self {
        let mut block = Block::new(b'5', name.as_bytes(), 0);
        block.put(100, b"0000755\0");
        self.block(&block)
    }

    pub fn link(self, kind: u8, name: &str, target: &str) -> Self {
        let mut block = Block::new(kind, name.as_bytes(), 0);
        block.put(157, target.as_bytes());
        self.block(&block)
    }

    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.link(b'2', name, target)
    }

    pub fn hardlink(self, name: &str, target: &str) -> Self {
        self.link(b'1', name, target)
    }

    pub fn device(self, kind: u8, name: &str, major: &str, minor: &str) -> Self {
        let mut block = Block::new(kind, name.as_bytes(), 0);
        block.put(329, &[0; 16]).put(329, major.as_bytes()).put(337, minor.as_bytes());
        self.block(&block)
    }

    /// A PAX header of records as they are.
    pub fn pax_raw(self, kind: u8, records: &[u8]) -> Self {
        self.block(&Block::new(kind, b"PaxHeaders/x", records.len() as u64)).data(records)
    }

    pub fn pax(self, records: &[(&str, &str)]) -> Self {
        self.pax_raw(b'x', &pax_records(records))
    }

    pub fn global(self, records: &[(&str, &str)]) -> Self {
        self.pax_raw(b'g', &pax_records(records))
    }

    /// GNU's long name (`L`) or long target (`K`).
    pub fn long(self, kind: u8, name: &[u8]) -> Self {
        let mut block = Block::new(kind, b"././@LongLink", name.len() as u64 + 1);
        block.gnu();
        self.block(&block).data(&[name, b"\0"].concat())
    }

    pub fn end(self) -> Vec<u8> {
        self.raw(&[0; 1024]).0
    }
}

pub fn pax_records(records: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in records {
        let body = format!(" {key}={value}\n");
        let fits = |digits: &usize| (body.len() + digits).to_string().len() == *digits;
        let digits = (1..9).find(fits).expect("a record of less than a gigabyte");
        bytes.extend_from_slice(format!("{}{body}", body.len() + digits).as_bytes());
    }
    bytes
}

/// Small, fast and the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}
