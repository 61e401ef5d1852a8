//! Keys in files.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use cose::{Agreement as _, Algorithm, Curve, Signer as _};
use keys::{Error, KeyRejected, SigningKey, file};

#[test]
fn a_signature_key_is_made_once_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    for algorithm in [Algorithm::Esp256, Algorithm::Ed25519, Algorithm::Esp384] {
        let path = folder.path().join(format!("{algorithm}"));

        let made = file::load_or_create(&path, algorithm).unwrap();
        let found = file::load_or_create(&path, algorithm).unwrap();

        assert_eq!(made.algorithm(), algorithm);
        assert_eq!(found.key(), made.key());
        assert_eq!(file::load(&path).unwrap().key(), made.key());
        assert_eq!(mode(&path), 0o600);
        assert!(fs::read_to_string(&path).unwrap().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn an_agreement_key_is_made_once_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    for (name, curve) in [("p256", Curve::P256), ("p384", Curve::P384), ("x", Curve::X25519)] {
        let path = folder.path().join(name);

        let made = file::load_or_create_agreement(&path, curve).unwrap();
        let found = file::load_or_create_agreement(&path, curve).unwrap();

        assert_eq!(made.key().curve(), curve);
        assert_eq!(found.key(), made.key());
        assert_eq!(file::load_agreement(&path).unwrap().key(), made.key());
        assert_eq!(mode(&path), 0o600);
    }
}

#[test]
fn a_key_of_another_kind_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let made = file::load_or_create(&path, Algorithm::Esp256).unwrap();
    let other_kind = Some(Error::OtherKind { path: path.clone() });

    assert_eq!(file::load_or_create(&path, Algorithm::Ed25519).err(), other_kind);
    assert_eq!(file::load_or_create_agreement(&path, Curve::P384).err(), other_kind);
    assert_eq!(file::load(&path).unwrap().key(), made.key());
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    file::load_or_create(&path, Algorithm::Esp256).unwrap();

    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    assert_eq!(file::load(&path).err(), Some(Error::Open { path: path.clone(), mode: 0o604 }));

    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(file::load(&path).is_ok());
}

#[test]
fn what_is_no_key_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent");
    let text = written(folder.path(), "text", b"not a key");
    let binary = written(folder.path(), "binary", &[0xff; 10]);
    let long = written(folder.path(), "long", &vec![b'a'; 1 << 16]);
    let rejected =
        |path: &Path| Some(Error::Rejected { path: path.to_owned(), reason: KeyRejected::Pem });

    for path in [&text, &binary, &long] {
        assert_eq!(file::load(path).err(), rejected(path));
        assert_eq!(file::load_agreement(path).err(), rejected(path));
        assert_eq!(file::load_or_create(path, Algorithm::Esp256).err(), rejected(path));
    }
    assert_eq!(
        file::load(&absent).err(),
        Some(Error::Io { path: absent.clone(), kind: ErrorKind::NotFound })
    );
    let nowhere = absent.join("key");
    assert_eq!(
        file::load_or_create(&nowhere, Algorithm::Esp256).err(),
        Some(Error::Io { path: nowhere, kind: ErrorKind::NotFound })
    );
    assert_eq!(
        file::load_or_create(folder.path().join("legacy"), Algorithm::Es256).err(),
        Some(Error::Rejected {
            path: folder.path().join("legacy"),
            reason: KeyRejected::Unsupported
        })
    );
}

#[test]
fn processes_that_create_a_key_at_once_get_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");

    let made: Vec<_> = std::thread::scope(|scope| {
        let create = || file::load_or_create(&path, Algorithm::Ed25519).unwrap().key().clone();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(create)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });

    assert!(made.iter().all(|key| *key == made[0]));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_public_key_is_saved_as_its_cose_key() {
    let folder = tempfile::tempdir().unwrap();
    let private = folder.path().join("tam.key");
    let path = file::public_path(&private);
    let key = SigningKey::generate(Algorithm::Esp256).unwrap();
    let other = SigningKey::generate(Algorithm::Ed25519).unwrap();

    file::save_public(&path, other.key()).unwrap();
    file::save_public(&path, key.key()).unwrap();

    assert_eq!(path, folder.path().join("tam.pub"));
    assert_eq!(fs::read(&path).unwrap(), key.key().encode());
    assert_eq!(file::load_public(&path).as_ref(), Ok(key.key()));
    assert_eq!(mode(&path), 0o644);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn another_file_is_no_public_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), "key.pub", &[0xa0]);
    let absent = folder.path().join("absent.pub");

    assert_eq!(
        file::load_public(&path).err(),
        Some(Error::Malformed {
            path,
            reason: cose::Malformed::Expected("a COSE_Key with kty, crv and x")
        })
    );
    assert_eq!(
        file::load_public(&absent).err(),
        Some(Error::Io { path: absent, kind: ErrorKind::NotFound })
    );
}

fn written(folder: &Path, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).expect("the folder can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
    path
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("the file is there").permissions().mode() & 0o777
}
