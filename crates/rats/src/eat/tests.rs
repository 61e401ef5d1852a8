use cose::Thumbprint;
use proptest::prelude::*;

use super::*;
use crate::map::whole;
use crate::testing::{KEY, OTHER, Software, vector, vector_key};

//= rats 11.4 (M): the encoder emits neither indefinite lengths nor tags
#[test]
fn a_full_claims_set_is_deterministic_without_tags_and_survives_the_round_trip() {
    let claims = full();
    let encoded = claims.encode();

    cose::cbor::check_deterministic(&encoded, cose::cbor::Limits::DEFAULT).unwrap();
    assert!(!has_tag(&encoded));
    assert_eq!(Claims::decode(&encoded), Ok(claims));
}

//= rats 11.4 (M): the encoder emits neither indefinite lengths nor tags
#[test]
fn a_token_is_written_without_tags_and_read_with_or_without_them() {
    let signer = Software::new(KEY);
    let token = sign(&full(), &signer).unwrap();
    let sign1 = [&[0xd2], token.as_slice()].concat();
    let cwt = [&[0xd8, 0x3d], sign1.as_slice()].concat();
    let bare_cwt = [&[0xd8, 0x3d], token.as_slice()].concat();

    assert_eq!(token[0], 0x84);
    for token in [&token, &sign1, &cwt, &bare_cwt] {
        let verified = verify(token, signer.key(), &Accept::CURRENT).unwrap();

        assert_eq!(verified.thumbprint(), signer.key().thumbprint());
        assert_eq!(verified.get().claims, full());
        assert_eq!(verified.get().digest(), cose::sha256(&full().encode()));
        assert_eq!(peek(token), Ok(full()));
    }
}

//= rats 11.5 (R): integers that are not in preferred serialization are refused
#[test]
fn long_heads_and_indefinite_lengths_are_refused() {
    let preferred = [0xa1, 0x06, 0x18, 0x64];
    let long = [0xa1, 0x06, 0x19, 0x00, 0x64];
    let indefinite = [0xbf, 0x06, 0x18, 0x64, 0xff];

    assert!(Claims::decode(&preferred).is_ok());
    assert_eq!(Claims::decode(&long), Err(cose::Malformed::NotShortest.into()));
    assert_eq!(Claims::decode(&indefinite), Err(cose::Malformed::Indefinite.into()));
}

#[test]
fn the_order_of_claims_is_free_but_none_comes_twice_and_nothing_follows() {
    let unordered = [0xa2, 0x06, 0x01, 0x04, 0x02];
    let twice = [0xa2, 0x06, 0x01, 0x06, 0x02];
    let trailing = [0xa1, 0x06, 0x01, 0x00];

    let claims = Claims::decode(&unordered).unwrap();

    assert_eq!(claims.lifetime(), Lifetime { iat: Some(Timestamp(1)), exp: Some(Timestamp(2)) });
    assert!(matches!(Claims::decode(&twice), Err(Malformed::Cbor(_))));
    assert!(matches!(Claims::decode(&trailing), Err(Malformed::Cbor(_))));
}

//= rats 11.2 (M): eat_nonce is a single byte string of 8 to 64 bytes
#[test]
fn an_array_of_nonces_is_refused() {
    let claims =
        encode(|e| e.map(1)?.i64(claim::EAT_NONCE)?.array(2)?.bytes(&[1; 8])?.bytes(&[2; 8])?.ok());

    assert_eq!(Claims::decode(&claims), Err(Malformed::Nonce));
}

//= rats 11.10 (M): a floating-point time is refused
#[test]
fn a_floating_point_time_is_refused() {
    for (label, float) in [(4u8, [0xf9, 0x3c, 0x00]), (6, [0xf9, 0x00, 0x00])] {
        let claims = [&[0xa1, label], float.as_slice()].concat();

        assert_eq!(Claims::decode(&claims), Err(Malformed::FloatTime(i64::from(label).into())));
    }
}

