//! The certificates of one platform, verified up to a pinned root.

use cose::Key;

use super::certificate::{AuthorityCertificate, NotACertificate, PlatformCertificate, Usage};
use crate::Collateral;
use crate::anchor::{Anchor, Anchors, Vendor};
use crate::check::{Check, Failure, Owner, Reason};
use crate::crypto::sha256;

/// A platform whose every certificate was verified. They carry no dates and nothing revokes them.
#[derive(Clone, Debug)]
pub struct VerifiedChain {
    /// The root.
    pub anchor: Anchor,
    /// The key with which an owner agrees on secrets.
    pub pdh: Key,
    /// SHA-256 of the chip's key.
    pub chip: [u8; 32],
    /// SHA-256 of the key of the platform's owner.
    pub owner: [u8; 32],
    /// The version of the firmware API that made the certificates: major, minor.
    pub api: [u8; 2],
}

impl VerifiedChain {
    /// Verifies `ark.cert`, `ask.cert`, `cek.cert`, `oca.cert`, `pek.cert` and `pdh.cert`. A failed
    /// check explains what is missing or wrong.
    //= EV-SEV-2: PDH ← PEK ← {OCA, CEK}; CEK ← ASK ← ARK
    pub fn verify(collateral: &Collateral, anchors: &Anchors) -> Result<Self, Box<Check>> {
        let ark = authority(collateral, ARK, Usage::Ark)?;
        let ask = authority(collateral, ASK, Usage::Ask)?;
        let cek = platform(collateral, CEK, Usage::Cek)?;
        let oca = platform(collateral, OCA, Usage::Oca)?;
        let pek = platform(collateral, PEK, Usage::Pek)?;
        let pdh = platform(collateral, PDH, Usage::Pdh)?;

        //= EV-COM-8: anchors are compared by public key
        let spki_sha256 = ark.spki_sha256();
        let anchor = anchors.find(Vendor::Amd, &spki_sha256);
        let anchor = anchor.ok_or_else(|| untrusted(&spki_sha256))?.clone();
        for (name, ok) in [
            (ARK, ark.is_signed_by(&ark)),
            (ASK, ask.is_signed_by(&ark)),
            (CEK, cek.names_signers([Usage::Ask, Usage::None]) && cek.is_signed_by_authority(&ask)),
            (OCA, oca.names_signers([Usage::Oca, Usage::None]) && oca.is_signed_by(&oca)),
            (PEK, pek.names_signers([Usage::Cek, Usage::Oca])),
            (PEK, pek.is_signed_by(&cek) && pek.is_signed_by(&oca)),
            (PDH, pdh.names_signers([Usage::Pek, Usage::None]) && pdh.is_signed_by(&pek)),
        ] {
            signed(name, ok)?;
        }
        Ok(Self {
            anchor,
            chip: sha256(cek.key.public()),
            owner: sha256(oca.key.public()),
            api: pdh.api,
            pdh: pdh.key,
        })
    }
}

fn authority<'c>(
    collateral: &'c Collateral,
    name: &'static str,
    usage: Usage,
) -> Result<AuthorityCertificate<'c>, Box<Check>> {
    let certificate = AuthorityCertificate::decode(file(collateral, name)?);
    let certificate = certificate.map_err(|error| unreadable(name, error))?;
    expect_usage(name, certificate.usage, usage)?;
    Ok(certificate)
}

fn platform<'c>(
    collateral: &'c Collateral,
    name: &'static str,
    usage: Usage,
) -> Result<PlatformCertificate<'c>, Box<Check>> {
    let certificate = PlatformCertificate::decode(file(collateral, name)?);
    let certificate = certificate.map_err(|error| unreadable(name, error))?;
    expect_usage(name, certificate.usage, usage)?;
    Ok(certificate)
}

fn file<'c>(collateral: &'c Collateral, name: &'static str) -> Result<&'c [u8], Box<Check>> {
    collateral.file(name).ok_or_else(|| {
        let check = Check::new("sev.chain.files").expected(name).seen("absent");
        check.refused(refetch(Reason::MissingEndorsement, name))
    })
}

fn expect_usage(name: &'static str, seen: Usage, expected: Usage) -> Result<(), Box<Check>> {
    if seen == expected {
        return Ok(());
    }
    Err(unreadable(name, NotACertificate::Malformed("the usage that the name of the file says")))
}

fn signed(name: &'static str, ok: bool) -> Result<(), Box<Check>> {
    if ok {
        return Ok(());
    }
    Err(Check::new("sev.chain.signature").source(name).refused(refetch(Reason::BadSignature, name)))
}

fn unreadable(name: &'static str, error: NotACertificate) -> Box<Check> {
    let check = Check::new("sev.chain.format").source(name);
    match error {
        NotACertificate::Malformed(expected) => {
            check.expected(expected).refused(refetch(Reason::Malformed, name))
        }
        NotACertificate::Unsupported(seen) => check.seen(seen).refused(Failure::new(
            Reason::Unsupported,
            Owner::Attester,
            "attest on hardware of AMD: this Verifier does not know this vendor",
        )),
    }
}

fn untrusted(root: &[u8; 32]) -> Box<Check> {
    let check = Check::new("sev.chain.root").seen(root).source("trust anchors");
    check.expected("the key of a listed anchor").refused(Failure::new(
        Reason::UntrustedRoot,
        Owner::PolicyOwner,
        "list the emulator's root if you mean to trust it; otherwise this hardware is not the \
         vendor's",
    ))
}

fn refetch(reason: Reason, name: &str) -> Failure {
    let remedy = match name {
        ARK | ASK => format!("fetch {name} of this product from the vendor"),
        CEK => format!("fetch {name} of this chip from the vendor"),
        _ => format!("export {name} from the platform again"),
    };
    Failure::new(reason, Owner::EndorsementProvider, remedy)
}

const ARK: &str = "ark.cert";
const ASK: &str = "ask.cert";
const CEK: &str = "cek.cert";
const OCA: &str = "oca.cert";
const PEK: &str = "pek.cert";
const PDH: &str = "pdh.cert";
