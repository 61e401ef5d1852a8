//! The emulated vendor of Kunpeng devices: a root, an authority for products, and its list.
//!
//! ```text
//! huawei.json                       state
//! keys/huawei-*.pk8                 private keys, PKCS #8
//! collateral/huawei-*               what a Verifier needs
//! ```

use std::path::{Path, PathBuf};

use aws_lc_rs::rsa::KeySize;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::disk::{self, Access};
use crate::key::{RsaKey, sha256};
use crate::x509::{
    BASIC_CONSTRAINTS, CERT_SIGN_CRL_SIGN, Freshness, Issued, KEY_USAGE, LIST_LIFE, LIST_RENEWAL,
    Window, after, at, days, extension, key_id, list_extensions, name, revoked, serial,
};
use crate::{Error, der};

/// The emulated vendor.
pub struct Vendor {
    dir: PathBuf,
    root: RsaKey,
    product: RsaKey,
    state: State,
}

#[derive(Default, Serialize, Deserialize)]
struct State {
    root: Option<Issued>,
    product: Option<Issued>,
    revoked: Vec<Revoked>,
    list_number: u64,
    issued_at: i64,
    freshness: Freshness,
}

#[derive(Clone, Serialize, Deserialize)]
struct Revoked {
    #[serde(with = "hex")]
    serial: [u8; 20],
    at: i64,
}

impl Vendor {
    /// Opens the vendor in this directory; makes it, and a fresh list, where needed.
    pub fn open(dir: &Path, now: Timestamp) -> Result<Self, Error> {
        disk::create_dir(dir, Access::Public)?;
        let _lock = disk::lock_dir(dir)?;
        let keys = dir.join("keys");
        disk::create_dir(&keys, Access::Private)?;
        let root = RsaKey::load_or_create(&keys.join("huawei-root.pk8"))?;
        let product = keys.join("huawei-product.pk8");
        let product = RsaKey::load_or_create_sized(&product, KeySize::Rsa2048)?;
        let state = disk::read_json::<State>(&dir.join(STATE))?.unwrap_or_default();
        let mut vendor = Self { dir: dir.to_owned(), root, product, state };
        let new = vendor.certify_authorities(now)?;
        let due = at(vendor.state.issued_at + (LIST_LIFE - LIST_RENEWAL).as_secs());
        if new || now >= due || now.as_second() < vendor.state.issued_at {
            vendor.publish(now)?;
        }
        Ok(vendor)
    }

    /// Whether the vendor is in this directory.
    pub fn exists(dir: &Path) -> bool {
        dir.join(STATE).exists()
    }

    /// SHA-256 of the root's SubjectPublicKeyInfo: what a Verifier pins.
    pub fn anchor(&self) -> [u8; 32] {
        sha256(self.root.spki())
    }

    /// The directory with what a Verifier needs.
    pub fn collateral_dir(&self) -> PathBuf {
        self.dir.join("collateral")
    }

    /// Makes the list anew as recent, or as expired long ago; this lasts until it is changed.
    pub fn set_freshness(&mut self, freshness: Freshness, now: Timestamp) -> Result<(), Error> {
        let _lock = disk::lock_dir(&self.dir)?;
        self.state.freshness = freshness;
        self.publish(now)
    }

    /// Certifies the root key of a device.
    pub(super) fn certify(
        &self,
        device: &str,
        spki: &[u8],
        now: Timestamp,
    ) -> Result<Issued, Error> {
        let subject = Subject { name: device, spki, authority: false };
        // A key has one certificate, however often its device starts.
        let from = at(self.state.product.as_ref().map_or(now.as_second(), Issued::begins));
        issue(&subject, PRODUCT, &self.product, from, DEVICE_LIFE)
    }

    /// Puts a device on the list, or takes it off.
    pub(super) fn set_revoked(
        &mut self,
        serial: [u8; 20],
        is_revoked: bool,
        now: Timestamp,
    ) -> Result<(), Error> {
        let _lock = disk::lock_dir(&self.dir)?;
        let was = self.state.revoked.iter().any(|revoked| revoked.serial == serial);
        if was == is_revoked {
            return Ok(());
        }
        self.state.revoked.retain(|revoked| revoked.serial != serial);
        if is_revoked {
            self.state.revoked.push(Revoked { serial, at: now.as_second() });
        }
        self.publish(now)
    }

