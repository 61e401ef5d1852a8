//! Encrypted payloads: the draft's own, TEEP's, and ours.

#![cfg(test)]

use cose::encrypt::{ContentAlgorithm, ContentKey, Opener, Recipient};
use cose::{Accept, Agreement, Curve};
use keys::{AgreementKey, SystemEntropy};
use suit::encryption::{Info, may_receive, seal};
use suit::process::{Fault, Obstacle};
use suit::{
    Anchors, ComponentId, Digest, DigestAlgorithm, Envelope, Error, Intake, Measured, Parameter,
    Procedure, Processor, Secret, Section, Unsupported, Untrusted,
};
use testing::{Shell, authentic_by, new_key, open_context, public, vector, vector_key};

#[path = "../src/testing.rs"]
mod testing;

//= suit 13.77 (M): Both wrapping methods decrypt the vectors `firmware-encryption-24` and the
//= TEEP personalization vectors. E 5
#[test]
fn both_wrapping_methods_and_both_ciphers_decrypt_the_drafts_payloads() {
    for (wrapping, cipher, algorithm) in [
        ("aes-kw", "aes-gcm", ContentAlgorithm::A128Gcm),
        ("aes-kw", "aes-ctr", ContentAlgorithm::A128Ctr),
        ("es-ecdh", "aes-gcm", ContentAlgorithm::A128Gcm),
        ("es-ecdh", "aes-ctr", ContentAlgorithm::A128Ctr),
    ] {
        let name = format!("{wrapping}-{cipher}");
        let Some(info) = firmware(&format!("encryption-info-{name}.cbor")) else { return };
        let payload = firmware(&format!("payload-{name}.bin")).unwrap();

        let opened = open(&info, &payload);

        assert_eq!(opened, firmware("plaintext.bin"), "{name}");
        assert_eq!(Info::decode(&info).unwrap().algorithm(), algorithm);
    }
}

//= suit 13.77 (M): Both wrapping methods decrypt the vectors `firmware-encryption-24` and the
//= TEEP personalization vectors. E 5
#[test]
fn the_personalization_data_of_the_teep_example_decrypts() {
    let Some(key) = vector_key("K1") else { return };
    let bytes = vector("teep/draft-26/suit_personalization.cbor").unwrap();
    let verified = authentic_by(&bytes, &key);
    let install = verified.manifest().section(Section::Install).unwrap().content().copied();
    let (mut info, mut content) = (None, None);
    for (_, command) in install.unwrap().commands() {
        if let suit::command::Command::OverrideParameters(parameters) = command {
            for parameter in parameters.iter() {
                if let Parameter::EncryptionInfo(bytes) = parameter {
                    info = Some(bytes);
                } else if let Parameter::Content(bytes) = parameter {
                    content = Some(bytes);
                }
            }
        }
    }

    let opened = open(info.unwrap(), content.unwrap());

    assert_eq!(opened, vector("teep/draft-26/personalization.plaintext.bin"));
}

#[test]
fn a_manifest_with_a_mac_and_its_encrypted_content_is_installed() {
    let Some(secret) = vector("suit/keys/HMAC-1.bin") else { return };
    let bytes = firmware("suit-manifest-aes-kw-content.cbor").unwrap();
    let anchors = Anchors::none().with_secret(Secret::new(&secret));
    let wrong = Anchors::none().with_secret(Secret::new(&[7; 32]));

    let verified = authenticate(&bytes, &anchors).unwrap();
    let mut processor = Processor::new(&verified, open_context(&[])).unwrap();
    let mut shell = opening_shell();
    let ending = shell.run(&mut processor, Procedure::Update);

    assert_eq!(ending.failure, None);
    let installed = shell.content(&id("plaintext-firmware")).map(<[u8]>::to_vec);
    assert_eq!(installed, firmware("plaintext.bin"));
    assert_eq!(verified.signer_thumbprint(), None);
    assert_eq!(authenticate(&bytes, &wrong).err(), Some(Untrusted::Signature.into()));
    assert_eq!(authenticate(&bytes, &Anchors::none()).err(), Some(Untrusted::UnknownKey.into()));
}

