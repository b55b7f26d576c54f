//! Every limit of the registry, with its reason. Those of the configuration are defaults.

use std::time::Duration;

/// Largest manifest that is taken: what the specification asks for.
pub(crate) const MANIFEST_BYTES: usize = oci::image::SIZE_LIMIT_BYTES;
/// Memory for the manifests that are arriving at one moment: sixteen of the largest.
pub(crate) const MANIFESTS_IN_FLIGHT_BYTES: usize = 16 * MANIFEST_BYTES;
/// Largest blob. S3 has the same limit for an object.
pub(crate) const BLOB_BYTES: u64 = 5 << 40;
/// Tags that one `PUT` may give (`?tag=`). The specification asks for ten.
pub(crate) const TAGS_PER_PUT: usize = 64;
/// Members of a page of tags or repositories, and the most that `n=` may ask for.
pub(crate) const PAGE_ENTRIES: usize = 10_000;
/// Rows of a table on a page for people.
pub(crate) const PAGE_ROWS: usize = 200;
/// Characters of a text there that anybody may have pushed.
pub(crate) const PAGE_TEXT: usize = 1000;
/// Referrers on a page.
pub(crate) const REFERRERS_PAGE_ENTRIES: usize = 1000;
/// Bytes of a page of referrers: clients take no larger index.
pub(crate) const REFERRERS_PAGE_BYTES: usize = 3 << 20;
/// Largest record of the registry's own, a referrer with its annotations excepted.
pub(crate) const RECORD_BYTES: usize = 64 << 10;
/// A referrer's descriptor, which has the annotations of a manifest in it.
pub(crate) const REFERRER_BYTES: usize = MANIFEST_BYTES + RECORD_BYTES;
/// Listings at one moment: each holds the names of a whole directory.
pub(crate) const LISTINGS: usize = 4;
/// Repositories in which a blob is looked for that a client wants from anywhere. It may always upload it.
pub(crate) const REPOSITORIES_SEARCHED: usize = 1000;
/// Digests that a manifest may name. A manifest of 4 MiB has room for 40,000.
pub(crate) const REFERENCES: usize = 50_000;
/// Questions to other registries at one moment: each has one of the threads for what blocks.
pub(crate) const ASKS: usize = 16;
/// Blobs that come from other registries at one moment.
pub(crate) const FETCHES: usize = 16;
/// How often another registry is asked before it counts as away.
pub(crate) const UPSTREAM_ATTEMPTS: u32 = 2;
/// The longest pause between: clients wait.
pub(crate) const UPSTREAM_PAUSE: Duration = Duration::from_secs(2);
/// How long one may be silent: behind that, clients get what is here.
pub(crate) const UPSTREAM_SILENCE: Duration = Duration::from_secs(15);
/// How long a registry that is away is left alone.
pub(crate) const AWAY_PAUSE: Duration = Duration::from_secs(20);
/// How long one is left alone at most that limits how much is asked for.
pub(crate) const LIMITED_PAUSE: Duration = Duration::from_secs(60 * 60);
/// How long a tag of another registry is taken to stand for what it stood for: a hundred machines that start at
/// the same moment ask once.
pub const TRUST: Duration = Duration::from_secs(60);
/// How often a store of objects is asked.
pub(crate) const OBJECT_ATTEMPTS: u32 = 4;
/// Pause before the second attempt; each further one is twice as long.
pub(crate) const OBJECT_PAUSE: Duration = Duration::from_millis(200);
/// Time without a byte from it.
pub(crate) const OBJECT_WAIT: Duration = Duration::from_secs(30);
/// A list of it, all pages together: a million entries.
pub(crate) const OBJECT_LIST_BYTES: usize = 256 << 20;
/// A larger file is sent in parts of this size at least. S3 takes none below 5 MiB.
pub(crate) const PART_BYTES: u64 = 32 << 20;
/// What is copied within the store of objects by one request: S3 takes no more.
pub(crate) const COPIED_BYTES: u64 = 5 << 30;
/// How long an upload that all servers see, and that nobody goes on with, stays on the disk of one.
pub(crate) const PASSED_AGE: Duration = Duration::from_secs(60);
/// Most parts of a file: S3 takes 10,000.
pub(crate) const PARTS: u64 = 9000;
/// How long an address that clients are sent to is good for: a download that has begun goes on.
pub(crate) const PRESIGNED_S: u64 = 20 * 60;
/// What is read of an object at once for an answer, as long as there are buffers of this size.
pub(crate) const OBJECT_READ_BYTES: usize = 4 << 20;
/// Buffers of that size in the whole process.
pub(crate) const OBJECT_READ_BUFFERS: usize = 16;
/// What is read at once when they are all in use.
pub(crate) const OBJECT_READ_SMALL_BYTES: usize = 64 << 10;
/// How long a collector of several servers may be at work before another one takes its place.
pub(crate) const COLLECTOR_S: u64 = 6 * 60 * 60;
/// How long content that a collector is about to remove is not relied on. One that was killed is not waited for longer.
pub(crate) const CONDEMNED_S: u64 = 15 * 60;
/// How long after it has said so it may remove content: clocks of other servers may be ten minutes off.
pub(crate) const CONDEMN_S: u64 = 4 * 60;
/// Content that it removes at once.
pub(crate) const CONDEMNED: usize = 200;
/// How often a client looks what has become of content that a collector wanted to remove: for a minute.
pub(crate) const VERDICT_TRIES: u32 = 120;
/// The pause between.
pub(crate) const VERDICT_PAUSE: Duration = Duration::from_millis(500);
/// How often content is brought again that a collector has removed under it.
pub(crate) const PLACINGS: usize = 3;
/// Names that are tried for a new file before the random source counts as broken.
pub(crate) const NAME_TRIES: usize = 16;

