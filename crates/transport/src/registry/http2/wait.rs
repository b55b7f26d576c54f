//! Waiting for what another thread does, in a thread that has no executor.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

thread_local! {
    static WAKER: Waker = Waker::from(Arc::new(Unpark(thread::current())));
}

/// Polls until there is something, or the time is over.
pub(super) fn wait<T>(
    until: Option<Instant>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Option<T> {
    WAKER.with(|waker| {
        let mut context = Context::from_waker(waker);
        loop {
            if let Poll::Ready(found) = poll(&mut context) {
                return Some(found);
            }
            match until {
                None => thread::park(),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    thread::park_timeout(left);
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::time::Duration;

    #[test]
    fn what_another_thread_does_is_waited_for_and_not_for_ever() {
        let state = Arc::new(Mutex::new((false, None::<Waker>)));
        let poll = |state: &Mutex<(bool, Option<Waker>)>, context: &mut Context<'_>| {
            let mut state = state.lock().unwrap();
            state.1 = Some(context.waker().clone());
            if state.0 { Poll::Ready(7) } else { Poll::Pending }
        };
        let began = Instant::now();
        let limit = Duration::from_millis(50);
        assert_eq!(wait(Some(began + limit), |context| poll(&state, context)), None);
        assert!(began.elapsed() >= limit);
        let other = state.clone();
        let thread = thread::spawn(move || {
            thread::sleep(limit);
            let mut state = other.lock().unwrap();
            state.0 = true;
            state.1.take().unwrap().wake();
        });
        assert_eq!(wait(None, |context| poll(&state, context)), Some(7));
        thread.join().unwrap();
    }
}
