//! What the Network User's channel leaves behind.

use cose::cbor;

use super::part::Part;

/// The payload of a receipt (`channel::receipt`).
pub(super) fn confirmation(bytes: &[u8]) -> Option<Part> {
    let parts = cbor::whole(bytes, |d| {
        if d.array()? != Some(6) || d.str()? != LABEL {
            return Err(cbor::Malformed::Expected("the label of a receipt"));
        }
        Ok(vec![
            Part::new("deployment", d.str()?),
            Part::bytes("digest of the EAT", d.bytes()?),
            Part::bytes("digest of enc", d.bytes()?),
            Part::bytes("digest of the ciphertext", d.bytes()?),
            Part::new("confirms", d.str()?),
        ])
    });
    Some(Part::group("receipt", "of Personalization Data", parts.ok()?))
}

const LABEL: &str = "tamarack-receipt-v1";
