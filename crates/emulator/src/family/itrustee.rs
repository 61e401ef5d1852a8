//! Kunpeng iTrustee: a trusted application about which an emulated quoting TA (QTA) reports.
//!
//! The device root key (DRK) is certified by the vendor; it certifies the key of the QTA (AK),
//! which signs reports. Both signatures are over JSON as cJSON prints it.

mod json;
mod vendor;

use std::path::{Path, PathBuf};

use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};
use jiff::Timestamp;
use serde::Serialize;

use self::json::Json;
pub use self::vendor::Vendor;
use crate::Error;
use crate::disk::{self, Access};
use crate::family::arm::{CURRENT, version};
use crate::family::{Family, describe, evidence};
use crate::fuses::Fuses;
use crate::key::{RsaKey, sha256};
use crate::misbehaviour::Misbehaviour;

/// The media type of the hardware layer in the Agent's evidence.
pub const MEDIA_TYPE: &str = "application/vnd.tamarack.trustzone-report+cbor";

/// The identity of a program and its settings, as a reference value spells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Measurement {
    /// The quoting TA's image.
    #[serde(serialize_with = "hex::serialize")]
    pub qta_img: [u8; 32],
    /// The quoting TA's memory.
    #[serde(serialize_with = "hex::serialize")]
    pub qta_mem: [u8; 32],
    /// The program.
    pub ta: Application,
}

/// The program as a trusted application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Application {
    /// Which one.
    pub uuid: &'static str,
    /// SHA-256 of the program.
    #[serde(serialize_with = "hex::serialize")]
    pub img: [u8; 32],
    /// SHA-256 over the digests of the program and of its settings.
    #[serde(serialize_with = "hex::serialize")]
    pub mem: [u8; 32],
}

impl Measurement {
    /// Measures a program and its settings on a device that is up to date.
    pub fn of(program: &[u8], settings: &[u8]) -> Result<Self, Error> {
        if program.is_empty() {
            return Err(Error::EmptyProgram);
        }
        let (img, settings) = (sha256(program), sha256(settings));
        let (qta_img, qta_mem) = qta(CURRENT);
        let mem = sha256(&[img, settings].concat());
        Ok(Self { qta_img, qta_mem, ta: Application { uuid: UUID, img, mem } })
    }

    fn misbehave(&mut self, misbehaviour: Misbehaviour) {
        (self.qta_img, self.qta_mem) = qta(version(misbehaviour));
        if misbehaviour == Misbehaviour::WrongMeasurement {
            self.ta.mem[0] ^= 0xff;
        }
    }
}

/// An emulated device with one program running as a trusted application.
pub struct Machine {
    dir: PathBuf,
    fuses: Fuses,
    measurement: Measurement,
    misbehaviour: Misbehaviour,
    /// The device's root key.
    drk: RsaKey,
    /// The quoting TA's key.
    ak: RsaKey,
    drk_certificate: Vec<u8>,
}

impl Machine {
    /// Starts a program with this measurement on the device whose state is in `state_dir`.
    ///
    /// Its certificate comes from the vendor in `vendor_dir`, which is made if absent.
    pub fn start(
        vendor_dir: &Path,
        state_dir: &Path,
        measurement: Measurement,
        misbehaviour: Misbehaviour,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let fuses = Fuses::open(state_dir)?;
        let dir = state_dir.join("itrustee");
        disk::create_dir(&dir, Access::Private)?;
        let drk = RsaKey::load_or_create(&dir.join("drk.pk8"))?;
        let ak = RsaKey::load_or_create(&dir.join("ak.pk8"))?;
        let mut vendor = Vendor::open(vendor_dir, now)?;
        let name = hex::encode_upper(&fuses.ueid()[1..9]);
        let certificate = match misbehaviour {
            Misbehaviour::ForeignRoot => {
                Vendor::open(&dir.join("foreign-vendor"), now)?.certify(&name, drk.spki(), now)?
            }
            _ => vendor.certify(&name, drk.spki(), now)?,
        };
        vendor.set_revoked(certificate.serial, misbehaviour == Misbehaviour::Revoked, now)?;
        let mut measurement = measurement;
        measurement.misbehave(misbehaviour);
        let drk_certificate = certificate.der;
        Ok(Self { dir, fuses, measurement, misbehaviour, drk, ak, drk_certificate })
    }

