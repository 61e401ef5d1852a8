//! Severable members (suit-manifest section 8.4.12 and 5.4).

use std::collections::BTreeMap;

use crate::cbor::{Kind, Reader};
use crate::digest::Digest;
use crate::error::{Error, Malformed, Untrusted};

/// A member that the manifest either holds or only names by digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Severable<T> {
    /// The manifest holds the member.
    Inline(T),
    /// The manifest holds a digest; the envelope held the member, which has that digest.
    Attached(Digest, T),
    /// The manifest holds a digest, and the member was removed from the envelope.
    Severed(Digest),
}

impl<T> Severable<T> {
    /// The member, unless it was removed.
    pub fn content(&self) -> Option<&T> {
        match self {
            Self::Inline(content) | Self::Attached(_, content) => Some(content),
            Self::Severed(_) => None,
        }
    }

    /// The same member, its content replaced.
    pub(crate) fn try_map<U, E>(
        self,
        convert: impl FnOnce(T) -> Result<U, E>,
    ) -> Result<Severable<U>, E> {
        Ok(match self {
            Self::Inline(content) => Severable::Inline(convert(content)?),
            Self::Attached(digest, content) => Severable::Attached(digest, convert(content)?),
            Self::Severed(digest) => Severable::Severed(digest),
        })
    }
}

impl<'b> Severable<&'b [u8]> {
    //= suit 13.12 (M): Severed member absent: section cannot run and says so; present: digest
    //= checked first. M 8.4.12
    //= suit 13.13 (M): Replaced severable member (other bytes, other valid signature inside)
    //= refused. M 5.4
    /// Reads the value of manifest key `key`, taking a severed member out of `envelope`.
    pub(crate) fn read(
        key: i64,
        reader: &mut Reader<'b>,
        envelope: &mut BTreeMap<i64, &'b [u8]>,
    ) -> Result<Self, Error> {
        match reader.kind()? {
            Kind::Bytes => Ok(Self::Inline(reader.bytes()?)),
            Kind::Array => {
                let digest = Digest::read(reader)?;
                match envelope.remove(&key) {
                    None => Ok(Self::Severed(digest)),
                    Some(member) if Digest::of_member(digest.algorithm(), member)? == digest => {
                        Ok(Self::Attached(digest, member))
                    }
                    Some(_) => Err(Untrusted::SeveredDigest(key).into()),
                }
            }
            Kind::Uint
            | Kind::Negative
            | Kind::Text
            | Kind::Map
            | Kind::Tag
            | Kind::Bool
            | Kind::Null
            | Kind::Other => Err(Malformed::Expected("a member or its digest").into()),
        }
    }
}