/// Smallest piece of an upload, but for the last: what clients are told. A client that sends less
/// is served all the same; it costs it more than us.
pub(crate) const CHUNK_MIN_BYTES: u64 = 64 << 10;
/// Uploads whose hash is kept between requests; a further one is hashed again from its file.
pub(crate) const SESSIONS: usize = 1024;
/// Uploads that are not finished, in the whole registry: each is a directory and an entry in memory.
pub(crate) const UPLOADS: usize = 100_000;

/// Ranges of one request: containers/image asks for at most so many pieces of a layer at once.
pub(crate) const RANGES: usize = 1024;

/// What is read of a file at once for an answer, as long as there are buffers of this size.
pub(crate) const READ_BYTES: usize = 256 << 10;
/// Buffers of that size in the whole process: slow clients must not use up the memory.
pub(crate) const READ_BUFFERS: usize = 32;
/// What is read at once when they are all in use: a thousand slow clients take 16 MiB.
pub(crate) const READ_SMALL_BYTES: usize = 16 << 10;
/// What hyper may hold of a request that nobody has taken yet, for each connection.
pub(crate) const CONNECTION_BUFFER_BYTES: usize = 32 << 10;
/// What is hashed and written at once of what has arrived. Each time costs a thread's waking.
pub(crate) const WRITE_BYTES: usize = 1 << 20;
/// Memory for what has arrived of all uploads and is not written yet, without the piece of each that hyper holds.
pub(crate) const ROOM_BYTES: usize = 32 << 20;
/// What it is counted in.
pub(crate) const ROOM_UNIT_BYTES: usize = 4 << 10;
/// Pieces of uploads that are hashed and written at one moment.
pub(crate) const WRITES: usize = 32;
/// Threads for what blocks: disk, hashing, passwords.
pub(crate) const BLOCKING_THREADS: usize = 64;

