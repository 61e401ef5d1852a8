//! Whole sessions between a TAM and an Agent.

use cose::Signer as _;
use teep::message::{Error, Kind, Success};
use teep::tam::{Config, Correlation, Peer, Purpose};
use teep::{ChallengeKey, ErrCode, Message, Numbering, Suite, UserNonce};

use crate::pair::{AgentShell, Event, STRANGER, Silence, TamShell, session};
use crate::support::{new_key, payload, sealed, ta};

fn kinds(wire: &[Vec<u8>]) -> Vec<Kind> {
    let kind = |bytes: &Vec<u8>| {
        let payload = payload(bytes);
        Message::decode(&payload, Numbering::V26).unwrap().kind()
    };
    wire.iter().map(kind).collect()
}

const INSTALLED: [Kind; 4] = [Kind::QueryRequest, Kind::QueryResponse, Kind::Update, Kind::Success];

//= teep 14.13 (M): the suite chosen is used for every later message
#[test]
fn a_stranger_attests_itself_and_gets_its_package_in_either_suite() {
    for suite in Suite::MANDATORY {
        let mut tam = TamShell::new();
        let mut agent = AgentShell::new(suite, &mut tam);

        let wire = session(&mut tam, &mut agent, STRANGER);

        assert_eq!(kinds(&wire), INSTALLED);
        assert_eq!(
            tam.log,
            [Event::Attested(agent.key().thumbprint()), Event::Installed { reports: 1 }]
        );
        assert_eq!(agent.installed.len(), 1);
        assert!(tam.exchanges.is_empty());
        let peer = tam.agents[&agent.key().thumbprint()].1;
        assert_eq!(peer.suite, suite);
    }
}

/// The private suite: openings carry a third signature, and the Agent that has it picks it.
#[test]
fn an_agent_with_the_private_suite_gets_its_package_from_a_tam_that_has_it_too() {
    let mut config = Config::new(ChallengeKey::new([1; 32]));
    config.suites.push(Suite::MlDsa65);
    let mut tam = TamShell::with(config);
    let mut agent = AgentShell::new(Suite::MlDsa65, &mut tam);
    let mut other = AgentShell::new(Suite::Esp256, &mut tam);

    let wire = session(&mut tam, &mut agent, STRANGER);

    assert_eq!(kinds(&wire), INSTALLED);
    assert_eq!(tam.agents[&agent.key().thumbprint()].1.suite, Suite::MlDsa65);
    tam.packages.push(ta("planner", 1, &tam.owner));
    assert_eq!(kinds(&session(&mut tam, &mut other, STRANGER)), INSTALLED);
}

#[test]
fn the_private_suite_is_offered_by_nobody_unasked() {
    let mut tam = TamShell::new();
    let mut agent = AgentShell::new(Suite::MlDsa65, &mut tam);
    let handle = agent.session();

    let opening = tam.connect(STRANGER);
    let refusal = agent.receive(handle, &opening).unwrap().unwrap();

    let refusal = payload(&refusal);
    let Message::Error(error) = Message::decode(&refusal, Numbering::V26).unwrap() else {
        panic!("no Error");
    };
    assert_eq!(error.err_code, ErrCode::UnsupportedCipherSuites);
    assert_eq!(error.supported_teep_cipher_suites, [Suite::MlDsa65.offer()]);
}

#[test]
fn a_known_agent_is_managed_without_attestation() {
    let mut tam = TamShell::new();
    let mut agent = AgentShell::new(Suite::Ed25519, &mut tam);
    session(&mut tam, &mut agent, STRANGER);
    tam.packages.push(ta("planner", 2, &tam.owner));
    let peer = tam.agents[&agent.key().thumbprint()].1;

    let wire = session(&mut tam, &mut agent, Purpose::Manage { agent: peer });

    assert_eq!(kinds(&wire), INSTALLED);
    assert_eq!(agent.installed.values().copied().collect::<Vec<_>>(), [2]);
}

#[test]
fn several_packages_go_out_in_one_session() {
    let mut tam = TamShell::new();
    let mut agent = AgentShell::new(Suite::Esp256, &mut tam);
    tam.packages = ["c", "b", "a"].map(|name| ta(name, 1, &tam.owner)).into();

    let wire = session(&mut tam, &mut agent, STRANGER);

    assert_eq!(wire.len(), 8);
    assert_eq!(agent.installed.len(), 3);
    assert!(tam.exchanges.is_empty());
}

#[test]
fn a_network_users_nonce_travels_in_the_evidence() {
    let mut tam = TamShell::new();
    let mut agent = AgentShell::new(Suite::Esp256, &mut tam);
    let user_nonce = Some(UserNonce::new([7; 32]).unwrap());

    let purpose =
        Purpose::Attest { agent: None, numbering: Numbering::V26, user_nonce, renewal: false };
    let wire = session(&mut tam, &mut agent, purpose);

    assert_eq!(kinds(&wire), INSTALLED);
}

//= teep 14.67 (M): an older sequence number is refused in a validly signed Update
//= teep 15.104: reordered Updates are refused: each token counts once, each manifest ascends
#[test]
fn an_older_manifest_is_refused_and_reported() {
    let mut tam = TamShell::new();
    let mut agent = AgentShell::new(Suite::Esp256, &mut tam);
    tam.packages = vec![ta("planner", 1, &tam.owner), ta("planner", 5, &tam.owner)];

    let wire = session(&mut tam, &mut agent, STRANGER);

    assert_eq!(kinds(&wire).last(), Some(&Kind::Error));
    assert_eq!(tam.log[2], Event::Refused(ErrCode::ManifestProcessingFailed));
    assert_eq!(agent.installed.values().copied().collect::<Vec<_>>(), [5]);
}

