//! The container's terminal.
//!
//! The pseudo-terminal is made in the container's own devpts through the descriptor of that mount,
//! its other end is opened with `TIOCGPTPEER`, and what is mounted on `/dev/console` is that open
//! end: no path of the container is looked up (CVE-2025-52565, CVE-2026-88264).

use super::{Job, devices, mounts};
use crate::error::{Attempt, Error, Result};
use crate::procfs::fd_path;
use crate::rootdir::RootDir;
use alloc::format;
use oci::runtime::{ConsoleSize, Process};
use sys::mount as m;
use sys::{CWD, Errno, Fd, fs, socket, tty};

/// The container's end of its terminal.
pub(crate) struct Terminal(Fd);

/// Where a terminal goes, or comes from.
#[derive(Debug)]
pub(crate) enum Outlet {
    /// A new one's outer end is sent over this socket.
    Socket(Fd),
    /// As `Socket`, to this program itself, which copies it to the caller's terminal.
    Relay(Fd),
    /// It is this one of the host's.
    Device(Fd),
}

/// Makes the terminal, mounts it on `/dev/console`, and sends the other end away.
pub(super) fn make(
    job: &mut Job,
    root: &RootDir,
    terminals: Option<&Fd>,
) -> Result<Option<Terminal>> {
    let Some(outlet) = job.console.take() else { return Ok(None) };
    let terminal = provide(outlet, terminals, job.plan.process.console_size.as_ref(), |slave| {
        mount(root, slave)
    })?;
    Ok(Some(terminal))
}

/// Gets the terminal from the outlet, or makes it and sends its outer end there. `prepare` is given
/// the inner end of a new one before anybody outside knows of it.
pub(crate) fn provide(
    outlet: Outlet,
    terminals: Option<&Fd>,
    size: Option<&ConsoleSize>,
    prepare: impl FnOnce(&Fd) -> Result<()>,
) -> Result<Terminal> {
    let relayed = matches!(outlet, Outlet::Relay(_));
    match outlet {
        // Its mount is another namespace's and cannot be bound on /dev/console.
        Outlet::Device(device) => Ok(Terminal(device)),
        Outlet::Socket(socket) | Outlet::Relay(socket) => {
            let (terminal, master) = open(terminals, size)?;
            if relayed {
                translate_no_newlines(&terminal.0)?;
            }
            prepare(&terminal.0)?;
            send(&socket, &master)?;
            Ok(terminal)
        }
    }
}

/// The caller's terminal translates newlines, or its output is a file that wants them as they are.
fn translate_no_newlines(terminal: &Fd) -> Result<()> {
    tty::settings(terminal)
        .and_then(|settings| tty::set_settings(terminal, &settings.without_newline_translation()))
        .attempt(|| "setting up the container's terminal")
}

/// Makes a terminal in a devpts, or in `/dev/pts` of the current root; returns both ends.
fn open(terminals: Option<&Fd>, size: Option<&ConsoleSize>) -> Result<(Terminal, Fd)> {
    let attempt = || "opening a pseudo-terminal";
    let flags = fs::O_RDWR | fs::O_NOCTTY;
    let master = match terminals {
        Some(devpts) => fs::open_at(devpts, "ptmx", flags, 0),
        None => fs::open_at(CWD, "/dev/pts/ptmx", flags, 0)
            .or_else(|_| fs::open_at(CWD, "/dev/ptmx", flags, 0)),
    }
    .attempt(attempt)?;
    tty::unlock(&master).attempt(attempt)?;
    let slave = match tty::peer(&master) {
        // Before Linux 4.13 only the path leads there.
        Err(Errno::EINVAL | Errno::ENOTTY) => {
            let number = tty::number(&master).attempt(attempt)?;
            match terminals {
                Some(devpts) => fs::open_at(devpts, format!("{number}"), flags, 0),
                None => fs::open_at(CWD, format!("/dev/pts/{number}"), flags, 0),
            }
        }
        result => result,
    }
    .attempt(attempt)?;
    if let Some(size) = size {
        let size = tty::Size { rows: size.height as u16, columns: size.width as u16 };
        tty::set_size(&master, size).attempt(|| "process.consoleSize: setting it")?;
    }
    Ok((Terminal(slave), master))
}

fn mount(root: &RootDir, slave: &Fd) -> Result<()> {
    let attempt = || "mounting the terminal on /dev/console";
    let (dev, name) = root.parent("/dev/console")?;
    let target = devices::open_cover(&dev, name, 0o600).attempt(attempt)?;
    match m::clone_tree(slave, "", false) {
        Ok(tree) => mounts::attach(&tree, &target),
        Err(Errno::ENOSYS | Errno::EPERM) => {
            m::mount(fd_path(slave), fd_path(&target), "", m::MS_BIND, "").attempt(attempt)
        }
        Err(errno) => Err(Error::os(attempt(), errno)),
    }
}

/// Sends the terminal's outer end over a console socket, with its name as runc does.
pub(crate) fn send(socket: &Fd, master: &Fd) -> Result<()> {
    socket::send(socket, b"/dev/ptmx", &[master.raw()])
        .map(drop)
        .attempt(|| "sending the terminal over the console socket")
}

impl Terminal {
    /// Makes it the controlling terminal and the standard descriptors.
    pub(crate) fn connect(self, process: &Process) -> Result<()> {
        let attempt = || "connecting the terminal";
        // The user has to be able to open its own terminal again, for example as /dev/stdout.
        // With an id that the namespace does not map it stays root's, which only costs that.
        match fs::chown_fd(&self.0, process.user.uid, u32::MAX) {
            Ok(()) | Err(Errno::EINVAL | Errno::EPERM | Errno::EROFS) => {}
            Err(errno) => return Err(Error::os(attempt(), errno)),
        }
        tty::make_controlling(&self.0).attempt(attempt)?;
        for standard in 0..3 {
            fs::duplicate_to(&self.0, standard).attempt(attempt)?;
        }
        Ok(())
    }
}
