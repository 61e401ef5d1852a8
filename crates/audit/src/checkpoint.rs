//! What the keeper of a log signs about all of it.

use cose::{
    Accept, ContentType, Header, Key, KeyUnusable, Payload, Sign1, Signer, Tagging, Verified, cbor,
};

use crate::{Hash, Refused, entry::fixed, tree};

/// The size and the root of a log at a time.
///
/// ```cddl
/// signed-checkpoint = COSE_Sign1   ; content type application/vnd.tamarack.checkpoint+cbor, over
/// checkpoint = [ "tamarack-checkpoint-v1", log: tstr, size: uint, root: bstr .size 32,
///                at-ms: uint ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: the TAM URI of its M/OC.
    pub log: String,
    /// How many entries.
    pub size: u64,
    /// Their root.
    pub root: Hash,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

impl Checkpoint {
    /// Signs the checkpoint.
    ///
    /// # Errors
    /// The key cannot be used.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Vec<u8>, KeyUnusable> {
        let content_type = Some(ContentType::Media(MEDIA_TYPE.to_owned()));
        let protected = Header { content_type, ..Header::default() };
        let payload = self.encode();
        cose::sign1(signer, protected, Header::default(), &[], Payload::Attached(&payload))
    }

    /// Verifies a checkpoint under the log's key.
    ///
    /// # Errors
    /// [`Refused::Malformed`], [`Refused::Signature`].
    pub fn verify(bytes: &[u8], key: &Key) -> Result<Self, Refused> {
        let malformed = |_| Refused::Malformed(WHAT);
        let object = Sign1::decode(bytes, Tagging::Tagged).map_err(malformed)?;
        if object.protected.content_type != Some(ContentType::Media(MEDIA_TYPE.to_owned())) {
            return Err(Refused::Malformed(WHAT));
        }
        let payload = object.verify(key, &Accept::CURRENT, &[]);
        let payload = payload.map_err(|_| Refused::Signature(WHAT)).map(Verified::into_inner)?;
        cbor::check_deterministic(payload, cbor::Limits::DEFAULT).map_err(malformed)?;
        cbor::whole(payload, |d| {
            cbor::tuple(d, 5, WHAT, |d| {
                if d.str()? != LABEL {
                    return Err(cbor::Malformed::Expected("the label of a checkpoint"));
                }
                let log = d.str()?.to_owned();
                Ok(Self { log, size: d.u64()?, root: fixed(d)?, at_ms: d.u64()? })
            })
        })
        .map_err(malformed)
    }

    /// Checks that these are the entries of the log, all of them: each leaf's bytes, in order.
    /// More entries than were signed are fine, since a log grows.
    ///
    /// # Errors
    /// [`Refused::Missing`], [`Refused::Root`].
    pub fn covers<'e>(&self, leaves: impl IntoIterator<Item = &'e [u8]>) -> Result<(), Refused> {
        let mut root = tree::Root::default();
        let mut leaves = leaves.into_iter();
        while root.size() < self.size {
            let missing = Refused::Missing { signed: self.size, seen: root.size() };
            root.push(tree::leaf(leaves.next().ok_or(missing)?));
        }
        match root.hash() == self.root {
            true => Ok(()),
            false => Err(Refused::Root { size: self.size }),
        }
    }

    /// Checks by a proof of consistency that this checkpoint continues an older one.
    ///
    /// # Errors
    /// [`Refused::Consistency`].
    pub fn continues(&self, older: &Self, path: &[Hash]) -> Result<(), Refused> {
        let refused = Refused::Consistency { older: older.size, newer: self.size };
        if older.log != self.log {
            return Err(refused);
        }
        let roots = tree::continued(older.size, self.size, older.root, path);
        match roots == Some((older.root, self.root)) {
            true => Ok(()),
            false => Err(refused),
        }
    }

    fn encode(&self) -> Vec<u8> {
        cbor::encode(|e| {
            e.array(5)?.str(LABEL)?.str(&self.log)?.u64(self.size)?;
            e.bytes(&self.root)?.u64(self.at_ms)?.ok()
        })
    }
}

