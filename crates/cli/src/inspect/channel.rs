//! What the Network User's channel leaves behind.

use cose::cbor;

use super::part::Part;

/// The payload of a receipt (`channel::receipt`).
pub(super) fn confirmation(bytes: &[u8]) -> Option<Part> {
    let parts = cbor::whole(bytes, |d| {
        let members = d.array()?;
        if !matches!(members, Some(6 | 7)) || d.str()? != LABEL {
            return Err(cbor::Malformed::Expected("the label of a receipt"));
        }
        let mut parts = vec![
            Part::new("deployment", d.str()?),
            Part::bytes("digest of the EAT", d.bytes()?),
            Part::bytes("digest of enc", d.bytes()?),
            Part::bytes("digest of the ciphertext", d.bytes()?),
            Part::new("confirms", d.str()?),
        ];
        if members == Some(7) {
            parts.push(Part::bytes("service key of the TA", d.bytes()?));
        }
        Ok(parts)
    });
    Some(Part::group("receipt", "of Personalization Data", parts.ok()?))
}

const LABEL: &str = "tamarack-receipt-v1";
