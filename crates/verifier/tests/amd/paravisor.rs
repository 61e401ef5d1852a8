//! SEV-SNP below a paravisor with a vTPM, under a vendor of our own.

use std::sync::OnceLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use cose::cbor::encode;
use proptest::prelude::*;

use crate::made::Bench;
use crate::vendor::{NOW, Vendor, keys, spki};
use verifier::crypto::{sha256, sha256_of};
use verifier::evidence::snp::product::Product;
use verifier::evidence::snp::vtpm::Quote;
use verifier::evidence::snp::{Reference, Register, Spelling};
use verifier::value::Hex;
use verifier::{Endorsements, Reason};

//= EV-SNP-10: report, binding of the vTPM's key, quote and registers
#[test]
fn a_quote_of_the_paravisors_vtpm_vouches_for_what_runs_above() {
    let bench = bench();
    let endorsements = bench.endorsements();

    let appraisal = bench.appraise_with(&Shape::default().evidence(), NOW, &endorsements);

    assert!(appraisal.accepted() && appraisal.bound(), "{appraisal}");
    let registers = &appraisal.claims().expect("authentic").registers;
    let quoted = registers.iter().filter(|it| it.name.starts_with("pcr"));
    let quoted = quoted.map(|it| (it.name, it.value.as_slice()[0])).collect::<Vec<_>>();
    assert_eq!(quoted, [("pcr0", 0), ("pcr4", 4), ("pcr11", 11)]);
}

//= EV-SNP-10: both are checked
#[test]
fn a_quote_that_is_not_this_guests_is_refused() {
    type Edit = fn(&mut Shape);
    let bench = bench();
    let endorsements = bench.endorsements();
    let cases: [(&str, Reason, Edit); 6] = [
        ("snp.hcl.binding", Reason::BadSignature, |shape| shape.bound = false),
        ("snp.vtpm.signature", Reason::BadSignature, |shape| shape.signer = keys().ask_key()),
        ("snp.vtpm.signature", Reason::BadSignature, |shape| shape.kid = "HCLEkPub"),
        ("snp.vtpm.registers", Reason::BadSignature, |shape| shape.values[1] = [0; 32]),
        ("binding.user-data", Reason::BindingMismatch, |shape| shape.user_data[63] ^= 1),
        ("pcr4", Reason::MeasurementMismatch, |shape| shape.quoted[1] = [0; 32]),
    ];
    for (name, reason, edit) in cases {
        let mut shape = Shape::default();
        edit(&mut shape);
        if name == "pcr4" {
            shape.values = shape.quoted;
        }

        let appraisal = bench.appraise_with(&shape.evidence(), NOW, &endorsements);

        let refusal = appraisal.refusal().map(|(check, failure)| (check.name, failure.reason));
        assert_eq!(refusal, Some((name, reason)), "{appraisal}");
    }
}

#[test]
fn a_register_that_is_not_quoted_fits_no_reference_value() {
    let mut bench = bench();
    bench.reference.snp = vec![reference(vec![Register { index: 7, sha256: Hex([7; 32]) }])];
    let endorsements = bench.endorsements();

    let appraisal = bench.appraise_with(&Shape::default().evidence(), NOW, &endorsements);

    let refusal = appraisal.refusal().map(|(check, failure)| (check.name, failure.reason));
    assert_eq!(refusal, Some(("pcr7", Reason::MeasurementMismatch)), "{appraisal}");
}

proptest! {
    //= EV-COM-4: no panic on hostile input, and nothing of it is accepted
    #[test]
    fn a_changed_quote_is_refused(at in any::<usize>(), bit in 0_u32..8) {
        static SHARED: OnceLock<(Bench, Endorsements, Vec<u8>)> = OnceLock::new();
        let (bench, endorsements, evidence) = SHARED.get_or_init(|| {
            let bench = bench();
            let endorsements = bench.endorsements();
            (bench, endorsements, Shape::default().evidence())
        });
        let mut evidence = evidence.clone();
        let at = at % evidence.len();
        evidence[at] ^= 1_u8 << bit;

        prop_assert!(!bench.appraise_with(&evidence, NOW, endorsements).accepted());
    }

    #[test]
    fn any_quote_is_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let attest = Shape::default().attest();
        let _ = Quote::decode(&bytes, &bytes, &[&bytes]);
        let _ = Quote::decode(&[&attest[..6], &bytes].concat(), &[], &[]);
        let cut = &attest[..bytes.len().min(attest.len() - 1)];
        prop_assert!(Quote::decode(cut, &[], &[]).is_err());
    }
}

