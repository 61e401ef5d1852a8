//! One receiver, a key for each suite, one opening.

use super::*;

#[test]
fn a_release_to_the_key_of_any_suite_opens_and_destroys_the_keys_of_all() {
    for suite in Suite::ALL {
        let mut scene = Scene::new();
        let sealed = Suite::ALL.map(|suite| sealed_to(&scene, suite));
        let at = Suite::ALL.iter().position(|other| *other == suite).unwrap();

        let opened = scene.open(&sealed[at]).unwrap();

        assert_eq!(opened.plaintext.expose(), b"pd", "{suite}");
        for other in &sealed {
            assert_eq!(scene.open(other).err(), Some(Refused::Spent), "{suite}");
        }
    }
}

#[test]
fn a_release_to_a_suite_that_the_receiver_does_not_have_does_not_open() {
    for suite in Suite::ALL {
        let mut scene = Scene::new();
        let sealed = sealed_to(&scene, suite);
        let others = Suites::new(Suite::ALL.into_iter().filter(|other| *other != suite)).unwrap();

        scene.receiver = Receiver::generate(&others, &mut SystemEntropy);

        assert_eq!(scene.open(&sealed).err(), Some(Refused::DoesNotOpen), "{suite}");
    }
}

#[test]
fn calls_are_on_p_256_alone() {
    let scene = Scene::new();
    let refused = Some(Refused::Malformed("a key of a suite of the channel"));
    for suite in [Suite::X25519, Suite::XWing] {
        let other = PrivateKey::of_suite(suite, &mut SystemEntropy);
        let service = Service { key: other.public().clone(), manifest_digest: [1; 32] };

        let to_it = request(&service, &scene.caller, 1, b"x", &mut SystemEntropy);
        let from_it = request(&scene.service(), &other, 1, b"x", &mut SystemEntropy);

        assert_eq!((to_it.err(), from_it.err()), (refused, refused), "{suite}");
    }
}

fn sealed_to(scene: &Scene, suite: Suite) -> Vec<u8> {
    let keys = scene.receiver.public();
    let key = keys.iter().find(|key| Suite::of(key) == Some(suite)).unwrap();
    let entropy: &mut dyn Entropy = &mut SystemEntropy;
    seal(&scene.owner, key, &scene.binding, "d-1", &[], b"pd", entropy).unwrap().0
}
