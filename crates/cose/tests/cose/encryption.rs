//! COSE_Encrypt and COSE_Encrypt0.

use cose::encrypt::{
    ContentAlgorithm, ContentKey, Encrypt, Encrypt0, Integrity, Opener, Recipient, encrypt,
    encrypt0, other,
};
use cose::{
    Agreement, Algorithm, Curve, KeyUnusable, Malformed, Payload, Secret, Tagging, Untrusted,
};

use crate::fixture::{CountingEntropy, TestAgreement, Vectors, hex};

const FILES: [&str; 4] = ["aes-kw-aes-gcm", "es-ecdh-aes-gcm", "aes-kw-aes-ctr", "es-ecdh-aes-ctr"];

//= suit 13.79 (M): the KDF context is byte-exact, and strings do not mix
#[test]
fn the_payloads_of_the_draft_decrypt_for_their_purpose_only() {
    let Some(vectors) = Vectors::find() else { return };
    let plaintext = vectors.read("suit/firmware-encryption-24/plaintext.bin");
    let kek = vectors.secret("suit/keys/KEK-1");
    let rx = TestAgreement::from_scalar(Curve::P256, &vectors.scalar("suit/keys/RX"));
    for name in FILES {
        let info =
            vectors.read(&format!("suit/firmware-encryption-24/encryption-info-{name}.cbor"));
        let payload = vectors.read(&format!("suit/firmware-encryption-24/payload-{name}.bin"));
        let agreed = name.starts_with("es");
        let opener = if agreed {
            Opener::Agreement(&rx)
        } else {
            Opener::KeyWrap { key: &kek, kid: Some(b"kid-1") }
        };
        let message = Encrypt::decode(&info, Tagging::Tagged).unwrap();
        let open = |purpose| {
            message.decrypt_detached(&opener, purpose, Integrity::Elsewhere, &[], &payload)
        };

        assert_eq!(open(other::SUIT_PAYLOAD).unwrap().expose(), plaintext, "{name}");
        for purpose in [other::SUIT_REPORT, other::EAT, ""] {
            let expected = if agreed {
                Err(Untrusted::Authentication)
            } else {
                Ok(Secret::new(plaintext.clone()))
            };
            assert_eq!(open(purpose), expected, "{name}");
        }
    }
}

//= suit 13.83 (M): AES-CTR that nothing authenticates is refused
#[test]
fn counter_mode_needs_integrity_from_elsewhere() {
    let Some(vectors) = Vectors::find() else { return };
    let kek = vectors.secret("suit/keys/KEK-1");
    let opener = Opener::KeyWrap { key: &kek, kid: None };
    for (name, expected) in [("gcm", None), ("ctr", Some(Untrusted::NotAuthenticated))] {
        let file = format!("suit/firmware-encryption-24/encryption-info-aes-kw-aes-{name}.cbor");
        let payload = format!("suit/firmware-encryption-24/payload-aes-kw-aes-{name}.bin");
        let info = vectors.read(&file);
        let message = Encrypt::decode(&info, Tagging::Tagged).unwrap();

        let opened = message.decrypt_detached(
            &opener,
            other::SUIT_PAYLOAD,
            Integrity::Cipher,
            &[],
            &vectors.read(&payload),
        );

        assert_eq!(opened.err(), expected);
    }
}

