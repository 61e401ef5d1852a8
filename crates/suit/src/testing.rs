//! A device in memory, keys and vectors for tests; tests of the crate and of its public face
//! both use this file.

#![expect(dead_code, reason = "each user of this file uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cose::{Accept, Algorithm, Key, Signer};
use keys::SigningKey;
use suit::authority::AnyComponent;
use suit::process::{Ending, Obstacle};
use suit::{
    Anchors, ComponentId, Context, Device, Digest, DigestAlgorithm, Envelope, Outcome, Procedure,
    Processor, Request, Uuid, Verified,
};

/// Store, network and processes of a device.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shell {
    pub(crate) store: BTreeMap<ComponentId, Vec<u8>>,
    pub(crate) network: BTreeMap<String, Vec<u8>>,
    /// What was asked for, in order.
    pub(crate) trace: Vec<String>,
    /// Requests after which every further one fails.
    pub(crate) fails_after: Option<usize>,
    /// What is not asked again: the arguments of invocations.
    pub(crate) invoked: Vec<(ComponentId, Vec<u8>)>,
    pub(crate) delegated: Vec<Delegated>,
    pub(crate) authorized: bool,
    pub(crate) versions: BTreeMap<ComponentId, Vec<i64>>,
    /// Contents that are answered for with another digest, as the drafts' samples need it.
    pub(crate) pretended: Vec<(Vec<u8>, Digest)>,
    /// Decrypts payloads, if encrypted ones are expected.
    pub(crate) decrypt: Option<Decrypt>,
}

/// A section that was handed to the second processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delegated {
    pub(crate) component: ComponentId,
    pub(crate) envelope: Vec<u8>,
    pub(crate) section: suit::Section,
    pub(crate) parameters: Vec<(ComponentId, i64)>,
}

/// Opens a payload with its encryption-info.
pub(crate) type Decrypt = fn(&[u8], &[u8]) -> Option<Vec<u8>>;

impl Shell {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn with_network(mut self, uri: &str, content: &[u8]) -> Self {
        self.network.insert(uri.to_owned(), content.to_vec());
        self
    }

    /// Runs a procedure to its end.
    pub(crate) fn run(&mut self, processor: &mut Processor<'_>, procedure: Procedure) -> Ending {
        processor.run(procedure).unwrap();
        self.finish(processor)
    }

    /// Runs what was started to its end.
    pub(crate) fn finish(&mut self, processor: &mut Processor<'_>) -> Ending {
        loop {
            let request = processor.step();
            if let Request::Done(ending) = request {
                return ending.clone();
            }
            let outcome = self.serve(&request);
            processor.resume(outcome).unwrap();
        }
    }

    /// Does what is asked.
    pub(crate) fn serve(&mut self, request: &Request<'_>) -> Outcome {
        self.trace.push(describe(request));
        if self.fails_after.is_some_and(|most| self.trace.len() > most) {
            return Outcome::Failed(Obstacle::Storage);
        }
        match request {
            Request::Fetch { component, uri, limit, encryption, .. } => {
                let Some(content) = self.network.get(*uri).cloned() else {
                    return Outcome::Failed(Obstacle::Unreachable);
                };
                if content.len() as u64 > *limit {
                    return Outcome::Failed(Obstacle::TooLarge);
                }
                self.put(component, content, *encryption)
            }
            Request::Write { component, content, encryption } => {
                self.put(component, content.to_vec(), *encryption)
            }
            Request::Copy { component, source, encryption } => {
                match self.store.get(*source).cloned() {
                    Some(content) => self.put(component, content, *encryption),
                    None => Outcome::Failed(Obstacle::Absent),
                }
            }
            Request::Swap { component, source } => self.swap(component, source),
            Request::Digest { component, algorithm } => self.measure(component, *algorithm),
            Request::CheckContent { component, content } => {
                let own = self.store.get(*component);
                Outcome::Holds(own.is_some_and(|own| cose::equal(own, content)))
            }
            Request::Load { component } => match self.store.get(*component) {
                Some(content) => Outcome::Envelope(content.clone()),
                None => Outcome::Absent,
            },
            Request::Delegate { component, envelope, section, parameters } => {
                self.delegated.push(Delegated {
                    component: (*component).clone(),
                    envelope: envelope.to_vec(),
                    section: *section,
                    parameters: parameters
                        .iter()
                        .map(|(component, parameter)| ((*component).clone(), parameter.key()))
                        .collect(),
                });
                Outcome::Done
            }
            Request::Invoke { component, arguments } => {
                let arguments = arguments.unwrap_or_default().to_vec();
                self.invoked.push(((*component).clone(), arguments));
                Outcome::Done
            }
            Request::Remove { component } => {
                self.store.remove(*component);
                Outcome::Done
            }
            Request::Authorize { .. } => Outcome::Holds(self.authorized),
            Request::Version { component } => match self.versions.get(*component) {
                Some(version) => Outcome::Version(version.clone()),
                None => Outcome::Absent,
            },
            Request::Wait { .. } | Request::Custom { .. } => Outcome::Done,
            Request::Done(_) => Outcome::Done,
        }
    }