#[test]
fn receivers_are_one_key_or_several_on_different_curves() {
    let read = |receivers: &[Key]| {
        let claims = Claims { receivers: receivers.to_vec(), ..full() };
        Claims::decode(&claims.encode()).map(|claims| claims.receivers)
    };
    let refused = Err(Malformed::Value(claim::RECEIVERS.into()));

    assert_eq!(read(&[]), Ok(Vec::new()));
    assert_eq!(read(&[key()]), Ok(vec![key()]));
    assert_eq!(read(&[x25519(), key()]), Ok(vec![x25519(), key()]));
    assert_eq!(read(&[key(), x25519(), key()]), refused);
}

//= rats 11.14 (M): unknown claims are ignored
#[test]
fn unknown_claims_are_kept_and_written_again() {
    let mut claims = full();
    claims.other.insert(Label::Int(-99_999), encode_text("own"));
    claims.other.insert(Label::Text("name".to_owned()), encode_int(-5));

    let read = Claims::decode(&claims.encode()).unwrap();

    assert_eq!(read, claims);
}

//= rats 11.14 (M): submodules of an unknown kind are kept, not refused
#[test]
fn unknown_submodules_are_kept_and_written_again() {
    let digest = encode(|e| e.array(2)?.i8(-16)?.bytes(&[7; 32])?.ok());
    let mut claims = full();
    claims.submods.insert("radio", Submod::Other(digest)).unwrap();
    claims.submods.insert("modem", Submod::Claims(vec![0xa1, 0x06, 0x01])).unwrap();
    claims.submods.insert("chip", Submod::Token(vec![1, 2, 3])).unwrap();

    let read = Claims::decode(&claims.encode()).unwrap();

    assert_eq!(read.submods.other().len(), 3);
    assert_eq!(read.submods.other()["modem"].claims().unwrap().iat, Some(Timestamp(1)));
    assert_eq!(read, claims);
}

//= rats 11.15 (M): submodules do not inherit claims
#[test]
fn a_submodule_does_not_inherit_claims() {
    let mut without_key =
        Claims { instance: Some(instance()), manifest: Some(manifest()), ..Claims::default() };
    let outer = |ta: &Claims| {
        let mut submods = Members::default();
        submods.put(ta_entry().submod_name().as_str(), ta.encode());
        let mut members = Members::default();
        members.put(claim::CNF, Confirmation::Key(key()).encode());
        members.put(claim::SUBMODS, submods.encode());
        members.encode()
    };

    assert_eq!(Claims::decode(&outer(&without_key)), Err(Malformed::Missing(claim::CNF.into())));

    without_key.cnf = Some(Confirmation::Kid(Thumbprint([1; 32])));
    assert_eq!(Claims::decode(&outer(&without_key)), Err(Malformed::Missing(claim::CNF.into())));
}

//= rats 11.16 (M): a nested token is verified with its own key
#[test]
fn a_nested_token_is_verified_with_its_own_key() {
    let (inner, outer) = (Software::new(OTHER), Software::new(KEY));
    let nested = Claims { iat: Some(Timestamp(5)), ..Claims::default() };
    let submod = Submod::Token(sign(&nested, &inner).unwrap());

    let verified = submod.verify(inner.key(), &Accept::CURRENT).unwrap();

    assert_eq!(verified.get().claims, nested);
    assert_eq!(
        submod.verify(outer.key(), &Accept::CURRENT).unwrap_err(),
        cose::Untrusted::Signature.into()
    );
    assert!(Submod::Claims(nested.encode()).verify(inner.key(), &Accept::CURRENT).is_err());
}

#[test]
fn two_owners_can_have_components_of_one_name() {
    let mine = ta_entry();
    let mut theirs = ta_entry();
    theirs.manifest.component_id[0] = vec![8; 32];
    let mut submods = Submods::default();
    submods.insert_ta(mine.clone());
    submods.insert_ta(theirs.clone());
    let claims = Claims { submods, ..Claims::default() };

    let read = Claims::decode(&claims.encode()).unwrap().submods;

    assert_eq!(read.tas().count(), 2);
    assert_eq!(read.ta(&mine.manifest.component_id), Some(&mine));
    assert_eq!(read.ta(&theirs.manifest.component_id), Some(&theirs));
    assert_eq!(read.ta(&[]), None);
}

