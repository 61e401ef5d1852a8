//! The Network M/OC's interface for devices: wake-ups and payloads.

use std::time::Duration;

use reqwest::{Client, StatusCode, header::RANGE, redirect::Policy};

use crate::{
    config::Config,
    refusal::TamFailed,
    tam::{causes, checked},
};

/// A client of the M/OC in the name of this device.
#[derive(Clone, Debug)]
pub struct MocClient {
    http: Client,
    base: String,
    device: String,
    token: String,
}

impl MocClient {
    /// A client with the settings' address and token.
    ///
    /// # Errors
    /// The TLS library could not be set up.
    pub fn new(config: &Config, token: &str) -> Result<Self, TamFailed> {
        let http = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(POLL_WITHIN)
            .build()
            .map_err(|error| TamFailed::Unreachable(causes(&error)))?;
        Ok(Self {
            http,
            base: config.moc.clone(),
            device: config.device.clone(),
            token: token.to_owned(),
        })
    }

    /// Waits to be woken; `None` when the wait ended without a reason.
    ///
    /// # Errors
    /// See [`TamFailed`].
    pub async fn wake(&self) -> Result<Option<api::Wake>, TamFailed> {
        let url = checked(&format!("{}{}", self.base, api::path::wake(&self.device)))?;
        let response = self.http.get(url).bearer_auth(&self.token).send().await;
        let response = response.map_err(|error| TamFailed::Unreachable(causes(&error)))?;
        match response.status() {
            StatusCode::OK => {
                let wake = response.json().await;
                wake.map(Some).map_err(|error| TamFailed::Unreachable(causes(&error)))
            }
            StatusCode::NO_CONTENT => Ok(None),
            other => Err(TamFailed::Status(other.as_u16())),
        }
    }

    /// Reads `length` bytes of a payload from `offset`; fewer at its end. The bytes are not
    /// trusted: who asked compares their digest.
    ///
    /// # Errors
    /// See [`TamFailed`].
    pub async fn fetch(&self, uri: &str, offset: u64, length: u64) -> Result<Vec<u8>, TamFailed> {
        let url = checked(uri)?;
        let last = offset + length.saturating_sub(1);
        let mut request = self.http.get(url).header(RANGE, format!("bytes={offset}-{last}"));
        // The token is for the M/OC alone; another host gets an anonymous request.
        if uri.strip_prefix(&self.base).is_some_and(|rest| rest.starts_with('/')) {
            request = request.bearer_auth(&self.token);
        }
        let response = request.send().await;
        let mut response = response.map_err(|error| TamFailed::Unreachable(causes(&error)))?;
        let whole = match response.status() {
            StatusCode::PARTIAL_CONTENT => false,
            StatusCode::OK => true,
            StatusCode::RANGE_NOT_SATISFIABLE => return Ok(Vec::new()),
            other => return Err(TamFailed::Status(other.as_u16())),
        };
        // A server without ranges sends everything: what lies before the offset is passed over.
        let mut skip = if whole { offset } else { 0 };
        let mut bytes = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| TamFailed::Unreachable(causes(&error)))?
        {
            let from = skip.min(chunk.len() as u64);
            skip -= from;
            bytes.extend_from_slice(&chunk[from as usize..]);
            if bytes.len() as u64 >= length {
                bytes.truncate(length as usize);
                break;
            }
        }
        Ok(bytes)
    }
}

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const POLL_WITHIN: Duration = Duration::from_secs(60);
