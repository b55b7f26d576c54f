//! One after the other, for the same thing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as Lock, PoisonError, Weak};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Names that are remembered before those that nobody waits for are forgotten.
const FORGET: usize = 256;

/// Who is at it, by what it is about.
#[derive(Default)]
pub(super) struct Turns(Lock<HashMap<String, Weak<Mutex<()>>>>);

impl Turns {
    /// Waits until nobody else is at it.
    pub(super) async fn take(&self, name: String) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if turns.len() >= FORGET {
                turns.retain(|_, turn| turn.strong_count() > 0);
            }
            match turns.get(&name).and_then(Weak::upgrade) {
                Some(turn) => turn,
                None => {
                    let turn = Arc::default();
                    turns.insert(name, Arc::downgrade(&turn));
                    turn
                }
            }
        };
        turn.lock_owned().await
    }
}