#[test]
fn the_entry_of_a_ta_has_the_name_of_its_manifest_and_nobody_else_takes_it() {
    let name = ta_entry().submod_name();
    let mut members = Members::default();
    members.put("ta:other", ta_entry().encode());
    let encoded = members.encode();

    assert_eq!(name, format!("ta:{}/74612e73756974", "07".repeat(32)));
    assert_eq!(whole(&encoded, Submods::decode), Err(Malformed::Value("ta:other".into())));
    assert_eq!(
        Submods::default().insert(name.clone(), Submod::Token(vec![])),
        Err(Malformed::Value(Label::Text(name)))
    );
}

//= rats 11.7 (M): a COSE_Key and a kid that disagree are refused
#[test]
fn a_confirmation_whose_parts_disagree_is_refused() {
    let cnf = |kid: [u8; 32], ckt: [u8; 32]| {
        let mut members = Members::default();
        members.put(1, key().encode());
        members.put(3, encode_bytes(&kid));
        members.put(5, encode_bytes(&ckt));
        whole(&members.encode(), Confirmation::decode)
    };
    let own = key().thumbprint().0;

    assert_eq!(cnf(own, own), Ok(Confirmation::Key(key())));
    assert_eq!(cnf([1; 32], own), Err(Malformed::CnfDisagrees));
    assert_eq!(cnf(own, [1; 32]), Err(Malformed::CnfDisagrees));
    assert_eq!(cnf([1; 32], [1; 32]), Err(Malformed::CnfDisagrees));
}

#[test]
fn a_confirmation_without_a_key_or_with_a_short_kid_is_refused() {
    let mut encrypted = Members::default();
    encrypted.put(2, encode_bytes(&[1]));
    let mut short = Members::default();
    short.put(3, encode_bytes(&[1; 31]));

    assert_eq!(
        whole(&encrypted.encode(), Confirmation::decode),
        Err(Malformed::Value(claim::CNF.into()))
    );
    assert_eq!(
        whole(&short.encode(), Confirmation::decode),
        Err(Malformed::Expected("a kid of 32 bytes"))
    );
}

//= rats 11.6 (M): the confirmed key is the one that signed the message
#[test]
fn a_confirmation_confirms_its_own_key_alone() {
    for cnf in [
        Confirmation::Key(key()),
        Confirmation::Kid(key().thumbprint()),
        Confirmation::Ckt(key().thumbprint()),
    ] {
        assert_eq!(whole(&cnf.encode(), Confirmation::decode), Ok(cnf.clone()));
        assert_eq!(cnf.confirms(key().thumbprint()), Ok(()));
        assert_eq!(cnf.confirms(Thumbprint([0; 32])), Err(Untrusted::CnfMismatch));
    }
}

//= rats 11.8 (M): thumbprints of EC2 and OKP keys; leading zeros are kept
#[test]
fn thumbprints_are_those_of_the_vectors() {
    for (name, thumbprint) in [
        ("K1", "ca9e35f23b2b525fb4fc83f512b0dcac4ac29e457e873a5d6a7313f71690b33c"),
        ("K2", "c770ec535d8c949586324adaf2ddffb76b1a852dfa52e19c80f7440ec163beea"),
        ("AGENT", "d08d1602caa2d0ae0ade02666292b14cefd0d0282a153f7773acf6fdd0c0d378"),
        ("ED-TAM", "866eefbd6718c8846cd7ddfe43fc74ab1daac4538ff8514ea2ec2d410a415743"),
        ("ED-AGENT", "5c840f7a40230170abdee5151a594efdf270f7a89825f5c310badf6b589c5c59"),
    ] {
        let Some(key) = vector_key(name) else { return };

        assert_eq!(Confirmation::Key(key).thumbprint().to_string(), thumbprint);
    }
}

