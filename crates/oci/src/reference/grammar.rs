//! The parts of a reference's text.

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, shown};

/// Longest name, with its domain: docker's limit.
pub const NAME_LIMIT_BYTES: usize = 255;
/// Longest tag: the distribution specification's limit.
pub const TAG_LIMIT_BYTES: usize = 128;

/// A reference's text in its parts, as written: nothing is added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// Domain, if any, and path.
    pub name: &'a str,
    /// Length of the domain in `name`; 0 when there is none.
    domain_length: usize,
    /// The tag.
    pub tag: Option<&'a str>,
    /// The digest.
    pub digest: Option<Digest>,
}

impl<'a> Parts<'a> {
    /// Takes `[DOMAIN[:PORT]/]PATH[:TAG][@DIGEST]` to pieces.
    pub fn parse(text: &'a str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::invalid(&["a name must have at least one component"]));
        }
        let refuse = |why: &str| {
            let parts = ["invalid reference `", &shown(text), "`: ", why];
            Error::new(ErrorKind::Invalid, &parts)
        };
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (text, None),
        };
        let (name, tag) = match named.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (named, None),
        };
        let domain_length = match name.split_once('/') {
            Some((domain, _)) if is_domain(domain) => domain.len(),
            _ => 0,
        };
        let path = if domain_length == 0 { name } else { &name[domain_length + 1..] };
        if !path.split('/').all(is_component) {
            let upper = path.bytes().any(|byte| byte.is_ascii_uppercase())
                && path.split('/').all(|part| is_component(&part.to_ascii_lowercase()));
            return Err(refuse(match upper {
                true => "the name must be in small letters",
                false => "the name is not one of a repository",
            }));
        }
        if name.len() > NAME_LIMIT_BYTES {
            return Err(refuse("the name is longer than 255 characters"));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(refuse("the tag is none"));
        }
        let digest = digest.map(Digest::parse).transpose()?;
        Ok(Self { name, domain_length, tag, digest })
    }

    /// The registry, with its port; empty when none is written.
    pub fn domain(&self) -> &'a str {
        &self.name[..self.domain_length]
    }

    /// The name without the domain.
    pub fn path(&self) -> &'a str {
        match self.domain_length {
            0 => self.name,
            length => &self.name[length + 1..],
        }
    }
}

/// Whether a text is a host name, IPv4 address or IPv6 address in brackets, with a port or without.
pub fn is_domain(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if port.is_some_and(|port| !is_digits(port)) {
        return false;
    }
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|address| {
            !address.is_empty()
                && address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':')
        }),
        None => host.split('.').all(|label| {
            let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(inner)
        }),
    }
}

/// Whether a text is one component of a path: words with `.`, `_`, `__` or any number of `-` between.
pub fn is_component(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut rest = text.as_bytes();
    loop {
        let word = rest.iter().take_while(|&&byte| is_word(byte)).count();
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        let separator = rest.iter().take_while(|&&byte| !is_word(byte)).count();
        match &rest[..separator] {
            b"" => return rest.is_empty(),
            b"." | b"_" | b"__" => {}
            dashes if dashes.iter().all(|&byte| byte == b'-') => {}
            _ => return false,
        }
        rest = &rest[separator..];
    }
}

/// Whether a text is a tag.
pub fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|&first| is_word(first))
        && bytes.len() <= TAG_LIMIT_BYTES
        && bytes.iter().all(|&byte| is_word(byte) || byte == b'.' || byte == b'-')
}

/// Whether a text is a SHA-256 without its algorithm: an image's ID, and no name of a repository.
pub fn is_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
