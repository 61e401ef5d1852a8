//! OP-TEE's attestation PTA, asked from the normal world through `/dev/tee0`.
//!
//! The PTA digests the memory of an application for that application alone; whoever asks from the
//! normal world gets the digest of OP-TEE itself. That says what the secure world runs, not where
//! the Agent runs, so a Verifier refuses it unless its policy allows `tee-memory`.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents};
use cose::cbor::encode;
use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};

use super::{Attester, Family, Fault, Problem, Unavailable};
use crate::sys::tee::{Device, Failed, Parameter, SecureWorld};

/// OP-TEE below the normal world that the Agent runs in.
pub struct OpTee {
    world: Mutex<Box<dyn SecureWorld>>,
    path: PathBuf,
    key: PublicKey,
    description: Description,
}

type PublicKey = RsaPublicKeyComponents<Vec<u8>>;

impl OpTee {
    /// Opens the device below `root` and asks the PTA for its key.
    pub fn open(root: &Path) -> Result<Self, Fault> {
        let path = root.join(PATH);
        let device = Device::open(&path).map_err(|error| Fault::os(&path, &error))?;
        Self::over(Box::new(device), path)
    }

    /// Asks the PTA of this secure world for its key.
    pub fn over(world: Box<dyn SecureWorld>, path: PathBuf) -> Result<Self, Fault> {
        let key = public_key(&*world, &path)?;
        let der = AsDer::<PublicKeyX509Der<'_>>::as_der(&key);
        let der = der.map_err(|_| Fault::new(&path, Problem::Malformed("public key")))?;
        // As a PSA device names itself (RFC 9783 section 4.2.1), and as it is to be enrolled.
        let ueid = [&[1][..], &cose::sha256(der.as_ref())].concat();
        let description = Description { ueid, ..FAMILY.describe(&[], "op-tee", [0; 32]) };
        Ok(Self { world: Mutex::new(world), path, key, description })
    }

    fn evidence(&self, challenge: &[u8; REPORT_DATA_BYTES]) -> Result<Vec<u8>, Fault> {
        //= EV-OT-2: the nonce is SHA-256(challenge ‖ TA uuid ‖ command)
        let nonce = [&challenge[..], &AGENT, &HASH_TEE_MEMORY.to_be_bytes()].concat();
        let nonce = cose::sha256(&nonce);
        let mut parameters =
            [Parameter::Input(nonce.to_vec()), Parameter::Output(vec![0; OUTPUT_BYTES_MAX])];
        let world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        invoke(&**world, &self.path, HASH_TEE_MEMORY, &mut parameters)?;
        let [_, Parameter::Output(output)] = parameters else {
            return Err(Fault::new(&self.path, Problem::Malformed("output")));
        };
        let Some((digest, signature)) = output.split_first_chunk::<32>() else {
            let problem = Problem::Length { expected: 32, seen: output.len() };
            return Err(Fault::new(&self.path, problem));
        };
        //= EV-IF-2 (M): the returned evidence carries the user data just written
        let signed = [nonce, *digest].concat();
        let verified = self.key.verify(&RSA_PSS_2048_8192_SHA256, &signed, signature);
        verified.map_err(|_| Fault::new(&self.path, Problem::OtherData))?;
        Ok(encode(|e| {
            e.array(6)?.str(FORMAT)?.bytes(&self.description.ueid)?.bytes(&AGENT)?;
            e.u32(HASH_TEE_MEMORY)?.bytes(challenge)?.bytes(&output)?.ok()
        }))
    }
}

impl Attester for OpTee {
    fn description(&self) -> &Description {
        &self.description
    }

    fn quote(&self, report_data: [u8; REPORT_DATA_BYTES]) -> Result<Quote, Unavailable> {
        let evidence = self.evidence(&report_data)?;
        Ok(Quote { media_type: FAMILY.media_type().to_owned(), evidence, aux: None })
    }

    fn sealing_key(&self, _: &str) -> Result<SealingKey, Unavailable> {
        Err(Unavailable::lacks("OP-TEE derives keys for its own applications alone"))
    }
}

impl std::fmt::Debug for OpTee {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpTee").field("path", &self.path).finish_non_exhaustive()
    }
}

fn public_key(world: &dyn SecureWorld, path: &Path) -> Result<PublicKey, Fault> {
    let mut parameters = [
        Parameter::Output(vec![0; EXPONENT_BYTES_MAX]),
        Parameter::Output(vec![0; MODULUS_BYTES_MAX]),
        Parameter::ValueOutput,
    ];
    invoke(world, path, GET_PUBKEY, &mut parameters)?;
    match parameters {
        [Parameter::Output(e), Parameter::Output(n), _] => Ok(PublicKey { n, e }),
        _ => Err(Fault::new(path, Problem::Malformed("public key"))),
    }
}

fn invoke(
    world: &dyn SecureWorld,
    path: &Path,
    command: u32,
    parameters: &mut [Parameter],
) -> Result<(), Fault> {
    world.invoke(&PTA, command, parameters).map_err(|failed| match failed {
        Failed::Os(error) => Fault::os(path, &std::io::Error::from_raw_os_error(error)),
        Failed::Other => Fault::new(path, Problem::Provider("another TEE than OP-TEE".to_owned())),
        Failed::Result(ITEM_NOT_FOUND) => Fault::new(path, Problem::NoService),
        Failed::Result(code) => Fault::new(path, Problem::Firmware(code.into())),
    })
}

/// The device, below the root.
pub(super) const PATH: &str = "dev/tee0";
const FAMILY: Family = Family::TrustZone;
/// PTA_ATTESTATION_UUID: 39800861-182a-4720-9b67-2bcd622bc0b5
const PTA: [u8; 16] = 0x3980_0861_182a_4720_9b67_2bcd_622b_c0b5_u128.to_be_bytes();
/// The Agent as an application: 54616d61-7261-436b-8f01-4f5054454521
const AGENT: [u8; 16] = 0x5461_6d61_7261_436b_8f01_4f50_5445_4521_u128.to_be_bytes();
const FORMAT: &str = "tamarack-optee-1";
const GET_PUBKEY: u32 = 0;
const HASH_TEE_MEMORY: u32 = 3;
const EXPONENT_BYTES_MAX: usize = 8;
/// RSA-4096.
const MODULUS_BYTES_MAX: usize = 512;
const OUTPUT_BYTES_MAX: usize = 32 + MODULUS_BYTES_MAX;
/// TEE_ERROR_ITEM_NOT_FOUND.
const ITEM_NOT_FOUND: u32 = 0xffff_0008;

#[cfg(test)]
mod tests;
