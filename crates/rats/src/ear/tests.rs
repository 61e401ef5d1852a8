use cose::{Accept, Key, Signer, Thumbprint};
use proptest::prelude::*;

use super::*;
use crate::refusal::Untrusted;
use crate::testing::{KEY, OTHER, Software};

//= rats 11.22 (M): a result makes the round trip in CBOR and JSON
#[test]
fn a_result_makes_the_round_trip_in_both_forms_and_profiles() {
    for profile in [Profile::Current, Profile::Legacy] {
        let mut ear = full();
        ear.profile = profile;
        let encoded = ear.encode();

        cose::cbor::check_deterministic(&encoded, cose::cbor::Limits::DEFAULT).unwrap();
        assert_eq!(Ear::decode(&encoded), Ok(ear.clone()));
        assert_eq!(Ear::from_json(&ear.to_json()), Ok(ear));
    }
}

//= rats 11.22 (M): the examples of the draft parse
#[test]
fn the_cbor_example_of_the_draft_is_read() {
    let mut vector = Members::default();
    vector.put(0, encode_int(2));
    vector.put(2, encode_int(96));
    vector.put(4, encode_int(2));
    let mut psa = Members::default();
    psa.put(1000, encode_int(96));
    psa.put(1001, vector.encode());
    psa.put(1003, encode(|e| e.array(1)?.str("https://veraison.example/policy/1/60a0068d")?.ok()));

    let ear = Ear::decode(&example("PSA", psa).encode()).unwrap();

    let appraisal = &ear.appraisals()["PSA"];
    assert_eq!(ear.profile, Profile::Current);
    assert_eq!(ear.iat, Timestamp(1_666_529_184));
    assert_eq!(ear.raw_evidence.as_deref(), Some(b"lifeboatman".as_slice()));
    assert_eq!(appraisal.status(), Tier::Contraindicated);
    assert_eq!(
        appraisal.vector().unwrap().value(TrustClaim::Executables),
        TrustValue::CONTRAINDICATED
    );
    assert_eq!(appraisal.policies, ["https://veraison.example/policy/1/60a0068d"]);
    assert_eq!(appraisal.confirmed(), None);
}

//= rats 11.22 (M): the examples of the draft parse
#[test]
fn the_json_example_of_the_draft_is_read() {
    let text = r#"{
      "eat_profile": "tag:ietf.org,2026:rats/ear#03",
      "iat": 1666529300,
      "ear_verifier_id": { "developer": "https://veraison-project.org", "build": "vts 0.0.1" },
      "ear_raw_evidence": "NzQ3MjY5NzM2NTYzNzQKNzQ3MjY5NzM2NTYzNzQK",
      "submods": {
        "CCA Platform": {
          "ear_status": "affirming",
          "ear_trustworthiness_vector":
            { "instance-identity": 2, "executables": 2, "hardware": 2 },
          "ear_appraisal_policy_ids": [ "https://veraison.example/policy/1/60a0068d" ]
        },
        "CCA Realm": {
          "ear_status": "affirming",
          "ear_trustworthiness_vector": { "instance-identity": 2 },
          "ear_appraisal_policy_ids": [ "https://veraison.example/policy/1/60a0068d" ]
        }
      }
    }"#;

    let ear = Ear::from_json(text).unwrap();

    assert_eq!(ear.status(), Tier::Affirming);
    assert_eq!(ear.appraisals().len(), 2);
    assert_eq!(ear.verifier.build, "vts 0.0.1");
    assert_eq!(Ear::decode(&ear.encode()), Ok(ear));
}