    pub(crate) fn content(&self, component: &ComponentId) -> Option<&[u8]> {
        self.store.get(component).map(Vec::as_slice)
    }

    fn put(&mut self, target: &ComponentId, content: Vec<u8>, info: Option<&[u8]>) -> Outcome {
        let content = match (info, self.decrypt) {
            (None, _) => content,
            (Some(info), Some(decrypt)) => match decrypt(info, &content) {
                Some(plaintext) => plaintext,
                None => return Outcome::Failed(Obstacle::Decryption),
            },
            (Some(_), None) => return Outcome::Failed(Obstacle::Unsupported),
        };
        self.store.insert(target.clone(), content);
        Outcome::Done
    }

    fn measure(&self, component: &ComponentId, algorithm: DigestAlgorithm) -> Outcome {
        let Some(content) = self.store.get(component) else { return Outcome::Absent };
        let pretended = self.pretended.iter().find(|(own, _)| own == content);
        let real = || Digest::of(algorithm, content).unwrap();
        Outcome::Measured {
            digest: pretended.map_or_else(real, |(_, digest)| *digest),
            size: content.len() as u64,
        }
    }

    fn swap(&mut self, one: &ComponentId, other: &ComponentId) -> Outcome {
        match (self.store.get(one).cloned(), self.store.get(other).cloned()) {
            (Some(first), Some(second)) => {
                self.store.insert(one.clone(), second);
                self.store.insert(other.clone(), first);
                Outcome::Done
            }
            _ => Outcome::Failed(Obstacle::Absent),
        }
    }
}

fn describe(request: &Request<'_>) -> String {
    match request {
        Request::Fetch { component, uri, .. } => format!("fetch {component} {uri}"),
        Request::Write { component, content, .. } => {
            format!("write {component} {} bytes", content.len())
        }
        Request::Copy { component, source, .. } => format!("copy {component} {source}"),
        Request::Swap { component, source } => format!("swap {component} {source}"),
        Request::Digest { component, .. } => format!("digest {component}"),
        Request::CheckContent { component, .. } => format!("check {component}"),
        Request::Load { component } => format!("load {component}"),
        Request::Delegate { component, section, .. } => format!("delegate {component} {section}"),
        Request::Invoke { component, .. } => format!("invoke {component}"),
        Request::Remove { component } => format!("remove {component}"),
        Request::Authorize { component, .. } => format!("authorize {component}"),
        Request::Version { component } => format!("version {component}"),
        Request::Wait { .. } => "wait".to_owned(),
        Request::Custom { component, label, .. } => format!("custom {component} {label}"),
        Request::Done(_) => "done".to_owned(),
    }
}

