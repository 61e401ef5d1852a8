//! Renews a part of a platform's collateral: fetch, verify, and only then put in place.

use std::{io, time::Duration};

use verifier::{Anchors, Endorsements, Platform};

use super::{
    fetch::{FetchFailed, Fetcher},
    origin::Endpoints,
    schedule::{Part, Periods},
    store::Store,
};

/// Who fetches, and where it is kept.
#[derive(Debug)]
pub struct Keeper {
    endpoints: Endpoints,
    fetcher: Fetcher,
    periods: Periods,
    store: Store,
}

/// What is there stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotRenewed {
    /// No address of that vendor's service is configured.
    #[error("no service of {0} is configured")]
    NoEndpoint(&'static str),
    /// The service gave nothing.
    #[error(transparent)]
    Fetch(#[from] FetchFailed),
    /// The answer is not what the service's interface says.
    #[error("the answer is not what the service promises: {0}")]
    Unexpected(&'static str),
    /// What came does not verify.
    #[error("what came does not count: {0}")]
    Refused(String),
    /// What came is older than what is there.
    #[error("what came is older than what is there")]
    Older,
    /// The store.
    #[error("the store cannot be used")]
    Store(#[from] io::Error),
}

/// Errors of the store are equal by kind: the rest is the system's text.
impl PartialEq for NotRenewed {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::NoEndpoint(one), Self::NoEndpoint(other))
            | (Self::Unexpected(one), Self::Unexpected(other)) => one == other,
            (Self::Fetch(one), Self::Fetch(other)) => one == other,
            (Self::Refused(one), Self::Refused(other)) => one == other,
            (Self::Older, Self::Older) => true,
            (Self::Store(one), Self::Store(other)) => one.kind() == other.kind(),
            _ => false,
        }
    }
}

impl Keeper {
    /// A keeper of that store.
    ///
    /// # Errors
    /// The platform's trust anchors for TLS cannot be used.
    pub fn new(
        store: Store,
        endpoints: Endpoints,
        periods: Periods,
        timeout: Duration,
    ) -> Result<Self, reqwest::Error> {
        let fetcher = Fetcher::new(timeout, endpoints.are_loopback())?;
        Ok(Self { endpoints, fetcher, periods, store })
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// How often each part is renewed.
    #[must_use]
    pub const fn periods(&self) -> Periods {
        self.periods
    }

    /// Renews one part; tells whether anything changed.
    ///
    /// Endorsements and revocation lists are fetched apart, but count together: a part whose
    /// counterpart has not come yet is put in place unverified by it, since the Verifier refuses
    /// what is incomplete.
    ///
    /// # Errors
    /// See [`NotRenewed`]; what is there stays as it is.
    pub async fn renew(
        &self,
        platform: &Platform,
        part: Part,
        anchors: &Anchors,
    ) -> Result<bool, NotRenewed> {
        let fetched = self.endpoints.fetch(&self.fetcher, platform, part).await?;
        let before = self.store.of(platform)?;
        if !fetched.is_no_older_than(&before) {
            return Err(NotRenewed::Older);
        }
        let mut after = before.clone();
        for (name, bytes) in fetched.files() {
            after.insert(name, bytes);
        }
        if after == before {
            return Ok(false);
        }
        let whole = self.is_whole(platform, &after);
        let prepared = Endorsements::prepare(platform.kind(), &after, anchors);
        if let (true, Some(check)) = (whole, prepared.refusal()) {
            let (check, failure) = check.first_failure().map_or_else(
                || (check.name, String::new()),
                |(check, failure)| (check.name, format!(" ({failure})", failure = failure.reason)),
            );
            return Err(NotRenewed::Refused(format!("{check}{failure}")));
        }
        self.store.replace(platform, &after)?;
        Ok(true)
    }

    /// Whether both parts are there.
    fn is_whole(&self, platform: &Platform, files: &verifier::Collateral) -> bool {
        match platform {
            Platform::Intel { .. } => {
                ["tcb_info.json", "pck_crl.der"].into_iter().all(|name| files.file(name).is_some())
            }
            // Each of AMD's files verifies by itself, under the built-in authorities.
            Platform::Amd { .. } => true,
        }
    }
}
