#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::feed(runtime::inputs::Input::Config, bytes));
