//! As much of DER as public keys and names need (X.690, RFC 5280). What it reads was verified by TLS, or comes from the
//! administrator.

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT: u8 = 0x06;
const BITS: u8 = 0x03;
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const VERSION: u8 = 0xa0;
/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// Attributes of a name.
const ATTRIBUTES_LIMIT: usize = 64;

/// A text that is read value by value.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next value: its tag and contents.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let length = match first {
            0..=0x7f => usize::from(first),
            0x81..=0x83 => {
                let (bytes, behind) = rest.split_at_checked(usize::from(first & 0x7f))?;
                rest = behind;
                bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte))
            }
            _ => return None,
        };
        let (value, behind) = rest.split_at_checked(length)?;
        self.0 = behind;
        Some((tag, value))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, value)| value)
    }
}

/// A public key: what it is of, and its bits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PublicKey<'a> {
    /// The object identifier of its algorithm.
    pub(super) algorithm: &'a [u8],
    /// That of its parameters: a curve.
    pub(super) parameters: &'a [u8],
    pub(super) bits: &'a [u8],
}

/// Reads a SubjectPublicKeyInfo.
pub(super) fn public_key(der: &[u8]) -> Option<PublicKey<'_>> {
    let mut info = Der(Der(der).expect(SEQUENCE)?);
    let mut algorithm = Der(info.expect(SEQUENCE)?);
    let bits = info.expect(BITS)?;
    let (&unused, bits) = bits.split_first()?;
    let name = algorithm.expect(OBJECT)?;
    let parameters = algorithm.expect(OBJECT).unwrap_or_default();
    (unused == 0).then_some(PublicKey { algorithm: name, parameters, bits })
}

/// The common name in the subject of a certificate.
pub(crate) fn common_name(certificate: &[u8]) -> Option<String> {
    let mut body = Der(Der(Der(certificate).expect(SEQUENCE)?).expect(SEQUENCE)?);
    if body.0.first() == Some(&VERSION) {
        body.next()?;
    }
    // Serial number, algorithm, issuer, validity.
    for _ in 0..4 {
        body.next()?;
    }
    let mut subject = Der(body.expect(SEQUENCE)?);
    for _ in 0..ATTRIBUTES_LIMIT {
        let mut attribute = Der(Der(subject.expect(SET)?).expect(SEQUENCE)?);
        if attribute.expect(OBJECT)? != COMMON_NAME {
            continue;
        }
        let (UTF8 | PRINTABLE, value) = attribute.next()? else { return None };
        let text = std::str::from_utf8(value).ok()?;
        let fine = !text.is_empty() && !text.chars().any(char::is_control);
        return fine.then(|| text.to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_and_nothing_behind_their_end() {
        let ed25519 = [
            &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00][..],
            &[7; 32],
        ]
        .concat();
        let key = public_key(&ed25519).unwrap();
        assert_eq!((key.algorithm, key.parameters), (&[0x2b, 0x65, 0x70][..], &[][..]));
        assert_eq!(key.bits, [7; 32]);
        for length in 0..ed25519.len() {
            assert_eq!(public_key(&ed25519[..length]), None, "{length}");
        }
        for index in 0..ed25519.len() {
            let mut damaged = ed25519.clone();
            damaged[index] ^= 0xff;
            let _ = public_key(&damaged);
            let _ = common_name(&damaged);
        }
    }
}
