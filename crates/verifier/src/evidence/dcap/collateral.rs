//! Intel's collateral of one platform: verified once, then only compared with the time.

use std::borrow::Cow;
use std::sync::Arc;

use super::tcb::{QeIdentity, TcbInfo};
use crate::anchor::{Anchor, Anchors, Vendor};
use crate::check::{Check, Failure, Owner, Reason};
use crate::crypto::PublicKey;
use crate::time::Rfc3339;
use crate::x509::{Certificate, RevocationList, decode_list_file, decode_pem};
use crate::{Collateral, Timestamp};

/// Collateral whose every signature was checked up to a pinned anchor. Validity in time is not
/// part of it: see [`windows`](Self::windows).
#[derive(Clone, Debug)]
pub struct VerifiedCollateral {
    /// The anchor in which all chains end.
    pub anchor: Anchor,
    /// The certificate of the anchor, as received.
    pub root: Vec<u8>,
    /// The certificate of the authority that issues PCKs and their revocation list.
    pub pck_authority: Vec<u8>,
    /// Serial numbers that the root revoked, sorted.
    pub revoked_authorities: Vec<Box<[u8]>>,
    /// Serial numbers that the PCK authority revoked, sorted.
    pub revoked_pcks: Vec<Box<[u8]>>,
    /// The TCB table.
    pub tcb_info: TcbInfo,
    /// The quoting enclave's identity.
    pub qe_identity: QeIdentity,
    /// When each part is valid.
    pub windows: Vec<Window>,
    /// What checks call the TCB table.
    pub tcb_source: Arc<str>,
    /// What checks call the quoting enclave's identity.
    pub qe_source: Arc<str>,
}

/// When one part is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The part.
    pub what: &'static str,
    /// The first second.
    pub from: Timestamp,
    /// The last second.
    pub until: Timestamp,
}

/// The files of one platform, all present.
struct Files<'c> {
    tcb_info: &'c [u8],
    tcb_info_signature: &'c [u8],
    qe_identity: &'c [u8],
    qe_identity_signature: &'c [u8],
    signing_chain: &'c [u8],
    pck_crl: Cow<'c, [u8]>,
    pck_crl_chain: &'c [u8],
    root_crl: Cow<'c, [u8]>,
}

impl VerifiedCollateral {
    /// Verifies every signature in the collateral. A failed check explains what is missing or
    /// wrong; `None` means that no part was supplied at all.
    pub fn verify(collateral: &Collateral, anchors: &Anchors) -> Option<Result<Self, Box<Check>>> {
        if FILES.iter().all(|name| collateral.file(name).is_none()) {
            return None;
        }
        Some(Files::find(collateral).and_then(|files| files.verify(anchors)))
    }

    /// Whether the root revoked a certificate with that serial number.
    #[must_use]
    pub fn root_revokes(&self, serial: &[u8]) -> bool {
        contains(&self.revoked_authorities, serial)
    }

    /// Whether the PCK authority revoked a certificate with that serial number.
    #[must_use]
    pub fn authority_revokes(&self, serial: &[u8]) -> bool {
        contains(&self.revoked_pcks, serial)
    }
}

