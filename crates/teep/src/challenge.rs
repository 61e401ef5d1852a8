//! Challenges: what makes an attestation payload fresh (sections 4.2 and 9).
//!
//! A TAM's own challenge describes itself: it holds the time of its making and a MAC, so that a
//! first flight to a stranger leaves nothing behind at the TAM. Using it once is a matter of
//! remembering the few that were *used*, not the many that were issued.

use std::fmt;

use minicbor::decode::Decoder;
use rats::Timestamp;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::limits;
use crate::malformed::Malformed;
use crate::token::Fresh;
use crate::wire;

/// A challenge.
///
/// ```cddl
/// challenge => bstr .size (8..512)
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Challenge(Vec<u8>);

impl Challenge {
    /// A challenge of these bytes, if their number is allowed.
    //= teep 14.7 (M): a challenge shorter than 8 or longer than 512 bytes is refused
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, Malformed> {
        let bytes = bytes.into();
        let (min, max) = limits::CHALLENGE_BYTES;
        if bytes.len() < min || bytes.len() > max {
            return Err(Malformed::Length { what: "challenge", got: bytes.len() });
        }
        Ok(Self(bytes))
    }

    /// Makes a self-describing challenge of 64 bytes.
    ///
    /// Version (1 byte), seconds since 1970 (8), random (23), HMAC-SHA-256 over a label and those
    /// 32 bytes (32).
    pub fn issue(key: &ChallengeKey, now: Timestamp, fresh: Fresh) -> Self {
        Self::describe(VERSION, key, now, fresh)
    }

    /// Makes a challenge of the same form for an exchange that is stored.
    ///
    /// [`Challenge::verify`] does not take it: once its exchange is gone it is good for nothing,
    /// and least of all for a stranger's.
    pub fn issue_stored(key: &ChallengeKey, now: Timestamp, fresh: Fresh) -> Self {
        Self::describe(VERSION_STORED, key, now, fresh)
    }

    fn describe(version: u8, key: &ChallengeKey, now: Timestamp, fresh: Fresh) -> Self {
        let mut bytes = Vec::with_capacity(ISSUED_BYTES);
        bytes.push(version);
        bytes.extend_from_slice(&now.0.to_be_bytes());
        bytes.extend_from_slice(&fresh.into_bytes()[..RANDOM_BYTES]);
        let mac = key.mac(&bytes);
        bytes.extend_from_slice(&mac);
        Self(bytes)
    }

    /// Tells when this side made the challenge, if it did and not too long ago.
    pub fn verify(
        &self,
        key: &ChallengeKey,
        now: Timestamp,
        max_age_s: i64,
    ) -> Result<Issued, Stale> {
        let Some((described, mac)) =
            self.0.split_at_checked(DESCRIBED_BYTES).filter(|_| self.0.len() == ISSUED_BYTES)
        else {
            return Err(Stale::NotOurs);
        };
        if !cose::equal(&key.mac(described), mac) || described[0] != VERSION {
            return Err(Stale::NotOurs);
        }
        let seconds = described[1..9].try_into().expect("length checked above");
        let at = Timestamp(i64::from_be_bytes(seconds));
        if at > now.after(limits::CLOCK_SKEW_S) {
            return Err(Stale::FromTheFuture);
        }
        if now.since(at) > max_age_s {
            return Err(Stale::Expired);
        }
        Ok(Issued { at, until: at.after(max_age_s) })
    }

    /// The challenge of an exchange that a Network User takes part in.
    ///
    /// SHA-512 of the deterministic CBOR `["teep-nonce-v1", tam-nonce, user-nonce]`: each of the
    /// two recomputes it from its own nonce and the other's.
    pub fn combined(tam_nonce: &Self, user_nonce: &UserNonce) -> Self {
        Self(rats::nonce::combine(&tam_nonce.0, &user_nonce.0).to_vec())
    }

    /// The bytes on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether an EAT can carry the challenge as its nonce (RFC 9711 section 4.1).
    pub const fn fits_eat(&self) -> bool {
        self.0.len() <= limits::EAT_NONCE_BYTES
    }

    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        Self::new(wire::bytes(d, "challenge")?)
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Challenge({} bytes)", self.0.len())
    }
}

/// What a self-describing challenge says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issued {
    /// When it was made.
    pub at: Timestamp,
    /// Until when it is good, and its use to be remembered.
    pub until: Timestamp,
}

/// Why a challenge is not taken as one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// Another form, or a MAC by another key.
    #[error("challenge was not issued here")]
    NotOurs,
    /// Too old.
    #[error("challenge has expired")]
    Expired,
    /// Made later than now: clocks disagree.
    #[error("challenge is from the future")]
    FromTheFuture,
}

/// The secret that makes challenges recognisable, shared by the replicas of a TAM.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ChallengeKey([u8; 32]);

