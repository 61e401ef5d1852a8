//! A guest whose owner launches it: measured, then given one secret, then started.
//!
//! Between the measurement and the secret the guest does not run. What its Agent needs for
//! evidence later the owner puts into the secret: a statement about the launch, and the key that
//! the statement names.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use cose::cbor::{encode, whole};
use device::frame::{self, Broken};
use device::launch::{Reply, Request};
use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};
use device::{FailureCode, Message as _};
use jiff::Timestamp;
use tracing::{debug, info, warn};
use zeroize::Zeroizing;

use super::{Guest, LaunchStart, Platform, Refused};
use crate::Error;
use crate::family::snp::hash_table;
use crate::family::{Family, describe, evidence};
use crate::key::{P384Key, sha256};
use crate::misbehaviour::Misbehaviour;
use crate::vm::Image;

/// The media type of the hardware layer in the Agent's evidence.
pub const MEDIA_TYPE: &str = "application/vnd.tamarack.sev-launch+cbor";

/// A guest that was launched, with the secret of its owner.
pub struct Machine {
    platform: Platform,
    dir: PathBuf,
    digest: [u8; 32],
    misbehaviour: Misbehaviour,
    certificates: [Vec<u8>; 6],
    statement: Vec<u8>,
    proof_key: P384Key,
}

/// What the injected secret holds for the Agent.
struct Secret {
    statement: Vec<u8>,
    proof_key: P384Key,
}

/// The launch digest of a machine: its firmware, and QEMU's table of hashes of what that starts.
pub fn launch_digest(image: &Image) -> Result<[u8; 32], Error> {
    Ok(sha256(&contents(image)?.concat()))
}

fn contents(image: &Image) -> Result<[Vec<u8>; 2], Error> {
    let firmware = image.firmware.clone().unwrap_or_default();
    if firmware.is_empty() {
        return Err(Error::EmptyProgram);
    }
    let mut table = hash_table(image);
    table.resize(table.len().next_multiple_of(16), 0);
    Ok([firmware, table])
}

impl Machine {
    /// Waits until an owner has launched a guest from this image: it was measured, the owner
    /// accepted that and injected a secret. A launch that comes to no secret is given up.
    //= EV-SEV-1: the owner attests at launch, and injects the secret before the guest runs
    pub fn await_owner(
        platform: Platform,
        image: &Image,
        listener: &TcpListener,
    ) -> Result<Self, Error> {
        let contents = contents(image)?;
        let failed = |error: io::Error| Error::launch("wait for the guest's owner", error);
        let certificates = platform.certificates()?;
        let address = listener.local_addr().map_err(failed)?;
        info!(%address, "the guest waits for its owner");
        loop {
            let (stream, from) = listener.accept().map_err(failed)?;
            let launched = stream.set_read_timeout(Some(OWNER_WITHIN)).map_err(io_broken);
            let launched =
                launched.and_then(|()| launch(&platform, &contents, &certificates, stream));
            match launched {
                Ok(Some((digest, Secret { statement, proof_key }))) => {
                    info!(%from, "the owner's secret is injected");
                    let (dir, misbehaviour) = (platform.dir.clone(), platform.misbehaviour);
                    return Ok(Self {
                        platform,
                        dir,
                        digest,
                        misbehaviour,
                        certificates,
                        statement,
                        proof_key,
                    });
                }
                Ok(None) => debug!(%from, "an owner left before the secret"),
                Err(broken) => debug!(%from, %broken, "an owner is left"),
            }
        }
    }
}

/// Serves one owner; gives the digest and the secret of the guest that was launched.
fn launch(
    platform: &Platform,
    contents: &[Vec<u8>],
    certificates: &[Vec<u8>; 6],
    mut owner: TcpStream,
) -> Result<Option<([u8; 32], Secret)>, Broken> {
    let mut guest: Option<Guest> = None;
    while let Some(body) = frame::read_frame(&mut owner)? {
        let reply = match Request::decode(&body) {
            Ok(Request::Describe) => Reply::Platform(Box::new(certificates.clone())),
            Ok(Request::Start { policy, certificate, session }) => {
                let start = LaunchStart { policy, certificate: &certificate, session: &session };
                match measured(platform, &start, contents) {
                    Ok((launched, measured)) => {
                        guest = Some(launched);
                        measured
                    }
                    Err(reply) => reply,
                }
            }
            Ok(Request::Secret { header, ciphertext }) => {
                match injected(guest.as_mut(), &header, &ciphertext) {
                    Ok(launched) => {
                        frame::send(&mut owner, &Reply::Started)?;
                        return Ok(Some(launched));
                    }
                    Err(reply) => reply,
                }
            }
            Err(malformed) => Reply::failed(FailureCode::Malformed, malformed.to_string()),
        };
        frame::send(&mut owner, &reply)?;
    }
    Ok(None)
}

