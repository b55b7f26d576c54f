//! What is fed: the runtime's inputs, archives, and templates of output.

use archive::Limits;
use archive::index::Builder;
use archive::tar::Reader;
use runtime::inputs::{Input, Outcome};
use template::{Template, Value};

/// A kind of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One of the runtime's.
    Runtime(Input),
    /// A tar file.
    Tar,
    /// A template as in `--format`.
    Template,
}

impl From<Input> for Subject {
    fn from(input: Input) -> Self {
        Self::Runtime(input)
    }
}

/// What a template may cost here: cases are many, and what is slow shows in short ones too.
const TEMPLATE_LIMITS: template::Limits = template::Limits {
    depth: 200,
    steps: 100_000,
    output_bytes: 1 << 20,
    text_bytes: 1 << 18,
    list: 1 << 14,
};
/// Longest refusal: a sentence with the name that it is about.
const REFUSAL_LIMIT_BYTES: usize = 4096;
const BLOCK: usize = 512;

impl Subject {
    /// Every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        Input::ALL.into_iter().map(Self::Runtime).chain([Self::Tar, Self::Template])
    }

    /// The name of its corpus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Runtime(input) => input.name(),
            Self::Tar => "tar",
            Self::Template => "template",
        }
    }

    /// Feeds bytes; whether they were taken. `Err` says what does not hold that must.
    pub fn feed(self, bytes: &[u8]) -> Result<bool, String> {
        match self {
            Self::Runtime(input) => Ok(matches!(input.feed(bytes)?, Outcome::Taken)),
            Self::Tar => feed_tar(bytes),
            Self::Template => feed_template(bytes),
        }
    }

    /// Makes checksums right again: without that nearly all that is damaged would be refused at the
    /// door.
    pub fn mend(self, bytes: &mut [u8]) {
        if self != Self::Tar {
            return;
        }
        for block in bytes.as_chunks_mut::<BLOCK>().0 {
            if &block[257..262] == b"ustar" {
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
    }
}

fn feed_tar(bytes: &[u8]) -> Result<bool, String> {
    let builder = Builder::new(Vec::new()).map_err(|e| e.to_string())?;
    let mut reader = Reader::with_tap(bytes, Limits::default(), builder);
    loop {
        match reader.next_entry() {
            Ok(Some(entry)) => {
                let path = entry.path.as_bytes();
                if path.split(|&byte| byte == b'/').any(|part| part == b"..") {
                    return Err(format!("{:?} leads out", entry.name));
                }
            }
            Ok(None) => break,
            Err(error) if error.to_string().len() > REFUSAL_LIMIT_BYTES => {
                return Err("a refusal is longer than a sentence".into());
            }
            Err(_) => return Ok(false),
        }
    }
    let (_, whole) = reader.into_tap().finish(&[]).map_err(|e| e.to_string())?;
    match whole.bytes == bytes.len() as u64 {
        true => Ok(true),
        false => Err(format!("{} bytes of {} were seen", whole.bytes, bytes.len())),
    }
}

/// What templates of the corpus look into.
fn template_data() -> Value {
    Value::from(&serde_json::json!({
        "ID": "sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1",
        "Names": ["alpine:3.19", "localhost/é:latest"],
        "Size": 7_377_856,
        "Ratio": -0.25,
        "On": true,
        "None": null,
        "Config": {"Env": ["A=b", "C="], "Labels": {"a": "b", "c.d": "e"}, "Deep": [[1, [2]], {}]},
    }))
}

fn feed_template(bytes: &[u8]) -> Result<bool, String> {
    let text = String::from_utf8_lossy(bytes);
    let template = match Template::parse("", &text) {
        Ok(template) => template.limits(TEMPLATE_LIMITS),
        // A message may name a whole word of the template.
        Err(error) if error.to_string().len() > REFUSAL_LIMIT_BYTES + 4 * bytes.len() => {
            return Err("a refusal is longer than a sentence".into());
        }
        Err(_) => return Ok(false),
    };
    let mut out = Vec::new();
    // What does not fit the value is an answer too: the template was taken.
    let _ = template.render_to(&template_data(), &mut out);
    match out.len() > TEMPLATE_LIMITS.output_bytes {
        true => Err(format!("{} bytes were written", out.len())),
        false => Ok(true),
    }
}
