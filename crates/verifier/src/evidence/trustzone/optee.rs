//! OP-TEE: digests that the attestation PTA signed with a key that was recorded at enrolment.
//!
//! The PTA signs a nonce and a digest, and neither for which application nor by which command. So
//! the Agent makes the nonce of all three, and sends them beside the PTA's output.

use cose::Malformed;
use cose::cbor::{Limits, check_deterministic, encode, tuple, whole};
use serde::{Deserialize, Serialize};

use super::uuid::Uuid;
use super::{Endorsements, Format, Measured};
use crate::anchor::{Anchor, Device, Vendor};
use crate::check::{Check, Checks, Failure, Owner, Reason, Stop};
use crate::claims::{Claims, Named};
use crate::crypto::{PublicKey, SignatureAlgorithm, sha256_of};
use crate::evidence::arm::{Enrolment, NotAToken};
use crate::evidence::{Kind, MAX_EVIDENCE, Request, check_standing, check_user_data};
use crate::reference::Row;
use crate::trust::Isolation;
use crate::value::{Hex, Octets, Value};

/// Rules for OP-TEE devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Whose digests are accepted. Anyone in the normal world can ask for `ta-header` and
    /// `tee-memory`: they say what is installed, not who asked. Default: `["ta-memory"]`.
    pub commands: Vec<Command>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { commands: vec![Command::TaMemory] }
    }
}

/// A command of the attestation PTA that gives a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// 1: the digest in the signed header of an installed application.
    TaHeader,
    /// 2: the read-only memory of the application that asks.
    TaMemory,
    /// 3: the read-only memory of OP-TEE itself.
    TeeMemory,
}

/// A reference value for one digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Which application attests.
    pub ta: Uuid,
    /// The command that gives this digest: another command's digest means something else.
    pub command: Command,
    /// The digest.
    pub digest: Hex<32>,
}

/// What an Agent in OP-TEE sends.
///
/// ```cddl
/// optee-evidence = [
///   "tamarack-optee-1", device : bstr, ta : bstr .size 16, command : 1..3,
///   challenge : bstr .size 64, output : bstr
/// ]
/// ```
///
/// deterministic (RFC 8949 section 4.2.1); `output` is the PTA's: 32 octets of digest, then an
/// RSASSA-PSS signature with SHA-256 and a salt of 32 octets over nonce and digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The id that the device was given when it was enrolled.
    pub device: Vec<u8>,
    /// Which application attests.
    pub ta: Uuid,
    /// The command that was called.
    pub command: Command,
    /// What the application binds.
    pub challenge: [u8; 64],
    /// The digest.
    pub digest: [u8; 32],
    /// The signature.
    pub signature: Vec<u8>,
}

impl Command {
    pub(crate) const ALL: [Self; 3] = [Self::TaHeader, Self::TaMemory, Self::TeeMemory];

    /// The number of the command.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::TaHeader => 1,
            Self::TaMemory => 2,
            Self::TeeMemory => 3,
        }
    }

    /// The name, as in policies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TaHeader => "ta-header",
            Self::TaMemory => "ta-memory",
            Self::TeeMemory => "tee-memory",
        }
    }

    fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|command| command.number() == number)
    }
}

/// The nonce that the Agent hands to the PTA: SHA-256 of the challenge, the 16 octets of the TA's
/// UUID, and the command as 4 octets, big-endian.
//= EV-OT-2: the nonce is SHA-256(challenge ‖ TA uuid ‖ command), recomputed here
#[must_use]
pub fn nonce(challenge: &[u8; 64], ta: Uuid, command: Command) -> [u8; 32] {
    sha256_of(&[challenge, &ta.0, &command.number().to_be_bytes()])
}