impl ChallengeKey {
    /// A key of these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn mac(&self, described: &[u8]) -> [u8; 32] {
        cose::hmac_sha256(&self.0, &[MAC_LABEL, described].concat())
    }
}

impl fmt::Debug for ChallengeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChallengeKey(…)")
    }
}

/// The nonce of a Network User, 8 to 64 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct UserNonce(Vec<u8>);

impl UserNonce {
    /// A nonce of these bytes, if their number is allowed.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, Malformed> {
        let bytes = bytes.into();
        if bytes.len() < limits::CHALLENGE_BYTES.0 || bytes.len() > limits::EAT_NONCE_BYTES {
            return Err(Malformed::Length { what: "user nonce", got: bytes.len() });
        }
        Ok(Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for UserNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserNonce({} bytes)", self.0.len())
    }
}

const VERSION: u8 = 1;
const VERSION_STORED: u8 = 2;
const RANDOM_BYTES: usize = 23;
const DESCRIBED_BYTES: usize = 1 + 8 + RANDOM_BYTES;
const ISSUED_BYTES: usize = DESCRIBED_BYTES + 32;
const MAC_LABEL: &[u8] = b"teep-challenge-v1";

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: ChallengeKey = ChallengeKey::new([1; 32]);
    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn issued() -> Challenge {
        Challenge::issue(&KEY, NOW, Fresh::from_bytes([9; 32]))
    }

    //= teep 14.7 (M): a challenge shorter than 8 or longer than 512 bytes is refused
    #[test]
    fn a_challenge_has_8_to_512_bytes() {
        for length in [8, 64, 512] {
            assert!(Challenge::new(vec![0; length]).is_ok());
        }
        for got in [0, 7, 513] {
            let outcome = Challenge::new(vec![0; got]);
            assert_eq!(outcome, Err(Malformed::Length { what: "challenge", got }));
        }
    }

    #[test]
    fn an_issued_challenge_fits_every_kind_of_evidence_and_tells_its_time() {
        let challenge = issued();

        assert_eq!(challenge.as_bytes().len(), 64);
        assert!(challenge.fits_eat());
        assert_eq!(
            challenge.verify(&KEY, NOW.after(60), 300),
            Ok(Issued { at: NOW, until: NOW.after(300) })
        );
    }

    #[test]
    fn an_old_challenge_and_one_from_the_future_are_stale() {
        assert!(issued().verify(&KEY, NOW.after(300), 300).is_ok());
        assert_eq!(issued().verify(&KEY, NOW.after(301), 300), Err(Stale::Expired));
        assert!(issued().verify(&KEY, NOW.after(-limits::CLOCK_SKEW_S), 300).is_ok());
        assert_eq!(
            issued().verify(&KEY, NOW.after(-limits::CLOCK_SKEW_S - 1), 300),
            Err(Stale::FromTheFuture)
        );
    }

    #[test]
    fn no_flipped_bit_no_other_key_and_no_other_length_passes() {
        let challenge = issued();
        for bit in 0..challenge.0.len() * 8 {
            let mut bytes = challenge.0.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Challenge(bytes).verify(&KEY, NOW, 300), Err(Stale::NotOurs));
        }

        let other = ChallengeKey::new([2; 32]);
        assert_eq!(challenge.verify(&other, NOW, 300), Err(Stale::NotOurs));
        assert_eq!(Challenge(vec![1; 32]).verify(&KEY, NOW, 300), Err(Stale::NotOurs));
        assert_eq!(Challenge(vec![1; 65]).verify(&KEY, NOW, 300), Err(Stale::NotOurs));
    }

    #[test]
    fn the_challenge_of_a_stored_exchange_is_none_for_a_stranger() {
        let stored = Challenge::issue_stored(&KEY, NOW, Fresh::from_bytes([9; 32]));

        assert_eq!(stored.as_bytes().len(), 64);
        assert_eq!(stored.verify(&KEY, NOW, 300), Err(Stale::NotOurs));
    }

    #[test]
    fn the_combination_depends_on_both_nonces_and_their_order() {
        let tam = issued();
        let user = UserNonce::new([3; 32]).unwrap();

        let combined = Challenge::combined(&tam, &user);

        let by_hand =
            [&[0x83, 0x6d][..], b"teep-nonce-v1", &[0x58, 64], &tam.0, &[0x58, 32], &[3; 32]];
        assert_eq!(combined.as_bytes(), cose::sha512(&by_hand.concat()));
        let another = Challenge::issue(&KEY, NOW, Fresh::from_bytes([8; 32]));
        assert_ne!(Challenge::combined(&another, &user), combined);
        assert_ne!(Challenge::combined(&tam, &UserNonce::new([4; 32]).unwrap()), combined);
    }

    //= teep 14.48 (S): logs hold codes and ids alone
    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{KEY:?}"), "ChallengeKey(…)");
        assert_eq!(format!("{:?}", issued()), "Challenge(64 bytes)");
    }
}
