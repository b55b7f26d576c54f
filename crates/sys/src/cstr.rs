//! Passing strings to the kernel.

use crate::errno::{Errno, Result};
use alloc::vec::Vec;

/// Calls `f` with `bytes` as a C string. A NUL inside is `EINVAL`: the kernel would silently see
/// a shorter name.
pub(crate) fn with_cstr<T>(bytes: &[u8], f: impl FnOnce(*const u8) -> Result<T>) -> Result<T> {
    let string = terminated(bytes)?;
    f(string.as_ptr())
}

/// It is on the heap, whose blocks are reused at once, and in one function: a buffer on the stack
/// has to be cleared, and the code for both was there for every call that takes a path.
#[inline(never)]
fn terminated(bytes: &[u8]) -> Result<Vec<u8>> {
    if bytes.contains(&0) {
        return Err(Errno::EINVAL);
    }
    let mut string = Vec::with_capacity(bytes.len() + 1);
    string.extend_from_slice(bytes);
    string.push(0);
    Ok(string)
}

/// A NULL-terminated array of C strings, as `execve` takes it.
pub struct CStrings {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl CStrings {
    /// Copies `strings`. One with a NUL inside is `EINVAL`.
    pub fn new<S: AsRef<[u8]>>(strings: &[S]) -> Result<Self> {
        let mut all = Self { bytes: Vec::new(), starts: Vec::with_capacity(strings.len()) };
        strings.iter().try_for_each(|string| all.push(string.as_ref())).map(|()| all)
    }

    #[inline(never)]
    fn push(&mut self, string: &[u8]) -> Result<()> {
        if string.contains(&0) {
            return Err(Errno::EINVAL);
        }
        self.starts.push(self.bytes.len());
        self.bytes.extend_from_slice(string);
        self.bytes.push(0);
        Ok(())
    }

    /// The array of pointers; valid as long as `self` is.
    pub(crate) fn pointers(&self) -> Vec<*const u8> {
        let pointer = |&start: &usize| self.bytes[start..].as_ptr();
        self.starts.iter().map(pointer).chain([core::ptr::null()]).collect()
    }
}
