//! One device with its agent, and the parties around it: a TEE, a Broker, a TAM, an owner.

use std::borrow::Cow;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agent::attester::{Attester, Channel};
use agent::backend::Backend;
use agent::backend::process::ProcessBackend;
use agent::serve::Answer as _;
use agent::session::TeepAgent;
use agent::settings::Settings;
use agent::store::Folder;
use agent::ta::Applications;
use cose::encrypt::Opener;
use cose::{Accept, Agreement as _, Algorithm, Curve, Key, Signer as _, Thumbprint};
use device::broker::{Action, Reply, Request, Session};
use device::frame;
use device::tee::{self, Description, Quote, SealingKey};
use device::{ComponentId as DeviceId, Failure};
use keys::{AgreementKey, SigningKey, SystemEntropy};
use rats::eat::InstanceType;
use suit::build::{Built, Compatibility, Delivery, Name, Payload, Pd, Root, Ta, Ua, Uri};
use suit::report::{Conclusion, Opening, Report, unprotect_with};
use suit::{ComponentId, Uuid};
use teep::envelope::{
    self, Dialect, Hint, NoKey, Outgoing, PeerKey, Protection, Signers, Standing,
};
use teep::message::{DataItems, QueryRequest, QueryResponse, Update};
use teep::{Challenge, ErrCode, Fresh, Message, Numbering, SuitCoseProfile, Suite, Token};

/// A device that can be restarted.
pub(crate) struct Device {
    pub(crate) storage: tempfile::TempDir,
    pub(crate) agent: TeepAgent,
    settings: Settings,
    counter: Arc<AtomicU64>,
}

impl Device {
    /// A new device whose agent trusts this TAM.
    pub(crate) fn new(tam: &Tam) -> Self {
        Self::serving(&[tam])
    }

    /// A new device with the agent of several TAMs.
    pub(crate) fn serving(tams: &[&Tam]) -> Self {
        let storage = tempfile::tempdir().unwrap();
        let settings =
            tams[0].settings() + &tams[1..].iter().map(|tam| tam.entry()).collect::<String>();
        let settings = Settings::parse(settings.as_bytes()).unwrap();
        let counter = Arc::new(AtomicU64::new(0));
        let agent = start(&settings, storage.path(), &counter).unwrap();
        Self { storage, agent, settings, counter }
    }

    /// A new device over a TEE of the test's own.
    pub(crate) fn over(tam: &Tam, attester: Arc<dyn Attester>) -> Self {
        let storage = tempfile::tempdir().unwrap();
        let settings = Settings::parse(tam.settings().as_bytes()).unwrap();
        let agent = start_over(&settings, storage.path(), attester).unwrap();
        Self { storage, agent, settings, counter: Arc::default() }
    }

    /// The same device after a restart of its agent.
    pub(crate) fn restarted(self) -> Self {
        let Self { storage, agent, settings, counter } = self;
        drop(agent);
        let agent = start(&settings, storage.path(), &counter).unwrap();
        Self { storage, agent, settings, counter }
    }

    /// Tries to start the agent again on the same storage.
    pub(crate) fn try_restart(self) -> anyhow::Result<TeepAgent> {
        drop(self.agent);
        start(&self.settings, self.storage.path(), &self.counter)
    }

    pub(crate) fn ask(&self, request: Request) -> Reply {
        // As over the socket: what does not survive its encoding does not arrive.
        let request = device::Message::encode(&request);
        let request = <Request as device::Message>::decode(&request).unwrap();
        self.agent.answer(request)
    }

