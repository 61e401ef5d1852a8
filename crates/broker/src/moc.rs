//! The Network M/OC's interface for devices: wake-ups and payloads.

use std::{fmt, time::Duration};

use reqwest::{Client, StatusCode, header::RANGE};

use crate::{
    config::Config,
    refusal::TamFailed,
    tam::{built, checked, client, failed, is_below, limited},
};

/// A client of the M/OC in the name of this device.
#[derive(Clone)]
pub struct MocClient {
    http: Client,
    base: String,
    device: String,
    token: String,
}

impl MocClient {
    /// A client with the settings' address and token. `roots` is PEM text with further trust
    /// anchors for TLS.
    ///
    /// # Errors
    /// [`TamFailed::Setup`]: the TLS library or the trust anchors are not usable.
    pub fn new(config: &Config, token: &str, roots: Option<&str>) -> Result<Self, TamFailed> {
        Ok(Self {
            http: built(client(roots)?.timeout(POLL_WITHIN))?,
            base: config.moc.clone(),
            device: config.device.clone(),
            token: token.to_owned(),
        })
    }

    /// Whether a URI is one of the M/OC's own.
    #[must_use]
    pub fn is_own(&self, uri: &str) -> bool {
        is_below(&self.base, uri)
    }

    /// Where the TAM of this M/OC is.
    #[must_use]
    pub fn tam(&self) -> String {
        format!("{}{}", self.base, api::path::TAM)
    }

    /// Waits to be woken; `None` when the wait ended without a reason.
    ///
    /// # Errors
    /// See [`TamFailed`].
    pub async fn wake(&self) -> Result<Option<api::Wake>, TamFailed> {
        let url = checked(&format!("{}{}", self.base, api::path::wake(&self.device)))?;
        let response = self.http.get(url).bearer_auth(&self.token).send().await.map_err(failed)?;
        match response.status() {
            StatusCode::OK => {
                let body = limited(response, WAKE_BYTES_MAX).await?;
                let wake = serde_json::from_slice(&body);
                wake.map(Some).map_err(|error| TamFailed::Malformed(error.to_string()))
            }
            StatusCode::NO_CONTENT => Ok(None),
            other => Err(TamFailed::Status(other.as_u16())),
        }
    }

    /// Reads a whole blob of the M/OC, at most [`ENVELOPE_BYTES_MAX`].
    ///
    /// # Errors
    /// See [`TamFailed`].
    pub async fn blob(&self, sha256: &str) -> Result<Vec<u8>, TamFailed> {
        let url = checked(&format!("{}{}", self.base, api::path::blob(sha256)))?;
        let request = self.http.get(url).bearer_auth(&self.token);
        let response = request.send().await.map_err(failed)?;
        match response.status() {
            StatusCode::OK => limited(response, ENVELOPE_BYTES_MAX).await,
            other => Err(TamFailed::Status(other.as_u16())),
        }
    }

    /// Tells what became of a UA that was to be placed: the REE's report, or why there is none.
    ///
    /// # Errors
    /// See [`TamFailed`].
    pub async fn placed(
        &self,
        ticket: &str,
        outcome: Result<Vec<u8>, String>,
    ) -> Result<(), TamFailed> {
        let url = checked(&format!("{}{}", self.base, api::path::placements(&self.device)))?;
        let (report, failure) = match outcome {
            Ok(report) => (Some(hex::encode(report)), None),
            Err(cause) => (None, Some(cause)),
        };
        let told = api::PostPlacement { ticket: ticket.to_owned(), report, failure };
        let request = self.http.post(url).bearer_auth(&self.token).json(&told);
        let response = request.send().await.map_err(failed)?;
        match response.status() {
            status if status.is_success() => Ok(()),
            other => Err(TamFailed::Status(other.as_u16())),
        }
    }

    /// Reads `length` bytes of a payload from `offset`; fewer at its end. The bytes are not
    /// trusted: who asked compares their digest.
    ///
    /// # Errors
    /// See [`TamFailed`].
    pub async fn fetch(&self, uri: &str, offset: u64, length: u64) -> Result<Vec<u8>, TamFailed> {
        let wanted = usize::try_from(length).ok().filter(|wanted| *wanted <= RANGE_BYTES_MAX);
        let wanted = wanted.ok_or(TamFailed::TooLarge { limit: RANGE_BYTES_MAX })?;
        let (Some(last), true) = (offset.checked_add(length), wanted > 0) else {
            return Ok(Vec::new());
        };
        let url = checked(uri)?;
        let own = self.is_own(uri);
        // A manifest's author must not reach what listens on this device's loopback.
        if !own && url.scheme() != "https" {
            return Err(TamFailed::Elsewhere);
        }
        let mut request = self.http.get(url).header(RANGE, format!("bytes={offset}-{}", last - 1));
        // The token is for the M/OC alone; another host gets an anonymous request.
        if own {
            request = request.bearer_auth(&self.token);
        }
        let mut response = request.send().await.map_err(failed)?;
        // A server without ranges sends everything: what lies before the offset is passed over.
        let mut skip = match response.status() {
            StatusCode::PARTIAL_CONTENT => 0,
            StatusCode::OK => offset,
            StatusCode::RANGE_NOT_SATISFIABLE => return Ok(Vec::new()),
            other => return Err(TamFailed::Status(other.as_u16())),
        };
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            let from = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            skip -= from as u64;
            bytes.extend_from_slice(&chunk[from..]);
            if bytes.len() >= wanted {
                bytes.truncate(wanted);
                break;
            }
        }
        Ok(bytes)
    }
}

impl fmt::Debug for MocClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MocClient")
            .field("base", &self.base)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

/// Longer than the M/OC holds a poll open, and enough for one range on a slow line.
const POLL_WITHIN: Duration = Duration::from_secs(60);
const WAKE_BYTES_MAX: usize = 64 * 1024;

/// The envelope of a UA; its program is fetched apart from it.
const ENVELOPE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What is fetched at once has to fit into one frame to the Agent.
pub(crate) const RANGE_BYTES_MAX: usize = 8 * 1024 * 1024;
