//! The key derivation of ECDH-ES + AES Key Wrap (RFC 9053 sections 5.2, 6.3, 6.4).

use super::recipient::KeyWrap;
use crate::cbor::{self, Encoder, Written};
use crate::crypto;
use crate::handle::Secret;

//= suit 13.79 (M): the KDF context is byte-exact and names the purpose
/// Derives the wrapping key from the agreed secret with HKDF-SHA-256.
pub(super) fn derive(
    wrap: KeyWrap,
    agreed: &Secret,
    salt: &[u8],
    recipient_protected: &[u8],
    other: &str,
) -> Secret {
    let context = context(wrap, recipient_protected, other);
    crypto::hkdf_sha256(salt, agreed, &context, wrap.key_len())
}

/// ```cddl
/// COSE_KDF_Context = [ AlgorithmID : int, PartyUInfo : PartyInfo, PartyVInfo : PartyInfo,
///                      SuppPubInfo : [ keyDataLength : uint, protected : bstr, other : bstr ] ]
/// PartyInfo = [ identity : nil, nonce : nil, other : nil ]
/// ```
fn context(wrap: KeyWrap, recipient_protected: &[u8], other: &str) -> Vec<u8> {
    cbor::encode(|e| {
        e.array(4)?.i64(wrap.id())?;
        party(e)?;
        party(e)?;
        e.array(3)?.u64(8 * wrap.key_len() as u64)?;
        e.bytes(recipient_protected)?.bytes(other.as_bytes())?.ok()
    })
}

fn party(e: &mut Encoder<Vec<u8>>) -> Written {
    e.array(3)?.null()?.null()?.null()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_is_the_one_of_the_draft() {
        let expected = [
            b"\x84\x22\x83\xf6\xf6\xf6\x83\xf6\xf6\xf6\x83\x18\x80\x44\xa1\x01\x38\x1c".as_slice(),
            b"\x57SUIT Payload Encryption",
        ]
        .concat();

        let context =
            context(KeyWrap::A128Kw, &[0xa1, 0x01, 0x38, 0x1c], super::super::other::SUIT_PAYLOAD);

        assert_eq!(context, expected);
    }
}
