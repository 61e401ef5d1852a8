//! The Merkle tree of RFC 9162 section 2.1, as arithmetic over positions.
//!
//! Nodes whose subtree is complete never change, so a store keeps exactly those, under
//! [`Node`]; everything else follows from them. Functions that need stored hashes say which
//! ([`Range::nodes`]) and take them back ([`fold`]).

use cose::Sha256;

/// SHA-256.
pub type Hash = [u8; 32];

/// A node whose subtree of `2^level` leaves is complete; `index` counts such nodes from the left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// 0 for a leaf.
    pub level: u8,
    /// From the left, from 0.
    pub index: u64,
}

/// The leaves from `start` up to and without `end`, as they occur in a proof: `start` is a
/// multiple of the largest power of two that the range contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first leaf.
    pub start: u64,
    /// The one behind the last leaf.
    pub end: u64,
}

impl Node {
    /// The node above, and the one beside when it is complete as soon as this one is: `self` is a
    /// right child.
    pub fn completes(self) -> Option<(Self, Self)> {
        let is_right = self.index % 2 == 1;
        is_right.then(|| {
            let above = Self { level: self.level + 1, index: self.index / 2 };
            (above, Self { level: self.level, index: self.index - 1 })
        })
    }
}

impl Range {
    /// All leaves of a tree.
    pub const fn tree(size: u64) -> Self {
        Self { start: 0, end: size }
    }

    /// The complete nodes that make up the range, the largest first.
    pub fn nodes(self) -> Vec<Node> {
        let mut nodes = Vec::new();
        let mut start = self.start;
        while start < self.end {
            let level = (self.end - start).ilog2();
            nodes.push(Node { level: u8::try_from(level).unwrap_or(63), index: start >> level });
            start += 1 << level;
        }
        nodes
    }
}

/// The hash of a leaf: `HASH(0x00 || d)`.
pub fn leaf(bytes: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update(&[0]);
    hash.update(bytes);
    hash.finish()
}

/// The hash of an inner node: `HASH(0x01 || left || right)`.
pub fn inner(left: &Hash, right: &Hash) -> Hash {
    let mut hash = Sha256::new();
    hash.update(&[1]);
    hash.update(left);
    hash.update(right);
    hash.finish()
}

/// The hash over a range, from those of its [nodes](Range::nodes); that of no leaf is `HASH()`.
pub fn fold(hashes: &[Hash]) -> Hash {
    let mut from_right = hashes.iter().rev();
    match from_right.next() {
        None => cose::sha256(&[]),
        Some(last) => from_right.fold(*last, |right, left| inner(left, &right)),
    }
}

/// The root of a tree with these leaf hashes, with nothing but room for its peaks.
#[derive(Clone, Debug, Default)]
pub struct Root {
    peaks: Vec<Hash>,
    size: u64,
}

impl Root {
    /// Adds a leaf hash on the right.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        let mut size = self.size;
        while size % 2 == 1 {
            let left = self.peaks.pop().expect("a peak for each set bit of the size");
            hash = inner(&left, &hash);
            size /= 2;
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// How many leaves there are.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root.
    pub fn hash(&self) -> Hash {
        fold(&self.peaks)
    }
}

/// RFC 9162 section 2.1.3.1: what proves that a leaf is in a tree, from the leaf upwards.
///
/// Nothing when there is no such leaf.
pub fn inclusion(index: u64, size: u64) -> Option<Vec<Range>> {
    if index >= size {
        return None;
    }
    let mut path = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(Range { start: middle, end });
            end = middle;
        } else {
            path.push(Range { start, end: middle });
            start = middle;
        }
    }
    path.reverse();
    Some(path)
}

/// RFC 9162 section 2.1.4.1: what proves that a tree continues another one.
///
/// Nothing when the older tree is empty or larger.
pub fn consistency(older: u64, newer: u64) -> Option<Vec<Range>> {
    if older == 0 || older > newer {
        return None;
    }
    let mut path = Vec::new();
    let (mut start, mut end) = (0, newer);
    let mut is_whole = true;
    while older != end {
        let middle = start + split(end - start);
        if older <= middle {
            path.push(Range { start: middle, end });
            end = middle;
        } else {
            path.push(Range { start, end: middle });
            start = middle;
            is_whole = false;
        }
    }
    if !is_whole {
        path.push(Range { start, end });
    }
    path.reverse();
    Some(path)
}

/// RFC 9162 section 2.1.3.2: the root to which a proof of inclusion leads.
pub fn included(index: u64, size: u64, leaf: Hash, path: &[Hash]) -> Option<Hash> {
    let ranges = inclusion(index, size)?;
    if ranges.len() != path.len() {
        return None;
    }
    let root =
        ranges.iter().zip(path).fold(leaf, |hash, (range, beside)| match range.start > index {
            true => inner(&hash, beside),
            false => inner(beside, &hash),
        });
    Some(root)
}

