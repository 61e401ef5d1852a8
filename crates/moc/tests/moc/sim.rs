//! A simulated device: the Agent's real session machine over software keys, with a Broker that
//! does as it is told.

use std::borrow::Cow;

use api::{DeviceAdded, Wake};
use cose::{Algorithm, Curve, Key, Signer as _};
use emulator::{
    Misbehaviour,
    family::{
        Family as _,
        sgx::{MEDIA_TYPE, Machine, Measurement},
    },
};
use keys::{AgreementKey, SigningKey, SystemEntropy};
use rats::{
    binding::{Binding, BoundQuote},
    eat::{
        Claims, Confirmation, Instance, InstanceType, ManifestId, SessionKeys, Submods, TaEntry,
    },
    evidence::{AGENT_PROFILE, Evidence, Hardware},
    nonce::Nonce,
};
use reqwest::Method;
use suit::{
    ComponentId, Digest, Envelope, Hint as SuitHint, Parameter,
    parameter::CustomValue,
    report::{Conclusion, Entry, Properties, Reason, Record, Reference, Report, protect},
};
use teep::{
    AttestationPayload, Fresh, Numbering, Present, RequestedTc, SuitCoseProfile, Suite,
    SystemProperties, Timestamp,
    agent::{Agent, Collected, Config, Effect, Handle, Outcome, TamUri, Wanted},
    confidential::Confidentiality,
    envelope::{Hint, NoKey, PeerKey, Signers, Standing},
};

use crate::{
    audience::{Answer, Caller, send},
    bench::{Bench, PROGRAM, SETTINGS},
};

pub(crate) struct Sim {
    pub(crate) broker: Caller,
    pub(crate) name: String,
    pub(crate) keys: AgentKeys,
    /// Every message that this device sent.
    pub(crate) sent: Vec<Vec<u8>>,
    /// Whether the SUIT processor fails.
    pub(crate) broken: bool,
    pub(crate) installed: Vec<Installed>,
    /// Whether it renews without a quote when the TAM asks for that; others do not know it.
    pub(crate) renews: bool,
    /// How often Evidence had a quote.
    pub(crate) quotes: u64,
    /// Whom alone the Evidence is readable for.
    pub(crate) confidant: Option<Key>,
    agent: Agent,
    machine: Machine,
    tam_keys: Vec<Key>,
    now: Timestamp,
    quote_at: jiff::Timestamp,
}

pub(crate) struct AgentKeys {
    pub(crate) teep: SigningKey,
    /// The certificates of that key.
    pub(crate) chain: Vec<Vec<u8>>,
    evidence: SigningKey,
    report: SigningKey,
    pub(crate) receipt: SigningKey,
    service: SigningKey,
}

pub(crate) struct Installed {
    component: ComponentId,
    manifest: ManifestId,
}

impl AgentKeys {
    pub(crate) fn generate(algorithm: Algorithm) -> Self {
        let esp256 = || SigningKey::generate(Algorithm::Esp256).unwrap();
        Self {
            teep: SigningKey::generate(algorithm).unwrap(),
            chain: Vec::new(),
            evidence: esp256(),
            report: esp256(),
            receipt: esp256(),
            service: esp256(),
        }
    }
}

impl Signers for AgentKeys {
    fn signer(&self, suite: Suite) -> Option<&dyn cose::Signer> {
        (self.teep.algorithm() == suite.algorithm()).then_some(&self.teep as &dyn cose::Signer)
    }

    fn x5chain(&self, _suite: Suite) -> &[Vec<u8>] {
        &self.chain
    }
}

impl Sim {
    pub(crate) fn new(bench: &Bench, added: &DeviceAdded) -> Self {
        Self::with(bench, added, Misbehaviour::None, Algorithm::Esp256)
    }

    pub(crate) fn with(
        bench: &Bench,
        added: &DeviceAdded,
        misbehaviour: Misbehaviour,
        algorithm: Algorithm,
    ) -> Self {
        Self::speaking(bench, added, misbehaviour, algorithm, Numbering::V26)
    }

