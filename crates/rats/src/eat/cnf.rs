//! The key that a token confirms.

use cose::{Key, Thumbprint};
use minicbor::decode::Decoder;

use crate::label::claim;
use crate::map::{Entries, Members, array, bytes, encode_bytes, raw};
use crate::refusal::{Malformed, Untrusted};

/// A confirmation (RFC 8747 section 3.1, and RFC 9679 for `ckt`): who holds the token.
///
/// ```cddl
/// cnf = { ? 1: COSE_Key, ? 3: kid bstr .size 32, ? 5: ckt bstr .size 32 }     ; one or more
/// ```
///
/// A `kid` is the RFC 9679 thumbprint here. When several members are there, all of them name the
/// same key, or the token is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// 1: the key itself.
    Key(Key),
    /// 3: the key identifier, a thumbprint.
    Kid(Thumbprint),
    /// 5: the thumbprint.
    Ckt(Thumbprint),
}

impl Confirmation {
    //= rats 11.8 (M): thumbprints of EC2 and OKP keys; leading zeros are kept
    /// The thumbprint of the confirmed key, computed where the key itself is there.
    pub fn thumbprint(&self) -> Thumbprint {
        match self {
            Self::Key(key) => key.thumbprint(),
            Self::Kid(thumbprint) | Self::Ckt(thumbprint) => *thumbprint,
        }
    }

    /// The confirmed key, where the key itself is there.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Key(key) => Some(key),
            Self::Kid(_) | Self::Ckt(_) => None,
        }
    }

    /// Refuses unless the signer of the surrounding message is the confirmed key.
    //= rats 11.6 (M): the confirmed key is the one that signed the message
    pub fn confirms(&self, signer: Thumbprint) -> Result<(), Untrusted> {
        if cose::equal(&self.thumbprint().0, &signer.0) {
            Ok(())
        } else {
            Err(Untrusted::CnfMismatch)
        }
    }

    //= rats 11.7 (M): a COSE_Key and a kid that disagree are refused
    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let mut members = Entries::decode(d)?;
        let key = members.take(1, |d| key(raw(d)?))?;
        let kid = members.take(3, |d| array(d, "a kid of 32 bytes"))?.map(Thumbprint);
        let ckt = members.take(5, |d| array(d, "a ckt of 32 bytes"))?.map(Thumbprint);

        let found = [key.as_ref().map(Key::thumbprint), kid, ckt];
        let mut named = found.iter().flatten();
        if let Some(first) = named.next()
            && named.any(|other| other != first)
        {
            return Err(Malformed::CnfDisagrees);
        }
        match (key, kid, ckt) {
            (Some(key), _, _) => Ok(Self::Key(key)),
            (None, Some(kid), _) => Ok(Self::Kid(kid)),
            (None, None, Some(ckt)) => Ok(Self::Ckt(ckt)),
            (None, None, None) => Err(Malformed::Value(claim::CNF.into())),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut members = Members::default();
        match self {
            Self::Key(key) => members.put(1, key.encode()),
            Self::Kid(kid) => members.put(3, encode_bytes(&kid.0)),
            Self::Ckt(ckt) => members.put(5, encode_bytes(&ckt.0)),
        }
        members.encode()
    }
}

/// Reads a COSE_Key; a key identifier inside it must be its thumbprint.
pub(crate) fn key(encoded: &[u8]) -> Result<Key, Malformed> {
    let key = Key::decode(encoded)?;
    let kid = Entries::whole(encoded)?.take(KID_OF_COSE_KEY, bytes)?;
    match kid {
        Some(kid) if kid != key.thumbprint().0 => Err(Malformed::CnfDisagrees),
        _ => Ok(key),
    }
}

const KID_OF_COSE_KEY: i64 = 2;
