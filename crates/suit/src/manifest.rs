//! SUIT_Manifest (suit-manifest section 8.4).

use std::collections::BTreeMap;

use crate::cbor::{Kind, Reader, Writer};
use crate::common::Common;
use crate::component::ComponentId;
use crate::error::{Error, Malformed, Unsupported, Untrusted};
use crate::parameter::{read_version, write_version};
use crate::section::Section;
use crate::sequence::{Labels, Place, Sequence};
use crate::severable::Severable;
use crate::text::Text;

/// A manifest of version 1.
///
/// ```cddl
/// SUIT_Manifest = {
///   suit-manifest-version => 1,
///   suit-manifest-sequence-number => uint,
///   suit-common => bstr .cbor SUIT_Common,
///   ? suit-reference-uri => tstr,
///   ? suit-manifest-component-id => SUIT_Component_Identifier,
///   SUIT_Unseverable_Members, SUIT_Severable_Members_Choice, * $$SUIT_Manifest_Extensions
/// }
/// ```
///
/// Only authentication makes one: see [`crate::Envelope::authenticate`].
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest<'b> {
    /// suit-manifest-sequence-number: what rollback is judged by.
    pub sequence_number: u64,
    /// suit-common.
    pub common: Common<'b>,
    /// suit-reference-uri: where the full manifest is.
    pub reference_uri: Option<&'b str>,
    /// suit-manifest-component-id: where a root manifest is stored.
    pub component_id: Option<ComponentId>,
    /// suit-set-version: the version that this manifest installs (update-management).
    pub set_version: Option<Vec<i64>>,
    /// The sections.
    pub sections: BTreeMap<Section, Severable<Sequence<'b>>>,
    /// suit-coswid: a software identity, not interpreted here (update-management).
    pub coswid: Option<Severable<&'b [u8]>>,
    /// suit-text.
    pub text: Option<Severable<Text<'b>>>,
    /// Every command of the sequences that are here.
    pub(crate) labels: Labels,
}

impl<'b> Manifest<'b> {
    /// Decodes an authentic manifest; `members` are the members of its envelope.
    pub(crate) fn decode(
        bytes: &'b [u8],
        mut members: BTreeMap<i64, &'b [u8]>,
    ) -> Result<Self, Error> {
        let mut reader = Reader::open(bytes)?;
        let count = reader.map()?;
        check_version(count, &mut reader)?;
        let mut parts = Parts::default();
        for _ in 1..count {
            let key = reader.int()?;
            parts.read(key, &mut reader, &mut members)?;
        }
        if let Some(key) = members.into_keys().next() {
            return Err(Untrusted::Unbound(key).into());
        }
        parts.finish()
    }

    /// Encodes the manifest, deterministically.
    pub fn encode(&self) -> Vec<u8> {
        let mut members: BTreeMap<i64, Vec<u8>> = BTreeMap::new();
        let mut put = |key: i64, write: &dyn Fn(&mut Writer)| {
            members.insert(key, Writer::collect(write));
        };
        put(VERSION, &|w| {
            w.uint(1);
        });
        put(SEQUENCE_NUMBER, &|w| {
            w.uint(self.sequence_number);
        });
        put(COMMON, &|w| {
            w.wrapped(|w| self.common.write(w));
        });
        if let Some(uri) = self.reference_uri {
            put(REFERENCE_URI, &|w| {
                w.text(uri);
            });
        }
        if let Some(component) = &self.component_id {
            put(COMPONENT_ID, &|w| component.write(w));
        }
        if let Some(version) = &self.set_version {
            put(SET_VERSION, &|w| {
                w.wrapped(|w| write_version(w, version));
            });
        }
        for (section, content) in &self.sections {
            put(section.key(), &|w| {
                write_severable(w, content, |sequence| sequence.bytes().into())
            });
        }
        if let Some(coswid) = &self.coswid {
            put(COSWID, &|w| write_severable(w, coswid, |content| content.to_vec()));
        }
        if let Some(text) = &self.text {
            put(TEXT, &|w| write_severable(w, text, |text| Text::encode(text.languages())));
        }
        Writer::collect(|w| {
            w.map(members.len());
            for (key, value) in &members {
                w.int(*key).raw(value);
            }
        })
    }

