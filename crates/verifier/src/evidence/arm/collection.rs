//! The collection of a platform token and a realm token.

use cose::Malformed;
use cose::cbor::{self, Limits, whole};

use super::NotAToken;
use crate::evidence::MAX_EVIDENCE;

/// The tokens of one machine, of which the first may be absent in virtCCA.
///
/// ```cddl
/// collection = #6.399({ ? 44234 => platform-token bstr, 44241 => realm-token bstr })
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Collection<'b> {
    /// Label 44234.
    pub(crate) platform: Option<&'b [u8]>,
    /// Label 44241.
    pub(crate) realm: &'b [u8],
}

impl<'b> Collection<'b> {
    /// Reads the collection; another outer tag is another form.
    pub(crate) fn decode(bytes: &'b [u8]) -> Result<Self, NotAToken> {
        cbor::check(bytes, Limits { bytes: MAX_EVIDENCE, ..Limits::DEFAULT })?;
        let (mut platform, mut realm) = (None, None);
        let tag = whole(bytes, |d| {
            let tag = d.tag().map_err(|_| Malformed::Expected("a tagged collection"))?.as_u64();
            if tag != COLLECTION {
                d.skip()?;
                return Ok(tag);
            }
            let count = d.map()?.ok_or(Malformed::Indefinite)?;
            for _ in 0..count {
                match d.i64()? {
                    PLATFORM => platform = Some(d.bytes()?),
                    REALM => realm = Some(d.bytes()?),
                    _ => return Err(Malformed::Expected("a platform token and a realm token")),
                }
            }
            Ok(tag)
        })?;
        if tag != COLLECTION {
            return Err(NotAToken::unsupported(format!("a collection with CBOR tag {tag}")));
        }
        let realm = realm.ok_or(Malformed::Expected("a realm token (44241)"))?;
        Ok(Self { platform, realm })
    }
}

/// The CBOR tag of the collection.
const COLLECTION: u64 = 399;
const PLATFORM: i64 = 44234;
const REALM: i64 = 44241;
