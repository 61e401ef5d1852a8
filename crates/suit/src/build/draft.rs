//! Assembles and signs an envelope.

use std::collections::BTreeMap;

use cose::{Header, KeyUnusable, Payload, Signer};

use super::writer::SequenceWriter;
use super::{Built, manifest_digest, owner_of};
use crate::authentication::write_wrapper;
use crate::cbor::{Writer, int_key};
use crate::common::{Common, Dependency};
use crate::component::ComponentId;
use crate::digest::Digest;
use crate::envelope::{AUTHENTICATION, MANIFEST};
use crate::section::Section;

/// The parts of an envelope before they are encoded.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) version: u64,
    pub(crate) sequence_number: u64,
    pub(crate) components: Vec<ComponentId>,
    pub(crate) dependencies: BTreeMap<u64, Dependency>,
    pub(crate) shared: SequenceWriter,
    pub(crate) reference_uri: Option<String>,
    pub(crate) component_id: Option<ComponentId>,
    pub(crate) sections: BTreeMap<Section, SequenceWriter>,
    /// Sections that the manifest names by digest.
    pub(crate) severable: Vec<Section>,
    /// The encoded text, always named by digest.
    pub(crate) text: Option<Vec<u8>>,
    pub(crate) payloads: BTreeMap<String, Vec<u8>>,
}

impl Draft {
    pub(crate) fn new(sequence_number: u64) -> Self {
        Self {
            version: 1,
            sequence_number,
            components: Vec::new(),
            dependencies: BTreeMap::new(),
            shared: SequenceWriter::new(),
            reference_uri: None,
            component_id: None,
            sections: BTreeMap::new(),
            severable: Vec::new(),
            text: None,
            payloads: BTreeMap::new(),
        }
    }

    //= suit 13.10 (M): Map keys of envelope and manifest in canonical order when encoding;
    //= wrapper before manifest. M 8.1, 8.3
    pub(crate) fn sign(self, signer: &dyn Signer) -> Result<Built, KeyUnusable> {
        let mut severed = BTreeMap::new();
        let manifest = self.manifest(&mut severed);
        let digest = manifest_digest(&manifest);
        let signed = sign_digest(&digest, signer)?;
        let envelope = self.envelope(&digest, &[signed], &manifest, &severed);
        let owner = owner_of(signer);
        let first = self.components.first().cloned();
        Ok(Built {
            envelope,
            digest,
            owner,
            manifest_component: self
                .component_id
                .or_else(|| first.clone())
                .expect("every draft that is signed names its manifest or a component"),
            component: first.filter(|_| self.dependencies.is_empty()),
        })
    }

    /// Encodes the manifest and puts aside the members that it names by digest.
    pub(crate) fn manifest(&self, severed: &mut BTreeMap<i64, Vec<u8>>) -> Vec<u8> {
        let mut members: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut put = |key: i64, write: &dyn Fn(&mut Writer)| {
            members.push((int_key(key), Writer::collect(write)));
        };
        put(1, &|w| {
            w.uint(self.version);
        });
        put(2, &|w| {
            w.uint(self.sequence_number);
        });
        put(3, &|w| {
            w.wrapped(|w| self.write_common(w));
        });
        if let Some(uri) = &self.reference_uri {
            put(4, &|w| {
                w.text(uri);
            });
        }
        if let Some(component) = &self.component_id {
            put(5, &|w| component.write(w));
        }
        for (section, sequence) in &self.sections {
            let content = sequence.finish();
            if self.severable.contains(section) {
                put(section.key(), &|w| manifest_digest(&content).write(w));
                severed.insert(section.key(), content);
            } else {
                put(section.key(), &|w| {
                    w.bytes(&content);
                });
            }
        }
        if let Some(text) = &self.text {
            put(TEXT, &|w| manifest_digest(text).write(w));
            severed.insert(TEXT, text.clone());
        }
        Writer::collect(|w| {
            w.sorted_map(members);
        })
    }

    fn write_common(&self, w: &mut Writer) {
        let common = Common {
            dependencies: self.dependencies.clone(),
            components: self.components.clone(),
            shared: None,
        };
        if self.shared.is_empty() {
            common.write(w);
        } else {
            common.write_with(w, Some(&self.shared.finish()));
        }
    }

    pub(crate) fn envelope(
        &self,
        digest: &Digest,
        blocks: &[Vec<u8>],
        manifest: &[u8],
        severed: &BTreeMap<i64, Vec<u8>>,
    ) -> Vec<u8> {
        let wrapped = |content: &[u8]| {
            Writer::collect(|w| {
                w.bytes(content);
            })
        };
        let mut entries = vec![
            (int_key(AUTHENTICATION), Writer::collect(|w| write_wrapper(w, digest, blocks))),
            (int_key(MANIFEST), wrapped(manifest)),
        ];
        entries.extend(severed.iter().map(|(key, member)| (int_key(*key), wrapped(member))));
        entries.extend(self.payloads.iter().map(|(name, payload)| {
            let key = Writer::collect(|w| {
                w.text(name);
            });
            (key, wrapped(payload))
        }));
        Writer::collect(|w| {
            w.sorted_map(entries);
        })
    }
}

/// Signs a SUIT_Digest.
pub(crate) fn sign_digest(digest: &Digest, signer: &dyn Signer) -> Result<Vec<u8>, KeyUnusable> {
    let unprotected = Header { kccs: Some(signer.key().clone()), ..Header::default() };
    let digest = digest.encode();
    cose::sign1(signer, Header::default(), unprotected, &[], Payload::Detached(&digest))
}

const TEXT: i64 = 23;
