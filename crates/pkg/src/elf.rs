//! The part of an ELF file that a dynamic loader looks at: program headers and dynamic section.
//!
//! Own code rather than `goblin` or `object`: those parse a file that is in memory as a whole,
//! sections and symbols included, where a loader's view is four small reads (`pread`) of a file of
//! any size. What is left of the format is two record shapes in two widths, and this way every
//! count and size that the file claims is checked against a named limit before it is used.
//!
//! Nothing here trusts the file: a malformed one is a [`Malformed`], never a panic, and no
//! allocation is larger than the limits below.

use std::fmt;
use std::io;

/// Bytes of program headers: the kernel refuses more (`load_elf_phdrs`, 64 KiB).
const MAX_PROGRAM_HEADER_BYTES: usize = 64 << 10;
/// Bytes of the dynamic section: 16,384 entries of 16 bytes; the largest known have some hundred.
const MAX_DYNAMIC_BYTES: u64 = 256 << 10;
/// Length of a library or interpreter name: `PATH_MAX`.
const MAX_NAME_BYTES: usize = 4096;
/// Length of a search path. Nix writes one directory per dependency, some kilobytes in all.
const MAX_SEARCH_PATH_BYTES: usize = 64 << 10;
/// Names that one object may ask for. Chromium, among the largest, has about 100.
const MAX_NAMES: usize = 4096;

/// Width of the file's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    Elf32,
    Elf64,
}

/// How one object asks for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// `DT_NEEDED` and `DT_FILTER`: without it the program does not start.
    Required,
    /// `DT_AUXILIARY`: used where it is there.
    Optional,
}

/// What a loader reads of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Elf {
    pub(crate) class: Class,
    /// `e_machine`.
    pub(crate) machine: u16,
    /// `e_flags`.
    pub(crate) flags: u32,
    /// `PT_INTERP`.
    pub(crate) interpreter: Option<Vec<u8>>,
    /// In the order of the dynamic section.
    pub(crate) needed: Vec<(Vec<u8>, Need)>,
    pub(crate) soname: Option<Vec<u8>>,
    /// `DT_RPATH`; none where there is a `DT_RUNPATH`, as in glibc's `elf_get_dynamic_info`.
    pub(crate) rpath: Option<Vec<u8>>,
    pub(crate) runpath: Option<Vec<u8>>,
    /// `DF_1_NODEFLIB`.
    pub(crate) no_default_libraries: bool,
}

