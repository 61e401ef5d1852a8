//! The client of the Network M/OC's HTTP interface.

use std::{net::IpAddr, time::Duration};

use api::{
    AttestationAccepted, Deployment, DeviceAdded, DeviceView, EnrolmentOpened, ExportedLog,
    JoinTokenView, JoinTokensAdded, LogPage, LogProof, PackageName, PackageStored, PostAttestation,
    PostDevice, PostJoinTokens, PostOrder, PostReceipt, PostRequest, PostTenant, PostToken,
    Problem, Receipts, RequestPlaced, SignedCheckpoint, TenantAdded, TenantView, TokenAdded,
    TokenView, path,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{
    Certificate, Client, Method, RequestBuilder, Response, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, LINK},
    tls::Version,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::identity::Unidentified;

/// Why a call of the M/OC did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallFailed {
    /// The M/OC did not answer.
    #[error("the Network M/OC at {base} does not answer")]
    Unreachable {
        /// Its address.
        base: String,
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
    /// Somebody answers, but it is not shown that it is the M/OC.
    #[error("whoever answers at {base} is not known to be the Network M/OC")]
    Unidentified {
        /// Its address.
        base: String,
        /// Why.
        #[source]
        source: Unidentified,
    },
    /// The trust anchors for TLS are not usable.
    #[error("the trust anchors for TLS cannot be used: {0}")]
    Roots(String),
    /// The address is not one that may be used.
    #[error("`{0}` is no address of a Network M/OC: use https, or http on loopback")]
    Address(String),
    /// The M/OC refused, and says why.
    #[error("the Network M/OC refused: {0}")]
    Refused(Box<Problem>),
    /// The answer is not what the contract says.
    #[error("the Network M/OC answered {status}, which is not in the contract of {what}")]
    OffContract {
        /// The call.
        what: &'static str,
        /// The HTTP status.
        status: u16,
    },
}

/// The Network M/OC, in the name of one token.
#[derive(Clone, Debug)]
pub struct MocClient {
    http: Client,
    base: String,
    token: String,
}

impl MocClient {
    /// A client for the M/OC at `base`: TLS 1.3; plain HTTP is for loopback only. `roots` is PEM
    /// text with trust anchors besides the platform's.
    ///
    /// # Errors
    /// [`CallFailed::Address`] for another address, [`CallFailed::Roots`] for bad trust anchors.
    pub fn new(base: &str, token: &str, roots: Option<&str>) -> Result<Self, CallFailed> {
        let bad = || CallFailed::Address(base.to_owned());
        let url = Url::parse(base).map_err(|_| bad())?;
        let host = url.host_str().unwrap_or("").trim_matches(['[', ']']);
        let loopback =
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let roots = roots.map(certificates).transpose()?.unwrap_or_default();
        let builder = match url.scheme() {
            "https" => Client::builder().tls_certs_merge(roots),
            // Works where the platform has no trust anchors at all.
            "http" if loopback => Client::builder().tls_certs_only(roots),
            _ => return Err(bad()),
        };
        let http = builder
            .tls_version_min(Version::TLS_1_3)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(60))
            .build()
            .map_err(|error| CallFailed::Roots(causes(&error)))?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), token: token.to_owned() })
    }

    /// The M/OC's address.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Adds a tenant (operator).
    ///
    /// # Errors
    /// See [`CallFailed`].
    pub async fn add_tenant(&self, name: &str) -> Result<TenantAdded, CallFailed> {
        self.post("adding a tenant", path::TENANTS, &PostTenant { name: name.to_owned() }).await
    }

    /// Lists the tenants (operator).
    ///
    /// # Errors
    /// See [`CallFailed`].
    pub async fn tenants(&self) -> Result<Vec<TenantView>, CallFailed> {
        self.all("listing tenants", path::TENANTS).await
    }

    /// Makes a credential.
    ///
    /// # Errors
    /// See [`CallFailed`].
    pub async fn add_token(&self, token: &PostToken) -> Result<TokenAdded, CallFailed> {
        self.post("making a credential", path::TOKENS, token).await
    }

    /// Lists the credentials that count.
    ///
    /// # Errors
    /// See [`CallFailed`].
    pub async fn tokens(&self) -> Result<Vec<TokenView>, CallFailed> {
        self.all("listing credentials", path::TOKENS).await
    }

    /// Ends a credential.
    ///
    /// # Errors
    /// See [`CallFailed`].
    pub async fn revoke_token(&self, id: &str) -> Result<(), CallFailed> {
        self.sent(self.to(Method::DELETE, &path::token(id))).await.map(drop)
    }

    /// Adds a device (operator).
    ///
    /// # Errors
    /// See [`CallFailed`].
    pub async fn add_device(&self, device: &PostDevice) -> Result<DeviceAdded, CallFailed> {
        self.post("adding a device", path::DEVICES, device).await
    }

    /// Shows a device (operator).
    ///
    /// # Errors
    /// See [`CallFailed`].
    pub async fn device(&self, device: &str) -> Result<DeviceView, CallFailed> {
        self.get("showing a device", &path::device(device)).await
    }

    /// Lists the devices (operator).
    ///
    /// # Errors
    /// See [`CallFailed`].
    pub async fn devices(&self) -> Result<Vec<DeviceView>, CallFailed> {
        self.all("listing devices", path::DEVICES).await
    }

    /// Orders a device to do something (operator).
    ///
    /// # Errors
    /// See [`CallFailed`].
    pub async fn order(&self, device: &str, order: &PostOrder) -> Result<DeviceView, CallFailed> {
        self.post("ordering a device", &path::orders(device), order).await
    }

    /// Has a device appraised anew (operator).
    ///
    /// # Errors
    /// See [`CallFailed`].
    pub async fn enrol(&self, device: &str) -> Result<EnrolmentOpened, CallFailed> {
        let request = self.to(Method::POST, &path::enrolments(device));
        Self::json("enrolling a device", self.sent(request).await?).await
    }

    /// Announces devices that may join (operator).
    ///
    /// # Errors
    /// See [`CallFailed`].
    pub async fn add_join_tokens(
        &self,
        devices: &PostJoinTokens,
    ) -> Result<JoinTokensAdded, CallFailed> {
        self.post("announcing devices", path::JOIN_TOKENS, devices).await
    }

    /// Lists the devices that may join (operator).
    ///
    /// # Errors
    /// See [`CallFailed`].
    pub async fn join_tokens(&self) -> Result<Vec<JoinTokenView>, CallFailed> {
        self.all("listing join tokens", path::JOIN_TOKENS).await
    }

    /// Takes a join token back (operator).
    ///
    /// # Errors
    /// See [`CallFailed`].
    pub async fn revoke_join_token(&self, id: &str) -> Result<(), CallFailed> {
        self.sent(self.to(Method::DELETE, &path::join_token(id))).await.map(drop)
    }

    /// Asks for confidential computing (Network User).
    ///
    /// # Errors
    /// See [`CallFailed`].
    pub async fn request(&self, request: &PostRequest) -> Result<RequestPlaced, CallFailed> {
        self.post("asking for confidential computing", path::REQUESTS, request).await
    }

    /// Shows a deployment; with `after`, waits for a change behind that number.
    ///
    /// # Errors
    /// See [`CallFailed`].
    pub async fn deployment(
        &self,
        deployment: &str,
        after: Option<u64>,
    ) -> Result<Deployment, CallFailed> {
        let path = match after {
            Some(seq) => path::deployment_after(deployment, seq),
            None => path::deployment(deployment),
        };
        self.get("showing a deployment", &path).await
    }

    /// Stores a payload under its digest.
    ///
    /// # Errors
    /// See [`CallFailed`].
    pub async fn put_blob(&self, sha256: &str, bytes: Vec<u8>) -> Result<(), CallFailed> {
        let request = self.to(Method::PUT, &path::blob(sha256));
        self.sent(request.body(bytes)).await.map(drop)
    }

    /// The address under which devices fetch a payload.
    #[must_use]
    pub fn blob_uri(&self, sha256: &str) -> String {
        format!("{}{}", self.base, path::blob(sha256))
    }

    /// Hands a package to the M/OC.
    ///
    /// # Errors
    /// See [`CallFailed`].
    pub async fn put_package(
        &self,
        deployment: &str,
        package: PackageName,
        envelope: Vec<u8>,
    ) -> Result<PackageStored, CallFailed> {
        let request = self.to(Method::PUT, &path::package(deployment, package));
        let request = request.header(CONTENT_TYPE, SUIT_ENVELOPE).body(envelope);
        Self::json("handing over a package", self.sent(request).await?).await
    }

    /// Asks for an attestation with the Network User's own nonce.
    ///
    /// # Errors
    /// See [`CallFailed`].
    pub async fn attest(&self, deployment: &str, nonce: &[u8]) -> Result<String, CallFailed> {
        let body = PostAttestation { nonce: URL_SAFE_NO_PAD.encode(nonce) };
        let path = path::attestations(deployment);
        let accepted: AttestationAccepted =
            self.post("asking for an attestation", &path, &body).await?;
        Ok(accepted.attestation)
    }

    /// The attestation's result (a signed CMW), or `None` while it is not there yet.
    ///
    /// # Errors
    /// See [`CallFailed`].
    pub async fn attestation(
        &self,
        deployment: &str,
        attestation: &str,
    ) -> Result<Option<Vec<u8>>, CallFailed> {
        let path = path::attestation(deployment, attestation);
        let response = self.sent(self.to(Method::GET, &path)).await?;
        if response.status() == StatusCode::ACCEPTED {
            return Ok(None);
        }
        let bytes = response.bytes().await.map_err(|source| self.unreachable(source))?;
        Ok(Some(bytes.into()))
    }

    /// Hands over the receipt of a release that did not go through the M/OC.
    ///
    /// # Errors
    /// See [`CallFailed`].
    pub async fn put_receipt(&self, deployment: &str, receipt: Vec<u8>) -> Result<(), CallFailed> {
        let receipt = base64::engine::general_purpose::STANDARD.encode(receipt);
        let posted = PostReceipt { receipt };
        let post = || self.sent(self.to(Method::POST, &path::receipts(deployment)).json(&posted));
        match post().await {
            // A connection that was idle while the data flowed may be closed; twice is as once.
            Err(CallFailed::Unreachable { .. }) => post().await.map(drop),
            posted => posted.map(drop),
        }
    }

    /// The receipts of a deployment, each a COSE_Sign1.
    ///
    /// # Errors
    /// See [`CallFailed`].
    pub async fn receipts(&self, deployment: &str) -> Result<Vec<Vec<u8>>, CallFailed> {
        let what = "reading receipts";
        let encoded: Receipts = self.get(what, &path::receipts(deployment)).await?;
        let standard = base64::engine::general_purpose::STANDARD;
        let decoded = encoded.iter().map(|text| standard.decode(text));
        let off_contract = |_| CallFailed::OffContract { what, status: 200 };
        decoded.collect::<Result<_, _>>().map_err(off_contract)
    }

    /// What happened in a deployment, with the proofs that it is in the log of decisions.
    ///
    /// # Errors
    /// See [`CallFailed`].
    pub async fn proofs(&self, deployment: &str) -> Result<Vec<LogProof>, CallFailed> {
        self.get("reading proofs", &path::proofs(deployment)).await
    }

    /// The whole log of decisions with a checkpoint over it (auditor).
    ///
    /// # Errors
    /// See [`CallFailed`].
    pub async fn log(&self) -> Result<ExportedLog, CallFailed> {
        let what = "reading the log of decisions";
        let signed: SignedCheckpoint = self.get(what, path::CHECKPOINT).await?;
        let mut entries = Vec::new();
        while (entries.len() as u64) < signed.size {
            let page: LogPage = self.get(what, &path::entries(entries.len() as u64)).await?;
            if page.entries.is_empty() {
                return Err(CallFailed::OffContract { what, status: 200 });
            }
            entries.extend(page.entries);
        }
        entries.truncate(usize::try_from(signed.size).unwrap_or(usize::MAX));
        Ok(ExportedLog { checkpoint: signed.checkpoint, entries })
    }

    /// Every page of a list.
    async fn all<T: DeserializeOwned>(
        &self,
        what: &'static str,
        path: &str,
    ) -> Result<Vec<T>, CallFailed> {
        let mut found = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(page) = next {
            let response = self.sent(self.to(Method::GET, &page)).await?;
            next = following(response.headers()).filter(|following| *following != page);
            found.append(&mut Self::json::<Vec<T>>(what, response).await?);
        }
        Ok(found)
    }

    async fn get<T: DeserializeOwned>(
        &self,
        what: &'static str,
        path: &str,
    ) -> Result<T, CallFailed> {
        Self::json(what, self.sent(self.to(Method::GET, path)).await?).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        what: &'static str,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, CallFailed> {
        Self::json(what, self.sent(self.to(Method::POST, path).json(body)).await?).await
    }

    fn to(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token)
    }

    async fn sent(&self, request: RequestBuilder) -> Result<Response, CallFailed> {
        let response = request.send().await.map_err(|source| self.unreachable(source))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        match response.json::<Problem>().await {
            Ok(problem) => Err(CallFailed::Refused(Box::new(problem))),
            Err(_) => Err(CallFailed::OffContract { what: "a refusal", status }),
        }
    }

    async fn json<T: DeserializeOwned>(
        what: &'static str,
        response: Response,
    ) -> Result<T, CallFailed> {
        let status = response.status().as_u16();
        response.json().await.map_err(|_| CallFailed::OffContract { what, status })
    }

    fn unreachable(&self, source: reqwest::Error) -> CallFailed {
        let base = self.base.clone();
        match Unidentified::among(&source) {
            Some(source) => CallFailed::Unidentified { base, source },
            None => CallFailed::Unreachable { base, source },
        }
    }
}

/// The path of the next page of a list (RFC 8288).
fn following(headers: &HeaderMap) -> Option<String> {
    let (link, relation) = headers.get(LINK)?.to_str().ok()?.split_once('>')?;
    let path = link.strip_prefix('<').filter(|path| path.starts_with('/'))?;
    relation.contains("rel=\"next\"").then(|| path.to_owned())
}

fn certificates(pem: &str) -> Result<Vec<Certificate>, CallFailed> {
    let certificates = Certificate::from_pem_bundle(pem.as_bytes())
        .map_err(|error| CallFailed::Roots(causes(&error)))?;
    match certificates.is_empty() {
        true => Err(CallFailed::Roots("there is no certificate in PEM".to_owned())),
        false => Ok(certificates),
    }
}

/// An error with its causes, on one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}

const SUIT_ENVELOPE: &str = "application/suit-envelope+cbor";