/// LAUNCH_START, LAUNCH_UPDATE_DATA and LAUNCH_MEASURE.
fn measured(
    platform: &Platform,
    start: &LaunchStart<'_>,
    contents: &[Vec<u8>],
) -> Result<(Guest, Reply), Reply> {
    let mut guest = platform.launch_start(start).map_err(refused)?;
    for part in contents {
        guest.update(part).map_err(refused)?;
    }
    let measured = guest.measure().map_err(|error| {
        warn!(%error, "cannot measure");
        Reply::failed(FailureCode::Broken, "the emulated hardware failed")
    })?;
    let mut measure = Box::new([0; 48]);
    measure[..32].copy_from_slice(&measured.mac);
    measure[32..].copy_from_slice(&measured.nonce);
    let (firmware, policy, digest) = (measured.firmware, measured.policy, measured.digest);
    Ok((guest, Reply::Measured { firmware, policy, digest, measure }))
}

/// LAUNCH_SECRET.
fn injected(
    guest: Option<&mut Guest>,
    header: &[u8; 52],
    ciphertext: &[u8],
) -> Result<([u8; 32], Secret), Reply> {
    let guest = guest.ok_or_else(|| refused(Refused::InvalidState))?;
    let memory = Zeroizing::new(guest.inject(header, ciphertext).map_err(refused)?);
    let digest = guest.measured.as_ref().map(|measured| measured.digest);
    let secret = Secret::find(&memory);
    digest.zip(secret).ok_or_else(|| {
        let why = "the secret holds no statement about the launch, nor a key to prove it";
        Reply::failed(FailureCode::Malformed, why)
    })
}

impl Secret {
    /// Finds the entry of the table of secrets that is for the Agent, as its guest would.
    fn find(memory: &[u8]) -> Option<Self> {
        let at = memory.windows(16).position(|window| window == SECRET_ID)?;
        let length = u32::from_le_bytes(*memory.get(at + 16..)?.first_chunk()?);
        let entry = memory.get(at..at.checked_add(usize::try_from(length).ok()?)?)?;
        let read = whole(entry.get(20..)?, |d| {
            let members = d.array()?;
            let label = d.str()?;
            let (_token, _key) = (d.bytes()?, d.bytes()?);
            if members != Some(5) || label != SECRET_LABEL {
                return Err(cose::Malformed::Expected("a secret with a statement"));
            }
            let statement = d.bytes()?.to_vec();
            Ok((statement, d.bytes()?.first_chunk::<48>().map(|it| Zeroizing::new(*it))))
        });
        let (statement, scalar) = read.ok()?;
        Some(Self { statement, proof_key: P384Key::from_scalar(&*scalar?)? })
    }
}

impl Platform {
    /// The certificates of this platform, in the order of [`Reply::Platform`].
    fn certificates(&self) -> Result<[Vec<u8>; 6], Error> {
        let mut certificates: [Vec<u8>; 6] = Default::default();
        let names = ["ark.cert", "ask.cert", "cek.cert", "oca.cert", "pek.cert", "pdh.cert"];
        for (name, certificate) in names.into_iter().zip(&mut certificates) {
            let path = self.collateral_dir().join(name);
            let read = fs::read(&path);
            *certificate = read.map_err(|error| Error::disk("read", &path, &error))?;
        }
        Ok(certificates)
    }
}

impl Family for Machine {
    fn quote(
        &mut self,
        _now: Timestamp,
        report_data: &[u8; REPORT_DATA_BYTES],
    ) -> Result<Quote, Error> {
        let sign = |report_data: [u8; REPORT_DATA_BYTES]| {
            let message = [PROOF_LABEL, &report_data].concat();
            let proof = match self.misbehaviour {
                Misbehaviour::OtherKey => P384Key::generate()?.sign(&message)?,
                _ => self.proof_key.sign(&message)?,
            };
            Ok(encode(|e| {
                e.array(3)?.bytes(&self.statement)?.bytes(&proof)?;
                e.array(self.certificates.len() as u64)?;
                for certificate in &self.certificates {
                    e.bytes(certificate)?;
                }
                e.ok()
            }))
        };
        let evidence = evidence::make(&self.dir, self.misbehaviour, report_data, sign)?;
        Ok(Quote { media_type: MEDIA_TYPE.to_owned(), evidence, aux: None })
    }

    fn sealing_key(&self, label: &str) -> SealingKey {
        self.platform.fuses.sealing_key(&self.digest, label)
    }

    fn describe(&self) -> Description {
        describe(&self.platform.fuses, "SEV", "Tamarack emulated Rome")
    }
}

fn refused(refused: Refused) -> Reply {
    let code = match refused {
        Refused::BadMeasurement => FailureCode::Untrusted,
        Refused::InvalidCertificate => FailureCode::Malformed,
        Refused::InvalidState => FailureCode::Misbehaved,
    };
    Reply::failed(code, refused.to_string())
}

fn io_broken(error: io::Error) -> Broken {
    Broken::Io(error.kind())
}

/// How long an owner may be silent.
const OWNER_WITHIN: Duration = Duration::from_secs(10);
const SECRET_LABEL: &str = "teep-sev-v1";
const PROOF_LABEL: &[u8] = b"tamarack sev-proof-v1\0";
/// 6f8b2a70-3c51-4d0e-9a6e-7d2f10c4e5b3, as bytes: the entry for the Agent.
const SECRET_ID: [u8; 16] = [
    0x70, 0x2a, 0x8b, 0x6f, 0x51, 0x3c, 0x0e, 0x4d, 0x9a, 0x6e, 0x7d, 0x2f, 0x10, 0xc4, 0xe5, 0xb3,
];
