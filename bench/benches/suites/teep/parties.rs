//! A TAM and an Agent with the shells that they need to speak: keys, a table of exchanges, and
//! a device that verifies the manifest.

use anyhow::{Context as _, Result, bail};
use cose::{Accept, Algorithm, Entropy as _, Key, Signer as _};
use keys::{SigningKey, SystemEntropy};
use suit::{Anchors, Envelope};
use teep::agent::{self, Agent, Collected, TamUri};
use teep::envelope::{Dialect, Hint, NoKey, PeerKey, Sealed, Signers, Standing};
use teep::tam::{
    Config, Decision, Effect, Exchange, Exchanges, Manifest, Peer, Purpose, Session, Tam, Work,
    correlate,
};
use teep::{ChallengeKey, ComponentId, Fresh, Numbering, Suite, SystemProperties, Timestamp};

use super::session::{Owner, relayed};

/// Both parties of a session.
pub(super) struct Pair<'m> {
    tam: TamShell<'m>,
    agent: AgentShell,
}

struct TamShell<'m> {
    tam: Tam,
    key: MessageKey,
    dialect: Dialect,
    exchanges: Exchanges,
    agent: (Key, Peer),
    manifest: Manifest<'m>,
}

struct AgentShell {
    agent: Agent,
    key: MessageKey,
    tam: Key,
    owners: Anchors,
}

impl<'m> Pair<'m> {
    pub(super) fn new(suite: Suite, owner: &'m Owner) -> Result<Self> {
        let [tam, agent] = [MessageKey::new(suite)?, MessageKey::new(suite)?];
        let own = SystemProperties::measured(ComponentId::new([b"TEEP-Agent"])?, b"digest");
        let uri = TamUri::new("https://tam.example/teep")?;
        let config = agent::Config { suites: vec![suite], ..agent::Config::new(own, vec![uri]) };
        let key = agent.key.key().clone();
        let peer = Peer { key: key.thumbprint(), suite, numbering: Numbering::V26 };
        let agent = AgentShell {
            agent: Agent::new(config)?,
            tam: tam.key.key().clone(),
            key: agent,
            owners: Anchors::none().with_key(owner.key.clone()),
        };
        let tam = TamShell {
            tam: Tam::new(Config::new(ChallengeKey::new([1; 32]))),
            key: tam,
            dialect: Dialect::default(),
            exchanges: Exchanges::default(),
            agent: (key, peer),
            manifest: relayed(owner)?,
        };
        Ok(Self { tam, agent })
    }

    pub(super) fn tam_key(&self) -> &SigningKey {
        &self.tam.key.key
    }

    pub(super) fn agent_key(&self) -> &SigningKey {
        &self.agent.key.key
    }

    /// Passes messages to and fro until the TAM is satisfied.
    pub(super) fn session(&mut self) -> Result<Vec<Vec<u8>>> {
        let handle = self.agent.open()?;
        let mut wire = Vec::with_capacity(4);
        let mut request = Some(self.tam.connect()?);
        while let Some(bytes) = request {
            let reply = self.agent.receive(handle, &bytes)?;
            request = self.tam.receive(&reply)?;
            wire.extend([bytes, reply]);
        }
        self.agent.agent.close(handle);
        Ok(wire)
    }
}

impl<'m> TamShell<'m> {
    fn connect(&mut self) -> Result<Vec<u8>> {
        let purpose = Purpose::Manage { agent: self.agent.1 };
        let effects = self.tam.process_connect(NOW, draw(), purpose, Vec::new())?;
        self.run(None, effects)?.context("a QueryRequest")
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>> {
        let sealed = Sealed::decode(bytes, &self.dialect)?;
        let opened = sealed.open(&self.dialect, &anchor(&self.agent.0))?;
        let correlation = correlate(&opened);
        // As it would come out of a database.
        let stored = self.exchanges.find(&correlation).map(Exchange::encode);
        let stored = stored.map(|bytes| Exchange::decode(&bytes)).transpose()?;
        let mut session = self.tam.resume(NOW, &correlation, stored)?;
        let effects = session.process_teep_message(&self.tam, NOW, draw(), opened)?;
        self.run(Some(session), effects)
    }

    fn run(
        &mut self,
        mut session: Option<Session>,
        effects: Vec<Effect<'_>>,
    ) -> Result<Option<Vec<u8>>> {
        let mut effects = effects;
        let mut reply = None;
        while !effects.is_empty() {
            let mut more = Vec::new();
            for effect in effects {
                match effect {
                    Effect::Persist(record) => self.exchanges.apply(record)?,
                    Effect::Decide(inventory) => {
                        let session = session.as_mut().context("a session")?;
                        let decision = self.decide(inventory.is_some());
                        more = session.decide(&self.tam, NOW, draw(), decision)?;
                    }
                    Effect::Installed { .. } => {}
                    Effect::Send(outgoing) => reply = Some(outgoing.seal(&self.key)?),
                    other => bail!("not expected here: {other:?}"),
                }
            }
            effects = more;
        }
        Ok(reply)
    }

    /// After a QueryResponse the package, after that nothing.
    fn decide(&self, asked: bool) -> Decision<'m> {
        if !asked {
            return Decision::Nothing;
        }
        Decision::Update(Work { manifests: vec![self.manifest.clone()], ..Work::default() })
    }
}

