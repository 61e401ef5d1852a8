//! Why something about a log does not count.

/// Something about a log that does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The bytes are not what their document says.
    #[error("not {0}")]
    Malformed(&'static str),
    /// The signature is not that of the log's key.
    #[error("the signature of {0} does not verify under the log's key")]
    Signature(&'static str),
    /// The entry is not where the proof says.
    #[error("the proof does not lead from the entry to the root that was signed")]
    Inclusion,
    /// The newer tree does not continue the older one.
    #[error("the tree of {newer} entries does not continue that of {older} entries")]
    Consistency {
        /// Size of the older tree.
        older: u64,
        /// Size of the newer tree.
        newer: u64,
    },
    /// The entries do not make the root that was signed.
    #[error("the {size} entries do not make the root that was signed")]
    Root {
        /// How many entries were signed.
        size: u64,
    },
    /// There are fewer entries than were signed.
    #[error("{seen} entries of the {signed} that were signed")]
    Missing {
        /// How many entries were signed.
        signed: u64,
        /// How many are there.
        seen: u64,
    },
    /// An entry says another position than the one where it is.
    #[error("the entry at position {expected} says {seen}")]
    Position {
        /// Where it is, from 0.
        expected: u64,
        /// Where it says it is.
        seen: u64,
    },
    /// A proof about another size or position than was asked for.
    #[error("the proof is about other sizes or positions than asked for")]
    OffTopic,
}