//= suit 13.78 (M): a foreign recipient fails like a bad tag
#[test]
fn a_foreign_key_fails_like_a_bad_tag() {
    let Some(vectors) = Vectors::find() else { return };
    let foreign = Secret::new(vec![0; 16]);
    let stranger = TestAgreement::new(Curve::P256, 9);
    let x25519 = TestAgreement::new(Curve::X25519, 9);
    let openers = [
        ("aes-kw-aes-gcm", Opener::KeyWrap { key: &foreign, kid: Some(b"kid-1") }),
        ("es-ecdh-aes-gcm", Opener::Agreement(&stranger)),
        ("es-ecdh-aes-gcm", Opener::Agreement(&x25519)),
    ];
    for (name, opener) in openers {
        let info =
            vectors.read(&format!("suit/firmware-encryption-24/encryption-info-{name}.cbor"));
        let payload = vectors.read(&format!("suit/firmware-encryption-24/payload-{name}.bin"));
        let message = Encrypt::decode(&info, Tagging::Tagged).unwrap();

        let opened = message.decrypt_detached(
            &opener,
            other::SUIT_PAYLOAD,
            Integrity::Cipher,
            &[],
            &payload,
        );

        assert_eq!(opened, Err(Untrusted::Authentication));
    }
}

#[test]
fn every_cipher_reaches_every_kind_of_recipient() {
    let keks = [16, 24, 32].map(|length| Secret::new(vec![5; length]));
    let curves = [Curve::P256, Curve::P384, Curve::X25519];
    let receivers = curves.map(|curve| TestAgreement::new(curve, 3));
    let ephemerals = curves.map(|curve| TestAgreement::new(curve, 4));
    let mut recipients: Vec<Recipient<'_>> =
        keks.iter().map(|key| Recipient::KeyWrap { key, kid: Some(b"kek") }).collect();
    for (receiver, ephemeral) in receivers.iter().zip(&ephemerals) {
        recipients.push(Recipient::Agreement { receiver: receiver.key(), ephemeral });
    }
    let mut openers: Vec<Opener<'_>> =
        keks.iter().map(|key| Opener::KeyWrap { key, kid: Some(b"kek") }).collect();
    openers.extend(receivers.iter().map(|receiver| Opener::Agreement(receiver)));

    for algorithm in ContentAlgorithm::ALL {
        let aad: &[u8] = if algorithm.is_authenticated() { b"aad" } else { b"" };
        let attached =
            encrypt(fresh(algorithm), &recipients, other::EAT, aad, Payload::Attached(TEXT))
                .unwrap();
        let detached =
            encrypt(fresh(algorithm), &recipients, other::EAT, aad, Payload::Detached(TEXT))
                .unwrap();

        let inside = Encrypt::decode(&attached.object, Tagging::Tagged).unwrap();
        let outside = Encrypt::decode(&detached.object, Tagging::Tagged).unwrap();
        assert_eq!(inside.algorithm(), Ok(algorithm));
        assert_eq!((inside.recipients.len(), attached.ciphertext), (6, None));
        let ciphertext = detached.ciphertext.unwrap();
        assert_eq!(inside.ciphertext, Some(ciphertext.as_slice()));
        for opener in &openers {
            let integrity = Integrity::Elsewhere;
            let opened = inside.decrypt(opener, other::EAT, integrity, aad).unwrap();
            assert_eq!(opened.expose(), TEXT);
            let opened =
                outside.decrypt_detached(opener, other::EAT, integrity, aad, &ciphertext).unwrap();
            assert_eq!(opened.expose(), TEXT);
            assert_eq!(
                outside.decrypt(opener, other::EAT, integrity, aad),
                Err(Untrusted::PayloadDetached)
            );
            assert_eq!(
                inside.decrypt_detached(opener, other::EAT, integrity, aad, &ciphertext),
                Err(Untrusted::PayloadAttached)
            );
        }
    }
}

#[test]
fn the_key_of_a_recipient_is_found_by_trial_when_no_kid_tells() {
    let keys = [1, 2, 3].map(|byte| Secret::new(vec![byte; 16]));
    let recipients: Vec<Recipient<'_>> =
        keys.iter().map(|key| Recipient::KeyWrap { key, kid: Some(b"same") }).collect();
    let sealed = seal(&recipients);
    let message = Encrypt::decode(&sealed, Tagging::Tagged).unwrap();

    for key in &keys {
        for kid in [None, Some(b"same".as_slice()), Some(b"different")] {
            let opener = Opener::KeyWrap { key, kid };
            let opened = message.decrypt(&opener, "", Integrity::Cipher, &[]).unwrap();
            assert_eq!(opened.expose(), TEXT);
        }
    }
    assert_eq!(message.recipients[0].kid(), Some(b"same".as_slice()));
    assert_eq!(message.recipients[0].algorithm(), Some(Algorithm::Other(-3)));
}

