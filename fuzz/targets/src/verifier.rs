//! Hardware evidence and what endorses it.

use std::sync::LazyLock;

use cose::Signer as _;
use cose::cbor::encode;
use minicbor::data::Tag;
use verifier::anchor::{Listed, Vendor as Family};
use verifier::evidence::EventLog;
use verifier::evidence::arm::{HashAlgorithm, PlatformClaims, RealmClaims, rem};
use verifier::evidence::dcap::pck::Platform;
use verifier::evidence::dcap::quote::{Body, Quote};
use verifier::evidence::dcap::tcb::{QeIdentity, TcbInfo};
use verifier::evidence::sgx::{Flags, ReportBody};
use verifier::evidence::snp::container::Container;
use verifier::evidence::snp::report::Report;
use verifier::evidence::tdx::event_log::{self, NotTheLog};
use verifier::evidence::trustzone::psa::PsaClaims;
use verifier::value::Hex;
use verifier::x509::{Certificate, RevocationList, decode_pem, decode_public_key_pem};
use verifier::{
    Anchors, Appraisal, Collateral, Endorsements, Kind, Policy, ReferenceValues, Request,
    TeepEvidence, Timestamp, UserData, teep,
};

use crate::intel::{self, Shape, World};
use crate::known::{ESP256, REALM};
use crate::script::Script;
use crate::teep::sealed_by;

/// SGX quotes: as they are nobody accepts them; signed again by a vendor made for this run, only
/// production instances of the reference pass.
pub fn verifier_sgx(bytes: &[u8]) {
    quote(bytes);
    never_accepted(Kind::Sgx, bytes, None);
    let Some((signed, again)) = resigned(bytes) else { return };
    let appraisal = appraise(Kind::Sgx, &again, None);
    if appraisal.accepted() {
        let body = signed.first_chunk().map(ReportBody::new).expect("the body of an enclave");
        assert_eq!(*body.mr_enclave(), [0xe1; 32], "another enclave is accepted");
        assert!(!body.flags().has(Flags::DEBUG), "a debug enclave is accepted");
    }
}

/// TDX quotes, in the same way.
pub fn verifier_tdx(bytes: &[u8]) {
    quote(bytes);
    never_accepted(Kind::Tdx, bytes, None);
    let Some((signed, again)) = resigned(bytes) else { return };
    let appraisal = appraise(Kind::Tdx, &again, None);
    if appraisal.accepted() {
        assert_eq!(signed.get(136..184), Some(&[0x7d; 48][..]), "another domain is accepted");
        assert_eq!(signed.get(120).map(|bits| bits & 1), Some(0), "a debug domain is accepted");
    }
}

/// SEV-SNP reports and the containers around them.
pub fn verifier_sev_snp(bytes: &[u8]) {
    if let Ok(report) = Report::decode(bytes) {
        assert!(bytes.starts_with(report.signed()), "something else is signed");
        let _ = (report.fields(), report.cpuid(), report.signature(), report.mitigations());
    }
    let _ = Container::decode(bytes);
    never_accepted(Kind::SevSnp, bytes, None);
}

/// SEV launch measurements.
pub fn verifier_sev(bytes: &[u8]) {
    never_accepted(Kind::Sev, bytes, None);
}

/// CCA tokens, and the claims inside as they stand; then two strings of claims as an enrolled
/// platform and its realm sign them.
pub fn verifier_cca(bytes: &[u8]) {
    if let Ok(claims) = RealmClaims::decode(bytes) {
        let _ = (claims.show(), claims.key_digest(), claims.has_declared_lengths());
    }
    if let Ok(claims) = PlatformClaims::decode(bytes) {
        let _ = claims.show();
    }
    never_accepted(Kind::Cca, bytes, None);
    if let Some((1, rest)) = bytes.split_first() {
        let mut script = Script::new(rest);
        let token = cca_token(script.string(), script.string());
        never_accepted(Kind::Cca, &token, None);
    }
}

/// TrustZone evidence, and the claims inside as they stand; then the same as an enrolled PSA device
/// signs it.
pub fn verifier_trustzone(bytes: &[u8]) {
    if let Ok(claims) = PsaClaims::decode(bytes) {
        let _ = claims.fields();
        never_accepted(Kind::TrustZone, &sealed_by(&ESP256, bytes), None);
    }
    never_accepted(Kind::TrustZone, bytes, None);
}

/// A CCA token over these claims, signed by the enrolled platform and the known realm.
pub(crate) fn cca_token(platform: &[u8], realm: &[u8]) -> Vec<u8> {
    encode(|e| {
        e.tag(Tag::new(399))?.map(2)?.u16(44234)?.bytes(&sealed_by(&ESP256, platform))?;
        e.u16(44241)?.bytes(&sealed_by(&REALM, realm))?.ok()
    })
}

