//! SEV and SEV-ES: evidence by the secret that the guest's owner injected at launch.
//!
//! There is nothing to ask for a report. Linux' efi_secret shows the owner's secret, which holds a
//! statement about the launch and the key that the statement names; the host hands over the
//! platform's certificates, which are no secret and prove themselves, as an entry of QEMU's fw_cfg.

use std::fs;
use std::path::Path;

use cose::cbor::{encode, whole};
use cose::{Curve, Signer as _};
use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};
use keys::{AgreementKey, SigningKey};
use zeroize::Zeroizing;

use super::{Attester, Fault, Problem, Unavailable};

/// A guest that its owner launched.
pub struct SevSecret {
    statement: Vec<u8>,
    proof_key: SigningKey,
    /// The platform's certificates, as evidence has them: an array of six byte strings.
    certificates: Vec<u8>,
    command_line: String,
    description: Description,
}

impl SevSecret {
    /// Reads the secret and the certificates below `root`.
    pub fn open(root: &Path) -> Result<Self, Fault> {
        let path = root.join(PATH);
        let secret = read(&path)?;
        let (statement, scalar) = parse(&secret).ok_or_else(|| no_secret(&path))?;
        let proof_key = key(&scalar).ok_or_else(|| no_secret(&path))?;
        let path = root.join(CERTIFICATES);
        let certificates = read(&path)?.to_vec();
        let platform = platform(&certificates);
        let platform = platform.ok_or_else(|| {
            Fault::new(&path, Problem::Malformed("array of a platform's six certificates"))
        })?;
        let path = root.join("proc/cmdline");
        let command_line = fs::read_to_string(&path).map_err(|error| Fault::os(&path, &error))?;
        let ueid = [&[UEID_RANDOM][..], &platform].concat();
        let description = Description {
            family: "SEV".to_owned(),
            hwmodel: b"SEV".to_vec(),
            hwversion: String::new(),
            oemid: AMD.to_vec(),
            ueid,
            interface: "efi-secret".to_owned(),
        };
        Ok(Self { statement, proof_key, certificates, command_line, description })
    }
}

impl Attester for SevSecret {
    fn description(&self) -> &Description {
        &self.description
    }

    //= EV-SEV-7: later user data is bound by the injected key
    fn quote(&self, report_data: [u8; REPORT_DATA_BYTES]) -> Result<Quote, Unavailable> {
        let message = [PROOF_LABEL, &report_data].concat();
        let proof = self.proof_key.sign(&message);
        let proof = proof.map_err(|_| Unavailable::lacks("the injected key does not sign"))?;
        let mut evidence = encode(|e| e.array(3)?.bytes(&self.statement)?.bytes(&proof)?.ok());
        evidence.extend_from_slice(&self.certificates);
        Ok(Quote { media_type: MEDIA_TYPE.to_owned(), evidence, aux: None })
    }

    /// A secret is for one launch, so nothing can be opened after the next one.
    fn sealing_key(&self, _label: &str) -> Result<SealingKey, Unavailable> {
        Err(Unavailable::lacks("SEV derives no key for a guest"))
    }

    /// The launch measures the command line, and nothing else that the host could say it by.
    fn covers_settings(&self, _evidence: &[u8], settings: &[u8]) -> bool {
        let named = format!("tamarack.settings={}", hex::encode(cose::sha256(settings)));
        self.command_line.split_ascii_whitespace().any(|word| word == named)
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let bytes = fs::read(path).map_err(|error| Fault::os(path, &error))?;
    let bytes = Zeroizing::new(bytes);
    if bytes.len() > BYTES_MAX {
        return Err(Fault::new(path, Problem::Malformed("content of a sensible length")));
    }
    Ok(bytes)
}

/// The statement, and the scalar of the key that it names.
fn parse(secret: &[u8]) -> Option<(Vec<u8>, Zeroizing<Vec<u8>>)> {
    let read = whole(secret, |d| {
        let members = d.array()?;
        let label = d.str()?;
        let (_token, _key) = (d.bytes()?, d.bytes()?);
        if members != Some(5) || label != SECRET_LABEL {
            return Err(cose::Malformed::Expected("a secret with a statement"));
        }
        Ok((d.bytes()?.to_vec(), Zeroizing::new(d.bytes()?.to_vec())))
    });
    read.ok()
}

fn key(scalar: &[u8]) -> Option<SigningKey> {
    let key = AgreementKey::from_scalar(Curve::P384, scalar).ok()?;
    SigningKey::from_pkcs8(key.to_pkcs8().ok()?.expose()).ok()
}

/// What names the platform, from six certificates: the chip's.
fn platform(certificates: &[u8]) -> Option<[u8; 32]> {
    let read = whole(certificates, |d| {
        if d.array()? != Some(6) {
            return Err(cose::Malformed::Expected("six certificates"));
        }
        let mut chip = [0; 32];
        for at in 0..6 {
            let certificate = d.bytes()?;
            if at == CEK {
                chip = cose::sha256(certificate);
            }
        }
        Ok(chip)
    });
    read.ok()
}

fn no_secret(path: &Path) -> Fault {
    Fault::new(path, Problem::Malformed("statement about the launch, nor a key to prove it"))
}

/// Where Linux' efi_secret has the owner's secret for the Agent.
pub(super) const PATH: &str =
    "sys/kernel/security/secrets/coco/6f8b2a70-3c51-4d0e-9a6e-7d2f10c4e5b3";
/// Where QEMU's fw_cfg has what the host was told to hand over.
const CERTIFICATES: &str = "sys/firmware/qemu_fw_cfg/by_name/opt/tamarack/sev-chain/raw";
const MEDIA_TYPE: &str = "application/vnd.tamarack.sev-launch+cbor";
const SECRET_LABEL: &str = "teep-sev-v1";
const PROOF_LABEL: &[u8] = b"tamarack sev-proof-v1\0";
/// ARK, ASK, then the chip's own.
const CEK: usize = 2;
const AMD: [u8; 3] = [0x00, 0x00, 0x1a];
/// RFC 9711 section 4.2.1: type RAND.
const UEID_RANDOM: u8 = 0x01;
const BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests;
