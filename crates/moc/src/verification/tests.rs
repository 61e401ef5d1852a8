use std::path::Path;

use cose::{Algorithm, Signer as _, Thumbprint};
use keys::SigningKey;
use rats::corim::Meta;
use teep::appraisal::NotAttested;

use super::*;
use crate::config::{Config, PolicySource, ReferenceFile};

#[test]
fn without_a_policy_the_strict_one_applies() {
    let dir = tempfile::tempdir().unwrap();

    let sources = Sources::read(&appraisal(dir.path()), 0).unwrap();

    assert_eq!(sources.policy, verifier::Policy::default());
    assert!(Kind::ALL.into_iter().all(|kind| sources.collateral(kind, None).is_empty()));
}

#[test]
fn a_policy_file_with_an_unknown_field_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.toml");
    std::fs::write(&path, "emulated = true\n").unwrap();
    let config = config::Appraisal {
        policy: Some(PolicySource::File(path.clone())),
        ..appraisal(dir.path())
    };

    let refused = Sources::read(&config, 0);

    assert!(matches!(refused, Err(Unusable::Misconfigured { path: at, .. }) if at == path));
}

#[test]
fn reference_values_of_another_signer_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let signer = SigningKey::generate(Algorithm::Esp256).unwrap();
    let other = SigningKey::generate(Algorithm::Esp256).unwrap();
    let corim = verifier::corim::sgx_enclave("agent", [1; 32], [2; 32], None);
    let meta = Meta { signer: "x".into(), validity: None };
    let (file, key) = (dir.path().join("agent.corim"), dir.path().join("signer.pub"));
    std::fs::write(&file, corim.sign(&meta, &signer).unwrap()).unwrap();
    let reference = ReferenceFile { corim: file, signer: key.clone() };
    let config = config::Appraisal { reference_values: vec![reference], ..appraisal(dir.path()) };

    keys::file::save_public(&key, other.key()).unwrap();
    assert!(matches!(Sources::read(&config, 0), Err(Unusable::Reference { .. })));
    keys::file::save_public(&key, signer.key()).unwrap();
    assert_eq!(Sources::read(&config, 0).unwrap().reference.sgx.len(), 1);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        config::Appraisal { collateral: Some(dir.path().join("none")), ..appraisal(dir.path()) };

    let refused = Sources::read(&config, 0);

    assert!(matches!(refused, Err(Unusable::Unreadable { path, .. }) if path.ends_with("none")));
}

#[test]
fn a_tenant_s_policy_stands_in_for_the_operator_s_for_its_results_alone() {
    let dir = tempfile::tempdir().unwrap();
    let own = verifier::Policy::from_toml("id = 'careful'\n[dcap]\nage_s_max = 60").unwrap();
    let source = PolicySource::Inline(Box::new(own.clone()));
    let tenant_policies = [("tenant-1".to_owned(), source)].into();
    let config = config::Appraisal { tenant_policies, ..appraisal(dir.path()) };

    let sources = Sources::read(&config, 0).unwrap();

    assert_eq!(sources.policy(Some("tenant-1")), &own);
    assert_eq!(sources.policy(Some("tenant-2")), &verifier::Policy::default());
    assert_eq!(sources.policy(None), &verifier::Policy::default());
}

#[test]
fn what_is_no_evidence_is_refused_and_explained() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("keys")).unwrap();
    let verification =
        Verification::open(&dir.path().join("keys"), &appraisal(dir.path()), 0).unwrap();
    let question = Question {
        format: Some("application/eat+cwt"),
        evidence: b"x",
        challenge: &[1; 64],
        tam_nonce: &[1; 64],
        user_nonce: None,
        signer: Thumbprint([0; 32]),
        tenant: None,
        hardware: None,
        application: None,
        quoted: None,
        now_ms: 5,
    };

    let other_format = verification.appraise(&question);
    let garbage = verification.appraise(&Question { format: Some(api::media::CMW), ..question });

    assert_eq!(other_format.outcome, Err(NotAttested::Unsupported));
    assert_eq!(other_format.failure.unwrap().check, "evidence.format");
    assert_eq!(garbage.outcome, Err(NotAttested::Unsupported));
    assert_eq!(garbage.failure.unwrap().check, "teep.format");
    assert!(garbage.cmw.is_none() && garbage.facts.is_none());
    assert_eq!((garbage.verdict.accepted, garbage.verdict.at_ms), (false, 5));
}

fn appraisal(dir: &Path) -> config::Appraisal {
    let text = "listen = '127.0.0.1:1'\npublic_url = 'http://x'\ndata_dir = 'd'\n";
    Config::from_toml(text, dir).unwrap().appraisal
}
