//! The emulated vendor: keys, certificates, revocation lists and TCB lists in one directory.
//!
//! ```text
//! vendor.json                  state: certificates, numbers, revocations
//! keys/*.pk8                   private keys, PKCS #8
//! collateral/                  what a Verifier needs for SGX; names as below
//! collateral/tdx-*             the same for TDX
//! ```
//!
//! Everything is made at first use, for this installation alone. Lists live 30 days like the
//! real vendor's and are made anew when 10 days or less remain.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Tee;
use super::collateral;
use super::pck::{Platform, SGX_EXTENSION};
use super::pki::{Certificate, Party, RevocationList, Usage};
use crate::disk::{self, Access};
use crate::key::{SigningKey, sha256};
use crate::misbehaviour::Misbehaviour;
use crate::x509::{Freshness, Issued, LIST_LIFE, LIST_RENEWAL, Window, after, at, days, serial};
use crate::{Error, pem};

/// The emulated vendor of SGX and TDX platforms.
pub struct Vendor {
    dir: PathBuf,
    root: Authority,
    pck_ca: Authority,
    tcb_signer: Authority,
    state: State,
    certificates_are_new: bool,
}

impl Vendor {
    /// Opens the vendor in this directory; makes it, and fresh collateral, where needed.
    pub fn open(dir: &Path, now: Timestamp) -> Result<Self, Error> {
        disk::create_dir(dir, Access::Public)?;
        let _lock = disk::lock_dir(dir)?;
        let mut vendor = Self::load(dir, now)?;
        if vendor.is_due(now) {
            vendor.publish(now)?;
        }
        Ok(vendor)
    }

    /// Makes the collateral anew as recent, or as expired long ago; this lasts until it is
    /// changed.
    pub fn set_freshness(&mut self, freshness: Freshness, now: Timestamp) -> Result<(), Error> {
        self.update(now, |state| state.freshness = freshness)
    }

    /// SHA-256 of the root's SubjectPublicKeyInfo: what a Verifier pins.
    pub fn anchor(&self) -> [u8; 32] {
        sha256(&self.root.key.spki())
    }

    /// The directory with what a Verifier needs.
    pub fn collateral_dir(&self) -> PathBuf {
        self.dir.join("collateral")
    }

    /// A file of what a Verifier needs.
    ///
    /// SGX and TDX have files of the same names with other contents; TDX's get a prefix, so that
    /// one directory serves both.
    pub fn collateral_file(&self, tee: Tee, name: &str) -> PathBuf {
        let prefix = match tee {
            Tee::Sgx => "",
            Tee::Tdx => "tdx-",
        };
        self.collateral_dir().join(format!("{prefix}{name}"))
    }

    /// The root certificate.
    pub fn root(&self) -> &[u8] {
        &self.root.certificate.der
    }

    /// The certificate of the PCK Platform CA.
    pub fn pck_ca(&self) -> &[u8] {
        &self.pck_ca.certificate.der
    }

    /// When the collateral is to be made anew.
    pub(crate) fn collateral_due(&self) -> Timestamp {
        at(self.state.issued_at + (LIST_LIFE - LIST_RENEWAL).as_secs())
    }

    /// Gives the device in this directory its certificate, one for each TCB and standing.
    pub(crate) fn pck_certificate(
        &self,
        device_dir: &Path,
        key: &SigningKey,
        platform: &Platform,
        misbehaviour: Misbehaviour,
        now: Timestamp,
    ) -> Result<PckCertificate, Error> {
        let revoked = misbehaviour == Misbehaviour::Revoked;
        let subject = Party { common_name: "Intel SGX PCK Certificate", point: key.point() };
        let issuer = self.pck_ca.party();
        let extension = platform.extension();
        let name = serial(&[&issuer.key_id(), &subject.point, &extension, &[revoked.into()]]);
        let path = device_dir.join(format!("pck-{}.json", hex::encode(&name[..8])));

        let kept = disk::read_json::<Issued>(&path)?;
        if let Some(certificate) = kept.filter(|certificate| !certificate.is_due(now)) {
            return Ok(PckCertificate(certificate));
        }
        let life = Window { from: now, to: after(now, PCK_LIFE)? };
        let serial = serial(&[&name, &now.as_second().to_be_bytes()]);
        let certificate = Certificate {
            serial,
            subject,
            issuer,
            validity: life,
            usage: Usage::EndEntity,
            crl_uri: PCK_CRL_URI,
            extra: Some((SGX_EXTENSION, &extension)),
        };
        let issued = Issued::new(serial, certificate.sign(&self.pck_ca.key)?, life);
        disk::write_json(&path, &issued)?;
        Ok(PckCertificate(issued))
    }

