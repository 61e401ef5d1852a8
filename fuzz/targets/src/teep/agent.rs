//! The Agent's session machine, driven by bytes through a shell in memory.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};

use cose::{Key, Signer as _, Thumbprint};
use teep::agent::{
    Agent, Attest, Cause, Collected, Config, Effect, Handle, NotUnlinked, Outcome, TamUri, Wanted,
};
use teep::appraisal::{Appraisal, NotAttested, Verdict};
use teep::envelope::{Dialect, Outgoing, Protection, open};
use teep::message::{DataItems, QueryRequest, Update};
use teep::{
    Challenge, CipherSuite, Fresh, Message, Numbering, Present, RequestedTc, SuitCoseProfile,
    Suite, SystemProperties, Timestamp, Token,
};

use super::{
    Ours, START, Theirs, anchors, chosen, component, config, evidence, peer, report, sealed_by,
};
use crate::known::{Draws, ED25519, ESP256, FOREIGN};
use crate::script::Script;

/// Whatever the REE brings, in whatever order: only an anchored TAM changes the device, the token
/// of an Update counts once even across restarts, and the shell is never told that it called wrong.
pub fn teep_agent(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let mut shell = Shell::new(script.byte());
    for _ in 0..STEPS {
        let Some(step) = script.step() else { break };
        shell.step(step, &mut script);
    }
}

/// The device around an Agent.
struct Shell {
    config: Config,
    agent: Agent,
    /// What was made durable last.
    memory: Option<Vec<u8>>,
    handles: Vec<Handle>,
    now: Timestamp,
    draws: Draws,
    wire: Vec<Vec<u8>>,
    /// Tokens of Updates that changed something, by the key of their TAM.
    spent: BTreeSet<(Thumbprint, Token)>,
    /// The anchored TAM that signed the message that is worked on.
    tam: Option<Thumbprint>,
}

impl Shell {
    fn new(choices: u8) -> Self {
        let mut config = config();
        config.attest_tam = choices & 1 != 0;
        config.lenient_challenge = choices & 2 != 0;
        config.silent_to_strangers = choices & 4 != 0;
        config.trusted_clock = choices & 8 != 0;
        let numbering = if choices & 16 != 0 { Numbering::Legacy18 } else { Numbering::V26 };
        let (legacy_algorithms, untagged) = (choices & 32 != 0, choices & 64 != 0);
        config.dialect = Dialect { numbering, legacy_algorithms, untagged, ..Dialect::default() };
        if choices & 128 != 0 {
            config.suites = vec![Suite::Ed25519];
        }
        Self {
            agent: Agent::new(config.clone()).expect("a usable configuration"),
            config,
            memory: None,
            handles: Vec::new(),
            now: START,
            draws: Draws::default(),
            wire: Vec::new(),
            spent: BTreeSet::new(),
            tam: None,
        }
    }

    fn fresh(&mut self) -> Fresh {
        Fresh::draw(&mut self.draws)
    }

    fn step(&mut self, step: u8, script: &mut Script<'_>) {
        match step % 11 {
            0 => {
                let effects = self.agent.request_policy_check(self.now);
                self.run_unasked(effects, script);
            }
            1 => self.request_ta(script),
            2 => {
                let manifest = component(if script.byte() & 1 == 0 { "a.suit" } else { "b.suit" });
                let tam = tam_uri(script.byte());
                let installed = script.byte() & 1 == 0;
                let declined = self.agent.unrequest_ta(self.now, manifest, tam, installed);
                self.run_unasked(declined.unwrap_or_default(), script);
            }
            3 => {
                let bytes = script.string();
                self.receive(bytes, script);
            }
            4 => {
                let (key, payload) = (script.byte(), script.string());
                let bytes = sealed_by(chosen(key), payload);
                self.receive(&bytes, script);
            }
            5 => self.receive_honest(script),
            6 => {
                let cause = match script.byte() {
                    0 => Cause::Unreachable,
                    code => Cause::Status(u16::from(code)),
                };
                let handle = self.handle(script);
                let effects = self.agent.process_error(self.now, handle, cause);
                self.run_unasked(effects, script);
            }
            7 => {
                self.now = self.now.after(i64::from(script.number()) - 600);
                self.agent.handle_timeout(self.now);
            }
            8 => {
                let handle = self.handle(script);
                self.agent.close(handle);
            }
            9 => self.restart(),
            _ => {
                let at = usize::from(script.byte()) % self.wire.len().max(1);
                if let Some(earlier) = self.wire.get(at).cloned() {
                    self.receive(&earlier, script);
                }
            }
        }
    }

