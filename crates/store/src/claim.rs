//! Claims: of several processes that want the same content one fetches it.

use crate::error::{Error, Kind, Result};
use crate::layout;
use crate::limits::{CLAIM_WAIT_MS, REOPENS};
use crate::{fault, files, lock};
use oci::Digest;
use std::collections::BTreeSet;
use sys::Fd;
use sys::fs::{self, Lock, O_CREAT, O_NOFOLLOW, O_RDONLY};

/// A claim on a digest, until it is dropped. Its holder's death ends it, too.
#[derive(Debug)]
struct Claim {
    digest: Digest,
    file: Fd,
}

/// The claims that one piece of work holds.
#[derive(Debug, Default)]
pub(crate) struct Claims(Vec<Claim>);

impl Claims {
    /// Waits for these, the smallest first. Two processes that want two things never wait for each
    /// other that way; so one that wants more when it has some waits only for larger ones.
    pub(crate) fn take(&mut self, root: &Fd, digests: &[Digest]) -> Result<()> {
        let held: BTreeSet<Digest> = self.0.iter().map(|claim| claim.digest).collect();
        let wanted: BTreeSet<Digest> = digests.iter().copied().collect();
        let largest = held.last().copied();
        for digest in wanted.difference(&held) {
            let limit_ms =
                if largest.is_some_and(|held| held > *digest) { 0 } else { CLAIM_WAIT_MS };
            let file = take_one(root, digest, limit_ms)?;
            fault::step("claim taken");
            self.0.push(Claim { digest: *digest, file });
        }
        Ok(())
    }

    /// Lets one go.
    pub(crate) fn release(&mut self, root: &Fd, digest: &Digest) {
        let mut kept = Vec::new();
        for claim in self.0.drain(..) {
            match claim.digest == *digest {
                true => end(root, &claim),
                false => kept.push(claim),
            }
        }
        self.0 = kept;
    }

    /// Lets all go.
    pub(crate) fn release_all(&mut self, root: &Fd) {
        self.0.drain(..).for_each(|claim| end(root, &claim));
    }
}

/// The file goes while it is locked: whoever waits for it finds that it is no longer the one.
fn end(root: &Fd, claim: &Claim) {
    // A claim that cannot be removed is swept by the next command.
    let _ = files::remove(root, &layout::claim(&claim.digest.to_string()), 0);
    let _ = fs::lock(&claim.file, Lock::Release);
}

fn take_one(root: &Fd, digest: &Digest, limit_ms: u64) -> Result<Fd> {
    let path = layout::claim(&digest.to_string());
    for _ in 0..REOPENS {
        let file = fs::open_at(root, &path, O_RDONLY | O_CREAT | O_NOFOLLOW, 0o600)
            .map_err(|errno| Error::os(format!("claiming {digest}"), errno))?;
        fault::step("claim opened");
        lock::wait(&file, Lock::TryExclusive, limit_ms, || digest.to_string())?;
        if lock::is_at(root, &path, &file)? {
            return Ok(file);
        }
    }
    Err(Error::new(Kind::Busy, format!("claiming {digest}: others claim it again and again")))
}

/// Removes the claims of processes that are dead.
pub(crate) fn sweep(root: &Fd) -> Result<()> {
    for name in files::list(root, layout::CLAIMS)? {
        let path = format!("{}/{name}", layout::CLAIMS);
        let Ok(file) = files::open_file(root, &path) else { continue };
        if lock::try_alone(&file)? && lock::is_at(root, &path, &file)? {
            files::remove(root, &path, 0)?;
        }
    }
    Ok(())
}