impl Evidence {
    /// Encodes deterministically.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let output = [&self.digest[..], &self.signature].concat();
        encode(|e| {
            e.array(6)?.str(FORMAT)?.bytes(&self.device)?.bytes(&self.ta.0)?;
            e.u32(self.command.number())?.bytes(&self.challenge)?.bytes(&output)?.ok()
        })
    }

    /// Reads the deterministic encoding, and no other.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotAToken> {
        const FIELDS: Malformed = Malformed::Expected("tamarack-optee-1 evidence");
        check_deterministic(bytes, Limits { bytes: MAX_EVIDENCE, ..Limits::DEFAULT })?;
        let (device, ta, command, challenge, output) = whole(bytes, |d| {
            tuple(d, 6, "tamarack-optee-1 evidence", |d| {
                if d.str()? != FORMAT {
                    return Err(FIELDS);
                }
                Ok((d.bytes()?, d.bytes()?, d.u32()?, d.bytes()?, d.bytes()?))
            })
        })?;
        let (digest, signature) = output.split_first_chunk().ok_or(FIELDS)?;
        let command = Command::from_number(command);
        Ok(Self {
            device: device.to_vec(),
            ta: Uuid(ta.try_into().map_err(|_| FIELDS)?),
            command: command.ok_or(NotAToken::unsupported("a command without digest"))?,
            challenge: challenge.try_into().map_err(|_| FIELDS)?,
            digest: *digest,
            signature: signature.to_vec(),
        })
    }

    fn is_signed_by(&self, spki: &[u8]) -> Result<(), cose::Untrusted> {
        let nonce = nonce(&self.challenge, self.ta, self.command);
        let message = [nonce, self.digest].concat();
        match PublicKey::from_spki(spki) {
            Ok(key @ PublicKey::Rsa(_)) => {
                let ok = key.verify(&SignatureAlgorithm::PssSha256, &message, &self.signature);
                if ok { Ok(()) } else { Err(cose::Untrusted::Signature) }
            }
            _ => Err(cose::Untrusted::KeyMismatch),
        }
    }
}

impl Format for Evidence {
    const ISOLATION: Isolation = Isolation::Process;
    const ROOT_IS_NAMED: bool = false;

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("device", self.device.as_slice().into()),
            ("ta", self.ta.to_string().into()),
            ("command", self.command.name().into()),
            ("challenge", (&self.challenge).into()),
            ("digest", (&self.digest).into()),
        ]
    }

    //= EV-OT-1: the anchor is the key that was recorded when this device was enrolled
    fn authenticate(
        &self,
        endorsements: &Endorsements,
        request: &Request<'_>,
        anchor: &mut Option<Anchor>,
        checks: &mut Checks,
    ) -> Result<Octets, Stop> {
        let device = Octets::new(&self.device);
        let names = [Device::Instance(device.clone())];
        let enrolment = Enrolment {
            check: "optee.signature",
            vendor: Vendor::OpTee,
            names: &names,
            anchors: request.anchors,
        };
        let verify = |key: &crate::evidence::arm::DeviceKey| self.is_signed_by(&key.spki);
        let (found, _) = endorsements.keys.find_signer(&enrolment, checks, verify)?;
        *anchor = Some(found.clone());
        checks.need(check_standing(found, request.policy))?;
        Ok(device)
    }

    fn check_device(&self, request: &Request<'_>, checks: &mut Checks) {
        let allowed = &request.policy.trustzone.optee.commands;
        let names = allowed.iter().map(|command| command.name()).collect::<Vec<_>>();
        let check = Check::new("optee.command").seen(self.command.name()).expected(names);
        let ok = allowed.contains(&self.command);
        checks.note(check.source("policy").holds(ok, || {
            Failure::new(
                Reason::ConfigurationNotAllowed,
                Owner::AgentProvider,
                "attest the memory of the application that asks: what else the PTA digests, \
                 anybody on the device can ask for",
            )
        }));
    }

    fn check_binding(&self, request: &Request<'_>) -> Check {
        check_user_data(&self.challenge, request.user_data)
    }

    fn claims(&self, device: Octets, _: &Request<'_>) -> Claims {
        let mut claims = Claims::new(Kind::TrustZone, &self.challenge);
        claims.generation = Some("OP-TEE");
        claims.instance_id = Some(device);
        claims.measurements.push(Named::new(self.command.name(), &self.digest));
        claims.measurements.push(Named::new("ta-uuid", &self.ta.0));
        claims
    }

    fn measured(&self, _: &Request<'_>) -> Measured {
        let Self { ta, command, digest, .. } = *self;
        Measured::OpTee(Reference { ta, command, digest: Hex(digest) })
    }
}

impl Reference {
    //= EV-OT-2: a digest is meaningful only together with the command that produced it
    pub(super) fn compare(&self, measured: &Self) -> Vec<Row> {
        let row = |field, expected: Value, seen: Value| {
            let ok = expected == seen;
            Row { field, expected, seen, ok }
        };
        vec![
            row("ta", self.ta.to_string().into(), measured.ta.to_string().into()),
            row("command", self.command.name().into(), measured.command.name().into()),
            row("digest", self.digest.into(), measured.digest.into()),
        ]
    }
}

const FORMAT: &str = "tamarack-optee-1";
