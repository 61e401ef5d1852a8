//! A vendor like AMD with a root of its own: certificates, lists and reports in every shape.

#[expect(dead_code, reason = "this vendor needs no key of Intel's kind")]
#[path = "../../intel/vendor/der.rs"]
pub(crate) mod der;

pub(crate) mod platform;

use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PSS_SHA256, RSA_PSS_SHA384,
};
use der::{bits, boolean, extension, integer, name, octets, oid, sequence, time, tlv};
use verifier::Timestamp;
use verifier::anchor::{Anchors, Listed, Vendor as Family};
use verifier::crypto::sha256;
use verifier::evidence::snp::product::Product;
use verifier::value::Hex;

/// The keys of the vendor: slow to make, so there is one set. The recorded evidence has AMD's own
/// keys of 4096 bits; these are shorter, so that they are made soon.
pub(crate) struct Keys {
    ark: RsaKeyPair,
    ask: RsaKeyPair,
    asvk: RsaKeyPair,
    vek: EcdsaKeyPair,
}

impl Keys {
    pub(crate) fn ask_key(&self) -> &RsaKeyPair {
        &self.ask
    }

    /// A key that a paravisor made for its vTPM.
    pub(crate) fn vtpm(&self) -> &RsaKeyPair {
        &self.asvk
    }
}

pub(crate) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let rsa = || RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        Keys {
            ark: rsa(),
            ask: rsa(),
            asvk: rsa(),
            vek: EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("a key"),
        }
    })
}

/// The vendor as it endorses one product.
#[derive(Clone, Copy)]
pub(crate) struct Vendor(pub(crate) Product);

/// How the certificate of an endorsement key differs from an ordinary one.
#[derive(Clone)]
pub(crate) struct Vek {
    pub(crate) vlek: bool,
    pub(crate) product: String,
    pub(crate) tcb: [u8; 8],
    /// The value of the extension hwID.
    pub(crate) hwid: Vec<u8>,
    /// What replaces the extension snpSPL.
    pub(crate) snp: Option<Vec<u8>>,
    pub(crate) serial: u64,
    pub(crate) more: Vec<u8>,
    pub(crate) digest: Digest,
    pub(crate) years: [&'static str; 2],
}

/// Which digest signatures in certificates use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Digest {
    Sha256,
    Sha384,
}

