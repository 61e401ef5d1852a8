//! A Broker that does as it pleases: it may stop things, and nothing else.

use cose::{Header, Payload, Signer as _};
use proptest::prelude::*;
use teep::agent::Handle;
use teep::envelope::{Dialect, Rejected, Sealed};
use teep::message::Kind;
use teep::tam::Purpose;
use teep::{Malformed, Message, Misbehaved, Numbering, Suite};

use crate::pair::{AgentShell, Event, STRANGER, Silence, TamShell, session};
use crate::support::{anchors, evidence, new_key, payload, signed_report, ta};

/// A session that went well, and what passed by the Broker.
fn recorded() -> (TamShell, AgentShell, Vec<Vec<u8>>) {
    let mut tam = TamShell::new();
    let mut agent = AgentShell::new(Suite::Esp256, &mut tam);
    let wire = session(&mut tam, &mut agent, STRANGER);
    assert_eq!(wire.len(), 4);
    (tam, agent, wire)
}

fn installations(tam: &TamShell) -> usize {
    tam.log.iter().filter(|event| matches!(event, Event::Installed { .. })).count()
}

fn kind(bytes: &[u8]) -> Kind {
    let payload = payload(bytes);
    Message::decode(&payload, Numbering::V26).unwrap().kind()
}

//= teep 15.101: a replayed QueryRequest is answered and changes nothing
//= teep 15.102: a replayed Update has no second effect
#[test]
fn what_the_tam_said_once_changes_the_device_once() {
    let (_, mut agent, wire) = recorded();
    let same = Handle(1);
    for handle in [same, agent.session(), agent.session()] {
        for _ in 0..2 {
            let answer = agent.receive(handle, &wire[0]).unwrap().unwrap();
            assert_eq!(kind(&answer), Kind::QueryResponse);
            let answer = agent.receive(handle, &wire[2]).unwrap().unwrap();
            assert_eq!(kind(&answer), Kind::Error);
        }
    }

    assert_eq!(agent.changes, 1);
}

//= teep 15.103: a replayed QueryResponse, Success or Error is ignored
#[test]
fn what_the_agent_said_once_counts_once() {
    let (mut tam, mut agent, wire) = recorded();
    tam.packages.push(ta("planner", 2, &tam.owner));
    let unknown = Err(Silence::Misbehaved(Misbehaved::UnknownExchange));

    for _ in 0..2 {
        assert_eq!(tam.receive(&wire[1]), unknown);
        assert_eq!(tam.receive(&wire[3]), unknown);
    }
    assert_eq!(installations(&tam), 1);
    assert!(tam.exchanges.is_empty());

    let agent_key = tam.agents[&agent.key().thumbprint()].1;
    session(&mut tam, &mut agent, Purpose::Manage { agent: agent_key });
    assert_eq!(installations(&tam), 2);
}

//= teep 14.4 (M): the signature is verified over the payload bytes as received
//= teep 14.97 (M): a bit flipped on the way is detected by the endpoint
#[test]
fn no_flipped_bit_makes_another_message() {
    let (mut tam, mut agent, wire) = recorded();
    let known = tam.keys.public().into_iter().chain([agent.key().clone()]).collect();
    let keys = anchors(known);
    for bytes in &wire {
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            let Ok(sealed) = Sealed::decode(&flipped, &Dialect::default()) else { continue };
            if sealed.open(&Dialect::default(), &keys).is_ok() {
                assert_eq!(sealed.unverified_payload(), payload(bytes), "byte {at}");
            }
        }
    }

    let handle = agent.session();
    for at in 0..wire[2].len() {
        let mut flipped = wire[2].clone();
        flipped[at] ^= 0x10;
        if let Some(answer) = agent.receive(handle, &flipped).unwrap() {
            assert_eq!(kind(&answer), Kind::Error);
        }
        assert!(tam.receive(&flipped).is_err());
    }
    assert_eq!(agent.changes, 1);
}

//= teep 14.2 (M): CBOR that is not well-formed, or followed by bytes, is refused
#[test]
fn no_message_is_accepted_short_or_long() {
    let (mut tam, mut agent, wire) = recorded();
    let handle = agent.session();
    for bytes in &wire {
        for length in 0..bytes.len() {
            let cut = &bytes[..length];
            assert!(matches!(tam.receive(cut), Err(Silence::Rejected(_))), "{length}");
            if let Some(answer) = agent.receive(handle, cut).unwrap() {
                assert_eq!(kind(&answer), Kind::Error);
            }
        }
        let long = [&bytes[..], &[0]].concat();
        assert!(matches!(tam.receive(&long), Err(Silence::Rejected(_))));
    }
}

//= teep 15.107: a message in the wrong direction is refused
#[test]
fn nobody_takes_back_its_own_messages() {
    let (mut tam, mut agent, wire) = recorded();
    let handle = agent.session();

    for own in [&wire[0], &wire[2]] {
        assert!(matches!(tam.receive(own), Err(Silence::Rejected(Rejected::Key(_)))));
    }
    for own in [&wire[1], &wire[3]] {
        let answer = agent.receive(handle, own).unwrap().unwrap();
        assert_eq!(kind(&answer), Kind::Error);
    }
    assert_eq!((agent.changes, installations(&tam)), (1, 1));
}