#[test]
fn a_message_without_a_recipient_for_the_kind_of_key_is_refused() {
    let key = Secret::new(vec![1; 16]);
    let longer = Secret::new(vec![1; 32]);
    let odd = Secret::new(vec![1; 20]);
    let private = TestAgreement::new(Curve::P256, 1);
    let sealed = seal(&[Recipient::KeyWrap { key: &key, kid: None }]);
    let message = Encrypt::decode(&sealed, Tagging::Tagged).unwrap();
    let openers = [
        Opener::Agreement(&private),
        Opener::KeyWrap { key: &longer, kid: None },
        Opener::KeyWrap { key: &odd, kid: None },
    ];

    for opener in openers {
        let opened = message.decrypt(&opener, "", Integrity::Cipher, &[]);
        assert_eq!(opened, Err(Untrusted::NoRecipient));
    }
}

#[test]
fn every_flipped_bit_of_an_authenticated_message_is_refused() {
    let key = Secret::new(vec![1; 16]);
    let receiver = TestAgreement::new(Curve::P256, 1);
    let ephemeral = TestAgreement::new(Curve::P256, 2);
    let cases = [
        (Recipient::KeyWrap { key: &key, kid: None }, Opener::KeyWrap { key: &key, kid: None }),
        (
            Recipient::Agreement { receiver: receiver.key(), ephemeral: &ephemeral },
            Opener::Agreement(&receiver),
        ),
    ];
    for (recipient, opener) in cases {
        let sealed = seal(&[recipient]);
        let thumbprint = receiver.key().thumbprint();
        let kid = sealed.windows(32).position(|window| window == thumbprint.as_ref());
        for bit in 0..8 * sealed.len() {
            // The kid only speeds the search up: nothing protects it, and nothing depends on it.
            if kid.is_some_and(|at| (at - 3..at + 32).contains(&(bit / 8))) {
                continue;
            }
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);

            let opened = Encrypt::decode(&flipped, Tagging::Tagged)
                .ok()
                .and_then(|message| message.decrypt(&opener, "", Integrity::Cipher, &[]).ok());

            assert_eq!(opened, None, "bit {bit}");
        }
    }
}

#[test]
fn the_aad_is_authenticated() {
    let key = Secret::new(vec![1; 16]);
    let recipients = [Recipient::KeyWrap { key: &key, kid: None }];
    let opener = Opener::KeyWrap { key: &key, kid: None };
    let content = fresh(ContentAlgorithm::A256Gcm);
    let sealed = encrypt(content, &recipients, "", b"aad", Payload::Attached(TEXT)).unwrap();
    let message = Encrypt::decode(&sealed.object, Tagging::Tagged).unwrap();

    assert!(message.decrypt(&opener, "", Integrity::Cipher, b"aad").is_ok());
    assert_eq!(
        message.decrypt(&opener, "", Integrity::Cipher, b""),
        Err(Untrusted::Authentication)
    );
}

/// RFC 9459 section 4.
#[test]
fn counter_mode_takes_no_aad() {
    let key = Secret::new(vec![1; 16]);
    let recipients = [Recipient::KeyWrap { key: &key, kid: None }];
    let opener = Opener::KeyWrap { key: &key, kid: None };
    let algorithm = ContentAlgorithm::A128Ctr;
    let seal =
        |aad: &[u8]| encrypt(fresh(algorithm), &recipients, "", aad, Payload::Attached(TEXT));
    let sealed = seal(b"").unwrap();
    let message = Encrypt::decode(&sealed.object, Tagging::Tagged).unwrap();

    assert_eq!(seal(b"aad"), Err(KeyUnusable));
    assert_eq!(encrypt0(fresh(algorithm), None, b"aad", Payload::Attached(TEXT)), Err(KeyUnusable));
    assert_eq!(
        message.decrypt(&opener, "", Integrity::Elsewhere, b"aad"),
        Err(Untrusted::NotAuthenticated)
    );
}