/// A certificate to be.
struct Draft<'a> {
    issuer: (&'a RsaKeyPair, String),
    serial: u64,
    subject: String,
    spki: Vec<u8>,
    years: [&'static str; 2],
    extensions: Vec<u8>,
    digest: Digest,
}

impl Vendor {
    /// The vendor's root as an emulator's.
    pub(crate) fn anchors() -> Anchors {
        Anchors::vendors().with_emulator(Listed {
            vendor: Family::Amd,
            name: "test vendor".into(),
            spki_sha256: Hex(sha256(&spki(&keys().ark))),
        })
    }

    pub(crate) fn ark(self) -> Vec<u8> {
        self.authority("ARK-", &keys().ark, 1, self.0, ["2020", "2045"])
    }

    pub(crate) fn ask(self) -> Vec<u8> {
        self.authority("SEV-", &keys().ask, 2, self.0, ["2020", "2045"])
    }

    pub(crate) fn asvk(self) -> Vec<u8> {
        self.authority("SEV-VLEK-", &keys().asvk, 3, self.0, ["2020", "2045"])
    }

    /// An authority of any name under the root of `product`.
    pub(crate) fn authority(
        self,
        prefix: &str,
        key: &RsaKeyPair,
        serial: u64,
        product: Product,
        years: [&'static str; 2],
    ) -> Vec<u8> {
        let usage = extension(&[0x55, 0x1d, 0x0f], true, &tlv(0x03, &[1, 0x06]));
        let constraints = extension(&[0x55, 0x1d, 0x13], true, &sequence(&[&boolean(true)]));
        Draft {
            issuer: (&keys().ark, format!("ARK-{product}")),
            serial,
            subject: format!("{prefix}{}", self.0),
            spki: spki(key),
            years,
            extensions: [usage, constraints].concat(),
            digest: Digest::Sha384,
        }
        .issue()
    }

    /// The revocation list of the root.
    pub(crate) fn list(self, revoked: &[u64]) -> Vec<u8> {
        let entries = revoked
            .iter()
            .map(|serial| sequence(&[&integer(*serial), &time("2024-01-01 00:00:00")]))
            .collect::<Vec<_>>()
            .concat();
        let revoked = if entries.is_empty() { entries } else { sequence(&[&entries]) };
        let tbs = sequence(&[
            &integer(1),
            &algorithm(Digest::Sha384),
            &name(&format!("ARK-{}", self.0)),
            &time("2024-01-01 00:00:00"),
            &time("2026-01-01 00:00:00"),
            &revoked,
        ]);
        sign(&keys().ark, &tbs, Digest::Sha384)
    }

    /// An ordinary VCEK or VLEK certificate.
    pub(crate) fn vek(self, vlek: bool) -> Vek {
        Vek {
            vlek,
            product: self.0.to_string(),
            tcb: self.tcb(),
            hwid: chip_id(self.0)[..self.0.chip_id_length()].to_vec(),
            snp: None,
            serial: if vlek { 7 } else { 0 },
            more: Vec::new(),
            digest: Digest::Sha384,
            years: ["2023", "2030"],
        }
    }

    pub(crate) fn tcb(self) -> [u8; 8] {
        match self.0 {
            Product::Milan | Product::Genoa => [4, 0, 0, 0, 0, 0, 24, 219],
            Product::Turin => [1, 1, 1, 4, 0, 0, 0, 81],
        }
    }

    /// The certificate of the vendor's only endorsement key.
    pub(crate) fn certify(self, vek: &Vek) -> Vec<u8> {
        let spl = |number: u8| integer(u64::from(number));
        let turin = self.0 == Product::Turin;
        let [fmc, bootloader, tee, snp] = if turin { [0, 1, 2, 3] } else { [0, 0, 1, 6] };
        let snp = vek.snp.clone().unwrap_or_else(|| spl(vek.tcb[snp]));
        let mut extensions = vec![
            amd(&[1], &integer(1)),
            amd(&[2], &tlv(0x16, vek.product.as_bytes())),
            amd(&[3, 1], &spl(vek.tcb[bootloader])),
            amd(&[3, 2], &spl(vek.tcb[tee])),
            amd(&[3, 3], &snp),
            amd(&[3, 8], &spl(vek.tcb[7])),
        ];
        if turin {
            extensions.push(amd(&[3, 9], &spl(vek.tcb[fmc])));
        }
        extensions.push(if vek.vlek {
            amd(&[5], &tlv(0x16, CSP.as_bytes()))
        } else {
            amd(&[4], &vek.hwid)
        });
        extensions.push(vek.more.clone());
        let (key, issuer) =
            if vek.vlek { (&keys().asvk, "SEV-VLEK-") } else { (&keys().ask, "SEV-") };
        let id = sequence(&[&oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]), &oid(SECP384R1)]);
        Draft {
            issuer: (key, format!("{issuer}{}", self.0)),
            serial: vek.serial,
            subject: if vek.vlek { "SEV-VLEK".into() } else { "SEV-VCEK".into() },
            spki: sequence(&[&id, &bits(keys().vek.public_key().as_ref())]),
            years: vek.years,
            extensions: extensions.concat(),
            digest: vek.digest,
        }
        .issue()
    }

    /// The signed part of an ordinary report.
    pub(crate) fn body(self, version: u32, vlek: bool) -> Vec<u8> {
        let mut body = vec![0; 0x2a0];
        let mut put =
            |at: usize, octets: &[u8]| body[at..at + octets.len()].copy_from_slice(octets);
        put(0x000, &version.to_le_bytes());
        put(0x004, &3_u32.to_le_bytes());
        put(0x008, &0x3_0137_u64.to_le_bytes());
        put(0x010, &[0xfa; 16]);
        put(0x020, &[0x1a; 16]);
        put(0x034, &1_u32.to_le_bytes());
        put(0x040, &0x25_u64.to_le_bytes());
        put(0x048, &(if vlek { 4_u32 } else { 0 }).to_le_bytes());
        put(0x050, &[0xda; 64]);
        put(0x090, &[0x3e; 48]);
        put(0x0e0, &[0x1d; 48]);
        put(0x110, &[0xa0; 48]);
        for at in [0x038, 0x180, 0x1e0, 0x1f0] {
            put(at, &self.tcb());
        }
        if version >= 3 {
            put(
                0x188,
                match self.0 {
                    Product::Milan => &[0x19, 0x01, 0x01],
                    Product::Genoa => &[0x19, 0x11, 0x01],
                    Product::Turin => &[0x1a, 0x02, 0x01],
                },
            );
        }
        if !vlek {
            put(0x1a0, &chip_id(self.0));
        }
        put(0x1e8, &[29, 55, 1, 0, 29, 55, 1]);
        if version >= 5 {
            put(0x1f8, &[0x0b]);
            put(0x200, &[0x0f]);
        }
        body
    }

    /// Signs a report's body as the secure processor does.
    pub(crate) fn sign(body: &[u8]) -> Vec<u8> {
        let signature = keys().vek.sign(&SystemRandom::new(), body).expect("a signature");
        let mut report = body.to_vec();
        for number in signature.as_ref().chunks(48) {
            report.extend(number.iter().rev());
            report.extend([0; 24]);
        }
        report.resize(1184, 0);
        report
    }
}

