//! A vendor like Huawei with a root of its own: certificates, AK certificates and reports in every
//! shape. RSA keys are slow to make, so there is one vendor for all tests.

use std::sync::OnceLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding};
use verifier::anchor::{Anchors, Listed, Vendor as Family};
use verifier::evidence::trustzone::Uuid;
use verifier::value::Hex;
use verifier::{Collateral, crypto};

use crate::device::{Key, base64, pem};

/// An RSA key.
pub(crate) struct Rsa(KeyPair);

impl Rsa {
    fn generate(size: KeySize) -> Self {
        Self(KeyPair::generate(size).expect("a key"))
    }

    pub(crate) fn sign(&self, scheme: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(scheme, &SystemRandom::new(), message, &mut signature).expect("a signature");
        signature
    }

    pub(crate) fn pss(&self, message: &[u8]) -> Vec<u8> {
        self.sign(&RSA_PSS_SHA256, message)
    }

    pub(crate) fn modulus(&self) -> Vec<u8> {
        // Two headers of four octets and a sign stand before it.
        self.0.public_key().as_ref()[9..9 + self.0.public_modulus_len()].to_vec()
    }

    pub(crate) fn spki(&self) -> Vec<u8> {
        let id = sequence(&[&oid("2a864886f70d010101"), &[5, 0]]);
        sequence(&[&id, &bits(self.0.public_key().as_ref())])
    }
}

/// All keys of the vendor and of one device.
pub(crate) struct Vendor {
    root: Rsa,
    product: Rsa,
    pub(crate) device: Rsa,
    pub(crate) ak: Rsa,
}

/// How the vendor's collateral differs from an ordinary one.
pub(crate) struct World {
    pub(crate) product_signed_by_device: bool,
    pub(crate) product_is_authority: bool,
    pub(crate) other_product_key: bool,
    pub(crate) product_until: &'static str,
    /// Serial numbers of revoked devices; with any, there is a list.
    pub(crate) revoked: Vec<u8>,
    pub(crate) list_until: &'static str,
}

impl Default for World {
    fn default() -> Self {
        Self {
            product_signed_by_device: false,
            product_is_authority: true,
            other_product_key: false,
            product_until: UNTIL,
            revoked: Vec::new(),
            list_until: UNTIL,
        }
    }
}

/// How an AK certificate differs from an ordinary one.
pub(crate) struct Ak {
    pub(crate) scenario: &'static str,
    pub(crate) kty: &'static str,
    pub(crate) exponent: &'static str,
    pub(crate) small: bool,
    pub(crate) pkcs1: bool,
    pub(crate) signed_by_ak: bool,
    pub(crate) drk_is_authority: bool,
    pub(crate) drk_usage: u8,
}

impl Default for Ak {
    fn default() -> Self {
        Self {
            scenario: "sce_no_as",
            kty: "RSA",
            exponent: "AQAB",
            small: false,
            pkcs1: false,
            signed_by_ak: false,
            drk_is_authority: false,
            drk_usage: 0xf8,
        }
    }
}

/// How a report differs from an ordinary one.
pub(crate) struct Report {
    pub(crate) ak: Ak,
    pub(crate) version: &'static str,
    pub(crate) scenario: &'static str,
    pub(crate) timestamp: &'static str,
    pub(crate) nonce: Vec<u8>,
    pub(crate) extra: Option<(&'static str, &'static str)>,
    pub(crate) pkcs1: bool,
    pub(crate) signed_by_drk: bool,
    /// The AK certificate as base64url text.
    pub(crate) wrapped: bool,
    /// A PEM certificate in place of the AK certificate.
    pub(crate) pem: bool,
    /// The signature stands under another scenario.
    pub(crate) other_scenario_signed: bool,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            ak: Ak::default(),
            version: "TEE.RA.1.0",
            scenario: "sce_no_as",
            timestamp: "3541669582407074",
            nonce: NONCE.to_vec(),
            extra: None,
            pkcs1: false,
            signed_by_drk: false,
            wrapped: false,
            pem: false,
            other_scenario_signed: false,
        }
    }
}

/// The vendor of all tests.
pub(crate) fn vendor() -> &'static Vendor {
    static VENDOR: OnceLock<Vendor> = OnceLock::new();
    VENDOR.get_or_init(|| {
        let sizes = [KeySize::Rsa2048, KeySize::Rsa2048, KeySize::Rsa4096, KeySize::Rsa4096];
        let [root, product, device, ak] = std::thread::scope(|scope| {
            let keys = sizes.map(|size| scope.spawn(move || Rsa::generate(size)));
            keys.map(|key| key.join().expect("a key"))
        });
        Vendor { root, product, device, ak }
    })
}

impl Vendor {
    /// The vendor's root as an emulator's.
    pub(crate) fn anchors(&self) -> Anchors {
        Anchors::vendors().with_emulator(Listed {
            vendor: Family::Huawei,
            name: "test vendor".into(),
            spki_sha256: Hex(crypto::sha256(&self.root.spki())),
        })
    }

