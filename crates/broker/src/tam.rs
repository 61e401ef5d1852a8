//! The HTTP client of the TEEP binding (draft-ietf-teep-otrp-over-http-15).

use std::time::Duration;

use reqwest::{
    Certificate, Client, ClientBuilder, Response, Url,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE},
    redirect::Policy,
    tls::Version,
};

use crate::refusal::{TamFailed, causes};

/// The media type of TEEP messages.
pub const TEEP: &str = "application/teep+cbor";

/// A longer answer of a TAM is refused, bytes.
pub const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// An HTTP client that keeps the binding's rules: no redirects, no cookies, no proxies, no TLS
/// before 1.3.
#[derive(Clone, Debug)]
pub struct TamClient {
    http: Client,
}

impl TamClient {
    /// A client for any number of TAMs. `roots` is PEM text with further trust anchors for TLS.
    ///
    /// # Errors
    /// [`TamFailed::Setup`]: the TLS library or the trust anchors are not usable.
    pub fn new(roots: Option<&str>) -> Result<Self, TamFailed> {
        Ok(Self { http: built(client(roots)?.timeout(ANSWER_WITHIN))? })
    }

    /// The same with a bound for the whole answer.
    ///
    /// # Errors
    /// As [`TamClient::new`].
    pub fn answering_within(roots: Option<&str>, bound: Duration) -> Result<Self, TamFailed> {
        Ok(Self { http: built(client(roots)?.timeout(bound))? })
    }

    /// Begins a session (section 5.1.1): an empty POST that only says what it accepts.
    ///
    /// # Errors
    /// See [`TamFailed`].
    pub async fn connect(&self, uri: &str) -> Result<Option<Vec<u8>>, TamFailed> {
        //= teep 14.76 (M): empty POST with Accept
        let request = self.http.post(checked(uri)?).header(ACCEPT, TEEP);
        Self::answer(request.header(CONTENT_LENGTH, 0)).await
    }

    /// Carries a message (section 5.3); `None` says that the TAM has nothing more to say.
    ///
    /// # Errors
    /// See [`TamFailed`].
    pub async fn send(&self, uri: &str, message: Vec<u8>) -> Result<Option<Vec<u8>>, TamFailed> {
        //= teep 14.77 (M): POST with both headers for a message
        let request = self.http.post(checked(uri)?).header(ACCEPT, TEEP);
        Self::answer(request.header(CONTENT_TYPE, TEEP).body(message)).await
    }

    async fn answer(request: reqwest::RequestBuilder) -> Result<Option<Vec<u8>>, TamFailed> {
        let response = request.send().await.map_err(failed)?;
        //= teep 14.80 (M): 3xx is an error, target not contacted
        //= teep 14.81 (M): 4xx and 5xx are errors
        if !response.status().is_success() {
            return Err(TamFailed::Status(response.status().as_u16()));
        }
        let media_type = response.headers().get(CONTENT_TYPE);
        let media_type = media_type.map_or(String::new(), |value| {
            String::from_utf8_lossy(value.as_bytes()).chars().take(SHOWN_MAX).collect()
        });
        let body = limited(response, ANSWER_BYTES_MAX).await?;
        //= teep 14.78 (M): any 2xx with an empty body ends the session with success
        if body.is_empty() {
            return Ok(None);
        }
        //= teep 14.86 (R): a body of another Content-Type is an error
        let essence = media_type.split(';').next().unwrap_or("").trim();
        if !essence.eq_ignore_ascii_case(TEEP) {
            return Err(TamFailed::MediaType(media_type));
        }
        Ok(Some(body))
    }
}

/// What every HTTP client of the Broker has in common.
pub(crate) fn client(roots: Option<&str>) -> Result<ClientBuilder, TamFailed> {
    let setup = |error: reqwest::Error| TamFailed::Setup(causes(&error));
    let roots = match roots {
        Some(pem) => Certificate::from_pem_bundle(pem.as_bytes()).map_err(setup)?,
        None => Vec::new(),
    };
    //= teep 14.84 (M): no cookie store is built in
    //= teep 14.88 (M): HTTPS identity verified against the platform's and the operator's roots
    Ok(Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .tls_version_min(Version::TLS_1_3)
        .tls_certs_merge(roots)
        .connect_timeout(CONNECT_WITHIN)
        .user_agent(concat!("tamarack-broker/", env!("CARGO_PKG_VERSION"))))
}

pub(crate) fn built(builder: ClientBuilder) -> Result<Client, TamFailed> {
    builder.build().map_err(|error| TamFailed::Setup(causes(&error)))
}

//= teep 14.87 (R): response size limit; a longer body aborts
/// Reads a body of at most `limit` bytes.
pub(crate) async fn limited(mut response: Response, limit: usize) -> Result<Vec<u8>, TamFailed> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > limit {
            return Err(TamFailed::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Takes an address that may be talked to: plain HTTP goes to loopback only.
pub(crate) fn checked(uri: &str) -> Result<Url, TamFailed> {
    let url = Url::parse(uri).map_err(|_| TamFailed::Address(uri.to_owned()))?;
    let loopback = match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        "http" => Err(TamFailed::PlainHttp),
        _ => Err(TamFailed::Address(uri.to_owned())),
    }
}

/// Whether `uri` is on the server and below the path of `base`.
pub(crate) fn is_below(base: &str, uri: &str) -> bool {
    let (Ok(base), Ok(uri)) = (Url::parse(base), Url::parse(uri)) else { return false };
    let path = base.path().trim_end_matches('/');
    let anonymous = uri.username().is_empty() && uri.password().is_none();
    let rest = uri.path().strip_prefix(path);
    anonymous && base.origin() == uri.origin() && rest.is_some_and(|rest| rest.starts_with('/'))
}

/// What an error of the HTTP library means. Addresses stay out of it: they may hold a ticket.
pub(crate) fn failed(error: reqwest::Error) -> TamFailed {
    if error.is_timeout() {
        TamFailed::TimedOut
    } else {
        TamFailed::Unreachable(causes(&error.without_url()))
    }
}

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// Characters of a peer's header that are shown.
const SHOWN_MAX: usize = 80;
