//! Evidence and SUIT reports that only the TAM can read, both ways (section 8.2).

use std::sync::Arc;

use cose::{Agreement as _, Curve};
use keys::{AgreementKey, SystemEntropy};
use teep::confidential::{Confidentiality, NotSealed, Receiver};
use teep::envelope::{NoKey, Rejected};
use teep::message::Kind;
use teep::tam::{Config, Purpose};
use teep::{
    AttestationPayload, ChallengeKey, Message, Misbehaved, Numbering, SuitCoseProfile, Suite,
};

use crate::pair::{AgentShell, Event, STRANGER, Silence, TamShell, session};
use crate::support::{CMW, evidence, new_key, payload, report};

#[test]
fn evidence_and_reports_are_read_by_the_tam_alone_in_each_profile() {
    for profile in SuitCoseProfile::MANDATORY {
        let (mut tam, receiver) = tam();
        let mut agent = AgentShell::new(Suite::Ed25519, &mut tam);
        agent.receiver = Some((receiver.key().clone(), profile));

        let wire = session(&mut tam, &mut agent, STRANGER);

        let key = agent.key().thumbprint();
        assert_eq!(tam.log, [Event::Attested(key), Event::Installed { reports: 1 }]);
        let challenge = challenge(&wire[0]);
        for bytes in &wire[1..] {
            let shown = payload(bytes);
            assert!(!contains(&shown, &challenge), "the nonce of the Evidence is readable");
            assert!(!contains(&shown, &agent.attester_kid()), "the Evidence is readable");
        }
        assert_eq!(encrypted(&wire[1]), Some(true));
    }
}

#[test]
fn the_reports_of_a_known_agent_are_read_with_their_nonce() {
    let (mut tam, receiver) = tam();
    let mut agent = AgentShell::new(Suite::Esp256, &mut tam);
    agent.receiver = Some((receiver.key().clone(), SuitCoseProfile::ESP256_A128GCM));
    session(&mut tam, &mut agent, STRANGER);
    let peer = tam.agents[&agent.key().thumbprint()].1;
    tam.packages.push(crate::support::ta("planner", 2, &tam.owner));

    let wire = session(&mut tam, &mut agent, Purpose::Manage { agent: peer });

    assert_eq!(wire.len(), 4);
    assert_eq!(tam.log.last(), Some(&Event::Installed { reports: 1 }));
}

/// The signature of the report holds; what is encrypted inside belongs to another exchange.
//= teep 14.34 (M): the nonce of an encrypted report is compared as well
#[test]
fn an_encrypted_report_of_another_exchange_is_not_taken() {
    let (mut tam, receiver) = tam();
    let mut agent = AgentShell::new(Suite::Esp256, &mut tam);
    session(&mut tam, &mut agent, STRANGER);
    let peer = tam.agents[&agent.key().thumbprint()].1;
    agent.receiver = Some((receiver.key().clone(), SuitCoseProfile::ESP256_A128GCM));
    agent.stale_reports = true;
    let handle = agent.session();
    let request = tam.connect(Purpose::Manage { agent: peer });
    let response = agent.receive(handle, &request).unwrap().unwrap();

    let told = tam.receive(&response).unwrap();

    let told = payload(&told);
    let Message::Update(update) = Message::decode(&told, Numbering::V26).unwrap() else {
        panic!("no Update");
    };
    let msg = update.err_msg.unwrap();
    assert_eq!(msg.as_str(), "nonce of a SUIT report is not the token");
}

#[test]
fn what_is_encrypted_to_another_key_is_not_believed() {
    let (mut tam, _) = tam();
    let other = AgreementKey::generate(Curve::P256).unwrap();
    let mut agent = AgentShell::new(Suite::Ed25519, &mut tam);
    session(&mut tam, &mut agent, STRANGER);
    let peer = tam.agents[&agent.key().thumbprint()].1;
    agent.receiver = Some((other.key().clone(), SuitCoseProfile::ED25519_CHACHA_POLY));
    let attest = Purpose::Attest {
        agent: Some(peer),
        numbering: Numbering::V26,
        user_nonce: None,
        renewal: false,
    };
    let handle = agent.session();

    let request = tam.connect(attest);
    let response = agent.receive(handle, &request).unwrap().unwrap();
    let refused = tam.receive(&response);

    assert_eq!(refused, Err(Silence::Misbehaved(Misbehaved::Undecipherable)));
    // A stranger's key is in its Evidence, so nobody even knows who that is.
    tam.agents.clear();
    let handle = agent.session();
    let request = tam.connect(STRANGER);
    let response = agent.receive(handle, &request).unwrap().unwrap();
    let unknown = Silence::Rejected(Rejected::Key(NoKey::Unknown));
    assert_eq!(tam.receive(&response), Err(unknown));
}

