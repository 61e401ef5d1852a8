//! Intel TDX trust domains: quote version 4, and version 5 with TD 1.0 and TD 1.5 reports.

mod body;
pub mod event_log;

use serde::{Deserialize, Serialize};

use super::dcap::quote::{Body, NotAQuote, Quote};
use super::dcap::{self, Authentic, Carried, Subject, instance_id, not_a_quote};
use super::{Kind, Request, check_debug, refuse};
use crate::Appraisal;
use crate::check::{Check, Checks, Failure, Owner, Reason};
use crate::claims::{Claims, Named};
use crate::reference::{Comparable, Row, check_reference};
use crate::trust::Isolation;
use crate::value::{Hex, Value};

pub use body::{Attributes, TdBody};

/// Rules for trust domains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Refuse a domain into which the host can inject exceptions (SEPT_VE_DISABLE = 0). Domains
    /// under a paravisor run without it. Default: `true`.
    pub sept_ve_disable_required: bool,
    /// MRSERVICETD values of trusted service domains (migration agents). A domain that is
    /// migratable or has a service domain is accepted only with one of these. Default: none.
    pub service_tds: Vec<Hex<48>>,
    /// Which extended features (XFAM, as a number) a domain may use. Default: what TDX defines.
    pub xfam_allowed: u64,
    /// TDATTRIBUTES bits (as a number) that must be zero, beside those that always must.
    /// Default: 0.
    pub attributes_refused: u64,
    /// Refuse a quote without an event log that replays to its registers. Default: `false`.
    pub event_log_required: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            sept_ve_disable_required: true,
            service_tds: Vec::new(),
            xfam_allowed: XFAM_DEFINED,
            attributes_refused: 0,
            event_log_required: false,
        }
    }
}

/// A reference value for a trust domain; what is absent is not compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// What people call it.
    pub name: String,
    /// What was loaded at launch: the virtual firmware.
    pub mrtd: Hex<48>,
    /// The firmware's configuration.
    pub rtmr0: Option<Hex<48>>,
    /// Boot loader and kernel.
    pub rtmr1: Option<Hex<48>>,
    /// Operating system: initrd and command line.
    pub rtmr2: Option<Hex<48>>,
    /// What the running system measured.
    pub rtmr3: Option<Hex<48>>,
    /// MRCONFIGID, if the host contract uses it.
    pub mrconfigid: Option<Hex<48>>,
    /// MROWNER, if the host contract uses it.
    pub mrowner: Option<Hex<48>>,
    /// MROWNERCONFIG, if the host contract uses it.
    pub mrownerconfig: Option<Hex<48>>,
}

/// The measurements of one domain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    mrtd: Hex<48>,
    rtmrs: [Hex<48>; 4],
    mrconfigid: Hex<48>,
    mrowner: Hex<48>,
    mrownerconfig: Hex<48>,
}

impl Comparable for Reference {
    type Measured = Measured;

    fn name(&self) -> &str {
        &self.name
    }

    //= EV-TDX-1: MRTD, RTMRs, MRCONFIGID, MROWNER, MROWNERCONFIG
    fn compare(&self, measured: &Measured) -> Vec<Row> {
        let [rtmr0, rtmr1, rtmr2, rtmr3] = measured.rtmrs;
        [
            ("mrtd", Some(self.mrtd), measured.mrtd),
            ("rtmr0", self.rtmr0, rtmr0),
            ("rtmr1", self.rtmr1, rtmr1),
            ("rtmr2", self.rtmr2, rtmr2),
            ("rtmr3", self.rtmr3, rtmr3),
            ("mrconfigid", self.mrconfigid, measured.mrconfigid),
            ("mrowner", self.mrowner, measured.mrowner),
            ("mrownerconfig", self.mrownerconfig, measured.mrownerconfig),
        ]
        .into_iter()
        .filter_map(|(field, expected, seen)| {
            let expected = expected?;
            let ok = expected == seen;
            Some(Row { field, expected: expected.into(), seen: seen.into(), ok })
        })
        .collect()
    }
}

/// Appraises a TDX quote, by itself or in an RA-TLS certificate.
pub(crate) fn appraise(request: &Request<'_>, endorsements: &dcap::Endorsements) -> Appraisal {
    let carried = match Carried::read(request.evidence) {
        Ok(carried) => carried,
        Err(error) => return refuse(request, not_a_quote(error)),
    };
    let quote = match Quote::decode(&carried.quote) {
        Ok(quote) => quote,
        Err(error) => return refuse(request, not_a_quote(error)),
    };
    let Body::TrustDomain(body) = quote.body else {
        return refuse(
            request,
            not_a_quote(NotAQuote::Unsupported("an SGX quote as TDX evidence")),
        );
    };
    dcap::appraise(&quote, &body, &carried, endorsements, request)
}

impl Subject for TdBody<'_> {
    const ISOLATION: Isolation = Isolation::Machine;

    fn report_data(&self) -> &[u8; 64] {
        Self::report_data(self)
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        Self::fields(self)
    }

    fn check(&self, request: &Request<'_>, checks: &mut Checks) -> Option<String> {
        check_instance(self, request, checks)
    }

    fn claims(&self, authentic: &Authentic<'_>) -> Claims {
        claims(self, authentic)
    }
}