//= rats 11.8 (M): thumbprints of EC2 and OKP keys; leading zeros are kept
#[test]
fn leading_zeros_of_a_coordinate_are_kept() {
    let key = (0u8..=255)
        .find_map(|seed| {
            let mut point = vec![0x02, 0x00];
            point.extend_from_slice(&cose::sha256(&[seed])[1..]);
            Key::from_sec1(cose::Curve::P256, &point).ok()
        })
        .unwrap();

    assert_eq!(key.x()[0], 0);
    assert_eq!(key.encode().len(), 1 + 2 + 2 + 3 + 32 + 3 + 32);
    assert_eq!(key.thumbprint().0, cose::sha256(&key.encode()));
}

//= rats 11.7 (M): a COSE_Key and a kid that disagree are refused
#[test]
fn the_demo_evidence_with_a_foreign_kid_in_its_cnf_is_refused() {
    let folder = "teep/thirdparty-ietf126-demo";
    let (Some(token), Some(attester)) = (
        vector(&format!("{folder}/eat_evidence.attester.es256.cose.cbor")),
        vector_key("ATTESTER"),
    ) else {
        return;
    };

    assert_eq!(
        verify(&token, &attester, &Accept::WITH_LEGACY).unwrap_err(),
        Malformed::CnfDisagrees.into()
    );
}

#[test]
fn the_demo_evidence_with_measurements_is_read() {
    let folder = "teep/thirdparty-ietf126-demo";
    let (Some(token), Some(attester), Some(agent)) = (
        vector(&format!("{folder}/eat_evidence_measurements.attester.es256.cose.cbor")),
        vector_key("ATTESTER"),
        vector_key("AGENT"),
    ) else {
        return;
    };

    let claims = verify(&token, &attester, &Accept::WITH_LEGACY).unwrap().into_inner().claims;

    assert_eq!(claims.cnf, Some(Confirmation::Key(agent)));
    assert_eq!(claims.eat_nonce.unwrap().as_bytes(), hex::decode("948f8860d13a463e8e").unwrap());
    assert_eq!(claims.ueid, Some(Ueid::rand(b"building-dev-123").unwrap()));
    assert_eq!(claims.oemid, Some(OemId::Ieee([0x89, 0x48, 0x23])));
    assert_eq!(claims.hwversion.unwrap().version, "1.3.4");
    assert_eq!(claims.eat_profile.as_deref(), Some("urn:ietf:rfc:rfc9711"));
    assert_eq!(claims.measurements[0].content_format, 600);
    assert_eq!(
        verify(&token, &attester, &Accept::CURRENT).unwrap_err(),
        cose::Untrusted::Algorithm { algorithm: cose::Algorithm::Es256 }.into()
    );
}

#[test]
fn the_demo_psa_token_keeps_what_is_not_ours_to_read() {
    let file = "teep/thirdparty-ietf126-demo/psa_token_evidence.attester.es256.cose.cbor";
    let (Some(token), Some(attester)) = (vector(file), vector_key("ATTESTER")) else { return };

    let claims = verify(&token, &attester, &Accept::WITH_LEGACY).unwrap().into_inner().claims;

    assert_eq!(claims.eat_profile.as_deref(), Some("http://arm.com/psa/2.0.0"));
    assert!(claims.other.contains_key(&Label::Int(2396)));
}

//= rats 11.11 (M): ueid lengths by type byte are checked on encode
#[test]
fn the_draft_example_is_refused_as_printed_and_read_when_corrected() {
    let Some(printed) = vector("teep/derived/eat_d2_as_printed.cbor") else { return };
    let Some(corrected) = vector("teep/derived/eat_d2_corrected.cbor") else { return };

    assert_eq!(Claims::decode(&printed), Err(Malformed::Value(claim::UEID.into())));

    let claims = Claims::decode(&corrected).unwrap();
    assert_eq!(claims.manifests.len(), 1);
    assert!(matches!(claims.cnf, Some(Confirmation::Kid(_))));
}

