//! What a guest makes of what efi_secret and fw_cfg show, as folders below another root.

use std::path::PathBuf;

use cose::Agreement as _;

use super::*;

#[test]
fn evidence_is_the_statement_a_proof_and_the_certificates() {
    let guest = Guest::new();
    let attester = SevSecret::open(guest.root.path()).unwrap();

    let quote = attester.quote([7; 64]).unwrap();

    assert_eq!(quote.media_type, MEDIA_TYPE);
    let (statement, proof) = whole(&quote.evidence, |d| {
        assert_eq!(d.array()?, Some(3));
        let read = (d.bytes()?.to_vec(), d.bytes()?.to_vec());
        assert_eq!(d.array()?, Some(6));
        for _ in 0..6 {
            d.bytes()?;
        }
        Ok(read)
    })
    .unwrap();
    assert_eq!(statement, b"statement");
    let key = aws_lc_rs::signature::UnparsedPublicKey::new(
        &aws_lc_rs::signature::ECDSA_P384_SHA384_FIXED,
        guest.key.key().public(),
    );
    assert!(key.verify(&[PROOF_LABEL, &[7; 64]].concat(), &proof).is_ok());
    assert!(key.verify(&[PROOF_LABEL, &[8; 64]].concat(), &proof).is_err());
    assert_eq!(attester.description().interface, "efi-secret");
    assert!(attester.sealing_key("storage").unwrap_err().is_lack());
}

#[test]
fn settings_count_where_the_measured_command_line_names_them() {
    let guest = Guest::new();
    let digest = hex::encode(cose::sha256(b"settings"));
    guest.put("proc/cmdline", format!("quiet tamarack.settings={digest}\n").as_bytes());

    let attester = SevSecret::open(guest.root.path()).unwrap();

    assert!(attester.covers_settings(&[], b"settings"));
    assert!(!attester.covers_settings(&[], b"others"));
}

#[test]
fn what_is_missing_or_no_secret_is_said_by_the_interface() {
    let guest = Guest::new();
    let open = || SevSecret::open(guest.root.path()).map(drop).unwrap_err();

    for (path, content, problem) in [
        (
            PATH,
            &b"\x83"[..],
            Problem::Malformed("statement about the launch, nor a key to prove it"),
        ),
        (CERTIFICATES, b"\x80", Problem::Malformed("array of a platform's six certificates")),
    ] {
        let before = fs::read(guest.root.path().join(path)).unwrap();
        guest.put(path, content);
        assert_eq!(open().problem, problem);
        guest.put(path, &vec![0; BYTES_MAX + 1]);
        assert_eq!(open().problem, Problem::Malformed("content of a sensible length"));
        fs::remove_file(guest.root.path().join(path)).unwrap();
        let fault = open();
        assert_eq!((fault.problem, fault.interface.ends_with(path)), (Problem::Absent, true));
        guest.put(path, &before);
    }
    assert!(SevSecret::open(guest.root.path()).is_ok());
    // A secret for the owner alone has no statement.
    let alone = encode(|e| e.array(3)?.str(SECRET_LABEL)?.bytes(b"t")?.bytes(&[0; 32])?.ok());
    guest.put(PATH, &alone);
    let problem = Problem::Malformed("statement about the launch, nor a key to prove it");
    assert_eq!(open().problem, problem);
}

struct Guest {
    root: tempfile::TempDir,
    key: AgreementKey,
}

impl Guest {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let key = AgreementKey::generate(Curve::P384).unwrap();
        let guest = Self { root, key };
        let scalar = guest.key.to_scalar().unwrap();
        let secret = encode(|e| {
            e.array(5)?.str(SECRET_LABEL)?.bytes(b"token")?.bytes(&[1; 32])?;
            e.bytes(b"statement")?.bytes(scalar.expose())?.ok()
        });
        let certificates = encode(|e| {
            e.array(6)?;
            for octet in 0..6 {
                e.bytes(&[octet; 100])?;
            }
            e.ok()
        });
        guest.put(PATH, &secret);
        guest.put(CERTIFICATES, &certificates);
        guest.put("proc/cmdline", b"quiet\n");
        guest
    }

    fn put(&self, path: &str, content: &[u8]) {
        let path: PathBuf = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}
