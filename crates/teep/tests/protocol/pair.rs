//! A TAM and an Agent with their shells, in memory: keys, store, Verifier, SUIT and a device.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use cose::{Accept, Curve, Key, Sign1, Signer as _, Tagging, Thumbprint};
use keys::{AgreementKey, SigningKey, SystemEntropy};
use suit::build::Built;
use suit::{Anchors, Envelope};
use teep::agent::{self, Agent, Collected, Handle, Outcome, TamUri};
use teep::appraisal::{Appraisal, NotAttested, Verdict};
use teep::confidential::Confidentiality;
use teep::envelope::{Dialect, Hint, NoKey, PeerKey, Rejected, Sealed, Standing};
use teep::tam::{
    self, Appraise, Config, Decision, Exchange, Exchanges, Peer, Purpose, Session, Tam, Work,
    correlate,
};
use teep::{
    AttestationPayload, ChallengeKey, ComponentId, ErrCode, Message, Misbehaved, Numbering,
    SuitCoseProfile, Suite, SystemProperties, Timestamp, Token,
};

use crate::support::{
    CMW, Draws, MessageKeys, NOW, evidence, new_key, relayed, report, signed_report, ta,
};

/// A TAM with its shell.
pub(crate) struct TamShell {
    pub(crate) tam: Tam,
    pub(crate) keys: MessageKeys,
    pub(crate) dialect: Dialect,
    pub(crate) exchanges: Exchanges,
    /// Agents that passed the appraisal.
    pub(crate) agents: BTreeMap<Thumbprint, (Key, Peer)>,
    /// Keys whose Evidence is authentic.
    pub(crate) attesters: Vec<Key>,
    /// Packages that wait to be placed, the next one last.
    pub(crate) packages: Vec<Built>,
    pub(crate) owner: SigningKey,
    pub(crate) log: Vec<Event>,
    pub(crate) now: Timestamp,
    draws: Draws,
}

/// What a TAM came to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Attested(Thumbprint),
    NotAttested(NotAttested),
    Installed { reports: usize },
    Refused(ErrCode),
}

/// Why a TAM has nothing to say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    Rejected(Rejected),
    Misbehaved(Misbehaved),
    Done,
}

impl TamShell {
    pub(crate) fn new() -> Self {
        Self::with(Config::new(ChallengeKey::new([1; 32])))
    }

    pub(crate) fn with(config: Config) -> Self {
        let owner = new_key();
        let suites = config.suites.clone();
        Self {
            tam: Tam::new(config),
            keys: MessageKeys::generate(),
            dialect: Dialect { suites, ..Dialect::default() },
            exchanges: Exchanges::default(),
            agents: BTreeMap::new(),
            attesters: Vec::new(),
            packages: vec![ta("planner", 1, &owner)],
            owner,
            log: Vec::new(),
            now: NOW,
            draws: Draws::new(),
        }
    }

    /// ProcessConnect.
    pub(crate) fn connect(&mut self, purpose: Purpose) -> Vec<u8> {
        let fresh = self.draws.draw();
        let effects = self.tam.process_connect(self.now, fresh, purpose, Vec::new()).unwrap();
        self.run(None, effects, &[]).unwrap()
    }

