//! HSS/LMS: what another implementation signs verifies here, and the other way round.

use cose::hss::{Height, OneTime, Tree};
use cose::{
    Accept, Algorithm, Key, KeyUnusable, Malformed, Payload, Sign1, Signer, Tagging, Untrusted,
};
use hbs_lms::{HssParameter, LmotsAlgorithm, LmsAlgorithm, Seed, Sha256_256};

const WIDTHS: [(OneTime, LmotsAlgorithm); 4] = [
    (OneTime::W1, LmotsAlgorithm::LmotsW1),
    (OneTime::W2, LmotsAlgorithm::LmotsW2),
    (OneTime::W4, LmotsAlgorithm::LmotsW4),
    (OneTime::W8, LmotsAlgorithm::LmotsW8),
];
const HSS: Accept = Accept::only(Algorithm::HssLms);

#[test]
fn what_another_implementation_signs_is_verified() {
    for (named, width) in WIDTHS {
        for levels in [1, 2] {
            let other = Other::new(width, levels);
            let message = signed(&other);

            assert!(verify(&message, other.key()).is_ok(), "{named:?}, {levels} levels");
        }
    }
}

#[test]
fn another_implementation_verifies_what_is_signed_here() {
    for (width, _) in WIDTHS {
        let tree = Tree::new(Height::H5, width, [3; 16], [5; 32]);
        let public = [&[0, 0, 0, 1][..], &tree.public()].concat();
        for leaf in [0, 1, 30, 31] {
            let signature = [&[0; 4][..], &tree.sign(leaf, b"content").unwrap()].concat();

            let verify = |message| hbs_lms::verify::<Sha256_256>(message, &signature, &public);
            assert!(verify(b"content").is_ok(), "{width:?}, leaf {leaf}");
            assert!(verify(b"contents").is_err(), "{width:?}, leaf {leaf}");
        }
        assert_eq!(tree.sign(32, b"content"), None);
    }
}

#[test]
fn a_signature_with_an_octet_changed_is_refused() {
    let other = Other::new(LmotsAlgorithm::LmotsW8, 2);
    let message = signed(&other);
    let length = Sign1::decode(&message, Tagging::Tagged).unwrap().signature.len();
    let mut changed = message.clone();
    // Types and leaves stand at the front; then one octet of each 13, so that every chain has some.
    let (start, end) = (message.len() - length, message.len());
    for place in (start..start + 12).chain((start + 12..end).step_by(13)) {
        changed[place] ^= 1 << (place % 8);

        assert_eq!(verify(&changed, other.key()), Err(Untrusted::Signature), "octet {place}");
        changed[place] = message[place];
    }
}

#[test]
fn a_signature_of_another_length_is_refused() {
    let one = Single::new(1);
    let whole = one.sign(b"content").unwrap();
    let longer = [&whole[..], &[0]].concat();
    for signature in [&whole[..0], &whole[..4], &whole[..whole.len() - 1], &longer[..]] {
        let fixed = Fixed { key: one.key.clone(), signature: signature.to_vec() };

        assert_eq!(verify(&signed(&fixed), &one.key), Err(Untrusted::Signature));
    }
}

#[test]
fn a_signature_under_another_key_is_refused() {
    let (one, other) = (Single::new(1), Single::new(2));

    let thumbprint = verify(&signed(&one), &one.key).unwrap();

    assert_eq!(thumbprint, one.key.thumbprint().0);
    assert!(verify(&signed(&one), &other.key).is_err());
}

#[test]
fn a_key_with_unknown_parameters_is_refused() {
    let known = Single::new(1).key.public().to_vec();
    let refused = Err(Malformed::Expected("an HSS/LMS key of 60 bytes, with SHA-256"));
    // Levels, the type of the tree, the type of its leaves: below and above what there is.
    for (place, values) in [(3, [0, 9]), (7, [4, 10]), (11, [0, 5])] {
        for value in values {
            let mut public = known.clone();
            public[place] = value;

            assert_eq!(Key::from_hss(&public), refused, "octet {place} is {value}");
        }
    }
    assert_eq!(Key::from_hss(&known[..59]), refused);
    assert_eq!(Key::from_hss(&[&known[..], &[0]].concat()), refused);
}

#[test]
fn it_is_accepted_only_where_a_caller_adds_it() {
    let one = Single::new(1);
    let message = signed(&one);
    let message = Sign1::decode(&message, Tagging::Tagged).unwrap();

    let refused = message.verify(&one.key, &Accept::WITH_LEGACY, &[]).unwrap_err();

    assert_eq!(refused, Untrusted::Algorithm { algorithm: Algorithm::HssLms });
    assert!(message.verify(&one.key, &Accept::CURRENT.and(Algorithm::HssLms), &[]).is_ok());
}

fn signed(signer: &dyn Signer) -> Vec<u8> {
    let (protected, unprotected) = Default::default();
    cose::sign1(signer, protected, unprotected, &[], Payload::Attached(b"content"))
        .expect("it signs")
}

fn verify(message: &[u8], key: &Key) -> Result<[u8; 32], Untrusted> {
    let message = Sign1::decode(message, Tagging::Tagged).expect("well-formed");
    Ok(message.verify(key, &HSS, &[])?.thumbprint().0)
}

/// One tree of this crate, which signs with its first leaf.
struct Single {
    tree: Tree,
    key: Key,
}

impl Single {
    fn new(seed: u8) -> Self {
        let tree = Tree::new(Height::H5, OneTime::W4, [seed; 16], [seed; 32]);
        let key =
            Key::from_hss(&[&[0, 0, 0, 1][..], &tree.public()].concat()).expect("known parameters");
        Self { tree, key }
    }
}

impl Signer for Single {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HssLms
    }

    fn key(&self) -> &Key {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyUnusable> {
        let signature = self.tree.sign(0, message).ok_or(KeyUnusable)?;
        Ok([&[0; 4][..], &signature].concat())
    }
}

/// A key of the other implementation, which signs with its first leaf.
struct Other {
    private: Vec<u8>,
    key: Key,
}

impl Other {
    fn new(width: LmotsAlgorithm, levels: usize) -> Self {
        roomy(move || Self::with_parameters(width, levels))
    }

    fn with_parameters(width: LmotsAlgorithm, levels: usize) -> Self {
        let parameters = vec![HssParameter::<Sha256_256>::new(width, LmsAlgorithm::LmsH5); levels];
        let mut seed = Seed::default();
        seed.as_mut_slice().fill(9);
        let (private, public) = hbs_lms::keygen(&parameters, &seed, None).expect("it makes keys");
        let key = Key::from_hss(public.as_slice()).expect("known parameters");
        Self { private: private.as_slice().to_vec(), key }
    }
}

impl Signer for Other {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HssLms
    }

    fn key(&self) -> &Key {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyUnusable> {
        let (message, private) = (message.to_vec(), self.private.clone());
        roomy(move || {
            let mut kept = |_: &[u8]| Ok(());
            let made = hbs_lms::sign::<Sha256_256>(&message, &private, &mut kept, None);
            Ok(made.map_err(|_| KeyUnusable)?.as_ref().to_vec())
        })
    }
}

/// Runs the other implementation, which keeps eight levels of the longest chains on the stack.
fn roomy<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(256 << 20).spawn(run);
    thread.expect("a thread").join().expect("it ran to its end")
}

/// A signature that somebody made up.
struct Fixed {
    key: Key,
    signature: Vec<u8>,
}

impl Signer for Fixed {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HssLms
    }

    fn key(&self) -> &Key {
        &self.key
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, KeyUnusable> {
        Ok(self.signature.clone())
    }
}
