use cose::{Algorithm, Entropy, Key, Signer as _};
use keys::{SigningKey, SystemEntropy};
use proptest::prelude::*;

use crate::{
    PrivateKey, Refused, Suite, Suites,
    call::{Endpoint, PAYLOAD_BYTES_MAX, Service, request},
    receipt::Receipt,
    release::{Binding, CHUNK_BYTES_MAX, Opened, Receiver, Role, seal},
};

mod conditions;
mod stream;
mod suites;

#[test]
fn the_attested_receiver_opens_what_its_owner_sealed() {
    let mut scene = Scene::new();

    let opened = scene.open(&scene.sealed(b"home, work")).unwrap();

    assert_eq!(opened.plaintext.expose(), b"home, work");
    assert_eq!(opened.deployment, "d-1");
    assert_eq!(opened.callers, [scene.caller.public().clone()]);
}

#[test]
fn the_first_valid_opening_destroys_the_key_and_a_failed_one_does_not() {
    let mut scene = Scene::new();
    let sealed = scene.sealed(b"pd");
    let mut damaged = sealed.clone();
    *damaged.last_mut().unwrap() ^= 1;

    assert_eq!(scene.open(&damaged).err(), Some(Refused::DoesNotOpen));
    assert!(scene.open(&sealed).is_ok());
    assert_eq!(scene.open(&sealed).err(), Some(Refused::Spent));
}

#[test]
fn a_release_of_another_owner_is_refused() {
    let mut scene = Scene::new();
    let stranger = SigningKey::generate(Algorithm::Esp256).unwrap();
    let forged = scene.sealed_by(&stranger, b"pd", &scene.binding);

    assert_eq!(scene.open(&forged).err(), Some(Refused::Owner));
}

#[test]
fn a_signature_of_another_owner_under_the_right_name_is_refused() {
    let mut scene = Scene::new();
    let stranger = SigningKey::generate(Algorithm::Esp256).unwrap();
    let forged = scene.sealed_by(&stranger, b"pd", &scene.binding);
    let (right, wrong) = (scene.owner.key().encode(), stranger.key().encode());
    let at = forged.windows(wrong.len()).position(|window| window == wrong).unwrap();
    let mut renamed = forged;
    renamed[at..at + right.len()].copy_from_slice(&right);

    assert_eq!(scene.open(&renamed).err(), Some(Refused::Owner));
}

#[test]
fn a_release_for_another_manifest_exchange_or_role_does_not_open() {
    let mut scene = Scene::new();
    let bindings = [
        Binding { manifest_digest: [9; 32], ..scene.binding },
        Binding { eat_digest: [9; 32], ..scene.binding },
        Binding { role: Role::Agent, ..scene.binding },
    ];

    for binding in bindings {
        let sealed = scene.sealed_by(&scene.owner, b"pd", &binding);
        // The signature covers the binding too, so it is what fails first.
        assert_eq!(scene.open(&sealed).err(), Some(Refused::Owner), "{binding:?}");
    }
}

#[test]
fn another_receiver_does_not_open_it() {
    let scene = Scene::new();
    let sealed = scene.sealed(b"pd");

    let mut other = Receiver::generate(&Suites::default(), &mut SystemEntropy);
    let other = other.open(&sealed, &scene.binding, LIMIT);

    assert_eq!(other.err(), Some(Refused::DoesNotOpen));
}

