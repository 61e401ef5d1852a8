//! Objects that others signed.

use cose::cbor::{Decoder, Limits};
use cose::{Accept, Algorithm, Key, Sign, Sign1, Signer as _, Tagging, Untrusted, Verified};

use crate::fixture::{TestSigner, Vectors};

#[test]
fn the_derived_messages_verify_with_their_keys() {
    let Some(vectors) = Vectors::find() else { return };
    let signed = [
        ("query_request.sign1.esp256", "K2"),
        ("query_response.sign1.esp256", "AGENT"),
        ("query_response.sign1.ed25519", "ED-AGENT"),
        ("update.sign1.esp256", "K2"),
        ("update_err_attestation_required.sign1.esp256", "K2"),
        ("success.sign1.esp256", "AGENT"),
        ("error_unsupported_suites.sign1.esp256", "AGENT"),
        ("error_attestation_required.sign1.ed25519", "ED-AGENT"),
    ];
    for (file, signer) in signed {
        let bytes = vectors.read(&format!("teep/derived/{file}.cbor"));
        let key = vectors.public(&format!("teep/keys/{signer}"));

        let message = Sign1::decode(&bytes, Tagging::Tagged).unwrap();

        let verified = message.verify(&key, &Accept::CURRENT, &[]).unwrap();
        assert_eq!(verified.thumbprint(), key.thumbprint(), "{file}");
        assert_eq!(message.kid(), Some(key.thumbprint().as_ref()), "{file}");
        let foreign = vectors.public("teep/keys/K1");
        let expected =
            if file.ends_with("ed25519") { Untrusted::KeyMismatch } else { Untrusted::Signature };
        assert_eq!(message.verify(&foreign, &Accept::CURRENT, &[]), Err(expected), "{file}");
    }
}

/// Ed25519 signs deterministically, so our bytes must be those of the vector.
//= teep 14.17 (R): output is deterministic
#[test]
fn our_ed25519_message_is_the_vector_byte_for_byte() {
    let Some(vectors) = Vectors::find() else { return };
    let bytes = vectors.read("teep/derived/query_response.sign1.ed25519.cbor");
    let signer = TestSigner::from_scalar(Algorithm::Ed25519, &vectors.scalar("teep/keys/ED-AGENT"));
    let payload = Sign1::decode(&bytes, Tagging::Tagged).unwrap().payload.unwrap();

    let ours = cose::sign1(
        &signer,
        cose::Header::default(),
        cose::Header::default(),
        &[],
        cose::Payload::Attached(payload),
    );

    assert_eq!(ours.unwrap(), bytes);
    assert_eq!(*signer.key(), vectors.public("teep/keys/ED-AGENT"));
}

//= teep 14.50 (M): each signature of a COSE_Sign verifies by itself
#[test]
fn both_signatures_of_the_first_query_request_verify() {
    let Some(vectors) = Vectors::find() else { return };
    let bytes = vectors.read("teep/derived/query_request.cose_sign.esp256+ed25519.cbor");
    let keys = [vectors.public("teep/keys/K2"), vectors.public("teep/keys/ED-TAM")];

    let message = Sign::decode(&bytes, Tagging::Tagged).unwrap();

    assert_eq!(message.signatures.len(), 2);
    for (index, key) in keys.iter().enumerate() {
        let verified = message.verify_one(index, key, &Accept::CURRENT, &[]).unwrap();
        assert_eq!(verified.into_inner(), message.payload.unwrap());
        assert_eq!(message.signatures[index].kid(), Some(key.thumbprint().as_ref()));
        assert_eq!(
            message.verify_one(1 - index, key, &Accept::CURRENT, &[]),
            Err(Untrusted::KeyMismatch)
        );
    }
    assert_eq!(
        message.verify_one(2, &keys[0], &Accept::CURRENT, &[]),
        Err(Untrusted::NoSignature(2))
    );
}

