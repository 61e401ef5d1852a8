//! Whether a quote comes from where it claims: signatures, chain, revocation, validity.

use std::sync::Arc;

use super::collateral::{VerifiedCollateral, Window, certificate_window, check_authority};
use super::pck::Platform;
use super::quote::{Body, Certification, Quote};
use super::tcb::{Tee, equal_under};
use super::{Endorsements, State};
use crate::anchor::{Anchor, Vendor};
use crate::check::{Check, Checks, Failure, Owner, Reason, Stop};
use crate::crypto::{sha256_of, verify_p256_raw};
use crate::evidence::sgx::Flags;
use crate::evidence::{Request, check_standing};
use crate::policy::Policy;
use crate::x509::{Certificate, decode_pem};

/// What an authentic quote has shown.
#[derive(Debug)]
pub(crate) struct Authentic<'e> {
    /// The platform that Intel certified.
    pub(crate) platform: Platform,
    /// The collateral for this platform; absent only where the policy does not require it.
    pub(crate) collateral: Option<&'e VerifiedCollateral>,
}

/// A platform and its attestation key, as verified under one set of collateral: everything about
/// a quote that depends neither on its body nor on policy and time.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    anchor: Anchor,
    platform: Platform,
    /// When the certificates in the quote are valid.
    windows: [Window; 3],
    /// What was checked, for the explanation.
    checks: Vec<Check>,
}

/// Checks everything that makes a quote authentic, in the order of EV-COM-2. The anchor is set as
/// soon as it is known, so that a refusal can still tell emulated from real.
pub(crate) fn authenticate<'e>(
    quote: &Quote<'_>,
    endorsements: &'e Endorsements,
    request: &Request<'_>,
    anchor: &mut Option<Anchor>,
    checks: &mut Checks,
) -> Result<Authentic<'e>, Stop> {
    check_quote(quote, checks)?;
    let known = known_platform(quote, endorsements, anchor, checks).inspect_err(|Stop| {
        // What else is missing belongs into the same answer.
        if matches!(endorsements.collateral, State::Absent) {
            checks.note(check_absence(request.policy));
        }
    })?;
    *anchor = Some(known.anchor.clone());
    checks.need(check_standing(&known.anchor, request.policy))?;
    let collateral = match &endorsements.collateral {
        State::Verified(collateral) => Some(&**collateral),
        State::Absent | State::Refused(_) => {
            checks.need(check_absence(request.policy))?;
            None
        }
    };
    checks.need(check_windows(&known.windows, collateral, request))?;
    Ok(Authentic { platform: known.platform.clone(), collateral })
}

/// Looks the platform up, or verifies it in full and remembers it.
//= EV-PERF-1: (QE report, attestation key, PCK chain) by the hash of all authenticated inputs
fn known_platform(
    quote: &Quote<'_>,
    endorsements: &Endorsements,
    anchor: &mut Option<Anchor>,
    checks: &mut Checks,
) -> Result<Arc<Known>, Stop> {
    let tee = tee(quote);
    let pem = chain_bytes(quote, endorsements, checks)?;
    let length = quote.authentication_data.len().to_le_bytes();
    let key = sha256_of(&[
        &[tee as u8],
        quote.attestation_key,
        quote.qe_report.as_bytes(),
        quote.qe_report_signature,
        &length,
        quote.authentication_data,
        pem,
    ]);
    if let Some(known) = endorsements.known.find(&key) {
        known.checks.iter().for_each(|check| checks.note(check.clone()));
        return Ok(known);
    }
    let mut own = Checks::default();
    let found = verify_platform(quote, tee, pem, endorsements, anchor, &mut own);
    let noted = own.into_check("platform").children;
    noted.iter().for_each(|check| checks.note(check.clone()));
    let (anchor, platform, windows) = found?;
    let known = Arc::new(Known { anchor, platform, windows, checks: noted });
    endorsements.known.insert(key, known.clone());
    Ok(known)
}