impl<'c> Files<'c> {
    //= EV-DCAP-6: no revocation list supplied is a missing endorsement
    fn find(collateral: &'c Collateral) -> Refusable<Self> {
        let file = |name: &'static str| {
            collateral.file(name).ok_or_else(|| {
                let check = Check::new("collateral.files").expected(name).seen("absent");
                check.refused(refetch(Reason::MissingEndorsement, name))
            })
        };
        let list = |name: &'static str| {
            let stem = name.trim_end_matches("der");
            let other = ["pem", "crl", "hex"]
                .iter()
                .find_map(|end| collateral.file(&format!("{stem}{end}")));
            file(name).or_else(|missing| other.ok_or(missing)).map(decode_list_file)
        };
        Ok(Self {
            tcb_info: file(TCB_INFO)?,
            tcb_info_signature: file(TCB_INFO_SIGNATURE)?,
            qe_identity: file(QE_IDENTITY)?,
            qe_identity_signature: file(QE_IDENTITY_SIGNATURE)?,
            signing_chain: file(SIGNING_CHAIN)?,
            pck_crl: list(PCK_CRL)?,
            pck_crl_chain: file(PCK_CRL_CHAIN)?,
            root_crl: list(ROOT_CRL)?,
        })
    }

    fn verify(&self, anchors: &Anchors) -> Refusable<VerifiedCollateral> {
        let signing_chain = chain(self.signing_chain, SIGNING_CHAIN)?;
        let [signer, root] = pair(&signing_chain, SIGNING_CHAIN)?;
        let crl_chain = chain(self.pck_crl_chain, PCK_CRL_CHAIN)?;
        let [authority, crl_root] = pair(&crl_chain, PCK_CRL_CHAIN)?;
        let root_crl = decode_list(&self.root_crl, ROOT_CRL)?;
        let pck_crl = decode_list(&self.pck_crl, PCK_CRL)?;

        //= EV-COM-8: anchors are compared by public key
        let anchor = anchors.find(Vendor::Intel, &root.spki_sha256());
        let anchor = anchor.ok_or_else(|| untrusted(SIGNING_CHAIN, &root))?.clone();
        if crl_root.spki != root.spki {
            return Err(untrusted(PCK_CRL_CHAIN, &crl_root));
        }
        check_signer(&signer, &root)?;
        check_authority(&authority, &root, PCK_CRL_CHAIN)?;
        signed(ROOT_CRL, root_crl.is_signed_by(&root) && root.may_sign_lists())?;
        signed(PCK_CRL, pck_crl.is_signed_by(&authority) && authority.may_sign_lists())?;
        for (certificate, what) in [(&signer, SIGNING_CHAIN), (&authority, PCK_CRL_CHAIN)] {
            if root_crl.revokes(certificate.serial) {
                return Err(revoked(what));
            }
        }

        let key = signer.public_key().map_err(|error| malformed(SIGNING_CHAIN, error.0))?;
        let object = |json, signature, what| check_object(&key, json, signature, what);
        object(self.tcb_info, self.tcb_info_signature, TCB_INFO)?;
        object(self.qe_identity, self.qe_identity_signature, QE_IDENTITY)?;
        let tcb_info =
            TcbInfo::decode(self.tcb_info).map_err(|detail| unreadable(TCB_INFO, detail))?;
        let qe_identity = QeIdentity::decode(self.qe_identity)
            .map_err(|detail| unreadable(QE_IDENTITY, detail))?;

        let windows = vec![
            certificate_window("TCB signing certificate", &signer),
            certificate_window("root certificate of the TCB signer", &root),
            certificate_window("PCK CA certificate", &authority),
            certificate_window("root certificate of the PCK CA", &crl_root),
            list_window("root CRL", &root_crl),
            list_window("PCK CRL", &pck_crl),
            Window { what: "TCB info", from: tcb_info.issued, until: tcb_info.next_update },
            Window {
                what: "QE identity",
                from: qe_identity.issued,
                until: qe_identity.next_update,
            },
        ];
        Ok(VerifiedCollateral {
            anchor,
            root: root.raw.to_vec(),
            pck_authority: authority.raw.to_vec(),
            revoked_authorities: sorted(&root_crl),
            revoked_pcks: sorted(&pck_crl),
            tcb_source: source("TCB info", tcb_info.issued, tcb_info.evaluation),
            qe_source: source("QE identity", qe_identity.issued, qe_identity.evaluation),
            tcb_info,
            qe_identity,
            windows,
        })
    }
}

impl Window {
    /// The reason why the part is not valid at `now`, if it is not.
    #[must_use]
    pub fn reason_at(&self, now: Timestamp) -> Option<Reason> {
        if now < self.from {
            Some(Reason::NotYetValid)
        } else if now > self.until {
            Some(Reason::Expired)
        } else {
            None
        }
    }
}

/// The validity of a certificate as a window.
pub(super) fn certificate_window(what: &'static str, certificate: &Certificate<'_>) -> Window {
    Window { what, from: certificate.not_before, until: certificate.not_after }
}

//= EV-DCAP-5: PCK Platform CA or PCK Processor CA under the root
/// Checks that `root` issued a PCK authority.
pub(super) fn check_authority(
    authority: &Certificate<'_>,
    root: &Certificate<'_>,
    what: &'static str,
) -> Refusable<()> {
    let name = authority.common_name().unwrap_or_default();
    if !PCK_AUTHORITIES.contains(&name) || !authority.is_authority() {
        return Err(malformed(what, "the certificate of a PCK Platform CA or PCK Processor CA"));
    }
    signed(what, root.is_authority() && authority.is_signed_by(root))
}

//= EV-DCAP-7: issued directly by the root, named Intel SGX TCB Signing
fn check_signer(signer: &Certificate<'_>, root: &Certificate<'_>) -> Refusable<()> {
    if signer.common_name() != Some(TCB_SIGNER) || !signer.may_sign_data() {
        return Err(malformed(SIGNING_CHAIN, "a certificate of Intel SGX TCB Signing"));
    }
    signed(SIGNING_CHAIN, root.is_authority() && signer.is_signed_by(root))
}