/// Certificates and keys, DER and PEM.
pub fn verifier_x509(bytes: &[u8]) {
    let _ = decode_public_key_pem(bytes);
    let chain = decode_pem(bytes).unwrap_or_default();
    let certificates = chain.iter().map(Vec::as_slice).chain([bytes]);
    for certificate in certificates.filter_map(|der| Certificate::decode(der).ok()) {
        let _ = (certificate.common_name(), certificate.issuer_common_name());
        let _ = (certificate.is_authority(), certificate.may_sign_lists());
        let _ = (certificate.may_sign_data(), certificate.is_valid_at(NOW));
        let _ = (certificate.public_key(), Platform::decode(&certificate));
        assert!(certificate.extensions().count() <= bytes.len(), "more extensions than bytes");
        let root = Certificate::decode(&ROOT).expect("the root of the vendor");
        assert!(!certificate.is_signed_by(&root), "a certificate that nobody issued");
        let _ = certificate.is_signed_by(&certificate);
    }
}

/// Certificate revocation lists.
pub fn verifier_crl(bytes: &[u8]) {
    let Ok(list) = RevocationList::decode(bytes) else { return };
    let mut count = 0;
    for serial in list.serials() {
        assert!(list.revokes(serial), "a listed serial is not revoked");
        count += 1;
        assert!(count <= bytes.len(), "a list longer than its bytes");
    }
    let root = Certificate::decode(&ROOT).expect("the root of the vendor");
    assert!(!list.is_signed_by(&root), "a list that nobody issued");
}

/// Event logs in each spelling: none is believed that does not replay.
pub fn verifier_event_log(bytes: &[u8]) {
    let zero = [0; 48];
    for log in [EventLog::Ccel(bytes), EventLog::Dstack(bytes)] {
        match event_log::verify(log, &[&zero; 4]) {
            Err(NotTheLog::Malformed(_)) => continue,
            Err(_) => {}
            Ok(events) => {
                assert!(events.len() <= bytes.len(), "more events than bytes");
                let replayed = event_log::replay(&events);
                assert_eq!(replayed, [zero; 4], "a log is believed without replay");
            }
        }
        never_accepted(Kind::Tdx, &DOMAIN, Some(log));
    }
    if let Ok(registers) = rem::replay(HashAlgorithm::Sha256, bytes) {
        assert!(registers.iter().all(|register| register.as_slice().len() == 32));
    }
}

/// Collateral bundles, and documents as they may be in one.
pub fn verifier_collateral(bytes: &[u8]) {
    if let Ok(info) = TcbInfo::decode(bytes) {
        assert!(info.levels.len() <= bytes.len(), "more levels than bytes");
    }
    let _ = QeIdentity::decode(bytes);
    let Ok(collateral) = Collateral::decode(bytes) else { return };
    assert_eq!(collateral.encode(), bytes, "a bundle has a second encoding");
    for kind in Kind::ALL {
        let endorsements = Endorsements::prepare(kind, &collateral, &ANCHORS);
        let evidence = if kind == Kind::Tdx { &DOMAIN } else { &ENCLAVE };
        let appraisal = verifier::appraise(&request(kind, evidence, None), &endorsements);
        assert!(!appraisal.accepted(), "collateral of nobody is believed: {appraisal}");
    }
}

/// The agent layer over the hardware layer.
pub fn verifier_teep(bytes: &[u8]) {
    let Ok(evidence) = TeepEvidence::decode(bytes) else { return };
    let kind = evidence.kind();
    let terms = teep::Terms {
        challenge: &[7; 64],
        event_log: None,
        anchors: &ANCHORS,
        reference: &REFERENCE,
        policy: &POLICY,
        now: NOW,
    };
    let appraisal = evidence.appraise(endorsements(kind), &terms);
    assert!(!appraisal.appraisal().to_string().is_empty());
    assert!(!appraisal.accepted(), "Evidence for another challenge is accepted");
}

fn quote(bytes: &[u8]) {
    let Ok(quote) = Quote::decode(bytes) else { return };
    assert!(bytes.starts_with(quote.signed), "something else is signed");
    match quote.body {
        Body::Enclave(body) => {
            let _ = (body.fields(), body.flags(), body.isv_svn());
        }
        Body::TrustDomain(body) => {
            let _ = (body.fields(), body.attributes(), body.tee_tcb_svn2(), body.rtmrs());
        }
    }
}

fn never_accepted(kind: Kind, bytes: &[u8], log: Option<EventLog<'_>>) {
    let appraisal = appraise(kind, bytes, log);
    assert!(!appraisal.accepted(), "evidence of nobody is accepted: {appraisal}");
}

