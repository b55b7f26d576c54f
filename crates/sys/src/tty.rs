//! Terminals.

use crate::arch::call;
use crate::errno::Result;
use crate::fd::{AsFd, Fd};
use linux_raw_sys::general::{O_CLOEXEC, O_NOCTTY, O_RDWR, winsize};
use linux_raw_sys::ioctl::{
    TCGETS, TCSETS, TIOCGPTN, TIOCGPTPEER, TIOCGWINSZ, TIOCSCTTY, TIOCSPTLCK, TIOCSWINSZ,
};

/// Size in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "rows and columns")]
pub struct Size {
    pub rows: u16,
    pub columns: u16,
}

/// Settings of a terminal (`struct termios` of the kernel).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    input: u32,
    output: u32,
    control: u32,
    local: u32,
    line: u8,
    characters: [u8; 19],
}

impl Settings {
    /// The same terminal as a wire to another one: like `cfmakeraw(3)`, but what is written to it is
    /// still processed. Messages of other programs end their lines as ever, and the inner terminal
    /// needs no translation of its own ([`Settings::without_newline_translation`]).
    pub fn raw(mut self) -> Self {
        // IGNBRK BRKINT PARMRK ISTRIP INLCR IGNCR ICRNL IXON
        self.input &= !0o2753;
        // ECHO ECHONL ICANON ISIG IEXTEN
        self.local &= !0o100113;
        // CSIZE PARENB, then CS8
        self.control = self.control & !0o460 | 0o60;
        // VTIME, VMIN
        self.characters[5] = 0;
        self.characters[6] = 1;
        self
    }

    /// What is typed is not shown, as for a password.
    pub fn without_echo(mut self) -> Self {
        // ECHO
        self.local &= !0o10;
        self
    }

    /// What is written goes out as it is (`OPOST` off).
    pub fn without_output_processing(mut self) -> Self {
        self.output &= !0o1;
        self
    }

    /// Output newlines are left alone (`ONLCR` off), as runc sets up a new terminal.
    pub fn without_newline_translation(mut self) -> Self {
        self.output &= !0o4;
        self
    }
}

/// Settings of a terminal; `ENOTTY` when it is none.
pub fn settings(fd: impl AsFd) -> Result<Settings> {
    let mut settings =
        Settings { input: 0, output: 0, control: 0, local: 0, line: 0, characters: [0; 19] };
    // SAFETY: the kernel's `struct termios` has this layout and is writable.
    unsafe { call!(__NR_ioctl, fd.fd(), TCGETS, &raw mut settings)? };
    Ok(settings)
}

/// Changes the settings of a terminal.
pub fn set_settings(fd: impl AsFd, settings: &Settings) -> Result<()> {
    // SAFETY: the kernel's `struct termios` has this layout.
    unsafe { call!(__NR_ioctl, fd.fd(), TCSETS, core::ptr::from_ref(settings)) }.map(drop)
}

/// Whether it is a terminal.
pub fn is_terminal(fd: impl AsFd) -> bool {
    settings(fd).is_ok()
}

/// Size of a terminal.
pub fn size(fd: impl AsFd) -> Result<Size> {
    let mut size = winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the structure is writable.
    unsafe { call!(__NR_ioctl, fd.fd(), TIOCGWINSZ, &raw mut size)? };
    Ok(Size { rows: size.ws_row, columns: size.ws_col })
}

/// Changes the size of a terminal.
pub fn set_size(fd: impl AsFd, size: Size) -> Result<()> {
    let size = winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the structure is readable.
    unsafe { call!(__NR_ioctl, fd.fd(), TIOCSWINSZ, &raw const size) }.map(drop)
}

/// Makes a terminal the controlling one of the caller's session.
pub fn make_controlling(fd: impl AsFd) -> Result<()> {
    // SAFETY: the argument is a number.
    unsafe { call!(__NR_ioctl, fd.fd(), TIOCSCTTY, 0) }.map(drop)
}

/// Unlocks the other end of pseudo-terminal `master`.
pub fn unlock(master: impl AsFd) -> Result<()> {
    let locked = 0i32;
    // SAFETY: the number is readable.
    unsafe { call!(__NR_ioctl, master.fd(), TIOCSPTLCK, &raw const locked) }.map(drop)
}

/// Number of a pseudo-terminal: its other end is `/dev/pts/N`.
pub fn number(master: impl AsFd) -> Result<u32> {
    let mut number = 0u32;
    // SAFETY: the number is writable.
    unsafe { call!(__NR_ioctl, master.fd(), TIOCGPTN, &raw mut number)? };
    Ok(number)
}

/// Opens the other end of pseudo-terminal `master` without looking at any path.
pub fn peer(master: impl AsFd) -> Result<Fd> {
    // SAFETY: the argument is a number.
    unsafe { call!(__NR_ioctl, master.fd(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC) }
        .map(|raw| Fd::from_raw(raw as i32))
}
