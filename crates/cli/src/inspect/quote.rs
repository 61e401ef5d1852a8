//! SGX and TDX quotes.

use verifier::{
    Anchors, Collateral, Endorsements, Kind, Policy, ReferenceValues, Request, Timestamp, UserData,
    appraise,
};

use super::part::Part;

/// A quote of version 3, 4 or 5, decoded but not judged: `tamarack evidence appraise` judges.
pub(super) fn quote(bytes: &[u8]) -> Option<Part> {
    let kind = kind(bytes)?;
    let anchors = Anchors::vendors();
    let endorsements = Endorsements::prepare(kind, &Collateral::default(), &anchors);
    let request = Request {
        kind,
        evidence: bytes,
        event_log: None,
        user_data: UserData::Unchecked,
        anchors: &anchors,
        reference: &ReferenceValues::default(),
        policy: &Policy::default(),
        now: Timestamp(0),
    };
    let appraisal = appraise(&request, &endorsements);
    let fields = appraisal.fields().iter();
    let parts: Vec<Part> =
        fields.map(|(name, value)| Part::new(*name, value.to_string())).collect();
    if parts.is_empty() {
        return None;
    }
    let name =
        format!("{} quote, version {}", kind.title(), u16::from_le_bytes([bytes[0], bytes[1]]));
    let how = "not judged: use `tamarack evidence appraise`";
    Some(Part::group(name, how, parts))
}

/// By the header: version, attestation key type, TEE type.
pub(crate) fn kind(bytes: &[u8]) -> Option<Kind> {
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