impl Draft<'_> {
    fn issue(&self) -> Vec<u8> {
        let (key, issuer) = &self.issuer;
        let at = |year: &str| time(&format!("{year}-01-01 00:00:00"));
        let [from, until] = self.years;
        let tbs = sequence(&[
            &tlv(0xa0, &integer(2)),
            &integer(self.serial),
            &algorithm(self.digest),
            &name(issuer),
            &sequence(&[&at(from), &at(until)]),
            &name(&self.subject),
            &self.spki,
            &tlv(0xa3, &sequence(&[&self.extensions])),
        ]);
        sign(key, &tbs, self.digest)
    }
}

/// A certificate table as the host hands it to the guest.
pub(crate) fn table(certificates: &[&[u8]]) -> Vec<u8> {
    let mut offset = 24 * (certificates.len() + 1);
    let mut table = Vec::new();
    for certificate in certificates {
        table.extend([0x63; 16]);
        table.extend((offset as u32).to_le_bytes());
        table.extend((certificate.len() as u32).to_le_bytes());
        offset += certificate.len();
    }
    table.extend([0; 24]);
    table.extend(certificates.concat());
    table
}

/// The chip of the vendor; on Turin eight octets and zeros.
pub(crate) fn chip_id(product: Product) -> [u8; 64] {
    let mut id = [0; 64];
    id[..product.chip_id_length()].fill(0xc4);
    id
}

fn amd(id: &[u8], value: &[u8]) -> Vec<u8> {
    let prefix = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x01];
    extension(&[prefix, id].concat(), false, value)
}

fn sign(key: &RsaKeyPair, tbs: &[u8], digest: Digest) -> Vec<u8> {
    let mut signature = vec![0; key.public_modulus_len()];
    let scheme = if digest == Digest::Sha384 { &RSA_PSS_SHA384 } else { &RSA_PSS_SHA256 };
    key.sign(scheme, &SystemRandom::new(), tbs, &mut signature).expect("a signature");
    sequence(&[tbs, &algorithm(digest), &bits(&signature)])
}

/// RSASSA-PSS with its parameters (RFC 4055).
fn algorithm(digest: Digest) -> Vec<u8> {
    let (last, salt) = if digest == Digest::Sha384 { (2, 48) } else { (1, 32) };
    let hash =
        sequence(&[&oid(&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last]), &[0x05, 0]]);
    let rsa = |last| oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last]);
    let parameters = sequence(&[
        &tlv(0xa0, &hash),
        &tlv(0xa1, &sequence(&[&rsa(8), &hash])),
        &tlv(0xa2, &integer(salt)),
    ]);
    sequence(&[&rsa(10), &parameters])
}

/// The SubjectPublicKeyInfo, which ends with the modulus and the exponent 65537 as INTEGER.
pub(crate) fn spki(key: &RsaKeyPair) -> Vec<u8> {
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().expect("a public key");
    der.as_ref().to_vec()
}

/// An extension that holds an OCTET STRING.
pub(crate) fn wrapped(hwid: &[u8]) -> Vec<u8> {
    octets(hwid)
}

/// The cloud provider in VLEK certificates.
pub(crate) const CSP: &str = "CN=test-cloud";
/// Within every validity.
pub(crate) const NOW: Timestamp = Timestamp(1_735_689_600);
const SECP384R1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
