//! A package whose signer is not who owns its component.

use cose::{
    Algorithm, Header, Payload as Signed, Signer as _,
    cbor::minicbor::{Decoder, Encoder},
};
use keys::SigningKey;
use suit::{
    Uuid,
    build::{Compatibility, Name, Payload, Ta},
};

/// A package of a Trusted Application as its owner signed it, and the same with another signature.
pub(crate) fn packages() -> (Vec<u8>, Vec<u8>) {
    let owner = SigningKey::generate(Algorithm::Esp256).unwrap();
    let thief = SigningKey::generate(Algorithm::Esp256).unwrap();
    let uuid = |bytes| Uuid::new(bytes).unwrap();
    let fits = Compatibility { vendor: uuid(VENDOR), class: uuid(CLASS) };
    let payload = Payload::integrated(b"a component");
    let ta = Ta::new(Name::new("route-planner").unwrap(), 1, fits, payload);
    let built = ta.invocable(None).sign(&owner).unwrap();

    let digest = built.digest.encode();
    let unprotected = Header { kccs: Some(thief.key().clone()), ..Header::default() };
    let detached = Signed::Detached(&digest);
    let block = cose::sign1(&thief, Header::default(), unprotected, &[], detached).unwrap();
    let forged = with_authentication(&built.envelope, &digest, &block);
    (built.envelope, forged)
}

/// The envelope with another authentication wrapper, which is its first member.
fn with_authentication(envelope: &[u8], digest: &[u8], block: &[u8]) -> Vec<u8> {
    let mut decoder = Decoder::new(envelope);
    decoder.map().unwrap();
    assert_eq!(decoder.u8().unwrap(), AUTHENTICATION);
    let head = decoder.position();
    decoder.skip().unwrap();
    let rest = decoder.position();

    let mut wrapper = Encoder::new(Vec::new());
    wrapper.array(2).unwrap().bytes(digest).unwrap().bytes(block).unwrap();
    let mut forged = Encoder::new(envelope[..head].to_vec());
    forged.bytes(wrapper.writer()).unwrap();
    [forged.writer().as_slice(), &envelope[rest..]].concat()
}

const AUTHENTICATION: u8 = 2;
const VENDOR: [u8; 16] = 0xd98d_fd44_7114_5376_bf7c_3adf_b471_2dd2_u128.to_be_bytes();
const CLASS: [u8; 16] = 0x7b39_7450_6111_5eb1_8e91_ba8b_2c60_eede_u128.to_be_bytes();