fn appraise(kind: Kind, bytes: &[u8], log: Option<EventLog<'_>>) -> Appraisal {
    let appraisal = verifier::appraise(&request(kind, bytes, log), endorsements(kind));
    assert_eq!(appraisal.kind(), kind);
    assert!(appraisal.accepted() || appraisal.refusal().is_some(), "refused without a reason");
    assert!(appraisal.authentic() || !appraisal.accepted(), "accepted and not authentic");
    assert!(!appraisal.to_string().is_empty());
    assert!(serde_json::to_string(&appraisal).is_ok(), "an explanation cannot be written");
    appraisal
}

fn request<'a>(kind: Kind, evidence: &'a [u8], event_log: Option<EventLog<'a>>) -> Request<'a> {
    Request {
        kind,
        evidence,
        event_log,
        user_data: UserData::Unchecked,
        anchors: &ANCHORS,
        reference: &REFERENCE,
        policy: &POLICY,
        now: NOW,
    }
}

fn endorsements(kind: Kind) -> &'static Endorsements {
    let index = Kind::ALL.iter().position(|one| *one == kind);
    &ENDORSEMENTS[index.expect("every kind is in the list")]
}

/// The signed body of a quote that can be read, and the quote as the vendor's device would have
/// made it.
fn resigned(bytes: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let quote = Quote::decode(bytes).ok()?;
    let header = if quote.version == 5 { 54 } else { 48 };
    let body = quote.signed.get(header..)?;
    Some((body, VENDOR.quote(body, &Shape { version: quote.version, ..Shape::default() })))
}

/// A vendor of this run, whose keys nobody else has.
static VENDOR: LazyLock<intel::Vendor> = LazyLock::new(intel::Vendor::new);

static ROOT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    decode_pem(&VENDOR.chain()).expect("the vendor writes PEM").pop().expect("a root")
});

static ENCLAVE: LazyLock<Vec<u8>> =
    LazyLock::new(|| VENDOR.quote(&intel::enclave_body(), &Shape::default()));

static DOMAIN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    VENDOR.quote(&intel::domain_body(), &Shape { version: 5, ..Shape::default() })
});

/// The vendor's root, and the key of every enrolled Arm device.
static ANCHORS: LazyLock<Anchors> = LazyLock::new(|| {
    VENDOR.anchors().with_enrolled(Listed {
        vendor: Family::Arm,
        name: "enrolled devices".to_owned(),
        spki_sha256: Hex(cose::sha256(&ESP256.key().to_spki())),
    })
});

static ENDORSEMENTS: LazyLock<Vec<Endorsements>> = LazyLock::new(|| {
    let prepare = |kind| {
        let collateral = match kind {
            Kind::Sgx => VENDOR.collateral(&World::sgx()),
            Kind::Tdx => VENDOR.collateral(&World::tdx()),
            Kind::Cca | Kind::TrustZone => Collateral::from_files([("enrolled.pem", public_pem())]),
            Kind::Sev | Kind::SevSnp => Collateral::default(),
        };
        Endorsements::prepare(kind, &collateral, &ANCHORS)
    };
    Kind::ALL.into_iter().map(prepare).collect()
});

/// The key of the enrolled devices.
fn public_pem() -> Vec<u8> {
    let pem = String::from_utf8(intel::der::pem(&[&ESP256.key().to_spki()]));
    pem.expect("PEM is text").replace("CERTIFICATE", "PUBLIC KEY").into_bytes()
}

static REFERENCE: LazyLock<ReferenceValues> = LazyLock::new(|| {
    let sgx = format!("[[sgx]]\nname = \"enclave\"\nmrenclave = \"{}\"\n", "e1".repeat(32));
    let tdx = format!("[[tdx]]\nname = \"domain\"\nmrtd = \"{}\"\n", "7d".repeat(48));
    ReferenceValues::from_toml(&(sgx + &tdx)).expect("reference values")
});

static POLICY: LazyLock<Policy> =
    LazyLock::new(|| Policy { emulated_allowed: true, ..Policy::default() });

/// Within the validity of everything that the vendor issued.
const NOW: Timestamp = intel::NOW;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::arm;

    #[test]
    fn what_the_vendor_of_the_run_signs_reaches_acceptance() {
        for (kind, quote) in [(Kind::Sgx, &*ENCLAVE), (Kind::Tdx, &*DOMAIN)] {
            let (_, again) = resigned(quote).unwrap();

            let appraisal = appraise(kind, &again, None);

            assert!(appraisal.accepted(), "{appraisal}");
        }
    }

    #[test]
    fn what_enrolled_devices_sign_is_authentic() {
        let (platform, realm) = (arm::platform(), arm::realm());
        let psa = sealed_by(&ESP256, &arm::psa());
        for (kind, token) in [(Kind::Cca, cca_token(&platform, &realm)), (Kind::TrustZone, psa)] {
            let appraisal = appraise(kind, &token, None);

            assert!(appraisal.authentic() && !appraisal.accepted(), "{appraisal}");
        }
    }
}
