//! The TAM's session machine, driven by bytes through a shell in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::LazyLock;

use cose::{Accept, Key, Signer as _, Thumbprint};
use suit::authority::OwnerPrefix;
use suit::build::{self, Built, Compatibility, Ta};
use suit::{Anchors, Envelope, Uuid};
use teep::appraisal::{Appraisal, NotAttested, Verdict};
use teep::envelope::{Dialect, Hint, NoKey, PeerKey, Sealed, Standing};
use teep::message::{Error, QueryResponse, Success};
use teep::tam::{
    Appraise, Config, Decision, Effect, Exchange, Exchanges, Manifest, Peer, Purpose, Session, Tam,
    Work, correlate,
};
use teep::{
    Challenge, ChallengeKey, ErrCode, Fresh, Message, Misbehaved, Numbering, Suite,
    SystemProperties, Timestamp, Token, UserNonce,
};

use super::{Ours, START, chosen, component, evidence, peer, report, sealed_by};
use crate::known::{Draws, ED25519};
use crate::script::Script;

/// Whatever comes in, in whatever order: only Agents that passed are attested, an Update counts
/// once, what is sent was stored before, and the shell is never told that it called wrong.
pub fn teep_tam(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let mut shell = Shell::new(script.byte());
    for _ in 0..STEPS {
        let Some(step) = script.step() else { break };
        shell.step(step, &mut script);
    }
}

/// The store of a TAM, what it knows of Agents, and what was on the wire.
struct Shell {
    tam: Tam,
    dialect: Dialect,
    exchanges: Exchanges,
    agents: BTreeMap<Thumbprint, (Key, Peer)>,
    now: Timestamp,
    draws: Draws,
    /// What the last message sent wants back.
    token: Option<Token>,
    challenge: Option<Challenge>,
    /// What came in.
    wire: Vec<Vec<u8>>,
    updates: usize,
    installed: usize,
}

impl Shell {
    fn new(choices: u8) -> Self {
        let mut config = Config::new(ChallengeKey::new([1; 32]));
        config.lenient_lists = choices & 1 != 0;
        config.ask_extensions = choices & 2 != 0;
        if choices & 4 != 0 {
            config.former_challenge_keys = vec![ChallengeKey::new([2; 32])];
        }
        let numbering = if choices & 8 != 0 { Numbering::Legacy18 } else { Numbering::V26 };
        Self {
            tam: Tam::new(config),
            dialect: Dialect { numbering, ..Dialect::default() },
            exchanges: Exchanges::default(),
            agents: BTreeMap::new(),
            now: START,
            draws: Draws::default(),
            token: None,
            challenge: None,
            wire: Vec::new(),
            updates: 0,
            installed: 0,
        }
    }

    fn fresh(&mut self) -> Fresh {
        Fresh::draw(&mut self.draws)
    }

    fn step(&mut self, step: u8, script: &mut Script<'_>) {
        match step % 6 {
            0 => self.connect(script),
            1 => self.receive(script.string(), script),
            2 => {
                let (key, bound, payload) = (script.byte(), script.byte(), script.string());
                let payload = if bound & 1 == 0 { payload.to_vec() } else { self.bound(payload) };
                self.receive(&sealed_by(chosen(key), &payload), script);
            }
            3 => {
                let (key, kind) = (script.byte(), script.byte());
                let payload = self.honest(chosen(key), kind).encode(self.dialect.numbering);
                self.receive(&sealed_by(chosen(key), &payload), script);
            }
            4 => {
                self.now = self.now.after(i64::from(script.number()) - 600);
                self.exchanges.forget(self.now);
            }
            _ => {
                let at = usize::from(script.byte()) % self.wire.len().max(1);
                if let Some(earlier) = self.wire.get(at).cloned() {
                    self.receive(&earlier, script);
                }
            }
        }
    }

    fn connect(&mut self, script: &mut Script<'_>) {
        let known = self.agents.values().next().map(|(_, peer)| *peer);
        let purpose = match (script.byte() % 5, known) {
            (1, agent) => {
                let nonce = UserNonce::new(vec![5; 32]).ok().filter(|_| script.byte() & 1 != 0);
                let numbering = self.dialect.numbering;
                Purpose::Attest { agent, numbering, user_nonce: nonce, renewal: false }
            }
            (2, Some(agent)) => Purpose::Passport { agent },
            (3 | 4, Some(agent)) => Purpose::Manage { agent },
            _ => Purpose::Stranger { numbering: self.dialect.numbering },
        };
        let fresh = self.fresh();
        let effects = self.tam.process_connect(self.now, fresh, purpose, b"note".to_vec());
        let effects = effects.expect("the note is short");
        self.run(None, effects, script);
    }

