//! The hash-based signature HSS/LMS (RFC 8554), with SHA-256 and outputs of 32 bytes, as COSE uses
//! it (RFC 8778).
//!
//! Nothing here is drawn at random or kept: a [`Tree`] follows from its identifier and its seed.
//! **A leaf signs once.** Whoever signs two messages with one leaf gives its key away, so a signer
//! puts on record which leaf comes next before it lets a signature go (`keys::hss` does).

use crate::crypto::{Sha256, equal};

/// The length of a public key: levels, the types of tree and leaf, identifier and root.
pub const PUBLIC_BYTES: usize = 4 + TREE_PUBLIC_BYTES;

/// The length of what tells the trees of a key apart.
pub const IDENTIFIER_BYTES: usize = 16;

/// The most levels that a key has (RFC 8554 section 6).
pub const LEVELS_MAX: u32 = 8;

/// The length of a hash.
const N: usize = 32;
const TREE_PUBLIC_BYTES: usize = 4 + 4 + IDENTIFIER_BYTES + N;

/// What a hash is of (RFC 8554 section 9.1).
mod domain {
    pub(super) const PUBLIC: [u8; 2] = [0x80, 0x80];
    pub(super) const MESSAGE: [u8; 2] = [0x81, 0x81];
    pub(super) const LEAF: [u8; 2] = [0x82, 0x82];
    pub(super) const INNER: [u8; 2] = [0x83, 0x83];
    /// Of the private keys that follow from a seed (appendix A).
    pub(super) const PRIVATE: u8 = 0xff;
}

/// The parameters of a one-time signature: LMOTS_SHA256_N32_W1, W2, W4 or W8 (section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneTime {
    /// The bits that a chain stands for: 1, 2, 4 or 8. More make signatures shorter and slower.
    width: u32,
}

impl OneTime {
    /// LMOTS_SHA256_N32_W1: the longest signatures.
    pub const W1: Self = Self { width: 1 };
    /// LMOTS_SHA256_N32_W2.
    pub const W2: Self = Self { width: 2 };
    /// LMOTS_SHA256_N32_W4.
    pub const W4: Self = Self { width: 4 };
    /// LMOTS_SHA256_N32_W8: the shortest signatures.
    pub const W8: Self = Self { width: 8 };

    const fn from_id(id: u32) -> Option<Self> {
        match id {
            1..=4 => Some(Self { width: 1 << (id - 1) }),
            _ => None,
        }
    }

    const fn id(self) -> u32 {
        self.width.trailing_zeros() + 1
    }

    /// The last value of a chain.
    const fn end(self) -> u8 {
        ((1_u16 << self.width) - 1) as u8
    }

    /// Chains for the hash of the message.
    const fn digits(self) -> usize {
        N * 8 / self.width as usize
    }

    /// Chains altogether, those of the checksum among them.
    const fn chains(self) -> usize {
        match self.width {
            1 => 265,
            2 => 133,
            4 => 67,
            _ => 34,
        }
    }

    /// How far the checksum is shifted to begin at a digit.
    const fn shift(self) -> u32 {
        match self.width {
            1 => 7,
            2 => 6,
            4 => 4,
            _ => 0,
        }
    }

    const fn signature_len(self) -> usize {
        4 + N + self.chains() * N
    }

    /// How far each chain goes for a hash: its digits, then those of their checksum (section 4.4).
    fn steps(self, hash: &[u8; N]) -> impl Iterator<Item = u8> {
        let sum: u16 = self.values(hash).map(|digit| u16::from(self.end() - digit)).sum();
        let checksum = (sum << self.shift()).to_be_bytes();
        let checksum: Vec<u8> =
            self.values(&checksum).take(self.chains() - self.digits()).collect();
        let digits: Vec<u8> = self.values(hash).collect();
        digits.into_iter().chain(checksum)
    }

    /// The digits of a string (`coef`, section 3.1.3).
    fn values<'b>(self, bytes: &'b [u8]) -> impl Iterator<Item = u8> + 'b {
        let (width, end) = (self.width, self.end());
        let of_byte =
            move |byte: u8| (0..8 / width).rev().map(move |place| (byte >> (place * width)) & end);
        bytes.iter().flat_map(move |byte| of_byte(*byte))
    }
}

/// The height of a tree: LMS_SHA256_M32_H5, H10, H15, H20 or H25 (section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Height(u32);

impl Height {
    /// LMS_SHA256_M32_H5: 32 leaves.
    pub const H5: Self = Self(5);
    /// LMS_SHA256_M32_H10: 1024 leaves.
    pub const H10: Self = Self(10);

    const fn from_id(id: u32) -> Option<Self> {
        match id {
            5..=9 => Some(Self((id - 4) * 5)),
            _ => None,
        }
    }

