//! Every limit of the store, with its reason.

/// Largest record: names are at most some kilobytes, a container of 500 layers has 36 KiB.
pub const RECORD_BYTES: usize = 256 << 10;
/// How long a command waits for the store's lock. It is held for milliseconds; the marking of 10,000
/// images takes some seconds on a slow disk.
pub const LOCK_WAIT_MS: u64 = 60_000;
/// How long whoever removes a container waits for those who have it open: most look at it for a moment.
pub const LOOKERS_WAIT_MS: u64 = 2000;
/// How long one puller waits for another one of the same content: the largest layers over a slow line.
pub const CLAIM_WAIT_MS: u64 = 3 * 3_600_000;
/// The longest pause between two looks at a lock. `flock` has no timeout, and the kernel tells nobody
/// that a lock is free.
pub const POLL_MS: u64 = 20;
/// How often a file that was replaced while its lock was waited for is opened anew.
pub const REOPENS: u32 = 1000;
/// How often a directory is emptied into which somebody still writes.
pub(crate) const EMPTYINGS: u32 = 8;
/// Random names are 64 bits: a second one is never needed, unless somebody makes names on purpose.
pub const NAME_TRIES: u32 = 16;
/// Names of references with digest: 255 bytes of name, 128 of tag, 135 of digest; and of other sources.
pub const REFERENCE_BYTES: usize = 4096;
/// Threads that read names: nearly all of the time is in the kernel.
pub const READERS: usize = 4;
/// Directories of names for each of them: for fewer a thread costs more than it saves.
pub const DIRS_PER_READER: usize = 32;
/// Layers of an image: overlay's own limit.
pub const LAYERS: usize = 500;
/// Indexes in indexes. Real ones have one level.
pub const INDEX_DEPTH: u32 = 8;
/// Documents below one name: an index of all platforms and attestations has some hundred.
pub const DOCUMENTS: usize = 10_000;
/// Directories in directories, on removal: what the extractor lets through is less.
pub const TREE_DEPTH: u32 = 4096;
/// Additional stores. Each costs a look for everything that is not found.
pub const ADDITIONAL: usize = 16;
/// Bytes of one read from a source: what a pipe and a TLS record hold several of.
pub const COPY_BYTES: usize = 128 << 10;
/// Largest blob: what a registry lets through is less.
pub const BLOB_BYTES: u64 = 1 << 40;
/// Names of directories that a tar has no entries for: what an extraction remembers.
pub const IMPLIED_BYTES: usize = 16 << 20;