//= teep 14.66 (M): the manifest's signer is checked independently of the TAM's signature
//= teep 15.118: a compromised TAM cannot install for an unknown signer
#[test]
fn a_signer_that_the_device_does_not_anchor_installs_nothing() {
    let mut tam = TamShell::new();
    let mut agent = AgentShell::new(Suite::Esp256, &mut tam);
    agent.owners = vec![new_key().key().clone()];

    session(&mut tam, &mut agent, STRANGER);

    assert_eq!(tam.log[1], Event::Refused(ErrCode::ManifestProcessingFailed));
    assert!(agent.installed.is_empty());
}

//= teep 14.40 (M): a failed attestation without repair is answered by err-code 7
#[test]
fn a_device_whose_evidence_is_not_authentic_gets_an_error_and_nothing_else() {
    let mut tam = TamShell::new();
    let mut agent = AgentShell::new(Suite::Esp256, &mut tam);
    tam.attesters.clear();

    let wire = session(&mut tam, &mut agent, STRANGER);

    assert_eq!(kinds(&wire), [Kind::QueryRequest, Kind::QueryResponse, Kind::Update]);
    assert_eq!(agent.failures, [ErrCode::AttestationRequired]);
    assert!(agent.installed.is_empty() && tam.exchanges.is_empty() && tam.agents.is_empty());
}

//= teep 15.108: an Agent that forwards another's Evidence is refused
#[test]
fn evidence_of_another_agent_does_not_pass() {
    let mut tam = TamShell::new();
    let mut honest = AgentShell::new(Suite::Esp256, &mut tam);
    let thief = AgentShell::new(Suite::Esp256, &mut tam);
    let request = tam.connect(STRANGER);
    let handle = honest.session();
    let response = honest.receive(handle, &request).unwrap().unwrap();

    let stolen = payload(&response);
    let stolen = Message::decode(&stolen, Numbering::V26).unwrap();
    let stolen = sealed(stolen, Suite::Esp256, &thief.keys);

    assert!(matches!(tam.receive(&stolen), Err(Silence::Rejected(_))));
    let key = thief.key().clone();
    let peer = Peer { key: key.thumbprint(), suite: Suite::Esp256, numbering: Numbering::V26 };
    tam.agents.insert(key.thumbprint(), (key, peer));
    tam.receive(&stolen).unwrap();
    assert_eq!(tam.log, [Event::NotAttested(teep::appraisal::NotAttested::AnotherKey)]);
}

#[test]
fn a_whole_session_runs_in_the_older_code_points() {
    let mut tam = TamShell::new();
    let mut agent = AgentShell::new(Suite::Esp256, &mut tam);
    tam.dialect.numbering = Numbering::Legacy18;
    let mut config = teep::agent::Config::new(
        teep::SystemProperties::measured(
            teep::ComponentId::new([b"TEEP-Agent"]).unwrap(),
            b"digest",
        ),
        vec![teep::agent::TamUri::new("https://tam.example").unwrap()],
    );
    config.suites = vec![Suite::Esp256];
    config.dialect.numbering = Numbering::Legacy18;
    agent.agent = teep::agent::Agent::new(config).unwrap();

    let wire = session(&mut tam, &mut agent, Purpose::Stranger { numbering: Numbering::Legacy18 });

    assert_eq!(wire.len(), 4);
    assert_eq!(payload(&wire[3])[1], 5);
    assert_eq!(agent.installed.len(), 1);
    assert_eq!(tam.agents.values().next().unwrap().1.numbering, Numbering::Legacy18);
}

#[test]
fn an_answer_without_data_ends_the_exchange_by_its_time() {
    let mut tam = TamShell::new();
    let mut agent = AgentShell::new(Suite::Esp256, &mut tam);
    session(&mut tam, &mut agent, STRANGER);
    let peer = tam.agents[&agent.key().thumbprint()].1;
    tam.connect(Purpose::Manage { agent: peer });
    assert_eq!(tam.exchanges.len(), 1);

    tam.exchanges.forget(tam.now.after(teep::limits::REPLY_WAIT_S));

    assert!(tam.exchanges.is_empty());
}

#[test]
fn answers_are_found_by_what_is_inside_them() {
    let mut tam = TamShell::new();
    let mut agent = AgentShell::new(Suite::Esp256, &mut tam);
    let request = tam.connect(STRANGER);
    let handle = agent.session();
    let response = agent.receive(handle, &request).unwrap().unwrap();
    let response = payload(&response);
    let response = Message::decode(&response, Numbering::V26).unwrap();
    let request = payload(&request);
    let Message::QueryRequest(request) = Message::decode(&request, Numbering::V26).unwrap() else {
        panic!("not a QueryRequest")
    };

    let found = teep::tam::correlate_payload(&response);

    assert_eq!(found, Some(Correlation::Challenge(request.challenge.unwrap())));
    let error = Message::Error(Error::new(ErrCode::TemporaryError, None, "later"));
    assert_eq!(teep::tam::correlate_payload(&error), None);
    let success = Success { token: teep::Token::new(&[1; 8]).ok(), ..Success::default() };
    assert!(teep::tam::correlate_payload(&Message::Success(success)).is_some());
}
