//! Passing strings to the kernel.

use crate::errno::{Errno, Result};
use alloc::vec::Vec;

/// Longest string that is copied to the stack; longer ones go through the heap.
const STACK_BYTES: usize = 256;

/// Calls `f` with `bytes` as a C string. A NUL inside is `EINVAL`: the kernel would silently see
/// a shorter name.
pub(crate) fn with_cstr<T>(bytes: &[u8], f: impl FnOnce(*const u8) -> Result<T>) -> Result<T> {
    if bytes.contains(&0) {
        return Err(Errno::EINVAL);
    }
    if bytes.len() < STACK_BYTES {
        let mut buffer = [0u8; STACK_BYTES];
        buffer[..bytes.len()].copy_from_slice(bytes);
        return f(buffer.as_ptr());
    }
    let mut buffer = Vec::with_capacity(bytes.len() + 1);
    buffer.extend_from_slice(bytes);
    buffer.push(0);
    f(buffer.as_ptr())
}

/// A NULL-terminated array of C strings, as `execve` takes it.
pub struct CStrings {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl CStrings {
    /// Copies `strings`. One with a NUL inside is `EINVAL`.
    pub fn new<S: AsRef<[u8]>>(strings: &[S]) -> Result<Self> {
        let total: usize = strings.iter().map(|string| string.as_ref().len() + 1).sum();
        let mut bytes = Vec::with_capacity(total);
        let mut starts = Vec::with_capacity(strings.len());
        for string in strings {
            if string.as_ref().contains(&0) {
                return Err(Errno::EINVAL);
            }
            starts.push(bytes.len());
            bytes.extend_from_slice(string.as_ref());
            bytes.push(0);
        }
        Ok(Self { bytes, starts })
    }

    /// The array of pointers; valid as long as `self` is.
    pub(crate) fn pointers(&self) -> Vec<*const u8> {
        let pointer = |&start: &usize| self.bytes[start..].as_ptr();
        self.starts.iter().map(pointer).chain([core::ptr::null()]).collect()
    }
}
