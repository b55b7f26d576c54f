//! What every target does with its bytes.

use runtime::inputs::Input;

/// Feeds them; what must hold and does not is a crash for the fuzzer.
pub fn feed(input: Input, bytes: &[u8]) {
    if let Err(why) = input.feed(bytes) {
        panic!("{}: {why}", input.name());
    }
}