/// Passwords that are compared at one moment: each keeps a processor busy for a tenth of a second.
pub(crate) const PASSWORD_CHECKS: usize = 2;
/// bcrypt's cost for new passwords: 2^10 rounds, docker-registry's advice.
pub(crate) const PASSWORD_COST: u32 = 10;
/// How long a password that was right is remembered.
pub(crate) const PASSWORD_MEMORY: Duration = Duration::from_secs(5 * 60);
/// Passwords that are remembered.
pub(crate) const PASSWORDS_REMEMBERED: usize = 10_000;

/// Addresses whose requests are counted.
pub(crate) const RATE_CLIENTS: usize = 100_000;
/// What a wrong password costs of [`FAILURES`]; a client has twenty of them, and one more every two seconds.
pub(crate) const FAILURES: crate::server::Rate =
    crate::server::Rate { per_second: 0.5, burst: 20.0 };
/// Lines of the access log that wait to be written. Others are dropped and counted.
pub(crate) const LOG_LINES: usize = 8192;
/// Events that wait to be sent. Others are dropped and counted.
pub(crate) const EVENTS: usize = 1024;
/// How often an event is sent.
pub(crate) const EVENT_ATTEMPTS: u32 = 5;
/// Pause before the second attempt; each further one is twice as long.
pub(crate) const EVENT_PAUSE: Duration = Duration::from_secs(1);
/// Time for an event to be taken.
pub(crate) const EVENT_WAIT: Duration = Duration::from_secs(10);

/// Connections at one moment. Others wait in the kernel's queue.
pub const CONNECTIONS: usize = 10_000;
/// Requests at one moment on a connection of HTTP/2.
pub(crate) const STREAMS: u32 = 100;
/// What may have come of a request's body before it is read, and of all of a connection: as much as of Go's servers.
pub(crate) const WINDOW_BYTES: u32 = 1 << 20;
/// Requests that a client has taken back before anybody has looked at them: with more at one moment it is sent away
/// (CVE-2023-44487).
pub(crate) const RESETS: usize = 20;
/// Requests of a connection that are none: with more it is sent away.
pub(crate) const BROKEN_REQUESTS: usize = 100;
/// Names and values of a request's headers, all together.
pub(crate) const HEADERS_BYTES: u32 = 32 << 10;
/// Headers of a request.
pub(crate) const HEADERS: usize = 64;
/// Time for a request's headers, and for a connection without one.
pub(crate) const HEADERS_WAIT: Duration = Duration::from_secs(30);
/// Time for the first bytes of TLS.
pub(crate) const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);
/// Time without a byte in a request's body or an answer's.
pub(crate) const SILENCE: Duration = Duration::from_secs(60);
/// What has to arrive of a body in that time: 1 KiB a second. Slower is a fault or a trick.
pub(crate) const SLOW_BYTES: usize = 60 << 10;
/// What is read for nothing of a body that was refused, so that its client gets the answer.
pub(crate) const DISCARD_BYTES: usize = 16 << 20;
/// Time for that.
pub(crate) const DISCARD_WAIT: Duration = Duration::from_secs(10);
/// Time for a manifest to arrive: it waits for nothing but the line.
pub(crate) const MANIFEST_WAIT: Duration = Duration::from_secs(120);
/// Time for an upload's other connection to let go of it.
pub(crate) const TAKEOVER_WAIT: Duration = Duration::from_secs(10);
/// Pause after a connection could not be accepted: descriptors are short.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long connections without a request are kept when the server is told to end.
pub(crate) const FAREWELL: Duration = Duration::from_millis(100);
/// Time for requests to end when the server is told to.
pub const DRAIN: Duration = Duration::from_secs(30);

/// How long content that nothing refers to is kept after somebody put it or asked whether it is
/// there: a client relies on the answer until its manifest arrives.
pub const LEASE: Duration = Duration::from_secs(2 * 60 * 60);
/// Time between two looks for what nothing refers to.
pub const COLLECT_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// How long an upload is kept that nobody goes on with.
pub const UPLOAD_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
