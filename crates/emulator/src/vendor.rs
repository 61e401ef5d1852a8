//! The emulated vendors in one directory, and what a Verifier must know of each.
//!
//! `anchors.toml` lists them as a Verifier's configuration does.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use crate::Error;
use crate::disk::{self, Access};
use crate::family::arm::enrolment;
use crate::family::{FamilyName, intel, itrustee, sev, snp};
use crate::x509::Freshness;

/// What a Verifier must know to judge evidence of one family.
#[derive(Debug, Serialize)]
pub struct Endorser {
    /// The family, as `--family` names it.
    pub family: String,
    /// The vendor, as a Verifier's configuration names it.
    pub vendor: &'static str,
    /// SHA-256 of the SubjectPublicKeyInfo in which trust begins.
    #[serde(serialize_with = "hex::serialize")]
    pub anchor: [u8; 32],
    /// The directory with certificates, keys and lists.
    pub collateral: PathBuf,
    /// SEV-SNP: what a policy should ask for at least, because the vendor publishes no levels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcb_min: Option<snp::Tcb>,
    /// CCA and TrustZone: the one device that the anchor vouches for, by its instance id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

/// Opens the vendor of Intel's families, and of those others that are there or are wanted, and
/// lists the devices without a common root; sets the freshness of all lists when told.
pub fn endorsers(
    dir: &Path,
    wanted: &[FamilyName],
    freshness: Option<Freshness>,
    now: Timestamp,
) -> Result<Vec<Endorser>, Error> {
    let mut intel = intel::Vendor::open(dir, now)?;
    if let Some(freshness) = freshness {
        intel.set_freshness(freshness, now)?;
    }
    let mut endorsers = Vec::new();
    for family in ["sgx", "tdx"] {
        endorsers.push(Endorser {
            family: family.to_owned(),
            vendor: "intel",
            anchor: intel.anchor(),
            collateral: disk::absolute(&intel.collateral_dir())?,
            tcb_min: None,
            instance: None,
        });
    }
    for (family, name, product) in [
        ("sev-snp", FamilyName::SevSnp, snp::Product::Genoa),
        ("sev-snp-turin", FamilyName::SevSnpTurin, snp::Product::Turin),
    ] {
        if !wanted.contains(&name) && !snp::Vendor::exists(dir, product) {
            continue;
        }
        let mut amd = snp::Vendor::open(dir, product, now)?;
        if let Some(freshness) = freshness {
            amd.set_freshness(freshness, now)?;
        }
        endorsers.push(Endorser {
            family: family.to_owned(),
            vendor: "amd",
            anchor: amd.anchor(),
            collateral: disk::absolute(&amd.collateral_dir())?,
            tcb_min: Some(snp::Tcb::UP_TO_DATE),
            instance: None,
        });
    }
    endorsers.extend(sev_endorser(dir, wanted.contains(&FamilyName::Sev), &intel)?);
    if wanted.contains(&FamilyName::TrustZoneItrustee) || itrustee::Vendor::exists(dir) {
        let mut huawei = itrustee::Vendor::open(dir, now)?;
        if let Some(freshness) = freshness {
            huawei.set_freshness(freshness, now)?;
        }
        endorsers.push(Endorser {
            family: "trustzone-itrustee".to_owned(),
            vendor: "huawei",
            anchor: huawei.anchor(),
            collateral: disk::absolute(&huawei.collateral_dir())?,
            tcb_min: None,
            instance: None,
        });
    }
    for device in enrolment::enrolled(dir)? {
        let vendor = if device.family == "trustzone-optee" { "op-tee" } else { "arm" };
        endorsers.push(Endorser {
            family: device.family,
            vendor,
            anchor: device.spki_sha256,
            collateral: disk::absolute(&intel.collateral_dir())?,
            tcb_min: None,
            instance: Some(hex::encode(device.instance)),
        });
    }
    Ok(endorsers)
}

/// SEV's, where it is there or wanted; a platform's certificates come with its evidence.
fn sev_endorser(
    dir: &Path,
    wanted: bool,
    intel: &intel::Vendor,
) -> Result<Option<Endorser>, Error> {
    let Some(anchor) = sev::Platform::anchor_of(dir, wanted)? else { return Ok(None) };
    Ok(Some(Endorser {
        family: "sev".to_owned(),
        vendor: "amd",
        anchor,
        collateral: disk::absolute(&intel.collateral_dir())?,
        tcb_min: None,
        instance: None,
    }))
}

/// Writes the list of anchors anew, after devices or vendors were made.
pub fn publish(dir: &Path, now: Timestamp) -> Result<(), Error> {
    // Who lists last must have looked last.
    let keys = dir.join("keys");
    disk::create_dir(&keys, Access::Private)?;
    let _lock = disk::lock_dir(&keys)?;
    let endorsers = endorsers(dir, &[], None, now)?;
    let mut listed: Vec<[u8; 32]> = Vec::new();
    let mut list = String::new();
    for Endorser { family, vendor, anchor, instance, .. } in &endorsers {
        if listed.contains(anchor) {
            continue;
        }
        listed.push(*anchor);
        let key = hex::encode(anchor);
        let table = if instance.is_some() { "device" } else { "emulator" };
        let _ = write!(
            list,
            "[[{table}]]\nvendor = \"{vendor}\"\nname = \"tamarack-tee, {family}\"\n\
             spki_sha256 = \"{key}\"\n"
        );
        if let Some(instance) = instance {
            let _ = writeln!(list, "device = {{ instance = \"{instance}\" }}\nemulated = true");
        }
        list.push('\n');
    }
    let path = dir.join(ANCHORS);
    if disk::read_if_present(&path)?.as_deref() == Some(list.as_bytes()) {
        return Ok(());
    }
    disk::write(&path, list.as_bytes(), Access::Public)
}

const ANCHORS: &str = "anchors.toml";