    /// Puts a device certificate on the revocation list for good.
    pub(crate) fn revoke(&mut self, serial: [u8; 20], now: Timestamp) -> Result<(), Error> {
        if self.state.revoked.iter().any(|revoked| revoked.serial == serial) {
            return Ok(());
        }
        self.update(now, |state| {
            state.revoked.push(Revoked { serial, at: now.as_second() });
        })
    }

    /// Changes the state of the vendor on disk, and publishes.
    fn update(&mut self, now: Timestamp, change: impl FnOnce(&mut State)) -> Result<(), Error> {
        let _lock = disk::lock_dir(&self.dir)?;
        let mut current = Self::load(&self.dir, now)?;
        change(&mut current.state);
        current.publish(now)?;
        *self = current;
        Ok(())
    }

    fn load(dir: &Path, now: Timestamp) -> Result<Self, Error> {
        let keys = dir.join("keys");
        disk::create_dir(&keys, Access::Private)?;
        let key = |name| SigningKey::load_or_create(&keys.join(name));
        let (root, pck_ca, tcb_signer) =
            (key("root.pk8")?, key("pck-ca.pk8")?, key("tcb-signer.pk8")?);
        let mut state = disk::read_json::<State>(&dir.join(STATE))?.unwrap_or_default();
        let mut certificates_are_new = false;

        let root_party = Party { common_name: "Intel SGX Root CA", point: root.point() };
        let mut certify = |name, key: &SigningKey, kept: &mut Option<Issued>, usage, life| {
            let subject = Party { common_name: name, point: key.point() };
            if let Some(kept) = kept.as_ref().filter(|kept| !kept.is_due(now)) {
                return Ok(kept.clone());
            }
            certificates_are_new = true;
            let issued = certify(subject, (root_party, &root), usage, life, now)?;
            Ok::<_, Error>(kept.insert(issued).clone())
        };
        let (authority, end) = (Usage::Authority { path_length: 0 }, Usage::EndEntity);
        let top = Usage::Authority { path_length: 1 };
        let root_certificate =
            certify(root_party.common_name, &root, &mut state.root, top, ROOT_LIFE)?;
        let pck_ca_name = "Intel SGX PCK Platform CA";
        let pck_ca_certificate =
            certify(pck_ca_name, &pck_ca, &mut state.pck_ca, authority, PCK_CA_LIFE)?;
        let tcb_signer_name = "Intel SGX TCB Signing";
        let tcb_signer_certificate =
            certify(tcb_signer_name, &tcb_signer, &mut state.tcb_signer, end, TCB_SIGNER_LIFE)?;
        Ok(Self {
            dir: dir.to_owned(),
            root: Authority::new(root_party.common_name, root, root_certificate),
            pck_ca: Authority::new(pck_ca_name, pck_ca, pck_ca_certificate),
            tcb_signer: Authority::new(tcb_signer_name, tcb_signer, tcb_signer_certificate),
            state,
            certificates_are_new,
        })
    }

    fn is_due(&self, now: Timestamp) -> bool {
        let clock_went_back = now.as_second() < self.state.issued_at;
        let is_there = |tee| FILES.iter().all(|name| self.collateral_file(tee, name).exists());
        let whole = Tee::ALL.into_iter().all(is_there);
        !whole || self.certificates_are_new || clock_went_back || now >= self.collateral_due()
    }

    /// Makes all collateral anew. The caller holds the lock.
    fn publish(&mut self, now: Timestamp) -> Result<(), Error> {
        self.state.crl_number += 1;
        self.state.issued_at = now.as_second();
        let from = self.state.freshness.lists_from(now)?;
        let lists = Window { from, to: after(from, LIST_LIFE)? };
        let root_list = Window { from, to: after(from, ROOT_CRL_LIFE)? };

        for tee in Tee::ALL {
            self.publish_for(tee, lists, root_list)?;
        }
        disk::write_json(&self.dir.join(STATE), &self.state)?;
        self.certificates_are_new = false;
        Ok(())
    }

