//! Clocks and randomness.

use crate::arch::call;
use crate::errno::Result;

/// Seconds and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Seconds.
    pub seconds: i64,
    /// Nanoseconds below a second.
    pub nanos: i64,
}

fn clock(id: u32) -> Time {
    let mut time = [0i64; 2];
    // SAFETY: `time` is a writable `timespec`. The call cannot fail for the clocks used here.
    let _ = unsafe { call!(__NR_clock_gettime, id, time.as_mut_ptr()) };
    Time { seconds: time[0], nanos: time[1] }
}

/// The time of day, since 1970 in UTC.
pub fn now() -> Time {
    clock(0)
}

/// Milliseconds of a clock that never jumps.
pub fn monotonic_ms() -> u64 {
    let time = clock(1);
    time.seconds as u64 * 1000 + time.nanos as u64 / 1_000_000
}

/// Nanoseconds of a clock that never jumps.
pub fn monotonic_ns() -> u64 {
    let time = clock(1);
    time.seconds as u64 * 1_000_000_000 + time.nanos as u64
}

/// Sleeps. Only for polling what the kernel offers no event for.
pub fn sleep_ms(ms: u64) {
    let time = [(ms / 1000) as i64, (ms % 1000 * 1_000_000) as i64];
    // SAFETY: the time is a readable `timespec`; an interrupted sleep is a short one.
    let _ = unsafe { call!(__NR_nanosleep, time.as_ptr(), 0) };
}

/// Fills the buffer from the kernel's random source.
pub fn random(buffer: &mut [u8]) -> Result<()> {
    // SAFETY: the buffer is writable for the length given; up to 256 bytes come whole.
    unsafe { call!(__NR_getrandom, buffer.as_mut_ptr(), buffer.len(), 0) }.map(drop)
}
