//! SEV-SNP reports, against the crate `sev` with its back-end in Rust.

use std::path::Path;

use anyhow::Result;
use bench::{Row, seconds};
use sev::certs::snp::{Certificate, Chain, Verifiable as _, ca};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser as _;
use verifier::evidence::snp;
use verifier::evidence::snp::MinimumTcb;
use verifier::evidence::snp::product::Product;
use verifier::{Anchors, Collateral, Kind, Policy, Timestamp};

use super::{COLD_GOAL, Recorded, WARM_GOAL};
use crate::bare::Signed;
use crate::vectors::read;

pub(super) fn measure(evidence: &Path) -> Result<[Row; 4]> {
    let folder = evidence.join("sev-snp/milan-v2-vcek");
    let authorities = evidence.join("sev-snp/vendor-certs/milan");
    let report = read(&folder.join("report.bin"))?;
    let vek = read(&folder.join("vcek.der"))?;
    let [ask, ark] = ["ask.pem", "ark.pem"].map(|name| read(&authorities.join(name)));
    let (ask, ark) = (ask?, ark?);
    let recorded = Recorded {
        kind: Kind::SevSnp,
        evidence: report.clone(),
        collateral: Collateral::from_files([("vcek.der", vek.clone())]),
        anchors: Anchors::vendors(),
        policy: policy(),
        user_data: None,
        now: Timestamp(1_685_733_823),
    };
    let prepared = recorded.prepare();
    recorded.appraise(&prepared)?;
    let (report_signature, authority) = (Signed::with_p384(672)?, Signed::with_rsa_4096(1200)?);
    let peer_verifies = || -> Result<()> {
        let certificates =
            ca::Chain { ark: Certificate::from_pem(&ark)?, ask: Certificate::from_pem(&ask)? };
        let chain = Chain { ca: certificates, vek: Certificate::from_der(&vek)? };
        let report = AttestationReport::from_bytes(&report)?;
        Ok((&chain, &report).verify()?)
    };
    peer_verifies()?;

    let [cold, warm, p384, rsa, peer] = seconds([
        &mut || recorded.cold(),
        &mut || recorded.appraise(&prepared).expect("it was accepted before"),
        &mut || report_signature.verify(),
        &mut || authority.verify(),
        &mut || peer_verifies().expect("it was accepted before"),
    ]);
    // The authority's own certificate is built in, and verified before.
    let whole = p384 + rsa;
    Ok([
        Row::of_peer("SEV-SNP cold, to sev", [cold, peer], 1.0),
        Row::of_floor("SEV-SNP cold, to RSA-4096 and P-384", [cold, whole], COLD_GOAL),
        Row::of_floor("SEV-SNP warm, to P-384", [warm, p384], WARM_GOAL),
        Row::of_peer("SEV-SNP warm, to sev", [warm, peer], 8.0),
    ])
}

/// What signatures and chain alone decide, as the peer's verification does.
fn policy() -> Policy {
    let minimum = |product| MinimumTcb { snp: 4, ..MinimumTcb::none(product) };
    let snp = snp::Policy {
        revocation_list_required: false,
        tcb_min: Product::ALL.map(minimum).into(),
        platform_required: Vec::new(),
        ..snp::Policy::default()
    };
    Policy { reference_required: false, snp, ..Policy::default() }
}
