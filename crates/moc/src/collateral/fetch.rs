//! One request to a vendor's service: bounded in time and size, never twice at the same time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::{Client, Response, StatusCode, header::RETRY_AFTER};
use tokio::sync::OnceCell;

/// What a service answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The body.
    pub body: Vec<u8>,
    /// Headers with chains of certificates, by lower-case name.
    pub chains: BTreeMap<String, String>,
}

/// A service gave nothing that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchFailed {
    /// The service does not answer, or not to the end.
    #[error("{url} does not answer: {detail}")]
    Unreachable {
        /// Which address.
        url: String,
        /// What happened.
        detail: String,
    },
    /// The service asks to be asked later.
    #[error("{url} asks to wait")]
    Throttled {
        /// Which address.
        url: String,
        /// For how long, seconds, if it says so.
        after_s: Option<u64>,
    },
    /// The service refuses.
    #[error("{url} answers with status {status}")]
    Status {
        /// Which address.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The answer is larger than any collateral.
    #[error("the answer of {url} is too large")]
    TooLarge {
        /// Which address.
        url: String,
    },
}

/// Fetches from vendors' services.
#[derive(Debug)]
pub struct Fetcher {
    client: Client,
    flights: Mutex<BTreeMap<String, Arc<Flight>>>,
}

type Flight = OnceCell<Result<Arc<Answer>, FetchFailed>>;

impl Fetcher {
    /// A fetcher that waits this long for a whole answer. `loopback` works without any trust
    /// anchors of the platform's for TLS.
    ///
    /// # Errors
    /// The platform's trust anchors for TLS cannot be used.
    pub fn new(timeout: Duration, loopback: bool) -> Result<Self, reqwest::Error> {
        let builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(timeout)
            .timeout(timeout);
        let builder = if loopback { builder.tls_certs_only([]) } else { builder };
        Ok(Self { client: builder.build()?, flights: Mutex::default() })
    }

    /// Fetches one address; whoever asks while a request is on its way gets that one's answer.
    ///
    /// # Errors
    /// See [`FetchFailed`].
    pub async fn get(&self, url: &str) -> Result<Arc<Answer>, FetchFailed> {
        let flight = self.flights().entry(url.to_owned()).or_default().clone();
        let answer = flight.get_or_init(|| self.fetch(url)).await.clone();
        let mut flights = self.flights();
        if flights.get(url).is_some_and(|current| Arc::ptr_eq(current, &flight)) {
            flights.remove(url);
        }
        answer
    }

    async fn fetch(&self, url: &str) -> Result<Arc<Answer>, FetchFailed> {
        let unreachable = |error: reqwest::Error| FetchFailed::Unreachable {
            url: url.to_owned(),
            detail: if error.is_timeout() { "in time".to_owned() } else { innermost(&error) },
        };
        let mut response = self.client.get(url).send().await.map_err(unreachable)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let after_s = retry_after(&response);
                return Err(FetchFailed::Throttled { url: url.to_owned(), after_s });
            }
            status => {
                return Err(FetchFailed::Status { url: url.to_owned(), status: status.as_u16() });
            }
        }
        let chains = chains(&response);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(FetchFailed::TooLarge { url: url.to_owned() });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Arc::new(Answer { body, chains }))
    }

    /// A panic elsewhere leaves whole entries behind.
    fn flights(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Flight>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Seconds; the other form, a date, is taken as no hint.
fn retry_after(response: &Response) -> Option<u64> {
    response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

fn chains(response: &Response) -> BTreeMap<String, String> {
    let named = response.headers().iter().filter(|(name, _)| name.as_str().ends_with("-chain"));
    let read = named.filter_map(|(name, value)| {
        Some((name.as_str().to_owned(), percent_decode(value.to_str().ok()?)?))
    });
    read.collect()
}

/// Undoes percent-encoding (RFC 3986 section 2.1).
fn percent_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        if octet != b'%' {
            decoded.push(octet);
            continue;
        }
        let digits = [octets.next()?, octets.next()?];
        decoded.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(decoded).ok()
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The largest list of revoked certificates is some ten KiB.
const ANSWER_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod unit {
    use super::percent_decode;

    #[test]
    fn percent_encoding_is_undone_or_refused() {
        assert_eq!(percent_decode("a%20b%0A").as_deref(), Some("a b\n"));
        assert_eq!(percent_decode("a+b").as_deref(), Some("a+b"));
        for broken in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(percent_decode(broken), None, "{broken}");
        }
    }
}
