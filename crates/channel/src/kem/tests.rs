//! The vectors of RFC 9180 (CFRG test suite) and draft-ietf-hpke-pq for the suites.

use cose::{Entropy, Key};
use hpke::{Deserializable as _, Kem as _, kem::XWing};

use super::{PrivateKey, receiver, sender};
use crate::{Refused, Suite};

#[test]
fn the_rfc_9180_vector_of_base_mode_holds_at_both_ends() {
    let own = derived(
        "a0ce15d49e28bd47a18a97e147582d814b08cbe00109fed5ec27d1b4e9f6f5e3",
        "317f915db7bc629c48fe765587897e01e282d3e8445f79f27f65d031a88082b2",
        "04abc7e49a4c6b3566d77d0304addc6ed0e98512ffccf505e6a8e3eb25c685136f\
         853148544876de76c0f2ef99cdc3a05ccf5ded7860c7c021238f9e2073d2356c",
    );
    let vector = Vector {
        ephemeral: "a90d3417c3da9cb6c6ae19b4b5dd6cc9529a4cc24efb7ae0ace1f31887a8cd6c",
        enc: "04c06b4f6bebc7bb495cb797ab753f911aff80aefb86fd8b6fcc35525f3ab5f03e\
              0b21bd31a86c6048af3cb2d98e0d3bf01da5cc4c39ff5370d331a4f1f7d5a4e0",
        ciphertexts: [
            "58c61a45059d0c5704560e9d88b564a8b63f1364b8d1fcb3c4c6ddc1d291742465\
             e902cd216f8908da49f8f96f",
            "b4e7c90d1dd62cb563694956eb517ab55d5e7d1f6366a0066c04ababaa444dbaf6\
             0a30d7bb7d3e91b969762dee",
        ],
        exported: "76c6b4f404990ae362be3efe0d60d9669d87017f9dfe33b8c2ed9fd31d295182",
    };

    vector.check(&own, None);
}

#[test]
fn the_rfc_9180_vector_of_auth_mode_holds_at_both_ends() {
    let own = derived(
        "3c56756948f1c27aed3eb27a923c891dc073eccf94bb6c1b64a8bfaa95f1f8f7",
        "d9f10996a02cd6c9dbda1d1f225f18f781ea3c893b8c2a6cb2e266e59f3cd9a9",
        "04cd38ef80923e26f157e06c9887f80177c97e1005a41104127271237f946df22e\
         da13d40801bce6184f1a631c44b0807a1a5e8d039975ed0f6079fcbd2dfe6652",
    );
    let caller = derived(
        "0f3def8cc45967f86c566f2c2a7decedff0d5f8b20a34ab65318144c80cb6b2b",
        "6e7b14befe49443dc501def1cc2f0f293d9c5cfa045a23e9a2e0e7703b42705d",
        "04ece9b48cc98ee03ba742fe1218a3fbec960cc34b6e1defdcd3285276f39028e9\
         5b90f9526607565888766a1101f429dc3ec87364b5c8c613f0a081881950427f",
    );
    let vector = Vector {
        ephemeral: "d6c49e442aad90bcc1bc0d166e5c4d3df845c803ba08b8a4d891af2eeae4f97e",
        enc: "04a7aeac79fda402674ef247c12d6f5fdfd21498d896b67ff04ec181382d4516b7\
              662be32b4a2ae817c2d57104ecb6fcaa527438939810612d1b3d0af36ffc66ce",
        ciphertexts: [
            "59b9890aabf94c1d502c39d8d356989ab0880ed43e984255db7b32a8d7b0ad5beb\
             a799a4ec326a0ddca3dd5e5d",
            "0af0da6775648ef8311c9267819d46ac3b8453d1e2bd7332ed49257527c7f78900\
             9ea2d3e80d61218d40d06755",
        ],
        exported: "e04a3d5ec48b3729b57b61e02d66eb6f67f4bf013f2767ebd2281592ea3ccef8",
    };

    vector.check(&own, Some(&caller));
}

