//! The CCA token: a platform token and the realm token that it vouches for.

use cose::Malformed;
use cose::cbor::{self, Limits, whole};

use super::{PlatformClaims, RealmClaims};
use crate::evidence::MAX_EVIDENCE;
use crate::evidence::arm::{NotAToken, Signed};
use crate::value::Value;

/// A CCA token, read but not verified.
///
/// ```cddl
/// cca-token = #6.399({ 44234 => bstr .cbor platform-token, 44241 => bstr .cbor realm-token })
/// platform-token = realm-token = COSE_Sign1_Tagged
/// ```
#[derive(Clone, Debug)]
pub(crate) struct Token<'b> {
    /// The platform token as received.
    pub(super) platform_bytes: &'b [u8],
    pub(super) platform: Signed<'b>,
    pub(super) realm: Signed<'b>,
    pub(super) platform_claims: PlatformClaims,
    pub(super) realm_claims: RealmClaims,
}

/// The two tokens of the collection, of which the first may be absent in virtCCA.
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

impl<'b> Token<'b> {
    pub(crate) fn decode(bytes: &'b [u8]) -> Result<Self, NotAToken> {
        let Collection { platform, realm } = Collection::decode(bytes)?;
        let platform_bytes = platform.ok_or(Malformed::Expected("a platform token (44234)"))?;
        let (platform, realm) = (Signed::decode(platform_bytes)?, Signed::decode(realm)?);
        Ok(Self {
            platform_bytes,
            platform_claims: PlatformClaims::decode(platform.payload())?,
            realm_claims: RealmClaims::decode(realm.payload())?,
            platform,
            realm,
        })
    }

    /// Every claim for showing.
    pub(super) fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![("platform", self.platform_claims.show()), ("realm", self.realm_claims.show())]
    }
}

/// The CBOR tag of the collection.
pub(crate) const COLLECTION: u64 = 399;
const PLATFORM: i64 = 44234;
const REALM: i64 = 44241;