#[test]
fn many_chunks_flow_and_none_can_be_cut_moved_or_added() {
    let mut scene = Scene::new();
    let plaintext = vec![7; 2 * CHUNK_BYTES_MAX + 5];
    let sealed = scene.sealed(&plaintext);
    let frame = 4 + CHUNK_BYTES_MAX + 16;
    let head = sealed.len() - 2 * frame - (4 + 5 + 16);
    let (first, second) = (head..head + frame, head + frame..head + 2 * frame);

    let cut = &sealed[..second.end];
    let swapped =
        [&sealed[..head], &sealed[second.clone()], &sealed[first.clone()], &sealed[second.end..]];
    let doubled = [&sealed[..], &sealed[second.end..]].concat();
    let shortened = &sealed[..sealed.len() - 1];

    assert_eq!(scene.open(cut).err(), Some(Refused::Cut));
    assert_eq!(scene.open(&swapped.concat()).err(), Some(Refused::DoesNotOpen));
    assert_eq!(scene.open(&doubled).err(), Some(Refused::Behind));
    assert_eq!(scene.open(shortened).err(), Some(Refused::Cut));
    assert_eq!(scene.open(&sealed).unwrap().plaintext.expose(), plaintext);
}

#[test]
fn chunks_of_two_releases_cannot_be_spliced() {
    let mut scene = Scene::new();
    let (one, two) = (scene.sealed(&[1; 100]), scene.sealed(&[2; 100]));
    let tail = 4 + 100 + 16;
    let spliced = [&one[..one.len() - tail], &two[two.len() - tail..]].concat();

    assert_eq!(scene.open(&spliced).err(), Some(Refused::DoesNotOpen));
}

#[test]
fn more_than_the_receiver_takes_is_refused() {
    let mut scene = Scene::new();
    let sealed = scene.sealed(&[0; 11]);

    let opened = scene.receiver.open(&sealed, &scene.binding, 10);

    assert_eq!(opened.err(), Some(Refused::TooLarge(10)));
}

#[test]
fn a_receipt_holds_for_its_key_alone() {
    let mut scene = Scene::new();
    let opened = scene.open(&scene.sealed(b"pd")).unwrap();
    let key = SigningKey::generate(Algorithm::Esp256).unwrap();
    let receipt = Receipt {
        deployment: opened.deployment,
        eat_digest: scene.binding.eat_digest,
        digests: opened.digests,
        service_key: None,
    };
    let with_key = Receipt { service_key: Some(scene.owner.key().clone()), ..receipt.clone() };

    let signed = receipt.sign(&key).unwrap();
    let signed_with_key = with_key.sign(&key).unwrap();

    assert_eq!(Receipt::verify(&signed, key.key()), Ok(receipt));
    assert_eq!(Receipt::verify(&signed_with_key, key.key()), Ok(with_key));
    assert_eq!(Receipt::verify(&signed, scene.owner.key()), Err(Refused::DoesNotOpen));
    assert_eq!(Receipt::verify(&signed[1..], key.key()), Err(Refused::Malformed("a receipt")));
}

#[test]
fn a_named_caller_is_answered() {
    let mut scene = Scene::new();

    let (bytes, awaiting) = scene.request(1, b"home to work");
    let received = scene.endpoint.open(&bytes).unwrap();
    assert_eq!(received.payload.expose(), b"home to work");
    assert_eq!(received.caller, scene.caller.public().thumbprint());
    let answer = received.answer(b"turn left", &mut SystemEntropy).unwrap();

    assert_eq!(awaiting.open(&answer).unwrap().expose(), b"turn left");
}

#[test]
fn a_caller_whom_the_owner_did_not_name_is_refused() {
    let mut scene = Scene::new();
    let stranger = PrivateKey::generate(&mut SystemEntropy);
    let (bytes, _) = request(&scene.service(), &stranger, 1, b"x", &mut SystemEntropy).unwrap();

    assert_eq!(scene.endpoint.open(&bytes).err(), Some(Refused::Caller));
}

#[test]
fn a_stranger_in_the_name_of_a_caller_is_refused() {
    let mut scene = Scene::new();
    let stranger = PrivateKey::generate(&mut SystemEntropy);
    let (mut bytes, _) = request(&scene.service(), &stranger, 1, b"x", &mut SystemEntropy).unwrap();
    let own = stranger.public().thumbprint().0;
    let at = bytes.windows(32).position(|window| window == own).unwrap();
    bytes[at..at + 32].copy_from_slice(&scene.caller.public().thumbprint().0);

    assert_eq!(scene.endpoint.open(&bytes).err(), Some(Refused::DoesNotOpen));
}

