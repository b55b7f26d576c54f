//! AWS's Signature Version 4: what makes a request to a store of objects ours.
//!
//! A request says when it was made and is good for some minutes; the key itself is never sent. Tested with the
//! examples of the documentation of S3.

use crate::observe::time::compact;
use oci::Algorithm;
use ring::hmac::{HMAC_SHA256, Key, sign};
use std::fmt::Write;
use std::time::SystemTime;
use transport::hash::digest_of;

/// Who we are to a store of objects.
#[derive(Clone)]
pub struct Credentials {
    /// Names the key.
    pub id: String,
    /// The key.
    pub secret: String,
    /// What goes with a key that is good for some hours only.
    pub token: Option<String>,
}

/// What a request is signed as.
pub(super) struct Signing<'a> {
    pub(super) credentials: &'a Credentials,
    pub(super) region: &'a str,
    pub(super) time: SystemTime,
}

/// What is signed of a request. Path and query are escaped.
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a [(String, String)],
    /// In small letters.
    pub(super) headers: &'a [(&'a str, String)],
    /// The hash of its body, in hexadecimal, or that there is none that counts.
    pub(super) payload: &'a str,
}

/// Of a body whose hash is not part of the signature.
pub(super) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

impl Signing<'_> {
    fn scope(&self) -> String {
        format!("{}/{}/s3/aws4_request", &compact(self.time)[..8], self.region)
    }

    fn signature(&self, signed: &Signed<'_>) -> String {
        let mut headers: Vec<_> = signed.headers.iter().collect();
        headers.sort();
        let mut text = format!("{}\n{}\n{}\n", signed.method, signed.path, query(signed.query));
        for (name, value) in &headers {
            let _ = writeln!(text, "{name}:{}", value.trim());
        }
        let _ = write!(text, "\n{}\n{}", names(signed.headers), signed.payload);
        let (time, scope) = (compact(self.time), self.scope());
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hash(text.as_bytes()));
        let mut key = format!("AWS4{}", self.credentials.secret).into_bytes();
        for part in scope.split('/') {
            key = sign(&Key::new(HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec();
        }
        hex(sign(&Key::new(HMAC_SHA256, &key), text.as_bytes()).as_ref())
    }

    /// The value of the header `authorization`.
    pub(super) fn authorization(&self, signed: &Signed<'_>) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{},SignedHeaders={},Signature={}",
            self.credentials.id,
            self.scope(),
            names(signed.headers),
            self.signature(signed)
        )
    }

    /// The query of an address that anybody may ask for, for some time.
    pub(super) fn presign(&self, host: &str, path: &str, seconds: u64) -> String {
        let mut pairs = vec![
            ("X-Amz-Algorithm".to_owned(), "AWS4-HMAC-SHA256".to_owned()),
            ("X-Amz-Credential".into(), format!("{}/{}", self.credentials.id, self.scope())),
            ("X-Amz-Date".into(), compact(self.time)),
            ("X-Amz-Expires".into(), seconds.to_string()),
            ("X-Amz-SignedHeaders".into(), "host".into()),
        ];
        if let Some(token) = &self.credentials.token {
            pairs.push(("X-Amz-Security-Token".into(), token.clone()));
        }
        let headers = [("host", host.to_owned())];
        let signed =
            Signed { method: "GET", path, query: &pairs, headers: &headers, payload: UNSIGNED };
        format!("{}&X-Amz-Signature={}", query(&pairs), self.signature(&signed))
    }
}

/// A query as it is signed, and sent: escaped and sorted.
pub(super) fn query(pairs: &[(String, String)]) -> String {
    let mut pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    pairs.sort();
    pairs.join("&")
}

/// Escapes a part of a path or query: everything but what RFC 3986 calls unreserved.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => drop(write!(escaped, "%{byte:02X}")),
        }
    }
    escaped
}

/// The hash of a body.
pub(super) fn hash(bytes: &[u8]) -> String {
    digest_of(Algorithm::Sha256, bytes).hex()
}

fn names(headers: &[(&str, String)]) -> String {
    let mut names: Vec<&str> = headers.iter().map(|it| it.0).collect();
    names.sort_unstable();
    names.join(";")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    /// The examples of "Signature Calculations for the Authorization Header" and "Authenticating Requests:
    /// Using Query Parameters" in the documentation of S3.
    #[test]
    fn the_documentations_examples_are_signed_alike() {
        let credentials = Credentials {
            id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            token: None,
        };
        // 2013-05-24
        let time = UNIX_EPOCH + Duration::from_secs(1_369_353_600);
        let signing = Signing { credentials: &credentials, region: "us-east-1", time };
        let empty = hash(b"");
        let check = |method: &str,
                     path: &str,
                     query: &[(&str, &str)],
                     more: &[(&'static str, &str)],
                     payload: &str,
                     expected: &str| {
            let mut headers = vec![
                ("host", "examplebucket.s3.amazonaws.com".to_owned()),
                ("x-amz-content-sha256", payload.to_owned()),
                ("x-amz-date", "20130524T000000Z".to_owned()),
            ];
            headers.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
            let query: Vec<_> = query.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
            let signed = Signed { method, path, query: &query, headers: &headers, payload };
            assert_eq!(signing.signature(&signed), expected, "{method} {path}");
        };
        check(
            "GET",
            "/test.txt",
            &[],
            &[("range", "bytes=0-9")],
            &empty,
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        );
        check(
            "PUT",
            "/test%24file.text",
            &[],
            &[
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            &hash(b"Welcome to Amazon S3."),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        );
        check(
            "GET",
            "/",
            &[("lifecycle", "")],
            &[],
            &empty,
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        );
        check(
            "GET",
            "/",
            &[("prefix", "J"), ("max-keys", "2")],
            &[],
            &empty,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        );
        let query = signing.presign("examplebucket.s3.amazonaws.com", "/test.txt", 86_400);
        let signature = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
        assert!(query.ends_with(&format!("&X-Amz-Signature={signature}")), "{query}");
        assert!(!query.contains(&credentials.secret));
    }
}
