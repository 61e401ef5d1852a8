//! Kunpeng virtCCA: confidential machines in the secure world, with CCA's claims under keys that
//! Huawei's device certificates vouch for.

use cose::cbor::whole;
use cose::{Malformed, Untrusted};
use serde::{Deserialize, Serialize};

use super::{Endorsements, Format, Measured};
use crate::anchor::Anchor;
use crate::check::{Check, Checks, Failure, Owner, Reason, Stop};
use crate::claims::{Claims, Named};
use crate::crypto::PublicKey;
use crate::evidence::arm::component::{self, check_lengths, wrong_length};
use crate::evidence::arm::lifecycle::check_lifecycle;
use crate::evidence::arm::realm::REGISTERS;
use crate::evidence::arm::{
    Collection, Lifecycle, NotAToken, PlatformClaims, PlatformReference, RealmClaims,
    RealmReference, Scheme, Signed, p521_spki, rem,
};
use crate::evidence::{Kind, Request, check_user_data};
use crate::reference::Row;
use crate::trust::Isolation;
use crate::value::{Octets, Value};
use crate::x509::Certificate;

/// Rules for virtCCA machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Which states of the platform's life cycle are accepted. Those that allow debugging need
    /// `debug_allowed` as well. Default: `["secured"]`.
    pub lifecycles: Vec<Lifecycle>,
    /// Refuse a token without an event log that replays to REM0 to REM3. Default: `false`.
    pub event_log_required: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self { lifecycles: vec![Lifecycle::Secured], event_log_required: false }
    }
}

/// A reference value for a confidential machine on its platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The platform; its components state no signer.
    pub platform: PlatformReference,
    /// The machine.
    pub cvm: RealmReference,
}

/// A virtCCA token, read but not verified.
///
/// ```cddl
/// virtcca-token = #6.399({ ? 44234 => bstr .cbor platform-token, 44241 => bstr .cbor cvm-token })
/// platform-token = COSE_Sign1_Tagged
/// cvm-token = COSE_Sign1_Tagged          ; its payload is a byte string around the claims
/// ```
#[derive(Clone, Debug)]
pub(super) struct Token<'b> {
    platform: Option<(Signed<'b>, PlatformClaims)>,
    cvm: Signed<'b>,
    claims: RealmClaims,
}

impl<'b> Token<'b> {
    pub(super) fn decode(bytes: &'b [u8]) -> Result<Self, NotAToken> {
        let Collection { platform, realm } = Collection::decode(bytes)?;
        let platform = platform.map(|bytes| {
            let signed = Signed::decode(bytes)?;
            let claims = PlatformClaims::decode(unwrap(signed.payload()))?;
            Ok::<_, NotAToken>((signed, claims))
        });
        let cvm = Signed::decode(realm)?;
        let claims = RealmClaims::decode_with(unwrap(cvm.payload()), |_, key| read_key(key))?;
        Ok(Self { platform: platform.transpose()?, cvm, claims })
    }

    /// The device whose certificate's key signed the platform token.
    fn find_device<'e>(
        &self,
        signed: &Signed<'_>,
        endorsements: &'e Endorsements,
        checks: &mut Checks,
    ) -> Result<Certificate<'e>, Stop> {
        let check = Check::new("virtcca.platform.signature").seen(signed.algorithm());
        let mut refusal = None;
        let devices = endorsements.huawei.devices.iter();
        for device in devices.filter_map(|der| Certificate::decode(der).ok()) {
            match signed.verify(device.spki, &PLATFORM_SCHEMES) {
                Ok(()) => {
                    let name = device.common_name().unwrap_or_default().to_owned();
                    checks.note(check.source(name));
                    return Ok(device);
                }
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        let Some(error) = refusal else {
            return checks.fail(check.expected("a device certificate").holds(false, || {
                Failure::new(
                    Reason::MissingEndorsement,
                    Owner::EndorsementProvider,
                    "supply the device's certificate as PEM or DER",
                )
            }));
        };
        checks.fail(check.source(error.to_string()).holds(false, || {
            let reason = match error {
                Untrusted::Algorithm { .. } | Untrusted::AlgorithmNotProtected => {
                    Reason::Unsupported
                }
                _ => Reason::BadSignature,
            };
            let remedy = "send the platform token as the certified key of this device signed it";
            Failure::new(reason, Owner::Attester, remedy)
        }))
    }
}

