//! Sockets that systemd has opened, and the word that the server is ready (sd_listen_fds(3), sd_notify(3)).

use std::net::TcpListener;
use std::os::fd::FromRawFd;

/// The first descriptor that is handed on.
const FIRST: i32 = 3;
/// Sockets that are taken.
const SOCKETS_LIMIT: i32 = 64;

/// Sockets that are meant for this process.
pub(super) fn sockets() -> Vec<TcpListener> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<i32>().ok());
    if number("LISTEN_PID") != Some(sys::process::id()) {
        return Vec::new();
    }
    let count = number("LISTEN_FDS").unwrap_or(0).clamp(0, SOCKETS_LIMIT);
    let take = |raw: i32| {
        let socket = sys::Fd::from_raw(raw);
        let _ = sys::fs::set_cloexec(&socket, true);
        // What is no socket of TCP has no address, and is told as such where it is used.
        socket.give(TcpListener::from_raw_fd)
    };
    (FIRST..FIRST + count).map(take).filter(|socket| socket.local_addr().is_ok()).collect()
}

/// Tells the service manager something, if there is one.
pub(super) fn notify(text: &str) {
    let Some(address) = std::env::var_os("NOTIFY_SOCKET") else { return };
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let bytes = address.as_bytes();
    let address = match bytes.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&address),
    };
    // Nobody waits for the word whose address is wrong.
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        let _ = socket.send_to_addr(text.as_bytes(), &address);
    }
}
