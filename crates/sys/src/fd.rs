//! File descriptors.

use crate::arch::call;
use core::marker::PhantomData;

/// An owned descriptor, closed when dropped. Every function of this crate that makes one sets
/// close-on-exec.
#[derive(Debug)]
pub struct Fd(i32);

impl Fd {
    /// Takes ownership of descriptor `raw`, which nobody else will close.
    pub fn from_raw(raw: i32) -> Self {
        Self(raw)
    }

    /// The number. It stays owned.
    pub fn raw(&self) -> i32 {
        self.0
    }

    /// The number, no longer owned.
    pub fn into_raw(self) -> i32 {
        let raw = self.0;
        core::mem::forget(self);
        raw
    }

    /// Gives the descriptor to something else that owns descriptors: `take` is the `from_raw_fd` of a type of
    /// the standard library's, which this crate does not link.
    pub fn give<T>(self, take: unsafe fn(i32) -> T) -> T {
        // SAFETY: `from_raw_fd` asks for a descriptor that is open and that nobody else owns, and this one is no
        // longer ours.
        unsafe { take(self.into_raw()) }
    }

    /// A borrow that can be stored.
    pub fn borrow(&self) -> BorrowedFd<'_> {
        BorrowedFd(self.0, PhantomData)
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: close takes no pointer. Its errors are about data already given up.
        let _ = unsafe { call!(__NR_close, self.0) };
    }
}

/// A descriptor that somebody else owns.
#[derive(Clone, Copy, Debug)]
pub struct BorrowedFd<'a>(i32, PhantomData<&'a Fd>);

impl BorrowedFd<'_> {
    /// A descriptor that the caller knows to stay open, such as 0, 1, 2 or one that was inherited.
    pub const fn from_raw(raw: i32) -> Self {
        Self(raw, PhantomData)
    }
}

/// The current directory, as the `*at` calls name it (`AT_FDCWD`).
pub const CWD: BorrowedFd<'static> = BorrowedFd::from_raw(-100);

/// Things that are a descriptor.
pub trait AsFd {
    /// Its number.
    fn fd(&self) -> i32;
}

impl AsFd for Fd {
    fn fd(&self) -> i32 {
        self.0
    }
}

impl AsFd for BorrowedFd<'_> {
    fn fd(&self) -> i32 {
        self.0
    }
}

impl<T: AsFd> AsFd for &T {
    fn fd(&self) -> i32 {
        (**self).fd()
    }
}