#[test]
fn the_vector_of_x25519_in_base_mode_holds_at_both_ends() {
    let own = derived_of(
        Suite::X25519,
        "dac33b0e9db1b59dbbea58d59a14e7b5896e9bdf98fad6891e99d1686492b9ee",
        "497b4502664cfea5d5af0b39934dac72242a74f8480451e1aee7d6a53320333d",
        "430f4b9859665145a6b1ba274024487bd66f03a2dd577d7753c68d7d7d00c00c",
    );
    let ephemeral = bytes("2cd7c601cefb3d42a62b04b7a9041494c06c7843818e0ce28a8f704ae7ab20f9");

    let (enc, mut sealing) = sender(own.public(), INFO, None, &mut Fixed(ephemeral)).unwrap();
    let mut opening = receiver(&own, &enc, INFO, None).unwrap();

    let expected = "6c93e09869df3402d7bf231bf540fadd35cd56be14f97178f0954db94b7fc256";
    assert_eq!(enc, bytes(expected));
    let plaintext = b"Beauty is truth, truth beauty";
    let sealed = sealing.seal(plaintext, b"Count-0").unwrap();
    assert_eq!(
        sealed,
        bytes(
            "e5d84cd531cfb583096e7cfa9641bd3079cf3a91cda813c52deb5f512be9931980\
             a41de125a925cdad859d5b7a",
        )
    );
    assert_eq!(opening.open(&sealed, b"Count-0").unwrap(), plaintext);
}

/// The draft has X-Wing with HKDF-SHA256 and another cipher: what is the KEM's own is compared
/// here, the schedule and the cipher behind it in the vectors above.
#[test]
fn the_vector_of_x_wing_holds_at_both_ends() {
    let [ikm_r, sk_r, pk_r, ikm_e, enc, shared_secret] = X_WING;
    let own = derived_of(Suite::XWing, ikm_r, sk_r, pk_r);

    let (made, mut sealing) = sender(own.public(), INFO, None, &mut Fixed(bytes(ikm_e))).unwrap();

    assert_eq!(made, bytes(enc));
    let private = <XWing as hpke::Kem>::PrivateKey::from_bytes(&bytes(sk_r)).unwrap();
    let encapsulated = <XWing as hpke::Kem>::EncappedKey::from_bytes(&made).unwrap();
    let secret = XWing::decap(&private, None, &encapsulated).unwrap();
    assert_eq!(secret.0.as_slice(), bytes(shared_secret));
    let mut opening = receiver(&own, &made, INFO, None).unwrap();
    let sealed = sealing.seal(b"pd", b"Count-0").unwrap();
    assert_eq!(opening.open(&sealed, b"Count-0").unwrap(), b"pd");
}

#[test]
fn an_x_wing_ciphertext_that_was_changed_anywhere_opens_nothing() {
    let own = PrivateKey::of_suite(Suite::XWing, &mut keys::SystemEntropy);
    let (enc, mut sealing) = sender(own.public(), INFO, None, &mut keys::SystemEntropy).unwrap();
    let sealed = sealing.seal(b"pd", b"").unwrap();
    for at in [0, 500, 1087, 1088, 1119] {
        let mut changed = enc.clone();
        changed[at] ^= 1;

        // ML-KEM rejects implicitly: another secret comes out.
        let opened = receiver(&own, &changed, INFO, None).unwrap().open(&sealed, b"");

        assert!(opened.is_err(), "{at}");
    }
    for cut in [&enc[..1119], &[enc.as_slice(), &[0]].concat()] {
        assert_eq!(receiver(&own, cut, INFO, None).err(), Some(Refused::DoesNotOpen));
    }
}