    /// What the DRK says of the AK.
    fn ak_certificate(&self) -> Result<Json, Error> {
        let payload = Json::object([
            ("version", Json::text("TEE.RA.1.0")),
            ("timestamp", Json::text(TIMESTAMP)),
            ("scenario", Json::text(SCENARIO)),
            ("sign_alg", Json::text("PS256")),
            ("hash_alg", Json::text("HS256")),
            ("qta_img", Json::base64url(&self.measurement.qta_img)),
            ("qta_mem", Json::base64url(&self.measurement.qta_mem)),
            ("tcb", Json::text("")),
            (
                "ak_pub",
                Json::object([
                    ("kty", Json::text("RSA")),
                    ("n", Json::base64url(&self.ak.modulus())),
                    ("e", Json::base64url(&[1, 0, 1])),
                ]),
            ),
        ]);
        let drk_sign = Json::base64url(&self.drk.sign_pss_sha256(&payload.signed_bytes())?);
        let drk_cert = Json::base64url(&json::filled(&self.drk_certificate));
        let signature = Json::object([("drk_cert", drk_cert), ("drk_sign", drk_sign)]);
        Ok(Json::object([
            ("signature", signature),
            ("payload", payload),
            ("handler", Json::text("provisioning-output")),
        ]))
    }

    fn report(&self, nonce: [u8; REPORT_DATA_BYTES]) -> Result<Vec<u8>, Error> {
        let payload = Json::object([
            ("version", Json::text("TEE.RA.1.0")),
            ("timestamp", Json::text(TIMESTAMP)),
            ("nonce", Json::base64url(&nonce)),
            ("scenario", Json::text(SCENARIO)),
            ("uuid", Json::text(UUID)),
            ("hash_alg", Json::text("HS256")),
            ("sign_alg", Json::text("PS256")),
            ("ta_mem", Json::base64url(&self.measurement.ta.mem)),
            ("ta_img", Json::base64url(&self.measurement.ta.img)),
            ("ta_attr", Json::text("")),
            ("tcb", Json::text("")),
        ]);
        // A key that the DRK has not certified: its own.
        let key = match self.misbehaviour {
            Misbehaviour::OtherKey => &self.drk,
            _ => &self.ak,
        };
        let signature = Json::base64url(&key.sign_pss_sha256(&payload.signed_bytes())?);
        let report = Json::object([
            ("report_sign", Json::object([(SCENARIO, signature)])),
            ("akcert", Json::object([(SCENARIO, self.ak_certificate()?)])),
            ("payload", payload),
            ("handler", Json::text("report-output")),
        ]);
        Ok(report.print().into_bytes())
    }
}

impl Family for Machine {
    fn quote(
        &mut self,
        _: Timestamp,
        report_data: &[u8; REPORT_DATA_BYTES],
    ) -> Result<Quote, Error> {
        let sign = |report_data| self.report(report_data);
        evidence::quote(&self.dir, self.misbehaviour, MEDIA_TYPE, report_data, sign)
    }

    fn sealing_key(&self, label: &str) -> SealingKey {
        self.fuses.sealing_key(&self.measurement.ta.mem, label)
    }

    fn describe(&self) -> Description {
        describe(&self.fuses, "TrustZone", "Tamarack emulated Kunpeng")
    }
}

/// Image and memory of the quoting TA.
fn qta(version: &str) -> ([u8; 32], [u8; 32]) {
    let of = |what: &str| sha256(format!("tamarack emulated QTA {version} {what}").as_bytes());
    (of("image"), of("memory"))
}

/// The device's own clock, which nobody believes.
const TIMESTAMP: &str = "1";
const SCENARIO: &str = "sce_no_as";
const UUID: &str = "7f3a1b52-9c0d-4e68-8a47-54616d617261";
