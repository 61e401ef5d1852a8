//! Nonces: what a challenge is made of, so that each party that asked finds itself in the answer.

use minicbor::data::Type;
use minicbor::decode::Decoder;

use crate::map::{encode, encode_bytes};
use crate::refusal::{Malformed, Untrusted};
use crate::time::Timestamp;

/// A nonce of 8 to 64 bytes (RFC 9711 section 4.1, and the TEEP profile: one byte string).
///
/// ```cddl
/// nonce-type = bstr .size (8..64)
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nonce(Vec<u8>);

impl Nonce {
    /// Takes 8 to 64 bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, Malformed> {
        let bytes = bytes.into();
        if (8..=64).contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(Malformed::Nonce) }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Refuses unless this is the nonce that was sent.
    //= rats 11.3 (M): a nonce that does not match is refused
    pub fn check(&self, sent: &[u8]) -> Result<(), Untrusted> {
        if cose::equal(&self.0, sent) { Ok(()) } else { Err(Untrusted::NonceMismatch) }
    }

    //= rats 11.2 (M): eat_nonce is a single byte string of 8 to 64 bytes
    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        match d.datatype()? {
            Type::Bytes => Self::new(d.bytes()?),
            _ => Err(Malformed::Nonce),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        encode_bytes(&self.0)
    }
}

/// Combines the nonces of TAM and Network User into one challenge that both can recompute.
///
/// ```cddl
/// challenge = SHA-512(bytes of [ "teep-nonce-v1", tam-nonce: bstr, user-nonce: bstr ])
/// ```
//= rats 11.33 (M): TAM and user both recompute the combined nonce, and neither can be left out
pub fn combine(tam_nonce: &[u8], user_nonce: &[u8]) -> [u8; 64] {
    cose::sha512(&encode(|e| {
        e.array(3)?.str(COMBINE_LABEL)?.bytes(tam_nonce)?.bytes(user_nonce)?.ok()
    }))
}

/// The TAM's own nonce: it describes itself, so that the first flight needs no memory.
///
/// Version (1 byte), time in seconds (8, big-endian), random (23), HMAC-SHA-256 over those (32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TamNonce {
    /// When it was made.
    pub made: Timestamp,
    /// What makes it unique.
    pub random: [u8; 23],
}

impl TamNonce {
    /// Writes the nonce under the TAM's MAC key.
    pub fn seal(&self, mac_key: &[u8]) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[0] = VERSION;
        bytes[1..9].copy_from_slice(&self.made.0.to_be_bytes());
        bytes[9..32].copy_from_slice(&self.random);
        let mac = cose::hmac_sha256(mac_key, &bytes[..32]);
        bytes[32..].copy_from_slice(&mac);
        bytes
    }

    /// Reads a nonce that was made under this MAC key, no longer ago than `window_s` seconds.
    pub fn open(
        bytes: &[u8],
        mac_key: &[u8],
        now: Timestamp,
        window_s: i64,
    ) -> Result<Self, Untrusted> {
        let bytes: &[u8; 64] = bytes.try_into().map_err(|_| Untrusted::NonceMismatch)?;
        let mac = cose::hmac_sha256(mac_key, &bytes[..32]);
        if !cose::equal(&mac, &bytes[32..]) || bytes[0] != VERSION {
            return Err(Untrusted::NonceMismatch);
        }
        let nonce = Self::read(bytes);
        if nonce.made > now {
            return Err(Untrusted::FromTheFuture { iat: nonce.made, now });
        }
        if now.since(nonce.made) > window_s {
            return Err(Untrusted::Expired { exp: nonce.made.after(window_s), now });
        }
        Ok(nonce)
    }

    fn read(bytes: &[u8; 64]) -> Self {
        let (mut time, mut random) = ([0; 8], [0; 23]);
        time.copy_from_slice(&bytes[1..9]);
        random.copy_from_slice(&bytes[9..32]);
        Self { made: Timestamp(i64::from_be_bytes(time)), random }
    }
}

const COMBINE_LABEL: &str = "teep-nonce-v1";
const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::whole;

    //= rats 11.2 (M): eat_nonce is a single byte string of 8 to 64 bytes
    #[test]
    fn a_nonce_is_one_byte_string_of_8_to_64_bytes() {
        for length in 0..=70 {
            let read = whole(&encode_bytes(&vec![7; length]), Nonce::decode);

            assert_eq!(read.is_ok(), (8..=64).contains(&length));
        }
        let two = encode(|e| e.array(2)?.bytes(&[1; 8])?.bytes(&[2; 8])?.ok());

        assert_eq!(whole(&two, Nonce::decode), Err(Malformed::Nonce));
    }

    //= rats 11.3 (M): a nonce that does not match is refused
    #[test]
    fn another_nonce_is_refused() {
        let nonce = Nonce::new([1; 32]).unwrap();

        assert_eq!(nonce.check(&[1; 32]), Ok(()));
        assert_eq!(nonce.check(&[2; 32]), Err(Untrusted::NonceMismatch));
        assert_eq!(nonce.check(&[1; 31]), Err(Untrusted::NonceMismatch));
    }

    //= rats 11.33 (M): TAM and user both recompute the combined nonce, and neither can be left out
    #[test]
    fn a_combined_nonce_depends_on_both_parts_and_on_their_border() {
        let combined = combine(b"tam-nonce", b"user-nonce");

        assert_eq!(combined, combine(b"tam-nonce", b"user-nonce"));
        assert_ne!(combined, combine(b"tam-nonce", b"user-noncf"));
        assert_ne!(combined, combine(b"tam-nonde", b"user-nonce"));
        assert_ne!(combined, combine(b"tam-nonceu", b"ser-nonce"));
        assert_ne!(combined, combine(b"user-nonce", b"tam-nonce"));
        assert_ne!(combined, combine(b"tam-nonce", b""));
    }

    #[test]
    fn a_tam_nonce_opens_only_under_its_key_within_its_time_and_unchanged() {
        let nonce = TamNonce { made: Timestamp(1_000), random: [9; 23] };
        let sealed = nonce.seal(b"key");

        assert_eq!(TamNonce::open(&sealed, b"key", Timestamp(1_060), 60), Ok(nonce));
        assert_eq!(
            TamNonce::open(&sealed, b"other", Timestamp(1_000), 60),
            Err(Untrusted::NonceMismatch)
        );
        assert_eq!(
            TamNonce::open(&sealed, b"key", Timestamp(1_061), 60),
            Err(Untrusted::Expired { exp: Timestamp(1_060), now: Timestamp(1_061) })
        );
        assert_eq!(
            TamNonce::open(&sealed, b"key", Timestamp(999), 60),
            Err(Untrusted::FromTheFuture { iat: Timestamp(1_000), now: Timestamp(999) })
        );
        for index in 0..sealed.len() {
            let mut changed = sealed;
            changed[index] ^= 1;

            assert_eq!(
                TamNonce::open(&changed, b"key", Timestamp(1_000), 60),
                Err(Untrusted::NonceMismatch)
            );
        }
    }
}