    pub(crate) fn failure(&self, request: Request) -> Failure {
        match self.ask(request) {
            Reply::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn session(&self, request: Request) -> Session {
        match self.ask(request) {
            Reply::Session(session) => session,
            other => panic!("{other:?}"),
        }
    }

    /// Gives the TAM's message to the agent in a session.
    pub(crate) fn tell(&self, session: u64, message: Vec<u8>) -> Session {
        self.session(Request::ProcessTeepMessage { session, message })
    }

    /// As if the Broker's connection had ended that opened this session.
    pub(crate) fn left(&self, session: u64) {
        self.agent.ended(&[session].into());
    }

    /// What the agent says about itself.
    pub(crate) fn description(&self) -> serde_json::Value {
        let Reply::Description(text) = self.ask(Request::Describe) else { panic!() };
        serde_json::from_str(&text).unwrap()
    }

    /// The state of an application by the agent's description.
    pub(crate) fn state(&self) -> String {
        let description = self.description();
        description["applications"][0]["state"].as_str().unwrap_or("none").to_owned()
    }
}

fn start(
    settings: &Settings,
    storage: &Path,
    counter: &Arc<AtomicU64>,
) -> anyhow::Result<TeepAgent> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let counter = Arc::clone(counter);
    std::thread::spawn(move || software_tee(theirs, &counter));
    start_over(settings, storage, Arc::new(Channel::open(ours).unwrap()))
}

fn start_over(
    settings: &Settings,
    storage: &Path,
    attester: Arc<dyn Attester>,
) -> anyhow::Result<TeepAgent> {
    let program = env!("CARGO_BIN_EXE_tamarack-agent");
    let backend: Arc<dyn Backend> = Arc::new(ProcessBackend::new(program, settings.limits));
    let backends = settings.instances.iter().map(|instance| (*instance, Arc::clone(&backend)));
    let applications = Arc::new(Applications::new(backends.collect()));
    let disk = Folder::open(storage)?;
    agent::start(settings.clone(), disk, attester, applications, [9; 32])
}

/// A TEE whose quotes say nothing but what they cover.
fn software_tee(mut stream: UnixStream, counter: &AtomicU64) {
    while let Ok(Some(request)) = frame::receive::<tee::Request>(&mut stream) {
        let reply = match request {
            tee::Request::Quote { report_data } => tee::Reply::Quote(Quote {
                media_type: rats::evidence::SGX_QUOTE.to_owned(),
                evidence: report_data.to_vec(),
                aux: None,
            }),
            tee::Request::SealingKey { label } => {
                tee::Reply::SealingKey(SealingKey::new(cose::sha256(label.as_bytes())))
            }
            tee::Request::CounterRead => {
                tee::Reply::Counter { value: counter.load(Ordering::SeqCst), rollable: true }
            }
            tee::Request::CounterIncrement => {
                let value = counter.fetch_add(1, Ordering::SeqCst) + 1;
                tee::Reply::Counter { value, rollable: true }
            }
            tee::Request::Extend { .. } | tee::Request::Read { .. } => {
                tee::Reply::failed(device::FailureCode::Unsupported, "no registers")
            }
            tee::Request::Describe => tee::Reply::Description(Description {
                family: "SGX".to_owned(),
                hwmodel: b"test".to_vec(),
                hwversion: "1".to_owned(),
                oemid: vec![0x22; 16],
                ueid: [&[1][..], &[0x11; 32]].concat(),
                interface: "test".to_owned(),
            }),
        };
        if frame::send(&mut stream, &reply).is_err() {
            return;
        }
    }
}

/// A TAM with one key.
pub(crate) struct Tam {
    pub(crate) uri: &'static str,
    pub(crate) key: SigningKey,
    /// What agents encrypt to, where they do.
    pub(crate) confidant: Option<Arc<AgreementKey>>,
    /// What it can open.
    pub(crate) profiles: Vec<SuitCoseProfile>,
    /// The authority by which agents know it, a certificate, where they do not by its key.
    pub(crate) root: Option<Vec<u8>>,
    /// The certificates of its key.
    pub(crate) chain: Vec<Vec<u8>>,
}

impl Tam {
    pub(crate) fn new() -> Self {
        Self {
            uri: URI,
            key: SigningKey::generate(Algorithm::Esp256).unwrap(),
            confidant: None,
            profiles: SuitCoseProfile::MANDATORY.to_vec(),
            root: None,
            chain: Vec::new(),
        }
    }

    /// A TAM that alone is to read what its agents tell.
    pub(crate) fn confidential() -> Self {
        let key = AgreementKey::generate(Curve::P256).unwrap();
        Self { confidant: Some(Arc::new(key)), ..Self::new() }
    }

    /// The settings of an agent that trusts this TAM.
    pub(crate) fn settings(&self) -> String {
        format!(
            "vendor_id = \"{VENDOR}\"\nclass_id = \"{CLASS}\"\n\
             [limits]\nmemory_mib = 4\ncall_ms = 2000\n{}",
            self.entry(),
        )
    }

