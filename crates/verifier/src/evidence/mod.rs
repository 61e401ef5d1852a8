//! One module for each kind of evidence, all with the same four parts:
//!
//! * `Policy` and `Reference`: what the policy's owner may say about this kind,
//! * `Endorsements`: collateral verified once, however often evidence is verified against it,
//! * `appraise`: format, authenticity, TCB, binding, appraisal, in that order (EV-COM-2).
//!
//! No module knows another one's evidence; SGX and TDX share [`dcap`], CCA and TrustZone [`arm`].

pub mod arm;
pub mod cca;
pub mod dcap;
pub mod sev;
pub mod sgx;
pub mod snp;
pub mod tdx;
pub mod trustzone;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

use crate::anchor::Anchors;
use crate::check::{Check, Failure, Owner, Reason};
use crate::crypto::equal;
use crate::policy::Policy;
use crate::reference::ReferenceValues;
use crate::value::Value;
use crate::{Appraisal, Collateral, Timestamp};

/// The kinds of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Arm CCA token.
    Cca,
    /// AMD SEV or SEV-ES launch measurement.
    Sev,
    /// AMD SEV-SNP attestation report.
    SevSnp,
    /// Intel SGX quote.
    Sgx,
    /// Intel TDX quote.
    Tdx,
    /// TrustZone: iTrustee report, virtCCA token, OP-TEE digest or PSA token.
    #[serde(rename = "trustzone")]
    TrustZone,
}

/// One appraisal to make. Nothing is taken from elsewhere, so equal requests have equal results.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Which kind of evidence the bytes are.
    pub kind: Kind,
    /// The evidence as received.
    pub evidence: &'a [u8],
    /// An event log to replay against the evidence's registers.
    pub event_log: Option<EventLog<'a>>,
    /// What the evidence must be bound to.
    pub user_data: UserData<'a>,
    /// Where trust begins.
    pub anchors: &'a Anchors,
    /// Which measured software is meant.
    pub reference: &'a ReferenceValues,
    /// What else is accepted.
    pub policy: &'a Policy,
    /// For which point in time.
    pub now: Timestamp,
}

/// What the 64 octets of user data (or the challenge) must be.
#[derive(Clone, Copy, Debug)]
pub enum UserData<'a> {
    /// Exactly this, compared whole and in constant time (EV-COM-5).
    Exactly(&'a [u8; 64]),
    /// The caller looks at archived evidence and has nothing to compare with; the result then
    /// says that it is not bound.
    Unchecked,
}