#[test]
fn a_tam_without_a_key_takes_nothing_that_is_encrypted() {
    let (_, receiver) = tam();
    let mut tam = TamShell::new();
    let mut agent = AgentShell::new(Suite::Ed25519, &mut tam);
    session(&mut tam, &mut agent, STRANGER);
    let peer = tam.agents[&agent.key().thumbprint()].1;
    agent.receiver = Some((receiver.key().clone(), SuitCoseProfile::ED25519_A128CTR));
    let attest = Purpose::Attest {
        agent: Some(peer),
        numbering: Numbering::V26,
        user_nonce: None,
        renewal: false,
    };
    let handle = agent.session();

    let request = tam.connect(attest);
    let response = agent.receive(handle, &request).unwrap().unwrap();

    let refused = Err(Silence::Misbehaved(Misbehaved::Undecipherable));
    assert_eq!(tam.receive(&response), refused);
}

/// The purpose is in the key derivation: one does not pass for the other.
//= rats 11.30 (M): an encrypted EAT opens under its own context string alone
#[test]
fn evidence_does_not_pass_for_a_report_nor_a_report_for_evidence() {
    let receiver = AgreementKey::generate(Curve::P256).unwrap();
    let signer = new_key();
    let profile = SuitCoseProfile::ESP256_A128GCM;
    let public = receiver.key().clone();
    let to_tam = Confidentiality { receiver: &public, profile };
    let ephemeral = || AgreementKey::generate(Curve::P256).unwrap();
    let plain = AttestationPayload::new(CMW, report(None));
    let told = suit::Report::decode(&report(None)).unwrap();
    let evidence = to_tam.payload(&plain, &ephemeral(), &mut SystemEntropy).unwrap();
    let sealed = to_tam.report(&told, &signer, &ephemeral(), &mut SystemEntropy).unwrap();
    let receiver = Arc::new(receiver);
    let handle = Receiver::new(receiver.clone());
    let resigned = |payload: &[u8]| {
        let header = cose::Header::default;
        let payload = cose::Payload::Attached(payload);
        cose::sign1(&signer, header(), header(), &[], payload).unwrap()
    };

    let read = |bytes: &[u8]| teep::report::read_with(bytes, Some(&handle));

    assert!(read(&sealed).is_some_and(|report| report.encrypted));
    assert_eq!(read(&resigned(&evidence.bytes)), None);
    let inner = cose::Sign1::decode(&sealed, cose::Tagging::Tagged).unwrap().payload.unwrap();
    assert!(rats::eat::decrypt(&evidence.bytes, &*receiver).is_ok());
    assert!(rats::eat::decrypt(inner, &*receiver).is_err());
}

#[test]
fn a_profile_that_is_not_supported_encrypts_nothing() {
    let receiver = AgreementKey::generate(Curve::P256).unwrap();
    let ephemeral = AgreementKey::generate(Curve::P256).unwrap();
    let attester = new_key();
    let plain = AttestationPayload::new(CMW, evidence(&[4; 32], receiver.key(), &attester));
    let with = |profile, ephemeral: &AgreementKey| {
        let to_tam = Confidentiality { receiver: receiver.key(), profile };
        to_tam.payload(&plain, ephemeral, &mut SystemEntropy).map(|_| ())
    };
    let good = SuitCoseProfile::ESP256_A128GCM;

    assert_eq!(with(good, &ephemeral), Ok(()));
    let cipher = SuitCoseProfile { encryption: 10, ..good };
    assert_eq!(with(cipher, &ephemeral), Err(NotSealed::Profile));
    let exchange = SuitCoseProfile { key_exchange: -25, ..good };
    assert_eq!(with(exchange, &ephemeral), Err(NotSealed::Profile));
    let x25519 = AgreementKey::generate(Curve::X25519).unwrap();
    assert_eq!(with(good, &x25519), Err(NotSealed::Key(cose::KeyUnusable)));
}

/// A TAM with a key that Agents encrypt to.
fn tam() -> (TamShell, Arc<AgreementKey>) {
    let receiver = Arc::new(AgreementKey::generate(Curve::P256).unwrap());
    let mut config = Config::new(ChallengeKey::new([1; 32]));
    config.receiver = Some(Receiver::new(receiver.clone()));
    (TamShell::with(config), receiver)
}

fn challenge(request: &[u8]) -> Vec<u8> {
    let request = payload(request);
    match Message::decode(&request, Numbering::V26).unwrap() {
        Message::QueryRequest(request) => request.challenge.unwrap().as_bytes().to_vec(),
        message => panic!("{:?}", message.kind()),
    }
}

/// Whether the attestation payload of a QueryResponse is a COSE_Encrypt.
fn encrypted(response: &[u8]) -> Option<bool> {
    let response = payload(response);
    let message = Message::decode(&response, Numbering::V26).unwrap();
    assert_eq!(message.kind(), Kind::QueryResponse);
    let Message::QueryResponse(response) = message else { return None };
    Some(response.attestation_payload?.bytes.starts_with(&[0xd8, 0x60]))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
