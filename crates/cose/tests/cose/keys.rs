//! COSE_Keys: what is read, what is refused, and their thumbprints.

use cose::{Curve, Key, Malformed};

use crate::fixture::{TestAgreement, TestSigner, Vectors, hex};

//= teep 14.38 (M): the thumbprint is the one of RFC 9679
/// RFC 9679 section 6.
#[test]
fn the_thumbprint_of_the_rfc_is_computed() {
    let key = Key::decode(&hex(
        "a60102 200121582065eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d
         2258201e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c
         02582 46d65726961646f632e6272616e64796275636b406275636b6c616e642e6578616d706c65
         0326",
    ));

    let key = key.unwrap();

    assert_eq!(
        key.thumbprint().to_string(),
        "496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec"
    );
}

#[test]
fn the_thumbprints_of_the_vectors_are_computed() {
    let Some(vectors) = Vectors::find() else { return };
    let known = [
        ("teep/keys/K1", "ca9e35f23b2b525fb4fc83f512b0dcac4ac29e457e873a5d6a7313f71690b33c"),
        ("suit/keys/K1", "ca9e35f23b2b525fb4fc83f512b0dcac4ac29e457e873a5d6a7313f71690b33c"),
        ("teep/keys/K2", "c770ec535d8c949586324adaf2ddffb76b1a852dfa52e19c80f7440ec163beea"),
        ("suit/keys/K2", "c770ec535d8c949586324adaf2ddffb76b1a852dfa52e19c80f7440ec163beea"),
        ("teep/keys/RX", "e96788b10b1610abe478f9ce8dcfe2304c0911dd8cfeadde25ec30ccb5a7b5af"),
        ("suit/keys/RX", "e96788b10b1610abe478f9ce8dcfe2304c0911dd8cfeadde25ec30ccb5a7b5af"),
        ("teep/keys/AGENT", "d08d1602caa2d0ae0ade02666292b14cefd0d0282a153f7773acf6fdd0c0d378"),
        ("teep/keys/ATTESTER", "00e1688373124a36f7c3204ef20f73c37be4bb0f34e72f45d7d38ee8dffa4c43"),
        ("teep/keys/ED-TAM", "866eefbd6718c8846cd7ddfe43fc74ab1daac4538ff8514ea2ec2d410a415743"),
        ("teep/keys/ED-AGENT", "5c840f7a40230170abdee5151a594efdf270f7a89825f5c310badf6b589c5c59"),
    ];
    for (name, thumbprint) in known {
        assert_eq!(vectors.public(name).thumbprint().to_string(), thumbprint, "{name}");
    }
}

#[test]
fn every_form_of_a_key_reads_back() {
    for curve in Curve::ALL {
        let key = key_on(curve);

        assert_eq!(Key::decode(&key.encode()), Ok(key.clone()));
        assert_eq!(Key::from_spki(&key.to_spki()), Ok(key.clone()));
        let again = match curve {
            Curve::P256 | Curve::P384 => Key::from_sec1(curve, &key.sec1()),
            Curve::Ed25519 | Curve::X25519 => Key::from_okp(curve, key.x()),
            Curve::MlDsa65 | Curve::XWing => Key::from_akp(curve, key.x()),
            Curve::HssLms => Key::from_hss(key.x()),
        };
        assert_eq!(again, Ok(key));
    }
}

#[test]
fn compressed_points_are_expanded() {
    for curve in [Curve::P256, Curve::P384] {
        let key = key_on(curve);
        let odd = key.y().unwrap().last().unwrap() & 1;

        let sec1 = [&[2 + odd], key.x()].concat();
        assert_eq!(Key::from_sec1(curve, &sec1), Ok(key.clone()));
        let head = if curve == Curve::P256 { "a40102200121 5820" } else { "a40102200221 5830" };
        let sign = if odd == 1 { 0xf5 } else { 0xf4 };
        let encoded = [hex(head), key.x().to_vec(), vec![0x22, sign]].concat();
        assert_eq!(Key::decode(&encoded), Ok(key));
    }
}

//= suit 13.89 (M): a point that is not on the curve is refused
#[test]
fn a_point_off_the_curve_is_refused() {
    for curve in [Curve::P256, Curve::P384] {
        let mut point = key_on(curve).sec1();
        *point.last_mut().unwrap() ^= 1;

        assert_eq!(Key::from_sec1(curve, &point), Err(Malformed::Point));
        assert_eq!(Key::from_sec1(curve, &[0]), Err(Malformed::Point));
        assert_eq!(Key::from_sec1(curve, &[]), Err(Malformed::Point));
        point[1..].fill(0);
        assert_eq!(Key::from_sec1(curve, &point), Err(Malformed::Point));
        point[1..].fill(0xff);
        assert_eq!(Key::from_sec1(curve, &point), Err(Malformed::Point));
    }
    let p384 = key_on(Curve::P384).sec1();
    assert_eq!(Key::from_sec1(Curve::P256, &p384), Err(Malformed::Point));
    assert_eq!(Key::from_sec1(Curve::Ed25519, &p384), Err(Malformed::Point));
    assert_eq!(Key::from_sec1(Curve::P256, &key_on(Curve::P256).to_spki()), Err(Malformed::Point));
}