    /// A device with the code points of older drafts.
    pub(crate) fn legacy(bench: &Bench, added: &DeviceAdded) -> Self {
        let numbering = Numbering::Legacy18;
        Self::speaking(bench, added, Misbehaviour::None, Algorithm::Esp256, numbering)
    }

    fn speaking(
        bench: &Bench,
        added: &DeviceAdded,
        misbehaviour: Misbehaviour,
        algorithm: Algorithm,
        numbering: Numbering,
    ) -> Self {
        let state = bench.dir.path().join(format!("device-{}", added.device));
        let measurement = Measurement::of(PROGRAM, SETTINGS).unwrap();
        let now = bench.now();
        let machine =
            Machine::start(&bench.vendor_dir(), &state, measurement, misbehaviour, now).unwrap();
        let own = ComponentId::new([b"TEEP-Agent"]).unwrap();
        let digest = Digest::sha256(cose::sha256(PROGRAM)).encode();
        let tam = TamUri::new("http://moc.example/tam").unwrap();
        let mut config = Config::new(SystemProperties::measured(own, &digest), vec![tam]);
        config.suites = vec![Suite::from_algorithm(algorithm).unwrap()];
        config.dialect.numbering = numbering;
        Self {
            broker: bench.caller(&added.token),
            name: added.device.clone(),
            keys: AgentKeys::generate(algorithm),
            sent: Vec::new(),
            broken: false,
            installed: Vec::new(),
            renews: true,
            quotes: 0,
            confidant: None,
            agent: Agent::new(config).unwrap(),
            machine,
            tam_keys: bench.moc.tam().keys().public().into_iter().cloned().collect(),
            now: Timestamp(now.as_second()),
            quote_at: now,
        }
    }

    /// From here on the hardware has this fault, or none.
    pub(crate) fn misbehave(&mut self, bench: &Bench, misbehaviour: Misbehaviour) {
        let state = bench.dir.path().join(format!("device-{}", self.name));
        let measurement = Measurement::of(PROGRAM, SETTINGS).unwrap();
        self.machine =
            Machine::start(&bench.vendor_dir(), &state, measurement, misbehaviour, bench.now())
                .unwrap();
    }

    /// Follows a restart of the M/OC.
    pub(crate) fn follow(&mut self, bench: &Bench) {
        self.broker = self.broker.clone().at(&bench.url);
    }

    pub(crate) async fn wake(&self) -> Option<Wake> {
        let answer = self.broker.get(&api::path::wake(&self.name)).await;
        match answer.status {
            204 => None,
            _ => Some(answer.expect(200)),
        }
    }

    /// Waits for work and does it, as a Broker would.
    pub(crate) async fn work(&mut self) -> Wake {
        let wake = self.wake().await.expect("there is work");
        let ticket = wake.ticket.clone().unwrap();
        let wanted = wake.load.as_ref().map(|parts| {
            let parts: Vec<Vec<u8>> = parts.iter().map(|part| unhex(part)).collect();
            ComponentId::new(parts).unwrap()
        });
        let handle = match wanted {
            Some(component) => self.request_ta(component),
            None => self.policy_check(),
        };
        self.session(handle, &api::path::tam_ticket(&ticket)).await;
        wake
    }

    pub(crate) fn policy_check(&mut self) -> Handle {
        loop {
            let effects = self.agent.request_policy_check(self.now);
            if let Some(handle) = contact(&effects) {
                return handle;
            }
        }
    }

    pub(crate) fn request_ta(&mut self, component: ComponentId) -> Handle {
        let wanted = RequestedTc { component, present: Present::Nothing };
        let effects = self.agent.request_ta(self.now, wanted, None, false).unwrap();
        contact(&effects).unwrap()
    }

    /// A whole session over HTTP.
    pub(crate) async fn session(&mut self, handle: Handle, path: &str) {
        let mut answer = self.post(path, Vec::new()).await;
        while answer.status == 200 {
            let Some(message) = self.process(handle, &answer.body) else { return };
            answer = self.post(path, message).await;
        }
        assert_eq!(answer.status, 204);
    }

    /// One TEEP message, or none, to the TAM.
    pub(crate) async fn post(&self, path: &str, message: Vec<u8>) -> Answer {
        let mut request = self.broker.request(Method::POST, path);
        request = request.header("accept", "application/teep+cbor");
        if !message.is_empty() {
            request = request.header("content-type", "application/teep+cbor").body(message);
        }
        send(request).await
    }

