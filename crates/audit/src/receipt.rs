//! COSE Receipts (draft-ietf-cose-merkle-tree-proofs) over the tree of RFC 9162: one signature
//! over a root, with a proof that leads to it.
//!
//! ```cddl
//! receipt = COSE_Sign1            ; protected: { 395: 1 }, the payload (a root) is detached
//! unprotected = { 396: { ? -1: [ + bstr .cbor inclusion ], ? -2: [ + bstr .cbor consistency ] } }
//! inclusion = [ tree-size: uint, leaf-index: uint, [ * bstr .size 32 ] ]
//! consistency = [ tree-size-1: uint, tree-size-2: uint, [ * bstr .size 32 ] ]
//! ```

use cose::{Accept, Header, Key, KeyUnusable, Payload, Sign1, Signer, Tagging, cbor};

use crate::{Hash, Refused, entry::fixed, tree};

/// Where an entry is, by a signature of the log's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Included {
    /// Position of the entry, from 0.
    pub index: u64,
    /// Size of the tree that was signed.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

/// Signs that the entry at `index` is in the tree of `size` entries with this root.
///
/// # Errors
/// The key cannot be used.
pub fn inclusion(
    signer: &dyn Signer,
    included: &Included,
    path: &[Hash],
) -> Result<Vec<u8>, KeyUnusable> {
    let proof = proof(included.size, included.index, path);
    sign(signer, INCLUSION, &proof, &included.root)
}

/// Signs that the tree of `newer` entries with this root continues that of `older` entries.
///
/// # Errors
/// The key cannot be used.
pub fn consistency(
    signer: &dyn Signer,
    older: u64,
    newer: u64,
    root: &Hash,
    path: &[Hash],
) -> Result<Vec<u8>, KeyUnusable> {
    sign(signer, CONSISTENCY, &proof(older, newer, path), root)
}

/// Verifies that a leaf is in the log.
///
/// # Errors
/// [`Refused::Malformed`], [`Refused::Inclusion`], [`Refused::Signature`].
pub fn verify_inclusion(receipt: &[u8], key: &Key, leaf: &[u8]) -> Result<Included, Refused> {
    let object = decode(receipt)?;
    let (size, index, path) = read(&object, INCLUSION)?;
    let root = tree::included(index, size, tree::leaf(leaf), &path).ok_or(Refused::Inclusion)?;
    verify(&object, key, &root)?;
    Ok(Included { index, size, root })
}

/// Verifies that the log continues one of `older` entries with the root `old_root`; returns the
/// size and the root of the newer one.
///
/// # Errors
/// [`Refused::Malformed`], [`Refused::OffTopic`], [`Refused::Consistency`],
/// [`Refused::Signature`].
pub fn verify_consistency(
    receipt: &[u8],
    key: &Key,
    older: u64,
    old_root: &Hash,
) -> Result<(u64, Hash), Refused> {
    let object = decode(receipt)?;
    let (from, newer, path) = read(&object, CONSISTENCY)?;
    if from != older {
        return Err(Refused::OffTopic);
    }
    let refused = Refused::Consistency { older, newer };
    let (old, new) = tree::continued(older, newer, *old_root, &path).ok_or(refused.clone())?;
    if old != *old_root {
        return Err(refused);
    }
    verify(&object, key, &new)?;
    Ok((newer, new))
}

fn sign(signer: &dyn Signer, kind: i64, proof: &[u8], root: &Hash) -> Result<Vec<u8>, KeyUnusable> {
    let mut protected = Header::default();
    protected.other.insert(VDS, cbor::encode(|e| e.i64(RFC9162_SHA256)?.ok()));
    let mut unprotected = Header::default();
    let proofs = cbor::encode(|e| e.map(1)?.i64(kind)?.array(1)?.bytes(proof)?.ok());
    unprotected.other.insert(VDP, proofs);
    cose::sign1(signer, protected, unprotected, &[], Payload::Detached(root))
}

fn decode(receipt: &[u8]) -> Result<Sign1<'_>, Refused> {
    let object = Sign1::decode(receipt, Tagging::Tagged).map_err(|_| MALFORMED)?;
    let vds = object.protected.other.get(&VDS).ok_or(MALFORMED)?;
    match cbor::whole(vds, |d| Ok(d.i64()?)) {
        Ok(RFC9162_SHA256) => Ok(object),
        _ => Err(MALFORMED),
    }
}

