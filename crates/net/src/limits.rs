//! Limits, each with its reason.

/// Bytes of a record: a network with a hundred labels has 10 KB, a container that publishes 10,000 ports 1 MB.
pub const RECORD_BYTES: usize = 8 << 20;
/// Networks of one store: each is a bridge, of which the kernel has no more than it has device numbers; docker
/// stops at 31 without configuration.
pub const NETWORKS: usize = 4096;
/// Bytes of a network's name. Files are named after it.
pub const NAME_BYTES: usize = 200;
/// Ports that one container publishes. Each is an element of a map.
pub const PORTS: usize = 20_000;
/// How long a lock is waited for. It is held for some system calls only; a machine that swaps is slow, though.
pub const LOCK_WAIT_MS: u64 = 20_000;
/// Pauses between two looks at a lock grow up to this.
pub const POLL_MS: u64 = 20;
/// Addresses that are tried one by one before all leases are looked at together.
pub const ADDRESS_TRIES: u32 = 64;
/// How often something is done again that another process has changed in between.
pub const RACES: u32 = 32;
/// Names of one container in one network.
pub const ALIASES: usize = 256;
/// Bytes of a name in the DNS (RFC 1035, section 2.3.4).
pub const HOSTNAME_BYTES: usize = 253;
