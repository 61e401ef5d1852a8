//! The recorded vectors and their oracle.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use verifier::value::{Hex, Octets};
use verifier::{Anchors, Collateral, x509};

/// One folder with evidence and what is expected of it.
pub(crate) struct Vector {
    pub(crate) folder: PathBuf,
    pub(crate) expected: Json,
}

impl Vector {
    pub(crate) fn id(&self) -> String {
        self.expected["id"].as_str().expect("an id").to_owned()
    }

    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.join(name)).expect("readable")
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.folder.join(name).is_file()
    }

    /// Everything in the folder, as a vendor's cache would be.
    pub(crate) fn collateral(&self) -> Collateral {
        let entries = fs::read_dir(&self.folder).expect("a folder");
        Collateral::from_files(entries.map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read(path).expect("readable"))
        }))
    }

    pub(crate) fn hex(&self, pointer: &str) -> Vec<u8> {
        let text = self.expected.pointer(pointer).and_then(Json::as_str).expect("text");
        hex::decode(text).expect("hexadecimal")
    }

    pub(crate) fn octets(&self, pointer: &str) -> Octets {
        Octets::new(&self.hex(pointer))
    }

    pub(crate) fn fixed<const N: usize>(&self, pointer: &str) -> Hex<N> {
        Hex(self.hex(pointer).try_into().expect("the length"))
    }
}

/// The SHA-256 of the SubjectPublicKeyInfo of a JSON Web Key, made without the verifier's reader.
pub(crate) fn spki_of_jwk(jwk: &[u8]) -> Vec<u8> {
    let jwk: Json = serde_json::from_slice(jwk).expect("JSON");
    let member = |name: &str| decode(jwk[name].as_str().expect("text"));
    let point = [&[4][..], &member("x"), &member("y")].concat();
    let curve = match jwk["crv"].as_str() {
        Some("P-256") => cose::Curve::P256,
        Some("P-384") => cose::Curve::P384,
        other => panic!("another curve {other:?}"),
    };
    cose::Key::from_sec1(curve, &point).expect("a point").to_spki()
}

pub(crate) fn spki_of_pem(pem: &[u8]) -> Vec<u8> {
    x509::decode_public_key_pem(pem).expect("a key")
}

/// base64url, bit by bit.
pub(crate) fn decode(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bits = Vec::new();
    for letter in text.bytes() {
        let digit = LETTERS.iter().position(|&it| it == letter).expect("a letter");
        bits.extend((0..6).rev().map(|bit| digit >> bit & 1 == 1));
    }
    let octet = |bits: &[bool]| bits.iter().fold(0_u8, |octet, &bit| octet << 1 | u8::from(bit));
    bits.chunks_exact(8).map(octet).collect()
}

/// Every vector of a kind that says what is expected.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
pub(crate) fn vectors(kind: &str) -> Vec<Vector> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/evidence");
    if !root.is_dir() {
        println!("skipped: ../shared/vectors is absent");
        return Vec::new();
    }
    let mut vectors = Vec::new();
    for entry in fs::read_dir(root.join(kind)).expect("a folder") {
        let folder = entry.expect("an entry").path();
        let Ok(expected) = fs::read(folder.join("expected.json")) else { continue };
        let expected = serde_json::from_slice(&expected).expect("JSON");
        vectors.push(Vector { folder, expected });
    }
    vectors.sort_by(|a, b| a.folder.cmp(&b.folder));
    vectors
}

/// The vector of that id, unless all are absent.
pub(crate) fn vector(id: &str) -> Option<Vector> {
    let (kind, _) = id.split_once('/').expect("kind and name");
    vectors(kind).into_iter().find(|vector| vector.id() == id)
}

pub(crate) fn vendors() -> Anchors {
    Anchors::vendors()
}
