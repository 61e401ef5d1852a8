//! Envelopes of every package model, and reports.

use suit::build::{Compatibility, Delivery, Description, Name, Payload, Pd, Root, Ta, Ua, Uri};
use suit::process::References;
use suit::report::{Conclusion, Entry, Properties, Reason, Record, Reference};
use suit::{ComponentId, Digest, Parameter, Report, Uuid, report};

use super::Seeds;
use crate::known::{Draws, ED25519, REPORTER, secret};

pub(super) fn seed(seeds: &mut Seeds) {
    envelopes(seeds);
    reports(seeds);
}

fn envelopes(seeds: &mut Seeds) {
    let uuid = Uuid::new(*b"\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x9a\x5a\x5a\x5a\x5a\x5a\x5a\x5a");
    let uuid = uuid.unwrap();
    let compatibility = Compatibility { vendor: uuid, class: uuid };
    let name = |name: &str| Name::new(name).unwrap();
    let uri = || Uri::new("https://moc.example/blob/1").unwrap();
    let description = Description {
        manifest: Some("installs the planner"),
        vendor_domain: Some("example.org"),
        version: Some("1.2"),
        ..Description::default()
    };
    let ta = Ta::new(name("planner"), 1, compatibility, Payload::integrated(b"wasm"))
        .invocable(Some(b"[]"));
    let ta = ta.described(description).sign(&*ED25519).unwrap();
    let fetched = Payload::at(uri(), uri().as_str().as_bytes());
    let ua = Ua::new(name("relay"), 2, compatibility, fetched).invocable(None);
    let ua = ua.referenced_at(uri()).sign(&*ED25519).unwrap();
    let pd = Pd::new(name("home"), 3, compatibility, Payload::integrated(b"ciphertext"));
    let pd = pd.sign(&*ED25519).unwrap();
    let root = Root::new(name("whole"), 4, compatibility)
        .with(&ta, Delivery::Integrated)
        .with(&ua, Delivery::At(uri()));
    let root = root.sign(&*ED25519).unwrap();
    for (name, built) in [("ta", ta), ("ua", ua), ("pd", pd), ("root", root)] {
        seeds.put("suit_envelope", name, built.envelope);
    }
}

fn reports(seeds: &mut Seeds) {
    let component = ComponentId::new(["planner"]).unwrap();
    let digest = Digest::sha256([1; 32]);
    let measured =
        Properties::new().with(&Parameter::ImageDigest(digest)).with(&Parameter::ImageSize(4));
    let record = Record {
        manifest: vec![0],
        section: 17,
        offset: 40,
        component_index: 0,
        properties: measured.clone(),
    };
    let reference = Reference { uri: "https://moc.example/m".to_owned(), digest };
    let success = Report {
        reference: reference.clone(),
        nonce: Some(vec![7; 8]),
        records: vec![
            Entry::Record(record.clone()),
            Entry::Properties(component.clone(), measured.clone()),
        ],
        result: Conclusion::Success,
        capability: None,
    };
    let result = Conclusion::Failure { code: 3, record, reason: Reason::ConditionFailed };
    let failure = Report { reference, nonce: None, records: Vec::new(), result, capability: None };
    let capable = suit::Device::new(
        Uuid::new(*b"\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x9a\x5a\x5a\x5a\x5a\x5a\x5a\x5a").unwrap(),
        Uuid::new(*b"\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x9a\x5a\x5a\x5a\x5a\x5a\x5a\x5a").unwrap(),
    );
    let capable = Report { capability: Some(capable.capability()), ..success.clone() };
    seeds.put("suit_report", "success", success.encode());
    seeds.put("suit_report", "failure", failure.encode());
    seeds.put("suit_report", "capability", capable.encode());
    seeds.put("suit_report", "signed", report::protect(&success, &*REPORTER).unwrap());
    seeds.put("suit_report", "mac", report::protect_mac(&failure, &secret()).unwrap());
    seeds.put("suit_report", "properties", measured.encode_system(&component));
    let mut references = References::default();
    references.link(&component, &ComponentId::new(["planner.suit"]).unwrap());
    seeds.put("suit_report", "references", references.encode());
    seeds.put("suit_report", "component", component.encode());
    let key = cose::encrypt::ContentKey::draw(
        cose::encrypt::ContentAlgorithm::A128Gcm,
        &mut Draws::default(),
    );
    let wrap = secret();
    let recipient = cose::encrypt::Recipient::KeyWrap { key: &wrap, kid: None };
    let sealed = suit::encryption::seal(key, &[recipient], b"plaintext").unwrap();
    seeds.put("suit_report", "encryption-info", sealed.info);
}
