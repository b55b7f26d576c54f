//! Uploads that any of several servers goes on with: what a server has taken of one is in the bucket before the client
//! hears of it, in pieces.
//!
//! A piece has a name of its own and is written once. So whoever has read it, or has written it, knows what it is;
//! and two servers that a client sends to at the same moment do not write over each other: of two pieces with the
//! same begin all servers take the same one.

use super::error::{Error, Result};
use super::key::Key;
use super::record::{self, UploadRecord};
use super::{Content, Storage, now_s};
use crate::names::{Repository, UploadId};
use sys::Fd;

/// A piece of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    name: String,
    begin: u64,
    /// Where the next one begins.
    pub(crate) end: u64,
}

impl Piece {
    fn new(name: &str, size: u64) -> Option<Self> {
        let (begin, id) = name.split_once('-')?;
        UploadId::parse(id)?;
        let begin: u64 = begin.parse().ok()?;
        Some(Self { name: name.to_owned(), begin, end: begin.checked_add(size)? })
    }
}

/// Those of an upload's pieces that follow each other from its begin.
fn chain(mut all: Vec<Piece>) -> Vec<Piece> {
    all.sort_by(|one, other| one.name.cmp(&other.name));
    let mut chain: Vec<Piece> = Vec::new();
    for piece in all {
        let at = chain.last().map_or(0, |last| last.end);
        if piece.begin == at && piece.end > at {
            chain.push(piece);
        }
    }
    chain
}

impl Storage {
    /// Begins an upload on this server's disk.
    pub(crate) fn begin_upload(&self, id: &UploadId, name: &Repository) -> Result<Fd> {
        let record = UploadRecord { repository: name.to_string(), time_s: now_s() };
        let text = self.directory.create_file(&Key::upload_record(id))?;
        let written = sys::fs::write_all(&text, oci::json::write(&record).as_bytes());
        written.map_err(|errno| Error::os(format!("writing the record of {id}"), errno))?;
        self.directory.create_file(&Key::upload(id))
    }

    /// Lets other servers see an upload; says whether there are any.
    pub(crate) fn announce_upload(&self, id: &UploadId, name: &Repository) -> Result<bool> {
        if self.directory.is_shared() {
            let record = UploadRecord { repository: name.to_string(), time_s: now_s() };
            record::write(&self.directory, &Key::passed_record(id), &record)?;
        }
        Ok(self.directory.is_shared())
    }

    /// Takes an upload that another server has begun; says whether there is one.
    pub(crate) fn take_upload(&self, id: &UploadId) -> Result<bool> {
        if !self.directory.is_shared() {
            return Ok(false);
        }
        let record = record::read::<UploadRecord>(&self.directory, &Key::passed_record(id))?;
        let name = record.and_then(|record| Repository::parse(&record.repository));
        let Some(name) = name else { return Ok(false) };
        let _guard = self.lock(&name);
        if self.directory.stat(&Key::upload(id))?.is_none() {
            // A record alone is of somebody who was killed.
            self.directory.remove(&Key::upload_record(id))?;
            self.begin_upload(id, &name)?;
        }
        Ok(true)
    }

    /// What all servers see of an upload; `None`: one of them has ended it.
    pub(crate) fn passed_pieces(&self, id: &UploadId) -> Result<Option<Vec<Piece>>> {
        let all = self.directory.list_sizes(&Key::passed_upload(id))?;
        if !all.iter().any(|(name, _)| name == "record") {
            return Ok(None);
        }
        let pieces = all.iter().filter_map(|(name, size)| Piece::new(name, (*size)?));
        Ok(Some(chain(pieces.collect())))
    }

    /// Lets all servers see more of an upload.
    pub(crate) fn pass(&self, id: &UploadId, file: &Fd, begin: u64, end: u64) -> Result<Piece> {
        let own = UploadId::random();
        let own = own.map_err(|errno| Error::os("asking for a random number", errno))?;
        let name = format!("{begin:020}-{own}");
        self.directory.pass(file, begin, end, &Key::passed_piece(id, &name))?;
        Ok(Piece { name, begin, end })
    }

    /// Opens a piece.
    pub(crate) fn open_piece(&self, id: &UploadId, piece: &Piece) -> Result<Content> {
        let key = Key::passed_piece(id, &piece.name);
        match self.directory.open_content(&key)? {
            Some((content, size)) if size == piece.end - piece.begin => Ok(content),
            _ => Err(Error::new(format!("{key}: is gone, or has another size than it had"))),
        }
    }

    /// The one piece that is all of an upload.
    pub(super) fn passed_whole(id: &UploadId, pieces: &[Piece], size: u64) -> Option<Key> {
        match pieces {
            [piece] if piece.end == size => Some(Key::passed_piece(id, &piece.name)),
            _ => None,
        }
    }

    /// Takes an upload away from all servers.
    pub(super) fn remove_passed(&self, id: &UploadId) -> Result<()> {
        if !self.directory.is_shared() {
            return Ok(());
        }
        self.directory.remove(&Key::passed_record(id))?;
        for name in self.directory.list(&Key::passed_upload(id))? {
            self.directory.remove(&Key::passed_piece(id, &name))?;
        }
        Ok(())
    }

    /// Takes what nobody has gone on with away from all servers; says how many uploads that were.
    pub(crate) fn purge_passed(&self, cutoff_s: u64) -> Result<u64> {
        let mut count = 0;
        if !self.directory.is_shared() {
            return Ok(count);
        }
        for id in self.directory.list(&Key::passed())?.iter().filter_map(|it| UploadId::parse(it)) {
            let mut is_old = true;
            for name in self.directory.list(&Key::passed_upload(&id))? {
                let stat = self.directory.stat(&Key::passed_piece(&id, &name))?;
                is_old &= stat.is_none_or(|stat| stat.modified_s < cutoff_s);
            }
            if is_old {
                self.remove_passed(&id)?;
                count += 1;
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_servers_see_the_same_pieces_whoever_wrote_at_the_same_moment() {
        let ids: Vec<String> = (0..4).map(|_| UploadId::random().unwrap().to_string()).collect();
        let piece = |begin: u64, id: &str, size: u64| {
            Piece::new(&format!("{begin:020}-{id}"), size).unwrap()
        };
        let (low, high) = (ids[0].clone().min(ids[1].clone()), ids[0].clone().max(ids[1].clone()));
        let all = vec![
            piece(30, &ids[3], 5),
            piece(10, &ids[2], 20),
            piece(0, &high, 7),
            piece(0, &low, 10),
            // What goes on after a piece that was not taken, and one without content.
            piece(7, &ids[2], 100),
            piece(35, &ids[2], 0),
            piece(99, &ids[2], 1),
        ];
        let ends = |all: Vec<Piece>| chain(all).iter().map(|it| it.end).collect::<Vec<_>>();
        assert_eq!(ends(all.clone()), [10, 30, 35]);
        assert_eq!(ends(all.into_iter().rev().collect()), [10, 30, 35]);
        assert_eq!(Piece::new("record", 1), None);
        assert_eq!(Piece::new(&format!("x-{low}"), 1), None);
        assert_eq!(Piece::new(&format!("{}-{low}", u64::MAX), 1), None);
    }
}