//= EV-COM-7: signed JSON is verified over the received bytes
fn check_object(
    key: &PublicKey<'_>,
    json: &[u8],
    signature: &[u8],
    what: &'static str,
) -> Refusable<()> {
    let mut raw = [0; 64];
    let text = signature.trim_ascii();
    if hex::decode_to_slice(text, &mut raw).is_err() {
        return Err(malformed(what, "a signature of 64 octets in hexadecimal"));
    }
    signed(what, matches!(key, PublicKey::P256(_)) && key.verify_fixed(json, &raw))
}

fn chain(bytes: &[u8], what: &'static str) -> Refusable<Vec<Vec<u8>>> {
    decode_pem(bytes).map_err(|error| malformed(what, error.0))
}

fn pair<'b>(chain: &'b [Vec<u8>], what: &'static str) -> Refusable<[Certificate<'b>; 2]> {
    let [first, second] = chain else {
        return Err(malformed(what, "two certificates, the issuer and its root"));
    };
    let decode = |bytes| Certificate::decode(bytes).map_err(|error| malformed(what, error.0));
    Ok([decode(first)?, decode(second)?])
}

fn decode_list<'b>(bytes: &'b [u8], what: &'static str) -> Refusable<RevocationList<'b>> {
    RevocationList::decode(bytes).map_err(|error| malformed(what, error.0))
}

fn list_window(what: &'static str, list: &RevocationList<'_>) -> Window {
    Window { what, from: list.this_update, until: list.next_update }
}

fn sorted(list: &RevocationList<'_>) -> Vec<Box<[u8]>> {
    let mut serials = list.serials().map(Box::from).collect::<Vec<_>>();
    serials.sort_unstable();
    serials
}

fn contains(serials: &[Box<[u8]>], serial: &[u8]) -> bool {
    serials.binary_search_by(|revoked| (**revoked).cmp(serial)).is_ok()
}

fn source(what: &str, issued: Timestamp, evaluation: u32) -> Arc<str> {
    let day = Rfc3339(issued).to_string();
    format!("{what} of {}, evaluation {evaluation}", day.split('T').next().unwrap_or_default())
        .into()
}

fn refetch(reason: Reason, what: &str) -> Failure {
    let remedy = format!("fetch {what} from the provisioning certification service again");
    Failure::new(reason, Owner::EndorsementProvider, remedy)
}

fn malformed(what: &'static str, expected: &'static str) -> Box<Check> {
    let check = Check::new("collateral.format").expected(expected).source(what);
    check.refused(refetch(Reason::Malformed, what))
}

fn unreadable(what: &'static str, detail: String) -> Box<Check> {
    let check = Check::new("collateral.format").seen(detail).source(what);
    check.refused(refetch(Reason::Unsupported, what))
}

fn untrusted(what: &'static str, root: &Certificate<'_>) -> Box<Check> {
    let check = Check::new("collateral.root").seen(&root.spki_sha256()).source(what);
    let check = check.expected("the key of a listed anchor, one for all chains");
    check.refused(Failure::new(
        Reason::UntrustedRoot,
        Owner::EndorsementProvider,
        "supply collateral of the evidence's own vendor or emulator",
    ))
}

fn revoked(what: &'static str) -> Box<Check> {
    let check = Check::new("collateral.revocation").seen("revoked by the root").source(what);
    check.refused(refetch(Reason::Revoked, what))
}

fn signed(what: &'static str, ok: bool) -> Refusable<()> {
    if ok {
        return Ok(());
    }
    let check = Check::new("collateral.signature").source(what);
    Err(check.refused(refetch(Reason::BadSignature, what)))
}

/// A step that may end the verification with the check that explains why.
type Refusable<T> = Result<T, Box<Check>>;

const TCB_INFO: &str = "tcb_info.json";
const TCB_INFO_SIGNATURE: &str = "tcb_info.sig.hex";
const QE_IDENTITY: &str = "qe_identity.json";
const QE_IDENTITY_SIGNATURE: &str = "qe_identity.sig.hex";
const SIGNING_CHAIN: &str = "tcb_signing_chain.pem";
const PCK_CRL: &str = "pck_crl.der";
const PCK_CRL_CHAIN: &str = "pck_crl_issuer_chain.pem";
const ROOT_CRL: &str = "root_ca_crl.der";
const FILES: [&str; 8] = [
    TCB_INFO,
    TCB_INFO_SIGNATURE,
    QE_IDENTITY,
    QE_IDENTITY_SIGNATURE,
    SIGNING_CHAIN,
    PCK_CRL,
    PCK_CRL_CHAIN,
    ROOT_CRL,
];

const TCB_SIGNER: &str = "Intel SGX TCB Signing";
const PCK_AUTHORITIES: [&str; 2] = ["Intel SGX PCK Platform CA", "Intel SGX PCK Processor CA"];
