//! Arm TrustZone, in the formats that its software has: iTrustee reports and virtCCA tokens of
//! Kunpeng servers, digests of OP-TEE's attestation PTA, and PSA tokens of TF-M.
//!
//! The bytes say which format they are; every format is appraised in the same order.

pub mod itrustee;
pub mod optee;
pub mod psa;
pub mod virtcca;

mod huawei;
mod uuid;

use cose::cbor::{Decoder, Type};
use serde::{Deserialize, Serialize};

use super::arm::{DeviceKeys, NotAToken, PlatformClaims, RealmClaims};
use super::{Request, refuse};
use crate::anchor::Anchor;
use crate::cache::Bounded;
use crate::check::{Check, Checks, Stop};
use crate::claims::Claims;
use crate::reference::{Comparable, Row, check_reference};
use crate::trust::{self, Isolation, TrustClaim, TrustValue};
use crate::value::{Octets, Value};
use crate::{Anchors, Appraisal, Collateral, UserData};
use huawei::Authorities;

pub use uuid::Uuid;

/// Rules for TrustZone evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Rules for iTrustee reports.
    pub itrustee: itrustee::Policy,
    /// Rules for OP-TEE devices.
    pub optee: optee::Policy,
    /// Rules for PSA tokens.
    pub psa: psa::Policy,
    /// Rules for virtCCA machines.
    pub virtcca: virtcca::Policy,
}

/// A reference value for TrustZone software.
///
/// ```toml
/// name = "meter firmware 1.6"
/// [trustzone.psa]
/// implementation_id = "…"
/// components = [{ type = "SPE", measurement = "…", signer_id = "…" }]
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Spelling", into = "Spelling")]
pub struct Reference {
    /// What people call it.
    pub name: String,
    /// What is compared.
    pub software: Software,
}

/// Reference values by format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Software {
    /// A trusted application of iTrustee.
    Itrustee(itrustee::Reference),
    /// A digest of OP-TEE.
    OpTee(optee::Reference),
    /// A PSA device.
    Psa(psa::Reference),
    /// A virtCCA machine.
    VirtCca(Box<virtcca::Reference>),
}

/// A reference value as it is written in TOML: a name, and exactly one format.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spelling {
    /// What people call it.
    pub name: String,
    /// A trusted application of iTrustee.
    pub itrustee: Option<itrustee::Reference>,
    /// A digest of OP-TEE.
    pub optee: Option<optee::Reference>,
    /// A PSA device.
    pub psa: Option<psa::Reference>,
    /// A virtCCA machine.
    pub virtcca: Option<virtcca::Reference>,
}

/// A reference value names no format, or more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a TrustZone reference value needs exactly one of: itrustee, optee, psa, virtcca")]
pub struct NotOneFormat;

impl TryFrom<Spelling> for Reference {
    type Error = NotOneFormat;

    fn try_from(spelt: Spelling) -> Result<Self, NotOneFormat> {
        let formats = [
            spelt.itrustee.map(Software::Itrustee),
            spelt.optee.map(Software::OpTee),
            spelt.psa.map(Software::Psa),
            spelt.virtcca.map(Box::new).map(Software::VirtCca),
        ];
        let mut formats = formats.into_iter().flatten();
        match (formats.next(), formats.next()) {
            (Some(software), None) => Ok(Self { name: spelt.name, software }),
            _ => Err(NotOneFormat),
        }
    }
}

impl From<Reference> for Spelling {
    fn from(Reference { name, software }: Reference) -> Self {
        let none = Self { name, ..Self::default() };
        match software {
            Software::Itrustee(it) => Self { itrustee: Some(it), ..none },
            Software::OpTee(it) => Self { optee: Some(it), ..none },
            Software::Psa(it) => Self { psa: Some(it), ..none },
            Software::VirtCca(it) => Self { virtcca: Some(*it), ..none },
        }
    }
}

/// What was measured, by format.
#[derive(Clone, Debug)]
pub(crate) enum Measured {
    /// By the quoting TA.
    Itrustee(itrustee::Measurements),
    /// By the attestation PTA.
    OpTee(optee::Reference),
    /// By a PSA root of trust.
    Psa(Box<psa::PsaClaims>),
    /// By a virtCCA platform, if there is a token of it, and of a machine on it.
    VirtCca(Option<Box<PlatformClaims>>, Box<RealmClaims>),
}

impl Comparable for Reference {
    type Measured = Measured;

    fn name(&self) -> &str {
        &self.name
    }

    fn compare(&self, measured: &Measured) -> Vec<Row> {
        match (&self.software, measured) {
            (Software::Itrustee(reference), Measured::Itrustee(seen)) => reference.compare(seen),
            (Software::OpTee(reference), Measured::OpTee(seen)) => reference.compare(seen),
            (Software::Psa(reference), Measured::Psa(seen)) => reference.compare(seen),
            (Software::VirtCca(reference), Measured::VirtCca(platform, cvm)) => {
                reference.compare(platform.as_deref(), cvm)
            }
            (software, seen) => vec![Row {
                field: "format",
                expected: software.format().into(),
                seen: seen.format().into(),
                ok: false,
            }],
        }
    }
}

