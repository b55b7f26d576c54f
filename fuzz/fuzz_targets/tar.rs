#![no_main]

use archive::Limits;
use archive::tar::Reader;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut reader = Reader::new(bytes, Limits::default());
    while let Ok(Some(_)) = reader.next_entry() {}
});
