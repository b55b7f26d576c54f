//! How much of anything is taken from bytes that nobody here made.

/// Longest path, and longest target of a link: the kernel's `PATH_MAX` with its NUL.
pub const PATH_BYTES: usize = 4095;
/// Longest component of a path: `NAME_MAX`.
pub const NAME_BYTES: usize = 255;
/// Deepest path. Each level costs the extractor a descriptor; real trees (nested `node_modules`)
/// stay below 60.
pub const DEPTH: usize = 256;
/// Largest PAX header: Go's `archive/tar`, with which the field packs, reads no more.
pub const PAX_BYTES: usize = 1 << 20;
/// Most extended attributes of one entry.
pub const XATTRS: usize = 128;
/// Longest name of an extended attribute: the kernel's `XATTR_NAME_MAX`.
pub const XATTR_NAME_BYTES: usize = 255;
/// Largest value of an extended attribute: the kernel's `XATTR_SIZE_MAX`.
pub const XATTR_VALUE_BYTES: usize = 65536;
/// Most pieces of a sparse file. A piece is 16 bytes in memory.
pub const SPARSE_PIECES: usize = 1 << 17;
/// Most entries of an archive: ten times the largest layer that was ever seen.
pub const ENTRIES: u64 = 10_000_000;
/// Most bytes that one archive's sparse files may pretend to have beyond what is stored. They take
/// no room on disk, but everybody who copies or hashes such a file later pays for them.
pub const HOLE_BYTES: u64 = 128 << 30;
/// Largest archive after decompression.
pub const PLAIN_BYTES: u64 = 1 << 40;
/// Most bytes behind the end marker: `tar --blocking-factor` pads with up to some megabytes.
pub const TAIL_BYTES: u64 = 64 << 20;
/// Decompressed bytes that are free of [`RATIO`].
pub const RATIO_FREE_BYTES: u64 = 4 << 30;
/// Most decompressed bytes for each compressed one, beyond the free ones. Deflate cannot have more
/// than 1032; zstd and xz can have a hundred times that, for zeros only.
pub const RATIO: u64 = 1100;
/// Largest zstd window, as a power of two: 32 MiB, `zstd --ultra -20`. Together with everything
/// else it stays below the 64 MiB that a pull may use.
pub const ZSTD_WINDOW_LOG: u32 = 25;
/// Memory that unpacking xz may take: `xz -9` needs 64 MiB and a little.
pub const XZ_MEMORY_KIB: u32 = 66 << 10;
/// Most bytes of names and attributes that an extraction remembers until its end: of directories
/// without an entry, of files that are replaced, of default ACLs.
pub const REMEMBERED_BYTES: usize = 8 << 20;
/// Most hard links of an archive, and most entries of one that is unpacked in [`Form::Plain`]: some
/// 16 bytes of memory each.
///
/// [`Form::Plain`]: crate::apply::Form::Plain
pub const REMEMBERED_NAMES: usize = 1 << 20;
/// Most entries of one directory tree that a replacement may remove, in a plain extraction.
pub const REMOVALS: usize = 1 << 22;

/// The limits of one archive. The default is the constants of this module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// See [`ENTRIES`].
    pub entries: u64,
    /// See [`DEPTH`].
    pub depth: usize,
    /// See [`PAX_BYTES`].
    pub pax_bytes: usize,
    /// See [`SPARSE_PIECES`].
    pub sparse_pieces: usize,
    /// See [`HOLE_BYTES`].
    pub hole_bytes: u64,
    /// See [`PLAIN_BYTES`].
    pub plain_bytes: u64,
    /// See [`TAIL_BYTES`].
    pub tail_bytes: u64,
    /// See [`RATIO_FREE_BYTES`].
    pub ratio_free_bytes: u64,
    /// See [`ZSTD_WINDOW_LOG`].
    pub zstd_window_log: u32,
    /// See [`XZ_MEMORY_KIB`].
    pub xz_memory_kib: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: ENTRIES,
            depth: DEPTH,
            pax_bytes: PAX_BYTES,
            sparse_pieces: SPARSE_PIECES,
            hole_bytes: HOLE_BYTES,
            plain_bytes: PLAIN_BYTES,
            tail_bytes: TAIL_BYTES,
            ratio_free_bytes: RATIO_FREE_BYTES,
            zstd_window_log: ZSTD_WINDOW_LOG,
            xz_memory_kib: XZ_MEMORY_KIB,
        }
    }
}
