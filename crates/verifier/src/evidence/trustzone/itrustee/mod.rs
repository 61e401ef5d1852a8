//! Kunpeng iTrustee: reports of the quoting TA (QTA) about trusted applications, and the AK
//! certificates below them.

mod certificate;
mod json;
mod report;

use cose::Malformed;
use serde::{Deserialize, Serialize};

use super::uuid::Uuid;
use super::{Endorsements, Format, Measured};
use crate::anchor::Anchor;
use crate::check::{Check, Checks, Failure, Owner, Reason, Stop};
use crate::claims::{Claims, Named};
use crate::evidence::arm::{NotAToken, decode_base64url, encode_base64url, missing};
use crate::evidence::{Kind, Request, UserData};
use crate::reference::Row;
use crate::trust::Isolation;
use crate::value::{Hex, Octets, Value};
use certificate::AkCertificate;
use json::Json;
use report::Report;

/// Rules for iTrustee reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// The devices put the hash of their IMA log into the nonce: its first 32 octets are those of
    /// the user data, its last 32 the hash. Default: `false`, the nonce is the user data.
    pub ima_included: bool,
}

/// A reference value for a trusted application under its quoting TA.
///
/// ```toml
/// qta_img = "…"
/// qta_mem = "…"
/// ta = { uuid = "435dcafa-0029-4d53-97e8-a7a13a80c82e", img = "…", mem = "…" }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The quoting TA's image.
    pub qta_img: Hex<32>,
    /// The quoting TA's read-only memory at run time.
    pub qta_mem: Hex<32>,
    /// The trusted application; none for an AK certificate by itself.
    pub ta: Option<TaReference>,
    /// The hash of the IMA log, where the policy says that it is included.
    pub ima_log: Option<Hex<32>>,
}

/// A reference value for one trusted application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaReference {
    /// Which application.
    pub uuid: Uuid,
    /// Its image.
    pub img: Hex<32>,
    /// Its read-only memory at run time.
    pub mem: Hex<32>,
}

/// iTrustee evidence, read but not verified.
#[derive(Clone, Debug)]
pub(super) enum Evidence {
    /// What the quoting TA says of an application.
    Report(Report),
    /// What the DRK says of the quoting TA.
    Certificate(AkCertificate),
}

/// The measurements of an application and of the quoting TA.
#[derive(Clone, Debug)]
pub(crate) struct Measurements {
    qta_img: Option<Hex<32>>,
    qta_mem: Option<Hex<32>>,
    ta: Option<TaReference>,
    ima_log: Option<Hex<32>>,
}

impl Evidence {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, NotAToken> {
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed::Utf8)?;
        let json = Json::decode(text)?;
        if json.get("report_sign").is_some() {
            return Report::read(&json).map(Self::Report);
        }
        AkCertificate::read(&json).map(Self::Certificate)
    }

    fn ak(&self) -> Option<&AkCertificate> {
        match self {
            Self::Report(report) => report.ak(),
            Self::Certificate(certificate) => Some(certificate),
        }
    }

    fn nonce(&self) -> &[u8] {
        match self {
            Self::Report(report) => &report.nonce,
            Self::Certificate(_) => &[],
        }
    }

    /// The last half of the nonce, where the policy says what it is.
    fn ima_log(&self, request: &Request<'_>) -> Option<Hex<32>> {
        let included = request.policy.trustzone.itrustee.ima_included;
        let nonce = <&[u8; 64]>::try_from(self.nonce()).ok().filter(|_| included)?;
        nonce.last_chunk().copied().map(Hex)
    }
}

impl Format for Evidence {
    const ISOLATION: Isolation = Isolation::Process;
    const ROOT_IS_NAMED: bool = true;

    fn fields(&self) -> Vec<(&'static str, Value)> {
        match self {
            Self::Report(report) => report.fields.clone(),
            Self::Certificate(certificate) => certificate.fields.clone(),
        }
    }

    fn authenticate(
        &self,
        endorsements: &Endorsements,
        request: &Request<'_>,
        anchor: &mut Option<Anchor>,
        checks: &mut Checks,
    ) -> Result<Octets, Stop> {
        match self {
            Self::Report(report) => report.authenticate(endorsements, request, anchor, checks),
            Self::Certificate(ak) => ak.authenticate(endorsements, request, anchor, checks),
        }
    }

    //= EV-KP-5: the full nonce; with IMA its first half is the challenge, its last the log's hash
    fn check_binding(&self, request: &Request<'_>) -> Check {
        let nonce = self.nonce();
        let UserData::Exactly(expected) = request.user_data else {
            return crate::evidence::check_user_data(nonce, request.user_data);
        };
        if self.ima_log(request).is_none() {
            return crate::evidence::check_user_data(nonce, request.user_data);
        }
        let (seen, expected) = (&nonce[..32], &expected[..32]);
        let check = Check::new("binding.user-data").seen(seen).expected(expected);
        check.source("this exchange").holds(crate::crypto::equal(seen, expected), || {
            let remedy = "ask again: this evidence answers another challenge";
            Failure::new(Reason::BindingMismatch, Owner::Attester, remedy)
        })
    }

