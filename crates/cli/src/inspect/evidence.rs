//! Evidence of every kind of hardware, decoded but not judged.

use std::sync::LazyLock;

use verifier::{
    Anchors, Collateral, Endorsements, Kind, Policy, ReferenceValues, Request, Timestamp, UserData,
    Value, appraise,
    evidence::{
        arm::{PlatformClaims, RealmClaims},
        dcap::Carried,
        trustzone::psa::PsaClaims,
    },
};

use super::part::Part;

/// Evidence with its fields: `tamarack evidence appraise` judges.
pub(super) fn evidence(bytes: &[u8]) -> Option<Part> {
    let (kind, parts) = recognised(bytes)?;
    let dcap = matches!(kind, Kind::Sgx | Kind::Tdx);
    let carried = Carried::read(bytes).ok().filter(|_| dcap);
    let name = match carried {
        Some(carried) => {
            let version = u16_at(&carried.quote, 0);
            let place = if carried.in_certificate() { " in an RA-TLS certificate" } else { "" };
            format!("{} quote, version {version}{place}", kind.title())
        }
        None => format!("{} evidence", kind.title()),
    };
    Some(Part::group(name, "not judged: use `tamarack evidence appraise`", parts))
}

/// The kind of hardware whose evidence this is.
pub(crate) fn kind(bytes: &[u8]) -> Option<Kind> {
    recognised(bytes).map(|(kind, _)| kind)
}

/// Claims sets of Arm's tokens without the token around them.
pub(super) fn arm_claims(bytes: &[u8]) -> Option<Part> {
    if let Ok(claims) = PlatformClaims::decode(bytes) {
        return Some(value("CCA platform claims", &claims.show()));
    }
    if let Ok(claims) = RealmClaims::decode(bytes) {
        return Some(value("CCA realm claims", &claims.show()));
    }
    let claims = PsaClaims::decode(bytes).ok()?;
    let fields = claims.fields();
    let parts = fields.iter().map(|(name, field)| value(*name, field)).collect();
    Some(Part::group("PSA claims", claims.profile.text(), parts))
}

/// The kind whose decoder finds fields, with the fields.
fn recognised(bytes: &[u8]) -> Option<(Kind, Vec<Part>)> {
    if bytes.len() > BYTES_MAX {
        return None;
    }
    let by_header = Carried::read(bytes).ok().and_then(|carried| quote_kind(&carried.quote));
    PREPARED.iter().filter(|(kind, _)| by_header.is_none_or(|known| known == *kind)).find_map(
        |(kind, endorsements)| {
            let quote = matches!(kind, Kind::Sgx | Kind::Tdx);
            if quote && by_header.is_none() {
                return None;
            }
            let parts = fields(*kind, bytes, endorsements);
            (!parts.is_empty()).then_some((*kind, parts))
        },
    )
}

fn fields(kind: Kind, evidence: &[u8], endorsements: &Endorsements) -> Vec<Part> {
    let request = Request {
        kind,
        evidence,
        event_log: None,
        user_data: UserData::Unchecked,
        anchors: &ANCHORS,
        reference: &ReferenceValues::default(),
        policy: &Policy::default(),
        now: Timestamp(0),
    };
    let appraisal = appraise(&request, endorsements);
    appraisal.fields().iter().map(|(name, field)| value(*name, field)).collect()
}

/// By the header of a quote: version, attestation key type, TEE type.
fn quote_kind(bytes: &[u8]) -> Option<Kind> {
    let header = bytes.get(..48)?;
    let (version, key_type) = (u16_at(header, 0), u16_at(header, 2));
    let tee_type = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    match (version, key_type, tee_type) {
        (3, 2 | 3, _) => Some(Kind::Sgx),
        (4 | 5, 2 | 3, 0) => Some(Kind::Sgx),
        (4 | 5, 2 | 3, 0x81) => Some(Kind::Tdx),
        _ => None,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// A field, with what it consists of.
fn value(name: impl Into<String>, field: &Value) -> Part {
    match field {
        Value::Map(members) => {
            Part::group(name, "", members.iter().map(|(name, one)| value(&**name, one)).collect())
        }
        Value::List(elements) if elements.iter().any(|one| matches!(one, Value::Map(_))) => {
            let numbered = (1..).zip(elements);
            let parts = numbered.map(|(number, one)| value(number.to_string(), one)).collect();
            Part::group(name, "", parts)
        }
        other => Part::new(name, other.to_string()),
    }
}

static ANCHORS: LazyLock<Anchors> = LazyLock::new(Anchors::vendors);

/// Every kind with no collateral at all.
static PREPARED: LazyLock<Vec<(Kind, Endorsements)>> = LazyLock::new(|| {
    let prepare = |kind| (kind, Endorsements::prepare(kind, &Collateral::default(), &ANCHORS));
    Kind::ALL.into_iter().map(prepare).collect()
});

/// The largest evidence, with room for its certificates.
const BYTES_MAX: usize = 1024 * 1024;