    /// ProcessTeepMessage.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Silence> {
        let sealed = Sealed::decode(bytes, &self.dialect).map_err(Silence::Rejected)?;
        let claimed = self.tam.claimed_key(&sealed, self.dialect.numbering);
        let keys = |hint: &Hint<'_>| {
            let thumbprint = hint.thumbprint().ok_or(NoKey::Unknown)?;
            let known = self.agents.get(&thumbprint).map(|(key, _)| key.clone());
            let standing = if known.is_some() { Standing::Anchored } else { Standing::Claimed };
            let key = known.or(claimed.clone().filter(|key| key.thumbprint() == thumbprint));
            Ok(PeerKey { key: key.ok_or(NoKey::Unknown)?, standing, valid_until: None })
        };
        let opened = sealed.open(&self.dialect, &keys).map_err(Silence::Rejected)?;
        let opened = self.tam.reveal(opened).map_err(Silence::Misbehaved)?;
        let correlation = correlate(&opened);
        let stored = self.exchanges.find(&correlation).map(Exchange::encode);
        let stored = stored.map(|bytes| Exchange::decode(&bytes).unwrap());
        let session = self.tam.resume(self.now, &correlation, stored);
        let mut session = session.map_err(Silence::Misbehaved)?;
        let fresh = self.draws.draw();
        let effects = session.process_teep_message(&self.tam, self.now, fresh, opened);
        let effects = effects.map_err(Silence::Misbehaved)?;
        let packages = self.packages.clone();
        self.run(Some(session), effects, &packages)
    }

    /// Runs effects in order, those that follow included.
    fn run<'b>(
        &mut self,
        mut session: Option<Session>,
        effects: Vec<tam::Effect<'b>>,
        packages: &'b [Built],
    ) -> Result<Vec<u8>, Silence> {
        let mut reply = Err(Silence::Done);
        let mut waiting = VecDeque::from(effects);
        while let Some(effect) = waiting.pop_front() {
            if let tam::Effect::Send(outgoing) = effect {
                if matches!(&outgoing.message, Message::Update(update) if update.err_code.is_none())
                {
                    self.packages.pop();
                }
                reply = Ok(outgoing.seal(&self.keys).unwrap());
                continue;
            }
            let more = self.run_one(session.as_mut(), effect, packages)?;
            more.into_iter().rev().for_each(|effect| waiting.push_front(effect));
        }
        reply
    }

    fn run_one<'b>(
        &mut self,
        session: Option<&mut Session>,
        effect: tam::Effect<'b>,
        packages: &'b [Built],
    ) -> Result<Vec<tam::Effect<'b>>, Silence> {
        let session = session.ok_or(Silence::Done);
        match effect {
            tam::Effect::Persist(record) => {
                self.exchanges.apply(record).map_err(Silence::Misbehaved)?;
            }
            tam::Effect::Appraise(appraise) => {
                let outcome = self.appraise(&appraise);
                return Ok(session?.appraised(&self.tam, outcome).unwrap());
            }
            tam::Effect::Attested { signer, agent } => {
                self.agents.insert(agent.key, (signer.key, agent));
                self.log.push(Event::Attested(agent.key));
            }
            tam::Effect::NotAttested(why) => self.log.push(Event::NotAttested(why)),
            tam::Effect::Decide(_) => {
                let manifests: Vec<_> =
                    packages.last().map(|built| relayed(built, &self.owner)).into_iter().collect();
                let decision = match manifests.is_empty() {
                    true => Decision::Nothing,
                    false => Decision::Update(Work { manifests, ..Work::default() }),
                };
                let fresh = self.draws.draw();
                return Ok(session?.decide(&self.tam, self.now, fresh, decision).unwrap());
            }
            tam::Effect::Installed { reports, .. } => {
                self.log.push(Event::Installed { reports: reports.len() });
            }
            tam::Effect::Dropped(_) => {}
            tam::Effect::Refused { code, .. } => self.log.push(Event::Refused(code)),
            tam::Effect::Connect(agent) => {
                let purpose = Purpose::Attest {
                    agent,
                    numbering: Numbering::V26,
                    user_nonce: None,
                    renewal: false,
                };
                let fresh = self.draws.draw();
                let effects = self.tam.process_connect(self.now, fresh, purpose, Vec::new());
                return Ok(effects.unwrap());
            }
            other => panic!("not expected here: {other:?}"),
        }
        Ok(Vec::new())
    }

    /// The Verifier: authentic Evidence passes.
    fn appraise(&self, appraise: &Appraise<'_>) -> Result<Appraisal, NotAttested> {
        let claimed = teep::evidence::peek(&appraise.payload.bytes);
        let mut record = minicbor::Decoder::new(&appraise.payload.bytes);
        let eat = record.array().and_then(|_| record.skip()).and_then(|()| record.bytes());
        let eat = Sign1::decode(eat.map_err(|_| NotAttested::Unsupported)?, Tagging::Either)
            .map_err(|_| NotAttested::Unsupported)?;
        let authentic =
            self.attesters.iter().any(|key| eat.verify(key, &Accept::CURRENT, &[]).is_ok());
        if !authentic {
            return Err(NotAttested::Untrusted);
        }
        Ok(Appraisal {
            nonce: claimed.nonce,
            recent: true,
            confirmation: claimed.key.map(|key| key.thumbprint()),
            verdict: Verdict::Passed,
        })
    }
}