    fn request_ta(&mut self, script: &mut Script<'_>) {
        let present = match script.byte() % 3 {
            0 => Present::Nothing,
            1 => Present::Manifest { sequence_number: u64::from(script.byte()) },
            _ => Present::Binary { sequence_number: u64::from(script.byte()) },
        };
        let name = if script.byte() & 1 == 0 { "a" } else { "b" };
        let wanted = RequestedTc { component: component(name), present };
        let (tam, installed) = (tam_uri(script.byte()), script.byte() & 1 != 0);
        let declined = self.agent.request_ta(self.now, wanted, tam, installed);
        self.run_unasked(declined.unwrap_or_default(), script);
    }

    /// Power loss: what was made durable is all there is.
    fn restart(&mut self) {
        self.handles.clear();
        self.agent = match &self.memory {
            Some(memory) => Agent::recall(self.config.clone(), memory),
            None => Ok(Agent::new(self.config.clone()).expect("a usable configuration")),
        }
        .expect("an Agent remembers what it stored");
    }

    fn handle(&self, script: &mut Script<'_>) -> Handle {
        let at = usize::from(script.byte()) % self.handles.len().max(1);
        self.handles.get(at).copied().unwrap_or(Handle(0))
    }

    /// What a TAM may well say.
    fn receive_honest(&mut self, script: &mut Script<'_>) {
        let (kind, token) = (script.byte(), Token::new(&[script.byte(); 16]).ok());
        let message = match kind & 0x0f {
            0 => query_request(DataItems::ATTESTATION.and(DataItems::TRUSTED_COMPONENTS), None),
            1 => query_request(DataItems::TRUSTED_COMPONENTS.and(DataItems::SUIT_REPORTS), token),
            2 => query_request(DataItems::EXTENSIONS, token),
            3 => query_request(DataItems(u64::from(script.number())), token),
            _ => Message::Update(Update {
                token,
                unneeded_manifest_list: vec![component("a.suit"); usize::from(kind >> 6)],
                manifest_list: vec![Cow::Borrowed(&[0xa0][..]); usize::from(kind >> 4 & 3)],
                ..Update::default()
            }),
        };
        let numbering = self.config.dialect.numbering;
        let protection = match script.byte() % 3 {
            0 => Protection::Sign(Suite::MANDATORY.to_vec()),
            1 => Protection::Sign1(Suite::Esp256),
            _ => Protection::Sign1(Suite::Ed25519),
        };
        let bytes = Outgoing { message, numbering, protection }.seal(&Theirs);
        self.receive(&bytes.expect("there is a key for each suite"), script);
    }

    fn receive(&mut self, bytes: &[u8], script: &mut Script<'_>) {
        self.wire.push(bytes.to_vec());
        let handle = self.handle(script);
        let known = anchors(tam_keys());
        let opened = open(bytes, &self.config.dialect, &known).ok();
        self.tam = opened.map(|opened| opened.signer().thumbprint);
        let foreign = anchors(vec![FOREIGN.key().clone()]);
        let by_foreign = open(bytes, &self.config.dialect, &foreign).is_ok();
        assert!(self.tam.is_none() || !by_foreign, "one signature, two keys");
        let (now, fresh) = (self.now, self.fresh());
        let effects = self.agent.process_teep_message(now, fresh, handle, bytes, &known);
        self.run(handle, effects.unwrap_or_default(), script);
        self.tam = None;
    }

    /// Effects of what no TAM asked for.
    fn run_unasked(&mut self, effects: Vec<Effect<'_>>, script: &mut Script<'_>) {
        self.tam = None;
        self.run(Handle(0), effects, script);
    }

    fn run(&mut self, handle: Handle, effects: Vec<Effect<'_>>, script: &mut Script<'_>) {
        let mut waiting = VecDeque::from(effects);
        while let Some(effect) = waiting.pop_front() {
            let more = self.run_one(handle, effect, script);
            more.into_iter().rev().for_each(|effect| waiting.push_front(effect));
        }
    }