impl Format for Token<'_> {
    const ISOLATION: Isolation = Isolation::Machine;
    const ROOT_IS_NAMED: bool = true;

    fn fields(&self) -> Vec<(&'static str, Value)> {
        let claims = &self.claims;
        let mut fields = vec![
            ("challenge", (&claims.challenge).into()),
            ("rpv", (&claims.rpv).into()),
            ("rim", claims.rim.clone().into()),
        ];
        let registers = REGISTERS.into_iter().zip(&claims.rems);
        fields.extend(registers.map(|(name, rem)| (name, rem.clone().into())));
        fields.push(("alg", self.cvm.algorithm().into()));
        fields.push(("pubkey", show_key(claims.spki()).into()));
        fields.extend(self.platform.as_ref().map(|(_, claims)| ("platform", claims.show())));
        fields
    }

    //= EV-VC-1: certificate chain, platform signature, challenge = H(CVM key), CVM signature
    fn authenticate(
        &self,
        endorsements: &Endorsements,
        request: &Request<'_>,
        anchor: &mut Option<Anchor>,
        checks: &mut Checks,
    ) -> Result<Octets, Stop> {
        let Some((signed, platform)) = &self.platform else { return checks.fail(unendorsed()) };
        let device = self.find_device(signed, endorsements, checks)?;
        endorsements.huawei.check_device(&device, request, anchor, checks)?;
        checks.need(self.claims.check_binding("virtcca.cvm.binding", platform))?;
        checks.need(self.cvm.check(
            "virtcca.cvm.signature",
            self.claims.spki(),
            &CVM_SCHEMES,
            "send the token as the machine's monitor signed it",
        ))?;
        Ok(Octets::new(&platform.instance_id))
    }

    fn check_device(&self, request: &Request<'_>, checks: &mut Checks) {
        let Some((_, platform)) = &self.platform else { return };
        let policy = &request.policy.trustzone.virtcca;
        check_lifecycle(platform.lifecycle, &policy.lifecycles, request.policy, checks);
        checks.note(check_lengths(&platform.components, Some(&platform.hash_algorithm)));
    }

    fn check_binding(&self, request: &Request<'_>) -> Check {
        check_user_data(&self.claims.challenge, request.user_data)
    }

    fn check_instance(&self, request: &Request<'_>, checks: &mut Checks) {
        let check = Check::new("virtcca.cvm.length").seen(self.claims.hash_algorithm.clone());
        checks.note(check.holds(self.claims.has_declared_lengths(), wrong_length));
        let required = request.policy.trustzone.virtcca.event_log_required;
        checks.note(rem::check(&self.claims, required, request));
    }

    fn claims(&self, device: Octets, _: &Request<'_>) -> Claims {
        let cvm = &self.claims;
        let mut claims = Claims::new(Kind::TrustZone, &cvm.challenge);
        claims.generation = Some("virtCCA");
        claims.instance_id = Some(device);
        claims.measurements.push(Named::new("rim", cvm.rim.as_slice()));
        for (name, value) in REGISTERS.into_iter().zip(&cvm.rems) {
            claims.registers.push(Named::new(name, value.as_slice()));
        }
        if let Some((_, platform)) = &self.platform {
            let implementation = &platform.implementation_id;
            component::add_claims(&mut claims, implementation, &platform.components);
            claims.debug = Lifecycle::of(platform.lifecycle).and_then(Lifecycle::debug);
            claims.lifecycle = Some(platform.lifecycle);
        }
        claims
    }

    fn measured(&self, _: &Request<'_>) -> Measured {
        let platform = self.platform.as_ref().map(|(_, claims)| claims.clone());
        Measured::VirtCca(platform.map(Box::new), Box::new(self.claims.clone()))
    }
}

impl Reference {
    pub(super) fn compare(&self, platform: Option<&PlatformClaims>, cvm: &RealmClaims) -> Vec<Row> {
        let mut rows = match platform {
            Some(platform) => self.platform.compare(platform),
            None => vec![Row {
                field: "platform",
                expected: "a platform token".into(),
                seen: "none".into(),
                ok: false,
            }],
        };
        rows.extend(self.cvm.compare(cvm));
        rows
    }
}

//= EV-VC-1: without a platform token the CVM key is endorsed by nothing
fn unendorsed() -> Check {
    let check = Check::new("virtcca.platform.signature").seen("no platform token");
    check.expected("a platform token that names the machine's key").holds(false, || {
        Failure::new(
            Reason::MissingEndorsement,
            Owner::Attester,
            "send the platform token as well: without it anybody could have made the key that \
             signed this token, whatever certificate comes along",
        )
    })
}

/// The claims stand in a byte string of their own, or directly in the payload.
fn unwrap(payload: &[u8]) -> &[u8] {
    whole(payload, |d| Ok(d.bytes()?)).unwrap_or(payload)
}

/// A SubjectPublicKeyInfo with an RSA key, or an uncompressed point on P-521.
fn read_key(bytes: &[u8]) -> Result<Vec<u8>, NotAToken> {
    if bytes.len() == P521_POINT && bytes.first() == Some(&0x04) {
        return Ok(p521_spki(bytes));
    }
    match PublicKey::from_spki(bytes) {
        Ok(PublicKey::Rsa(_)) => Ok(bytes.to_vec()),
        _ => Err(Malformed::Expected("an RSA key or a point on P-521").into()),
    }
}

fn show_key(spki: &[u8]) -> String {
    match PublicKey::from_spki(spki) {
        // A 4096-bit key has 14 octets around its modulus, a 2048-bit one as many.
        Ok(PublicKey::Rsa(key)) => format!("RSA-{} SPKI", key.len().saturating_sub(14) * 8),
        _ => "P-521 point".to_owned(),
    }
}

const CVM_SCHEMES: [Scheme; 2] = [Scheme::Ps256, Scheme::Es512];
const PLATFORM_SCHEMES: [Scheme; 4] = [Scheme::Ps256, Scheme::Es512, Scheme::Es384, Scheme::Es256];
const P521_POINT: usize = 133;
