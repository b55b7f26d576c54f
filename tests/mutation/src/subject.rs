//! What is fed: the inputs of the runtime, of the registry client, of the registry and of networks, archives, images
//! in archives, places of images, and templates of output.

use archive::index::Builder;
use archive::tar::Reader;
use archive::{Limits, Sum, Summing};
use runtime::inputs::{Input, Outcome};
use std::path::Path;
use template::{Template, Value};
use transport::Source;
use transport::docker_archive::Archive;
use transport::layout::{LayoutArchive, Select};
use transport::place::{ArchiveSelect, Place};

/// A kind of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One of the runtime's.
    Runtime(Input),
    /// One of what reads images and what is said about them.
    Transport(transport::inputs::Input),
    /// One of the registry's.
    Serve(serve::inputs::Input),
    /// One of what networks read.
    Net(net::inputs::Input),
    /// A tar file.
    Tar,
    /// An image in an archive, docker's or a layout.
    Image,
    /// Places of images, one a line.
    Place,
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
        let own = [Self::Tar, Self::Image, Self::Place, Self::Template];
        let runtime = Input::ALL.into_iter().map(Self::Runtime);
        let transport = transport::inputs::Input::ALL.into_iter().map(Self::Transport);
        let serve = serve::inputs::Input::ALL.into_iter().map(Self::Serve);
        let net = net::inputs::Input::ALL.into_iter().map(Self::Net);
        runtime.chain(own).chain(transport).chain(serve).chain(net)
    }

    /// The name of its corpus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Runtime(input) => input.name(),
            Self::Transport(input) => input.name(),
            Self::Serve(input) => input.name(),
            Self::Net(input) => input.name(),
            Self::Tar => "tar",
            Self::Image => "image",
            Self::Place => "place",
            Self::Template => "template",
        }
    }

    /// Feeds bytes; whether they were taken. `Err` says what does not hold that must.
    pub fn feed(self, bytes: &[u8]) -> Result<bool, String> {
        match self {
            Self::Runtime(input) => Ok(matches!(input.feed(bytes)?, Outcome::Taken)),
            Self::Transport(input) => input.feed(bytes),
            Self::Serve(input) => input.feed(bytes),
            Self::Net(input) => input.feed(bytes),
            Self::Tar => feed_tar(bytes),
            Self::Image => feed_image(bytes),
            Self::Place => feed_places(bytes),
            Self::Template => feed_template(bytes),
        }
    }

    /// Makes checksums right again: without that nearly all that is damaged would be refused at the
    /// door.
    pub fn mend(self, bytes: &mut [u8]) {
        if !matches!(self, Self::Tar | Self::Image) {
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
    let tap = (builder, Summing::new(Sum::Sha256));
    let mut reader = Reader::with_tap(bytes, Limits::default(), tap);
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
    let (builder, whole) = reader.into_tap();
    let whole = whole.finish();
    builder.finish(&[], &whole).map_err(|e| e.to_string())?;
    match whole.bytes == bytes.len() as u64 {
        true => Ok(true),
        false => Err(format!("{} bytes of {} were seen", whole.bytes, bytes.len())),
    }
}

/// Most images that are looked at: damaged lists have many.
const IMAGES: usize = 4;

/// Everything that is in an archive is read to its end, which compares its digest.
fn feed_image(bytes: &[u8]) -> Result<bool, String> {
    let (name, temporary) = (Path::new("-"), std::env::temp_dir());
    let mut taken = false;
    match Archive::read(&mut &*bytes, name, &temporary) {
        Ok(archive) => {
            for image in archive.images().iter().take(IMAGES) {
                let select = ArchiveSelect::Position(image.position);
                taken |= check(archive.source(&select).and_then(|source| read_image(&source)))?;
            }
        }
        Err(error) => drop(check::<()>(Err(error))?),
    }
    match LayoutArchive::read(&mut &*bytes, name, &temporary) {
        Ok(archive) => {
            for position in 0..archive.index().manifests.len().min(IMAGES) {
                let source = archive.source(&Select::Position(position));
                taken |= check(source.and_then(|source| read_image(&source)))?;
            }
        }
        Err(error) => drop(check::<()>(Err(error))?),
    }
    Ok(taken)
}

fn read_image(source: &dyn Source) -> transport::Result<()> {
    let document = source.manifest(None)?;
    let Some(manifest) = document.manifest() else { return Ok(()) };
    for descriptor in manifest.layers.iter().chain([&manifest.config]) {
        // A failed read is as good as a refusal.
        let _ = std::io::copy(&mut source.blob(descriptor)?, &mut std::io::sink());
    }
    Ok(())
}

/// Whether something was taken. A refusal is a sentence.
fn check<T>(result: transport::Result<T>) -> Result<bool, String> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.to_string().len() > REFUSAL_LIMIT_BYTES => {
            Err("a refusal is longer than a sentence".into())
        }
        Err(_) => Ok(false),
    }
}

/// What is read of a place is read again of what it is written as.
fn feed_places(bytes: &[u8]) -> Result<bool, String> {
    let text = String::from_utf8_lossy(bytes);
    let mut taken = false;
    for line in text.lines() {
        let Ok(place) = Place::parse(line) else { continue };
        taken = true;
        match Place::parse(&place.to_string()) {
            Ok(again) if again == place => {}
            other => return Err(format!("{line:?} is {place:?}, and again {other:?}")),
        }
    }
    Ok(taken)
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