/// RFC 9162 section 2.1.4.2: both roots to which a proof of consistency leads, the older first.
pub fn continued(older: u64, newer: u64, old_root: Hash, path: &[Hash]) -> Option<(Hash, Hash)> {
    if older == newer {
        return path.is_empty().then_some((old_root, old_root));
    }
    if older == 0 || older > newer {
        return None;
    }
    // A complete older tree is a node of the newer one, and not repeated in the proof.
    let (first, rest) = match older.is_power_of_two() {
        true => (old_root, path),
        false => path.split_first().map(|(first, rest)| (*first, rest))?,
    };
    let (mut node, mut last) = (older - 1, newer - 1);
    while node % 2 == 1 {
        node /= 2;
        last /= 2;
    }
    let (mut old, mut new) = (first, first);
    for beside in rest {
        if last == 0 {
            return None;
        }
        if node % 2 == 1 || node == last {
            old = inner(beside, &old);
            new = inner(beside, &new);
            while node % 2 == 0 && node != 0 {
                node /= 2;
                last /= 2;
            }
        } else {
            new = inner(&new, beside);
        }
        node /= 2;
        last /= 2;
    }
    (last == 0).then_some((old, new))
}

/// The largest power of two below `leaves`, which is more than one.
fn split(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition of RFC 9162 section 2.1.1.
    fn root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => cose::sha256(&[]),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
                inner(&root(left), &root(right))
            }
        }
    }

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|number| leaf(&number.to_be_bytes())).collect()
    }

    fn hashes(ranges: &[Range], leaves: &[Hash]) -> Vec<Hash> {
        ranges.iter().map(|range| root(&leaves[range.start as usize..range.end as usize])).collect()
    }

    #[test]
    fn an_empty_tree_and_one_leaf_have_the_hashes_of_the_rfc() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        // The test vector of RFC 6962's reference implementation: one empty leaf.
        let one = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";

        assert_eq!(hexadecimal(&Root::default().hash()), empty);
        assert_eq!(hexadecimal(&leaf(b"")), one);
    }

    #[test]
    fn the_tree_of_seven_leaves_has_the_proofs_of_the_rfc() {
        let range = |start, end| Range { start, end };

        // RFC 9162 section 2.1.5
        assert_eq!(inclusion(0, 7).unwrap(), [range(1, 2), range(2, 4), range(4, 7)]);
        assert_eq!(inclusion(3, 7).unwrap(), [range(2, 3), range(0, 2), range(4, 7)]);
        assert_eq!(inclusion(4, 7).unwrap(), [range(5, 6), range(6, 7), range(0, 4)]);
        assert_eq!(inclusion(6, 7).unwrap(), [range(4, 6), range(0, 4)]);
        let three = [range(2, 3), range(3, 4), range(0, 2), range(4, 7)];
        assert_eq!(consistency(3, 7).unwrap(), three);
        assert_eq!(consistency(4, 7).unwrap(), [range(4, 7)]);
        assert_eq!(consistency(6, 7).unwrap(), [range(4, 6), range(6, 7), range(0, 4)]);
    }

    #[test]
    fn complete_nodes_and_peaks_make_the_same_root_as_the_definition() {
        let leaves = leaves(70);
        let mut growing = Root::default();
        for size in 0..=70 {
            let hash = |node: &Node| {
                let first = (node.index << node.level) as usize;
                root(&leaves[first..first + (1 << node.level)])
            };
            let nodes: Vec<Hash> = Range::tree(size).nodes().iter().map(hash).collect();
            let expected = root(&leaves[..size as usize]);

            assert_eq!(fold(&nodes), expected);
            assert_eq!(growing.hash(), expected);
            if size < 70 {
                growing.push(leaves[size as usize]);
            }
        }
    }

    #[test]
    fn there_is_no_proof_for_what_is_not_there() {
        assert_eq!(inclusion(7, 7), None);
        assert_eq!(consistency(0, 7), None);
        assert_eq!(consistency(8, 7), None);
        assert_eq!(included(1, 1, [0; 32], &[]), None);
        assert_eq!(included(0, 2, [0; 32], &[]), None);
        assert_eq!(continued(8, 7, [0; 32], &[]), None);
        assert_eq!(continued(3, 7, [0; 32], &[]), None);
    }

    proptest! {
        #[test]
        fn a_proof_leads_to_the_root_and_a_changed_one_does_not(
            size in 1_u64..200, at in any::<prop::sample::Index>(), bit in any::<u8>(),
        ) {
            let leaves = leaves(size);
            let index = at.index(leaves.len()) as u64;
            let mut path = hashes(&inclusion(index, size).unwrap(), &leaves);
            let expected = root(&leaves);

            prop_assert_eq!(included(index, size, leaves[index as usize], &path), Some(expected));
            prop_assert_ne!(included(index, size, leaf(b"other"), &path), Some(expected));
            if let Some(hash) = path.first_mut() {
                hash[usize::from(bit / 8)] ^= 1 << (bit % 8);
                let changed = included(index, size, leaves[index as usize], &path);
                prop_assert_ne!(changed, Some(expected));
            }
        }

        #[test]
        fn a_tree_is_shown_to_continue_an_older_one_and_no_other(
            newer in 1_u64..200, at in any::<prop::sample::Index>(),
        ) {
            let leaves = leaves(newer);
            let older = at.index(leaves.len()) as u64 + 1;
            let path = hashes(&consistency(older, newer).unwrap(), &leaves);
            let (old, new) = (root(&leaves[..older as usize]), root(&leaves));

            prop_assert_eq!(continued(older, newer, old, &path), Some((old, new)));
            let mut others = leaves.clone();
            others[older as usize - 1] = leaf(b"rewritten");
            let rewritten = root(&others);
            let forged = hashes(&consistency(older, newer).unwrap(), &others);
            prop_assert_ne!(continued(older, newer, old, &forged), Some((old, rewritten)));
        }
    }

    fn hexadecimal(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