/// Both numbers and the path of the one proof of this kind.
fn read(object: &Sign1<'_>, kind: i64) -> Result<(u64, u64, Vec<Hash>), Refused> {
    let proofs = object.unprotected.other.get(&VDP).ok_or(MALFORMED)?;
    let proof = cbor::whole(proofs, |d| {
        if d.map()? != Some(1) || d.i64()? != kind || d.array()? != Some(1) {
            return Err(cbor::Malformed::Expected("one proof"));
        }
        Ok(d.bytes()?)
    })
    .map_err(|_| MALFORMED)?;
    cbor::check_deterministic(proof, cbor::Limits::DEFAULT).map_err(|_| MALFORMED)?;
    cbor::whole(proof, |d| {
        cbor::tuple(d, 3, "a proof", |d| {
            let (first, second) = (d.u64()?, d.u64()?);
            let length = d.array()?.ok_or(cbor::Malformed::Indefinite)?;
            if length > PATH_MAX {
                return Err(cbor::Malformed::TooMany);
            }
            let path = (0..length).map(|_| fixed(d)).collect::<Result<_, _>>()?;
            Ok((first, second, path))
        })
    })
    .map_err(|_| MALFORMED)
}

fn verify(object: &Sign1<'_>, key: &Key, root: &Hash) -> Result<(), Refused> {
    let verified = object.verify_detached(key, &Accept::CURRENT, &[], root);
    verified.map(drop).map_err(|_| Refused::Signature("a receipt"))
}

fn proof(first: u64, second: u64, path: &[Hash]) -> Vec<u8> {
    cbor::encode(|e| {
        e.array(3)?.u64(first)?.u64(second)?.array(path.len() as u64)?;
        path.iter().try_for_each(|hash| e.bytes(hash)?.ok())
    })
}

/// Header parameter `vds`, the verifiable data structure.
const VDS: i64 = 395;
/// Header parameter `vdp`, its proofs.
const VDP: i64 = 396;
const RFC9162_SHA256: i64 = 1;
const INCLUSION: i64 = -1;
const CONSISTENCY: i64 = -2;
/// Twice the levels that a 64-bit tree can have.
const PATH_MAX: u64 = 128;
const MALFORMED: Refused = Refused::Malformed("a receipt");

#[cfg(test)]
mod tests {
    use cose::Algorithm;
    use keys::SigningKey;

    use super::*;

    fn path(ranges: &[tree::Range], leaves: &[Hash]) -> Vec<Hash> {
        ranges.iter().map(|range| root(&leaves[range.start as usize..range.end as usize])).collect()
    }

    fn root(leaves: &[Hash]) -> Hash {
        let mut root = tree::Root::default();
        leaves.iter().for_each(|leaf| root.push(*leaf));
        root.hash()
    }

    fn leaves() -> Vec<Hash> {
        (0..11_u8).map(|number| tree::leaf(&[number])).collect()
    }

    #[test]
    fn a_receipt_shows_an_entry_in_the_log_and_no_other() {
        let key = SigningKey::generate(Algorithm::Esp256).unwrap();
        let other = SigningKey::generate(Algorithm::Esp256).unwrap();
        let leaves = leaves();
        let included = Included { index: 4, size: 11, root: root(&leaves) };
        let path = path(&tree::inclusion(4, 11).unwrap(), &leaves);

        let receipt = inclusion(&key, &included, &path).unwrap();

        assert_eq!(verify_inclusion(&receipt, key.key(), &[4]), Ok(included));
        let signature = Err(Refused::Signature("a receipt"));
        assert_eq!(verify_inclusion(&receipt, key.key(), &[5]), signature);
        assert_eq!(verify_inclusion(&receipt, other.key(), &[4]), signature);
        assert_eq!(verify_inclusion(b"x", key.key(), &[4]), Err(MALFORMED));
        let asked = verify_consistency(&receipt, key.key(), 4, &[0; 32]);
        assert_eq!(asked, Err(MALFORMED));
    }

    #[test]
    fn a_receipt_shows_that_the_log_grew_and_was_not_rewritten() {
        let key = SigningKey::generate(Algorithm::Ed25519).unwrap();
        let leaves = leaves();
        let (old, new) = (root(&leaves[..6]), root(&leaves));
        let path = path(&tree::consistency(6, 11).unwrap(), &leaves);

        let receipt = consistency(&key, 6, 11, &new, &path).unwrap();

        assert_eq!(verify_consistency(&receipt, key.key(), 6, &old), Ok((11, new)));
        let rewritten = verify_consistency(&receipt, key.key(), 6, &[1; 32]);
        assert_eq!(rewritten, Err(Refused::Consistency { older: 6, newer: 11 }));
        let off_topic = verify_consistency(&receipt, key.key(), 5, &old);
        assert_eq!(off_topic, Err(Refused::OffTopic));
    }
}
