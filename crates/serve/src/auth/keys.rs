//! Public keys of token services: PEM, or a JSON Web Key Set (RFC 7517).

use super::der;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{PemObject, SectionKind};

/// Keys of a service.
const KEYS_LIMIT: usize = 64;

/// 1.2.840.113549.1.1.1
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// 1.2.840.10045.2.1
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.2.840.10045.3.1.7
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// 1.3.132.0.34
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
/// 1.3.101.112
const EDWARDS: &[u8] = &[0x2b, 0x65, 0x70];

/// A public key, and what it is called by, if anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    name: String,
    kind: Kind,
}

/// The kind of a key says which signatures it can verify; a token that claims another one is refused. None of
/// them is a shared secret.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// PKCS #1, in DER.
    Rsa(Vec<u8>),
    /// Modulus and exponent.
    RsaParts(Vec<u8>, Vec<u8>),
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Keys(Vec<Key>);

impl Keys {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let keys = match bytes.trim_ascii_start().first() {
            Some(b'{') => read_set(bytes)?,
            _ => read_pem(bytes)?,
        };
        match keys.len() {
            0 => Err("has no public key that can verify tokens".into()),
            1..=KEYS_LIMIT => Ok(Self(keys)),
            _ => Err(format!("has more than {KEYS_LIMIT} keys")),
        }
    }

    /// Whether one of the keys has signed it: the one of that name, if there is one.
    pub(super) fn verify(
        &self,
        algorithm: &str,
        name: &str,
        text: &[u8],
        signature: &[u8],
    ) -> bool {
        let named = |key: &&Key| !name.is_empty() && key.name == name;
        let has_name = self.0.iter().any(|key| named(&key));
        let mut tried = self.0.iter().filter(|key| !has_name || named(key));
        tried.any(|key| key.kind.verifies(algorithm, text, signature))
    }
}

impl Kind {
    fn verifies(&self, algorithm: &str, text: &[u8], signature: &[u8]) -> bool {
        let plain = |known: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(known, key).verify(text, signature).is_ok()
        };
        let rsa: Option<&'static RsaParameters> = match algorithm {
            "RS256" => Some(&RSA_PKCS1_2048_8192_SHA256),
            "RS384" => Some(&RSA_PKCS1_2048_8192_SHA384),
            "RS512" => Some(&RSA_PKCS1_2048_8192_SHA512),
            _ => None,
        };
        match (self, algorithm, rsa) {
            (Self::Rsa(key), _, Some(rsa)) => plain(rsa, key),
            (Self::RsaParts(n, e), _, Some(rsa)) => {
                RsaPublicKeyComponents { n, e }.verify(rsa, text, signature).is_ok()
            }
            (Self::P256(key), "ES256", _) => plain(&ECDSA_P256_SHA256_FIXED, key),
            (Self::P384(key), "ES384", _) => plain(&ECDSA_P384_SHA384_FIXED, key),
            (Self::Ed25519(key), "EdDSA", _) => plain(&ED25519, key),
            _ => false,
        }
    }
}

/// Keys and certificates.
fn read_pem(bytes: &[u8]) -> Result<Vec<Key>, String> {
    let mut keys = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
        let (kind, der) = section.map_err(|error| error.to_string())?;
        let info = match kind {
            SectionKind::PublicKey => der,
            SectionKind::Certificate => {
                let certificate = CertificateDer::from(der);
                let parsed = rustls::server::ParsedCertificate::try_from(&certificate);
                let parsed = parsed.map_err(|error| error.to_string())?;
                parsed.subject_public_key_info().to_vec()
            }
            _ => return Err("has more in it than public keys and certificates".into()),
        };
        let key = der::public_key(&info).and_then(|key| {
            let bits = key.bits.to_vec();
            match (key.algorithm, key.parameters) {
                (RSA, _) => Some(Kind::Rsa(bits)),
                (EC, P256) => Some(Kind::P256(bits)),
                (EC, P384) => Some(Kind::P384(bits)),
                (EDWARDS, _) => Some(Kind::Ed25519(bits)),
                _ => None,
            }
        });
        let kind = key.ok_or("has a key that is none of RSA, P-256, P-384 and Ed25519")?;
        keys.push(Key { name: String::new(), kind });
    }
    Ok(keys)
}

oci::document! {
    /// A JSON Web Key Set.
    KeySet { keys: Vec<WebKey> => required }

    /// A JSON Web Key: what is needed of it.
    WebKey(snake) {
        kty: String => required,
        kid: String,
        crv: String,
        n: String,
        e: String,
        x: String,
        y: String,
    }
}

/// Keys of other kinds are somebody else's business.
fn read_set(bytes: &[u8]) -> Result<Vec<Key>, String> {
    let set: KeySet = oci::json::read(bytes)?;
    let mut keys = Vec::new();
    for key in set.keys {
        let part = |text: &str| {
            oci::base64::decode_url(text).ok_or_else(|| format!("key `{}`: is damaged", key.kid))
        };
        let point = || Ok::<_, String>([&[4][..], &part(&key.x)?, &part(&key.y)?].concat());
        let kind = match (&*key.kty, &*key.crv) {
            ("RSA", _) => Kind::RsaParts(part(&key.n)?, part(&key.e)?),
            ("EC", "P-256") => Kind::P256(point()?),
            ("EC", "P-384") => Kind::P384(point()?),
            ("OKP", "Ed25519") => Kind::Ed25519(part(&key.x)?),
            _ => continue,
        };
        keys.push(Key { name: key.kid.clone(), kind });
    }
    Ok(keys)
}
