//! Releases that arrive in pieces.

use super::*;
use crate::release::{Options, Sealing};

#[test]
fn a_release_in_pieces_is_opened_in_constant_memory_and_destroys_the_key() {
    let mut scene = Scene::new();
    let plaintext: Vec<u8> = (0..3 * CHUNK_BYTES_MAX + 7).map(|at| at as u8).collect();
    let sealed = scene.sealed(&plaintext);
    let mut stream = scene.receiver.stream(&scene.binding);
    let mut opened = Vec::new();

    for piece in sealed.chunks(1_000) {
        let chunks = stream.push(&scene.receiver, piece).unwrap();
        assert!(chunks.len() <= 2);
        chunks.iter().for_each(|chunk| opened.extend_from_slice(chunk.expose()));
    }
    let release = stream.finish(&mut scene.receiver).unwrap();

    assert_eq!(opened, plaintext);
    assert_eq!(release.deployment, "d-1");
    assert_eq!(release.callers, [scene.caller.public().clone()]);
    assert_eq!(release.options, Options::default());
    assert_eq!(scene.open(&sealed).err(), Some(Refused::Spent));
}

#[test]
fn both_ends_know_the_same_digests() {
    let mut scene = Scene::new();
    let entropy: &mut dyn Entropy = &mut SystemEntropy;
    let key = scene.key();
    let (mut bytes, mut sealing) =
        Sealing::begin(&scene.owner, key, &scene.binding, "d-1", &[], entropy).unwrap();
    bytes.extend(sealing.chunk(b"first").unwrap());
    let (frame, sent) = sealing.last(b"").unwrap();
    bytes.extend(frame);

    let opened = scene.open(&bytes).unwrap();

    assert_eq!(opened.plaintext.expose(), b"first");
    assert_eq!(opened.digests, sent);
}

#[test]
fn a_stream_that_ends_early_or_goes_on_is_no_release() {
    let mut scene = Scene::new();
    let sealed = scene.sealed(b"pd");
    let more = [&sealed[..], &[0]].concat();

    for cut in 0..sealed.len() {
        let mut stream = scene.receiver.stream(&scene.binding);
        stream.push(&scene.receiver, &sealed[..cut]).unwrap();

        assert_eq!(stream.finish(&mut scene.receiver).err(), Some(Refused::Cut), "{cut}");
    }
    let mut stream = scene.receiver.stream(&scene.binding);
    assert_eq!(stream.push(&scene.receiver, &more).err(), Some(Refused::Behind));
    assert_eq!(stream.finish(&mut scene.receiver).err(), Some(Refused::Behind));
    assert!(scene.open(&sealed).is_ok());
}

#[test]
fn a_stream_that_refused_once_refuses_for_ever() {
    let scene = Scene::new();
    let sealed = scene.sealed(b"pd");
    let mut damaged = sealed.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let mut stream = scene.receiver.stream(&scene.binding);

    assert_eq!(stream.push(&scene.receiver, &damaged).err(), Some(Refused::DoesNotOpen));
    assert_eq!(stream.push(&scene.receiver, &sealed).err(), Some(Refused::DoesNotOpen));
}

#[test]
fn of_two_streams_to_one_receiver_the_first_to_end_counts() {
    let mut scene = Scene::new();
    let (one, two) = (scene.sealed(b"one"), scene.sealed(b"two"));
    let mut first = scene.receiver.stream(&scene.binding);
    let mut second = scene.receiver.stream(&scene.binding);
    first.push(&scene.receiver, &one).unwrap();
    second.push(&scene.receiver, &two).unwrap();

    assert!(second.finish(&mut scene.receiver).is_ok());
    assert_eq!(first.finish(&mut scene.receiver).err(), Some(Refused::Spent));
}

#[test]
fn a_stream_belongs_to_one_receiver() {
    let mut scene = Scene::new();
    let sealed = scene.sealed(b"pd");
    let mut stream = scene.receiver.stream(&scene.binding);
    let mut other = Receiver::generate(&Suites::default(), &mut SystemEntropy);

    stream.push(&scene.receiver, &sealed).unwrap();

    assert_eq!(stream.finish(&mut other).err(), Some(Refused::DoesNotOpen));
    assert!(scene.open(&sealed).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_content_in_any_pieces_arrives(
        length in 0..200_000_usize,
        piece in 1..100_000_usize,
    ) {
        let mut scene = Scene::new();
        let plaintext: Vec<u8> = (0..length).map(|at| (at / 3) as u8).collect();
        let sealed = scene.sealed(&plaintext);
        let mut stream = scene.receiver.stream(&scene.binding);
        let mut opened = Vec::new();

        for bytes in sealed.chunks(piece) {
            for chunk in stream.push(&scene.receiver, bytes).unwrap() {
                opened.extend_from_slice(chunk.expose());
            }
        }

        prop_assert!(stream.finish(&mut scene.receiver).is_ok());
        prop_assert_eq!(opened, plaintext);
    }
}
