//! Intel SGX enclaves: quote version 3, and SGX in versions 4 and 5.

mod body;

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

pub use body::{Flags, ReportBody};

/// Rules for SGX enclaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Accept an enclave that can derive the provisioning key. Default: `false`.
    pub provision_key_allowed: bool,
    /// Accept an enclave that can derive the launch key. Default: `false`.
    pub einittoken_key_allowed: bool,
}

/// A reference value for an enclave: MRENCLAVE, or MRSIGNER with ISVPRODID and a lowest ISVSVN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Spelling", into = "Spelling")]
pub struct Reference {
    name: String,
    identity: Identity,
    isvsvn_min: Option<u16>,
    config_id: Option<Hex<64>>,
    config_svn_min: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identity {
    Enclave(Hex<32>),
    Signer(Hex<32>, u16),
}

/// A reference value as it is written in TOML.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spelling {
    /// What people call it.
    pub name: String,
    /// The measurement of the enclave.
    pub mrenclave: Option<Hex<32>>,
    /// The measurement of the signer's key; needs `isvprodid` and `isvsvn_min`.
    pub mrsigner: Option<Hex<32>>,
    /// The signer's number of the product.
    pub isvprodid: Option<u16>,
    /// The lowest security version.
    pub isvsvn_min: Option<u16>,
    /// CONFIGID, for enclaves with key separation and sharing.
    pub config_id: Option<Hex<64>>,
    /// The lowest CONFIGSVN.
    pub config_svn_min: Option<u16>,
}

/// A reference value names no enclave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an SGX reference value needs mrenclave, or mrsigner with isvprodid and isvsvn_min")]
pub struct NoIdentity;

impl Reference {
    /// Exactly one enclave.
    #[must_use]
    pub const fn enclave(name: String, mrenclave: [u8; 32]) -> Self {
        Self {
            name,
            identity: Identity::Enclave(Hex(mrenclave)),
            isvsvn_min: None,
            config_id: None,
            config_svn_min: None,
        }
    }
}

impl TryFrom<Spelling> for Reference {
    type Error = NoIdentity;

    //= EV-SGX-1: MRENCLAVE, or MRSIGNER + ISVPRODID + minimum ISVSVN
    fn try_from(spelt: Spelling) -> Result<Self, NoIdentity> {
        let identity = match (spelt.mrenclave, spelt.mrsigner, spelt.isvprodid) {
            (Some(enclave), None, None) => Identity::Enclave(enclave),
            (None, Some(signer), Some(product)) if spelt.isvsvn_min.is_some() => {
                Identity::Signer(signer, product)
            }
            _ => return Err(NoIdentity),
        };
        Ok(Self {
            name: spelt.name,
            identity,
            isvsvn_min: spelt.isvsvn_min,
            config_id: spelt.config_id,
            config_svn_min: spelt.config_svn_min,
        })
    }
}

impl From<Reference> for Spelling {
    fn from(reference: Reference) -> Self {
        let (mrenclave, mrsigner, isvprodid) = match reference.identity {
            Identity::Enclave(enclave) => (Some(enclave), None, None),
            Identity::Signer(signer, product) => (None, Some(signer), Some(product)),
        };
        Self {
            name: reference.name,
            mrenclave,
            mrsigner,
            isvprodid,
            isvsvn_min: reference.isvsvn_min,
            config_id: reference.config_id,
            config_svn_min: reference.config_svn_min,
        }
    }
}

impl Comparable for Reference {
    type Measured = Measured;

    fn name(&self) -> &str {
        &self.name
    }

    fn compare(&self, measured: &Measured) -> Vec<Row> {
        let equal = |field, expected: Value, seen: Value| {
            let ok = expected == seen;
            Row { field, expected, seen, ok }
        };
        let at_least = |field, min: u16, seen: u16| {
            let expected = Value::from(format!("at least {min}"));
            Row { field, expected, seen: seen.into(), ok: seen >= min }
        };
        let mut rows = match self.identity {
            Identity::Enclave(enclave) => {
                vec![equal("mrenclave", enclave.into(), measured.mr_enclave.into())]
            }
            Identity::Signer(signer, product) => vec![
                equal("mrsigner", signer.into(), measured.mr_signer.into()),
                equal("isvprodid", product.into(), measured.isv_prod_id.into()),
            ],
        };
        rows.extend(self.isvsvn_min.map(|min| at_least("isvsvn", min, measured.isv_svn)));
        rows.extend(
            self.config_id.map(|id| equal("config_id", id.into(), measured.config_id.into())),
        );
        let config_svn = self.config_svn_min;
        rows.extend(config_svn.map(|min| at_least("config_svn", min, measured.config_svn)));
        rows
    }
}

