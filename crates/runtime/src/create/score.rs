//! `process.oomScoreAdj` for a caller without privileges.
//!
//! The file of a process that hides (`PR_SET_DUMPABLE`) belongs to the host's root, so an ordinary
//! user can set the score of neither a joining process nor itself once hidden. The score is inherited,
//! though: the parent takes it on before it hides, forks, and goes back to its own.

use crate::error::{Attempt, Result};
use crate::procfs::Proc;
use alloc::format;
use alloc::string::String;
use oci::runtime::Process;
use sys::{Fd, fs, ids};

/// The score that this process had.
pub(crate) struct Lent {
    file: Fd,
    own: String,
}

/// Takes the process's score on. `None`: there is none, or the caller can set it from outside.
pub(crate) fn lend(process: &Process, proc: &Proc) -> Result<Option<Lent>> {
    /// A sign, four digits, and a line's end.
    const LIMIT_BYTES: usize = 16;
    let Some(score) = process.oom_score_adj.filter(|_| ids::euid() != 0) else { return Ok(None) };
    let attempt = || format!("process.oomScoreAdj: setting it to {score}");
    let file = proc.open_file("self/oom_score_adj", fs::O_RDWR)?;
    let own = fs::read_to_end(&file, LIMIT_BYTES).attempt(attempt)?;
    let own = String::from_utf8_lossy(&own).trim().into();
    let wanted = format!("{score}");
    if own == wanted {
        return Ok(None);
    }
    fs::write(&file, wanted.as_bytes()).attempt(attempt)?;
    Ok(Some(Lent { file, own }))
}

impl Lent {
    /// Goes back. A caller that may not is left with the container's score: nothing depends on it.
    pub(crate) fn give_back(self) {
        let _ = fs::write(&self.file, self.own.as_bytes());
    }
}