//= suit 13.82 (M): AES-CTR with alg in the protected header is refused
#[test]
fn headers_of_layer_0_that_do_not_fit_are_refused() {
    let ctr = Algorithm::Other(-65534);
    let cbc = Algorithm::Other(-65531);
    let gcm_iv = "054c000000000000000000000000";
    let ctr_iv = "055000000000000000000000000000000000";
    let cases = [
        (format!("45a10139fffd a1{ctr_iv}"), Untrusted::Algorithm { algorithm: ctr }),
        (format!("44a10441aa a20139fffd{ctr_iv}"), Untrusted::Algorithm { algorithm: ctr }),
        (format!("40 a20139fffa{ctr_iv}"), Untrusted::Algorithm { algorithm: cbc }),
        (format!("40 a20101{gcm_iv}"), Untrusted::AlgorithmNotProtected),
        (format!("40 a1{gcm_iv}"), Untrusted::AlgorithmNotProtected),
        (format!("43a10128 a1{gcm_iv}"), Untrusted::Algorithm { algorithm: Algorithm::Esp256 }),
        ("43a10101 a0".to_owned(), Untrusted::Iv),
        (format!("43a10101 a1{ctr_iv}"), Untrusted::Iv),
        (format!("40 a20139fffd{gcm_iv}"), Untrusted::Iv),
        ("43a10101 a10540".to_owned(), Untrusted::Iv),
        (format!("43a10102 a1{gcm_iv}"), Untrusted::ContentKey),
        (format!("43a10101 a1{gcm_iv}"), Untrusted::Authentication),
        (format!("4aa3010102811863186300 a1{gcm_iv}"), Untrusted::CriticalHeader(99)),
    ];
    for (header, fault) in cases {
        let bytes = [hex("d083"), hex(&header), hex("50"), vec![0; 16]].concat();
        let message = match Encrypt0::decode(&bytes, Tagging::Tagged) {
            Ok(message) => message,
            Err(error) => panic!("{header}: {error}"),
        };

        let opened = message.decrypt(&Secret::new(vec![0; 16]), Integrity::Elsewhere, &[]);

        assert_eq!(opened, Err(fault), "{header}");
    }
}

#[test]
fn encrypt0_opens_with_its_key_only() {
    for algorithm in ContentAlgorithm::ALL {
        let key = || Secret::new(vec![8; algorithm.key_len()]);
        let content =
            || ContentKey::new(algorithm, key(), vec![9; algorithm.iv_len()]).expect("lengths fit");
        let aad: &[u8] = if algorithm.is_authenticated() { b"aad" } else { b"" };
        let attached =
            encrypt0(content(), Some(b"kid"), aad, Payload::Attached(TEXT)).unwrap().object;
        let detached = encrypt0(content(), None, aad, Payload::Detached(TEXT)).unwrap();
        let inside = Encrypt0::decode(&attached, Tagging::Tagged).unwrap();
        let outside = Encrypt0::decode(&detached.object, Tagging::Tagged).unwrap();
        let integrity = Integrity::Elsewhere;

        assert_eq!(inside.unprotected().kid.as_deref(), Some(b"kid".as_slice()));
        assert_eq!(inside.algorithm(), Ok(algorithm));
        assert_eq!(inside.decrypt(&key(), integrity, aad).unwrap().expose(), TEXT);
        assert_eq!(
            outside.decrypt_detached(&key(), integrity, aad, &detached.ciphertext.unwrap()),
            Ok(Secret::new(TEXT.to_vec()))
        );
        assert_eq!(outside.decrypt(&key(), integrity, aad), Err(Untrusted::PayloadDetached));
        assert_eq!(
            inside.decrypt_detached(&key(), integrity, aad, b""),
            Err(Untrusted::PayloadAttached)
        );
        if algorithm.is_authenticated() {
            let other = Secret::new(vec![1; algorithm.key_len()]);
            assert_eq!(inside.decrypt(&other, integrity, aad), Err(Untrusted::Authentication));
        }
        let short = Secret::new(vec![1; 8]);
        assert_eq!(inside.decrypt(&short, integrity, aad), Err(Untrusted::ContentKey));
    }
}