//= suit 13.91 (M): Plaintext lives only inside the TEE store; staging holds ciphertext.
#[test]
fn a_fetched_ciphertext_stays_in_its_staging_component_and_is_decrypted_by_the_copy() {
    let Some(secret) = vector("suit/keys/HMAC-1.bin") else { return };
    let anchors = Anchors::none().with_secret(Secret::new(&secret));
    let ciphertext = firmware("payload-aes-kw-aes-gcm.bin").unwrap();
    for (file, staging, target) in [
        ("suit-manifest-aes-kw.cbor", &b"encrypted-firmware"[..], &b"plaintext-firmware"[..]),
        ("suit-manifest-aes-kw-slot.cbor", &[1], &[0]),
    ] {
        let bytes = firmware(file).unwrap();
        let verified = authenticate(&bytes, &anchors).unwrap();
        let mut processor = Processor::new(&verified, open_context(&[])).unwrap();
        let uri = "coaps://example.com/encrypted-firmware";
        let mut shell = opening_shell().with_network(uri, &ciphertext);

        let ending = shell.run(&mut processor, Procedure::Update);

        assert_eq!(ending.failure, None, "{file}");
        let [staging, target] = [staging, target].map(|part| ComponentId::new([part]).unwrap());
        assert_eq!(shell.content(&staging), Some(&ciphertext[..]));
        assert_eq!(shell.content(&target).map(<[u8]>::to_vec), firmware("plaintext.bin"));
    }
}

#[test]
fn content_for_a_private_key_is_installed() {
    let Some(key) = vector_key("K1") else { return };
    let bytes = firmware("suit-manifest-es-ecdh-content.cbor").unwrap();
    let verified = authentic_by(&bytes, &key);
    let mut processor = Processor::new(&verified, open_context(&[key])).unwrap();
    let mut shell = opening_shell();

    let ending = shell.run(&mut processor, Procedure::Update);

    assert_eq!(ending.failure, None);
    let installed = shell.content(&id("decrypted-firmware")).map(<[u8]>::to_vec);
    assert_eq!(installed, firmware("plaintext.bin"));
}

//= suit 13.85 (M): Both override and set carry encryption-info. E 4
//= suit 13.87 (M): Plaintext digest and size in validate/install matched after decryption. E 7.1
#[test]
fn the_distributor_gives_the_key_and_the_author_checks_the_plaintext() {
    let (Some(author), Some(distributor)) = (vector_key("K1"), vector_key("K2")) else { return };
    let bytes = firmware("suit-manifest-es-ecdh-dependency.cbor").unwrap();
    let verified = authentic_by(&bytes, &distributor);
    let context = open_context(&[author, distributor]);
    let mut processor = Processor::new(&verified, context).unwrap();

    let mut shell = opening_shell();
    let install = shell.run(&mut processor, Procedure::Only(Section::Install));
    let update = opening_shell().run(&mut processor, Procedure::Update);

    assert_eq!(install.failure, None);
    let installed = shell.content(&id("decrypted-firmware")).map(<[u8]>::to_vec);
    assert_eq!(installed, firmware("plaintext.bin"));
    // The example has no validate of its own although its dependency has one.
    assert_eq!(update.failure.unwrap().fault, Fault::SectionMissing(Section::Validate));
}