fn verify_platform(
    quote: &Quote<'_>,
    tee: Tee,
    pem: &[u8],
    endorsements: &Endorsements,
    anchor_found: &mut Option<Anchor>,
    checks: &mut Checks,
) -> Result<(Anchor, Platform, [Window; 3]), Stop> {
    checks.need(check_qe_binding(quote))?;
    let chain = decode_pem(pem).or_else(|error| checks.fail(bad_chain(error.0)))?;
    let [leaf, authority, root] = decode_chain(&chain, checks)?;
    checks.need(check_qe_signature(quote, &leaf))?;
    let collateral = match &endorsements.collateral {
        State::Verified(collateral) => Some(&**collateral),
        State::Absent | State::Refused(_) => None,
    };
    check_chain(&leaf, &authority, &root, collateral, checks)?;
    let anchor = endorsements.anchors.find(Vendor::Intel, &root.spki_sha256());
    let Some(anchor) = anchor.cloned() else { return checks.fail(untrusted_root(&root)) };
    checks.note(Check::new("dcap.pck.root").seen(&anchor.spki_sha256.0).source("trust anchors"));
    *anchor_found = Some(anchor.clone());
    let platform = Platform::decode(&leaf).or_else(|error| checks.fail(bad_chain(error.0)))?;
    if let State::Refused(check) = &endorsements.collateral {
        let children = vec![(**check).clone()];
        return checks.fail(Check { ok: false, children, ..Check::new("dcap.collateral") });
    }
    if let Some(collateral) = collateral {
        let check = Check::new("dcap.collateral").seen("every signature holds");
        checks.note(check.source(collateral.tcb_source.clone()));
        check_same_chain(collateral, &anchor, &authority, checks)?;
        check_revocation(collateral, &leaf, &authority, checks)?;
        check_match(collateral, tee, &platform, checks)?;
        check_qe_identity(collateral, quote, checks)?;
    }
    let windows = [
        certificate_window("PCK certificate", &leaf),
        certificate_window("PCK CA certificate in the quote", &authority),
        certificate_window("root certificate in the quote", &root),
    ];
    Ok((anchor, platform, windows))
}

/// Checks that newer collateral is for the platform and the quoting enclave of a quote.
pub(super) fn check_newer(
    quote: &Quote<'_>,
    collateral: &VerifiedCollateral,
    platform: &Platform,
    checks: &mut Checks,
) -> Result<(), Stop> {
    check_match(collateral, tee(quote), platform, checks)?;
    check_qe_identity(collateral, quote, checks)
}

const fn tee(quote: &Quote<'_>) -> Tee {
    match quote.body {
        Body::Enclave(_) => Tee::Sgx,
        Body::TrustDomain(_) => Tee::Tdx,
    }
}

fn check_quote(quote: &Quote<'_>, checks: &mut Checks) -> Result<(), Stop> {
    //= EV-DCAP-1: the Intel QE vendor id
    let vendor = Check::new("dcap.quote.vendor").seen(quote.vendor).expected(&INTEL_QE);
    checks.need(vendor.holds(*quote.vendor == INTEL_QE, || {
        Failure::new(
            Reason::Unsupported,
            Owner::Attester,
            "quote with Intel's quoting enclave; others are not appraised",
        )
    }))?;
    //= EV-DCAP-2: quote signature by the attestation key over header and body
    let ok = verify_p256_raw(quote.attestation_key, quote.signed, quote.signature);
    checks.need(Check::new("dcap.quote.signature").holds(ok, || {
        tampered("send the quote again as the quoting enclave made it: header or body changed")
    }))
}

//= EV-DCAP-3: the hash of key and authentication data, then 32 zeros
fn check_qe_binding(quote: &Quote<'_>) -> Check {
    let mut expected = [0; 64];
    let parts: [&[u8]; 2] = [quote.attestation_key, quote.authentication_data];
    expected[..32].copy_from_slice(&sha256_of(&parts));
    let seen = quote.qe_report.report_data();
    let check = Check::new("dcap.qe.binding").seen(seen).expected(&expected);
    check.source("attestation key in the quote").holds(*seen == expected, || {
        tampered("send a quote whose attestation key the quoting enclave reported")
    })
}

fn chain_bytes<'a>(
    quote: &Quote<'a>,
    endorsements: &'a Endorsements,
    checks: &mut Checks,
) -> Result<&'a [u8], Stop> {
    match (quote.certification, &endorsements.pck_chain) {
        (Certification::Chain(pem), _) => Ok(pem),
        (Certification::PlatformId(_), Some(pem)) => Ok(pem),
        (Certification::PlatformId(kind), None) => {
            let check = Check::new("dcap.pck.present").seen(kind).source("certification data type");
            checks.fail(check.expected("a PCK chain").holds(false, || {
                Failure::new(
                    Reason::MissingEndorsement,
                    Owner::EndorsementProvider,
                    "supply pck_chain.pem for this platform, or have the device cache its PCK \
                     certificate so that quotes carry it",
                )
            }))
        }
    }
}