const LABEL: &str = "tamarack-checkpoint-v1";
const MEDIA_TYPE: &str = "application/vnd.tamarack.checkpoint+cbor";
const WHAT: &str = "a checkpoint";

#[cfg(test)]
mod tests {
    use cose::Algorithm;
    use keys::SigningKey;

    use super::*;

    fn leaves() -> [&'static [u8]; 5] {
        [b"a", b"b", b"c", b"d", b"e"]
    }

    fn checkpoint(size: u64) -> Checkpoint {
        let mut root = tree::Root::default();
        leaves().iter().take(size as usize).for_each(|leaf| root.push(tree::leaf(leaf)));
        Checkpoint { log: "https://moc.example/tam".into(), size, root: root.hash(), at_ms: 7 }
    }

    #[test]
    fn a_checkpoint_counts_under_the_key_of_its_log_alone() {
        let key = SigningKey::generate(Algorithm::Ed25519).unwrap();
        let other = SigningKey::generate(Algorithm::Ed25519).unwrap();

        let signed = checkpoint(3).sign(&key).unwrap();

        assert_eq!(Checkpoint::verify(&signed, key.key()), Ok(checkpoint(3)));
        let foreign = Checkpoint::verify(&signed, other.key());
        assert_eq!(foreign, Err(Refused::Signature("a checkpoint")));
        assert_eq!(Checkpoint::verify(b"x", key.key()), Err(Refused::Malformed("a checkpoint")));
    }

    #[test]
    fn what_the_key_signed_for_another_purpose_is_no_checkpoint() {
        let key = SigningKey::generate(Algorithm::Ed25519).unwrap();
        let payload = checkpoint(3).encode();
        let none = Header::default;

        let signed = cose::sign1(&key, none(), none(), &[], Payload::Attached(&payload)).unwrap();

        let refused = Checkpoint::verify(&signed, key.key());
        assert_eq!(refused, Err(Refused::Malformed("a checkpoint")));
    }

    #[test]
    fn entries_that_were_changed_reordered_or_taken_out_do_not_fit() {
        let signed = checkpoint(4);

        assert_eq!(signed.covers(leaves()), Ok(()));
        assert_eq!(signed.covers(leaves().into_iter().take(4)), Ok(()));
        let few = signed.covers(leaves().into_iter().take(3));
        assert_eq!(few, Err(Refused::Missing { signed: 4, seen: 3 }));
        let mut swapped = leaves();
        swapped.swap(0, 1);
        assert_eq!(signed.covers(swapped), Err(Refused::Root { size: 4 }));
        let mut changed = leaves();
        changed[2] = b"C";
        assert_eq!(signed.covers(changed), Err(Refused::Root { size: 4 }));
    }

    #[test]
    fn a_checkpoint_continues_an_older_one_by_a_proof() {
        let hashes: Vec<Hash> = leaves().iter().map(|leaf| tree::leaf(leaf)).collect();
        let path: Vec<Hash> = tree::consistency(3, 5)
            .unwrap()
            .iter()
            .map(|range| {
                let mut root = tree::Root::default();
                hashes[range.start as usize..range.end as usize]
                    .iter()
                    .for_each(|hash| root.push(*hash));
                root.hash()
            })
            .collect();

        assert_eq!(checkpoint(5).continues(&checkpoint(3), &path), Ok(()));
        let forked = Checkpoint { root: [1; 32], ..checkpoint(3) };
        let refused = Err(Refused::Consistency { older: 3, newer: 5 });
        assert_eq!(checkpoint(5).continues(&forked, &path), refused);
        let elsewhere = Checkpoint { log: "https://other.example/tam".into(), ..checkpoint(3) };
        assert_eq!(checkpoint(5).continues(&elsewhere, &path), refused);
    }
}