//= suit 13.78 (M): Wrong kid / foreign recipient: failure without oracle (same error as bad
//= tag). E 5
//= suit 13.81 (M): GCM and ChaCha tag failure: nothing of the plaintext becomes visible or
//= readable (what was streamed is encrypted under an install key that is destroyed). E 6
#[test]
fn a_foreign_recipient_and_a_wrong_tag_fail_alike_and_give_nothing() {
    for algorithm in [ContentAlgorithm::A128Gcm, ContentAlgorithm::ChaCha20Poly1305] {
        let receiver = AgreementKey::generate(Curve::P256).unwrap();
        let foreign = AgreementKey::generate(Curve::P256).unwrap();
        let sealed = sealed_for(&receiver, algorithm, b"secret");
        let info = Info::decode(&sealed.info).unwrap();
        let mut torn = sealed.ciphertext.clone();
        torn[0] ^= 1;

        let opened = info.decrypt(&Opener::Agreement(&receiver), &sealed.ciphertext);
        let stranger = info.decrypt(&Opener::Agreement(&foreign), &sealed.ciphertext);
        let broken = info.decrypt(&Opener::Agreement(&receiver), &torn);

        assert_eq!(opened.unwrap().expose(), b"secret");
        assert_eq!(stranger.err(), Some(Untrusted::Payload.into()));
        assert_eq!(broken.err(), Some(Untrusted::Payload.into()));
    }
}

//= suit 13.87 (M): Plaintext digest and size in validate/install matched after decryption. E 7.1
#[test]
fn a_payload_in_pieces_of_any_length_is_decrypted_and_measured_as_a_whole() {
    let receiver = AgreementKey::generate(Curve::P256).unwrap();
    let opener = Opener::Agreement(&receiver);
    for algorithm in ContentAlgorithm::ALL {
        for length in [0, 1, 63, 64, 65, 1 << 16, 200_003] {
            let plaintext: Vec<u8> = (0..length).map(|at| (at * 13) as u8).collect();
            let sealed = sealed_for(&receiver, algorithm, &plaintext);
            let info = Info::decode(&sealed.info).unwrap();
            for piece in [7, 64, 4096, 1 << 20] {
                let limit = sealed.ciphertext.len() as u64;
                let hash = DigestAlgorithm::Sha384;
                let intake = Intake::encrypted(&info, &opener, hash, limit).unwrap();

                let (measured, content) = stream(intake, &sealed.ciphertext, piece).unwrap();

                assert_eq!(content, plaintext, "{algorithm:?} {length} {piece}");
                let digest = Digest::of(hash, &plaintext).unwrap();
                assert_eq!(measured, Measured { digest, size: length });
            }
        }
    }
}

//= suit 13.78 (M): Wrong kid / foreign recipient: failure without oracle (same error as bad
//= tag). E 5
//= suit 13.81 (M): GCM and ChaCha tag failure: nothing of the plaintext becomes visible or
//= readable (what was streamed is encrypted under an install key that is destroyed). E 6
#[test]
fn a_stream_that_was_changed_cut_off_lengthened_or_is_for_somebody_else_fails_alike() {
    let receiver = AgreementKey::generate(Curve::P256).unwrap();
    let foreign = AgreementKey::generate(Curve::P256).unwrap();
    for algorithm in ContentAlgorithm::ALL.into_iter().filter(|each| each.is_authenticated()) {
        let sealed = sealed_for(&receiver, algorithm, &[1; 100_000]);
        let info = Info::decode(&sealed.info).unwrap();
        let whole = sealed.ciphertext;
        let mut changed = whole.clone();
        changed[70_000] ^= 1;
        let longer = [&whole[..], &[0]].concat();
        let intake = |key: &AgreementKey| {
            let opener = Opener::Agreement(key);
            Intake::encrypted(&info, &opener, DigestAlgorithm::Sha256, 200_000)
        };

        for torn in [&changed[..], &whole[..99_000], &whole[..3], &longer, &[]] {
            let streamed = stream(intake(&receiver).unwrap(), torn, 4096).map(drop);
            assert_eq!(streamed, Err(Obstacle::Decryption));
        }
        assert_eq!(intake(&foreign).err(), Some(Obstacle::Decryption));
        assert!(stream(intake(&receiver).unwrap(), &whole, 4096).is_ok());
    }
}

