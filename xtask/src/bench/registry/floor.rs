//! The floor of an upload: one thread that receives, hashes and writes it, with nothing else around.

use super::load::Content;
use oci::Algorithm;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use transport::hash::Hasher;

/// What is received, hashed and written at once: as the server does.
const PIECE_BYTES: usize = 1 << 20;
const NANOSECONDS: f64 = 1e9;

/// How far it goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    Received,
    Hashed,
    Written,
}

/// Processor time that one upload takes, in seconds.
pub(super) fn upload(
    content: &mut Content,
    size: usize,
    depth: Depth,
    dir: &Path,
) -> Result<f64, String> {
    let failed = |error: std::io::Error| format!("the floor of an upload: {error}");
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let path = dir.join("floor");
    let (bytes, digest) = content.fresh(size);
    let (seconds, found) = std::thread::scope(|scope| {
        let server = scope.spawn(|| receive(&listener, size, depth, &path));
        let mut client = TcpStream::connect(address)?;
        client.write_all(bytes)?;
        // Its end is the answer.
        client.read_to_end(&mut Vec::new())?;
        server.join().unwrap_or_else(|_| Err(std::io::Error::other("it has panicked")))
    })
    .map_err(failed)?;
    let _ = std::fs::remove_file(&path);
    match depth >= Depth::Hashed && found != digest {
        true => Err("the floor of an upload: other bytes have arrived".into()),
        false => Ok(seconds),
    }
}

fn receive(
    listener: &TcpListener,
    size: usize,
    depth: Depth,
    path: &Path,
) -> std::io::Result<(f64, oci::Digest)> {
    let (mut stream, _) = listener.accept()?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut file = (depth == Depth::Written).then(|| File::create(path)).transpose()?;
    let mut piece = vec![0; PIECE_BYTES];
    let before = own_seconds()?;
    let mut left = size;
    while left > 0 {
        let piece = &mut piece[..PIECE_BYTES.min(left)];
        stream.read_exact(piece)?;
        left -= piece.len();
        if let Some(file) = &mut file {
            file.write_all(piece)?;
        }
        if depth >= Depth::Hashed {
            hasher.update(piece);
        }
    }
    if let Some(file) = &file {
        file.sync_data()?;
    }
    Ok((own_seconds()? - before, hasher.finish()))
}

/// Processor time of this thread so far.
fn own_seconds() -> std::io::Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = text.split(' ').next().and_then(|it| it.parse::<f64>().ok());
    first.map(|it| it / NANOSECONDS).ok_or_else(|| std::io::Error::other("no schedstat"))
}