/// The measurements of one enclave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    mr_enclave: Hex<32>,
    mr_signer: Hex<32>,
    isv_prod_id: u16,
    isv_svn: u16,
    config_id: Hex<64>,
    config_svn: u16,
}

/// Appraises an SGX quote, by itself or in an RA-TLS certificate.
pub(crate) fn appraise(request: &Request<'_>, endorsements: &dcap::Endorsements) -> Appraisal {
    let carried = match Carried::read(request.evidence) {
        Ok(carried) => carried,
        Err(error) => return refuse(request, not_a_quote(error)),
    };
    let quote = match Quote::decode(&carried.quote) {
        Ok(quote) => quote,
        Err(error) => return refuse(request, not_a_quote(error)),
    };
    let Body::Enclave(body) = quote.body else {
        return refuse(request, not_a_quote(NotAQuote::Unsupported("a TDX quote as SGX evidence")));
    };
    dcap::appraise(&quote, &body, &carried, endorsements, request)
}

impl Subject for ReportBody<'_> {
    const ISOLATION: Isolation = Isolation::Process;

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

//= EV-SGX-1: DEBUG=0, INIT=1, PROVISIONKEY and EINITTOKENKEY 0 unless allowed
fn check_instance(
    body: &ReportBody<'_>,
    request: &Request<'_>,
    checks: &mut Checks,
) -> Option<String> {
    let (flags, policy) = (body.flags(), request.policy);
    checks.note(check_debug(flags.has(Flags::DEBUG), policy));
    let init = flags.has(Flags::INIT);
    checks.note(
        Check::new("sgx.init")
            .seen(init)
            .expected(true)
            .holds(init, || configuration("attest after the enclave was initialised")),
    );
    let keys = [
        ("sgx.provision-key", Flags::PROVISION_KEY, policy.sgx.provision_key_allowed),
        ("sgx.einittoken-key", Flags::EINITTOKEN_KEY, policy.sgx.einittoken_key_allowed),
    ];
    for (name, flag, allowed) in keys {
        let set = flags.has(flag);
        let check = Check::new(name).seen(set).expected(false).source("policy");
        checks.note(check.holds(!set || allowed, || {
            configuration("sign the enclave without this attribute: it has no use for that key")
        }));
    }
    let measured = Measured {
        mr_enclave: Hex(*body.mr_enclave()),
        mr_signer: Hex(*body.mr_signer()),
        isv_prod_id: body.isv_prod_id(),
        isv_svn: body.isv_svn(),
        config_id: Hex(*body.config_id()),
        config_svn: body.config_svn(),
    };
    let (check, name) =
        check_reference("instance.reference", &request.reference.sgx, &measured, policy);
    checks.note(check);
    name
}

fn claims(body: &ReportBody<'_>, authentic: &Authentic<'_>) -> Claims {
    let flags = body.flags();
    let mut claims = Claims::new(Kind::Sgx, body.report_data());
    claims.instance_id = Some(instance_id(authentic));
    claims.measurements.push(Named::new("mrenclave", body.mr_enclave()));
    claims.signers.push(Named::new("mrsigner", body.mr_signer()));
    if flags.has(Flags::KSS) {
        claims.registers.push(Named::new("configid", body.config_id()));
        claims.svns.push(("configsvn", body.config_svn().into()));
    }
    claims.product_id = Some(body.isv_prod_id().into());
    claims.svns.push(("isvsvn", body.isv_svn().into()));
    claims.debug = Some(flags.has(Flags::DEBUG));
    claims
}

fn configuration(remedy: &'static str) -> Failure {
    Failure::new(Reason::ConfigurationNotAllowed, Owner::AgentProvider, remedy)
}
