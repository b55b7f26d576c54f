#![no_main]

use template::{Limits, Template, Value};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let limits = Limits { steps: 10_000, text_bytes: 1 << 16, ..Limits::default() };
    if let Ok(template) = Template::parse("", text) {
        // Whether it fits the value is not asked.
        let _ = template.limits(limits).render(&Value::texts(["a", "b=c"]));
    }
});