    fn run_one<'b>(
        &mut self,
        handle: Handle,
        effect: Effect<'b>,
        script: &mut Script<'_>,
    ) -> Vec<Effect<'b>> {
        let now = self.now;
        match effect {
            Effect::Persist(memory) => {
                let recalled = Agent::recall(self.config.clone(), &memory);
                assert!(recalled.is_ok(), "an Agent stores what it cannot read");
                self.memory = Some(memory);
            }
            Effect::Contact { handle, message, .. } => {
                self.handles.push(handle);
                if let Some(message) = message {
                    self.send(&message);
                }
            }
            Effect::AppraiseTam { challenge, tam, .. } => {
                assert!(self.tam.is_some(), "Evidence of a stranger is appraised");
                let outcome = match script.byte() % 3 {
                    0 => Ok(Appraisal {
                        nonce: Some(challenge.as_bytes().to_vec()),
                        recent: true,
                        confirmation: Some(tam),
                        verdict: Verdict::Passed,
                    }),
                    _ => Err(NotAttested::Untrusted),
                };
                let fresh = self.fresh();
                let more = self.agent.tam_appraised(now, fresh, handle, outcome);
                return more.expect("an appraisal was asked for");
            }
            Effect::Collect(wanted) => {
                assert!(self.tam.is_some(), "a stranger is told what is installed");
                if script.byte() == BUSY {
                    return Vec::new();
                }
                let collected = collected(&wanted, script);
                let more = self.agent.collected(now, handle, collected);
                return more.expect("an inventory was asked for");
            }
            Effect::Unlink { .. } | Effect::Install { .. } => {
                return self.change(handle, effect, script);
            }
            Effect::Send(outgoing) => self.send(&outgoing),
            Effect::Passport(_) => assert!(self.tam.is_some(), "a result of a stranger"),
            Effect::Failed { .. } => assert!(self.tam.is_some(), "a stranger ends an exchange"),
        }
        Vec::new()
    }

    /// Only an anchored TAM changes the device, and each of its tokens only once.
    fn change<'b>(
        &mut self,
        handle: Handle,
        effect: Effect<'b>,
        script: &mut Script<'_>,
    ) -> Vec<Effect<'b>> {
        let tam = self.tam.expect("a stranger changes the device");
        let now = self.now;
        let more = match effect {
            Effect::Unlink { manifests, .. } => {
                let failure = NotUnlinked {
                    unlinked: usize::from(script.byte()) % manifests.len().max(1),
                    msg: "in use".into(),
                    reports: Vec::new(),
                };
                let outcome = if script.byte() & 1 == 0 { Ok(()) } else { Err(failure) };
                self.agent.unlinked(now, handle, outcome)
            }
            Effect::Install { manifests, nonce, .. } => {
                if let Some(token) = nonce {
                    assert!(self.spent.insert((tam, token)), "an Update is carried out twice");
                }
                let outcomes = manifests.iter().map(|_| Outcome {
                    installed: script.byte() & 1 == 0,
                    report: Some(report(nonce.as_ref())),
                    components: vec![component("a")],
                });
                let outcomes = outcomes.collect();
                self.agent.installed(now, handle, outcomes)
            }
            _ => unreachable!("only these change the device"),
        };
        more.expect("an outcome was asked for")
    }

    fn send(&self, outgoing: &Outgoing<'_>) {
        let bytes = outgoing.seal(&Ours).expect("there is a key for each suite");
        let ours = anchors(vec![ESP256.key().clone(), ED25519.key().clone()]);
        let dialect = Dialect { numbering: outgoing.numbering, ..Dialect::default() };
        let opened = open(&bytes, &dialect, &ours).expect("what is sent can be opened");
        assert_eq!(*opened.message(), outgoing.message, "a message changes on its way");
        match opened.message() {
            Message::QueryResponse(_) | Message::Success(_) | Message::Error(_) => {}
            message => panic!("an Agent sends a {:?}", message.kind()),
        }
    }
}

fn collected(wanted: &Wanted, script: &mut Script<'_>) -> Collected<'static> {
    let choice = script.byte();
    let attest = wanted.attestation.as_ref().filter(|_| choice & 1 == 0);
    let nonce = |attest: &Attest| attest.challenge.clone().unwrap_or_default();
    Collected {
        evidence: attest.map(|attest| evidence(&nonce(attest), ED25519.key())),
        components: vec![
            SystemProperties::measured(component("a"), b"digest");
            usize::from(wanted.components && choice & 2 == 0)
        ],
        reports: vec![
            report(wanted.report_nonce.as_ref());
            usize::from(wanted.reports && choice & 4 == 0)
        ],
    }
}

fn query_request(items: DataItems, token: Option<Token>) -> Message<'static> {
    let attests = items.contains(DataItems::ATTESTATION);
    Message::QueryRequest(QueryRequest {
        token: token.filter(|_| !attests),
        supported_freshness_mechanisms: None,
        challenge: Challenge::new([4; 64]).ok().filter(|_| attests),
        versions: Some(vec![0]),
        attestation_payload: None,
        suit_reports: Vec::new(),
        supported_teep_cipher_suites: CipherSuite::offers(&Suite::MANDATORY),
        supported_suit_cose_profiles: SuitCoseProfile::MANDATORY.to_vec(),
        data_item_requested: items,
        renewal: false,
    })
}

fn tam_keys() -> Vec<Key> {
    Suite::MANDATORY.map(|suite| peer(suite).key().clone()).to_vec()
}

fn tam_uri(choice: u8) -> Option<TamUri> {
    match choice % 3 {
        0 => None,
        1 => TamUri::new("https://tam.example/teep").ok(),
        _ => TamUri::new("https://stranger.example").ok(),
    }
}

const STEPS: usize = 24;
/// The device takes its time and does not answer.
const BUSY: u8 = 0xff;