fn decode_chain<'c>(
    chain: &'c [Vec<u8>],
    checks: &mut Checks,
) -> Result<[Certificate<'c>; 3], Stop> {
    let [leaf, authority, root] = chain else {
        return checks.fail(bad_chain("PCK, PCK CA and root certificates"));
    };
    let mut decode = |bytes: &'c [u8]| {
        Certificate::decode(bytes).or_else(|error| checks.fail(bad_chain(error.0)))
    };
    Ok([decode(leaf)?, decode(authority)?, decode(root)?])
}

//= EV-DCAP-4: QE report signature by the PCK leaf key
fn check_qe_signature(quote: &Quote<'_>, leaf: &Certificate<'_>) -> Check {
    let report = quote.qe_report.as_bytes();
    let ok = leaf.public_key().is_ok_and(|key| key.verify_fixed(report, quote.qe_report_signature));
    Check::new("dcap.qe.signature").holds(ok, || {
        tampered("send a quote whose quoting enclave report is signed by the platform's PCK")
    })
}

//= EV-DCAP-5: PCK, PCK CA, root
fn check_chain(
    leaf: &Certificate<'_>,
    authority: &Certificate<'_>,
    root: &Certificate<'_>,
    verified: Option<&VerifiedCollateral>,
    checks: &mut Checks,
) -> Result<(), Stop> {
    let known = verified.is_some_and(|verified| {
        verified.pck_authority == authority.raw && verified.root == root.raw
    });
    if !known {
        if let Err(check) = check_authority(authority, root, "PCK chain of the quote") {
            return checks.fail(Check { name: "dcap.pck.chain", ..*check });
        }
        let ok = root.is_signed_by(root);
        checks.need(
            Check::new("dcap.pck.chain")
                .source("root certificate")
                .holds(ok, || tampered("send the root certificate as its owner signed it")),
        )?;
    }
    let ok = leaf.may_sign_data() && leaf.is_signed_by(authority);
    let check = Check::new("dcap.pck.chain").source("PCK chain of the quote");
    checks.need(check.holds(ok, || tampered("send the PCK certificate as the PCK CA signed it")))
}

fn check_absence(policy: &Policy) -> Check {
    let required = policy.dcap.collateral_required;
    let check = Check::new("dcap.collateral").seen("none supplied").source("policy");
    check.holds(!required, || {
        Failure::new(
            Reason::MissingEndorsement,
            Owner::EndorsementProvider,
            "supply TCB info, QE identity and revocation lists for this platform",
        )
    })
}

/// One anchor for quote and collateral: an emulator's collateral says nothing about hardware.
fn check_same_chain(
    collateral: &VerifiedCollateral,
    anchor: &Anchor,
    authority: &Certificate<'_>,
    checks: &mut Checks,
) -> Result<(), Stop> {
    let ok = collateral.anchor == *anchor;
    let check =
        Check::new("dcap.collateral.anchor").seen(collateral.anchor.name.clone().into_owned());
    checks.need(check.expected(anchor.name.clone().into_owned()).holds(ok, || {
        Failure::new(
            Reason::UntrustedRoot,
            Owner::EndorsementProvider,
            "supply collateral under the same root as the quote",
        )
    }))?;
    let supplied = Certificate::decode(&collateral.pck_authority);
    let ok = supplied.is_ok_and(|supplied| {
        supplied.spki == authority.spki && supplied.subject == authority.subject
    });
    let name = authority.common_name().unwrap_or_default().to_owned();
    let check = Check::new("dcap.collateral.pck-crl").source(name);
    checks.need(check.holds(ok, || {
        Failure::new(
            Reason::MissingEndorsement,
            Owner::EndorsementProvider,
            "supply the revocation list of the authority that issued this PCK",
        )
    }))
}

//= EV-DCAP-6: no certificate on the path is listed
//= rats 11.26 (M): revoked, expired, wrong root and old TCB are each a check of their own
fn check_revocation(
    collateral: &VerifiedCollateral,
    leaf: &Certificate<'_>,
    authority: &Certificate<'_>,
    checks: &mut Checks,
) -> Result<(), Stop> {
    let revoked = [
        ("PCK CA certificate", collateral.root_revokes(authority.serial)),
        ("PCK certificate", collateral.authority_revokes(leaf.serial)),
    ];
    for (what, revoked) in revoked {
        checks.need(Check::new("dcap.pck.revocation").source(what).holds(!revoked, || {
            Failure::new(
                Reason::Revoked,
                Owner::DeviceOperator,
                "take this platform out of service: its certificate was revoked by the vendor",
            )
        }))?;
    }
    Ok(())
}

