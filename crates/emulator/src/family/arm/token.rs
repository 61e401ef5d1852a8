//! COSE_Sign1 as firmware writes it (RFC 9052 section 4.2): the algorithm in the protected header,
//! and nothing else.

use cose::cbor::{Tag, encode};

use crate::Error;
use crate::key::{P384Key, SigningKey};

/// A key that signs tokens.
pub(crate) trait TokenKey {
    /// IANA registry "COSE Algorithms".
    const ALGORITHM: i64;

    /// The raw signature.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error>;
}

impl TokenKey for SigningKey {
    const ALGORITHM: i64 = -7;

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(Self::sign(self, message)?.to_vec())
    }
}

impl TokenKey for P384Key {
    const ALGORITHM: i64 = -35;

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(Self::sign(self, message)?.to_vec())
    }
}

/// Signs claims; the token is tagged.
pub(crate) fn sign<K: TokenKey>(key: &K, claims: &[u8]) -> Result<Vec<u8>, Error> {
    let protected = encode(|e| e.map(1)?.i64(1)?.i64(K::ALGORITHM)?.ok());
    let message = encode(|e| {
        e.array(4)?.str("Signature1")?.bytes(&protected)?.bytes(&[])?.bytes(claims)?.ok()
    });
    let signature = TokenKey::sign(key, &message)?;
    Ok(encode(|e| {
        e.tag(Tag::new(SIGN1))?.array(4)?.bytes(&protected)?.map(0)?;
        e.bytes(claims)?.bytes(&signature)?.ok()
    }))
}

/// The CBOR tag of COSE_Sign1.
const SIGN1: u64 = 18;
