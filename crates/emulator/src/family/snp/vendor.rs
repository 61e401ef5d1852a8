//! The emulated vendor of SEV-SNP processors: one root (ARK) and one issuer (ASK) per product.
//!
//! ```text
//! amd-<product>.json                        state: certificates, numbers, retired issuer
//! keys/<product>-{ark,ask,ask-retired}.pk8  private keys, RSA-4096, PKCS #8
//! collateral/<product>-{ark,ask,crl}.der    what a Verifier needs
//! collateral/<product>-vcek-<chip>-<tcb>.der
//! ```
//!
//! A VCEK has no serial number, so it cannot be revoked; its issuer can. A device that is to be
//! revoked is endorsed by an issuer of its own that is on the list.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::pki::{Certificate, authority_extensions, revocation_list, vcek_extensions};
use super::product::{Product, Tcb};
use super::table::Chain;
use crate::Error;
use crate::disk::{self, Access};
use crate::key::{P384Key, RsaKey, sha256};
use crate::x509::{Freshness, Issued, LIST_LIFE, LIST_RENEWAL, Window, after, at, days, serial};

/// The emulated vendor of one product.
pub struct Vendor {
    dir: PathBuf,
    product: Product,
    ark: RsaKey,
    ask: RsaKey,
    state: State,
    certificates_are_new: bool,
}

/// What a VCEK certificate is about.
pub(super) struct Endorsement<'a> {
    pub(super) key: &'a P384Key,
    pub(super) chip_id: &'a [u8],
    pub(super) tcb: Tcb,
}

impl Vendor {
    /// Opens the vendor in this directory; makes it, and fresh collateral, where needed.
    pub fn open(dir: &Path, product: Product, now: Timestamp) -> Result<Self, Error> {
        disk::create_dir(dir, Access::Public)?;
        let _lock = disk::lock_dir(dir)?;
        let mut vendor = Self::load(dir, product, now)?;
        if vendor.is_due(now) {
            vendor.publish(now)?;
        }
        Ok(vendor)
    }

    /// Whether the vendor of this product was made in this directory.
    pub fn exists(dir: &Path, product: Product) -> bool {
        dir.join(state_file(product)).exists()
    }

    /// Makes the collateral anew as recent, or as expired long ago; this lasts until it is
    /// changed.
    pub fn set_freshness(&mut self, freshness: Freshness, now: Timestamp) -> Result<(), Error> {
        let _lock = disk::lock_dir(&self.dir)?;
        let mut current = Self::load(&self.dir, self.product, now)?;
        current.state.freshness = freshness;
        current.publish(now)?;
        *self = current;
        Ok(())
    }

    /// SHA-256 of the ARK's SubjectPublicKeyInfo: what a Verifier pins.
    pub fn anchor(&self) -> [u8; 32] {
        sha256(self.ark.spki())
    }

    /// The directory with what a Verifier needs.
    pub fn collateral_dir(&self) -> PathBuf {
        self.dir.join("collateral")
    }

    /// When the collateral is to be made anew.
    pub(super) fn collateral_due(&self) -> Timestamp {
        at(self.state.issued_at + (LIST_LIFE - LIST_RENEWAL).as_secs())
    }

    /// Gives a device its certificate for these security versions, and offers it to Verifiers.
    pub(super) fn endorse(
        &mut self,
        device_dir: &Path,
        endorsement: &Endorsement<'_>,
        revoked: bool,
        now: Timestamp,
    ) -> Result<Chain, Error> {
        let _lock = disk::lock_dir(&self.dir)?;
        *self = Self::load(&self.dir, self.product, now)?;
        if self.is_due(now) {
            self.publish(now)?;
        }
        let (ask, key) = if revoked {
            let key = RsaKey::load_or_create(&self.key_path("ask-retired"))?;
            (self.retire(&key, now)?, key)
        } else {
            (self.ask_certificate()?.der.clone(), RsaKey::load_or_create(&self.key_path("ask"))?)
        };
        let vcek = self.vcek(device_dir, endorsement, &key, now)?;
        let short = |bytes: &[u8]| hex::encode(&bytes[..8]);
        let tcb = endorsement.tcb.to_bytes(self.product);
        let file = format!(
            "{}-vcek-{}-{}.der",
            self.product.file(),
            short(endorsement.chip_id),
            short(&tcb)
        );
        disk::write(&self.collateral_dir().join(file), &vcek, Access::Public)?;
        Ok(Chain { vcek, ask, ark: self.ark_certificate()?.der.clone() })
    }

    fn vcek(
        &self,
        device_dir: &Path,
        endorsement: &Endorsement<'_>,
        issuer: &RsaKey,
        now: Timestamp,
    ) -> Result<Vec<u8>, Error> {
        let Endorsement { key, chip_id, tcb } = endorsement;
        let extensions = vcek_extensions(self.product, *tcb, chip_id);
        let name = serial(&[issuer.spki(), key.point(), &extensions]);
        let path = device_dir.join(format!("vcek-{}.json", hex::encode(&name[..8])));
        let kept = disk::read_json::<Issued>(&path)?;
        if let Some(kept) = kept.filter(|kept| !kept.is_due(now)) {
            return Ok(kept.der);
        }
        let validity = Window { from: now, to: after(now, VCEK_LIFE)? };
        let certificate = Certificate {
            serial: &[0],
            subject: "SEV-VCEK",
            issuer: &self.name("SEV"),
            validity,
            spki: &key.spki(),
            extensions,
        };
        let issued = Issued::new(name, certificate.sign(issuer)?, validity);
        disk::write_json(&path, &issued)?;
        Ok(issued.der)
    }