/// An Agent with its shell and device.
pub(crate) struct AgentShell {
    pub(crate) agent: Agent,
    pub(crate) keys: MessageKeys,
    pub(crate) suite: Suite,
    pub(crate) attester: SigningKey,
    pub(crate) report_key: SigningKey,
    /// The TAM's key and a profile, where everything towards the TAM is encrypted.
    pub(crate) receiver: Option<(Key, SuitCoseProfile)>,
    /// Whether its reports bear the nonce of an earlier exchange.
    pub(crate) stale_reports: bool,
    /// TAM keys that are anchored.
    pub(crate) tams: Vec<Key>,
    /// Signers of Trusted Components that are anchored.
    pub(crate) owners: Vec<Key>,
    /// What is installed, with its sequence number.
    pub(crate) installed: BTreeMap<ComponentId, u64>,
    /// How often something was installed or removed.
    pub(crate) changes: usize,
    pub(crate) failures: Vec<ErrCode>,
    pub(crate) now: Timestamp,
    draws: Draws,
}

impl AgentShell {
    pub(crate) fn new(suite: Suite, tam: &mut TamShell) -> Self {
        let own = ComponentId::new([b"TEEP-Agent"]).unwrap();
        let uri = TamUri::new("https://tam.example/teep").unwrap();
        let own = SystemProperties::measured(own, b"digest");
        let mut config = agent::Config::new(own, vec![uri]);
        config.suites = vec![suite];
        let attester = new_key();
        tam.attesters.push(attester.key().clone());
        Self {
            agent: Agent::new(config).unwrap(),
            keys: MessageKeys::generate(),
            suite,
            attester,
            report_key: new_key(),
            receiver: None,
            stale_reports: false,
            tams: tam.keys.public(),
            owners: vec![tam.owner.key().clone()],
            installed: BTreeMap::new(),
            changes: 0,
            failures: Vec::new(),
            now: NOW,
            draws: Draws::new(),
        }
    }

    pub(crate) fn key(&self) -> &Key {
        match self.suite {
            Suite::Ed25519 => self.keys.ed25519.key(),
            Suite::Esp256 => self.keys.esp256.key(),
            Suite::MlDsa65 => self.keys.ml_dsa65.key(),
        }
    }

    /// The name of the key that signs its Evidence.
    pub(crate) fn attester_kid(&self) -> [u8; 32] {
        self.attester.key().thumbprint().0
    }

    /// Opens a session, as the Broker does for a policy check.
    pub(crate) fn session(&mut self) -> Handle {
        loop {
            for effect in self.agent.request_policy_check(self.now) {
                if let agent::Effect::Contact { handle, .. } = effect {
                    return handle;
                }
            }
        }
    }

    /// ProcessTeepMessage: the message for the TAM, if there is one.
    pub(crate) fn receive(
        &mut self,
        handle: Handle,
        bytes: &[u8],
    ) -> Result<Option<Vec<u8>>, Misbehaved> {
        let tams = self.tams.clone();
        let keys = crate::support::anchors(tams);
        let fresh = self.draws.draw();
        let effects = self.agent.process_teep_message(self.now, fresh, handle, bytes, &keys)?;
        Ok(self.run(handle, effects))
    }

    fn run(&mut self, handle: Handle, effects: Vec<agent::Effect<'_>>) -> Option<Vec<u8>> {
        let mut reply = None;
        for effect in effects {
            let more = match effect {
                agent::Effect::Collect(wanted) => {
                    let collected = self.collect(&wanted);
                    self.agent.collected(self.now, handle, collected).unwrap()
                }
                agent::Effect::Unlink { manifests, .. } => {
                    for manifest in manifests {
                        self.installed.remove(&manifest);
                        self.changes += 1;
                    }
                    self.agent.unlinked(self.now, handle, Ok(())).unwrap()
                }
                agent::Effect::Install { manifests, nonce, .. } => {
                    let outcomes =
                        manifests.iter().map(|bytes| self.install(bytes, nonce.as_ref())).collect();
                    self.agent.installed(self.now, handle, outcomes).unwrap()
                }
                agent::Effect::Send(outgoing) => {
                    reply = Some(outgoing.seal(&self.keys).unwrap());
                    Vec::new()
                }
                agent::Effect::Failed { code, .. } => {
                    self.failures.push(code);
                    Vec::new()
                }
                agent::Effect::Persist(_) | agent::Effect::Passport(_) => Vec::new(),
                other => panic!("not expected here: {other:?}"),
            };
            reply = self.run(handle, more).or(reply);
        }
        reply
    }