fn check_instance(body: &TdBody<'_>, request: &Request<'_>, checks: &mut Checks) -> Option<String> {
    checks.note(check_debug(body.attributes().has(Attributes::DEBUG), request.policy));
    check_attributes(body, request, checks);
    check_service_domain(body, &request.policy.tdx, checks);
    checks.note(check_xfam(body, &request.policy.tdx));
    checks.note(event_log::check(&body.rtmrs(), request));
    let measured = Measured {
        mrtd: Hex(*body.mr_td()),
        rtmrs: body.rtmrs().map(|register| Hex(*register)),
        mrconfigid: Hex(*body.mr_config_id()),
        mrowner: Hex(*body.mr_owner()),
        mrownerconfig: Hex(*body.mr_owner_config()),
    };
    let references = &request.reference.tdx;
    let (check, name) =
        check_reference("instance.reference", references, &measured, request.policy);
    checks.note(check);
    name
}

//= EV-TDX-2: TUD octet 0, SEPT_VE_DISABLE 1 unless opted out, reserved bits 0
fn check_attributes(body: &TdBody<'_>, request: &Request<'_>, checks: &mut Checks) {
    let (attributes, policy) = (body.attributes(), request.policy);
    let profiling = attributes.0 & Attributes::UNTRUSTED & !Attributes::DEBUG;
    let check = Check::new("tdx.untrusted-bits").seen(profiling).expected(0_u64);
    checks.note(check.holds(profiling == 0, || {
        configuration("start the domain without profiling: the host can watch it")
    }));
    let reserved = attributes.0 & !Attributes::KNOWN;
    let check = Check::new("tdx.reserved-bits").seen(reserved).expected(0_u64);
    checks.note(check.holds(reserved == 0, || {
        configuration("start the domain with attributes that TDX defines")
    }));
    let refused = attributes.0 & policy.tdx.attributes_refused;
    let check = Check::new("tdx.refused-bits").seen(refused).expected(0_u64).source("policy");
    checks.note(check.holds(refused == 0, || {
        configuration("start the domain without the attributes that the policy refuses")
    }));
    let set = attributes.has(Attributes::SEPT_VE_DISABLE);
    let check = Check::new("tdx.sept-ve-disable").seen(set).expected(true).source("policy");
    checks.note(check.holds(set || !policy.tdx.sept_ve_disable_required, || {
        configuration(
            "start the domain with SEPT_VE_DISABLE, or let the policy opt out for a paravisor",
        )
    }));
}

//= EV-TDX-2: MIGRATABLE 0 and MRSERVICETD 0 unless policy names the service TD
fn check_service_domain(body: &TdBody<'_>, policy: &Policy, checks: &mut Checks) {
    let service = body.mr_service_td();
    let named = service.is_some_and(|seen| policy.service_tds.iter().any(|td| td.0 == *seen));
    if let Some(seen) = service {
        let none = seen.iter().all(|&octet| octet == 0);
        let check = Check::new("tdx.service-td").seen(seen).expected("none, or one of the policy");
        checks.note(check.source("policy").holds(none || named, || {
            configuration("name this service domain in the policy, or start the domain without it")
        }));
    }
    let migratable = body.attributes().has(Attributes::MIGRATABLE);
    let check = Check::new("tdx.migratable").seen(migratable).expected(false).source("policy");
    checks.note(check.holds(!migratable || named, || {
        configuration("start a domain that cannot migrate, or name its migration agent")
    }));
}

/// x87 and SSE are always on; nothing that TDX does not define may be.
fn check_xfam(body: &TdBody<'_>, policy: &Policy) -> Check {
    let xfam = body.xfam_bits();
    let ok = xfam & XFAM_ALWAYS == XFAM_ALWAYS && xfam & !policy.xfam_allowed == 0;
    let check = Check::new("tdx.xfam").seen(format!("{xfam:#x}"));
    let check = check.expected(format!("within {:#x}", policy.xfam_allowed)).source("policy");
    check.holds(ok, || configuration("start the domain with the features that the policy allows"))
}

fn claims(body: &TdBody<'_>, authentic: &Authentic<'_>) -> Claims {
    let mut claims = Claims::new(Kind::Tdx, body.report_data());
    claims.generation = Some(if body.tee_tcb_svn2().is_some() { "TDX 1.5" } else { "TDX 1.0" });
    claims.instance_id = Some(instance_id(authentic));
    claims.measurements.push(Named::new("mrtd", body.mr_td()));
    claims.measurements.push(Named::new("mrseam", body.mr_seam()));
    for (name, value) in REGISTERS.into_iter().zip(body.rtmrs()) {
        claims.registers.push(Named::new(name, value));
    }
    claims.signers.push(Named::new("mrsignerseam", body.mr_signer_seam()));
    for (name, value) in [
        ("mrconfigid", body.mr_config_id()),
        ("mrowner", body.mr_owner()),
        ("mrownerconfig", body.mr_owner_config()),
    ] {
        if value.iter().any(|&octet| octet != 0) {
            claims.signers.push(Named::new(name, value));
        }
    }
    claims.debug = Some(body.attributes().has(Attributes::DEBUG));
    claims
}

fn configuration(remedy: &'static str) -> Failure {
    Failure::new(Reason::ConfigurationNotAllowed, Owner::DeviceOperator, remedy)
}

pub(crate) const REGISTERS: [&str; 4] = ["rtmr0", "rtmr1", "rtmr2", "rtmr3"];
/// XFAM bits that are always one.
const XFAM_ALWAYS: u64 = 0x3;
/// XFAM bits that may be one.
const XFAM_DEFINED: u64 = 0x0006_dbe7;