fn check_windows(
    windows: &[Window],
    collateral: Option<&VerifiedCollateral>,
    request: &Request<'_>,
) -> Check {
    let all = || windows.iter().chain(collateral.iter().flat_map(|known| &known.windows));
    let check = Check::new("dcap.validity").seen(request.now);
    let wrong = all().find_map(|window| Some((window, window.reason_at(request.now)?)));
    let Some((window, reason)) = wrong else {
        let until = all().min_by_key(|window| window.until);
        return match until {
            Some(window) => check.expected(window.until).source(window.what),
            None => check,
        };
    };
    let bound = if reason == Reason::Expired { window.until } else { window.from };
    check.expected(bound).source(window.what).holds(false, || {
        let remedy = format!(
            "fetch the {} that is valid at the time of the appraisal, or check the clock",
            window.what
        );
        Failure::new(reason, Owner::EndorsementProvider, remedy)
    })
}

//= EV-DCAP-7: right TEE; FMSPC and PCE id equal those of the PCK
fn check_match(
    collateral: &VerifiedCollateral,
    tee: Tee,
    platform: &Platform,
    checks: &mut Checks,
) -> Result<(), Stop> {
    let other = || {
        Failure::new(
            Reason::MissingEndorsement,
            Owner::EndorsementProvider,
            "supply collateral for this platform: what came is for another one",
        )
    };
    let (tcb_info, qe_identity) = (&collateral.tcb_info, &collateral.qe_identity);
    let ok = tcb_info.tee == tee && qe_identity.tee == tee;
    checks.need(Check::new("dcap.collateral.tee").holds(ok, other))?;
    let check = Check::new("dcap.collateral.fmspc").seen(&tcb_info.fmspc).expected(&platform.fmspc);
    let check = check.source("PCK certificate");
    checks.need(check.holds(tcb_info.fmspc == platform.fmspc, other))?;
    let check = Check::new("dcap.collateral.pce-id").seen(&tcb_info.pce_id);
    let check = check.expected(&platform.pce_id).source("PCK certificate");
    checks.need(check.holds(tcb_info.pce_id == platform.pce_id, other))
}

//= EV-DCAP-8: signer, product, MISCSELECT and ATTRIBUTES under masks, not debug
fn check_qe_identity(
    collateral: &VerifiedCollateral,
    quote: &Quote<'_>,
    checks: &mut Checks,
) -> Result<(), Stop> {
    let (identity, report) = (&collateral.qe_identity, quote.qe_report);
    let fields = [
        ("dcap.qe.mrsigner", *report.mr_signer() == identity.mr_signer),
        ("dcap.qe.isvprodid", report.isv_prod_id() == identity.isv_prod_id),
        (
            "dcap.qe.miscselect",
            equal_under(report.misc_select(), &identity.misc_select_mask, &identity.misc_select),
        ),
        (
            "dcap.qe.attributes",
            equal_under(report.attributes(), &identity.attributes_mask, &identity.attributes),
        ),
        ("dcap.qe.debug", !report.flags().has(Flags::DEBUG)),
    ];
    for (name, ok) in fields {
        let check = Check::new(name).source(collateral.qe_source.clone());
        checks.need(check.holds(ok, || {
            Failure::new(
                Reason::MeasurementMismatch,
                Owner::DeviceOperator,
                "quote with the vendor's production quoting enclave",
            )
        }))?;
    }
    Ok(())
}

fn tampered(remedy: &'static str) -> Failure {
    Failure::new(Reason::BadSignature, Owner::Attester, remedy)
}

fn bad_chain(expected: &'static str) -> Check {
    Check::new("dcap.pck.format").expected(expected).holds(false, || {
        Failure::new(
            Reason::Malformed,
            Owner::Attester,
            "send the PCK chain as the vendor issued it",
        )
    })
}

fn untrusted_root(root: &Certificate<'_>) -> Check {
    let check = Check::new("dcap.pck.root").seen(&root.spki_sha256()).source("trust anchors");
    check.expected("the key of a listed anchor").holds(false, || {
        Failure::new(
            Reason::UntrustedRoot,
            Owner::PolicyOwner,
            "list the emulator's root if you mean to trust it; otherwise this hardware is not \
             the vendor's",
        )
    })
}

/// 939a7233-f79c-4ca9-940a-0db3957f0607, as bytes.
const INTEL_QE: [u8; 16] = [
    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
];