//= rats 11.30 (M): an encrypted EAT opens under its own context string alone
#[test]
fn an_encrypted_token_opens_for_its_receiver_under_its_own_context_alone() {
    use cose::encrypt::{ContentAlgorithm, ContentKey, Recipient, other};

    let tam = keys::AgreementKey::generate(cose::Curve::P256).unwrap();
    let stranger = keys::AgreementKey::generate(cose::Curve::P256).unwrap();
    let ephemeral = keys::AgreementKey::generate(cose::Curve::P256).unwrap();
    let signer = Software::new(KEY);
    let token = sign(&full(), &signer).unwrap();
    let receiver = cose::Agreement::key(&tam);

    let sealed = encrypt(&token, receiver, &ephemeral, &mut keys::SystemEntropy).unwrap();
    let report = cose::encrypt::encrypt(
        ContentKey::draw(ContentAlgorithm::A128Gcm, &mut keys::SystemEntropy),
        &[Recipient::Agreement { receiver, ephemeral: &ephemeral }],
        other::SUIT_REPORT,
        &[],
        Payload::Attached(&token),
    )
    .unwrap()
    .object;

    assert_eq!(decrypt(&sealed, &tam).unwrap().expose(), token);
    assert!(matches!(decrypt(&sealed, &stranger), Err(Refused::Untrusted(_))));
    assert!(matches!(decrypt(&report, &tam), Err(Refused::Untrusted(_))));
}

#[test]
fn a_token_of_another_key_or_a_changed_token_is_refused() {
    let (signer, other) = (Software::new(KEY), Software::new(OTHER));
    let token = sign(&full(), &signer).unwrap();
    let mut changed = token.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;

    for (token, key) in [(&token, other.key()), (&changed, signer.key())] {
        assert_eq!(
            verify(token, key, &Accept::CURRENT).unwrap_err(),
            cose::Untrusted::Signature.into()
        );
    }
}

//= rats 11.9 (M): a token of an unknown signer is refused
#[test]
fn the_named_signer_must_be_one_of_those_who_count() {
    let (signer, other) = (Software::new(KEY), Software::new(OTHER));
    let token = sign(&full(), &signer).unwrap();
    let both = [other.key().clone(), signer.key().clone()];

    assert!(verify_any(&token, &both, &Accept::CURRENT).is_ok());
    assert_eq!(
        verify_any(&token, &both[..1], &Accept::CURRENT).unwrap_err(),
        Untrusted::UnknownSigner.into()
    );
}

fn key() -> Key {
    Software::new(OTHER).key().clone()
}

fn instance() -> Instance {
    Instance {
        kind: InstanceType::Process,
        isolation: vec!["namespaces".to_owned(), "seccomp".to_owned()],
        submodule: Some("wasmtime".to_owned()),
        image: None,
    }
}

fn manifest() -> ManifestId {
    ManifestId {
        component_id: vec![vec![7; 32], b"ta.suit".to_vec()],
        digest: [9; 32],
        sequence_number: 3,
    }
}

fn x25519() -> Key {
    Key::from_okp(cose::Curve::X25519, &[9; 32]).unwrap()
}

fn ta_entry() -> TaEntry {
    TaEntry {
        service_key: key(),
        receivers: vec![Software::new(KEY).key().clone()],
        instance: instance(),
        manifest: manifest(),
        swname: Some("ta".to_owned()),
        manifests: vec![Manifest { content_format: 60, content: vec![1] }],
    }
}