//= rats 11.22 (M): the examples of the draft parse
#[test]
fn the_teep_extension_of_the_draft_is_read_in_json_and_refused_in_cbor_for_its_ueid() {
    let teep = r#""ear_teep_claims": {
        "eat_nonce": "80FH7byS7VjfARIq0_KLqu6B9j-F79QtV6p",
        "ueid": "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAh",
        "oemid": "Av8B",
        "hwmodel": "fJYq",
        "hwversion": ["1.2.5", 16384]
    }"#;
    let text = format!(
        r#"{{"eat_profile":"tag:ietf.org,2026:rats/ear#03","iat":1666529184,
            "ear_verifier_id":{{"developer":"d","build":"b"}},
            "submods":{{"PSA":{{"ear_status":"none",{teep}}}}}}}"#
    );
    let cbor = |ueid: &str| {
        let mut claims = Members::default();
        claims.put(10, encode_bytes(&hex::decode("948f8860d13a463e").unwrap()));
        claims.put(256, encode_bytes(&hex::decode(ueid).unwrap()));
        claims.put(258, encode_int(64242));
        claims.put(259, encode_bytes(&hex::decode("ee80f5a66c1fb9742999a8fdab930893").unwrap()));
        claims.put(260, encode(|e| e.array(2)?.str("1.2.5")?.u16(16384)?.ok()));
        let mut psa = Members::default();
        psa.put(1000, encode_int(0));
        psa.put(65000, claims.encode());
        Ear::decode(&example("PSA", psa).encode())
    };

    let read = Ear::from_json(&text).unwrap().appraisals()["PSA"].teep.clone().unwrap();

    assert_eq!(read.oemid, Some(OemId::Ieee([0x02, 0xff, 0x01])));
    assert_eq!(read.ueid.unwrap().as_bytes().len(), 33);
    assert_eq!(cbor("0198f50a4ff6c05861c8860d13a638ea"), Err(Malformed::Value(claim::UEID.into())));
    assert!(cbor("0198f50a4ff6c05861c8860d13a638ea01").is_ok());
    let of_unknown_type = cbor("6198f50a4ff6c05861").unwrap();
    assert_eq!(Ear::from_json(&of_unknown_type.to_json()), Ok(of_unknown_type));
}

//= rats 11.23 (M): the legacy profile is accepted and flagged
#[test]
fn the_legacy_form_is_read_and_flagged_and_its_key_binds() {
    let text = r#"{
      "eat_profile": "tag:github.com,2023:veraison/ear",
      "iat": 1666529184,
      "ear.verifier-id": { "developer": "d", "build": "b" },
      "submods": {
        "PARSEC_TPM": {
          "ear.status": "affirming",
          "ear.trustworthiness-vector": { "instance-identity": 2 },
          "ear.appraisal-policy-id": "https://veraison.example/policy/1",
          "ear.veraison.key-attestation": { "akpub": "KEY" }
        }
      }
    }"#
    .replace("KEY", &base64url::encode(&spki()));

    let ear = Ear::from_json(&text).unwrap();
    let appraisal = &ear.appraisals()["PARSEC_TPM"];

    assert_eq!(ear.profile, Profile::Legacy);
    assert_eq!(appraisal.policies, ["https://veraison.example/policy/1"]);
    assert_eq!(appraisal.confirmed(), Some(key().thumbprint()));
    assert_eq!(Ear::decode(&ear.encode()), Ok(ear));
}

#[test]
fn an_attested_key_that_cannot_be_read_binds_nobody() {
    let mut appraisal = affirming();
    appraisal.akpub = Some(vec![1, 2, 3]);

    assert_eq!(appraisal.confirmed(), None);

    appraisal.cnf = Some(Confirmation::Kid(Thumbprint([1; 32])));
    assert_eq!(appraisal.confirmed(), Some(Thumbprint([1; 32])));
}

#[test]
fn an_attested_key_may_be_base64url_text_in_cbor() {
    let mut key = Members::default();
    key.put("akpub", encode_text(&base64url::encode(&spki())));
    let mut psa = Members::default();
    psa.put(1000, encode_int(0));
    psa.put(-70002, key.encode());

    let ear = Ear::decode(&example("PSA", psa).encode()).unwrap();

    assert_eq!(ear.appraisals()["PSA"].akpub, Some(spki()));
}

//= rats 11.20 (M): a status is no better than the worst claim
#[test]
fn a_status_better_than_its_claims_is_refused_in_both_forms() {
    let mut vector = Members::default();
    vector.put(4, encode_int(32));
    let mut psa = Members::default();
    psa.put(1000, encode_int(2));
    psa.put(1001, vector.encode());
    let json = full().to_json().replacen("\"contraindicated\"", "\"affirming\"", 1);

    assert_eq!(Ear::decode(&example("PSA", psa).encode()), Err(Malformed::StatusTooGood));
    assert_eq!(Ear::from_json(&json), Err(Malformed::StatusTooGood));
}

//= rats 11.20 (M): the top-level status is no better than the worst submodule
#[test]
fn a_top_level_status_better_than_a_submodule_is_refused() {
    let mut psa = Members::default();
    psa.put(1000, encode_int(96));
    let mut ear = example("PSA", psa);
    ear.put(1000, encode_int(32));

    assert_eq!(Ear::decode(&ear.encode()), Err(Malformed::StatusTooGood));
}

