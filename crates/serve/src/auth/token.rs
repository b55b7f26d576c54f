//! Tokens of docker's token services: JSON Web Tokens (RFC 7519) with what they allow.

use super::keys::Keys;
use super::{Action, TokenService, check_quoted};
use crate::names::Repository;
use crate::watched::Watched;
use oci::json::{Failed, FromJson, Reader};
use std::time::{SystemTime, UNIX_EPOCH};

/// Longest token.
const TOKEN_LIMIT_BYTES: usize = 16 << 10;
/// What clocks may differ by, in seconds.
const LEEWAY_S: u64 = 60;

oci::document! {
    Header(snake) {
        alg: String => required,
        kid: String,
        /// What has to be understood and is not.
        crit: Vec<String>,
    }

    Claims(snake) {
        iss: String => required,
        sub: String,
        exp: u64 => required,
        nbf: u64,
        access: Vec<Granted>,
    }

    /// What a token allows.
    Granted(snake) {
        kind as "type": String,
        name: String,
        actions: Vec<String>,
    }
}

impl Granted {
    pub(super) fn allows(&self, name: &Repository, action: Action) -> bool {
        self.kind == "repository"
            && self.name == name.to_string()
            && self.actions.iter().any(|it| it == action.name() || it == "*")
    }

    pub(super) fn allows_catalog(&self) -> bool {
        self.kind == "registry" && self.name == "catalog" && self.actions.iter().any(|it| it == "*")
    }
}

/// Whom a token is for: one name, or several.
#[derive(Default)]
struct Audience {
    aud: Vec<String>,
}

impl FromJson for Audience {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Failed> {
        reader.open(b'{')?;
        while let Some(key) = reader.next_key()? {
            match (&*key == "aud", reader.peek()) {
                (true, b'"') => self.aud = vec![reader.string()?.into_owned()],
                (true, _) => self.aud.read(reader)?,
                (false, _) => drop(reader.skip()?),
            }
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.aud.clear();
    }
}

/// A token that is good.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) subject: Option<String>,
    pub(super) granted: Vec<Granted>,
}

pub(super) struct Tokens {
    keys: Watched<Keys>,
    service: TokenService,
}

impl Tokens {
    pub(super) fn open(service: &TokenService) -> Result<Self, String> {
        check_quoted("the token service's address", &service.realm)?;
        check_quoted("the service", &service.service)?;
        let keys = Watched::open(&service.keys, Keys::parse)?;
        Ok(Self { keys, service: service.clone() })
    }

    /// What the header says that asks for a token.
    pub(super) fn challenge(&self, scope: &str, error: &str) -> String {
        let TokenService { realm, service, .. } = &self.service;
        let error = match error {
            "" => String::new(),
            error => format!(",error=\"{error}\""),
        };
        format!("Bearer realm=\"{realm}\",service=\"{service}\",scope=\"{scope}\"{error}")
    }

    pub(super) fn verify(&self, token: &str, tell: &dyn Fn(&str)) -> Result<Token, &'static str> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        verify(token, &self.keys.get(tell), &self.service, now)
    }
}

