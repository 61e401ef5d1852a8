//! What the owner says in the header of a release.

use super::*;
use crate::release::{CALLERS_MAX, DEPLOYMENT_BYTES_MAX, Lease, Options, Sealing};

#[test]
fn a_condition_is_refused_by_a_receiver_that_does_not_keep_it() {
    let mut scene = Scene::new();
    let options = leased(None);
    let sealed = sealed_under(&scene, options.clone());
    let keep = |options: &Options| options.lease.is_some();

    let refused = scene.open(&sealed).err();
    let mut strict = scene.receiver.stream(&scene.binding);
    let refused_stream = strict.push(&scene.receiver, &sealed).err();
    let opened = scene.receiver.open_if(&sealed, &scene.binding, LIMIT, keep).unwrap();

    assert_eq!(refused, Some(Refused::Conditions));
    assert_eq!(refused_stream, Some(Refused::Conditions));
    assert_eq!(opened.options, options);
}

#[test]
fn a_stream_hands_over_the_conditions_that_it_keeps() {
    let mut scene = Scene::new();
    let options = leased(Some(scene.caller.public().clone()));
    let sealed = sealed_under(&scene, options.clone());
    let mut stream =
        scene.receiver.stream(&scene.binding).keeping(|options| options.lease.is_some());

    stream.push(&scene.receiver, &sealed).unwrap();
    let release = stream.finish(&mut scene.receiver).unwrap();

    assert_eq!(release.options, options);
}

#[test]
fn a_release_renamed_to_another_deployment_is_refused() {
    let mut scene = Scene::new();
    let mut sealed = scene.sealed(b"pd");
    let at = sealed.windows(3).position(|window| window == b"d-1").unwrap();
    sealed[at + 2] = b'2';

    assert_eq!(scene.open(&sealed).err(), Some(Refused::Owner));
}

#[test]
fn a_caller_who_is_added_on_the_way_spoils_the_release() {
    let mut scene = Scene::new();
    let mut sealed = scene.sealed(b"pd");
    let named = scene.caller.public().encode();
    let stranger = PrivateKey::generate(&mut SystemEntropy).public().encode();
    let at = sealed.windows(named.len()).position(|window| window == named).unwrap();
    sealed[at..at + named.len()].copy_from_slice(&stranger);

    assert_eq!(scene.open(&sealed).err(), Some(Refused::Owner));
}

#[test]
fn names_and_lists_beyond_their_limits_are_not_sealed() {
    let scene = Scene::new();
    let begin = |deployment: &str, callers: &[Key]| {
        let entropy: &mut dyn Entropy = &mut SystemEntropy;
        let key = scene.key();
        Sealing::begin(&scene.owner, key, &scene.binding, deployment, callers, entropy).err()
    };
    let many = vec![scene.caller.public().clone(); CALLERS_MAX as usize + 1];
    let name = Some(Refused::Malformed("the name of a deployment"));

    assert_eq!(begin("", &[]), name);
    assert_eq!(begin(&"d".repeat(DEPLOYMENT_BYTES_MAX + 1), &[]), name);
    assert_eq!(begin("d", &many), Some(Refused::TooLarge(CALLERS_MAX as usize)));
    assert_eq!(begin(&"d".repeat(DEPLOYMENT_BYTES_MAX), &many[1..]), None);
}

#[test]
fn a_key_that_is_of_no_suite_is_refused() {
    let scene = Scene::new();
    let other = SigningKey::generate(Algorithm::Ed25519).unwrap();
    let entropy: &mut dyn Entropy = &mut SystemEntropy;

    let sealed = seal(&scene.owner, other.key(), &scene.binding, "d-1", &[], b"pd", entropy);

    assert_eq!(sealed.err(), Some(Refused::Malformed("a key of a suite of the channel")));
}

fn leased(renewal: Option<Key>) -> Options {
    Options { lease: Some(Lease { seconds: 3_600, renewal }) }
}

fn sealed_under(scene: &Scene, options: Options) -> Vec<u8> {
    let entropy: &mut dyn Entropy = &mut SystemEntropy;
    let key = scene.key();
    let owner = &scene.owner;
    let (mut bytes, sealing) =
        Sealing::begin_under(owner, key, &scene.binding, "d-1", &[], options, entropy).unwrap();
    bytes.extend(sealing.last(b"pd").unwrap().0);
    bytes
}
