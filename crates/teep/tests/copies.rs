//! How often a manifest is copied, counted by the allocator.

use std::borrow::Cow;

use cose::{Algorithm, Signer as _};
use keys::SigningKey;
use teep::agent::{Agent, Collected, Config, Effect, Handle, TamUri};
use teep::envelope::{Hint, NoKey, Outgoing, PeerKey, Protection, Signers, Standing};
use teep::message::{DataItems, QueryRequest, Update};
use teep::{
    CipherSuite, ComponentId, Fresh, Message, Numbering, SuitCoseProfile, Suite, SystemProperties,
    Timestamp, Token,
};

/// From the bytes of the Broker to the order to install: the manifest is borrowed all the way.
#[test]
fn an_agent_hands_a_manifest_on_without_a_copy() {
    let mut scene = Scene::new();
    let bytes = scene.update(Vec::new());

    let allocated = scene.process(&bytes, 1);

    assert!(allocated < SMALL, "{allocated} bytes for a manifest of {MANIFEST}");
}

/// Where manifests are to be unlinked first, the rest of the Update waits: one copy, no more.
#[test]
fn an_agent_copies_a_manifest_once_when_it_has_to_wait() {
    let mut scene = Scene::new();
    let unneeded = vec![ComponentId::new([b"old.suit"]).expect("a name")];
    let bytes = scene.update(unneeded);

    let allocated = scene.process(&bytes, 0);

    let range = MANIFEST as u64..MANIFEST as u64 + SMALL;
    assert!(range.contains(&allocated), "{allocated} bytes for a manifest of {MANIFEST}");
}

/// A message that is refused costs its sender's bytes and nothing of that size here.
#[test]
fn what_nobody_signed_costs_no_allocation_of_its_size() {
    let mut scene = Scene::new();
    let mut bytes = scene.update(Vec::new());
    *bytes.last_mut().expect("a message") ^= 1;

    let allocated = scene.process(&bytes, 0);

    assert!(allocated < SMALL, "{allocated} bytes for a message of {}", bytes.len());
}

/// An Agent that has answered a QueryRequest, and its TAM's key.
struct Scene {
    agent: Agent,
    handle: Handle,
    tam: SigningKey,
}

impl Scene {
    fn new() -> Self {
        let own = ComponentId::new([b"TEEP-Agent"]).expect("a name");
        let uri = TamUri::new("https://tam.example/teep").expect("a URI");
        let config = Config::new(SystemProperties::measured(own, b"digest"), vec![uri]);
        let mut agent = Agent::new(config).expect("a usable configuration");
        let contact = agent.request_policy_check(NOW).into_iter().find_map(|effect| match effect {
            Effect::Contact { handle, .. } => Some(handle),
            _ => None,
        });
        let tam = SigningKey::generate(Algorithm::Esp256).expect("a key");
        let mut scene = Self { agent, handle: contact.expect("a TAM to contact"), tam };
        scene.ask();
        scene
    }

    fn ask(&mut self) {
        let request = QueryRequest {
            token: Token::new(&[1; 16]).ok(),
            supported_freshness_mechanisms: None,
            challenge: None,
            versions: Some(vec![0]),
            attestation_payload: None,
            suit_reports: Vec::new(),
            supported_teep_cipher_suites: CipherSuite::offers(&Suite::MANDATORY),
            supported_suit_cose_profiles: SuitCoseProfile::MANDATORY.to_vec(),
            data_item_requested: DataItems::TRUSTED_COMPONENTS,
            renewal: false,
        };
        let bytes = self.seal(Message::QueryRequest(request));
        let keys = anchored(&self.tam);
        let effects = self.agent.process_teep_message(NOW, fresh(), self.handle, &bytes, &keys);
        assert!(matches!(effects.expect("a request")[..], [Effect::Collect(_)]));
        let answer = self.agent.collected(NOW, self.handle, Collected::default());
        assert!(answer.is_ok());
    }

    fn update(&self, unneeded_manifest_list: Vec<ComponentId>) -> Vec<u8> {
        // One CBOR item: a byte string with its head of five bytes.
        let mut manifest = vec![0; MANIFEST];
        manifest[0] = 0x5a;
        let length = u32::try_from(MANIFEST - 5).expect("a size of four bytes");
        manifest[1..5].copy_from_slice(&length.to_be_bytes());
        self.seal(Message::Update(Update {
            token: Token::new(&[2; 16]).ok(),
            unneeded_manifest_list,
            manifest_list: vec![Cow::Owned(manifest)],
            ..Update::default()
        }))
    }

    fn seal(&self, message: Message<'_>) -> Vec<u8> {
        let protection = Protection::Sign1(Suite::Esp256);
        let outgoing = Outgoing { message, numbering: Numbering::V26, protection };
        outgoing.seal(&Own(&self.tam)).expect("the TAM signs")
    }

    /// Bytes allocated at most at a time while a message is processed, its effects included, of
    /// which so many are orders to install.
    fn process(&mut self, bytes: &[u8], installs: usize) -> u64 {
        let keys = anchored(&self.tam);
        let mut seen = 0;
        let info = allocation_counter::measure(|| {
            let effects = self.agent.process_teep_message(NOW, fresh(), self.handle, bytes, &keys);
            let effects = effects.expect("the session takes it");
            seen = effects.iter().filter(|effect| matches!(effect, Effect::Install { .. })).count();
        });
        assert_eq!(seen, installs);
        info.bytes_max
    }
}

struct Own<'a>(&'a SigningKey);

impl Signers for Own<'_> {
    fn signer(&self, _suite: Suite) -> Option<&dyn cose::Signer> {
        Some(self.0)
    }
}

fn anchored(tam: &SigningKey) -> impl Fn(&Hint<'_>) -> Result<PeerKey, NoKey> + use<> {
    let key = tam.key().clone();
    move |_| Ok(PeerKey { key: key.clone(), standing: Standing::Anchored, valid_until: None })
}

fn fresh() -> Fresh {
    Fresh::draw(&mut keys::SystemEntropy)
}

const NOW: Timestamp = Timestamp(1_800_000_000);
const MANIFEST: usize = 1 << 20;
/// Everything but manifests, bytes.
const SMALL: u64 = 64 << 10;