impl AgentShell {
    /// A session for a policy check: the Agent names its one TAM at every second call.
    fn open(&mut self) -> Result<agent::Handle> {
        let calls = [NOW, NOW].map(|now| self.agent.request_policy_check(now));
        let contact = calls.into_iter().flatten().find_map(|effect| match effect {
            agent::Effect::Contact { handle, .. } => Some(handle),
            _ => None,
        });
        contact.context("a session")
    }

    fn receive(&mut self, handle: agent::Handle, bytes: &[u8]) -> Result<Vec<u8>> {
        let keys = anchor(&self.tam);
        let mut effects = self.agent.process_teep_message(NOW, draw(), handle, bytes, &keys)?;
        let mut reply = None;
        while !effects.is_empty() {
            let mut more = Vec::new();
            for effect in effects {
                match effect {
                    agent::Effect::Collect(_) => {
                        let collected = Collected::default();
                        more = self.agent.collected(NOW, handle, collected)?;
                    }
                    agent::Effect::Install { manifests, .. } => {
                        let outcomes = manifests.iter().map(|bytes| self.install(bytes));
                        let outcomes = outcomes.collect::<Result<_>>()?;
                        more = self.agent.installed(NOW, handle, outcomes)?;
                    }
                    agent::Effect::Persist(_) => {}
                    agent::Effect::Send(outgoing) => reply = Some(outgoing.seal(&self.key)?),
                    other => bail!("not expected here: {other:?}"),
                }
            }
            effects = more;
        }
        reply.context("an answer")
    }

    /// Checks who answers for a manifest; what running it costs, the suite `suit` measures.
    fn install(&self, envelope: &[u8]) -> Result<agent::Outcome<'static>> {
        let verified = Envelope::decode(envelope)?.authenticate(&self.owners, &Accept::CURRENT)?;
        suit::authority::owner_prefix(&verified)?;
        Ok(agent::Outcome { installed: true, report: None, components: Vec::new() })
    }
}

/// The message key of one party.
struct MessageKey {
    suite: Suite,
    key: SigningKey,
}

impl MessageKey {
    fn new(suite: Suite) -> Result<Self> {
        let algorithm = match suite {
            Suite::Esp256 => Algorithm::Esp256,
            Suite::Ed25519 => Algorithm::Ed25519,
            Suite::MlDsa65 => Algorithm::MlDsa65,
        };
        Ok(Self { suite, key: SigningKey::generate(algorithm)? })
    }
}

impl Signers for MessageKey {
    fn signer(&self, suite: Suite) -> Option<&dyn cose::Signer> {
        (suite == self.suite).then_some(&self.key)
    }
}

/// The one key that is believed, found by its thumbprint.
fn anchor(key: &Key) -> impl Fn(&Hint<'_>) -> Result<PeerKey, NoKey> {
    let thumbprint = key.thumbprint();
    move |hint| {
        if hint.thumbprint() != Some(thumbprint) {
            return Err(NoKey::Unknown);
        }
        Ok(PeerKey { key: key.clone(), standing: Standing::Anchored, valid_until: None })
    }
}

fn draw() -> Fresh {
    Fresh::deferred(|bytes| SystemEntropy.fill(bytes))
}

const NOW: Timestamp = Timestamp(1_800_000_000);