    /// What of the settings is about this TAM.
    fn entry(&self) -> String {
        let key = |key: &Key| hex::encode(key.encode());
        let confidant = self.confidant.as_ref();
        let encryption =
            confidant.map(|confidant| format!("encryption_key = \"{}\"\n", key(confidant.key())));
        format!(
            "[[tam]]\nuri = \"{}\"\n{}{}",
            self.uri,
            match &self.root {
                Some(root) => format!("roots = \"\"\"\n{}\"\"\"\n", pem(root)),
                None => format!("keys = [\"{}\"]\n", key(self.key.key())),
            },
            encryption.unwrap_or_default(),
        )
    }

    pub(crate) fn query(&self, items: DataItems, challenge: Option<&[u8]>) -> (Token, Vec<u8>) {
        self.ask(items, challenge, false)
    }

    /// Asks for the agent layer alone.
    pub(crate) fn renewal(&self, challenge: &[u8]) -> (Token, Vec<u8>) {
        self.ask(DataItems::ATTESTATION, Some(challenge), true)
    }

    fn ask(&self, items: DataItems, challenge: Option<&[u8]>, renewal: bool) -> (Token, Vec<u8>) {
        let token = Fresh::draw(&mut SystemEntropy).into_token();
        let query = QueryRequest {
            token: Some(token),
            challenge: challenge.map(|bytes| Challenge::new(bytes).unwrap()),
            supported_freshness_mechanisms: None,
            versions: None,
            attestation_payload: None,
            suit_reports: Vec::new(),
            supported_teep_cipher_suites: Suite::MANDATORY
                .iter()
                .map(|suite| suite.offer())
                .collect(),
            supported_suit_cose_profiles: self.profiles.clone(),
            data_item_requested: items,
            renewal,
        };
        (token, self.seal(Message::QueryRequest(query)))
    }

    pub(crate) fn update(&self, manifests: &[&[u8]]) -> (Token, Vec<u8>) {
        let manifest_list = manifests.iter().map(|bytes| Cow::Borrowed(*bytes)).collect();
        self.update_of(Update { manifest_list, ..Update::default() })
    }

    pub(crate) fn update_of(&self, update: Update<'_>) -> (Token, Vec<u8>) {
        let token = Fresh::draw(&mut SystemEntropy).into_token();
        (token, self.seal(Message::Update(Update { token: Some(token), ..update })))
    }

    pub(crate) fn seal(&self, message: Message<'_>) -> Vec<u8> {
        let protection = Protection::Sign1(Suite::Esp256);
        Outgoing { message, numbering: Numbering::V26, protection }.seal(self).unwrap()
    }
}

impl Signers for Tam {
    fn signer(&self, suite: Suite) -> Option<&dyn cose::Signer> {
        (suite == Suite::Esp256).then_some(&self.key as &dyn cose::Signer)
    }

    fn x5chain(&self, _suite: Suite) -> &[Vec<u8>] {
        &self.chain
    }
}

/// An agent's answer, with the key that it has to be signed by.
pub(crate) fn open<'b>(answer: &'b [u8], key: &Key) -> Message<'b> {
    let keys = |_: &Hint<'_>| -> Result<PeerKey, NoKey> {
        Ok(PeerKey { key: key.clone(), standing: Standing::Anchored, valid_until: None })
    };
    let opened = envelope::open(answer, &Dialect::default(), &keys).unwrap();
    opened.into_parts().0
}

/// What the TAM knows after an enrolment: a session and the agent's keys.
pub(crate) struct Enrolled {
    pub(crate) session: u64,
    pub(crate) teep: Key,
    pub(crate) evidence: Key,
    pub(crate) claims: rats::eat::Claims,
    pub(crate) eat_digest: [u8; 32],
    confidant: Option<Arc<AgreementKey>>,
}

impl Enrolled {
    /// A report, which the TAM alone can read where it is so agreed.
    pub(crate) fn report(&self, bytes: &[u8]) -> Report {
        let key = &self.claims.session_keys.as_ref().unwrap().report;
        let read = |opening| unprotect_with(bytes, key, &Accept::CURRENT, opening);
        let readable = read(&Opening::Readable);
        let Some(confidant) = &self.confidant else { return readable.unwrap().report };
        assert!(readable.is_err(), "everybody can read the report");
        read(&Opening::Receiver(Opener::Agreement(&**confidant))).unwrap().report
    }
}

