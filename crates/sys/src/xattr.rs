//! Extended attributes, by name as bytes.
//!
//! The calls with a path do not follow a link at its end. There is no call for "an entry of this
//! open directory" before Linux 6.13; `/proc/self/fd/N/NAME` is one.

use crate::arch::call;
use crate::cstr::with_cstr;
use crate::errno::{Errno, Result};
use crate::fd::AsFd;
use alloc::vec::Vec;

/// `XATTR_SIZE_MAX` and `XATTR_LIST_MAX`.
const LIMIT_BYTES: usize = 65536;

/// `fsetxattr(2)`.
pub fn set(fd: impl AsFd, name: impl AsRef<[u8]>, value: &[u8]) -> Result<()> {
    with_cstr(name.as_ref(), |name| {
        // SAFETY: `name` is a C string, `value` is readable for the length given.
        unsafe { call!(__NR_fsetxattr, fd.fd(), name, value.as_ptr(), value.len(), 0) }
    })
    .map(drop)
}

/// `lsetxattr(2)`.
pub fn set_at(path: impl AsRef<[u8]>, name: impl AsRef<[u8]>, value: &[u8]) -> Result<()> {
    with_cstr(path.as_ref(), |path| {
        with_cstr(name.as_ref(), |name| {
            // SAFETY: both are C strings, `value` is readable for the length given.
            unsafe { call!(__NR_lsetxattr, path, name, value.as_ptr(), value.len(), 0) }
        })
    })
    .map(drop)
}

/// `fremovexattr(2)`.
pub fn remove(fd: impl AsFd, name: impl AsRef<[u8]>) -> Result<()> {
    with_cstr(name.as_ref(), |name| {
        // SAFETY: `name` is a C string for the duration of the call.
        unsafe { call!(__NR_fremovexattr, fd.fd(), name) }
    })
    .map(drop)
}

/// `fgetxattr(2)`.
pub fn get(fd: impl AsFd, name: impl AsRef<[u8]>) -> Result<Vec<u8>> {
    filled(|buffer| {
        with_cstr(name.as_ref(), |name| {
            // SAFETY: `name` is a C string, the buffer is writable for the length given.
            unsafe { call!(__NR_fgetxattr, fd.fd(), name, buffer.as_mut_ptr(), buffer.len()) }
        })
    })
}

/// `lgetxattr(2)`.
pub fn get_at(path: impl AsRef<[u8]>, name: impl AsRef<[u8]>) -> Result<Vec<u8>> {
    filled(|buffer| {
        with_cstr(path.as_ref(), |path| {
            with_cstr(name.as_ref(), |name| {
                // SAFETY: both are C strings, the buffer is writable for the length given.
                unsafe { call!(__NR_lgetxattr, path, name, buffer.as_mut_ptr(), buffer.len()) }
            })
        })
    })
}

/// The names of an open file's attributes (`flistxattr(2)`).
pub fn list(fd: impl AsFd) -> Result<Vec<Vec<u8>>> {
    // SAFETY: the buffer is writable for the length given.
    filled(|buffer| unsafe { call!(__NR_flistxattr, fd.fd(), buffer.as_mut_ptr(), buffer.len()) })
        .map(names)
}

/// `llistxattr(2)`.
pub fn list_at(path: impl AsRef<[u8]>) -> Result<Vec<Vec<u8>>> {
    filled(|buffer| {
        with_cstr(path.as_ref(), |path| {
            // SAFETY: `path` is a C string, the buffer is writable for the length given.
            unsafe { call!(__NR_llistxattr, path, buffer.as_mut_ptr(), buffer.len()) }
        })
    })
    .map(names)
}

/// Most attributes are some bytes: a small buffer first, and the largest when it is too small.
fn filled(call: impl Fn(&mut [u8]) -> Result<usize>) -> Result<Vec<u8>> {
    let mut buffer = alloc::vec![0u8; 256];
    let length = match call(&mut buffer) {
        Err(Errno::ERANGE) => {
            buffer.resize(LIMIT_BYTES, 0);
            call(&mut buffer)?
        }
        result => result?,
    };
    buffer.truncate(length);
    Ok(buffer)
}

fn names(list: Vec<u8>) -> Vec<Vec<u8>> {
    list.split(|&byte| byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CWD, fs};

    #[test]
    fn attributes_are_set_listed_read_and_removed() {
        let path = std::env::temp_dir().join(std::format!("tare-sys-xattr-{}", std::process::id()));
        let path = path.as_os_str().as_encoded_bytes();
        let file = fs::open_at(CWD, path, fs::O_RDWR | fs::O_CREAT, 0o600).unwrap();
        let large = alloc::vec![7u8; 1000];
        set(&file, b"user.one", b"1").unwrap();
        set_at(path, "user.two", &large).unwrap();
        let mut names = list(&file).unwrap();
        names.retain(|name| name.starts_with(b"user."));
        names.sort();
        assert_eq!(names, [b"user.one".to_vec(), b"user.two".to_vec()]);
        assert!(list_at(path).unwrap().contains(&b"user.two".to_vec()));
        assert_eq!(get_at(path, "user.two").unwrap(), large);
        remove(&file, "user.one").unwrap();
        assert_eq!(get_at(path, "user.one"), Err(Errno::ENODATA));
        fs::unlink(CWD, path, 0).unwrap();
    }
}
