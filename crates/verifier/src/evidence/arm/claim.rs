//! Claim maps (CWT, RFC 8392): integer keys in any order, unknown claims passed over.

use cose::Malformed;
use cose::cbor::{self, Decoder, Limits, Type, whole};

use super::NotAToken;
use crate::evidence::MAX_EVIDENCE;

/// The encoded value of one claim.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'b>(&'b [u8]);

/// Reads a map; `read` gets every claim with an integer key and passes over what it does not
/// know. Claims with text keys are nobody's here.
pub(crate) fn each_claim<'b>(
    map: &'b [u8],
    read: impl FnMut(i64, Claim<'b>) -> Result<(), NotAToken>,
) -> Result<(), NotAToken> {
    cbor::check(map, LIMITS)?;
    each_checked(map, read)
}

/// As [`each_claim`], for a map inside a map that was checked with all that is in it.
pub(crate) fn each_checked<'b>(
    map: &'b [u8],
    mut read: impl FnMut(i64, Claim<'b>) -> Result<(), NotAToken>,
) -> Result<(), NotAToken> {
    list(map)?.into_iter().try_for_each(|(key, claim)| read(key, claim))
}

/// The claims of a map, for who must know one of them before the others can be read.
pub(crate) fn claims(map: &[u8]) -> Result<Vec<(i64, Claim<'_>)>, NotAToken> {
    cbor::check(map, LIMITS)?;
    Ok(list(map)?)
}

fn list(map: &[u8]) -> Result<Vec<(i64, Claim<'_>)>, Malformed> {
    whole(map, |d| {
        let length = d.map().map_err(|_| Malformed::Expected("a claim map"))?;
        let mut claims = Vec::with_capacity(CLAIMS_USUAL);
        let mut seen = 0;
        while cbor::more(d, length, seen)? {
            let key = match d.datatype()? {
                Type::String => d.skip().map(|()| None)?,
                _ => Some(d.i64().map_err(|_| Malformed::Expected("a number or text as key"))?),
            };
            let claim = Claim(cbor::item(d)?);
            claims.extend(key.map(|key| (key, claim)));
            seen += 1;
        }
        Ok(claims)
    })
}

/// Takes a claim without which there is no token.
pub(crate) fn missing<T>(claim: Option<T>, what: &'static str) -> Result<T, NotAToken> {
    claim.ok_or(NotAToken::Malformed(Malformed::Expected(what)))
}

impl<'b> Claim<'b> {
    /// An octet string.
    pub(crate) fn bytes(self) -> Result<&'b [u8], Malformed> {
        whole(self.0, |d| Ok(d.bytes()?))
    }

    /// An octet string of exactly `N` octets.
    pub(crate) fn fixed<const N: usize>(self, what: &'static str) -> Result<[u8; N], Malformed> {
        self.bytes()?.try_into().map_err(|_| Malformed::Expected(what))
    }

    /// An octet string as long as a SHA-256, SHA-384 or SHA-512 digest.
    pub(crate) fn digest(self, what: &'static str) -> Result<&'b [u8], Malformed> {
        let bytes = self.bytes()?;
        if matches!(bytes.len(), 32 | 48 | 64) { Ok(bytes) } else { Err(Malformed::Expected(what)) }
    }

    /// Text, without the NUL characters that some firmware ends it with.
    pub(crate) fn text(self) -> Result<&'b str, Malformed> {
        whole(self.0, |d| Ok(d.str()?.trim_end_matches('\0')))
    }

    /// A number that is not negative.
    pub(crate) fn unsigned(self) -> Result<u64, Malformed> {
        whole(self.0, |d| Ok(d.u64()?))
    }

    /// A number.
    pub(crate) fn integer(self) -> Result<i64, Malformed> {
        whole(self.0, |d| Ok(d.i64()?))
    }

    /// The elements of an array.
    pub(crate) fn list(self) -> Result<Vec<Self>, Malformed> {
        whole(self.0, |d: &mut Decoder<'b>| {
            let length = d.array()?;
            let mut elements = Vec::new();
            while cbor::more(d, length, elements.len())? {
                elements.push(Self(cbor::item(d)?));
            }
            Ok(elements)
        })
    }

    /// The encoded value, for a map inside a claim.
    pub(crate) const fn encoded(self) -> &'b [u8] {
        self.0
    }
}

/// How many claims tokens have.
const CLAIMS_USUAL: usize = 12;
/// What a claim map may cost.
const LIMITS: Limits = Limits { depth: 8, bytes: MAX_EVIDENCE, items: 4096 };

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(map: &[u8]) -> Result<Vec<i64>, NotAToken> {
        let mut keys = Vec::new();
        each_claim(map, |key, _| {
            keys.push(key);
            Ok(())
        })?;
        Ok(keys)
    }

    #[test]
    fn claims_come_in_any_order_and_text_keys_are_passed_over() {
        assert_eq!(keys(&[0xa3, 0x0a, 0x01, 0x61, b'a', 0x02, 0x20, 0x03]), Ok(vec![10, -1]));
        assert_eq!(keys(&[0xbf, 0x0a, 0x01, 0xff]), Ok(vec![10]));
    }

    #[test]
    fn what_is_no_map_of_claims_is_refused() {
        for bytes in [&[0x80][..], &[], &[0xa1, 0x0a], &[0xa1, 0x41, 0x00, 0x01], &[0xa0, 0x00]] {
            assert!(keys(bytes).is_err(), "{bytes:02x?}");
        }
        assert_eq!(
            keys(&[0xa2, 0x0a, 0x01, 0x0a, 0x02]),
            Err(NotAToken::Malformed(Malformed::DuplicateKey))
        );
    }

    #[test]
    fn a_value_of_another_type_or_length_is_refused() {
        assert_eq!(Claim(&[0x42, 1, 2]).fixed::<2>("two octets"), Ok([1, 2]));
        assert!(Claim(&[0x41, 1]).fixed::<2>("two octets").is_err());
        assert!(Claim(&[0x41, 1]).digest("a digest").is_err());
        assert!(Claim(&[0x20]).unsigned().is_err());
        assert_eq!(Claim(&[0x20]).integer(), Ok(-1));
        assert!(Claim(&[0x01]).text().is_err());
        assert_eq!(Claim(&[0x82, 0x01, 0x02]).list().map(|list| list.len()), Ok(2));
    }
}
