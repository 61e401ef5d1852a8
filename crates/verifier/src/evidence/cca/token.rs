//! The CCA token: a platform token and the realm token that it vouches for.

use cose::Malformed;

use crate::evidence::arm::component::require_signers;
use crate::evidence::arm::{Collection, NotAToken, PlatformClaims, RealmClaims, Signed};
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

impl<'b> Token<'b> {
    pub(crate) fn decode(bytes: &'b [u8]) -> Result<Self, NotAToken> {
        let Collection { platform, realm } = Collection::decode(bytes)?;
        let platform_bytes = platform.ok_or(Malformed::Expected("a platform token (44234)"))?;
        let (platform, realm) = (Signed::decode(platform_bytes)?, Signed::decode(realm)?);
        let platform_claims = PlatformClaims::decode(platform.payload())?;
        require_signers(&platform_claims.components)?;
        if !PROFILES.contains(&platform_claims.profile.as_str()) {
            let profile = &platform_claims.profile;
            return Err(NotAToken::unsupported(format!("platform profile `{profile}`")));
        }
        Ok(Self {
            platform_bytes,
            platform_claims,
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

/// The published profiles of platform tokens.
const PROFILES: [&str; 2] = ["http://arm.com/CCA-SSD/1.0.0", "tag:arm.com,2023:cca_platform#1.0.0"];
