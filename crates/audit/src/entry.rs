//! One leaf of the log.

use cose::cbor::{self, Decoder, Limits};

use crate::{Hash, Refused, tree};

/// A decision about trust as it stands in the log.
///
/// ```cddl
/// entry = [ "tamarack-audit-v1", position: uint, at-ms: uint, tenant: tstr, subject: tstr,
///           decision: tstr, reason: tstr, statement: bstr .size 32 / nil,
///           salt: bstr .size 16 ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands in the log, from 0.
    pub position: u64,
    /// When, in milliseconds since 1970, by the clock of whoever keeps the log.
    pub at_ms: u64,
    /// Whose matter, or empty.
    pub tenant: String,
    /// About what: `device/…`, `deployment/…`, `token/…`.
    pub subject: String,
    /// What was decided, one word or two.
    pub decision: String,
    /// Why, without secrets and without Evidence.
    pub reason: String,
    /// SHA-256 of the statement on which it rests: SUIT report, result or receipt.
    pub statement: Option<Hash>,
    /// Random, so that the hash of an entry tells nothing about it to the neighbours in whose
    /// proofs it occurs.
    pub salt: [u8; SALT_BYTES],
}

/// How long a salt is.
pub const SALT_BYTES: usize = 16;

impl Entry {
    /// The leaf's bytes.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(|e| {
            e.array(9)?.str(LABEL)?.u64(self.position)?.u64(self.at_ms)?;
            e.str(&self.tenant)?.str(&self.subject)?.str(&self.decision)?.str(&self.reason)?;
            match &self.statement {
                Some(digest) => e.bytes(digest)?,
                None => e.null()?,
            };
            e.bytes(&self.salt)?.ok()
        })
    }

    /// Reads a leaf.
    ///
    /// # Errors
    /// [`Refused::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Refused> {
        let malformed = |_| Refused::Malformed("an entry");
        cbor::check_deterministic(bytes, Limits::DEFAULT).map_err(malformed)?;
        cbor::whole(bytes, |d| {
            cbor::tuple(d, 9, "an entry", |d| {
                if d.str()? != LABEL {
                    return Err(cbor::Malformed::Expected("the label of an entry"));
                }
                Ok(Self {
                    position: d.u64()?,
                    at_ms: d.u64()?,
                    tenant: d.str()?.to_owned(),
                    subject: d.str()?.to_owned(),
                    decision: d.str()?.to_owned(),
                    reason: d.str()?.to_owned(),
                    statement: maybe_digest(d)?,
                    salt: fixed(d)?,
                })
            })
        })
        .map_err(malformed)
    }

    /// The hash of the leaf.
    pub fn hash(&self) -> Hash {
        tree::leaf(&self.encode())
    }
}

fn maybe_digest(d: &mut Decoder<'_>) -> Result<Option<Hash>, cbor::Malformed> {
    if d.datatype()? == cbor::Type::Null {
        d.null()?;
        return Ok(None);
    }
    fixed(d).map(Some)
}

/// A byte string of exactly `N` bytes.
pub(crate) fn fixed<const N: usize>(d: &mut Decoder<'_>) -> Result<[u8; N], cbor::Malformed> {
    d.bytes()?.try_into().map_err(|_| cbor::Malformed::Expected("a byte string of that length"))
}

const LABEL: &str = "tamarack-audit-v1";

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            position: 4,
            at_ms: 1_782_907_200_000,
            tenant: "acme".into(),
            subject: "deployment/d".into(),
            decision: "placed".into(),
            reason: "edge: chosen".into(),
            statement: Some([7; 32]),
            salt: [9; SALT_BYTES],
        }
    }

    #[test]
    fn an_entry_comes_back_from_its_bytes() {
        for statement in [None, Some([7; 32])] {
            let entry = Entry { statement, ..entry() };

            assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
        }
    }

    #[test]
    fn an_entry_is_read_strictly() {
        let mut long = entry().encode();
        long.push(0);
        let other = cbor::encode(|e| e.array(2)?.str("tamarack-audit-v2")?.u64(1)?.ok());

        for bytes in [long, other, Vec::new(), entry().encode()[..40].to_vec()] {
            assert_eq!(Entry::decode(&bytes), Err(Refused::Malformed("an entry")));
        }
    }
}
