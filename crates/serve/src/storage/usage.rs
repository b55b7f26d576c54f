//! How much there is, and how much there may be.
//!
//! A limit is that of the registry, which counts content once, or that of the repositories below a name, which counts
//! what each of them has. What a client is about to put is *held* first, piece by piece as it arrives, so that many
//! clients together do not get beyond a limit; what becomes of it is settled when it has its name. The counts are in
//! memory, and made from what is there when a registry is opened.

use super::error::{Error, Result};
use crate::names::Repository;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Locks for content that gets its name: two that share one wait for each other.
const PLACES: usize = 64;

/// How much there may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// In the repository of this name and those below it, together; `None`: in the registry.
    pub prefix: Option<String>,
    /// So many bytes.
    pub bytes: u64,
}

impl Quota {
    /// Whether it counts what a repository has.
    fn counts(&self, name: &str) -> bool {
        self.prefix.as_deref().is_none_or(|prefix| {
            name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.prefix {
            Some(prefix) => write!(formatter, "the quota of `{prefix}`, {} bytes", self.bytes),
            None => write!(formatter, "the quota of the registry, {} bytes", self.bytes),
        }
    }
}

/// Limits with what is used of them.
#[derive(Debug)]
pub(crate) struct Usage {
    quotas: Vec<Quota>,
    used: Mutex<Vec<u64>>,
    places: [Mutex<()>; PLACES],
}

impl Usage {
    pub(super) fn new(quotas: Vec<Quota>) -> Arc<Self> {
        let used = Mutex::new(vec![0; quotas.len()]);
        Arc::new(Self { quotas, used, places: std::array::from_fn(|_| Mutex::new(())) })
    }

    /// Whether anything has to be counted.
    pub(super) fn is_limited(&self) -> bool {
        !self.quotas.is_empty()
    }

    /// Each limit, and what is used of it.
    pub(crate) fn list(&self) -> Vec<(Quota, u64)> {
        self.quotas.iter().cloned().zip(self.used().iter().copied()).collect()
    }

    /// Held while content gets its name, so that it is new to one of several only.
    pub(super) fn place(&self, hash: &[u8]) -> Option<MutexGuard<'_, ()>> {
        let place = &self.places[usize::from(hash[0]) % PLACES];
        self.is_limited().then(|| place.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn used(&self) -> MutexGuard<'_, Vec<u64>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what was counted.
    pub(super) fn clear(&self) {
        self.used().fill(0);
    }

    /// Counts what is there without asking whether it may be.
    pub(super) fn count(&self, name: Option<&Repository>, bytes: u64) {
        self.change(name, |used| used.saturating_add(bytes));
    }

    /// Counts that something has gone: content, or what a repository has.
    pub(super) fn release(&self, name: Option<&Repository>, bytes: u64) {
        self.change(name, |used| used.saturating_sub(bytes));
    }

    fn change(&self, name: Option<&Repository>, change: impl Fn(u64) -> u64) {
        if !self.is_limited() {
            return;
        }
        let name = name.map(Repository::to_string);
        for (quota, used) in self.quotas.iter().zip(self.used().iter_mut()) {
            let concerned = match &name {
                Some(name) => quota.prefix.is_some() && quota.counts(name),
                None => quota.prefix.is_none(),
            };
            if concerned {
                *used = change(*used);
            }
        }
    }
}

/// Room for what a client is about to put into a repository. What is not settled is given back.
#[derive(Debug)]
pub(crate) struct Hold {
    usage: Arc<Usage>,
    /// The limits that count it.
    concerned: Vec<usize>,
    held: u64,
}

impl Hold {
    pub(super) fn new(usage: &Arc<Usage>, name: &Repository) -> Self {
        let name = name.to_string();
        let quotas = usage.quotas.iter().enumerate();
        let concerned = quotas.filter(|(_, quota)| quota.counts(&name)).map(|(at, _)| at).collect();
        Self { usage: usage.clone(), concerned, held: 0 }
    }

    /// The same for content that the registry has already.
    pub(super) fn of_entry(mut self) -> Self {
        let quotas = &self.usage.quotas;
        self.concerned.retain(|&at| quotas[at].prefix.is_some());
        self
    }

    /// Whether there is room for more at this moment.
    pub(crate) fn check(&self, bytes: u64) -> Result<()> {
        self.fits(&self.usage.used(), bytes)
    }

    fn fits(&self, used: &[u64], bytes: u64) -> Result<()> {
        for &at in &self.concerned {
            let quota = &self.usage.quotas[at];
            if used[at].saturating_add(bytes) > quota.bytes {
                return Err(Error::over(format!("{quota}, does not allow {bytes} bytes more")));
            }
        }
        Ok(())
    }

    /// Holds more, if there is room.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<()> {
        if self.concerned.is_empty() {
            return Ok(());
        }
        let mut used = self.usage.used();
        self.fits(&used, bytes)?;
        self.concerned.iter().for_each(|&at| used[at] += bytes);
        self.held += bytes;
        Ok(())
    }

    /// What was held has its name: the repository has it, as new content, as an own entry, or it had it before.
    pub(super) fn settle(&mut self, new_content: bool, new_entry: bool) {
        let mut used = self.usage.used();
        for &at in &self.concerned {
            let stays = match self.usage.quotas[at].prefix {
                Some(_) => new_entry,
                None => new_content,
            };
            if !stays {
                used[at] = used[at].saturating_sub(self.held);
            }
        }
        self.held = 0;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.held > 0 {
            self.settle(false, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage() -> Arc<Usage> {
        let quota =
            |prefix: Option<&str>, bytes| Quota { prefix: prefix.map(str::to_owned), bytes };
        Usage::new(vec![quota(None, 100), quota(Some("team"), 50), quota(Some("team/a"), 10)])
    }

    fn hold(usage: &Arc<Usage>, name: &str) -> Hold {
        Hold::new(usage, &Repository::parse(name).unwrap())
    }

    fn used(usage: &Usage) -> Vec<u64> {
        usage.list().into_iter().map(|it| it.1).collect()
    }

    #[test]
    fn every_limit_that_counts_a_repository_has_to_have_room() {
        let usage = usage();
        let mut first = hold(&usage, "team/a");
        first.grow(10).unwrap();
        let error = first.grow(1).unwrap_err();
        assert!(error.is_over() && error.to_string().contains("`team/a`"), "{error}");
        // `teams` is not below `team`.
        let mut other = hold(&usage, "teams/a");
        other.grow(90).unwrap();
        assert_eq!(used(&usage), [100, 10, 10]);
        assert!(hold(&usage, "x").grow(1).is_err());
        drop(other);
        let mut second = hold(&usage, "team/b");
        second.grow(40).unwrap();
        assert!(second.grow(1).is_err());
        first.settle(true, true);
        second.settle(false, true);
        drop((first, second));
        assert_eq!(used(&usage), [10, 50, 10]);
        usage.release(Repository::parse("team/a").as_ref(), 10);
        usage.release(None, 4);
        assert_eq!(used(&usage), [6, 40, 0]);
    }

    #[test]
    fn many_at_once_do_not_get_beyond_a_limit() {
        let usage = usage();
        let count = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..32)
                .map(|_| {
                    scope.spawn(|| {
                        let mut hold = hold(&usage, "x");
                        let fits = hold.grow(7).is_ok();
                        hold.settle(true, true);
                        u64::from(fits)
                    })
                })
                .collect();
            threads.into_iter().map(|it| it.join().unwrap()).sum::<u64>()
        });
        assert_eq!((count, used(&usage)[0]), (14, 98));
    }
}
