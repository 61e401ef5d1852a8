//! Claims, results, wrappers and reference values.

use cose::Signer as _;
use rats::binding::{Binding, BoundQuote};
use rats::cmw::{Cmw, Collection, Indicator, Record};
use rats::corim::{
    Class, ClassId, Comid, Corim, Digest, Environment, Measurement, MeasurementKey, Meta,
    ReferenceTriple, Svn, TagId,
};
use rats::ear::{Appraisal, Ear, TeepClaims, TrustClaim, TrustValue, Vector, VerifierId};
use rats::eat::{
    self, Claims, Confirmation, DebugStatus, Dloa, Instance, InstanceType, Manifest, ManifestId,
    MeasurementResult, MeasurementResults, OemId, ResultId, SessionKeys, Submods, TaEntry, Ueid,
    Version,
};
use rats::evidence::{self, Evidence, Hardware};
use rats::nonce::Nonce;
use rats::result::AttestationResult;
use rats::{Label, Timestamp};

use super::Seeds;
use crate::known::{ATTESTER, ED25519, ESP256, NOW, PEER_ED25519};

pub(super) fn seed(seeds: &mut Seeds) {
    let token = eat::sign(&claims(), &*ATTESTER).unwrap();
    seeds.put("rats_eat", "claims", claims().encode());
    seeds.put("rats_eat", "token", token.clone());
    let result = result().sign("urn:ietf:rfc:rfcXXXX", &*ED25519).unwrap();
    let payload = cose::Sign1::decode(&result, cose::Tagging::Either).unwrap().payload.unwrap();
    seeds.put("rats_eat", "result", payload);

    seeds.put("rats_ear", "cbor", ear().encode());
    seeds.put("rats_ear", "json", ear().to_json());
    seeds.put("rats_ear", "signed", ear().sign(&*ED25519).unwrap());

    let binding = Binding {
        challenge: Nonce::new([4; 64]).unwrap(),
        key: ATTESTER.key().clone(),
        claims: Some([6; 32]),
    };
    let bound = BoundQuote { quote: vec![5; 60], binding: binding.encode() };
    seeds.put("rats_binding", "binding", binding.encode());
    seeds.put("rats_binding", "bound", bound.encode());
    let bare = Binding { claims: None, key: ESP256.key().clone(), ..binding };
    seeds.put("rats_binding", "bare", bare.encode());
    wrappers(seeds, token, bound);

    seeds.put("rats_corim", "bare", corim().encode());
    let meta = Meta { signer: "provider".to_owned(), validity: None };
    seeds.put("rats_corim", "signed", corim().sign(&meta, &*ED25519).unwrap());
}

fn wrappers(seeds: &mut Seeds, eat: Vec<u8>, bound: BoundQuote) {
    let indicator = Indicator::from_bits(4).unwrap();
    let record = Record::new("application/eat+cwt", eat.clone(), indicator);
    let mut collection = Collection::new("eat", Cmw::Record(record.clone()));
    collection.insert(1, Cmw::Tag { content_format: 263, value: vec![1; 10] }).unwrap();
    let inner = Collection::new("inner", Cmw::Record(record.clone()));
    collection.insert("nested", Cmw::Collection(inner)).unwrap();
    seeds.put("rats_cmw", "record", Cmw::Record(record).encode());
    seeds.put("rats_cmw", "collection", Cmw::Collection(collection.clone()).encode());
    seeds.put("rats_cmw", "tag", Cmw::Tag { content_format: 263, value: vec![1; 10] }.encode());
    seeds.put("rats_cmw", "signed", Cmw::Collection(collection).sign(&*ED25519).unwrap());
    let hardware = |media_type: &str| {
        Some(Hardware {
            media_type: media_type.to_owned(),
            bound: bound.clone(),
            endorsements: None,
            runtime_log: None,
        })
    };
    let of = |media_type| Evidence { eat: eat.clone(), hardware: hardware(media_type) }.encode();
    seeds.put("rats_cmw", "evidence", of(evidence::SGX_QUOTE));
    seeds.put("verifier_teep", "sgx", of(evidence::SGX_QUOTE));
    seeds.put("verifier_teep", "snp", of(evidence::SEV_SNP_REPORT));
    seeds.put("verifier_teep", "cca", of(evidence::CCA_TOKEN));
    seeds.put("verifier_teep", "psa", of(evidence::PSA_TOKEN));
}

