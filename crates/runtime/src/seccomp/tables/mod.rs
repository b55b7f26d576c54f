//! System call names and their numbers, packed at compile time from `syscalls.tbl`.
//!
//! The text file is what people read and review; none of it reaches the binary. What does is about
//! 13 KB: all names in one string, one column of 16-bit numbers per architecture, and a hash table
//! of positions. A look-up costs 20 ns where a binary search over the names costs 80, and a profile
//! makes some 400 of them.

/// Highest table slot plus one: the size of an array that is indexed by slot.
pub(super) const SLOTS: usize = 1024;

/// arm has six private calls at 0xf0000. They take the slots behind every ordinary number (547 is
/// the highest today), so that a slot fits into 16 bits and slots sort as numbers do.
const PRIVATE_SLOT: u16 = 1000;
const PRIVATE_NUMBER: u32 = 0xf_0000;

/// A power of two that keeps the table half empty, so that a look-up needs 1.5 probes.
const BUCKETS: usize = 1024;
const NONE: u16 = u16::MAX;

const TEXT: &[u8] = include_bytes!("syscalls.tbl");
const SIZES: (usize, usize) = sizes();
const COUNT: usize = SIZES.0;
const NAME_BYTES: usize = SIZES.1;
const COLUMNS: usize = 5;

static TABLES: Tables = Tables::parse();

/// A known system call name: its position in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name(u16);

/// One column of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    X86_64,
    X86,
    /// Without bit 30.
    X32,
    Arm,
    Aarch64,
}

/// A call that 32-bit x86 also (or only) offers through one of its two multiplexers, whose first
/// argument says which call is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Multiplexed {
    /// Slot of socketcall(2) or ipc(2).
    pub(super) slot: u16,
    /// Value of the first argument.
    pub(super) call: u32,
}

impl Name {
    /// Finds a name.
    pub(super) fn find(name: &str) -> Option<Self> {
        let name = name.as_bytes();
        let mut bucket = bucket(name, 0, name.len());
        loop {
            let position = *TABLES.buckets.get(bucket)?;
            if position == NONE {
                return None;
            }
            if TABLES.name(position as usize)? == name {
                return Some(Self(position));
            }
            bucket = (bucket + 1) % BUCKETS;
        }
    }

    /// The name itself.
    pub(super) fn text(self) -> &'static str {
        let bytes = TABLES.name(self.0 as usize).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }

    /// The slot of the call in one architecture's table, if it has such a call.
    pub(super) fn slot(self, column: Column) -> Option<u16> {
        let slot = *TABLES.slots.get(column as usize)?.get(self.0 as usize)?;
        (slot != NONE).then_some(slot)
    }

    /// How 32-bit x86 multiplexes the call, if it does.
    pub(super) fn multiplexed(self) -> Option<Multiplexed> {
        const SOCKETCALL: u16 = 102;
        const IPC: u16 = 117;
        match *TABLES.calls.get(self.0 as usize)? {
            0 => None,
            call if call & IPC_FLAG != 0 => {
                Some(Multiplexed { slot: IPC, call: (call & !IPC_FLAG) as u32 })
            }
            call => Some(Multiplexed { slot: SOCKETCALL, call: call as u32 }),
        }
    }
}

/// The system call number that a slot stands for.
pub(super) fn number_of(slot: u16) -> u32 {
    match slot.checked_sub(PRIVATE_SLOT) {
        Some(private) => PRIVATE_NUMBER + private as u32,
        None => slot as u32,
    }
}

const fn slot_of(number: u32) -> u16 {
    if number < PRIVATE_SLOT as u32 {
        return number as u16;
    }
    let slot = number - PRIVATE_NUMBER + PRIVATE_SLOT as u32;
    assert!(number > PRIVATE_NUMBER && slot < SLOTS as u32, "the number fits no slot");
    slot as u16
}

/// Marks a call of ipc(2); call numbers stay below it.
const IPC_FLAG: u8 = 0x80;

struct Tables {
    names: [u8; NAME_BYTES],
    /// Where each name starts, and behind the last one the end.
    starts: [u16; COUNT + 1],
    slots: [[u16; COUNT]; COLUMNS],
    calls: [u8; COUNT],
    buckets: [u16; BUCKETS],
}

impl Tables {
    fn name(&self, position: usize) -> Option<&[u8]> {
        let start = *self.starts.get(position)? as usize;
        let end = *self.starts.get(position + 1)? as usize;
        self.names.get(start..end)
    }

    /// Runs in the compiler only: a table that cannot be read does not compile.
    const fn parse() -> Self {
        let mut tables = Self {
            names: [0; NAME_BYTES],
            starts: [0; COUNT + 1],
            slots: [[NONE; COUNT]; COLUMNS],
            calls: [0; COUNT],
            buckets: [NONE; BUCKETS],
        };
        let (mut at, mut position, mut end) = (0, 0, 0);
        while at < TEXT.len() {
            if TEXT[at] == b'#' {
                at = skip_line(at);
                continue;
            }
            tables.starts[position] = end as u16;
            let start = at;
            while TEXT[at] != b' ' {
                tables.names[end] = TEXT[at];
                end += 1;
                at += 1;
            }
            let mut free = bucket(TEXT, start, at);
            while tables.buckets[free] != NONE {
                free = (free + 1) % BUCKETS;
            }
            tables.buckets[free] = position as u16;
            at += 1;
            let mut column = 0;
            while column < COLUMNS {
                let (number, next) = number_at(at);
                if let Some(number) = number {
                    tables.slots[column][position] = slot_of(number);
                }
                at = next + 1;
                column += 1;
            }
            if TEXT[at] != b'-' {
                let (call, next) = number_at(at + 1);
                let Some(call) = call else { panic!("a call has a number") };
                assert!(call > 0 && call < IPC_FLAG as u32);
                tables.calls[position] = call as u8 | if TEXT[at] == b'i' { IPC_FLAG } else { 0 };
                at = next;
            } else {
                at += 1;
            }
            assert!(TEXT[at] == b'\n', "a line has seven fields");
            at += 1;
            position += 1;
        }
        tables.starts[COUNT] = end as u16;
        tables
    }
}

/// Number of names and of their bytes.
const fn sizes() -> (usize, usize) {
    let (mut at, mut count, mut bytes) = (0, 0, 0);
    while at < TEXT.len() {
        if TEXT[at] != b'#' {
            count += 1;
            while TEXT[at] != b' ' {
                bytes += 1;
                at += 1;
            }
        }
        at = skip_line(at);
    }
    (count, bytes)
}

const fn skip_line(mut at: usize) -> usize {
    while TEXT[at] != b'\n' {
        at += 1;
    }
    at + 1
}

/// The number at `at` (`-`: none) and the position behind it.
const fn number_at(mut at: usize) -> (Option<u32>, usize) {
    if TEXT[at] == b'-' {
        return (None, at + 1);
    }
    let (start, mut number) = (at, 0);
    while TEXT[at].is_ascii_digit() {
        number = number * 10 + (TEXT[at] - b'0') as u32;
        at += 1;
    }
    assert!(at > start, "a field is a number or a dash");
    (Some(number), at)
}

/// FNV-1a over `text[from..to]`, folded to a bucket.
const fn bucket(text: &[u8], from: usize, to: usize) -> usize {
    let (mut hash, mut at) = (0x811c_9dc5_u32, from);
    while at < to {
        hash = (hash ^ text[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    (hash ^ (hash >> 15)) as usize % BUCKETS
}

#[cfg(test)]
mod tests;