    const fn id(self) -> u32 {
        self.0 / 5 + 4
    }

    /// How many leaves there are.
    pub const fn leaves(self) -> u32 {
        1 << self.0
    }
}

/// The public key of one tree.
#[derive(Clone, Copy)]
struct TreePublic<'b> {
    height: Height,
    one_time: OneTime,
    identifier: &'b [u8],
    root: &'b [u8],
}

impl<'b> TreePublic<'b> {
    fn read(input: &mut Input<'b>) -> Option<Self> {
        Some(Self {
            height: Height::from_id(input.number()?)?,
            one_time: OneTime::from_id(input.number()?)?,
            identifier: input.take(IDENTIFIER_BYTES)?,
            root: input.take(N)?,
        })
    }

    /// Takes a signature of this tree off the input, and checks it over the message (section
    /// 5.4.2).
    fn verify(&self, input: &mut Input<'b>, message: &[&[u8]]) -> Option<bool> {
        let leaf = input.number().filter(|leaf| *leaf < self.height.leaves())?;
        if OneTime::from_id(input.number()?)? != self.one_time {
            return None;
        }
        let randomizer = input.take(N)?;
        let chains = input.take(self.one_time.chains() * N)?;
        if Height::from_id(input.number()?)? != self.height {
            return None;
        }
        let path = input.take(self.height.0 as usize * N)?;
        let hash = message_hash(self.identifier, leaf, randomizer, message);
        let mut public = start(self.identifier, leaf);
        public.update(&domain::PUBLIC);
        for (chain, (value, step)) in
            chains.chunks_exact(N).zip(self.one_time.steps(&hash)).enumerate()
        {
            let value = array(value);
            let end = self.one_time.end();
            public.update(&walk(self.identifier, leaf, chain as u16, value, step..end));
        }
        let mut node = self.height.leaves() + leaf;
        let mut value = leaf_hash(self.identifier, node, &public.finish());
        for other in path.chunks_exact(N) {
            let (left, right) =
                if node % 2 == 1 { (other, &value[..]) } else { (&value[..], other) };
            value = inner_hash(self.identifier, node / 2, left, right);
            node /= 2;
        }
        Some(equal(&value, self.root))
    }
}

/// Whether the bytes are a public key with parameters that are known.
pub(crate) fn is_public(key: &[u8]) -> bool {
    let mut input = Input(key);
    let levels = input.number().is_some_and(|levels| (1..=LEVELS_MAX).contains(&levels));
    levels && TreePublic::read(&mut input).is_some() && input.0.is_empty()
}

/// Verifies a signature over the concatenation of `message` (section 6.3).
pub(crate) fn verify(key: &[u8], message: &[&[u8]], signature: &[u8]) -> bool {
    verified(key, message, signature).unwrap_or(false)
}

fn verified(key: &[u8], message: &[&[u8]], signature: &[u8]) -> Option<bool> {
    let mut key = Input(key);
    let levels = key.number().filter(|levels| (1..=LEVELS_MAX).contains(levels))?;
    let mut tree = TreePublic::read(&mut key)?;
    let mut input = Input(signature);
    if input.number()? != levels - 1 {
        return None;
    }
    for _ in 1..levels {
        // The signature over the next tree's key stands before that key.
        let ots = OneTime::signature_len(tree.one_time);
        let length = 4 + ots + 4 + tree.height.0 as usize * N;
        let signed = input.0.get(length..length + TREE_PUBLIC_BYTES)?;
        if !tree.verify(&mut input, &[signed])? {
            return Some(false);
        }
        tree = TreePublic::read(&mut input)?;
    }
    let good = tree.verify(&mut input, message)?;
    Some(good && input.0.is_empty())
}

/// A tree with its private keys, which follow from a seed (appendix A).
///
/// Making one computes every leaf: 1024 leaves of [`OneTime::W8`] are 9 million hashes.
pub struct Tree {
    height: Height,
    one_time: OneTime,
    identifier: [u8; IDENTIFIER_BYTES],
    seed: zeroize::Zeroizing<[u8; N]>,
    /// By node number: the root is 1, the children of a node are twice it and one more.
    nodes: Vec<[u8; N]>,
}

