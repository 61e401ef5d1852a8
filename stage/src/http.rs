//! One HTTP request on loopback, for what no program of the field would ask.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The method.
    pub method: &'a str,
    /// The path.
    pub path: &'a str,
    /// Header fields.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; `null` when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Asks a server of this machine.
///
/// # Errors
/// It does not answer, or not in HTTP.
pub(crate) fn ask(port: u16, ask: &Ask<'_>) -> Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    let Ask { method, path, headers, body } = ask;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n");
    for (name, value) in *headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    // Who refuses by the head alone may close before the body is there; the answer says why.
    let _unread = stream.write_all(body);
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    let answer = parse(&bytes);
    read.or_else(|error| if answer.is_ok() { Ok(0) } else { Err(error) })?;
    answer
}

/// An answer whose end is the connection's end.
fn parse(bytes: &[u8]) -> Result<Answer> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n").context("an answer without its head")?;
    let head = std::str::from_utf8(&bytes[..end]).context("a head that is no text")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.context("an answer without its status")?;
    Ok(Answer { status, body: bytes[end + 4..].to_vec() })
}

const ANSWER_WITHIN: Duration = Duration::from_secs(40);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_to_its_end() {
        let answer = parse(b"HTTP/1.1 403 Forbidden\r\nx: y\r\n\r\n{\"check\":\"role\"}").unwrap();

        assert_eq!(answer.status, 403);
        assert_eq!(answer.json()["check"], "role");
        assert!(parse(b"HTTP/1.1 403").is_err());
    }
}