//= teep 15.106: a report, EAT or manifest that is given out as a message is refused
#[test]
fn other_signed_things_are_no_messages() {
    let key = new_key();
    let keys = anchors(vec![key.key().clone()]);
    let open = |bytes: &[u8]| {
        let opened = Sealed::decode(bytes, &Dialect::default());
        opened.and_then(|sealed| sealed.open(&Dialect::default(), &keys).map(|_| ()))
    };
    let not_a_message = |outcome: Result<(), Rejected>| {
        matches!(outcome, Err(Rejected::Message { cause: Malformed::Expected(_), .. }))
    };

    assert!(not_a_message(open(&signed_report(None, &key))));
    let record = evidence(&[1; 8], key.key(), &key);
    let mut record = minicbor::Decoder::new(&record);
    record.array().unwrap();
    record.skip().unwrap();
    assert!(not_a_message(open(record.bytes().unwrap())));
    let header = Header::default;
    let detached = Payload::Detached(b"manifest");
    let manifest = cose::sign1(&key, header(), header(), &[], detached).unwrap();
    assert_eq!(open(&manifest), Err(Rejected::NotSigned));
    let untagged =
        cose::sign1_untagged(&key, header(), header(), &[], Payload::Attached(&[0x80])).unwrap();
    assert_eq!(open(&untagged), Err(Rejected::NotSigned));
}

#[test]
fn an_untagged_wrapper_is_taken_in_lenient_mode_alone() {
    let key = new_key();
    let keys = anchors(vec![key.key().clone()]);
    let success = Message::Success(teep::message::Success::default()).encode(Numbering::V26);
    let header = Header::default;
    let bytes =
        cose::sign1_untagged(&key, header(), header(), &[], Payload::Attached(&success)).unwrap();
    let lenient = Dialect { untagged: true, ..Dialect::default() };

    assert!(Sealed::decode(&bytes, &lenient).unwrap().open(&lenient, &keys).is_ok());
    assert_eq!(Sealed::decode(&bytes, &Dialect::default()).unwrap_err(), Rejected::NotSigned);
    let bare = Sealed::decode(&success, &lenient);
    assert_eq!(bare.unwrap_err(), Rejected::NotSigned);
}

/// What a hostile Broker may do next.
#[derive(Clone, Debug)]
enum Move {
    /// An empty request: a QueryRequest joins what the Broker has.
    Connect { known: bool },
    /// A new session at the Agent.
    Session,
    /// Any message to the Agent, in any session.
    ToAgent { message: prop::sample::Index, session: prop::sample::Index },
    /// Any message to the TAM.
    ToTam { message: prop::sample::Index },
    /// Time passes.
    Wait { seconds: i64 },
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let index = any::<prop::sample::Index>;
    let next = prop_oneof![
        1 => any::<bool>().prop_map(|known| Move::Connect { known }),
        1 => Just(Move::Session),
        4 => (index(), index()).prop_map(|(message, session)| Move::ToAgent { message, session }),
        4 => index().prop_map(|message| Move::ToTam { message }),
        1 => (0..400_i64).prop_map(|seconds| Move::Wait { seconds }),
    ];
    prop::collection::vec(next, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    //= teep 15.116: a Broker that drops, delays, duplicates and reorders leads to no wrong state
    #[test]
    fn whatever_the_broker_does_is_denial_of_service_at_most(moves in moves()) {
        let mut tam = TamShell::new();
        tam.packages = (1..=8).rev().map(|n| ta("planner", n, &tam.owner)).collect();
        let mut agent = AgentShell::new(Suite::Esp256, &mut tam);
        let mut handles = vec![agent.session()];
        let mut wire: Vec<Vec<u8>> = Vec::new();
        let mut updates = 0;

        for next in moves {
            match next {
                Move::Connect { known } => {
                    let peer = tam.agents.values().next().map(|(_, peer)| *peer);
                    let purpose = match peer.filter(|_| known) {
                        Some(agent) => Purpose::Manage { agent },
                        None => STRANGER,
                    };
                    wire.push(tam.connect(purpose));
                }
                Move::Session => handles.push(agent.session()),
                Move::ToAgent { message, session } if !wire.is_empty() => {
                    let (bytes, handle) = (message.get(&wire).clone(), *session.get(&handles));
                    wire.extend(agent.receive(handle, &bytes).ok().flatten());
                }
                Move::ToTam { message } if !wire.is_empty() => {
                    let bytes = message.get(&wire).clone();
                    if let Ok(answer) = tam.receive(&bytes) {
                        updates += usize::from(kind(&answer) == Kind::Update);
                        wire.push(answer);
                    }
                }
                Move::Wait { seconds } => {
                    tam.now = tam.now.after(seconds);
                    agent.now = agent.now.after(seconds);
                    tam.exchanges.forget(tam.now);
                }
                Move::ToAgent { .. } | Move::ToTam { .. } => {}
            }
            prop_assert!(agent.changes <= updates);
            prop_assert!(installations(&tam) <= agent.changes);
            prop_assert!(tam.exchanges.len() <= teep::limits::EXCHANGES_PER_AGENT);
        }

        tam.packages.push(ta("planner", 100, &tam.owner));
        let before = installations(&tam);
        session(&mut tam, &mut agent, STRANGER);
        prop_assert!(installations(&tam) > before);
        prop_assert_eq!(agent.installed.values().copied().max(), Some(100));
    }
}
