//! SGX and TDX quotes, against `dcap-qvl` with its `ring` back-end.

use std::path::Path;

use anyhow::{Context as _, Result};
use aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED;
use bench::{Row, seconds};
use dcap_qvl::QuoteCollateralV3;
use dcap_qvl::verify::QuoteVerifier;
use verifier::evidence::dcap;
use verifier::evidence::dcap::tcb::TcbStatus;
use verifier::{Anchors, Kind, Policy, Timestamp};

use super::{COLD_GOAL, Recorded, WARM_GOAL};
use crate::bare::Signed;
use crate::vectors::{collateral, expected, read, read_text};

/// One recorded quote.
struct Quote {
    name: &'static str,
    kind: Kind,
    folder: &'static str,
    collateral: &'static str,
    /// Octets of header and body, which the quote's signature covers.
    signed: usize,
}

pub(super) fn measure(evidence: &Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for quote in &QUOTES {
        rows.extend(measure_one(quote, evidence)?);
    }
    Ok(rows)
}

fn measure_one(quote: &Quote, evidence: &Path) -> Result<[Row; 4]> {
    let folder = evidence.join(quote.folder);
    let endorsements = folder.join(quote.collateral);
    let recorded = Recorded {
        kind: quote.kind,
        evidence: read(&folder.join("quote.bin"))?,
        collateral: collateral(&endorsements)?,
        anchors: Anchors::vendors(),
        policy: policy(),
        user_data: None,
        now: Timestamp(time(&folder, quote.collateral)?),
    };
    let prepared = recorded.prepare();
    recorded.appraise(&prepared)?;
    let bare = signature(&recorded.evidence, quote.signed)?;
    let peer = QuoteVerifier::new_prod();
    let peers_collateral = peers_collateral(&endorsements)?;
    let now = u64::try_from(recorded.now.0)?;
    let peer_verifies = || peer.verify(&recorded.evidence, &peers_collateral, now);
    peer_verifies()?;

    let [cold, warm, one, peer] = seconds([
        &mut || recorded.cold(),
        &mut || recorded.appraise(&prepared).expect("it was accepted before"),
        &mut || bare.verify(),
        &mut || {
            peer_verifies().expect("it was accepted before");
        },
    ]);
    let name = quote.name;
    Ok([
        Row::of_peer(format!("{name} cold, to dcap-qvl"), [cold, peer], 1.0),
        Row::of_floor(format!("{name} cold, to 9 verifications"), [cold, 9.0 * one], COLD_GOAL),
        Row::of_floor(format!("{name} warm, to 1 verification"), [warm, one], WARM_GOAL),
        Row::of_peer(format!("{name} warm, to dcap-qvl"), [warm, peer], 8.0),
    ])
}

/// The signature over header and body by the attestation key that follows it.
fn signature(quote: &[u8], signed: usize) -> Result<Signed> {
    let (message, rest) = quote.split_at_checked(signed).context("a quote")?;
    // r ‖ s, then x ‖ y, after the length of what follows.
    let (made, key) = rest.get(4..132).context("a quote")?.split_at(64);
    Signed::new(&ECDSA_P256_SHA256_FIXED, &[&[4], key].concat(), message, made)
}

/// The time for which this collateral was recorded.
fn time(folder: &Path, collateral: &str) -> Result<i64> {
    let expected = expected(folder)?;
    let cases = expected["cases"].as_array().into_iter().flatten();
    let case = cases.into_iter().find(|case| case["collateral"] == collateral);
    case.and_then(|case| case["verify_at_unix"].as_i64()).context("a case with a time")
}

fn peers_collateral(folder: &Path) -> Result<QuoteCollateralV3> {
    let text = |name: &str| read_text(&folder.join(name));
    let signature = |name: &str| -> Result<_> { Ok(hex::decode(text(name)?.trim_end())?) };
    Ok(QuoteCollateralV3 {
        pck_crl_issuer_chain: text("pck_crl_issuer_chain.pem")?,
        root_ca_crl: read(&folder.join("root_ca_crl.der"))?,
        pck_crl: read(&folder.join("pck_crl.der"))?,
        tcb_info_issuer_chain: text("tcb_signing_chain.pem")?,
        tcb_info: text("tcb_info.json")?,
        tcb_info_signature: signature("tcb_info.sig.hex")?,
        qe_identity_issuer_chain: text("tcb_signing_chain.pem")?,
        qe_identity: text("qe_identity.json")?,
        qe_identity_signature: signature("qe_identity.sig.hex")?,
        pck_certificate_chain: None,
    })
}

/// What the peer's plain verification accepts.
fn policy() -> Policy {
    let statuses = [
        TcbStatus::UpToDate,
        TcbStatus::SwHardeningNeeded,
        TcbStatus::ConfigurationNeeded,
        TcbStatus::ConfigurationAndSwHardeningNeeded,
    ];
    let dcap = dcap::Policy {
        tcb_statuses: statuses.to_vec(),
        evaluation_min: 0,
        ..dcap::Policy::default()
    };
    Policy { reference_required: false, dcap, ..Policy::default() }
}

const QUOTES: [Quote; 2] = [
    Quote {
        name: "SGX v3",
        kind: Kind::Sgx,
        folder: "sgx/v3-xeone-cfgsw",
        collateral: "collateral-2025-06",
        signed: 432,
    },
    Quote {
        name: "TDX v4",
        kind: Kind::Tdx,
        folder: "tdx/v4-emr-uptodate",
        collateral: "collateral-2025-06",
        signed: 632,
    },
];