#[test]
fn a_status_can_only_become_worse() {
    let mut appraisal = affirming();

    appraisal.degrade(Tier::Warning);
    appraisal.degrade(Tier::Affirming);

    assert_eq!(appraisal.status(), Tier::Warning);
}

#[test]
fn required_members_other_profiles_and_empty_lists_are_refused() {
    let psa = || {
        let mut psa = Members::default();
        psa.put(1000, encode_int(0));
        psa
    };
    let refused = |change: fn(&mut Members)| {
        let mut ear = example("PSA", psa());
        change(&mut ear);
        Ear::decode(&ear.encode()).unwrap_err()
    };
    let mut no_policy = psa();
    no_policy.put(1003, vec![0x80]);

    assert_eq!(refused(|ear| ear.put(265, encode_text("tag:x"))), Malformed::Profile);
    assert_eq!(refused(|ear| ear.put(266, vec![0xa0])), Malformed::Value(266.into()));
    assert_eq!(refused(|ear| ear.put(1004, vec![0xa0])), Malformed::Missing(0.into()));
    assert_eq!(
        Ear::decode(&example("PSA", no_policy).encode()),
        Err(Malformed::Expected("one policy identifier or more"))
    );
    assert_eq!(
        Ear::decode(&example("PSA", Members::default()).encode()),
        Err(Malformed::Missing(claim::EAR_STATUS.into()))
    );
}

//= rats 11.10 (M): a floating-point time is refused
#[test]
fn a_floating_point_time_is_refused_in_both_forms() {
    let mut psa = Members::default();
    psa.put(1000, encode_int(0));
    let mut ear = example("PSA", psa);
    ear.put(6, vec![0xf9, 0x3e, 0x00]);
    let json = full().to_json().replacen("\"iat\":1000", "\"iat\":1000.5", 1);

    assert_eq!(Ear::decode(&ear.encode()), Err(Malformed::FloatTime(6.into())));
    assert_eq!(Ear::from_json(&json), Err(Malformed::FloatTime("iat".into())));
}

//= rats 11.13 (M): the profile claim is compared exactly
#[test]
fn the_profile_claim_is_compared_exactly() {
    assert_eq!(Profile::from_uri("tag:ietf.org,2026:RATS/ear#03"), Err(Malformed::Profile));
}

#[test]
fn a_signed_result_is_verified_and_read() {
    let signer = Software::new(KEY);
    let token = full().sign(&signer).unwrap();
    let keys = [signer.key().clone()];

    let verified = Ear::verify(&token, &expect(&keys)).unwrap();

    assert_eq!(verified.thumbprint(), signer.key().thumbprint());
    assert_eq!(verified.into_inner(), full());
}

//= rats 11.3 (M): a nonce that does not match is refused
//= rats 11.9 (M): a result of an unknown Verifier, or of the Attester itself, is refused
//= rats 11.10 (M): expired, or issued in the future beyond the skew, is refused
//= rats 11.21 (M): a result without a vector is accepted only when it was waived
#[test]
fn a_result_of_another_signer_time_or_nonce_or_without_a_vector_is_refused() {
    let signer = Software::new(KEY);
    let keys = [signer.key().clone()];
    let base = expect(&keys);
    let verify = |ear: &Ear, expect: &Expect<'_>| {
        Ear::verify(&ear.sign(&signer).unwrap(), expect).map(cose::Verified::into_inner)
    };
    let bare = Ear::new(full().verifier, Timestamp(1_000), "a", Appraisal::new(Vector::default()));
    let mut own = full();
    own.submods.get_mut("agent").unwrap().cnf = Some(Confirmation::Key(signer.key().clone()));

    assert_eq!(
        verify(&full(), &Expect { verifiers: &[key()], ..base.clone() }),
        Err(Untrusted::UnknownSigner.into())
    );
    assert_eq!(verify(&own, &base), Err(Untrusted::SelfSigned.into()));
    assert_eq!(
        verify(&full(), &Expect { now: Timestamp(2_000), ..base.clone() }),
        Err(Untrusted::Expired { exp: Timestamp(2_000), now: Timestamp(2_000) }.into())
    );
    assert_eq!(
        verify(&full(), &Expect { now: Timestamp(900), ..base.clone() }),
        Err(Untrusted::FromTheFuture { iat: Timestamp(1_000), now: Timestamp(900) }.into())
    );
    assert_eq!(
        verify(&full(), &Expect { nonce: Some(&[2; 32]), ..base.clone() }),
        Err(Untrusted::NonceMismatch.into())
    );
    let asked_nothing = Expect { nonce: None, ..base.clone() };
    assert_eq!(
        verify(&bare, &asked_nothing),
        Err(Malformed::Missing(claim::EAR_VECTOR.into()).into())
    );
    assert_eq!(
        verify(&bare, &Expect { vector: VectorRule::Waived, ..asked_nothing }),
        Ok(bare.clone())
    );
    assert_eq!(
        verify(&bare, &Expect { vector: VectorRule::Waived, ..base }),
        Err(Untrusted::NonceMismatch.into())
    );
}