/// The contexts differ, so a ciphertext cannot move between the two objects.
#[test]
fn a_ciphertext_of_encrypt0_is_none_of_encrypt() {
    let key = Secret::new(vec![1; 16]);
    let cek = || Secret::new(vec![2; 16]);
    let content = |byte| {
        ContentKey::new(ContentAlgorithm::A128Gcm, cek(), vec![byte; 12]).expect("lengths fit")
    };
    let recipients = [Recipient::KeyWrap { key: &key, kid: None }];
    let many = encrypt(content(3), &recipients, "", &[], Payload::Detached(TEXT)).unwrap();
    let one = encrypt0(content(3), None, &[], Payload::Detached(TEXT)).unwrap();
    let message = Encrypt::decode(&many.object, Tagging::Tagged).unwrap();

    let opened = message.decrypt_detached(
        &Opener::KeyWrap { key: &key, kid: None },
        "",
        Integrity::Cipher,
        &[],
        &one.ciphertext.unwrap(),
    );

    assert_eq!(opened, Err(Untrusted::Authentication));
}

#[test]
fn keys_that_do_not_fit_encrypt_nothing() {
    let odd = Secret::new(vec![1; 20]);
    let receiver = TestAgreement::new(Curve::P256, 1);
    let ephemeral = TestAgreement::new(Curve::X25519, 1);
    let key = Secret::new(vec![1; 16]);
    let crowd = vec![Recipient::KeyWrap { key: &key, kid: None }; 65];
    let refused: [&[Recipient<'_>]; 4] = [
        &[],
        &[Recipient::KeyWrap { key: &odd, kid: None }],
        &[Recipient::Agreement { receiver: receiver.key(), ephemeral: &ephemeral }],
        &crowd,
    ];
    for recipients in refused {
        let content = fresh(ContentAlgorithm::A128Gcm);
        let sealed = encrypt(content, recipients, "", &[], Payload::Attached(TEXT));
        assert_eq!(sealed, Err(KeyUnusable));
    }
    let new = |key, iv| ContentKey::new(ContentAlgorithm::A128Gcm, Secret::new(key), iv);
    assert!(new(vec![0; 16], vec![0; 12]).is_some());
    assert!(new(vec![0; 32], vec![0; 12]).is_none());
    assert!(new(vec![0; 16], vec![0; 16]).is_none());
}

#[test]
fn objects_of_another_shape_are_refused() {
    let recipient = "83 40 a0 40";
    let crowd = format!("d860 84 40 a0 f6 9841 {}", recipient.repeat(65));
    let cases = [
        ("d860 83 40 a0 f6", "a COSE_Encrypt of four elements"),
        ("d860 84 40 a0 f6 80", "one recipient or more"),
        ("d860 84 40 a0 f6 81 82 40 a0", "a COSE_recipient of three elements"),
        ("d860 84 40 a0 f6 81 84 40 a0 40 80", "a COSE_recipient of three elements"),
        ("d083 40 a0 f6", "another COSE tag"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(
            Encrypt::decode(&hex(bytes), Tagging::Tagged).err(),
            Some(Malformed::Expected(expected)),
            "{bytes}"
        );
    }
    assert_eq!(Encrypt::decode(&hex(&crowd), Tagging::Tagged).err(), Some(Malformed::TooMany));
    assert_eq!(
        Encrypt0::decode(&hex("d082 40 a0"), Tagging::Tagged).err(),
        Some(Malformed::Expected("a COSE_Encrypt0 of three elements"))
    );
}

//= suit 13.89 (M): an ephemeral key off the curve or of another curve is refused
#[test]
fn a_bad_ephemeral_key_opens_nothing() {
    let receiver = TestAgreement::new(Curve::P256, 1);
    let ephemeral = TestAgreement::new(Curve::P256, 2);
    let other_curve = TestAgreement::new(Curve::P384, 2);
    let recipient = Recipient::Agreement { receiver: receiver.key(), ephemeral: &ephemeral };
    let sealed = seal(&[recipient]);
    let good = ephemeral.key().encode();
    let mut off = good.clone();
    *off.last_mut().unwrap() ^= 1;
    for bad in [off, other_curve.key().encode(), vec![0xa0], vec![0x40]] {
        let forged = replace(&sealed, &good, &bad);

        let message = Encrypt::decode(&forged, Tagging::Tagged).unwrap();

        let opened = message.decrypt(&Opener::Agreement(&receiver), "", Integrity::Cipher, &[]);
        assert_eq!(opened, Err(Untrusted::Authentication));
    }
}

/// The salt of HKDF enters the key, and parties that no profile has are not passed over.
#[test]
fn a_salt_is_used_and_party_information_is_refused() {
    let receiver = TestAgreement::new(Curve::P256, 1);
    let ephemeral = TestAgreement::new(Curve::P256, 2);
    let recipient = Recipient::Agreement { receiver: receiver.key(), ephemeral: &ephemeral };
    let sealed = seal(&[recipient]);
    let head = [hex("a2045820"), receiver.key().thumbprint().0.to_vec()].concat();
    let with = |parameter: &str| {
        let longer = [hex("a3"), hex(parameter), head[1..].to_vec()].concat();
        replace(&sealed, &head, &longer)
    };
    for (parameter, opens) in [("3340", true), ("334101", false), ("33f6", false), ("3440", false)]
    {
        let forged = with(parameter);
        let message = Encrypt::decode(&forged, Tagging::Tagged).unwrap();

        let opened = message.decrypt(&Opener::Agreement(&receiver), "", Integrity::Cipher, &[]);

        assert_eq!(opened.is_ok(), opens, "{parameter}");
    }
}

/// draft-ietf-suit-firmware-encryption: the protected header of key wrap is an empty string or an
/// empty map.
#[test]
fn an_empty_protected_map_of_a_recipient_is_an_empty_string() {
    let key = Secret::new(vec![1; 16]);
    let sealed = seal(&[Recipient::KeyWrap { key: &key, kid: None }]);
    let forms = [("41a0", true), ("43a10122", false)];
    for (protected, opens) in forms {
        let old = hex("81 83 40 a1 01 22");
        let unprotected = if opens { "a1 01 22" } else { "a0" };
        let new = [hex("81 83"), hex(protected), hex(unprotected)].concat();
        let changed = replace(&sealed, &old, &new);
        let message = Encrypt::decode(&changed, Tagging::Tagged).unwrap();

        let opener = Opener::KeyWrap { key: &key, kid: None };
        let opened = message.decrypt(&opener, "", Integrity::Cipher, &[]);

        assert_eq!(opened.is_ok(), opens, "{protected}");
    }
}

fn fresh(algorithm: ContentAlgorithm) -> ContentKey {
    ContentKey::draw(algorithm, &mut CountingEntropy(1))
}

fn seal(recipients: &[Recipient<'_>]) -> Vec<u8> {
    let content = fresh(ContentAlgorithm::A128Gcm);
    encrypt(content, recipients, "", &[], Payload::Attached(TEXT)).expect("the keys fit").object
}

fn replace(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = bytes.windows(old.len()).position(|window| window == old).expect("it is there");
    [&bytes[..at], new, &bytes[at + old.len()..]].concat()
}

const TEXT: &[u8] = b"thirty bytes, or a few more than two blocks";