#[test]
fn a_private_key_is_refused() {
    let Some(vectors) = Vectors::find() else { return };
    for name in ["K1", "ED-TAM", "RX"] {
        let bytes = vectors.read(&format!("teep/keys/{name}.private.cosekey.cbor"));

        assert_eq!(
            Key::decode(&bytes),
            Err(Malformed::Expected("a COSE_Key without a private part"))
        );
    }
}

#[test]
fn keys_of_another_shape_are_refused() {
    let x = "5820000000000000000000000000000000000000000000000000000000000000 0000";
    let supported = Malformed::Expected("a supported key type and curve");
    let complete = Malformed::Expected("a COSE_Key with kty, crv and x");
    let full = Malformed::Expected("coordinates of the full length");
    let cases = [
        ("80".to_owned(), Malformed::Expected("a COSE_Key map")),
        ("a0".to_owned(), complete.clone()),
        ("a2010220 01".to_owned(), complete.clone()),
        (format!("a301022006 21{x}"), supported.clone()),
        (format!("a301012001 21{x}"), supported.clone()),
        (format!("a301042001 21{x}"), supported.clone()),
        (format!("a301022008 21{x}"), supported),
        (format!("a301022001 21{x}"), Malformed::Expected("an EC2 key with y")),
        (format!("a401022001 21{x} 224100"), full.clone()),
        ("a40102200121 4100 224100".to_owned(), full),
        ("a30101200621 4100".to_owned(), Malformed::Expected("an OKP key of 32 bytes")),
        (format!("a401022001 21{x} 22{x}"), Malformed::Point),
        (format!("a4010120060101 21{x}"), Malformed::DuplicateKey),
        (format!("a301012006 21{x} 00"), Malformed::Trailing),
        (format!("a301012006 21{}", &x[..60]), Malformed::Truncated),
        (format!("a30161302006 21{x}"), Malformed::Cbor(2)),
    ];
    for (encoded, fault) in cases {
        assert_eq!(Key::decode(&hex(&encoded)), Err(fault), "{encoded}");
    }
}

#[test]
fn parameters_that_are_not_needed_are_ignored() {
    let key = key_on(Curve::Ed25519);
    let head = hex("bf 0101 2006 024401020304 0481 02 6474657874 80 3a7fffffff f6 21 5820");
    let encoded = [head, key.x().to_vec(), vec![0xff]].concat();

    assert_eq!(Key::decode(&encoded), Ok(key));
}

#[test]
fn another_spki_is_refused() {
    let refused = Err(Malformed::Expected("a SubjectPublicKeyInfo of a supported curve"));
    let spki = key_on(Curve::P256).to_spki();

    assert_eq!(Key::from_spki(&[]), refused);
    assert_eq!(Key::from_spki(&spki[1..]), refused);
    assert_eq!(Key::from_spki(&spki[..spki.len() - 1]), Err(Malformed::Point));
    assert_eq!(Key::from_spki(&[&spki[..], &[0]].concat()), Err(Malformed::Point));
    let compressed = [&spki[..26], &[2 | spki[90] & 1], &spki[27..59]].concat();
    assert!(Key::from_sec1(Curve::P256, &compressed[26..]).is_ok());
    assert_eq!(Key::from_spki(&compressed), Err(Malformed::Point));
}

#[test]
fn the_public_keys_of_the_pem_files_are_those_of_the_cose_keys() {
    let Some(vectors) = Vectors::find() else { return };
    for name in ["K1", "K2", "RX", "AGENT", "ATTESTER", "ED-TAM", "ED-AGENT"] {
        let key = vectors.public(&format!("teep/keys/{name}"));
        let pem = vectors.read(&format!("teep/keys/{name}.public.pem"));

        assert_eq!(Key::from_spki(&der(&pem)), Ok(key.clone()), "{name}");
        assert_eq!(key.to_spki(), der(&pem), "{name}");
    }
}

fn key_on(curve: Curve) -> Key {
    use cose::{Agreement as _, Algorithm, Signer as _};
    match curve {
        Curve::MlDsa65 | Curve::XWing => {
            Key::from_akp(curve, &vec![7; curve.coordinate_len()]).expect("as long as a key is")
        }
        Curve::HssLms => {
            let head = [0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 4];
            Key::from_hss(&[&head[..], &[7; 48]].concat()).expect("known parameters")
        }
        Curve::Ed25519 => TestSigner::new(Algorithm::Ed25519, 7).key().clone(),
        Curve::P256 | Curve::P384 | Curve::X25519 => TestAgreement::new(curve, 7).key().clone(),
    }
}

/// The content of a PEM file.
fn der(pem: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(pem).expect("PEM is text");
    let digits = text.lines().filter(|line| !line.starts_with('-')).collect::<String>();
    let mut out = Vec::new();
    for group in digits.trim_end_matches('=').as_bytes().chunks(4) {
        let sextets = group.iter().map(|digit| sextet(*digit));
        let bits = sextets.chain(std::iter::repeat(0)).take(4).fold(0, |sum, six| sum << 6 | six);
        out.extend_from_slice(&u32::to_be_bytes(bits)[1..group.len()]);
    }
    out
}

fn sextet(digit: u8) -> u32 {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    u32::from(value)
}
