//! A device: the Agent's real session machine over software keys and an emulated SGX platform.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use cose::{Key, Signer as _, Thumbprint};
use emulator::family::Family as _;
use emulator::family::sgx::{MEDIA_TYPE, Machine};
use keys::{SigningKey, SystemEntropy};
use rats::binding::{Binding, BoundQuote};
use rats::eat::{Claims, Confirmation, SessionKeys};
use rats::evidence::{AGENT_PROFILE, Evidence, Hardware};
use rats::nonce::Nonce;
use suit::report::{Conclusion, Reference, Report, protect};
use suit::{ComponentId, Digest, Envelope, Hint as SuitHint};
use teep::agent::{Agent, Collected, Config, Effect, Handle, Outcome, TamUri};
use teep::envelope::{Hint, NoKey, PeerKey, Signers, Standing};
use teep::{AttestationPayload, Fresh, Present, RequestedTc, Suite, SystemProperties, Timestamp};

use super::wire::Wire;

pub(crate) struct Device {
    pub(crate) index: usize,
    pub(crate) teep: SigningKey,
    pub(crate) evidence: SigningKey,
    pub(crate) shared: Arc<Shared>,
}

/// What does not differ between devices, for the room that it takes.
pub(crate) struct Shared {
    pub(crate) platforms: Vec<Mutex<Machine>>,
    pub(crate) report: SigningKey,
    pub(crate) receipt: SigningKey,
    pub(crate) tam_keys: Vec<Key>,
    /// Who owns the Trusted Application.
    pub(crate) owner: Thumbprint,
}

impl Device {
    pub(crate) fn name(&self) -> String {
        format!("device-{:06}", self.index)
    }

    pub(crate) fn token(&self) -> String {
        format!("token-of-{}", self.name())
    }

    /// Asks for the Trusted Application, attests, and installs what comes.
    pub(crate) async fn install(&self, wire: &Wire) -> Result<()> {
        let component = ComponentId::new([self.shared.owner.0.as_slice(), b"ta"])?;
        let mut agent = self.agent()?;
        let wanted = RequestedTc { component, present: Present::Nothing };
        let effects = agent.request_ta(now(), wanted, None, false).map_err(|e| anyhow!("{e}"))?;
        let handle = contact(&effects).context("a session")?;
        let installed = self.session(wire, &mut agent, handle, api::path::TAM).await?;
        ensure!(installed, "the session ended without a manifest");
        Ok(())
    }

    /// Attests again, so that its lease goes on.
    pub(crate) async fn renew(&self, wire: &Wire) -> Result<()> {
        let mut agent = self.agent()?;
        let calls = [now(), now()].map(|now| agent.request_policy_check(now));
        let handle = calls.iter().find_map(|effects| contact(effects)).context("a session")?;
        self.session(wire, &mut agent, handle, api::path::TAM).await?;
        Ok(())
    }

    async fn session(
        &self,
        wire: &Wire,
        agent: &mut Agent,
        handle: Handle,
        path: &str,
    ) -> Result<bool> {
        let mut connection = wire.connect().await?;
        let (mut installed, mut said) = (false, Vec::new());
        while let Some(message) = connection.post(path, &said).await? {
            let (answer, was) = self.process(agent, handle, &message)?;
            installed |= was;
            let Some(answer) = answer else { break };
            said = answer;
        }
        Ok(installed)
    }

    fn agent(&self) -> Result<Agent> {
        let own = ComponentId::new([b"TEEP-Agent"])?;
        let digest = Digest::sha256(cose::sha256(b"agent")).encode();
        let tam = TamUri::new("https://moc.example/tam")?;
        let mut config = Config::new(SystemProperties::measured(own, &digest), vec![tam]);
        config.suites = vec![Suite::Esp256];
        Agent::new(config).map_err(|error| anyhow!("{error}"))
    }

