//! The receiver's confirmation that Personalization Data arrived.
//!
//! ```cddl
//! receipt = COSE_Sign1                             ; by the Agent's receipt key, over
//! confirmation = [ "tamarack-receipt-v1", deployment: tstr, eat-digest: bstr .size 32,
//!                  enc-digest: bstr .size 32, ciphertext-digest: bstr .size 32,
//!                  what: "pd-received", ? service-key: bstr .cbor COSE_Key ]
//! ```
//!
//! The service key is there when the receiver was the Agent: then no Evidence has named the key
//! that the Trusted Application serves callers with.

use cose::{Accept, Key, KeyUnusable, Payload, Sign1, Signer, Tagging, cbor};

use crate::{Refused, codec, release::Digests};

/// What a receipt confirms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The deployment.
    pub deployment: String,
    /// SHA-256 digest of the payload of the EAT that named the receiver key.
    pub eat_digest: [u8; 32],
    /// Digests of the release.
    pub digests: Digests,
    /// The key that callers of the Trusted Application seal to, where the Evidence of the
    /// exchange could not name it.
    pub service_key: Option<Key>,
}

impl Receipt {
    /// Signs the receipt.
    ///
    /// # Errors
    /// The key cannot be used.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Vec<u8>, KeyUnusable> {
        let none = cose::Header::default;
        cose::sign1(signer, none(), none(), &[], Payload::Attached(&self.encode()))
    }

    /// Verifies a receipt under the receipt key that the Evidence named.
    ///
    /// # Errors
    /// [`Refused::Malformed`], or [`Refused::DoesNotOpen`] when another key signed it.
    pub fn verify(bytes: &[u8], key: &Key) -> Result<Self, Refused> {
        let what = "a receipt";
        let object = Sign1::decode(bytes, Tagging::Tagged).map_err(|_| Refused::Malformed(what))?;
        let payload = object.verify(key, &Accept::CURRENT, &[]);
        let payload = payload.map_err(|_| Refused::DoesNotOpen)?;
        codec::array_of(payload.get(), what, 6..=7, |d, members| {
            if d.str()? != LABEL {
                return Err(cbor::Malformed::Expected("the label of a receipt"));
            }
            let deployment = d.str()?.to_owned();
            let eat_digest = codec::fixed(d)?;
            let digests = Digests { enc: codec::fixed(d)?, ciphertext: codec::fixed(d)? };
            if d.str()? != RECEIVED {
                return Err(cbor::Malformed::Expected("what was received"));
            }
            let service_key = match members {
                7 => Some(codec::key(d)?),
                _ => None,
            };
            Ok(Self { deployment, eat_digest, digests, service_key })
        })
    }

    fn encode(&self) -> Vec<u8> {
        cbor::encode(|e| {
            let members = 6 + u64::from(self.service_key.is_some());
            e.array(members)?.str(LABEL)?.str(&self.deployment)?.bytes(&self.eat_digest)?;
            e.bytes(&self.digests.enc)?.bytes(&self.digests.ciphertext)?.str(RECEIVED)?;
            if let Some(key) = &self.service_key {
                e.bytes(&key.encode())?;
            }
            Ok(())
        })
    }
}

const LABEL: &str = "tamarack-receipt-v1";
const RECEIVED: &str = "pd-received";