    /// A message in which token and challenge are those that are waited for.
    fn bound(&self, payload: &[u8]) -> Vec<u8> {
        let numbering = self.dialect.numbering;
        let Ok(mut message) = Message::decode(payload, numbering) else { return payload.to_vec() };
        match &mut message {
            Message::QueryResponse(response) => response.token = self.token,
            Message::Success(success) => success.token = self.token,
            Message::Error(error) => {
                error.token = self.token;
                error.request_challenge = self.challenge.clone();
            }
            Message::QueryRequest(_) | Message::Update(_) => {}
        }
        message.encode(numbering)
    }

    /// What an Agent may well say now.
    fn honest(&self, key: &keys::SigningKey, kind: u8) -> Message<'static> {
        let challenge = self.challenge.as_ref().filter(|_| kind & 0x80 == 0);
        match kind & 0x7f {
            0 => Message::QueryResponse(QueryResponse {
                token: self.token,
                selected_version: Some(0),
                attestation_payload: challenge.map(|it| evidence(it.as_bytes(), key.key())),
                tc_list: Some(vec![SystemProperties::measured(component("TEEP-Agent"), b"digest")]),
                ext_list: Some(Vec::new()),
                ..QueryResponse::default()
            }),
            1 => Message::Success(Success {
                token: self.token,
                suit_reports: vec![report(self.token.as_ref())],
                ..Success::default()
            }),
            code => {
                let number = u64::from(code - 1);
                let code = ErrCode::from_number(number, self.dialect.numbering);
                let code = code.unwrap_or(ErrCode::PermanentError);
                let request_challenge = challenge.cloned();
                Message::Error(Error { request_challenge, ..Error::new(code, self.token, "no") })
            }
        }
    }

    fn receive(&mut self, bytes: &[u8], script: &mut Script<'_>) {
        self.wire.push(bytes.to_vec());
        let dialect = self.dialect.clone();
        let Ok(sealed) = Sealed::decode(bytes, &dialect) else { return };
        let claimed = sealed.claimed_key(dialect.numbering);
        let keys = |hint: &Hint<'_>| {
            let thumbprint = hint.thumbprint().ok_or(NoKey::Unknown)?;
            let known = self.agents.get(&thumbprint).map(|(key, _)| key.clone());
            let standing = if known.is_some() { Standing::Anchored } else { Standing::Claimed };
            let key = known.or(claimed.clone().filter(|key| key.thumbprint() == thumbprint));
            Ok(PeerKey { key: key.ok_or(NoKey::Unknown)?, standing, valid_until: None })
        };
        let Ok(opened) = sealed.open(&dialect, &keys) else { return };
        let correlation = correlate(&opened);
        let stored = self.exchanges.find(&correlation).map(|exchange| {
            let again = Exchange::decode(&exchange.encode()).expect("what is stored comes back");
            assert_eq!(again, *exchange, "an exchange changes in the store");
            again
        });
        let Ok(mut session) = self.tam.resume(self.now, &correlation, stored) else { return };
        let fresh = self.fresh();
        let effects = session.process_teep_message(&self.tam, self.now, fresh, opened);
        if let Ok(effects) = effects {
            self.run(Some(session), effects, script);
        }
    }

    fn run(
        &mut self,
        mut session: Option<Session>,
        effects: Vec<Effect<'_>>,
        script: &mut Script<'_>,
    ) {
        let mut waiting = VecDeque::from(effects);
        while let Some(effect) = waiting.pop_front() {
            match self.run_one(session.as_mut(), effect, script) {
                Ok(more) => more.into_iter().rev().for_each(|effect| waiting.push_front(effect)),
                // A replay: everything that follows is undone.
                Err(_) => return,
            }
        }
    }

    fn run_one<'b>(
        &mut self,
        session: Option<&mut Session>,
        effect: Effect<'b>,
        script: &mut Script<'_>,
    ) -> Result<Vec<Effect<'b>>, Misbehaved> {
        let now = self.now;
        let asked = "only a session asks";
        match effect {
            Effect::Persist(record) => self.exchanges.apply(record)?,
            Effect::Appraise(appraise) => {
                return Ok(self.appraise(&appraise, session.expect(asked), script));
            }
            Effect::Attested { .. } => panic!("an Agent is attested without an appraisal"),
            Effect::Decide(_) => {
                let decision = self.decision(script);
                let fresh = self.fresh();
                let more = session.expect(asked).decide(&self.tam, now, fresh, decision);
                return Ok(more.expect("a decision was asked for"));
            }
            Effect::Repair(_) => {
                let manifests = if script.byte() & 1 == 0 { vec![manifest()] } else { Vec::new() };
                let fresh = self.fresh();
                let more = session.expect(asked).repair(&self.tam, now, fresh, manifests);
                return Ok(more.expect("a repair was asked for"));
            }
            Effect::Attest(challenge) => {
                let nonce = challenge.as_ref().map_or(&[9; 32][..], Challenge::as_bytes);
                let payload = (script.byte() & 1 == 0).then(|| evidence(nonce, ED25519.key()));
                let fresh = self.fresh();
                let session = session.expect(asked);
                let more = session.attested(&self.tam, now, fresh, payload, Vec::new());
                return Ok(more.expect("an attestation was asked for"));
            }
            Effect::Connect(agent) => {
                let purpose = match agent {
                    Some(agent) => Purpose::Manage { agent },
                    None => Purpose::Stranger { numbering: self.dialect.numbering },
                };
                let fresh = self.fresh();
                let more = self.tam.process_connect(now, fresh, purpose, Vec::new());
                return Ok(more.expect("the note is empty"));
            }
            Effect::Installed { .. } => {
                self.installed += 1;
                assert!(self.installed <= self.updates, "an Update counts twice");
            }
            Effect::Send(outgoing) => self.send(&outgoing),
            Effect::NotAttested(_)
            | Effect::Refused { .. }
            | Effect::Requested { .. }
            | Effect::Dropped(_)
            | Effect::TimedOut => {}
        }
        Ok(Vec::new())
    }

    /// A Verifier that finds what the script says.
    fn appraise<'b>(
        &mut self,
        appraise: &Appraise<'_>,
        session: &mut Session,
        script: &mut Script<'_>,
    ) -> Vec<Effect<'b>> {
        let claimed = teep::evidence::peek(&appraise.payload.bytes);
        let choice = script.byte() % 8;
        let found = Appraisal {
            nonce: claimed.nonce.filter(|_| choice != 4),
            recent: choice != 5,
            confirmation: claimed.key.map(|key| key.thumbprint()).filter(|_| choice != 6),
            verdict: match choice {
                1 => Verdict::Failed,
                2 => Verdict::Repairable,
                _ => Verdict::Passed,
            },
        };
        let (passed, confirmed) = (found.verdict == Verdict::Passed, found.confirmation);
        let nonce = found.nonce.clone();
        let outcome = if choice == 3 { Err(NotAttested::Untrusted) } else { Ok(found) };
        let authentic = outcome.is_ok();
        let mut more = session.appraised(&self.tam, outcome).expect("an appraisal was asked for");
        if let Some(Effect::Attested { signer, agent }) = more.first() {
            assert!(authentic && passed, "attested although the appraisal did not pass");
            assert_eq!(confirmed, Some(signer.thumbprint), "attested with another key");
            let sent = appraise.challenge.as_ref().map(Challenge::as_bytes);
            assert!(sent.is_none() || sent == nonce.as_deref(), "attested by old Evidence");
            self.agents.insert(agent.key, (signer.key.clone(), *agent));
            more.remove(0);
        }
        more
    }

    fn decision(&self, script: &mut Script<'_>) -> Decision<'static> {
        match script.byte() % 5 {
            0 => Decision::Update(Work { manifests: vec![manifest()], ..Work::default() }),
            1 => Decision::Nothing,
            2 => Decision::Refuse { code: ErrCode::TemporaryError, msg: "later".into() },
            3 => Decision::Update(Work { unneeded: vec![component("a.suit")], ..Work::default() }),
            _ => {
                let result = Some(evidence(b"12345678", peer(Suite::Ed25519).key()));
                Decision::Update(Work { result, ..Work::default() })
            }
        }
    }

    fn send(&mut self, outgoing: &teep::envelope::Outgoing<'_>) {
        let sealed = outgoing.seal(&Ours).expect("there is a key for each suite");
        assert!(Sealed::decode(&sealed, &Dialect::default()).is_ok());
        self.token = outgoing.message.token();
        match &outgoing.message {
            Message::QueryRequest(request) => {
                self.challenge = request.challenge.clone();
                assert!(request.challenge.is_none() || request.token.is_none());
                if let Some(token) = request.token {
                    self.is_stored(token);
                }
            }
            Message::Update(update) => {
                if let (Some(token), None) = (update.token, update.err_code) {
                    self.updates += 1;
                    self.is_stored(token);
                }
            }
            message => panic!("a TAM sends a {:?}", message.kind()),
        }
    }

    fn is_stored(&self, token: Token) {
        let stored = self.exchanges.find(&teep::tam::Correlation::Token(token));
        assert!(stored.is_some(), "a token is sent before it is stored");
    }
}

/// A manifest whose owner answers for it.
fn manifest() -> Manifest<'static> {
    let anchors = Anchors::none().with_key(ED25519.key().clone());
    let envelope = Envelope::decode(&BUILT.envelope).expect("a built envelope");
    let verified = envelope.authenticate(&anchors, &Accept::CURRENT).expect("signed by its owner");
    Manifest::authorised(&verified, &OwnerPrefix).expect("the owner's own component")
}

static BUILT: LazyLock<Built> = LazyLock::new(|| {
    let uuid = Uuid::new(*b"\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x9a\x5a\x5a\x5a\x5a\x5a\x5a\x5a");
    let uuid = uuid.expect("a UUID of a known variant");
    let compatibility = Compatibility { vendor: uuid, class: uuid };
    let name = build::Name::new("planner").expect("a name");
    let payload = build::Payload::integrated(b"wasm");
    Ta::new(name, 1, compatibility, payload).sign(&*ED25519).expect("the owner signs")
});

const STEPS: usize = 24;