    /// The commands of a section.
    pub fn section(&self, section: Section) -> Option<&Severable<Sequence<'b>>> {
        self.sections.get(&section)
    }

    /// What state about this manifest is kept under: its own place, else its first component.
    pub fn identity(&self) -> &ComponentId {
        self.component_id
            .as_ref()
            .unwrap_or_else(|| self.common.first().expect("common has a component"))
    }
}

//= suit 13.18 (M): manifest-version other than 1 refused before anything else. M 6.1
fn check_version(count: u64, reader: &mut Reader<'_>) -> Result<(), Error> {
    if count == 0 || reader.kind()? != Kind::Uint || reader.int()? != VERSION {
        return Err(Malformed::Absent("manifest-version").into());
    }
    match reader.uint()? {
        1 => Ok(()),
        version => Err(Unsupported::ManifestVersion(version).into()),
    }
}

#[derive(Default)]
struct Parts<'b> {
    sequence_number: Option<u64>,
    common: Option<Common<'b>>,
    reference_uri: Option<&'b str>,
    component_id: Option<ComponentId>,
    set_version: Option<Vec<i64>>,
    sections: BTreeMap<Section, Severable<Sequence<'b>>>,
    coswid: Option<Severable<&'b [u8]>>,
    text: Option<Severable<&'b [u8]>>,
    labels: Labels,
}

impl<'b> Parts<'b> {
    fn read(
        &mut self,
        key: i64,
        reader: &mut Reader<'b>,
        envelope: &mut BTreeMap<i64, &'b [u8]>,
    ) -> Result<(), Error> {
        match key {
            SEQUENCE_NUMBER => self.sequence_number = Some(reader.uint()?),
            COMMON => self.common = Some(Common::decode(reader.bytes()?, &mut self.labels)?),
            REFERENCE_URI => self.reference_uri = Some(reader.text()?),
            COMPONENT_ID => self.component_id = Some(ComponentId::read(reader)?),
            //= suit 13.106 (M): set-version carries no operator and no build metadata; text
            //= versions never used for decisions. U 3.1, 3.4
            SET_VERSION => {
                self.set_version = Some(read_version(&mut Reader::open(reader.bytes()?)?)?);
            }
            //= suit 13.105 (M): Well-formed non-severed coswid does not cause failure. U 3.2
            COSWID => self.coswid = Some(Severable::read(key, reader, envelope)?),
            TEXT => self.text = Some(Severable::read(key, reader, envelope)?),
            other => {
                let section = Section::from_key(other).ok_or(Unsupported::ManifestMember(other))?;
                if !section.is_severable() && reader.kind()? == Kind::Array {
                    return Err(Malformed::NeverSevered(other).into());
                }
                let labels = &mut self.labels;
                let content = Severable::read(other, reader, envelope)?
                    .try_map(|bytes| Sequence::decode_noting(bytes, Place::Section, labels))?;
                self.sections.insert(section, content);
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Manifest<'b>, Error> {
        let common = self.common.ok_or(Malformed::Absent("common"))?;
        let text =
            self.text.map(|text| text.try_map(|bytes| Text::decode(bytes, &common.components)));
        Ok(Manifest {
            sequence_number: self.sequence_number.ok_or(Malformed::Absent("sequence-number"))?,
            text: text.transpose()?,
            common,
            reference_uri: self.reference_uri,
            component_id: self.component_id,
            set_version: self.set_version,
            sections: self.sections,
            coswid: self.coswid,
            labels: self.labels,
        })
    }
}

fn write_severable<T>(w: &mut Writer, member: &Severable<T>, content: impl FnOnce(&T) -> Vec<u8>) {
    match member {
        Severable::Inline(inline) => {
            w.bytes(&content(inline));
        }
        Severable::Attached(digest, _) | Severable::Severed(digest) => digest.write(w),
    }
}

const VERSION: i64 = 1;
const SEQUENCE_NUMBER: i64 = 2;
const COMMON: i64 = 3;
const REFERENCE_URI: i64 = 4;
const COMPONENT_ID: i64 = 5;
const SET_VERSION: i64 = 6;
const COSWID: i64 = 14;
const TEXT: i64 = 23;