    fn collect(&self, wanted: &agent::Wanted) -> Collected<'static> {
        let challenge = wanted.attestation.as_ref().and_then(|wish| wish.challenge.as_ref());
        let evidence = challenge.map(|challenge| {
            let payload =
                AttestationPayload::new(CMW, evidence(challenge, self.key(), &self.attester));
            let Some((receiver, profile)) = &self.receiver else { return payload };
            assert_eq!(wanted.profile, Some(SuitCoseProfile::MANDATORY[0]));
            let to_tam = Confidentiality { receiver, profile: *profile };
            to_tam.payload(&payload, &ephemeral(), &mut SystemEntropy).unwrap()
        });
        let components = self
            .installed
            .keys()
            .map(|id| SystemProperties::measured(id.clone(), b"digest"))
            .collect();
        let report = wanted.reports.then(|| self.report(wanted.report_nonce.as_ref()));
        Collected { evidence, components, reports: report.into_iter().collect() }
    }

    fn report(&self, nonce: Option<&Token>) -> Cow<'static, [u8]> {
        let Some((receiver, profile)) = &self.receiver else {
            return signed_report(nonce, &self.report_key).into();
        };
        let to_tam = Confidentiality { receiver, profile: *profile };
        let stale = Token::new(b"an earlier one").unwrap();
        let nonce = if self.stale_reports { Some(&stale) } else { nonce };
        let report = suit::Report::decode(&report(nonce)).unwrap();
        let sealed = to_tam.report(&report, &self.report_key, &ephemeral(), &mut SystemEntropy);
        sealed.unwrap().into()
    }

    /// The SUIT processor: a manifest of an anchored signer, not older than what is there.
    //= teep 14.66 (M): the manifest's signer is checked independently of the TAM's signature
    //= teep 14.67 (M): an older sequence number is refused in a validly signed Update
    fn install(&mut self, envelope: &[u8], nonce: Option<&Token>) -> Outcome<'static> {
        let report = Some(self.report(nonce));
        let anchors =
            self.owners.iter().fold(Anchors::none(), |all, key| all.with_key(key.clone()));
        let verified = Envelope::decode(envelope)
            .and_then(|envelope| envelope.authenticate(&anchors, &Accept::CURRENT));
        let verified = match verified {
            Ok(verified) if suit::authority::owner_prefix(&verified).is_ok() => verified,
            Ok(_) | Err(_) => return Outcome { installed: false, report, components: Vec::new() },
        };
        let manifest = verified.manifest();
        let id = manifest.component_id.clone().unwrap();
        let newest = self.installed.get(&id).copied().unwrap_or(0);
        if manifest.sequence_number < newest {
            return Outcome { installed: false, report, components: Vec::new() };
        }
        self.installed.insert(id, manifest.sequence_number);
        self.changes += 1;
        Outcome { installed: true, report, components: manifest.common.components.clone() }
    }
}

/// A key pair for one message.
fn ephemeral() -> AgreementKey {
    AgreementKey::generate(Curve::P256).unwrap()
}

/// Passes messages to and fro until one side is silent.
pub(crate) fn session(
    tam: &mut TamShell,
    agent: &mut AgentShell,
    purpose: Purpose,
) -> Vec<Vec<u8>> {
    let handle = agent.session();
    let mut wire = vec![tam.connect(purpose)];
    while let Some(reply) = agent.receive(handle, wire.last().unwrap()).unwrap() {
        wire.push(reply);
        match tam.receive(wire.last().unwrap()) {
            Ok(bytes) => wire.push(bytes),
            Err(Silence::Done) => break,
            Err(silence) => panic!("{silence:?}"),
        }
    }
    wire
}

pub(crate) const STRANGER: Purpose = Purpose::Stranger { numbering: Numbering::V26 };