//= suit 13.47 (R): fetch is bounded by image-size, else by a hard limit; more bytes abort
//= early.
#[test]
fn a_stream_ends_at_its_limit_before_anything_beyond_it_is_taken() {
    let mut taken = 0;
    let mut sink = |piece: &[u8]| {
        taken += piece.len();
        Ok(())
    };
    let mut intake = Intake::plain(DigestAlgorithm::Sha256, 10).unwrap();

    assert_eq!(intake.take(&[0; 8], &mut sink), Ok(()));
    assert_eq!(intake.take(&[0; 3], &mut sink), Err(Obstacle::TooLarge));
    assert_eq!(intake.take(&[0; 2], &mut sink), Ok(()));
    let measured = intake.finish(&mut sink).unwrap();

    assert_eq!((measured.size, taken), (10, 10));
    let unknown = Intake::plain(DigestAlgorithm::Shake128, 10).err();
    assert_eq!(unknown, Some(Obstacle::Unsupported));
}

fn stream(
    mut intake: Intake,
    ciphertext: &[u8],
    piece: usize,
) -> Result<(Measured, Vec<u8>), Obstacle> {
    let mut content = Vec::new();
    let mut sink = |piece: &[u8]| {
        content.extend_from_slice(piece);
        Ok(())
    };
    ciphertext.chunks(piece).try_for_each(|piece| intake.take(piece, &mut sink))?;
    let measured = intake.finish(&mut sink)?;
    Ok((measured, content))
}

//= suit 13.79 (M): KDF context byte-exact, all three `other` strings; mixing them fails. E
//= 5.2.4, P 8.2
#[test]
fn what_was_sealed_as_a_report_or_as_an_eat_does_not_open_as_a_payload() {
    use cose::encrypt::other;
    let receiver = AgreementKey::generate(Curve::P256).unwrap();
    for (purpose, opens) in
        [(other::SUIT_PAYLOAD, true), (other::SUIT_REPORT, false), (other::EAT, false)]
    {
        let ephemeral = AgreementKey::generate(Curve::P256).unwrap();
        let recipient = Recipient::Agreement { receiver: receiver.key(), ephemeral: &ephemeral };
        let key = ContentKey::draw(ContentAlgorithm::A128Gcm, &mut SystemEntropy);
        let payload = cose::Payload::Detached(b"secret");
        let sealed = cose::encrypt::encrypt(key, &[recipient], purpose, &[], payload).unwrap();

        let info = Info::decode(&sealed.object).unwrap();
        let opened = info.decrypt(&Opener::Agreement(&receiver), &sealed.ciphertext.unwrap());

        assert_eq!(opened.is_ok(), opens, "{purpose}");
    }
}

//= suit 13.80 (M): Salt header honoured. E 5.2.4
#[test]
fn a_salt_in_the_recipients_header_is_part_of_the_key() {
    let receiver = AgreementKey::generate(Curve::P256).unwrap();
    let ephemeral = AgreementKey::generate(Curve::P256).unwrap();
    let agreed = ephemeral.agree(receiver.key()).unwrap();
    let protected = hex::decode("a101381c").unwrap();
    // [-3, [nil, nil, nil], [nil, nil, nil], [128, protected, 'SUIT Payload Encryption']]
    let mut context = hex::decode("842283f6f6f683f6f6f6831880").unwrap();
    context.push(0x40 + protected.len() as u8);
    context.extend(&protected);
    context.push(0x57);
    context.extend(b"SUIT Payload Encryption");
    // HKDF with SHA-256: extract with the salt, expand by one block.
    let extracted = cose::hmac_sha256(b"salt", agreed.expose());
    context.push(1);
    let wrapping = cose::hmac_sha256(&extracted, &context);
    let wrapping = cose::Secret::new(wrapping[..16].to_vec());
    let key = ContentKey::draw(ContentAlgorithm::A128Gcm, &mut SystemEntropy);
    let sealed = seal(key, &[Recipient::KeyWrap { key: &wrapping, kid: None }], b"secret").unwrap();
    let info = |salt: &[u8]| {
        // The recipient with a wrapped key becomes one with key agreement and a salt.
        let at = sealed.info.len() - 24;
        let head = sealed.info.windows(3).rposition(|w| w == [0x81, 0x83, 0x40]).unwrap();
        let mut info = sealed.info[..head + 2].to_vec();
        info.push(0x40 + protected.len() as u8);
        info.extend(&protected);
        info.extend([0xa2, 0x20]);
        info.extend(ephemeral.key().encode());
        info.extend([0x33, 0x40 + salt.len() as u8]);
        info.extend(salt);
        info.extend([0x58, 24]);
        info.extend(&sealed.info[at..]);
        info
    };
    let opened = |info: &[u8]| {
        let info = Info::decode(info).unwrap();
        info.decrypt(&Opener::Agreement(&receiver), &sealed.ciphertext)
    };

    assert_eq!(opened(&info(b"salt")).unwrap().expose(), b"secret");
    assert_eq!(opened(&info(b"pepper")).err(), Some(Untrusted::Payload.into()));
}