    /// What the Agent says to a message of the TAM, and whether it has installed something.
    fn process(
        &self,
        agent: &mut Agent,
        handle: Handle,
        message: &[u8],
    ) -> Result<(Option<Vec<u8>>, bool)> {
        let anchors = |hint: &Hint<'_>| {
            let mut known = self.shared.tam_keys.iter();
            let found = known.find(|key| Some(key.thumbprint()) == hint.thumbprint());
            let key = found.ok_or(NoKey::Unknown)?.clone();
            Ok(PeerKey { key, standing: Standing::Anchored, valid_until: None })
        };
        let fresh = Fresh::deferred(|bytes| cose::Entropy::fill(&mut SystemEntropy, bytes));
        let effects = agent.process_teep_message(now(), fresh, handle, message, &anchors)?;
        let mut waiting = VecDeque::from(effects);
        let (mut answer, mut installed) = (None, false);
        while let Some(effect) = waiting.pop_front() {
            match effect {
                Effect::Send(outgoing) => answer = Some(outgoing.seal(self)?),
                Effect::Collect(wanted) => {
                    let asked = wanted.attestation.as_ref();
                    let challenge = asked.and_then(|asked| asked.challenge.as_ref());
                    let renewal = asked.is_some_and(|asked| asked.renewal);
                    let evidence = challenge
                        .map(|challenge| evidence(self, challenge, Some(renewal)))
                        .transpose()?
                        .map(|bytes| AttestationPayload::new(api::media::CMW, bytes));
                    let collected = Collected { evidence, ..Collected::default() };
                    waiting.extend(agent.collected(now(), handle, collected)?);
                }
                Effect::Install { manifests, nonce, .. } => {
                    let nonce = nonce.map(|nonce| nonce.as_bytes().to_vec());
                    let outcomes = manifests.iter().map(|one| self.outcome(one, nonce.clone()));
                    let outcomes = outcomes.collect::<Result<Vec<_>>>()?;
                    installed = true;
                    waiting.extend(agent.installed(now(), handle, outcomes)?);
                }
                Effect::Persist(_) | Effect::Passport(_) => {}
                other => bail!("not expected here: {other:?}"),
            }
        }
        Ok((answer, installed))
    }

    /// Reports that everything is in place.
    fn outcome(&self, bytes: &[u8], nonce: Option<Vec<u8>>) -> Result<Outcome<'static>> {
        let anchors = |hint: &SuitHint<'_>| hint.key.cloned();
        let envelope = Envelope::decode(bytes)?;
        let verified = envelope.authenticate(&anchors, &cose::Accept::CURRENT)?;
        let report = Report {
            reference: Reference { uri: String::new(), digest: verified.digest() },
            nonce,
            records: Vec::new(),
            result: Conclusion::Success,
            capability: None,
        };
        let report = protect(&report, &self.shared.report).map_err(|error| anyhow!("{error}"))?;
        let components = vec![verified.manifest().common.components[0].clone()];
        Ok(Outcome { installed: true, report: Some(Cow::Owned(report)), components })
    }
}

impl Signers for Device {
    fn signer(&self, suite: Suite) -> Option<&dyn cose::Signer> {
        (suite == Suite::Esp256).then_some(&self.teep)
    }
}

/// Evidence for a challenge: of both layers, or the Agent's alone where it renews.
pub(crate) fn evidence(
    device: &Device,
    challenge: &[u8],
    renewal: Option<bool>,
) -> Result<Vec<u8>> {
    let nonce = Nonce::new(challenge)?;
    let claims = Claims {
        eat_profile: Some(AGENT_PROFILE.into()),
        eat_nonce: Some(nonce.clone()),
        cnf: Some(Confirmation::Key(device.teep.key().clone())),
        session_keys: Some(SessionKeys {
            report: device.shared.report.key().clone(),
            receipt: device.shared.receipt.key().clone(),
            payload: None,
        }),
        ..Claims::default()
    };
    let eat = rats::eat::sign(&claims, &device.evidence).map_err(|error| anyhow!("{error}"))?;
    if renewal == Some(true) {
        return Ok(Evidence { eat, hardware: None }.encode());
    }
    let digest = cose::sha256(&claims.encode());
    let key = device.evidence.key().clone();
    let binding = Binding { challenge: nonce, key, claims: Some(digest) };
    let platforms = &device.shared.platforms;
    let mut platform =
        platforms[device.index % platforms.len()].lock().map_err(|_| anyhow!("a panic"))?;
    let quote = platform.quote(jiff::Timestamp::now(), &binding.report_data())?;
    let bound = BoundQuote { quote: quote.evidence, binding: binding.encode() };
    let media_type = MEDIA_TYPE.into();
    let hardware = Hardware { media_type, bound, endorsements: None, runtime_log: None };
    let hardware = Some(hardware);
    Ok(Evidence { eat, hardware }.encode())
}

fn contact(effects: &[Effect<'_>]) -> Option<Handle> {
    effects.iter().find_map(|effect| {
        let Effect::Contact { handle, .. } = effect else { return None };
        Some(*handle)
    })
}

fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_second())
}