/// How evidence differs from an ordinary one.
struct Shape {
    kid: &'static str,
    bound: bool,
    signer: &'static RsaKeyPair,
    user_data: [u8; 64],
    /// Registers 0, 4 and 11 as the vTPM has them.
    quoted: [[u8; 32]; 3],
    /// The same as they are sent.
    values: [[u8; 32]; 3],
}

impl Default for Shape {
    fn default() -> Self {
        let quoted = [0, 4, 11].map(|number| [number; 32]);
        Self {
            kid: "HCLAkPub",
            bound: true,
            signer: keys().vtpm(),
            user_data: [0xda; 64],
            quoted,
            values: quoted,
        }
    }
}

impl Shape {
    fn evidence(&self) -> Vec<u8> {
        let attest = self.attest();
        let mut signature = vec![0; self.signer.public_modulus_len()];
        let random = SystemRandom::new();
        let signed = self.signer.sign(&RSA_PKCS1_SHA256, &random, &attest, &mut signature);
        signed.expect("a signature");
        encode(|e| {
            e.array(4)?.bytes(&self.hcl())?.bytes(&attest)?.bytes(&signature)?;
            e.array(3)?;
            for value in &self.values {
                e.bytes(value)?;
            }
            e.ok()
        })
    }

    fn hcl(&self) -> Vec<u8> {
        let key = spki(keys().vtpm());
        let modulus = base64url(&key[key.len() - 5 - 256..key.len() - 5]);
        let key = format!(r#"{{"kid":"{}","kty":"RSA","e":"AQAB","n":"{modulus}"}}"#, self.kid);
        let json = format!(r#"{{"keys":[{key}],"user-data":"{}"}}"#, "00".repeat(64));
        let mut body = Vendor(Product::Milan).body(3, false);
        body[0x050..0x090].fill(0);
        if self.bound {
            body[0x050..0x070].copy_from_slice(&sha256(json.as_bytes()));
        }
        let length = json.len() as u32;
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let head: Vec<u8> = words(&[1, length + 20 + 32 + 1184, 2, 0, 0, 0, 0]);
        let claims: Vec<u8> = words(&[length + 20, 1, 2, 1, length]);
        [b"HCLA", &head[..], &Vendor::sign(&body), &claims, json.as_bytes()].concat()
    }

    /// TPMS_ATTEST of a quote.
    fn attest(&self) -> Vec<u8> {
        let quoted = self.quoted.each_ref().map(|value| &value[..]);
        let sized = |octets: &[u8]| [&(octets.len() as u16).to_be_bytes(), octets].concat();
        [
            &[0xff, 0x54, 0x43, 0x47, 0x80, 0x18][..],
            &sized(&[9; 34]),
            &sized(&self.user_data),
            &[0; 25],
            &[0, 0, 0, 1, 0, 0x0b, 3, 0b0001_0001, 0b0000_1000, 0],
            &sized(&sha256_of(&quoted)),
        ]
        .concat()
    }
}

fn bench() -> Bench {
    let mut bench = Bench::milan();
    bench.policy.snp.paravisor_allowed = true;
    bench.reference.snp = vec![reference(vec![Register { index: 4, sha256: Hex([4; 32]) }])];
    bench
}

fn reference(pcrs: Vec<Register>) -> Reference {
    let measurement = Some(Hex([0x3e; 48]));
    let spelt = Spelling { name: "image".into(), measurement, pcrs, ..Spelling::default() };
    Reference::try_from(spelt).expect("a reference value")
}

fn base64url(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in octets.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(padded);
        let digits = (0..=group.len()).map(|digit| bits >> (18 - 6 * digit) & 0x3f);
        text.extend(digits.map(|digit| char::from(DIGITS[digit as usize])));
    }
    text
}