//= suit 13.82 (M): CTR with alg in protected header refused. E 6
//= suit 13.92 (S): AES-CBC and unknown content algs: reason 3.
#[test]
fn ciphers_in_the_wrong_place_and_unknown_ones_are_refused_as_algorithms() {
    let protected_ctr = info_with("a10139fffd", "a1055000000000000000000000000000000000");
    let cbc = info_with("", "a20139fffa055000000000000000000000000000000000");
    let unknown = info_with("a1013903e7", "a0");

    let reason = |info: &[u8]| Info::decode(info).unwrap_err().reason();

    assert_eq!(reason(&cbc), suit::report::Reason::Algorithm);
    assert_eq!(
        Info::decode(&unknown).unwrap_err(),
        Error::from(Unsupported::EncryptionAlgorithm(-1000))
    );
    assert!(Info::decode(&protected_ctr).is_err());
}

//= suit 13.86 (M): Encryption-info set and plaintext payload delivered: failure, never "pass
//= through".
#[test]
fn a_plaintext_where_a_ciphertext_was_announced_is_not_installed() {
    let Some(secret) = vector("suit/keys/HMAC-1.bin") else { return };
    let anchors = Anchors::none().with_secret(Secret::new(&secret));
    let bytes = firmware("suit-manifest-aes-kw.cbor").unwrap();
    let verified = authenticate(&bytes, &anchors).unwrap();
    let mut processor = Processor::new(&verified, open_context(&[])).unwrap();
    let plaintext = firmware("plaintext.bin").unwrap();
    let uri = "coaps://example.com/encrypted-firmware";
    let mut shell = opening_shell().with_network(uri, &plaintext);

    let ending = shell.run(&mut processor, Procedure::Update);

    assert_eq!(ending.failure.unwrap().fault, Fault::Operation(Obstacle::Decryption));
    assert_eq!(shell.content(&id("plaintext-firmware")), None);
}

//= suit 13.88 (M): Encoder: fresh CEK, IV unique over 10^6 runs. E 5, 11
#[test]
fn no_two_of_many_sealings_share_their_iv_and_key() {
    assert_unique_sealings(50_000);
}

//= suit 13.88 (M): Encoder: fresh CEK, IV unique over 10^6 runs. E 5, 11
#[test]
#[ignore = "takes seconds; run it with --ignored"]
fn no_two_of_a_million_sealings_share_their_iv_and_key() {
    assert_unique_sealings(1_000_000);
}

fn assert_unique_sealings(runs: usize) {
    let shared = cose::Secret::new(vec![7; 16]);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..runs {
        let key = ContentKey::draw(ContentAlgorithm::A128Gcm, &mut SystemEntropy);
        let recipient = Recipient::KeyWrap { key: &shared, kid: None };
        let sealed = seal(key, &[recipient], b"").unwrap();

        // With an empty payload the object differs in IV and wrapped key only.
        let fresh = seen.insert(cose::sha256(&sealed.info));

        assert!(fresh);
    }
}