    pub(crate) fn collateral(&self, world: &World) -> Collateral {
        let root = certificate(1, ROOT, ROOT, UNTIL, &self.root.spki(), true, 0x06, &self.root);
        let signer = if world.product_signed_by_device { &self.device } else { &self.root };
        let key = if world.other_product_key { &self.root } else { &self.product };
        let authority = world.product_is_authority;
        let until = world.product_until;
        let product = certificate(2, ROOT, PRODUCT, until, &key.spki(), authority, 0x06, signer);
        let mut collateral = Collateral::from_files([
            ("root.pem", pem("CERTIFICATE", &root)),
            ("product.der", product),
            ("notes.txt", b"nothing".to_vec()),
        ]);
        if !world.revoked.is_empty() {
            collateral.insert("product.crl", self.list(world));
        }
        collateral
    }

    fn list(&self, world: &World) -> Vec<u8> {
        let entries =
            world.revoked.iter().map(|serial| sequence(&[&tlv(2, &[*serial]), &time(FROM)]));
        let entries = entries.collect::<Vec<_>>().concat();
        let tbs = sequence(&[
            &tlv(2, &[1]),
            &self.product.algorithm(),
            &name(PRODUCT),
            &time(FROM),
            &time(world.list_until),
            &sequence(&[&entries]),
        ]);
        self.product.signed(&tbs)
    }

    /// A certificate of a device under the product authority.
    pub(crate) fn device_certificate(&self, spki: &[u8], authority: bool, usage: u8) -> Vec<u8> {
        certificate(3, PRODUCT, DEVICE, UNTIL, spki, authority, usage, &self.product)
    }

    /// An AK certificate, not printed yet.
    pub(crate) fn certificate(&self, ak: &Ak) -> Json {
        let drk = self.device_certificate(&self.device.spki(), ak.drk_is_authority, ak.drk_usage);
        let mut filled = base64(&drk, b"+/").into_bytes();
        filled.resize(4096, 0);
        let modulus = self.ak.modulus();
        let modulus = if ak.small { modulus[..256].to_vec() } else { modulus };
        let key = match ak.kty {
            "DAA" => vec![("kty", text("DAA")), ("qs", text("QAAAAC3b"))],
            kty => vec![("kty", text(kty)), ("n", text64(&modulus)), ("e", text(ak.exponent))],
        };
        let payload = Json::Object(vec![
            ("version", text("TEE.RA.1.0")),
            ("timestamp", Json::Raw("3541669582407074".into())),
            ("scenario", text(ak.scenario)),
            ("sign_alg", text("PS256")),
            ("hash_alg", text("HS256")),
            ("qta_img", text64(&[1; 32])),
            ("qta_mem", text64(&[2; 32])),
            ("tcb", text("")),
            ("ak_pub", Json::Object(key)),
        ]);
        let signer = if ak.signed_by_ak { &self.ak } else { &self.device };
        let signature = sign(&payload, signer, ak.pkcs1);
        let signature = [("drk_cert", text64(&filled)), ("drk_sign", signature)];
        Json::Object(vec![
            ("signature", Json::Object(signature.into())),
            ("payload", payload),
            ("handler", text("provisioning-output")),
        ])
    }

    pub(crate) fn report(&self, report: &Report) -> Vec<u8> {
        let mut payload = vec![
            ("version", text(report.version)),
            ("timestamp", Json::Raw(report.timestamp.into())),
            ("nonce", text64(&report.nonce)),
            ("scenario", text(report.scenario)),
            ("uuid", text(&UUID.to_string())),
            ("hash_alg", text("HS256")),
            ("sign_alg", text("PS256")),
            ("ta_mem", text64(&[4; 32])),
            ("ta_img", text64(&[3; 32])),
            ("ta_attr", text("")),
            ("tcb", text("")),
        ];
        if let Some((name, raw)) = report.extra {
            payload.push((name, nested(raw)));
        }
        let payload = Json::Object(payload);
        let signer = if report.signed_by_drk { &self.device } else { &self.ak };
        let signature = sign(&payload, signer, report.pkcs1);
        let certificate = self.certificate(&report.ak);
        let certificate = match (report.wrapped, report.pem) {
            (true, _) => text64(print(&certificate).as_bytes()),
            (false, true) => text("-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n"),
            (false, false) => certificate,
        };
        let other = if report.other_scenario_signed { "sce_as_no_daa" } else { report.scenario };
        let whole = Json::Object(vec![
            ("report_sign", Json::Object(vec![(other, signature)])),
            ("akcert", Json::Object(vec![(report.scenario, certificate)])),
            ("payload", payload),
            ("handler", text("report-output")),
        ]);
        print(&whole).into_bytes()
    }
}

