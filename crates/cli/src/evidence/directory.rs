//! Collateral and trust anchors as directories hold them.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use verifier::{
    Anchors, Collateral, Kind,
    anchor::{Listed, ListedDevice, Vendor},
    evidence::{arm::enrolled_key, sev::certificate::AuthorityCertificate},
    value::Hex,
    x509,
};

use super::text;

/// A directory as vendors' caches lay it out: each file under its name; a store of many platforms
/// has folders for kinds of evidence and for platforms.
pub(crate) fn collateral(directory: &Path) -> Result<Collateral> {
    let mut collateral = Collateral::default();
    add(directory, "", DEPTH_MAX, &mut collateral)
        .with_context(|| format!("reading the collateral in {}", directory.display()))?;
    Ok(collateral)
}

fn add(directory: &Path, folder: &str, depth: u8, collateral: &mut Collateral) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let name = format!("{folder}{name}");
        if path.is_file() {
            collateral.insert(name, fs::read(&path)?);
        } else if depth > 0 && path.is_dir() && is_folder(&name) {
            add(&path, &format!("{name}/"), depth - 1, collateral)?;
        }
    }
    Ok(())
}

/// Folders are those of a kind of evidence, and of its platforms; others are somebody else's.
fn is_folder(name: &str) -> bool {
    let kind = name.split('/').next().unwrap_or_default();
    kind.parse::<Kind>().is_ok()
}

/// The vendors' roots, and what a directory lists: certificates as the roots of a vendor's
/// emulators, public keys as those of enrolled devices, and devices with what their evidence names
/// them by. The public keys themselves are added to the collateral.
pub(crate) fn anchors(
    directory: &Path,
    kind: Kind,
    collateral: &mut Collateral,
) -> Result<Anchors> {
    let vendor = vendor(kind);
    let mut anchors = Anchors::vendors();
    let listed = fs::read_dir(directory)
        .with_context(|| format!("reading the anchors in {}", directory.display()))?;
    for entry in listed {
        let path = entry?.path();
        if !path.is_file() {
            continue;
        }
        if path.extension().is_some_and(|extension| extension == "toml") {
            anchors = anchors.with_device(ListedDevice::from_toml(&text(&path)?)?);
            continue;
        }
        let bytes = fs::read(&path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Ok(root) = AuthorityCertificate::decode(&bytes) {
            let spki_sha256 = Hex(root.spki_sha256());
            anchors = anchors.with_emulator(Listed { vendor: Vendor::Amd, name, spki_sha256 });
            continue;
        }
        if let Some(spki_sha256) = enrolled_key(&name, &bytes) {
            for vendor in [Vendor::Arm, Vendor::OpTee] {
                let (name, spki_sha256) = (name.clone(), Hex(spki_sha256));
                anchors = anchors.with_enrolled(Listed { vendor, name, spki_sha256 });
            }
            collateral.insert(name, bytes);
            continue;
        }
        let certificates = x509::decode_pem(&bytes).unwrap_or_else(|_| vec![bytes]);
        for der in certificates {
            let Ok(certificate) = x509::Certificate::decode(&der) else { continue };
            if !certificate.is_authority() {
                continue;
            }
            let name = certificate.common_name().unwrap_or("emulator").to_owned();
            let spki_sha256 = Hex(certificate.spki_sha256());
            anchors = anchors.with_emulator(Listed { vendor, name, spki_sha256 });
        }
    }
    Ok(anchors)
}

/// Whose root an emulator of that kind of evidence has.
const fn vendor(kind: Kind) -> Vendor {
    match kind {
        Kind::Sev | Kind::SevSnp => Vendor::Amd,
        Kind::Cca => Vendor::Arm,
        Kind::TrustZone => Vendor::Huawei,
        Kind::Sgx | Kind::Tdx => Vendor::Intel,
    }
}

/// Folders inside each other: kind, platform.
const DEPTH_MAX: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_kinds_and_platforms_are_read_and_others_are_not() {
        let directory = tempfile::tempdir().expect("a directory");
        for folder in ["tdx/00906ed50000-processor", "other"] {
            fs::create_dir_all(directory.path().join(folder)).expect("a folder");
        }
        for file in ["a", "tdx/b", "tdx/00906ed50000-processor/c", "other/d"] {
            fs::write(directory.path().join(file), file).expect("a file");
        }

        let read = collateral(directory.path()).expect("collateral");

        let names: Vec<_> = read.files().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "tdx/00906ed50000-processor/c", "tdx/b"]);
    }
}