//= teep 15.105 (M): legacy algorithms are refused unless asked for
#[test]
fn the_messages_of_the_public_demo_verify() {
    let Some(vectors) = Vectors::find() else { return };
    let mut seen = 0;
    for (file, bytes) in vectors.folder("teep/thirdparty-ietf126-demo") {
        let signer = match file.split('.').nth(1) {
            Some("tam") => "K2",
            Some("agent") if file.contains("query_response.agent") => "RX",
            Some("agent") => "AGENT",
            Some("attester") => "ATTESTER",
            _ => continue,
        };
        let key = vectors.public(&format!("teep/keys/{signer}"));
        let message = Sign1::decode(&bytes, Tagging::Either).unwrap();
        let legacy = signer == "ATTESTER";

        let current = message.verify(&key, &Accept::CURRENT, &[]);

        assert!(message.verify(&key, &Accept::WITH_LEGACY, &[]).is_ok(), "{file}");
        if legacy {
            assert_eq!(current, Err(Untrusted::Algorithm { algorithm: Algorithm::Es256 }));
        } else {
            assert!(current.is_ok(), "{file}");
        }
        seen += 1;
    }
    assert_eq!(seen, 10);
}

#[test]
fn the_signed_manifests_of_the_drafts_verify() {
    let Some(vectors) = Vectors::find() else { return };
    let k1 = vectors.public("suit/keys/K1");
    let k2 = vectors.public("suit/keys/K2");
    let mut legacy = 0;
    let mut current = 0;
    let folders = ["suit/manifest-37", "suit/manifest-pr188", "suit/trust-domains-12"];
    for (file, bytes) in folders.iter().flat_map(|folder| vectors.folder(folder)) {
        let Some((digest, block)) = authentication(&bytes) else {
            assert!(file.contains("unsigned"), "{file}");
            continue;
        };
        let verified = verify_detached(block, &k1, digest, Accept::CURRENT);

        // The hex of this one carries the signature of another example.
        if file == "suit/manifest-pr188/example0-secure-boot-signed.cbor" {
            assert_eq!(verified, Err(Untrusted::Signature));
            continue;
        }
        if verified == Err(Untrusted::Algorithm { algorithm: Algorithm::Es256 }) {
            assert!(verify_detached(block, &k1, digest, Accept::WITH_LEGACY).is_ok(), "{file}");
            legacy += 1;
        } else {
            assert!(verified.is_ok(), "{file}");
            current += 1;
        }
        assert_eq!(
            verify_detached(block, &k2, digest, Accept::WITH_LEGACY),
            Err(Untrusted::Signature)
        );
    }
    assert_eq!((legacy, current), (7, 10));
}

/// The signed digest and the COSE object of a SUIT envelope.
pub(crate) fn authentication(envelope: &[u8]) -> Option<(&[u8], &[u8])> {
    cose::cbor::check(envelope, Limits::DEFAULT).expect("the envelope is well-formed");
    let mut d = Decoder::new(envelope);
    if envelope[0] == 0xd8 {
        d.tag().expect("a tag");
    }
    for _ in 0..d.map().expect("an envelope").expect("of definite length") {
        let authentication = d.probe().i64().is_ok_and(|label| label == 2);
        d.skip().expect("a key");
        if authentication {
            let mut wrapper = Decoder::new(d.bytes().expect("a wrapper"));
            let length = wrapper.array().expect("an array").expect("of definite length");
            let digest = wrapper.bytes().expect("a digest");
            return (length > 1).then(|| (digest, wrapper.bytes().expect("a block")));
        }
        d.skip().expect("a value");
    }
    None
}

fn verify_detached<'p>(
    block: &[u8],
    key: &Key,
    payload: &'p [u8],
    accept: Accept,
) -> Result<Verified<&'p [u8]>, Untrusted> {
    let message = Sign1::decode(block, Tagging::Tagged).expect("a COSE_Sign1");
    message.verify_detached(key, &accept, &[], payload)
}