/// JSON to be printed.
pub(crate) enum Json {
    Object(Vec<(&'static str, Self)>),
    Text(String),
    Raw(String),
}

fn text(value: &str) -> Json {
    Json::Text(value.into())
}

fn text64(octets: &[u8]) -> Json {
    Json::Text(base64(octets, b"-_").trim_end_matches('=').to_owned())
}

/// `{"name":"value"}` with one member.
fn nested(raw: &'static str) -> Json {
    let mut parts = raw.split('"').skip(1).step_by(2);
    let member = (parts.next().expect("a name"), text(parts.next().expect("a value")));
    Json::Object(vec![member])
}

/// Prints as the device does.
pub(crate) fn print(json: &Json) -> String {
    print_at(json, 1)
}

fn print_at(json: &Json, depth: usize) -> String {
    match json {
        Json::Raw(raw) => raw.clone(),
        Json::Text(text) => format!("\"{}\"", text.replace('\n', "\\n")),
        Json::Object(members) => {
            let members = members.iter().map(|(name, value)| {
                format!("{}\"{name}\":\t{}", "\t".repeat(depth), print_at(value, depth + 1))
            });
            let members = members.collect::<Vec<_>>().join(",\n");
            format!("{{\n{members}\n{}}}", "\t".repeat(depth - 1))
        }
    }
}

fn sign(payload: &Json, key: &Rsa, pkcs1: bool) -> Json {
    let printed = base64(print(payload).as_bytes(), b"-_");
    let message = printed.trim_end_matches('=').as_bytes();
    let scheme: &'static dyn RsaEncoding = if pkcs1 { &RSA_PKCS1_SHA256 } else { &RSA_PSS_SHA256 };
    text64(&key.sign(scheme, message))
}

#[expect(clippy::too_many_arguments, reason = "each is a field of the certificate")]
fn certificate(
    serial: u8,
    issuer: &str,
    subject: &str,
    until: &str,
    spki: &[u8],
    authority: bool,
    usage: u8,
    signer: &dyn Issuer,
) -> Vec<u8> {
    let constraints: &[u8] = if authority { &[0x30, 3, 1, 1, 0xff] } else { &[0x30, 0] };
    let extensions = sequence(&[
        &sequence(&[&oid("551d13"), &tlv(4, constraints)]),
        &sequence(&[&oid("551d0f"), &tlv(4, &tlv(3, &[0, usage]))]),
    ]);
    let tbs = sequence(&[
        &tlv(0xa0, &tlv(2, &[2])),
        &tlv(2, &[serial]),
        &signer.algorithm(),
        &name(issuer),
        &sequence(&[&time(FROM), &time(until)]),
        &name(subject),
        spki,
        &tlv(0xa3, &extensions),
    ]);
    signer.signed(&tbs)
}

/// Who signs certificates and lists.
pub(crate) trait Issuer {
    fn algorithm(&self) -> Vec<u8>;
    fn issue(&self, tbs: &[u8]) -> Vec<u8>;

    fn signed(&self, tbs: &[u8]) -> Vec<u8> {
        sequence(&[tbs, &self.algorithm(), &bits(&self.issue(tbs))])
    }
}

impl Issuer for Rsa {
    fn algorithm(&self) -> Vec<u8> {
        sequence(&[&oid("2a864886f70d01010b"), &[5, 0]])
    }

    fn issue(&self, tbs: &[u8]) -> Vec<u8> {
        self.sign(&RSA_PKCS1_SHA256, tbs)
    }
}

impl Issuer for Key {
    fn algorithm(&self) -> Vec<u8> {
        sequence(&[&oid("2a8648ce3d040304")])
    }

    fn issue(&self, tbs: &[u8]) -> Vec<u8> {
        self.sign_asn1(tbs)
    }
}

/// A root and a device below it, both on P-521.
pub(crate) fn p521_chain(root: &Key, device: &Key) -> [Vec<u8>; 2] {
    let root_certificate = certificate(1, ROOT, ROOT, UNTIL, &root.spki(), true, 0x06, root);
    let spki = device.spki();
    [root_certificate, certificate(2, ROOT, DEVICE, UNTIL, &spki, false, 0x80, root)]
}

fn name(common_name: &str) -> Vec<u8> {
    let attribute = sequence(&[&oid("550403"), &tlv(0x0c, common_name.as_bytes())]);
    sequence(&[&tlv(0x31, &attribute)])
}

fn time(text: &str) -> Vec<u8> {
    tlv(0x18, text.as_bytes())
}

fn oid(content: &str) -> Vec<u8> {
    tlv(6, &hex::decode(content).expect("hexadecimal"))
}

fn bits(content: &[u8]) -> Vec<u8> {
    tlv(3, &[&[0], content].concat())
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let length: &[u8] = match content.len() {
        0..0x80 => &[low],
        0x80..0x100 => &[0x81, low],
        _ => &[0x82, high, low],
    };
    [&[tag], length, content].concat()
}

pub(crate) const UUID: Uuid = Uuid([
    0x43, 0x5d, 0xca, 0xfa, 0, 0x29, 0x4d, 0x53, 0x97, 0xe8, 0xa7, 0xa1, 0x3a, 0x80, 0xc8, 0x2e,
]);
pub(crate) const NONCE: [u8; 64] = {
    let mut nonce = [0xc5; 64];
    nonce[40] = 1;
    nonce
};
const ROOT: &str = "Test Equipment CA";
const PRODUCT: &str = "Test IT Product CA";
const DEVICE: &str = "TEST0001";
const FROM: &str = "20230101000000Z";
const UNTIL: &str = "20370101000000Z";