    fn certify_authorities(&mut self, now: Timestamp) -> Result<bool, Error> {
        let due = |kept: &Option<Issued>| kept.as_ref().is_none_or(|kept| kept.is_due(now));
        if !due(&self.state.root) && !due(&self.state.product) {
            return Ok(false);
        }
        let root = Subject { name: ROOT, spki: self.root.spki(), authority: true };
        let product = Subject { name: PRODUCT, spki: self.product.spki(), authority: true };
        self.state.root = Some(issue(&root, ROOT, &self.root, now, AUTHORITY_LIFE)?);
        self.state.product = Some(issue(&product, ROOT, &self.root, now, AUTHORITY_LIFE)?);
        Ok(true)
    }

    /// Makes the collateral anew. The caller holds the lock.
    fn publish(&mut self, now: Timestamp) -> Result<(), Error> {
        self.state.list_number += 1;
        self.state.issued_at = now.as_second();
        let from = self.state.freshness.lists_from(now)?;
        let dir = self.collateral_dir();
        disk::create_dir(&dir, Access::Public)?;
        let write = |name: &str, bytes: &[u8]| disk::write(&dir.join(name), bytes, Access::Public);
        for (file, issued) in
            [("huawei-root.der", &self.state.root), ("huawei-product.der", &self.state.product)]
        {
            let issued = issued.as_ref().ok_or_else(|| self.damaged())?;
            write(file, &issued.der)?;
        }
        let entries = self.state.revoked.iter();
        let entries: Vec<_> =
            entries.map(|revoked| (revoked.serial, at(revoked.at).min(from))).collect();
        let to_be_signed = der::sequence(&[
            &der::number(1),
            &algorithm(),
            &name(PRODUCT),
            &der::time(from)?,
            &der::time(after(from, LIST_LIFE)?)?,
            &revoked(&entries)?,
            &list_extensions(self.state.list_number, &key_id(self.product.spki())),
        ]);
        write("huawei-product.crl", &signed(&to_be_signed, &self.product)?)?;
        disk::write_json(&self.dir.join(STATE), &self.state)
    }

    fn damaged(&self) -> Error {
        Error::damaged(&self.dir.join(STATE), "a certificate is missing")
    }
}

/// Whom a certificate is about.
struct Subject<'a> {
    name: &'a str,
    spki: &'a [u8],
    authority: bool,
}

fn issue(
    subject: &Subject<'_>,
    issuer: &str,
    key: &RsaKey,
    from: Timestamp,
    life: SignedDuration,
) -> Result<Issued, Error> {
    let validity = Window { from, to: after(from, life)? };
    let serial = serial(&[key.spki(), subject.spki]);
    let (constraints, usage) = match subject.authority {
        true => (der::sequence(&[&der::boolean(true)]), CERT_SIGN_CRL_SIGN),
        false => (der::sequence(&[]), DIGITAL_SIGNATURE),
    };
    let extensions = der::sequence(&[
        &extension(BASIC_CONSTRAINTS, true, &constraints),
        &extension(KEY_USAGE, true, usage),
    ]);
    let to_be_signed = der::sequence(&[
        &der::context(0, &der::number(2)),
        &der::integer(&serial),
        &algorithm(),
        &name(issuer),
        &der::sequence(&[&der::time(validity.from)?, &der::time(validity.to)?]),
        &name(subject.name),
        subject.spki,
        &der::context(3, &extensions),
    ]);
    Ok(Issued::new(serial, signed(&to_be_signed, key)?, validity))
}

fn signed(to_be_signed: &[u8], key: &RsaKey) -> Result<Vec<u8>, Error> {
    let signature = der::bit_string(&key.sign_pkcs1(to_be_signed)?);
    Ok(der::sequence(&[to_be_signed, &algorithm(), &signature]))
}

fn algorithm() -> Vec<u8> {
    der::sequence(&[&der::oid(SHA256_WITH_RSA), &der::element(0x05, &[])])
}

const STATE: &str = "huawei.json";
const ROOT: &str = "Huawei Equipment CA";
const PRODUCT: &str = "Huawei IT Product CA";
const AUTHORITY_LIFE: SignedDuration = days(20 * 365);
const DEVICE_LIFE: SignedDuration = days(10 * 365);
/// keyUsage: digitalSignature.
const DIGITAL_SIGNATURE: &[u8] = &[3, 2, 7, 0x80];
/// 1.2.840.113549.1.1.11
const SHA256_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