/// Opens a session and challenges the agent, as a TAM does at an attestation.
pub(crate) fn attest(device: &Device, tam: &Tam, challenge: &[u8]) -> Enrolled {
    let session = connect_to(device, tam.uri);
    let items = DataItems::ATTESTATION.and(DataItems::TRUSTED_COMPONENTS);
    let (token, query) = tam.query(items, Some(challenge));
    let answer = device.tell(session, query).message.unwrap();

    // The key comes with the Evidence, as at a first contact.
    let sealed = envelope::Sealed::decode(&answer, &Dialect::default()).unwrap();
    let claimed = Message::decode(sealed.unverified_payload(), Numbering::V26).unwrap();
    let Message::QueryResponse(QueryResponse { attestation_payload: Some(payload), .. }) = claimed
    else {
        panic!("{claimed:?}")
    };
    assert_eq!(payload.format.as_deref(), Some("application/cmw+cbor"));
    let read = match &tam.confidant {
        Some(confidant) => {
            rats::eat::decrypt(&payload.bytes, &**confidant).unwrap().expose().to_vec()
        }
        None => payload.bytes.to_vec(),
    };
    let evidence = rats::evidence::Evidence::decode(&read).unwrap();
    let hardware = evidence.hardware.unwrap();
    let report_data: &[u8; 64] = hardware.bound.quote.as_slice().try_into().unwrap();
    let binding = hardware.bound.open(report_data).unwrap();
    let token_of_agent =
        rats::eat::verify(&evidence.eat, &binding.key, &Accept::CURRENT).unwrap().into_inner();
    binding.check(challenge, &binding.key, Some(&token_of_agent.digest())).unwrap();
    let claims = token_of_agent.claims.clone();
    let teep = claims.cnf.as_ref().unwrap().key().unwrap().clone();

    let Message::QueryResponse(response) = open(&answer, &teep) else { panic!() };
    assert_eq!(response.token, Some(token));
    let evidence = binding.key;
    let (eat_digest, confidant) = (token_of_agent.digest(), tam.confidant.clone());
    Enrolled { session, teep, evidence, claims, eat_digest, confidant }
}

/// Opens a session as the Broker does after a wake-up.
pub(crate) fn connect(device: &Device) -> u64 {
    connect_to(device, URI)
}

