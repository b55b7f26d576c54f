//! What a client is told when its request is not done: the distribution specification's errors.

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use oci::json::Object;

/// The specification's codes, and those of docker's registry that it leaves room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// No such blob.
    BlobUnknown,
    /// An upload that cannot go on so.
    BlobUploadInvalid,
    /// No such upload.
    BlobUploadUnknown,
    /// Content that is not what its digest says, or no digest.
    DigestInvalid,
    /// A manifest names content that is not there.
    ManifestBlobUnknown,
    /// No manifest.
    ManifestInvalid,
    /// No such manifest.
    ManifestUnknown,
    /// No name of a repository.
    NameInvalid,
    /// No such repository.
    NameUnknown,
    /// Another length than was said.
    SizeInvalid,
    /// Nobody is known here by these credentials, or it takes some.
    Unauthorized,
    /// Not allowed.
    Denied,
    /// This registry does not do that.
    Unsupported,
    /// Later.
    TooManyRequests,
    /// The registry's own fault.
    Unknown,
}

impl Code {
    fn name(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// A request that is not done.
#[derive(Clone, Debug)]
pub struct Refusal {
    status: StatusCode,
    code: Code,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What the operator is told and the client is not.
    cause: Option<String>,
}

impl Refusal {
    /// A refusal with a sentence for the client.
    pub fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new(), cause: None }
    }

    /// 400.
    pub fn bad(code: Code, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 404.
    pub fn missing(code: Code, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// 500: the client gets to know nothing of it.
    pub fn internal(cause: impl Into<String>) -> Self {
        let text = "the registry could not do that; its log says why";
        let refusal = Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Unknown, text);
        Self { cause: Some(cause.into()), ..refusal }
    }

    /// The same with a header.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether a quota is used up.
    pub(crate) fn is_over(&self) -> bool {
        self.status == StatusCode::FORBIDDEN && self.code == Code::Denied
    }

    /// What the operator has to know.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    pub(crate) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// The body of the answer.
    pub(crate) fn body(&self) -> String {
        let code = self.code.name();
        let mut body = String::from("{\"errors\":[");
        body.push_str(&oci::json::write(&Object(&[
            ("code", &code.to_owned()),
            ("message", &self.message),
        ])));
        body.push_str("]}\n");
        body
    }
}

impl From<crate::storage::Error> for Refusal {
    fn from(error: crate::storage::Error) -> Self {
        if error.is_over() {
            // As other registries do: clients try again what was answered with 5xx.
            return Self::new(StatusCode::FORBIDDEN, Code::Denied, error.to_string());
        }
        let full = error.is_full();
        let refusal = Self::internal(error.to_string());
        match full {
            true => Self {
                status: StatusCode::INSUFFICIENT_STORAGE,
                code: Code::Denied,
                message: "the registry has no room left".into(),
                ..refusal
            },
            false => refusal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_json_whatever_is_in_it() {
        let refusal = Refusal::missing(Code::ManifestUnknown, "no \"x\"\r\n\u{7f}");
        let value: serde_json_free::Errors = oci::json::read(refusal.body().as_bytes()).unwrap();
        assert_eq!(value.errors[0].code, "MANIFEST_UNKNOWN");
        assert_eq!(value.errors[0].message, "no \"x\"\r\n\u{7f}");
        let refusal = Refusal::internal("/secret/path: EIO");
        assert!(!refusal.body().contains("secret"));
    }

    mod serde_json_free {
        oci::document! {
            Errors { errors: Vec<One> => required }
            One { code: String, message: String }
        }
    }
}