    //= EV-KP-7: no debug bit, no life cycle, and no believed time; the DRK's name is the device
    fn claims(&self, device: Octets, request: &Request<'_>) -> Claims {
        let mut claims = Claims::new(Kind::TrustZone, self.nonce());
        claims.generation = Some("iTrustee");
        claims.instance_id = Some(device);
        if let Self::Report(report) = self {
            claims.measurements.push(Named::new("ta-img", &report.ta.img.0));
            claims.measurements.push(Named::new("ta-mem", &report.ta.mem.0));
            claims.measurements.push(Named::new("ta-uuid", &report.ta.uuid.0));
        }
        if let Some(ak) = self.ak() {
            claims.measurements.push(Named::new("qta-img", &ak.qta_img));
            claims.measurements.push(Named::new("qta-mem", &ak.qta_mem));
        }
        let ima_log = self.ima_log(request);
        claims.registers.extend(ima_log.map(|hash| Named::new("ima-log", &hash.0)));
        claims
    }

    fn measured(&self, request: &Request<'_>) -> Measured {
        let ta = match self {
            Self::Report(report) => Some(report.ta.clone()),
            Self::Certificate(_) => None,
        };
        Measured::Itrustee(Measurements {
            qta_img: self.ak().map(|ak| Hex(ak.qta_img)),
            qta_mem: self.ak().map(|ak| Hex(ak.qta_mem)),
            ta,
            ima_log: self.ima_log(request),
        })
    }
}

impl Reference {
    //= EV-KP-6: qta_img and qta_mem, ta_img and ta_mem for the uuid
    pub(super) fn compare(&self, measured: &Measurements) -> Vec<Row> {
        let row = |field, expected: Option<Value>, seen: Option<Value>| {
            let none = || Value::from("none");
            let ok = expected == seen;
            let (expected, seen) = (expected.unwrap_or_else(none), seen.unwrap_or_else(none));
            Row { field, expected, seen, ok }
        };
        let uuid = |ta: &Option<TaReference>| Some(ta.as_ref()?.uuid.to_string().into());
        let img = |ta: &Option<TaReference>| Some(ta.as_ref()?.img.into());
        let mem = |ta: &Option<TaReference>| Some(ta.as_ref()?.mem.into());
        let mut rows = vec![
            row("qta_img", Some(self.qta_img.into()), measured.qta_img.map(Value::from)),
            row("qta_mem", Some(self.qta_mem.into()), measured.qta_mem.map(Value::from)),
            row("ta.uuid", uuid(&self.ta), uuid(&measured.ta)),
            row("ta.img", img(&self.ta), img(&measured.ta)),
            row("ta.mem", mem(&self.ta), mem(&measured.ta)),
        ];
        let expected = self.ima_log.map(Value::from);
        rows.extend(expected.map(|it| row("ima_log", Some(it), measured.ima_log.map(Value::from))));
        rows
    }
}

/// What is signed: base64url of the canonical print.
//= EV-KP-4: base64url without padding of the printed payload
fn signed_bytes(payload: &Json<'_>) -> String {
    encode_base64url(payload.print().as_bytes())
}

/// Reads what both payloads begin with, and gives the scenario.
fn header(payload: &Json<'_>) -> Result<String, NotAToken> {
    for (name, known) in [("version", "TEE.RA.1.0"), ("sign_alg", "PS256"), ("hash_alg", "HS256")] {
        let seen = member(payload, name)?.text(name)?;
        if seen != known {
            return Err(NotAToken::unsupported(format!("{name} `{seen}`")));
        }
    }
    Ok(member(payload, "scenario")?.text("scenario")?.to_owned())
}

fn member<'j, 'b>(payload: &'j Json<'b>, name: &'static str) -> Result<&'j Json<'b>, Malformed> {
    payload.get(name).ok_or(Malformed::Expected(name))
}

fn digest(json: &Json<'_>) -> Result<[u8; 32], NotAToken> {
    const DIGEST: &str = "a SHA-256 digest in base64url";
    let octets = decode_base64url(json.text(DIGEST)?).and_then(|octets| octets.try_into().ok());
    missing(octets, DIGEST)
}

/// A payload's members for showing; long values inside objects are shortened.
fn fields(payload: &Json<'_>) -> Result<Vec<(&'static str, Value)>, NotAToken> {
    let known = payload.members()?.iter().filter_map(|(name, value)| {
        let name = NAMES.into_iter().find(|known| known == name)?;
        Some((name, show(value, usize::MAX)))
    });
    Ok(known.collect())
}

fn show(json: &Json<'_>, room: usize) -> Value {
    match json {
        Json::Number(number) => {
            number.parse().map_or_else(|_| number.to_string().into(), Value::Number)
        }
        Json::Text(text) => match text.char_indices().nth(room) {
            Some((end, _)) => format!("{}...", &text[..end]).into(),
            None => text.to_string().into(),
        },
        Json::Object(members) => {
            let members = members.iter();
            let shown = members.map(|(name, value)| (name.to_string().into(), show(value, ROOM)));
            Value::Map(shown.collect())
        }
    }
}

/// The members of payloads.
const NAMES: [&str; 15] = [
    "version",
    "timestamp",
    "nonce",
    "scenario",
    "uuid",
    "hash_alg",
    "sign_alg",
    "ta_mem",
    "ta_img",
    "ta_attr",
    "tcb",
    "key",
    "qta_img",
    "qta_mem",
    "ak_pub",
];
/// How much of a value inside an object is shown.
const ROOM: usize = 48;