/// The same with this TAM, of those that the agent names one after the other.
pub(crate) fn connect_to(device: &Device, uri: &str) -> u64 {
    // The enumeration of TAMs may be at its end.
    for _ in 0..4 {
        match device.ask(Request::RequestPolicyCheck) {
            Reply::Nothing => {}
            Reply::Session(session) if session.uri.as_deref() == Some(uri) => {
                return session.session;
            }
            Reply::Session(_) => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("the agent does not name {uri}")
}

/// What an Update came to.
#[derive(Debug)]
pub(crate) enum Verdict {
    Success(Vec<Report>),
    Failed(ErrCode, Vec<Report>),
}

impl Verdict {
    pub(crate) fn reports(&self) -> &[Report] {
        match self {
            Self::Success(reports) | Self::Failed(_, reports) => reports,
        }
    }

    /// The reason and the code of the first report's failure.
    pub(crate) fn failure(&self) -> &Conclusion {
        let Self::Failed(ErrCode::ManifestProcessingFailed, reports) = self else {
            panic!("{self:?}")
        };
        &reports[0].result
    }

    pub(crate) fn is_success(&self) -> bool {
        matches!(self, Self::Success(reports) if reports.iter().all(Report::succeeded))
    }
}

/// Sends manifests in a session that was opened by [`attest`], while a Broker does its part.
pub(crate) fn deploy(device: &Device, tam: &Tam, to: &Enrolled, manifests: &[&[u8]]) -> Verdict {
    let (token, update) = tam.update(manifests);
    verdict(device, to, token, device.tell(to.session, update), &mut |action| {
        panic!("the Broker was asked for {action:?}")
    })
}

/// Does the Broker's part until there is a message, and reads it.
pub(crate) fn verdict(
    device: &Device,
    to: &Enrolled,
    token: Token,
    mut answer: Session,
    broker: &mut dyn FnMut(&Action) -> Result<Vec<u8>, String>,
) -> Verdict {
    while !answer.actions.is_empty() {
        assert_eq!(answer.message, None);
        let actions = std::mem::take(&mut answer.actions);
        for action in &actions {
            let outcome = broker(action);
            answer = device.session(Request::ActionDone {
                session: to.session,
                action: action.id(),
                outcome,
            });
        }
    }
    let message = answer.message.unwrap();
    let read = |reports: &[Cow<'_, [u8]>]| -> Vec<Report> {
        let reports: Vec<Report> = reports.iter().map(|bytes| to.report(bytes)).collect();
        assert!(reports.iter().all(|r| r.nonce.as_deref() == Some(token.as_bytes())));
        reports
    };
    match open(&message, &to.teep) {
        Message::Success(success) => {
            assert_eq!(success.token, Some(token));
            Verdict::Success(read(&success.suit_reports))
        }
        Message::Error(error) => {
            assert_eq!(error.token, Some(token));
            Verdict::Failed(error.err_code, read(&error.suit_reports))
        }
        other => panic!("{other:?}"),
    }
}

/// Who owns components.
pub(crate) struct Owner {
    pub(crate) key: SigningKey,
}

impl Owner {
    pub(crate) fn new() -> Self {
        Self { key: SigningKey::generate(Algorithm::Esp256).unwrap() }
    }

    pub(crate) fn ta(&self, sequence_number: u64, module: &[u8]) -> Built {
        Ta::new(name("planner"), sequence_number, here(), Payload::integrated(module))
            .sign(&self.key)
            .unwrap()
    }

    pub(crate) fn ta_of(&self, instance: InstanceType, sequence: u64, content: &[u8]) -> Built {
        let uuid = |bytes| Uuid::new(bytes).unwrap();
        let here = Compatibility { class: uuid(instance.class_id()), ..here() };
        Ta::new(name("planner"), sequence, here, Payload::integrated(content))
            .sign(&self.key)
            .unwrap()
    }

    pub(crate) fn ta_at(&self, uri: &str, sequence_number: u64, module: &[u8]) -> Built {
        let payload = Payload::at(Uri::new(uri).unwrap(), module);
        Ta::new(name("planner"), sequence_number, here(), payload).sign(&self.key).unwrap()
    }

    pub(crate) fn pd(&self, sequence_number: u64, ciphertext: &[u8]) -> Built {
        Pd::new(name("planner.pd"), sequence_number, here(), Payload::integrated(ciphertext))
            .sign(&self.key)
            .unwrap()
    }

    pub(crate) fn ua(&self, sequence_number: u64, program: &[u8]) -> Built {
        Ua::new(name("relay"), sequence_number, here(), Payload::integrated(program))
            .sign(&self.key)
            .unwrap()
    }

    pub(crate) fn other_ta(&self, sequence_number: u64, module: &[u8]) -> Built {
        Ta::new(name("other"), sequence_number, here(), Payload::integrated(module))
            .sign(&self.key)
            .unwrap()
    }

    pub(crate) fn package(&self, sequence_number: u64, parts: &[&Built]) -> Built {
        let root = Root::new(name("package"), sequence_number, here());
        let root = parts.iter().fold(root, |root, part| root.with(part, Delivery::Integrated));
        root.sign(&self.key).unwrap()
    }

    pub(crate) fn thumbprint(&self) -> Thumbprint {
        self.key.key().thumbprint()
    }

    pub(crate) fn planner(&self) -> ComponentId {
        ComponentId::in_tee(self.thumbprint(), "planner").unwrap()
    }
}

/// A certificate as text (RFC 7468).
fn pem(der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            let bits =
                (0..3).fold(0, |bits, at| bits << 8 | usize::from(*group.get(at).unwrap_or(&0)));
            for digit in 0..4 {
                let shown = digit <= group.len();
                let digit = DIGITS[bits >> (18 - 6 * digit) & 63];
                text.push(if shown { char::from(digit) } else { '=' });
            }
        }
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}

pub(crate) fn for_broker(component: &ComponentId) -> DeviceId {
    DeviceId::new(component.parts().to_vec()).unwrap()
}

pub(crate) fn here() -> Compatibility {
    let uuid = |text: &str| {
        let bytes = hex::decode(text.replace('-', "")).unwrap();
        Uuid::new(bytes.try_into().unwrap()).unwrap()
    };
    Compatibility { vendor: uuid(VENDOR), class: uuid(CLASS) }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) const CHALLENGE: [u8; 64] = [0x5a; 64];
pub(crate) const URI: &str = "http://tam.example/tam";
const VENDOR: &str = "11111111-1111-4111-9111-111111111111";
const CLASS: &str = "22222222-2222-4222-9222-222222222222";