#[test]
fn a_request_is_served_once_and_never_out_of_order() {
    let mut scene = Scene::new();
    let (fifth, _) = scene.request(5, b"x");
    let (fourth, _) = scene.request(4, b"x");

    assert!(scene.endpoint.open(&fifth).is_ok());
    assert_eq!(scene.endpoint.open(&fifth).err(), Some(Refused::Replay));
    assert_eq!(scene.endpoint.open(&fourth).err(), Some(Refused::Replay));
    // Naming the callers again does not forget what was served.
    scene.endpoint.admit(vec![scene.caller.public().clone()]);
    assert_eq!(scene.endpoint.open(&fifth).err(), Some(Refused::Replay));
}

#[test]
fn the_largest_request_and_answer_pass_and_a_larger_one_is_refused() {
    let mut scene = Scene::new();
    let largest = vec![1; PAYLOAD_BYTES_MAX];

    let (bytes, awaiting) = scene.request(1, &largest);
    let received = scene.endpoint.open(&bytes).unwrap();
    let answer = received.answer(&largest, &mut SystemEntropy).unwrap();

    assert_eq!(awaiting.open(&answer).unwrap().expose(), largest);
    let too_large = vec![1; PAYLOAD_BYTES_MAX + 1];
    let refused = request(&scene.service(), &scene.caller, 2, &too_large, &mut SystemEntropy).err();
    assert_eq!(refused, Some(Refused::TooLarge(PAYLOAD_BYTES_MAX)));
    let padded = vec![0; PAYLOAD_BYTES_MAX + 2048];
    assert_eq!(scene.endpoint.open(&padded).err(), Some(Refused::TooLarge(PAYLOAD_BYTES_MAX)));
}

#[test]
fn an_answer_to_another_request_does_not_open() {
    let mut scene = Scene::new();
    let (first, awaiting_first) = scene.request(1, b"x");
    let (second, awaiting_second) = scene.request(2, b"x");
    let received = scene.endpoint.open(&first).unwrap();
    let answer = received.answer(b"for the first", &mut SystemEntropy).unwrap();
    assert!(scene.endpoint.open(&second).is_ok());

    assert_eq!(awaiting_second.open(&answer).err(), Some(Refused::DoesNotOpen));
    assert!(awaiting_first.open(&answer).is_ok());
}

#[test]
fn a_long_answer_comes_back_and_one_too_long_is_refused() {
    let mut scene = Scene::new();
    let long = vec![7; PAYLOAD_BYTES_MAX];
    let (bytes, awaiting) = scene.request(1, &long);

    let received = scene.endpoint.open(&bytes).unwrap();
    assert_eq!(received.payload.expose(), long);
    let answer = received.answer(&long, &mut SystemEntropy).unwrap();
    assert_eq!(awaiting.open(&answer).unwrap().expose(), long);

    let (bytes, _) = scene.request(2, b"x");
    let received = scene.endpoint.open(&bytes).unwrap();
    let too_long = vec![7; PAYLOAD_BYTES_MAX + 1];
    let refused = Some(Refused::TooLarge(PAYLOAD_BYTES_MAX));
    assert_eq!(received.answer(&too_long, &mut SystemEntropy).err(), refused);
    let entropy: &mut dyn Entropy = &mut SystemEntropy;
    let asked = request(&scene.service(), &scene.caller, 3, &too_long, entropy);
    assert_eq!(asked.err(), refused);
}

#[test]
fn a_caller_who_is_no_longer_named_is_refused() {
    let mut scene = Scene::new();
    let (bytes, _) = scene.request(1, b"x");

    scene.endpoint.admit(Vec::new());

    assert_eq!(scene.endpoint.open(&bytes).err(), Some(Refused::Caller));
}