    /// Certifies an issuer that is revoked, and gives its certificate.
    fn retire(&mut self, key: &RsaKey, now: Timestamp) -> Result<Vec<u8>, Error> {
        if let Some(retired) = &self.state.retired {
            return Ok(retired.der.clone());
        }
        let issued = self.certify("SEV", key, 0, now)?;
        self.state.retired = Some(issued.clone());
        self.publish(now)?;
        Ok(issued.der)
    }

    fn load(dir: &Path, product: Product, now: Timestamp) -> Result<Self, Error> {
        let keys = dir.join("keys");
        disk::create_dir(&keys, Access::Private)?;
        let key = |name| RsaKey::load_or_create(&key_path(dir, product, name));
        let (ark, ask) = (key("ark")?, key("ask")?);
        let state = disk::read_json::<State>(&dir.join(state_file(product)))?.unwrap_or_default();
        let dir = dir.to_owned();
        let mut vendor = Self { dir, product, ark, ask, state, certificates_are_new: false };
        if vendor.state.ark.as_ref().is_none_or(|kept| kept.is_due(now)) {
            vendor.state.ark = Some(vendor.certify("ARK", &vendor.ark, 1, now)?);
            vendor.certificates_are_new = true;
        }
        if vendor.state.ask.as_ref().is_none_or(|kept| kept.is_due(now)) {
            vendor.state.ask = Some(vendor.certify("SEV", &vendor.ask, 0, now)?);
            vendor.certificates_are_new = true;
        }
        Ok(vendor)
    }

    /// Certifies a key under the root.
    fn certify(
        &self,
        prefix: &str,
        key: &RsaKey,
        below: u64,
        now: Timestamp,
    ) -> Result<Issued, Error> {
        let validity = Window { from: now, to: after(now, AUTHORITY_LIFE)? };
        let serial = serial(&[key.spki(), &now.as_second().to_be_bytes()]);
        let certificate = Certificate {
            serial: &serial,
            subject: &self.name(prefix),
            issuer: &self.name("ARK"),
            validity,
            spki: key.spki(),
            extensions: authority_extensions(key, &self.ark, below),
        };
        Ok(Issued::new(serial, certificate.sign(&self.ark)?, validity))
    }

    fn is_due(&self, now: Timestamp) -> bool {
        let clock_went_back = now.as_second() < self.state.issued_at;
        let dir = self.collateral_dir();
        let whole = FILES.iter().all(|name| dir.join(self.file(name)).exists());
        !whole || self.certificates_are_new || clock_went_back || now >= self.collateral_due()
    }

    /// Makes all collateral anew. The caller holds the lock.
    fn publish(&mut self, now: Timestamp) -> Result<(), Error> {
        self.state.crl_number += 1;
        self.state.issued_at = now.as_second();
        let from = self.state.freshness.lists_from(now)?;
        let window = Window { from, to: after(from, LIST_LIFE)? };
        let dir = self.collateral_dir();
        disk::create_dir(&dir, Access::Public)?;
        let write = |name: &str, bytes: &[u8]| {
            disk::write(&dir.join(self.file(name)), bytes, Access::Public)
        };
        write("ark", &self.ark_certificate()?.der)?;
        write("ask", &self.ask_certificate()?.der)?;
        let retired = self.state.retired.as_ref();
        if let Some(retired) = retired {
            write("ask-retired", &retired.der)?;
        }
        let revoked: Vec<_> = retired.iter().map(|retired| (retired.serial, from)).collect();
        let (issuer, number) = (self.name("ARK"), self.state.crl_number);
        write("crl", &revocation_list(&issuer, &self.ark, number, window, &revoked)?)?;
        disk::write_json(&self.dir.join(state_file(self.product)), &self.state)?;
        self.certificates_are_new = false;
        Ok(())
    }

    fn ark_certificate(&self) -> Result<&Issued, Error> {
        self.state.ark.as_ref().ok_or_else(|| self.damaged())
    }

    fn ask_certificate(&self) -> Result<&Issued, Error> {
        self.state.ask.as_ref().ok_or_else(|| self.damaged())
    }

    fn damaged(&self) -> Error {
        Error::damaged(&self.dir.join(state_file(self.product)), "a certificate is missing")
    }

    fn name(&self, prefix: &str) -> String {
        format!("{prefix}-{}", self.product.name())
    }

    fn file(&self, name: &str) -> String {
        format!("{}-{name}.der", self.product.file())
    }

    fn key_path(&self, name: &str) -> PathBuf {
        key_path(&self.dir, self.product, name)
    }
}

#[derive(Default, Serialize, Deserialize)]
struct State {
    ark: Option<Issued>,
    ask: Option<Issued>,
    retired: Option<Issued>,
    crl_number: u64,
    issued_at: i64,
    freshness: Freshness,
}

fn state_file(product: Product) -> String {
    format!("amd-{}.json", product.file())
}

fn key_path(dir: &Path, product: Product, name: &str) -> PathBuf {
    dir.join("keys").join(format!("{}-{name}.pk8", product.file()))
}

const FILES: [&str; 3] = ["ark", "ask", "crl"];
const AUTHORITY_LIFE: SignedDuration = days(25 * 365);
const VCEK_LIFE: SignedDuration = days(7 * 365);