/// A claims set with every claim.
fn full() -> Claims {
    let mut submods = Submods::default();
    submods.insert_ta(ta_entry());
    Claims {
        exp: Some(Timestamp(2_000)),
        iat: Some(Timestamp(-1)),
        cnf: Some(Confirmation::Key(key())),
        eat_nonce: Some(Nonce::new([1; 64]).unwrap()),
        ueid: Some(Ueid::rand(&[1; 16]).unwrap()),
        sueids: BTreeMap::from([("factory".to_owned(), Ueid::rand(&[2; 32]).unwrap())]),
        oemid: Some(OemId::Pen(32473)),
        hwmodel: Some(b"model".to_vec()),
        hwversion: Some(Version { version: "1".to_owned(), scheme: Some(Label::Int(16384)) }),
        uptime: Some(10),
        oemboot: Some(true),
        dbgstat: Some(DebugStatus::DisabledSinceBoot),
        location: Some(vec![0xa1, 0x01, 0x02]),
        eat_profile: Some("tag:tamarack,2026:agent#1".to_owned()),
        submods,
        bootcount: Some(7),
        bootseed: Some(vec![5; 32]),
        dloas: vec![Dloa {
            registrar: "https://example.org".to_owned(),
            platform: "p".to_owned(),
            application: Some("a".to_owned()),
        }],
        swname: Some("agent".to_owned()),
        swversion: Some(Version::new("2")),
        manifests: vec![Manifest::suit_reference(60, "https://example.org/m", &[3; 32])],
        measurements: vec![Manifest { content_format: 258, content: vec![1, 2] }],
        measres: vec![MeasurementResults {
            system: "boot".to_owned(),
            results: vec![
                (ResultId::Text("kernel".to_owned()), MeasurementResult::Success),
                (ResultId::Bytes(vec![1]), MeasurementResult::Absent),
            ],
        }],
        intuse: Some(IntendedUse::Provisioning),
        session_keys: Some(SessionKeys {
            report: key(),
            receipt: Software::new(KEY).key().clone(),
            payload: Some(key()),
        }),
        receivers: vec![key(), x25519()],
        instance: Some(instance()),
        manifest: Some(manifest()),
        other: BTreeMap::new(),
    }
}

fn has_tag(encoded: &[u8]) -> bool {
    let mut decoder = Decoder::new(encoded);
    decoder.tokens().any(|token| matches!(token, Ok(minicbor::data::Token::Tag(_))))
}

proptest! {
    #[test]
    fn no_input_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Claims::decode(&bytes);
        let _ = peek(&bytes);
    }

    #[test]
    fn a_flipped_bit_is_never_accepted(bit in 0usize..3_000) {
        let signer = Software::new(KEY);
        let mut token = sign(&full(), &signer).unwrap();
        let bit = bit % (token.len() * 8);
        token[bit / 8] ^= 1 << (bit % 8);

        let verified = verify(&token, signer.key(), &Accept::CURRENT);

        // The unprotected header is a hint, and the signature does not cover it.
        prop_assert!(verified.is_err() || verified.unwrap().get().claims == full());
    }

    #[test]
    fn changed_claims_read_to_themselves_or_are_refused(at in 0usize..2_000, byte: u8) {
        let mut encoded = full().encode();
        let at = at % encoded.len();
        encoded[at] = byte;

        if let Ok(claims) = Claims::decode(&encoded) {
            prop_assert_eq!(Claims::decode(&claims.encode()), Ok(claims));
        }
    }

    #[test]
    fn scalar_claims_survive_the_round_trip(
        iat: i64,
        exp: i64,
        uptime: u64,
        nonce in proptest::collection::vec(any::<u8>(), 8..=64),
        name in ".{0,40}",
    ) {
        let claims = Claims {
            iat: Some(Timestamp(iat)),
            exp: Some(Timestamp(exp)),
            uptime: Some(uptime),
            eat_nonce: Some(Nonce::new(nonce).unwrap()),
            swname: Some(name),
            ..Claims::default()
        };

        prop_assert_eq!(Claims::decode(&claims.encode()), Ok(claims));
    }
}

#[test]
fn every_instance_type_has_a_class_of_its_own_that_names_it() {
    for instance in InstanceType::ALL {
        assert_eq!(InstanceType::of_class_id(&instance.class_id()), Some(instance));
    }
    assert_eq!(InstanceType::of_class_id(&VENDOR_ID), None);
}