impl Tree {
    /// Computes a tree.
    pub fn new(
        height: Height,
        one_time: OneTime,
        identifier: [u8; IDENTIFIER_BYTES],
        seed: [u8; N],
    ) -> Self {
        let leaves = height.leaves();
        let seed = zeroize::Zeroizing::new(seed);
        let mut tree =
            Self { height, one_time, identifier, seed, nodes: vec![[0; N]; 2 * leaves as usize] };
        for leaf in 0..leaves {
            let mut public = start(&identifier, leaf);
            public.update(&domain::PUBLIC);
            for chain in 0..one_time.chains() as u16 {
                let private = tree.private(leaf, chain);
                public.update(&walk(&identifier, leaf, chain, private, 0..one_time.end()));
            }
            let node = leaves + leaf;
            tree.nodes[node as usize] = leaf_hash(&identifier, node, &public.finish());
        }
        for node in (1..leaves).rev() {
            let children = 2 * node as usize;
            let (left, right) = (&tree.nodes[children], &tree.nodes[children + 1]);
            tree.nodes[node as usize] = inner_hash(&identifier, node, left, right);
        }
        tree
    }

    /// The tree's part of a public key: types, identifier, root.
    pub fn public(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(TREE_PUBLIC_BYTES);
        out.extend(self.height.id().to_be_bytes());
        out.extend(self.one_time.id().to_be_bytes());
        out.extend(self.identifier);
        out.extend(self.nodes[1]);
        out
    }

    /// Signs with a leaf; `None` when there is no such leaf. Two different messages under one leaf
    /// give its key away.
    pub fn sign(&self, leaf: u32, message: &[u8]) -> Option<Vec<u8>> {
        if leaf >= self.height.leaves() {
            return None;
        }
        // A randomizer that nobody foresees; one leaf, one message, so it may follow from the seed.
        let randomizer = self.private(leaf, RANDOMIZER);
        let hash = message_hash(&self.identifier, leaf, &randomizer, &[message]);
        let mut out = leaf.to_be_bytes().to_vec();
        out.extend(self.one_time.id().to_be_bytes());
        out.extend(randomizer);
        for (chain, step) in self.one_time.steps(&hash).enumerate() {
            let private = self.private(leaf, chain as u16);
            out.extend(walk(&self.identifier, leaf, chain as u16, private, 0..step));
        }
        out.extend(self.height.id().to_be_bytes());
        let mut node = self.height.leaves() + leaf;
        while node > 1 {
            out.extend(self.nodes[(node ^ 1) as usize]);
            node /= 2;
        }
        Some(out)
    }

    /// The identifier and the seed of the tree below a leaf.
    pub fn below(&self, leaf: u32) -> ([u8; IDENTIFIER_BYTES], zeroize::Zeroizing<[u8; N]>) {
        let mut identifier = [0; IDENTIFIER_BYTES];
        identifier.copy_from_slice(&self.private(leaf, CHILD_IDENTIFIER)[..IDENTIFIER_BYTES]);
        (identifier, zeroize::Zeroizing::new(self.private(leaf, CHILD_SEED)))
    }

    fn private(&self, leaf: u32, chain: u16) -> [u8; N] {
        let mut hash = start(&self.identifier, leaf);
        hash.update(&chain.to_be_bytes());
        hash.update(&[domain::PRIVATE]);
        hash.update(&*self.seed);
        hash.finish()
    }
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tree {{ height: {}, private: … }}", self.height.0)
    }
}

/// Beyond the numbers of all chains.
const RANDOMIZER: u16 = 0xfffd;
const CHILD_SEED: u16 = 0xfffe;
const CHILD_IDENTIFIER: u16 = 0xffff;

fn start(identifier: &[u8], number: u32) -> Sha256 {
    let mut hash = Sha256::new();
    hash.update(identifier);
    hash.update(&number.to_be_bytes());
    hash
}

fn message_hash(identifier: &[u8], leaf: u32, randomizer: &[u8], message: &[&[u8]]) -> [u8; N] {
    let mut hash = start(identifier, leaf);
    hash.update(&domain::MESSAGE);
    hash.update(randomizer);
    for part in message {
        hash.update(part);
    }
    hash.finish()
}

/// The value of a chain after some steps.
fn walk(
    identifier: &[u8],
    leaf: u32,
    chain: u16,
    mut value: [u8; N],
    steps: std::ops::Range<u8>,
) -> [u8; N] {
    for step in steps {
        let mut hash = start(identifier, leaf);
        hash.update(&chain.to_be_bytes());
        hash.update(&[step]);
        hash.update(&value);
        value = hash.finish();
    }
    value
}

fn leaf_hash(identifier: &[u8], node: u32, public: &[u8]) -> [u8; N] {
    let mut hash = start(identifier, node);
    hash.update(&domain::LEAF);
    hash.update(public);
    hash.finish()
}

fn inner_hash(identifier: &[u8], node: u32, left: &[u8], right: &[u8]) -> [u8; N] {
    let mut hash = start(identifier, node);
    hash.update(&domain::INNER);
    hash.update(left);
    hash.update(right);
    hash.finish()
}

fn array(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}

/// Bytes that are taken off the front.
struct Input<'b>(&'b [u8]);

impl<'b> Input<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }
}