impl Software {
    const fn format(&self) -> &'static str {
        match self {
            Self::Itrustee(_) => "itrustee",
            Self::OpTee(_) => "optee",
            Self::Psa(_) => "psa",
            Self::VirtCca(_) => "virtcca",
        }
    }
}

impl Measured {
    const fn format(&self) -> &'static str {
        match self {
            Self::Itrustee(_) => "itrustee",
            Self::OpTee(_) => "optee",
            Self::Psa(_) => "psa",
            Self::VirtCca(..) => "virtcca",
        }
    }
}

/// The keys and certificates of devices.
#[derive(Debug)]
pub(crate) struct Endorsements {
    /// Enrolled keys: PSA and OP-TEE.
    keys: DeviceKeys,
    /// Certified keys: iTrustee and virtCCA.
    huawei: Authorities,
    /// AK certificates whose signatures were verified.
    known: Bounded<()>,
}

impl Endorsements {
    pub(crate) fn prepare(collateral: &Collateral, _: &Anchors) -> Self {
        Self {
            keys: DeviceKeys::read(collateral),
            huawei: Authorities::prepare(collateral),
            known: Bounded::new(MAX_KNOWN),
        }
    }
}

/// Evidence of one format, read but not verified.
trait Format {
    /// What kind of isolation what is attested has.
    const ISOLATION: Isolation;
    /// Whether a reference value that fits names the root of trust itself.
    const ROOT_IS_NAMED: bool;

    /// Every field for showing.
    fn fields(&self) -> Vec<(&'static str, Value)>;

    /// Checks everything that makes the evidence authentic, and names the device. The anchor is
    /// set as soon as it is known.
    fn authenticate(
        &self,
        endorsements: &Endorsements,
        request: &Request<'_>,
        anchor: &mut Option<Anchor>,
        checks: &mut Checks,
    ) -> Result<Octets, Stop>;

    /// Checks what the evidence says of the device; some formats say nothing.
    fn check_device(&self, _: &Request<'_>, _: &mut Checks) {}

    /// Compares what the attester bound.
    fn check_binding(&self, request: &Request<'_>) -> Check;

    /// Checks what the evidence says of the instance beside its measurements.
    fn check_instance(&self, _: &Request<'_>, _: &mut Checks) {}

    /// What the authentic evidence says.
    fn claims(&self, device: Octets, request: &Request<'_>) -> Claims;

    /// What reference values are compared with.
    fn measured(&self, request: &Request<'_>) -> Measured;
}

/// Appraises TrustZone evidence of any format.
pub(crate) fn appraise(request: &Request<'_>, endorsements: &Endorsements) -> Appraisal {
    let bytes = request.evidence;
    let mut decoder = Decoder::new(bytes);
    match (bytes.trim_ascii_start().first(), decoder.datatype(), decoder.tag()) {
        (Some(b'{'), ..) => {
            appraise_format(itrustee::Evidence::decode(bytes), request, endorsements)
        }
        (_, Ok(Type::Array), _) => {
            appraise_format(optee::Evidence::decode(bytes), request, endorsements)
        }
        (_, Ok(Type::Tag), Ok(tag)) if tag.as_u64() == COLLECTION => {
            appraise_format(virtcca::Token::decode(bytes), request, endorsements)
        }
        _ => appraise_format(psa::Token::decode(bytes), request, endorsements),
    }
}

//= EV-COM-2: format, chain, device, binding, appraisal
fn appraise_format<F: Format>(
    decoded: Result<F, NotAToken>,
    request: &Request<'_>,
    endorsements: &Endorsements,
) -> Appraisal {
    let evidence = match decoded {
        Ok(evidence) => evidence,
        Err(error) => return refuse(request, error.into_check(SUPPORTED)),
    };
    let mut appraisal = Appraisal::new(request.kind, request.now, &request.policy.id);
    appraisal.fields = evidence.fields();
    let mut checks = Checks::default();
    let device = checks.group("authenticity", |checks| {
        evidence.authenticate(endorsements, request, &mut appraisal.anchor, checks)
    });
    if let Ok(device) = device {
        appraisal.authentic = true;
        checks.group("device", |checks| evidence.check_device(request, checks));
        let binding = evidence.check_binding(request);
        appraisal.bound = binding.ok && matches!(request.user_data, UserData::Exactly(_));
        checks.note(binding);
        appraisal.reference = checks.group("instance", |checks| {
            evidence.check_instance(request, checks);
            let (references, measured) = (&request.reference.trustzone, evidence.measured(request));
            let (check, name) =
                check_reference("instance.reference", references, &measured, request.policy);
            checks.note(check);
            name
        });
        appraisal.claims = Some(evidence.claims(device, request));
    }
    appraisal.checks = checks.into_check("evidence");
    appraisal.trust = trust::vector(&appraisal, F::ISOLATION);
    if F::ROOT_IS_NAMED && appraisal.accepted() && appraisal.reference.is_some() {
        appraisal.trust.record(TrustClaim::Hardware, TrustValue::AFFIRMED);
    }
    appraisal
}

const SUPPORTED: &str = "an iTrustee report, a virtCCA token, OP-TEE evidence or a PSA token";
/// The CBOR tag of a collection of platform and realm tokens.
const COLLECTION: u64 = 399;
/// How many AK certificates are remembered.
const MAX_KNOWN: usize = 4096;