//= suit 13.89 (M): Ephemeral key not on curve / wrong curve refused.
#[test]
fn an_ephemeral_key_off_its_curve_or_on_another_curve_does_not_open() {
    let receiver = AgreementKey::generate(Curve::P256).unwrap();
    let sealed = sealed_for(&receiver, ContentAlgorithm::A128Gcm, b"secret");
    let other = sealed_for(
        &AgreementKey::generate(Curve::X25519).unwrap(),
        ContentAlgorithm::A128Gcm,
        b"secret",
    );
    // The x coordinate of the ephemeral key follows its label -2 (0x21) and length 32.
    let at = sealed.info.windows(3).position(|w| w == [0x21, 0x58, 0x20]).unwrap() + 3;
    let mut off_curve = sealed.info.clone();
    off_curve[at..at + 32].fill(0xff);

    let opener = Opener::Agreement(&receiver);
    let off = Info::decode(&off_curve).and_then(|i| i.decrypt(&opener, &sealed.ciphertext));
    let wrong = Info::decode(&other.info).and_then(|i| i.decrypt(&opener, &other.ciphertext));

    assert!(off.is_err());
    assert_eq!(wrong.err(), Some(Untrusted::Payload.into()));
}

//= suit 13.90 (M): Encryption key differs from signing key (R).
#[test]
fn a_key_that_signs_does_not_receive() {
    let owner = public(&new_key());
    let receiver = AgreementKey::generate(Curve::P256).unwrap();

    assert!(!may_receive(&owner, &[owner.thumbprint()]));
    assert!(may_receive(receiver.key(), &[owner.thumbprint()]));
}

fn sealed_for(
    receiver: &AgreementKey,
    algorithm: ContentAlgorithm,
    plaintext: &[u8],
) -> suit::encryption::Sealed {
    let ephemeral = AgreementKey::generate(receiver.key().curve()).unwrap();
    let recipient = Recipient::Agreement { receiver: receiver.key(), ephemeral: &ephemeral };
    seal(ContentKey::draw(algorithm, &mut SystemEntropy), &[recipient], plaintext).unwrap()
}

/// A COSE_Encrypt with these headers and one recipient, from hexadecimal.
fn info_with(protected: &str, unprotected: &str) -> Vec<u8> {
    let protected = hex::decode(protected).unwrap();
    let mut info = hex::decode("d86084").unwrap();
    info.push(0x40 + protected.len() as u8);
    info.extend(protected);
    info.extend(hex::decode(unprotected).unwrap());
    // nil, [[h'', {1: -3}, h'24 bytes']]
    info.extend(hex::decode("f6818340a101225818").unwrap());
    info.extend([0; 24]);
    info
}

fn authenticate<'b>(bytes: &'b [u8], anchors: &Anchors) -> Result<suit::Verified<'b>, Error> {
    Envelope::decode(bytes).unwrap().authenticate(anchors, &Accept::CURRENT)
}

/// A shell with both receiver keys of the draft.
fn opening_shell() -> Shell {
    Shell { decrypt: Some(open), ..Shell::new() }
}

/// Opens a payload with the keys of the drafts.
fn open(info: &[u8], ciphertext: &[u8]) -> Option<Vec<u8>> {
    let info = Info::decode(info).ok()?;
    let pem = String::from_utf8(vector("suit/keys/RX.private.pem")?).unwrap();
    let agreement = AgreementKey::from_pem(&pem).unwrap();
    let shared = cose::Secret::new(vector("suit/keys/KEK-1.bin")?);
    let wrapped = Opener::KeyWrap { key: &shared, kid: Some(b"kid-1") };
    let opened = info
        .decrypt(&Opener::Agreement(&agreement), ciphertext)
        .or_else(|_| info.decrypt(&wrapped, ciphertext));
    Some(opened.ok()?.expose().to_vec())
}

fn firmware(name: &str) -> Option<Vec<u8>> {
    vector(&format!("suit/firmware-encryption-24/{name}"))
}

fn id(name: &str) -> ComponentId {
    ComponentId::new([name]).unwrap()
}