proptest! {
    #[test]
    fn no_input_makes_the_readers_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        text in ".{0,200}",
    ) {
        let _ = Ear::decode(&bytes);
        let _ = Ear::from_json(&text);
    }

    #[test]
    fn a_changed_result_is_coherent_or_refused(at in 0usize..2_000, byte: u8) {
        let mut encoded = full().encode();
        let at = at % encoded.len();
        encoded[at] = byte;

        if let Ok(ear) = Ear::decode(&encoded) {
            for appraisal in ear.appraisals().values() {
                if let Some(vector) = appraisal.vector() {
                    prop_assert!(!appraisal.status().exceeds(vector.status()));
                }
            }
            prop_assert_eq!(Ear::decode(&ear.encode()), Ok(ear));
        }
    }
}

fn expect(verifiers: &[Key]) -> Expect<'_> {
    Expect {
        verifiers,
        accept: &Accept::CURRENT,
        now: Timestamp(1_000),
        skew_s: 60,
        nonce: Some(&[1; 32]),
        vector: VectorRule::Required,
    }
}

fn key() -> Key {
    Software::new(OTHER).key().clone()
}

/// SubjectPublicKeyInfo of [`key`].
fn spki() -> Vec<u8> {
    let head = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
    [hex::decode(head).unwrap(), key().sec1()].concat()
}

fn affirming() -> Appraisal {
    let mut vector = Vector::default();
    vector.record(TrustClaim::InstanceIdentity, TrustValue::AFFIRMED);
    Appraisal::new(vector)
}

/// A result with every member; what JSON cannot carry is left out.
fn full() -> Ear {
    let mut vector = Vector::default();
    for claim in TrustClaim::ALL {
        vector.record(claim, TrustValue::AFFIRMED);
    }
    vector.record(TrustClaim::Hardware, TrustValue::CRYPTO_FAILED);
    let mut agent = Appraisal::new(vector);
    agent.profile = Some("tag:tamarack,2026:agent#1".to_owned());
    agent.policies = vec!["policy-1".to_owned()];
    agent.nonce = Some(Nonce::new([3; 64]).unwrap());
    agent.cnf = Some(Confirmation::Kid(key().thumbprint()));
    agent.akpub = Some(spki());
    agent.teep = Some(TeepClaims {
        nonce: Some(Nonce::new([4; 8]).unwrap()),
        ueid: Some(Ueid::rand(&[1; 16]).unwrap()),
        oemid: Some(OemId::Random([6; 16])),
        hwmodel: Some(vec![1]),
        hwversion: Some(Version { version: "1".to_owned(), scheme: Some(Label::Int(1)) }),
        manifests: vec![Manifest { content_format: 60, content: vec![9] }],
    });
    let verifier = VerifierId { developer: "d".to_owned(), build: "b".to_owned() };
    let mut ear = Ear::new(verifier, Timestamp(1_000), "agent", agent);
    ear.exp = Some(Timestamp(2_000));
    ear.nonce = Some(Nonce::new([1; 32]).unwrap());
    ear.raw_evidence = Some(b"evidence".to_vec());
    ear.insert("ta:1", affirming());
    ear
}

/// The members that the examples of the draft share, with one appraisal.
fn example(name: &str, appraisal: Members) -> Members {
    let mut verifier = Members::default();
    verifier.put(0, encode_text("https://veraison-project.org"));
    verifier.put(1, encode_text("vts 0.0.1"));
    let mut submods = Members::default();
    submods.put(name, appraisal.encode());
    let mut ear = Members::default();
    ear.put(265, encode_text("tag:ietf.org,2026:rats/ear#03"));
    ear.put(6, encode_int(1_666_529_184));
    ear.put(1004, verifier.encode());
    ear.put(1002, encode_bytes(b"lifeboatman"));
    ear.put(266, submods.encode());
    ear
}