#[test]
fn a_point_of_low_order_shares_no_secret() {
    let low = Key::from_okp(cose::Curve::X25519, &[0; 32]).unwrap();
    let own = PrivateKey::of_suite(Suite::X25519, &mut keys::SystemEntropy);

    let sealed = sender(&low, INFO, None, &mut keys::SystemEntropy);
    let opened = receiver(&own, &[0; 32], INFO, None);

    assert_eq!(sealed.err(), Some(Refused::DoesNotOpen));
    assert_eq!(opened.err(), Some(Refused::DoesNotOpen));
}

#[test]
fn a_scalar_makes_the_same_key_again_and_a_wrong_one_makes_none() {
    let key = PrivateKey::generate(&mut keys::SystemEntropy);

    let again = PrivateKey::from_scalar(key.to_scalar().expose()).unwrap();

    assert_eq!(again.public(), key.public());
    assert!(PrivateKey::from_scalar(&[0; 32]).is_none());
    assert!(PrivateKey::from_scalar(&[0xff; 32]).is_none());
    assert!(PrivateKey::from_scalar(&[1; 31]).is_none());
    assert!(!format!("{key:?}").contains(&hex::encode(key.to_scalar().expose())));
}

struct Vector {
    ephemeral: &'static str,
    enc: &'static str,
    ciphertexts: [&'static str; 2],
    exported: &'static str,
}

impl Vector {
    fn check(&self, own: &PrivateKey, caller: Option<&PrivateKey>) {
        let (enc, mut sealing) =
            sender(own.public(), INFO, caller, &mut Fixed(bytes(self.ephemeral))).unwrap();
        let public: Option<&Key> = caller.map(PrivateKey::public);
        let mut opening = receiver(own, &enc, INFO, public).unwrap();

        assert_eq!(enc, bytes(self.enc));
        for (number, ciphertext) in self.ciphertexts.iter().enumerate() {
            let aad = format!("Count-{number}");
            let sealed = sealing.seal(PLAINTEXT, aad.as_bytes()).unwrap();

            assert_eq!(sealed, bytes(ciphertext));
            assert_eq!(opening.open(&sealed, aad.as_bytes()).unwrap(), PLAINTEXT);
        }
        let mut exported = [0; 32];
        opening.export(b"TestContext", &mut exported).unwrap();
        assert_eq!(exported.as_slice(), bytes(self.exported));
    }
}

/// Derives a key pair as the vectors do, through our own generator.
fn derived(seed: &str, scalar: &str, public: &str) -> PrivateKey {
    derived_of(Suite::P256, seed, scalar, public)
}

fn derived_of(suite: Suite, seed: &str, scalar: &str, public: &str) -> PrivateKey {
    let key = PrivateKey::of_suite(suite, &mut Fixed(bytes(seed)));

    let mut scalar = bytes(scalar);
    if suite == Suite::X25519 {
        // RFC 7748 section 5; the vectors have the scalar before that.
        scalar[0] &= 248;
        scalar[31] = scalar[31] & 127 | 64;
    }
    assert_eq!(key.to_scalar().expose(), scalar);
    assert_eq!(key.public().public(), bytes(public));
    key
}

/// `ikmR`, `skRm`, `pkRm`, `ikmE`, `enc` and `shared_secret` of draft-ietf-hpke-pq.
const X_WING: [&str; 6] = [
    include_str!("../../tests/vectors/x-wing/ikm_r.hex"),
    include_str!("../../tests/vectors/x-wing/sk_r.hex"),
    include_str!("../../tests/vectors/x-wing/pk_r.hex"),
    include_str!("../../tests/vectors/x-wing/ikm_e.hex"),
    include_str!("../../tests/vectors/x-wing/enc.hex"),
    include_str!("../../tests/vectors/x-wing/shared_secret.hex"),
];

fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex.trim()).unwrap()
}

/// Entropy that is known beforehand.
struct Fixed(Vec<u8>);

impl Entropy for Fixed {
    fn fill(&mut self, out: &mut [u8]) {
        out.copy_from_slice(&self.0);
    }
}

const INFO: &[u8] = b"Ode on a Grecian Urn";
const PLAINTEXT: &[u8] = b"Beauty is truth, truth beauty";
