//! HSS/LMS keys: a leaf signs once, whatever happens.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;

use cose::{Accept, Algorithm, Header, KeyUnusable, Payload, Sign1, Signer, Tagging};
use keys::hss::{HssKey, Size};
use keys::{Error, KeyRejected, file};

/// The length of the signature of the lower tree, whose first four octets number its leaf.
const LOWER: usize = 4 + 4 + 32 + 34 * 32 + 4 + 5 * 32;

#[test]
fn a_key_is_made_once_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");

    let made = HssKey::create(&path, Size::Thousand).unwrap();
    let found = HssKey::open(&path).unwrap().expect("an HSS/LMS key");

    assert_eq!(found.key(), made.key());
    assert_eq!(found.algorithm(), Algorithm::HssLms);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let again = HssKey::create(&path, Size::Thousand).unwrap_err();
    assert_eq!(again, Error::Io { path, kind: ErrorKind::AlreadyExists });
}

#[test]
fn what_it_signs_is_verified_across_its_trees() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let key = HssKey::create(&path, Size::Thousand).unwrap();
    // The last leaf of the first lower tree, and the first of the second.
    use_up(&path, 31);

    for message in [b"one".as_slice(), b"two"] {
        let header = Header::default;
        let signed = cose::sign1(&key, header(), header(), &[], Payload::Attached(message));
        let signed = signed.unwrap();

        let read = Sign1::decode(&signed, Tagging::Tagged).unwrap();
        let verified = read.verify(key.key(), &Accept::only(Algorithm::HssLms), &[]).unwrap();
        assert_eq!(*verified.get(), message);
    }
    assert_eq!(key.left(), Ok(1024 - 33));
}

#[test]
fn no_leaf_is_given_out_twice_by_handles_that_sign_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    HssKey::create(&path, Size::Thousand).unwrap();
    let open = || HssKey::open(&path).unwrap().expect("an HSS/LMS key");

    let signers: Vec<_> = [open(), open(), open()]
        .into_iter()
        .map(|key| thread::spawn(move || [1, 2, 3].map(|message| key.sign(&[message]).unwrap())))
        .collect();
    let leaves: BTreeSet<_> = signers
        .into_iter()
        .flat_map(|signer| signer.join().unwrap())
        .map(|signature| signature[signature.len() - LOWER..][..4].to_vec())
        .collect();

    assert_eq!(leaves.len(), 9);
    assert_eq!(open().left(), Ok(1024 - 9));
}

#[test]
fn a_key_that_is_used_up_signs_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let key = HssKey::create(&path, Size::Thousand).unwrap();
    use_up(&path, 1023);

    assert!(key.sign(b"the last").is_ok());

    assert_eq!(key.left(), Ok(0));
    assert_eq!(key.sign(b"one more"), Err(KeyUnusable));
    assert_eq!(key.left(), Ok(0));
}

#[test]
fn nothing_is_signed_when_the_record_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let key = HssKey::create(&path, Size::Thousand).unwrap();

    fs::remove_file(&path).unwrap();

    assert_eq!(key.sign(b"message"), Err(KeyUnusable));
    assert!(!path.exists());
}

#[test]
fn a_key_that_others_can_read_or_that_is_damaged_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    HssKey::create(&path, Size::Thousand).unwrap();
    let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();

    mode(0o644);
    let open = HssKey::open(&path).unwrap_err();
    assert_eq!(open, Error::Open { path: path.clone(), mode: 0o644 });

    mode(0o600);
    let text = fs::read_to_string(&path).unwrap();
    for damaged in [&text[..text.len() - 1], &text.replacen('\n', "\nx", 1)[..]] {
        fs::write(&path, damaged).unwrap();
        let refused = Error::Rejected { path: path.clone(), reason: KeyRejected::Encoding };
        assert_eq!(HssKey::open(&path).unwrap_err(), refused);
    }
}

#[test]
fn a_file_with_another_key_is_left_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    file::load_or_create(&path, Algorithm::Esp256).unwrap();

    assert!(HssKey::open(&path).unwrap().is_none());
    let absent = folder.path().join("absent");
    let refused = HssKey::open(&absent).unwrap_err();
    assert_eq!(refused, Error::Io { path: absent, kind: ErrorKind::NotFound });
}

/// As if so many signatures had been made.
fn use_up(path: &Path, leaves: usize) {
    let mut file = OpenOptions::new().append(true).open(path).expect("the file is there");
    file.write_all(&vec![b'.'; leaves]).expect("it takes them");
}