fn verify(
    token: &str,
    keys: &Keys,
    service: &TokenService,
    now: u64,
) -> Result<Token, &'static str> {
    if token.len() > TOKEN_LIMIT_BYTES {
        return Err("it is too long");
    }
    let (signed, signature) = token.rsplit_once('.').ok_or("it is no token")?;
    let (header, claims) = signed.split_once('.').ok_or("it is no token")?;
    let decode = |part: &str| oci::base64::decode_url(part).ok_or("it is no token");
    let header: Header = oci::json::read(&decode(header)?).map_err(|_| "its header is no JSON")?;
    if !header.crit.is_empty() {
        return Err("it has extensions that have to be understood");
    }
    if !keys.verify(&header.alg, &header.kid, signed.as_bytes(), &decode(signature)?) {
        return Err("none of the keys has signed it");
    }
    let text = decode(claims)?;
    let claims: Claims = oci::json::read(&text).map_err(|_| "its claims are malformed")?;
    let audience: Audience = oci::json::read(&text).map_err(|_| "its claims are malformed")?;
    if claims.iss != service.issuer {
        return Err("somebody else has issued it");
    }
    if !audience.aud.contains(&service.service) {
        return Err("it is for somebody else");
    }
    if claims.exp.saturating_add(LEEWAY_S) <= now {
        return Err("it has expired");
    }
    if claims.nbf > now.saturating_add(LEEWAY_S) {
        return Err("it is not valid yet");
    }
    let subject = Some(claims.sub).filter(|subject| !subject.is_empty());
    Ok(Token { subject, granted: claims.access })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
    use std::path::PathBuf;

    fn url(bytes: &[u8]) -> String {
        let text = oci::base64::encode(bytes).replace('+', "-").replace('/', "_");
        text.trim_end_matches('=').to_owned()
    }

    fn service() -> TokenService {
        TokenService {
            realm: "https://auth.example/token".into(),
            service: "registry.example".into(),
            issuer: "auth".into(),
            keys: PathBuf::new(),
        }
    }

    const CLAIMS: &str = r#"{"iss":"auth","sub":"ann","aud":"registry.example","exp":1000,"nbf":500,"access":[{"type":"repository","name":"a/b","actions":["pull"]}]}"#;

    fn sign(header: &str, claims: &str, key: &dyn Fn(&[u8]) -> Vec<u8>) -> String {
        let signed = format!("{}.{}", url(header.as_bytes()), url(claims.as_bytes()));
        format!("{signed}.{}", url(&key(signed.as_bytes())))
    }

    #[test]
    fn tokens_are_good_for_what_they_say_and_for_nothing_else() {
        let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pair.as_ref()).unwrap();
        let x = url(pair.public_key().as_ref());
        let set = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"one","x":"{x}"}}]}}"#);
        let keys = Keys::parse(set.as_bytes()).unwrap();
        let key = |text: &[u8]| pair.sign(text).as_ref().to_vec();
        let head = r#"{"alg":"EdDSA","typ":"JWT","kid":"one"}"#;
        let good = sign(head, CLAIMS, &key);
        let token = verify(&good, &keys, &service(), 700).unwrap();
        assert_eq!(token.subject.as_deref(), Some("ann"));
        let allows = |name: &str, action| {
            let name = Repository::parse(name).unwrap();
            token.granted.iter().any(|granted| granted.allows(&name, action))
        };
        assert!(allows("a/b", Action::Pull));
        assert!(!allows("a/b", Action::Push) && !allows("a", Action::Pull));
        assert!(!allows("a/b/c", Action::Pull));

        let check = |token: &str, now: u64, why: &str| {
            assert_eq!(verify(token, &keys, &service(), now).unwrap_err(), why, "{token}");
        };
        check(&good, 1060, "it has expired");
        check(&good, 400, "it is not valid yet");
        assert!(verify(&good, &keys, &service(), 1059).is_ok());
        let changed = |from: &str, to: &str| sign(head, &CLAIMS.replace(from, to), &key);
        check(&changed("\"auth\"", "\"other\""), 700, "somebody else has issued it");
        check(&changed("registry.example", "other"), 700, "it is for somebody else");
        check(&changed("\"exp\":1000,", ""), 700, "its claims are malformed");
        let several = changed("\"registry.example\"", "[\"x\",\"registry.example\"]");
        assert!(verify(&several, &keys, &service(), 700).is_ok());
        check("", 700, "it is no token");
        check("a.b", 700, "it is no token");
        check(&"a".repeat(20_000), 700, "it is too long");
        let parts: Vec<&str> = good.split('.').collect();
        let forged = CLAIMS.replace("pull", "push");
        let forged = [parts[0], &url(forged.as_bytes()), parts[2]].join(".");
        check(&forged, 700, "none of the keys has signed it");
        check(&[parts[0], parts[1], ""].join("."), 700, "none of the keys has signed it");
        for alg in ["none", "HS256", "RS256", "ES256", "eddsa"] {
            let head = format!(r#"{{"alg":"{alg}"}}"#);
            let unsigned = sign(&head, CLAIMS, &key);
            check(&unsigned, 700, "none of the keys has signed it");
        }
        let crit = sign(r#"{"alg":"EdDSA","crit":["b64"]}"#, CLAIMS, &key);
        check(&crit, 700, "it has extensions that have to be understood");
    }

    #[test]
    fn the_public_key_is_no_shared_secret() {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pair.as_ref(), &random)
                .unwrap();
        let point = pair.public_key().as_ref();
        let (x, y) = (url(&point[1..33]), url(&point[33..]));
        let set = format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}]}}"#);
        let keys = Keys::parse(set.as_bytes()).unwrap();
        let key = |text: &[u8]| pair.sign(&random, text).unwrap().as_ref().to_vec();
        let good = sign(r#"{"alg":"ES256","kid":"unknown"}"#, CLAIMS, &key);
        assert!(verify(&good, &keys, &service(), 700).is_ok());
        // RFC 8725, section 2.1: signed with what everybody knows.
        let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, point);
        let confused = |text: &[u8]| ring::hmac::sign(&secret, text).as_ref().to_vec();
        let bad = sign(r#"{"alg":"HS256"}"#, CLAIMS, &confused);
        assert!(verify(&bad, &keys, &service(), 700).is_err());
    }

    #[test]
    fn keys_are_read_from_all_forms() {
        let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        assert!(Keys::parse(pem.as_bytes()).is_ok());
        assert!(Keys::parse(pem.repeat(3).as_bytes()).is_ok());
        let check = |text: &str, what: &str| {
            let error = Keys::parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(what), "{error}");
        };
        check("", "has no public key");
        check("{\"keys\":[]}", "has no public key");
        check(r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#, "has no public key");
        check(r#"{"keys":[{"kty":"RSA","kid":"k","n":"!","e":"AQAB"}]}"#, "key `k`: is damaged");
        check(&pem.replace("PUBLIC", "PRIVATE"), "has more in it");
        check(&pem.repeat(65), "more than 64 keys");
    }
}