    /// What the Agent says to a message of the TAM.
    pub(crate) fn process(&mut self, handle: Handle, message: &[u8]) -> Option<Vec<u8>> {
        let tam_keys = self.tam_keys.clone();
        let anchors = move |hint: &Hint<'_>| {
            let found = tam_keys.iter().find(|key| Some(key.thumbprint()) == hint.thumbprint());
            let key = found.ok_or(NoKey::Unknown)?.clone();
            Ok(PeerKey { key, standing: Standing::Anchored, valid_until: None })
        };
        let fresh = Fresh::draw(&mut SystemEntropy);
        let effects =
            self.agent.process_teep_message(self.now, fresh, handle, message, &anchors).unwrap();
        let mut waiting = std::collections::VecDeque::from(effects);
        let mut answer = None;
        while let Some(effect) = waiting.pop_front() {
            match effect {
                Effect::Send(outgoing) => answer = Some(outgoing.seal(&self.keys).unwrap()),
                Effect::Collect(wanted) => {
                    let collected = self.collect(&wanted);
                    waiting.extend(self.agent.collected(self.now, handle, collected).unwrap());
                }
                Effect::Install { manifests, nonce, profile, .. } => {
                    let nonce = nonce.map(|nonce| nonce.as_bytes().to_vec());
                    let outcomes: Vec<_> = manifests
                        .iter()
                        .map(|manifest| self.install(manifest, nonce.as_deref(), profile))
                        .collect();
                    waiting.extend(self.agent.installed(self.now, handle, outcomes).unwrap());
                }
                Effect::Unlink { .. } => {
                    waiting.extend(self.agent.unlinked(self.now, handle, Ok(())).unwrap());
                }
                Effect::Persist(_) | Effect::Passport(_) | Effect::Failed { .. } => {}
                Effect::Contact { .. } | Effect::AppraiseTam { .. } => panic!("not asked for"),
            }
        }
        self.sent.extend(answer.clone());
        answer
    }

    fn collect(&mut self, wanted: &Wanted) -> Collected<'static> {
        let evidence = wanted.attestation.as_ref().map(|asked| {
            let challenge = asked.challenge.as_ref().unwrap();
            let alone = asked.renewal && self.renews;
            self.quotes += u64::from(!alone);
            let evidence = match alone {
                true => self.renewal(challenge),
                false => self.evidence(challenge),
            };
            let payload = AttestationPayload::new(api::media::CMW, evidence);
            let Some(receiver) = &self.confidant else { return payload };
            let ephemeral = AgreementKey::generate(Curve::P256).unwrap();
            let profile = wanted.profile.unwrap();
            let confidentiality = Confidentiality { receiver, profile };
            confidentiality.payload(&payload, &ephemeral, &mut SystemEntropy).unwrap()
        });
        Collected { evidence, components: Vec::new(), reports: Vec::new() }
    }

    /// The Agent's layer alone, over a quote that the asker has.
    fn renewal(&self, challenge: &[u8]) -> Vec<u8> {
        let eat = rats::eat::sign(&self.claims(challenge), &self.keys.evidence).unwrap();
        Evidence { eat, hardware: None }.encode()
    }

    /// From here on the Agent signs its claims with another key, as after a restart.
    pub(crate) fn change_evidence_key(&mut self) {
        self.keys.evidence = SigningKey::generate(Algorithm::Esp256).unwrap();
    }

    fn claims(&self, challenge: &[u8]) -> Claims {
        let nonce = Nonce::new(challenge).unwrap();
        let mut submods = Submods::default();
        for installed in &self.installed {
            submods.insert_ta(self.entry(installed));
        }
        Claims {
            eat_profile: Some(AGENT_PROFILE.into()),
            eat_nonce: Some(nonce),
            cnf: Some(Confirmation::Key(self.keys.teep.key().clone())),
            session_keys: Some(SessionKeys {
                report: self.keys.report.key().clone(),
                receipt: self.keys.receipt.key().clone(),
                payload: None,
            }),
            submods,
            ..Claims::default()
        }
    }

    /// Both layers of Evidence.
    pub(crate) fn evidence(&mut self, challenge: &[u8]) -> Vec<u8> {
        let nonce = Nonce::new(challenge).unwrap();
        let claims = self.claims(challenge);
        let eat = rats::eat::sign(&claims, &self.keys.evidence).unwrap();
        let digest = cose::sha256(&claims.encode());
        let key = self.keys.evidence.key().clone();
        let binding = Binding { challenge: nonce, key, claims: Some(digest) };
        let quote = self.machine.quote(self.quote_at, &binding.report_data()).unwrap();
        let bound = BoundQuote { quote: quote.evidence, binding: binding.encode() };
        let hardware = Some(Hardware {
            media_type: MEDIA_TYPE.into(),
            bound,
            endorsements: None,
            runtime_log: None,
        });
        Evidence { eat, hardware }.encode()
    }

    fn entry(&self, installed: &Installed) -> TaEntry {
        TaEntry {
            service_key: self.keys.service.key().clone(),
            receivers: Vec::new(),
            instance: Instance {
                kind: InstanceType::Process,
                isolation: vec!["seccomp".into()],
                submodule: Some("wasmtime".into()),
                image: None,
            },
            manifest: installed.manifest.clone(),
            swname: installed.component.name().map(ToOwned::to_owned),
            manifests: Vec::new(),
        }
    }

    /// Authenticates an envelope and reports that everything in it is in place.
    fn install(
        &mut self,
        bytes: &[u8],
        nonce: Option<&[u8]>,
        profile: Option<SuitCoseProfile>,
    ) -> Outcome<'static> {
        let anchors = |hint: &SuitHint<'_>| hint.key.cloned();
        let envelope = Envelope::decode(bytes).unwrap();
        let verified = envelope.authenticate(&anchors, &cose::Accept::CURRENT).unwrap();
        let manifest = verified.manifest();
        let component = manifest.common.components[0].clone();
        let is_pd = component.name().is_some_and(|name| name.ends_with(".pd"));
        let result = match self.broken {
            false => Conclusion::Success,
            true => Conclusion::Failure {
                code: 3,
                record: Record { section: 20, ..Record::default() },
                reason: Reason::ConditionFailed,
            },
        };
        let records = match is_pd {
            true => vec![Entry::Properties(component.clone(), self.receipt())],
            false => Vec::new(),
        };
        if !is_pd && !component.is_in_ree() && !self.broken {
            let manifest = ManifestId {
                component_id: manifest.identity().parts().to_vec(),
                digest: verified.digest().bytes().try_into().unwrap(),
                sequence_number: manifest.sequence_number,
            };
            self.installed.push(Installed { component: component.clone(), manifest });
        }
        let report = Report {
            reference: Reference { uri: String::new(), digest: verified.digest() },
            nonce: nonce.map(<[u8]>::to_vec),
            records,
            result,
            capability: None,
        };
        let report = match &self.confidant {
            None => protect(&report, &self.keys.report).unwrap(),
            Some(receiver) => {
                let ephemeral = AgreementKey::generate(Curve::P256).unwrap();
                let to_tam = Confidentiality { receiver, profile: profile.unwrap() };
                let sealed =
                    to_tam.report(&report, &self.keys.report, &ephemeral, &mut SystemEntropy);
                sealed.unwrap()
            }
        };
        let components = if self.broken { Vec::new() } else { vec![component] };
        Outcome { installed: !self.broken, report: Some(Cow::Owned(report)), components }
    }

    fn receipt(&self) -> Properties {
        let receipt = cose::sign1(
            &self.keys.receipt,
            cose::Header::default(),
            cose::Header::default(),
            &[],
            cose::Payload::Attached(b"opened"),
        )
        .unwrap();
        Properties::new().with(&Parameter::Custom(-75810, CustomValue::Bytes(&receipt)))
    }
}

fn contact(effects: &[Effect<'_>]) -> Option<Handle> {
    effects.iter().find_map(|effect| {
        let Effect::Contact { handle, .. } = effect else { return None };
        Some(*handle)
    })
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