    fn publish_for(&self, tee: Tee, lists: Window, root_list: Window) -> Result<(), Error> {
        disk::create_dir(&self.collateral_dir(), Access::Public)?;
        let write = |name: &str, bytes: &[u8]| {
            disk::write(&self.collateral_file(tee, name), bytes, Access::Public)
        };
        let signed = |name: &str, json: Vec<u8>| {
            let signature = hex::encode(self.tcb_signer.key.sign(&json)?) + "\n";
            write(&format!("{name}.json"), &json)?;
            write(&format!("{name}.sig.hex"), signature.as_bytes())
        };
        signed("tcb_info", collateral::tcb_info(lists, tee))?;
        signed("qe_identity", collateral::qe_identity(lists, tee))?;
        let chain = |of: &Authority| {
            let chain: [&[u8]; 2] = [&of.certificate.der, &self.root.certificate.der];
            pem::certificates(chain)
        };
        write("tcb_signing_chain.pem", chain(&self.tcb_signer).as_bytes())?;
        write("pck_crl_issuer_chain.pem", chain(&self.pck_ca).as_bytes())?;
        let revoked = self.state.revoked.iter();
        let revoked: Vec<_> =
            revoked.map(|revoked| (revoked.serial, at(revoked.at).min(lists.from))).collect();
        let crl = |authority: &Authority, window, revoked: &[_]| {
            let number = self.state.crl_number;
            let list = RevocationList { issuer: authority.party(), number, window, revoked };
            list.sign(&authority.key)
        };
        write("pck_crl.der", &crl(&self.pck_ca, lists, &revoked)?)?;
        write("root_ca_crl.der", &crl(&self.root, root_list, &[])?)?;
        Ok(())
    }
}

/// The certificate of a device.
pub(crate) struct PckCertificate(Issued);

impl PckCertificate {
    pub(crate) fn der(&self) -> &[u8] {
        &self.0.der
    }

    pub(crate) fn serial(&self) -> [u8; 20] {
        self.0.serial
    }
}

/// A key of the vendor and its certificate.
struct Authority {
    common_name: &'static str,
    key: SigningKey,
    certificate: Issued,
}

impl Authority {
    fn new(common_name: &'static str, key: SigningKey, certificate: Issued) -> Self {
        Self { common_name, key, certificate }
    }

    fn party(&self) -> Party {
        Party { common_name: self.common_name, point: self.key.point() }
    }
}

#[derive(Default, Serialize, Deserialize)]
struct State {
    root: Option<Issued>,
    pck_ca: Option<Issued>,
    tcb_signer: Option<Issued>,
    crl_number: u64,
    issued_at: i64,
    #[serde(default)]
    freshness: Freshness,
    revoked: Vec<Revoked>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Revoked {
    #[serde(with = "hex")]
    serial: [u8; 20],
    at: i64,
}

fn certify(
    subject: Party,
    (issuer, issuer_key): (Party, &SigningKey),
    usage: Usage,
    life: SignedDuration,
    now: Timestamp,
) -> Result<Issued, Error> {
    let validity = Window { from: now, to: after(now, life)? };
    let serial = serial(&[&subject.point, &now.as_second().to_be_bytes()]);
    let crl_uri = ROOT_CRL_URI;
    let certificate =
        Certificate { serial, subject, issuer, validity, usage, crl_uri, extra: None };
    Ok(Issued::new(serial, certificate.sign(issuer_key)?, validity))
}

const STATE: &str = "vendor.json";

const FILES: [&str; 8] = [
    "pck_crl.der",
    "pck_crl_issuer_chain.pem",
    "qe_identity.json",
    "qe_identity.sig.hex",
    "root_ca_crl.der",
    "tcb_info.json",
    "tcb_info.sig.hex",
    "tcb_signing_chain.pem",
];

const PCK_CRL_URI: &str =
    "https://vendor.invalid/sgx/certification/v4/pckcrl?ca=platform&encoding=der";
const ROOT_CRL_URI: &str = "https://vendor.invalid/IntelSGXRootCA.der";

const PCK_CA_LIFE: SignedDuration = days(15 * 365);
const PCK_LIFE: SignedDuration = days(7 * 365);
const ROOT_CRL_LIFE: SignedDuration = days(380);
const ROOT_LIFE: SignedDuration = days(30 * 365);
const TCB_SIGNER_LIFE: SignedDuration = days(7 * 365);
