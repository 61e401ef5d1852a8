//! What a hardware quote vouches for: `teep-bind-v1`.
//!
//! A quote has 64 bytes of user data. They are the digest of a binding, which names the challenge,
//! the evidence key and the claims that this key signed, so that a leaked key alone proves nothing.

use cose::Key;
use minicbor::data::Type;

use crate::eat::cose_key;
use crate::map::{array, bytes, encode, tuple, whole};
use crate::nonce::Nonce;
use crate::refusal::{Malformed, Refused, Untrusted};

/// The binding of a quote.
///
/// ```cddl
/// binding = [
///   "teep-bind-v1",
///   challenge: bstr .size (8..64),
///   key: bstr .cbor COSE_Key,          ; the evidence key, or the Agent's when there is no EAT
///   claims: bstr .size 32 / nil        ; SHA-256 of the EAT payload
/// ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// What the quote answers to.
    pub challenge: Nonce,
    /// The evidence key, or the key of an Agent that makes no EAT.
    pub key: Key,
    /// SHA-256 of the EAT payload; none where no agent-layer EAT is used.
    pub claims: Option<[u8; 32]>,
}

impl Binding {
    /// Encodes deterministically: the bytes that the report data is the digest of.
    pub fn encode(&self) -> Vec<u8> {
        encode(|e| {
            e.array(4)?.str(LABEL)?.bytes(self.challenge.as_bytes())?.bytes(&self.key.encode())?;
            match &self.claims {
                Some(digest) => e.bytes(digest)?.ok(),
                None => e.null()?.ok(),
            }
        })
    }

    /// Reads a binding; only the deterministic encoding is accepted.
    pub fn decode(encoded: &[u8]) -> Result<Self, Malformed> {
        cose::cbor::check_deterministic(encoded, cose::cbor::Limits::DEFAULT)?;
        whole(encoded, |d| {
            tuple(d, 4, "a binding of four elements")?;
            if d.str()? != LABEL {
                return Err(Malformed::Expected("teep-bind-v1"));
            }
            let challenge = Nonce::decode(d)?;
            let key = cose_key(d.bytes()?)?;
            let claims = match d.datatype()? {
                Type::Null => d.null().map(|()| None)?,
                _ => Some(array(d, "a digest of 32 bytes")?),
            };
            Ok(Self { challenge, key, claims })
        })
    }

    /// The 64 bytes that go into the quote.
    pub fn report_data(&self) -> [u8; 64] {
        cose::sha512(&self.encode())
    }

    /// Refuses unless the binding is for this challenge, this evidence key and these claims.
    //= rats 11.24 (M): a binding for another key or nonce is refused though the quote is valid
    pub fn check(
        &self,
        challenge: &[u8],
        key: &Key,
        claims: Option<&[u8; 32]>,
    ) -> Result<(), Untrusted> {
        if self.challenge.check(challenge).is_err() {
            return Err(Untrusted::BindingMismatch("challenge"));
        }
        if self.key != *key {
            return Err(Untrusted::BindingMismatch("key"));
        }
        if self.claims.as_ref() != claims {
            return Err(Untrusted::BindingMismatch("claims set"));
        }
        Ok(())
    }
}

/// A quote with the binding that its user data is the digest of.
///
/// ```cddl
/// bound-quote = [ quote: bstr, binding: bstr .cbor binding ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundQuote {
    /// The quote, in the format of its hardware.
    pub quote: Vec<u8>,
    /// The binding, as received.
    pub binding: Vec<u8>,
}

impl BoundQuote {
    /// Reads the pair without looking into either part.
    pub fn decode(encoded: &[u8]) -> Result<Self, Malformed> {
        cose::cbor::check_deterministic(encoded, cose::cbor::Limits::DEFAULT)?;
        whole(encoded, |d| {
            tuple(d, 2, "a quote and a binding")?;
            Ok(Self { quote: bytes(d)?, binding: bytes(d)? })
        })
    }

    /// Encodes the pair.
    pub fn encode(&self) -> Vec<u8> {
        encode(|e| e.array(2)?.bytes(&self.quote)?.bytes(&self.binding)?.ok())
    }

    /// Reads the binding if the report data of the *verified* quote covers its bytes.
    //= rats 11.25 (M): substituted binding bytes are refused
    pub fn open(&self, report_data: &[u8; 64]) -> Result<Binding, Refused> {
        if !cose::equal(&cose::sha512(&self.binding), report_data) {
            return Err(Untrusted::ReportDataMismatch.into());
        }
        Ok(Binding::decode(&self.binding)?)
    }
}

const LABEL: &str = "teep-bind-v1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{KEY, OTHER, Software};
    use cose::Signer as _;

    fn binding() -> Binding {
        Binding {
            challenge: Nonce::new([7; 64]).unwrap(),
            key: Software::new(KEY).key().clone(),
            claims: Some([9; 32]),
        }
    }

    #[test]
    fn a_binding_survives_the_round_trip_with_and_without_claims() {
        for claims in [Some([9; 32]), None] {
            let binding = Binding { claims, ..binding() };

            assert_eq!(Binding::decode(&binding.encode()), Ok(binding));
        }
    }

    #[test]
    fn another_label_or_another_encoding_is_refused() {
        let encoded = binding().encode();
        let mut relabelled = encoded.clone();
        relabelled[13] = b'2';
        let mut long_head = vec![0x98, 4];
        long_head.extend_from_slice(&encoded[1..]);

        assert_eq!(Binding::decode(&relabelled), Err(Malformed::Expected("teep-bind-v1")));
        assert!(matches!(Binding::decode(&long_head), Err(Malformed::Cbor(_))));
        assert!(Binding::decode(&encoded[..encoded.len() - 1]).is_err());
    }

    //= rats 11.24 (M): a binding for another key or nonce is refused though the quote is valid
    #[test]
    fn a_binding_for_another_challenge_key_or_claims_set_is_refused() {
        let binding = binding();
        let key = binding.key.clone();
        let other = Software::new(OTHER).key().clone();
        let refused = |what| Err(Untrusted::BindingMismatch(what));

        assert_eq!(binding.check(&[7; 64], &key, Some(&[9; 32])), Ok(()));
        assert_eq!(binding.check(&[8; 64], &key, Some(&[9; 32])), refused("challenge"));
        assert_eq!(binding.check(&[7; 64], &other, Some(&[9; 32])), refused("key"));
        assert_eq!(binding.check(&[7; 64], &key, Some(&[8; 32])), refused("claims set"));
        assert_eq!(binding.check(&[7; 64], &key, None), refused("claims set"));
    }

    //= rats 11.25 (M): substituted binding bytes are refused
    #[test]
    fn a_binding_opens_only_under_its_own_report_data() {
        let binding = binding();
        let bound = BoundQuote { quote: vec![1; 100], binding: binding.encode() };
        let read = BoundQuote::decode(&bound.encode()).unwrap();
        let substituted = BoundQuote {
            binding: Binding { claims: Some([8; 32]), ..binding.clone() }.encode(),
            ..bound
        };

        assert_eq!(read.open(&binding.report_data()), Ok(binding.clone()));
        assert_eq!(
            substituted.open(&binding.report_data()),
            Err(Untrusted::ReportDataMismatch.into())
        );
    }
}
