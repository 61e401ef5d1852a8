//! Which code points a peer speaks.

/// The code points of a peer.
///
/// draft-ietf-teep-protocol-26 moved message types and option labels, and nothing on the wire
/// tells: the protocol version is 0 in both. So the numbering is configuration or a fact learnt
/// about a device, it is given to every decoder and encoder, and it never changes inside an
/// exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Numbering {
    /// draft-ietf-teep-protocol-26 and the IANA TEEP registries.
    #[default]
    V26,
    /// draft-ietf-teep-protocol-18 to -25.
    Legacy18,
}

impl Numbering {
    /// The number that stands for this numbering where it is stored.
    pub const fn id(self) -> u8 {
        match self {
            Self::V26 => 26,
            Self::Legacy18 => 18,
        }
    }

    /// The numbering that is stored as `id`.
    pub const fn from_id(id: u8) -> Option<Self> {
        match id {
            26 => Some(Self::V26),
            18 => Some(Self::Legacy18),
            _ => None,
        }
    }
}
