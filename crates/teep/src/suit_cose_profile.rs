//! SUIT COSE profiles (section 8.2): how SUIT reports and EATs to the TAM are protected.

use minicbor::decode::Decoder;

use crate::malformed::Malformed;
use crate::wire::{self, Writer, Written};

/// A profile of draft-ietf-suit-mti, as four COSE algorithm identifiers.
///
/// ```cddl
/// $suit-cose-profile = [ digest : int, authentication : int,
///                        key-exchange : int, encryption : int ]
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SuitCoseProfile {
    /// Digest algorithm.
    pub digest: i64,
    /// Signature or MAC algorithm.
    pub authentication: i64,
    /// Key exchange algorithm.
    pub key_exchange: i64,
    /// Content encryption algorithm.
    pub encryption: i64,
}

impl SuitCoseProfile {
    /// suit-sha256-esp256-ecdh-a128ctr.
    pub const ESP256_A128CTR: Self = Self::new(-16, -9, -29, -65534);
    /// suit-sha256-ed25519-ecdh-a128ctr.
    pub const ED25519_A128CTR: Self = Self::new(-16, -19, -29, -65534);
    /// suit-sha256-esp256-ecdh-a128gcm.
    pub const ESP256_A128GCM: Self = Self::new(-16, -9, -29, 1);
    /// suit-sha256-ed25519-ecdh-chacha-poly.
    pub const ED25519_CHACHA_POLY: Self = Self::new(-16, -19, -29, 24);

    /// The profiles that a TAM has to support, in the document's order.
    pub const MANDATORY: [Self; 4] = [
        Self::ESP256_A128CTR,
        Self::ED25519_A128CTR,
        Self::ESP256_A128GCM,
        Self::ED25519_CHACHA_POLY,
    ];

    const fn new(digest: i64, authentication: i64, key_exchange: i64, encryption: i64) -> Self {
        Self { digest, authentication, key_exchange, encryption }
    }

    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let ids = wire::array(d, "suit-cose-profile", 4, |d| wire::int(d, "an integer"))?;
        match ids[..] {
            [digest, authentication, key_exchange, encryption] => {
                Ok(Self { digest, authentication, key_exchange, encryption })
            }
            _ => Err(Malformed::Expected("a four-element suit-cose-profile")),
        }
    }

    pub(crate) fn encode(&self, e: &mut Writer) -> Written {
        e.array(4)?;
        e.i64(self.digest)?.i64(self.authentication)?;
        e.i64(self.key_exchange)?.i64(self.encryption)?.ok()
    }
}