/// A new key.
pub(crate) fn new_key() -> SigningKey {
    SigningKey::generate(Algorithm::Esp256).unwrap()
}

/// A device of the vendor and class that the drafts' examples are for.
pub(crate) fn device() -> Device {
    let mut device = Device::new(arm_vendor(), arm_class());
    device.vendors.insert(teep_vendor());
    device.classes.insert(teep_class());
    device.schemes = BTreeSet::from(["http".to_owned(), "https".to_owned(), "coaps".to_owned()]);
    device
}

/// A context that believes these keys about every component.
pub(crate) fn open_context(keys: &[Key]) -> Context {
    let anchors = keys.iter().cloned().fold(Anchors::none(), Anchors::with_key);
    let mut context = Context::new(device());
    context.anchors = Arc::new(anchors);
    context.authority = Arc::new(AnyComponent);
    context.accept = Accept::WITH_LEGACY;
    context
}

/// A context that believes every owner about the owner's components.
pub(crate) fn owner_context() -> Context {
    let mut context = Context::new(device());
    context.anchors = Arc::new(Anchors::none().with_self_certified());
    context
}

/// Authenticates an envelope with its own key.
pub(crate) fn authentic(envelope: &[u8]) -> Verified<'_> {
    let anchors = Anchors::none().with_self_certified();
    Envelope::decode(envelope).unwrap().authenticate(&anchors, &Accept::CURRENT).unwrap()
}

/// Authenticates an envelope with one key, legacy algorithms included.
pub(crate) fn authentic_by<'b>(envelope: &'b [u8], key: &Key) -> Verified<'b> {
    let anchors = Anchors::none().with_key(key.clone());
    Envelope::decode(envelope).unwrap().authenticate(&anchors, &Accept::WITH_LEGACY).unwrap()
}

pub(crate) fn public(key: &SigningKey) -> Key {
    key.key().clone()
}

/// The bytes of a vector, or none where the vectors are not present.
pub(crate) fn vector(path: &str) -> Option<Vec<u8>> {
    let Some(root) = vectors() else {
        println!("skipped: ../shared/vectors is absent");
        return None;
    };
    Some(std::fs::read(root.join(path)).unwrap())
}

/// Every vector in a directory that is one CBOR item, with its file name.
pub(crate) fn vectors_in(directory: &str) -> Vec<(String, Vec<u8>)> {
    let Some(root) = vectors() else {
        println!("skipped: ../shared/vectors is absent");
        return Vec::new();
    };
    let entries = std::fs::read_dir(root.join(directory)).unwrap();
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "cbor"))
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// A public key of the vectors.
pub(crate) fn vector_key(name: &str) -> Option<Key> {
    let bytes = vector(&format!("suit/keys/{name}.public.cosekey.cbor"))?;
    Some(Key::decode(&bytes).unwrap())
}

fn vectors() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    root.is_dir().then_some(root)
}

fn uuid(bytes: &[u8; 16]) -> Uuid {
    Uuid::new(*bytes).unwrap()
}

pub(crate) fn arm_vendor() -> Uuid {
    uuid(b"\xfa\x6b\x4a\x53\xd5\xad\x5f\xdf\xbe\x9d\xe6\x63\xe4\xd4\x1f\xfe")
}

pub(crate) fn arm_class() -> Uuid {
    uuid(b"\x14\x92\xaf\x14\x25\x69\x5e\x48\xbf\x42\x9b\x2d\x51\xf2\xab\x45")
}

pub(crate) fn teep_vendor() -> Uuid {
    uuid(b"\xc0\xdd\xd5\xf1\x52\x43\x56\x60\x87\xdb\x4f\x5b\x0a\xa2\x6c\x2f")
}

pub(crate) fn teep_class() -> Uuid {
    uuid(b"\xdb\x42\xf7\x09\x3d\x8c\x55\xba\xa8\xc5\x26\x5f\xc5\x82\x0f\x4e")
}