/// Why a file cannot be used.
#[derive(Debug)]
pub(crate) enum Malformed {
    /// No ELF magic at all.
    NotElf,
    /// Well-formed perhaps, and not for this reader.
    Unsupported(&'static str),
    /// Contradicts the format or a limit.
    Corrupt(&'static str),
    /// The file cannot be read.
    Io(io::Error),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotElf => f.write_str("not an ELF file"),
            Self::Unsupported(what) | Self::Corrupt(what) => f.write_str(what),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Malformed {}

type Result<T> = std::result::Result<T, Malformed>;

/// Reads at an offset as `pread` does: fewer bytes than asked for only at the end of the file.
pub(crate) type ReadAt<'a> = &'a dyn Fn(u64, &mut [u8]) -> io::Result<usize>;

impl Elf {
    /// Reads the headers and the dynamic section.
    pub(crate) fn read(read_at: ReadAt<'_>) -> Result<Self> {
        let file = File { read_at };
        let mut head = [0u8; 4096];
        let filled = file.up_to(0, &mut head)?;
        let head = &head[..filled];
        let header = Header::parse(head)?;
        let table = file.slice(head, header.table_offset, header.table_bytes())?;

        let mut segments = Vec::new();
        let mut interpreter = None;
        let mut dynamic = None;
        for record in table.chunks_exact(header.class.program_header_bytes()) {
            let segment = Segment::parse(header.class, record);
            match segment.kind {
                PT_LOAD => segments.push(segment),
                PT_INTERP if interpreter.is_none() => {
                    interpreter = Some(file.interpreter(&segment)?);
                }
                PT_DYNAMIC if dynamic.is_none() => dynamic = Some(segment),
                _ => {}
            }
        }
        let mut elf = Self {
            class: header.class,
            machine: header.machine,
            flags: header.flags,
            interpreter,
            needed: Vec::new(),
            soname: None,
            rpath: None,
            runpath: None,
            no_default_libraries: false,
        };
        if let Some(dynamic) = dynamic {
            elf.read_dynamic(&file, &dynamic, &segments)?;
        }
        Ok(elf)
    }

    fn read_dynamic(
        &mut self,
        file: &File<'_>,
        dynamic: &Segment,
        segments: &[Segment],
    ) -> Result<()> {
        if dynamic.file_bytes > MAX_DYNAMIC_BYTES {
            return Err(Malformed::Corrupt("its dynamic section is larger than 256 KiB"));
        }
        let mut bytes = vec![0; dynamic.file_bytes as usize];
        file.exact(dynamic.offset, &mut bytes)?;
        let entries = || dynamic_entries(self.class, &bytes);

        let find = |wanted| entries().find(|&(tag, _)| tag == wanted).map(|(_, value)| value);
        let strings = match (find(DT_STRTAB), find(DT_STRSZ)) {
            (Some(address), Some(size_bytes)) => Strings::locate(segments, address, size_bytes)?,
            // A static-pie program may have a dynamic section of relocations only.
            _ => Strings { offset: 0, size_bytes: 0 },
        };
        let path =
            |tag| find(tag).map(|at| strings.read(file, at, MAX_SEARCH_PATH_BYTES)).transpose();
        let (runpath, rpath) = (path(DT_RUNPATH)?, path(DT_RPATH)?);
        let soname =
            find(DT_SONAME).map(|at| strings.read(file, at, MAX_NAME_BYTES)).transpose()?;
        let flags_1 = find(DT_FLAGS_1).unwrap_or(0);

        let mut needed = Vec::new();
        for (tag, value) in entries() {
            let need = match tag {
                DT_NEEDED | DT_FILTER => Need::Required,
                DT_AUXILIARY => Need::Optional,
                _ => continue,
            };
            if needed.len() == MAX_NAMES {
                return Err(Malformed::Corrupt("it needs more than 4096 libraries"));
            }
            needed.push((strings.read(file, value, MAX_NAME_BYTES)?, need));
        }
        self.needed = needed;
        self.soname = soname;
        self.rpath = rpath.filter(|_| runpath.is_none());
        self.runpath = runpath;
        self.no_default_libraries = flags_1 & DF_1_NODEFLIB != 0;
        Ok(())
    }
}

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;

const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;
const DT_SONAME: u64 = 14;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DT_AUXILIARY: u64 = 0x7fff_fffd;
const DT_FILTER: u64 = 0x7fff_ffff;
const DF_1_NODEFLIB: u64 = 0x800;

struct Header {
    class: Class,
    machine: u16,
    flags: u32,
    table_offset: u64,
    table_count: u16,
}

impl Header {
    fn parse(head: &[u8]) -> Result<Self> {
        if head.get(..4) != Some(b"\x7fELF") {
            return Err(Malformed::NotElf);
        }
        let class = match head.get(4) {
            Some(1) => Class::Elf32,
            Some(2) => Class::Elf64,
            _ => return Err(Malformed::Corrupt("its class is neither 32 nor 64 bit")),
        };
        let bytes = if class == Class::Elf64 { 64 } else { 52 };
        let head = head.get(..bytes).ok_or(Malformed::Corrupt("its header is cut short"))?;
        if head[5] != 1 {
            return Err(Malformed::Unsupported("it is not a little-endian file"));
        }
        if !matches!(u16_at(head, 16), 2 | 3) {
            return Err(Malformed::Unsupported("it is neither a program nor a shared library"));
        }
        let (table_offset, rest) = match class {
            Class::Elf64 => (u64_at(head, 32), &head[48..]),
            Class::Elf32 => (u64::from(u32_at(head, 28)), &head[36..]),
        };
        let header = Self {
            class,
            machine: u16_at(head, 18),
            flags: u32_at(rest, 0),
            table_offset,
            table_count: u16_at(rest, 8),
        };
        if usize::from(u16_at(rest, 6)) != class.program_header_bytes() && header.table_count != 0 {
            return Err(Malformed::Corrupt("its program headers have an unknown size"));
        }
        if header.table_bytes() > MAX_PROGRAM_HEADER_BYTES {
            return Err(Malformed::Corrupt("its program headers are larger than 64 KiB"));
        }
        Ok(header)
    }

    fn table_bytes(&self) -> usize {
        usize::from(self.table_count) * self.class.program_header_bytes()
    }
}

impl Class {
    fn program_header_bytes(self) -> usize {
        if self == Self::Elf64 { 56 } else { 32 }
    }
}

#[derive(Clone, Copy)]
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    file_bytes: u64,
}

impl Segment {
    fn parse(class: Class, record: &[u8]) -> Self {
        let kind = u32_at(record, 0);
        match class {
            Class::Elf64 => Self {
                kind,
                offset: u64_at(record, 8),
                address: u64_at(record, 16),
                file_bytes: u64_at(record, 32),
            },
            Class::Elf32 => Self {
                kind,
                offset: u32_at(record, 4).into(),
                address: u32_at(record, 8).into(),
                file_bytes: u32_at(record, 16).into(),
            },
        }
    }
}

/// Pairs of tag and value up to `DT_NULL`.
fn dynamic_entries(class: Class, bytes: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    let width = if class == Class::Elf64 { 8 } else { 4 };
    let number = move |record: &[u8], at| {
        if width == 8 { u64_at(record, at) } else { u64::from(u32_at(record, at)) }
    };
    bytes
        .chunks_exact(2 * width)
        .map(move |record| (number(record, 0), number(record, width)))
        .take_while(|&(tag, _)| tag != DT_NULL)
}

/// The dynamic string table, in the file.
struct Strings {
    offset: u64,
    size_bytes: u64,
}

impl Strings {
    /// `DT_STRTAB` is an address; the segment that it is loaded with says where it is in the file.
    fn locate(segments: &[Segment], address: u64, size_bytes: u64) -> Result<Self> {
        let outside = Malformed::Corrupt("its string table is outside of what is loaded");
        let holds = |segment: &&Segment| {
            address.checked_sub(segment.address).is_some_and(|at| at < segment.file_bytes)
        };
        let Some(segment) = segments.iter().find(holds) else { return Err(outside) };
        match segment.offset.checked_add(address - segment.address) {
            Some(offset) if offset.checked_add(size_bytes).is_some() => {
                Ok(Self { offset, size_bytes })
            }
            _ => Err(outside),
        }
    }

    /// The string at `at`, without its NUL, of at most `limit` bytes.
    fn read(&self, file: &File<'_>, at: u64, limit: usize) -> Result<Vec<u8>> {
        let room = self.size_bytes.saturating_sub(at).min(limit as u64) as usize;
        if room == 0 {
            return Err(Malformed::Corrupt("a name is outside of its string table"));
        }
        file.string(self.offset + at, room)
    }
}

/// Bounded reads.
struct File<'a> {
    read_at: ReadAt<'a>,
}

impl File<'_> {
    fn up_to(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match (self.read_at)(offset.saturating_add(filled as u64), &mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Malformed::Io(error)),
            }
        }
        Ok(filled)
    }

    fn exact(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        // An offset past i64 is EINVAL for pread; for a reader of files it is past the end.
        if offset > i64::MAX as u64 - buffer.len() as u64 {
            return Err(Malformed::Corrupt("it ends before its headers say"));
        }
        match self.up_to(offset, buffer)? {
            filled if filled == buffer.len() => Ok(()),
            _ => Err(Malformed::Corrupt("it ends before its headers say")),
        }
    }

    /// `length` bytes at `offset`, from `head` (the start of the file) where it has them.
    fn slice(&self, head: &[u8], offset: u64, length: usize) -> Result<Vec<u8>> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        if let Some(bytes) = head.get(start..start.saturating_add(length)) {
            return Ok(bytes.to_vec());
        }
        let mut bytes = vec![0; length];
        self.exact(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// The bytes up to a NUL within `room` bytes. Read in steps: names are short, tables long.
    fn string(&self, offset: u64, room: usize) -> Result<Vec<u8>> {
        const STEP: usize = 256;
        let mut bytes = Vec::new();
        while bytes.len() < room {
            let start = bytes.len();
            bytes.resize(room.min(start + STEP), 0);
            let at = offset.checked_add(start as u64).filter(|&at| at <= i64::MAX as u64);
            let at = at.ok_or(Malformed::Corrupt("it ends before its headers say"))?;
            let filled = self.up_to(at, &mut bytes[start..])?;
            if let Some(end) = bytes[start..start + filled].iter().position(|&byte| byte == 0) {
                bytes.truncate(start + end);
                return Ok(bytes);
            }
            if filled == 0 {
                break;
            }
            bytes.truncate(start + filled);
        }
        Err(Malformed::Corrupt("a name does not end"))
    }

    fn interpreter(&self, segment: &Segment) -> Result<Vec<u8>> {
        let room = usize::try_from(segment.file_bytes).unwrap_or(usize::MAX);
        if !(2..=MAX_NAME_BYTES).contains(&room) {
            return Err(Malformed::Corrupt("its interpreter's name has an impossible length"));
        }
        self.string(segment.offset, room)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