fn claims() -> Claims {
    let mut submods = Submods::default();
    submods.insert_ta(TaEntry {
        service_key: ESP256.key().clone(),
        receivers: vec![ESP256.key().clone()],
        instance: instance(),
        manifest: manifest(),
        swname: Some("planner".to_owned()),
        manifests: Vec::new(),
    });
    Claims {
        iat: Some(Timestamp(NOW)),
        cnf: Some(Confirmation::Key(ED25519.key().clone())),
        eat_nonce: Some(Nonce::new([4; 64]).unwrap()),
        ueid: Some(Ueid::rand(&[1; 32]).unwrap()),
        oemid: Some(OemId::Random([6; 16])),
        hwmodel: Some(b"model".to_vec()),
        hwversion: Some(Version { version: "1".to_owned(), scheme: Some(Label::Int(1)) }),
        uptime: Some(10),
        dbgstat: Some(DebugStatus::DisabledSinceBoot),
        eat_profile: Some("tag:tamarack,2026:agent#1".to_owned()),
        submods,
        bootseed: Some(vec![5; 32]),
        dloas: vec![Dloa {
            registrar: "https://example.org".to_owned(),
            platform: "p".to_owned(),
            application: None,
        }],
        manifests: vec![Manifest::suit_reference(60, "https://example.org/m", &[3; 32])],
        measres: vec![MeasurementResults {
            system: "boot".to_owned(),
            results: vec![(ResultId::Text("kernel".to_owned()), MeasurementResult::Success)],
        }],
        session_keys: Some(SessionKeys {
            report: ED25519.key().clone(),
            receipt: ESP256.key().clone(),
            payload: Some(ESP256.key().clone()),
        }),
        receivers: vec![ESP256.key().clone()],
        instance: Some(instance()),
        manifest: Some(manifest()),
        ..Claims::default()
    }
}

fn instance() -> Instance {
    Instance {
        kind: InstanceType::Process,
        isolation: vec!["seccomp".to_owned()],
        submodule: Some("wasmtime".to_owned()),
        image: None,
    }
}

fn manifest() -> ManifestId {
    let component_id = vec![vec![7; 32], b"planner.suit".to_vec()];
    ManifestId { component_id, digest: [8; 32], sequence_number: 3 }
}

fn result() -> AttestationResult {
    AttestationResult {
        agent: PEER_ED25519.key().thumbprint(),
        nonce: Some(Nonce::new([4; 64]).unwrap()),
        ueid: Ueid::rand(&[1; 32]).unwrap(),
        oemid: OemId::Random([6; 16]),
        hwmodel: b"model".to_vec(),
        hwversion: Version::new("1"),
        manifests: vec![Manifest { content_format: 60, content: vec![9] }],
        iat: Some(Timestamp(NOW)),
        exp: None,
    }
}

fn ear() -> Ear {
    let mut vector = Vector::default();
    vector.record(TrustClaim::Hardware, TrustValue::AFFIRMED);
    vector.record(TrustClaim::Executables, TrustValue::AFFIRMED);
    let mut agent = Appraisal::new(vector);
    agent.policies = vec!["policy-1".to_owned()];
    agent.nonce = Some(Nonce::new([3; 64]).unwrap());
    agent.cnf = Some(Confirmation::Kid(PEER_ED25519.key().thumbprint()));
    agent.teep = Some(TeepClaims {
        nonce: Some(Nonce::new([4; 8]).unwrap()),
        ueid: Some(Ueid::rand(&[1; 16]).unwrap()),
        oemid: Some(OemId::Random([6; 16])),
        hwmodel: Some(vec![1]),
        hwversion: Some(Version::new("1")),
        manifests: vec![Manifest { content_format: 60, content: vec![9] }],
    });
    let verifier = VerifierId { developer: "d".to_owned(), build: "b".to_owned() };
    let mut ear = Ear::new(verifier, Timestamp(NOW), "agent", agent);
    ear.exp = Some(Timestamp(NOW + 60));
    ear.nonce = Some(Nonce::new([1; 32]).unwrap());
    ear.raw_evidence = Some(b"evidence".to_vec());
    ear
}

fn corim() -> Corim {
    let class = Class {
        id: Some(ClassId::component(&[vec![7; 32], b"ta.suit".to_vec()])),
        vendor: Some("maker".to_owned()),
        model: Some("agent".to_owned()),
    };
    let measurement = Measurement {
        key: Some(MeasurementKey::Text("agent".to_owned())),
        version: Some(Version::new("1")),
        svn: Some(Svn::Min(5)),
        digests: vec![Digest::sha256([9; 32]), Digest::sha384([9; 48])],
        name: Some("agent".to_owned()),
        ..Measurement::default()
    };
    let environment = Environment::of(class);
    let triple = ReferenceTriple { environment, measurements: vec![measurement] };
    Corim {
        id: TagId::Text("reference-values".to_owned()),
        tags: vec![Comid { id: TagId::Uuid([2; 16]), version: 1, reference_values: vec![triple] }],
        validity: None,
    }
}
