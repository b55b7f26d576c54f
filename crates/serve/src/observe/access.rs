//! A line for every request.

use super::time::timestamp;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

oci::report! {
    /// What is told of a request.
    Line(snake) {
        time: String,
        client: String,
        user: String,
        method: String,
        path: String,
        status: u64 => always,
        /// Bytes of the answer's body that were sent.
        sent: u64 => always,
        /// Bytes of the request's body, if the client has said how many.
        received: u64,
        duration_ms: u64 => always,
        /// `HTTP/1.1` or `HTTP/2.0`.
        protocol: String,
        user_agent: String,
    }
}

/// Longest text of a client's that goes into a line.
const TEXT_LIMIT_BYTES: usize = 1024;

/// What is known of a request before it is answered.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) began: SystemTime,
    pub(crate) client: SocketAddr,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) protocol: String,
    pub(crate) user_agent: String,
    pub(crate) received: u64,
}

impl Request {
    /// The line, in JSON: whatever a client sends, it is one.
    pub(crate) fn line(&self, user: &str, status: u16, sent: u64, took: Duration) -> String {
        let mut line = oci::json::write(&Line {
            time: timestamp(self.began),
            client: self.client.to_string(),
            user: user.to_owned(),
            method: self.method.clone(),
            path: cut(&self.path),
            status: u64::from(status),
            sent,
            received: self.received,
            duration_ms: took.as_millis() as u64,
            protocol: self.protocol.clone(),
            user_agent: cut(&self.user_agent),
        });
        line.push('\n');
        line
    }
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(TEXT_LIMIT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_line_whatever_is_in_it() {
        let request = Request {
            began: std::time::UNIX_EPOCH,
            client: "127.0.0.1:9".parse().unwrap(),
            method: "GET".into(),
            path: "/v2/\n\"".into(),
            protocol: "HTTP/2.0".into(),
            user_agent: "ä".repeat(1000),
            received: 0,
        };
        let line = request.line("ann", 200, 5, Duration::from_millis(7));
        assert_eq!(line.matches('\n').count(), 1);
        let begin = r#"{"time":"1970-01-01T00:00:00.000Z","client":"127.0.0.1:9","user":"ann","method":"GET","path":"/v2/\n\"","status":200,"sent":5,"duration_ms":7,"protocol":"HTTP/2.0","user_agent":"ä"#;
        assert!(line.starts_with(begin), "{line}");
        assert!(line.len() < 1430);
    }
}
