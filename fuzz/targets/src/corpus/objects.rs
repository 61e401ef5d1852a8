//! CBOR items, COSE objects and keys.

use cose::cbor::encode;
use cose::encrypt::{ContentAlgorithm, ContentKey, Recipient, encrypt, encrypt0, other};
use cose::mac::{mac, mac0};
use cose::{Algorithm, Curve, Header, Key, Payload, Signer as _};
use keys::{AgreementKey, SigningKey};
use minicbor::data::Tag;

use super::Seeds;
use crate::known::{Draws, ED25519, ESP256, RECEIVER, SIGNED, secret};

pub(super) fn seed(seeds: &mut Seeds) {
    items(seeds);
    signed(seeds);
    encrypted(seeds);
    let p384 = SigningKey::generate(Algorithm::Esp384).unwrap();
    let x25519 = AgreementKey::from_scalar(Curve::X25519, &[1; 32]).unwrap();
    let keys: [(&str, &Key); 4] = [
        ("ed25519", ED25519.key()),
        ("p256", ESP256.key()),
        ("p384", p384.key()),
        ("x25519", cose::Agreement::key(&x25519)),
    ];
    for (name, key) in keys {
        seeds.put("cose_key", name, key.encode());
        seeds.put("cose_spki", name, spki(key));
    }
}

fn items(seeds: &mut Seeds) {
    let deterministic = encode(|e| {
        e.map(3)?.u8(1)?.array(3)?.i64(-500)?.f16(1.5)?.null()?;
        e.i8(-1)?.str("text")?.str("key")?.tag(Tag::new(107))?.bytes(&[0; 30])?.ok()
    });
    let indefinite = encode(|e| {
        e.begin_map()?.u8(1)?.begin_array()?.u8(2)?.end()?;
        e.u8(0)?.begin_str()?.str("te")?.str("xt")?.end()?.end()?.ok()
    });
    let nested = [vec![0x81; 15], vec![0xf5]].concat();
    seeds.put("cbor", "deterministic", deterministic);
    seeds.put("cbor", "indefinite", indefinite);
    seeds.put("cbor", "nested", nested);
    seeds.put("cbor", "twice", b"\xa2\x01\x02\x01\x03");
    seeds.put("cbor", "long", b"\x98\x01\x18\x01");
    seeds.put(
        "cbor",
        "floats",
        b"\x83\xf9\x7e\x00\xfa\x47\xc3\x50\x00\xfb\x3f\xf1\x99\x99\x99\x99\x99\x9a",
    );
}

fn signed(seeds: &mut Seeds) {
    let header = || Header {
        content_type: Some("application/cmw+cbor".into()),
        kccs: Some(ED25519.key().clone()),
        x5chain: vec![vec![0x30, 0x00], vec![0x30, 0x00]],
        ..Header::default()
    };
    for (name, key) in [("ed25519", &ED25519), ("esp256", &ESP256)] {
        for (form, payload) in
            [("attached", Payload::Attached(SIGNED)), ("detached", Payload::Detached(SIGNED))]
        {
            let object = cose::sign1(&**key, Header::default(), header(), &[], payload);
            seeds.put("cose_sign1", format!("{name}-{form}"), object.unwrap());
        }
    }
    let untagged = cose::sign1_untagged(
        &*ED25519,
        header(),
        Header::default(),
        &[],
        Payload::Attached(SIGNED),
    );
    seeds.put("cose_sign1", "untagged", untagged.unwrap());
    let one = cose::sign(&[&*ED25519], &[], Payload::Attached(SIGNED)).unwrap();
    let two = cose::sign(&[&*ED25519, &*ESP256], &[], Payload::Detached(SIGNED)).unwrap();
    seeds.put("cose_sign", "one", one);
    seeds.put("cose_sign", "two-detached", two);
}

fn encrypted(seeds: &mut Seeds) {
    let ephemeral = AgreementKey::from_scalar(Curve::P256, &[13; 32]).unwrap();
    let wrap = secret();
    let receiver = cose::Agreement::key(&*RECEIVER);
    let recipients = [
        Recipient::KeyWrap { key: &wrap, kid: Some(b"kek") },
        Recipient::Agreement { receiver, ephemeral: &ephemeral },
    ];
    for algorithm in ContentAlgorithm::ALL {
        let name = format!("{algorithm:?}").to_lowercase();
        let key = || ContentKey::draw(algorithm, &mut Draws::default());
        let object =
            encrypt(key(), &recipients, other::SUIT_PAYLOAD, &[], Payload::Attached(SIGNED));
        seeds.put("cose_encrypt", name.clone(), object.unwrap().object);
        let iv = vec![1; algorithm.iv_len()];
        let shared = cose::Secret::new(secret().expose()[..algorithm.key_len()].to_vec());
        if let Some(key) = ContentKey::new(algorithm, shared, iv) {
            let object = encrypt0(key, Some(b"kek"), &[], Payload::Attached(SIGNED));
            seeds.put("cose_encrypt0", name, object.unwrap().object);
        }
    }
    let detached = ContentKey::draw(ContentAlgorithm::A128Gcm, &mut Draws::default());
    let detached =
        encrypt(detached, &recipients[1..], other::EAT, &[], Payload::Detached(SIGNED)).unwrap();
    seeds.put("cose_encrypt", "detached", detached.object);
    let header = Header::default;
    let object = mac0(&wrap, header(), header(), &[], Payload::Attached(SIGNED)).unwrap();
    seeds.put("cose_mac0", "mac0", object);
    let payload = Payload::Attached(SIGNED);
    let object = mac(secret(), &recipients[..1], other::SUIT_REPORT, &[], payload).unwrap();
    seeds.put("cose_mac0", "mac", object);
}

/// SubjectPublicKeyInfo (RFC 5480, RFC 8410).
fn spki(key: &Key) -> Vec<u8> {
    let prefix: &[u8] = match key.curve() {
        Curve::P256 => {
            b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\
              \x01\x07\x03\x42\x00"
        }
        Curve::P384 => {
            b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\
              \x62\x00"
        }
        Curve::Ed25519 => b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00",
        Curve::MlDsa65 | Curve::XWing | Curve::HssLms => return key.to_spki(),
        Curve::X25519 => b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x6e\x03\x21\x00",
    };
    [prefix, key.public()].concat()
}
