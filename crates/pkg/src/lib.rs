//! What a program needs to run.
//!
//! Given programs of a host, [`closure`] answers with exactly the files that they need in an
//! otherwise empty root file system: the programs, the interpreters of scripts, the dynamic loader
//! and every library that it loads, each at its own absolute path with all links on the way as they
//! are on the host. Nothing is executed to find out; headers are read and the loaders' search orders
//! followed (glibc's and musl's). The one file that is not the host's is a small `/etc/ld.so.cache`,
//! without which glibc's loader would miss libraries in directories that it does not know by itself.
//!
//! | module | hides |
//! |---|---|
//! | `program` | the search of `execvp` |
//! | `script` | the kernel's and `env`'s reading of a `#!` line |
//! | `elf`, `machine` | the ELF format; what glibc compiles in per architecture |
//! | `search`, `loader` | where one object finds another; which objects a program loads |
//! | `ldcache`, `ldconf` | `/etc/ld.so.cache` and `/etc/ld.so.conf` |
//! | `tree`, `files` | paths below a root; files of the host, each looked at once |
//! | `collect`, `builder`, `skeleton` | how a closure comes together |
//! | `closure`, `write` | the closure as a value with its keys, and as a directory |
//!
//! *Architecture invariants:* no `unsafe`; nothing is printed; the environment, the home and the
//! working directory of the process are not looked at ([`HostView`] has what is known of them);
//! the same files give the same closure, on every CPU; no file of the host can make this panic or
//! allocate beyond the named limits.
//!
//! ```no_run
//! # fn main() -> pkg::Result<()> {
//! let host = pkg::HostView {
//!     root: "/".into(),
//!     path: vec!["/usr/bin".into(), "/bin".into()],
//!     working_directory: "/".into(),
//! };
//! let program = pkg::find_program(&host, "/bin/sh".as_ref())?;
//! let mut closure = pkg::closure(&host, &[pkg::Wanted::Program(program.into_os_string())])?;
//! closure.merge(pkg::skeleton())?;
//! let key = closure.fingerprint();
//! // Unless a root file system is known by that key:
//! closure.write_to("/tmp/rootfs".as_ref(), std::time::UNIX_EPOCH)?;
//! # let _ = key;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod builder;
mod closure;
mod collect;
mod elf;
mod error;
mod files;
mod ldcache;
mod ldconf;
mod loader;
mod machine;
mod program;
mod script;
mod search;
mod skeleton;
mod tree;
mod write;

#[cfg(test)]
mod tests;

pub use closure::{Closure, Content, Entry, Node, Source};
pub use collect::{Wanted, closure};
pub use error::{Error, ErrorKind, Result};
pub use program::{HostView, find_program};
pub use skeleton::skeleton;
pub use tree::Stamp;