#[test]
fn a_refused_request_uses_no_counter() {
    let mut scene = Scene::new();
    let (bytes, _) = scene.request(1, b"x");
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;

    assert_eq!(scene.endpoint.open(&damaged).err(), Some(Refused::DoesNotOpen));
    assert!(scene.endpoint.open(&bytes).is_ok());
}

#[test]
fn a_request_for_another_version_of_the_application_is_refused() {
    let mut scene = Scene::new();
    let service = Service { manifest_digest: [9; 32], ..scene.service() };
    let (bytes, _) = request(&service, &scene.caller, 1, b"x", &mut SystemEntropy).unwrap();

    assert_eq!(scene.endpoint.open(&bytes).err(), Some(Refused::DoesNotOpen));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_the_openers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut scene = Scene::new();

        prop_assert!(scene.open(&bytes).is_err());
        prop_assert!(scene.endpoint.open(&bytes).is_err());
        prop_assert!(Receipt::verify(&bytes, scene.owner.key()).is_err());
    }

    #[test]
    fn no_flipped_bit_is_accepted(position in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut scene = Scene::new();
        let mut sealed = scene.sealed(b"home, work");
        let at = position.index(sealed.len());
        sealed[at] ^= 1 << bit;

        prop_assert!(scene.open(&sealed).is_err());
    }

    #[test]
    fn no_flipped_bit_of_a_call_is_accepted(
        position in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let mut scene = Scene::new();
        let (good, awaiting) = scene.request(1, b"home to work");
        let mut bytes = good.clone();
        let at = position.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(scene.endpoint.open(&bytes).is_err());

        let received = scene.endpoint.open(&good).unwrap();
        let mut answer = received.answer(b"turn left", &mut SystemEntropy).unwrap();
        let at = position.index(answer.len());
        answer[at] ^= 1 << bit;
        prop_assert!(awaiting.open(&answer).is_err());
    }
}

/// An owner, a receiver, and a caller who is named.
struct Scene {
    owner: SigningKey,
    receiver: Receiver,
    binding: Binding,
    caller: PrivateKey,
    endpoint: Endpoint,
}

impl Scene {
    fn new() -> Self {
        let owner = SigningKey::generate(Algorithm::Esp256).unwrap();
        let caller = PrivateKey::generate(&mut SystemEntropy);
        let binding = Binding {
            owner: owner.key().thumbprint(),
            manifest_digest: [1; 32],
            eat_digest: [2; 32],
            role: Role::Ta,
        };
        let mut endpoint = Endpoint::new([1; 32], &mut SystemEntropy);
        endpoint.admit(vec![caller.public().clone()]);
        let receiver = Receiver::generate(&Suites::default(), &mut SystemEntropy);
        Self { owner, receiver, binding, caller, endpoint }
    }

    fn sealed(&self, plaintext: &[u8]) -> Vec<u8> {
        self.sealed_by(&self.owner, plaintext, &self.binding)
    }

    fn sealed_by(&self, owner: &SigningKey, plaintext: &[u8], binding: &Binding) -> Vec<u8> {
        let callers: [Key; 1] = [self.caller.public().clone()];
        let entropy: &mut dyn Entropy = &mut SystemEntropy;
        seal(owner, self.key(), binding, "d-1", &callers, plaintext, entropy).unwrap().0
    }

    /// The receiver's key of the suite that its owner prefers.
    fn key(&self) -> &Key {
        Suites::default().choose(self.receiver.public()).unwrap()
    }

    fn open(&mut self, bytes: &[u8]) -> Result<Opened, Refused> {
        self.receiver.open(bytes, &self.binding, LIMIT)
    }

    fn service(&self) -> Service {
        Service { key: self.endpoint.public().clone(), manifest_digest: [1; 32] }
    }

    fn request(&self, counter: u64, payload: &[u8]) -> (Vec<u8>, crate::call::Awaiting) {
        request(&self.service(), &self.caller, counter, payload, &mut SystemEntropy).unwrap()
    }
}

const LIMIT: usize = 1 << 20;