/// A log of what was extended into the registers, untrusted until it replays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventLog<'a> {
    /// TCG crypto-agile log from the CCEL ACPI table.
    Ccel(&'a [u8]),
    /// The JSON list of a dstack guest.
    Dstack(&'a [u8]),
}

/// Collateral that was read and verified once for one kind of evidence, independent of time.
///
/// It remembers the platforms that were verified under it (EV-PERF-1), so that their next evidence
/// costs fewer signatures; other collateral starts without them. Copies share what they remember.
#[derive(Clone, Debug)]
pub struct Endorsements(Arc<Prepared>);

#[derive(Debug)]
pub(crate) enum Prepared {
    Cca(cca::Endorsements),
    Dcap(dcap::Endorsements),
    Sev(sev::Endorsements),
    Snp(snp::Endorsements),
    TrustZone(trustzone::Endorsements),
}

impl Endorsements {
    /// Verifies collateral for one kind of evidence.
    ///
    /// This never fails: what is missing or wrong is explained in each appraisal that needs it.
    #[must_use]
    pub fn prepare(kind: Kind, collateral: &Collateral, anchors: &Anchors) -> Self {
        if collateral.has_folders() {
            return Self::prepare(kind, &collateral.for_platform(kind, None), anchors);
        }
        Self(Arc::new(match kind {
            Kind::Cca => Prepared::Cca(cca::Endorsements::prepare(collateral, anchors)),
            Kind::Sev => Prepared::Sev(sev::Endorsements::prepare(collateral, anchors, None)),
            Kind::SevSnp => Prepared::Snp(snp::Endorsements::prepare(collateral, anchors)),
            Kind::Sgx => Prepared::Dcap(dcap::Endorsements::prepare(collateral, anchors)),
            Kind::Tdx => {
                let collateral = collateral.preferring("tdx-");
                Prepared::Dcap(dcap::Endorsements::prepare(&collateral, anchors))
            }
            Kind::TrustZone => {
                Prepared::TrustZone(trustzone::Endorsements::prepare(collateral, anchors))
            }
        }))
    }

    pub(crate) fn prepared(&self) -> &Prepared {
        &self.0
    }

    /// Why collateral that was supplied does not count, if it does not.
    #[must_use]
    pub fn refusal(&self) -> Option<&Check> {
        match &*self.0 {
            Prepared::Dcap(prepared) => prepared.refusal(),
            Prepared::Snp(prepared) => prepared.refusal(),
            Prepared::Cca(_) | Prepared::Sev(_) | Prepared::TrustZone(_) => None,
        }
    }

    /// Verifies the certificates of a platform for the launch of one SEV guest, which only the
    /// holder of the launch's keys can appraise.
    #[must_use]
    pub fn for_launch(
        keys: sev::session::LaunchKeys,
        collateral: &Collateral,
        anchors: &Anchors,
    ) -> Self {
        let prepared = sev::Endorsements::prepare(collateral, anchors, Some(keys));
        Self(Arc::new(Prepared::Sev(prepared)))
    }
}

//= EV-COM-1: a pure function of evidence, endorsements, anchors, policy and time
/// Appraises evidence against endorsements that were prepared for its kind.
#[must_use]
pub fn appraise(request: &Request<'_>, endorsements: &Endorsements) -> Appraisal {
    //= EV-COM-4: evidence larger than 64 KiB is refused
    if request.evidence.len() > MAX_EVIDENCE {
        return refuse(request, too_large(request.evidence.len()));
    }
    match (request.kind, &*endorsements.0) {
        (Kind::Cca, Prepared::Cca(prepared)) => cca::appraise(request, prepared),
        (Kind::Sev, Prepared::Sev(prepared)) => sev::appraise(request, prepared),
        (Kind::SevSnp, Prepared::Snp(prepared)) => snp::appraise(request, prepared),
        (Kind::Sgx, Prepared::Dcap(prepared)) => sgx::appraise(request, prepared),
        (Kind::Tdx, Prepared::Dcap(prepared)) => tdx::appraise(request, prepared),
        (Kind::TrustZone, Prepared::TrustZone(prepared)) => trustzone::appraise(request, prepared),
        _ => refuse(request, other_kind()),
    }
}

/// An appraisal that ends with one failed check.
pub(crate) fn refuse(request: &Request<'_>, check: Check) -> Appraisal {
    let mut appraisal = Appraisal::new(request.kind, request.now, &request.policy.id);
    appraisal.checks.ok = false;
    appraisal.checks.children.push(check);
    appraisal
}

/// EV-COM-5: the whole field, in constant time.
pub(crate) fn check_user_data(seen: &[u8], expected: UserData<'_>) -> Check {
    let check = Check::new("binding.user-data").seen(seen);
    match expected {
        UserData::Unchecked => check.source("nothing to compare with"),
        UserData::Exactly(expected) => {
            //= EV-COM-5: compare the full field, in constant time
            let check = check.expected(expected).source("this exchange");
            check.holds(equal(seen, expected), || {
                Failure::new(
                    Reason::BindingMismatch,
                    Owner::Attester,
                    "ask again: this evidence answers another challenge or names another key",
                )
            })
        }
    }
}

//= EV-EMU-1 (M): refused by every policy that does not name emulation
/// Whether the anchor's standing is allowed (EV-EMU-1).
pub(crate) fn check_standing(anchor: &crate::Anchor, policy: &Policy) -> Check {
    let check = Check::new("anchor.standing").source(anchor.name.clone().into_owned());
    let check = check.seen(if anchor.is_emulated() { "emulated" } else { "real" });
    check.holds(!anchor.is_emulated() || policy.emulated_allowed, || {
        Failure::new(
            Reason::EmulatedNotAllowed,
            Owner::PolicyOwner,
            "use real hardware, or set emulated_allowed where nothing secret is at stake",
        )
    })
}

//= EV-COM-10: debug is reported apart from the TCB status
//= rats 11.17 (M): a debug bit never yields affirming
/// EV-COM-10: debug is judged apart from the TCB.
pub(crate) fn check_debug(debug: bool, policy: &Policy) -> Check {
    let check = Check::new("instance.debug").seen(debug).expected(false).source("policy");
    check.holds(!debug || policy.debug_allowed, || {
        Failure::new(
            Reason::Debug,
            Owner::DeviceOperator,
            "start a production instance: the host can read everything inside a debug one",
        )
    })
}

fn too_large(seen: usize) -> Check {
    let seen = Value::Number(u64::try_from(seen).unwrap_or(u64::MAX));
    Check::new("evidence.size").seen(seen).expected("at most 65536 octets").holds(false, || {
        Failure::new(Reason::Malformed, Owner::Attester, "send the evidence alone")
    })
}

fn other_kind() -> Check {
    Check::new("evidence.endorsements").holds(false, || {
        Failure::new(
            Reason::MissingEndorsement,
            Owner::EndorsementProvider,
            "prepare endorsements for the kind of evidence that is appraised",
        )
    })
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Cca, Self::Sev, Self::SevSnp, Self::Sgx, Self::Tdx, Self::TrustZone];

    /// The stable name, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cca => "cca",
            Self::Sev => "sev",
            Self::SevSnp => "sev-snp",
            Self::Sgx => "sgx",
            Self::Tdx => "tdx",
            Self::TrustZone => "trustzone",
        }
    }

    /// The name for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Cca => "Arm CCA",
            Self::Sev => "AMD SEV",
            Self::SevSnp => "AMD SEV-SNP",
            Self::Sgx => "Intel SGX",
            Self::Tdx => "Intel TDX",
            Self::TrustZone => "Arm TrustZone",
        }
    }

    /// The media type of the hardware record inside TEEP evidence.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Cca => rats::evidence::CCA_TOKEN,
            Self::Sev => "application/vnd.tamarack.sev-launch+cbor",
            Self::SevSnp => rats::evidence::SEV_SNP_REPORT,
            Self::Sgx => rats::evidence::SGX_QUOTE,
            Self::Tdx => rats::evidence::TDX_QUOTE,
            Self::TrustZone => "application/vnd.tamarack.trustzone-report+cbor",
        }
    }

    /// The kind that a media type names. A PSA token is TrustZone evidence of its own format.
    #[must_use]
    pub fn from_media_type(media_type: &str) -> Option<Self> {
        if media_type == rats::evidence::PSA_TOKEN {
            return Some(Self::TrustZone);
        }
        Self::ALL.into_iter().find(|kind| kind.media_type() == media_type)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No kind of evidence has that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of evidence (cca, sev, sev-snp, sgx, tdx, trustzone)")]
pub struct UnknownKind;

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownKind)
    }
}

/// EV-COM-4: evidence larger than this is refused.
pub const MAX_EVIDENCE: usize = 64 * 1024;
/// EV-COM-4: event logs larger than this are refused.
pub const MAX_EVENT_LOG: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_media_types_are_one_to_one() {
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(Kind::from_media_type(kind.media_type()), Some(kind));
            assert_eq!(serde_json::to_value(kind).ok(), Some(kind.as_str().into()));
        }
        assert_eq!(Kind::from_media_type(rats::evidence::PSA_TOKEN), Some(Kind::TrustZone));
        assert_eq!("sgx2".parse::<Kind>(), Err(UnknownKind));
    }
}
