//! The HTTP client of the TEEP binding (draft-ietf-teep-otrp-over-http-15).

use std::time::Duration;

use reqwest::{
    Client, Url,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE},
    redirect::Policy,
};

use crate::refusal::TamFailed;

/// The media type of TEEP messages.
pub const TEEP: &str = "application/teep+cbor";

/// A longer answer of a TAM is refused, bytes.
pub const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// An HTTP client that keeps the binding's rules: no redirects, no cookies, no proxies.
#[derive(Clone, Debug)]
pub struct TamClient {
    http: Client,
}

impl TamClient {
    /// A client for any number of TAMs.
    ///
    /// # Errors
    /// The TLS library could not be set up.
    pub fn new() -> Result<Self, TamFailed> {
        //= teep 14.80: a redirect is an error, its target is not contacted
        //= teep 14.84: no cookie store is built in
        let http = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .user_agent(concat!("tamarack-broker/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| TamFailed::Unreachable(causes(&error)))?;
        Ok(Self { http })
    }

    /// Begins a session (section 5.1.1): an empty POST that only says what it accepts.
    ///
    /// # Errors
    /// See [`TamFailed`].
    pub async fn connect(&self, uri: &str) -> Result<Option<Vec<u8>>, TamFailed> {
        //= teep 14.76: an empty POST with Accept
        let request = self.http.post(checked(uri)?).header(ACCEPT, TEEP);
        Self::answer(request.header(CONTENT_LENGTH, 0)).await
    }

    /// Carries a message (section 5.3); `None` says that the TAM has nothing more to say.
    ///
    /// # Errors
    /// See [`TamFailed`].
    pub async fn send(&self, uri: &str, message: Vec<u8>) -> Result<Option<Vec<u8>>, TamFailed> {
        //= teep 14.77: a POST with both headers for a message
        let request = self.http.post(checked(uri)?).header(ACCEPT, TEEP);
        Self::answer(request.header(CONTENT_TYPE, TEEP).body(message)).await
    }

    async fn answer(request: reqwest::RequestBuilder) -> Result<Option<Vec<u8>>, TamFailed> {
        let mut response =
            request.send().await.map_err(|error| TamFailed::Unreachable(causes(&error)))?;
        if !response.status().is_success() {
            return Err(TamFailed::Status(response.status().as_u16()));
        }
        let media_type = response
            .headers()
            .get(CONTENT_TYPE)
            .map_or(String::new(), |value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let mut body = Vec::new();
        //= teep 14.87: a longer body aborts
        while let Some(chunk) =
            response.chunk().await.map_err(|error| TamFailed::Unreachable(causes(&error)))?
        {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(TamFailed::TooLarge { limit: ANSWER_BYTES_MAX });
            }
            body.extend_from_slice(&chunk);
        }
        //= teep 14.78: any 2xx with an empty body ends the session with success
        if body.is_empty() {
            return Ok(None);
        }
        //= teep 14.86: a body of another media type is an error
        let essence = media_type.split(';').next().unwrap_or("").trim();
        if !essence.eq_ignore_ascii_case(TEEP) {
            return Err(TamFailed::MediaType(media_type));
        }
        Ok(Some(body))
    }
}

/// Plain HTTP goes to loopback only.
pub(crate) fn checked(uri: &str) -> Result<Url, TamFailed> {
    let url = Url::parse(uri).map_err(|error| TamFailed::Unreachable(error.to_string()))?;
    let loopback = match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        None => false,
    };
    if url.scheme() == "https" || (url.scheme() == "http" && loopback) {
        Ok(url)
    } else {
        Err(TamFailed::PlainHttp)
    }
}

/// An error of the HTTP library with its causes, in one line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text += ": ";
        text += &inner.to_string();
        cause = inner.source();
    }
    text
}

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(120);
