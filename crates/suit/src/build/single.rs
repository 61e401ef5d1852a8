//! Manifests of one component: TA, UA and Personalization Data.

use cose::{Signer, Thumbprint};

use super::draft::Draft;
use super::writer::SequenceWriter;
use super::{Built, Compatibility, Description, Name, Payload, Source, Unbuildable, Uri, owner_of};
use crate::command::{Condition, Directive};
use crate::component::ComponentId;
use crate::error::Malformed;
use crate::parameter::Parameter;
use crate::section::Section;
use crate::text::{self, Language, Text};

/// The manifest of a Trusted Application: component `[owner, name]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ta<'a>(Single<'a>);

/// The manifest of an Untrusted Application: component `['REE', owner, name]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ua<'a>(Single<'a>);

/// The manifest of Personalization Data: component `[owner, name]`, whose payload is ciphertext
/// that SUIT does not understand.
///
/// Tamarack's has no encryption-info, since that would bind no author: the container seals the
/// payload to its receiver, and the digests here are over ciphertext. For other peers'
/// devices there is [`Payload::encrypted`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pd<'a>(Single<'a>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Single<'a> {
    name: Name,
    sequence_number: u64,
    compatibility: Compatibility,
    payload: Payload<'a>,
    invoke: Option<Option<&'a [u8]>>,
    description: Option<Description<'a>>,
    reference_uri: Option<Uri>,
    other_owner: Option<Thumbprint>,
}

macro_rules! common_methods {
    ($builder:ident, $place:expr) => {
        impl<'a> $builder<'a> {
            /// Says what is installed, and on which devices.
            pub fn new(
                name: Name,
                sequence_number: u64,
                compatibility: Compatibility,
                payload: Payload<'a>,
            ) -> Self {
                Self(Single::new(name, sequence_number, compatibility, payload))
            }

            /// Adds words for people; a distributor may cut them off.
            pub fn described(mut self, description: Description<'a>) -> Self {
                self.0.description = Some(description);
                self
            }

            /// Says where the full manifest is found; reports repeat it.
            pub fn referenced_at(mut self, uri: Uri) -> Self {
                self.0.reference_uri = Some(uri);
                self
            }

            /// Signs the manifest with the owner's key.
            pub fn sign(self, owner: &dyn Signer) -> Result<Built, Unbuildable> {
                let place = self.0.place(owner, $place);
                self.0.sign(owner, place)
            }
        }
    };
}

common_methods!(Ta, ComponentId::in_tee);
common_methods!(Ua, ComponentId::in_ree);
common_methods!(Pd, ComponentId::in_tee);

impl Pd<'_> {
    /// The data is for an application of another owner: component `[owner, other, name]`.
    pub fn for_application_of(mut self, other: Thumbprint) -> Self {
        self.0.other_owner = Some(other);
        self
    }
}

impl<'a> Ta<'a> {
    /// The TA is started by an Invocation procedure, with these arguments.
    pub fn invocable(mut self, arguments: Option<&'a [u8]>) -> Self {
        self.0.invoke = Some(arguments);
        self
    }
}

impl<'a> Ua<'a> {
    /// The UA is started by an Invocation procedure, with these arguments.
    pub fn invocable(mut self, arguments: Option<&'a [u8]>) -> Self {
        self.0.invoke = Some(arguments);
        self
    }
}

impl<'a> Single<'a> {
    fn new(
        name: Name,
        sequence_number: u64,
        compatibility: Compatibility,
        payload: Payload<'a>,
    ) -> Self {
        Self {
            name,
            sequence_number,
            compatibility,
            payload,
            invoke: None,
            description: None,
            reference_uri: None,
            other_owner: None,
        }
    }

    fn place(
        &self,
        owner: &dyn Signer,
        place: fn(Thumbprint, &str) -> Result<ComponentId, Malformed>,
    ) -> ComponentId {
        let (owner, name) = (owner_of(owner), self.name.as_str());
        match self.other_owner {
            Some(other) => ComponentId::new([&owner.0[..], &other.0[..], name.as_bytes()]),
            None => place(owner, name),
        }
        .expect(NAME_FITS)
    }

    fn sign(self, owner: &dyn Signer, component: ComponentId) -> Result<Built, Unbuildable> {
        let mut draft = Draft::new(self.sequence_number);
        draft.component_id = Some(component.manifest().expect(NAME_FITS));
        draft.reference_uri = self.reference_uri.as_ref().map(|uri| uri.as_str().to_owned());
        draft.shared = self.shared();
        draft.text = self.description.map(|words| words.encode(Some(&component)));
        draft.components = vec![component];
        let uri = match &self.payload.source {
            Source::Integrated(content) => {
                let key = format!("#{}", self.name);
                draft.payloads.insert(key.clone(), content.to_vec());
                key
            }
            Source::At(uri) => uri.as_str().to_owned(),
        };
        draft.sections = self.sections(&uri).into_iter().collect();
        Ok(draft.sign(owner)?)
    }

    //= suit 13.23 (S): Shared sequence holds vendor and class checks; policy may demand. M 6.2
    fn shared(&self) -> SequenceWriter {
        let [vendor, class] = self.compatibility.parameters();
        let digest = Parameter::ImageDigest(self.payload.digest);
        let size = Parameter::ImageSize(self.payload.size);
        SequenceWriter::new()
            .override_parameters(&[vendor, class, digest, size])
            .condition(Condition::VendorIdentifier)
            .condition(Condition::ClassIdentifier)
    }

    fn sections(&self, uri: &str) -> Vec<(Section, SequenceWriter)> {
        let start = SequenceWriter::new;
        let encryption = self.payload.encryption.map(Parameter::EncryptionInfo);
        let delivery: Vec<_> = encryption.into_iter().chain([Parameter::Uri(uri)]).collect();
        let install = start()
            .override_parameters(&delivery)
            .directive(Directive::Fetch)
            .condition(Condition::ImageMatch);
        let validate = start().condition(Condition::ImageMatch);
        let uninstall = start().directive(Directive::Unlink);
        let mut sections = vec![
            (Section::Install, install),
            (Section::Validate, validate),
            (Section::Uninstall, uninstall),
        ];
        if let Some(arguments) = self.invoke {
            let invoke = match arguments {
                Some(arguments) => start().override_parameters(&[Parameter::InvokeArgs(arguments)]),
                None => start(),
            };
            sections.push((Section::Invoke, invoke.directive(Directive::Invoke)));
        }
        sections
    }
}

impl Description<'_> {
    /// Encodes the texts about a manifest and its component.
    pub(super) fn encode(&self, component: Option<&ComponentId>) -> Vec<u8> {
        use text::component_key as part;
        let language = if self.language.is_empty() { "en" } else { self.language };
        let mut words = Language::default();
        let manifest = self.manifest.map(|words| (text::manifest_key::DESCRIPTION, words));
        words.manifest = manifest.into_iter().collect();
        let parts = [
            (part::VENDOR_NAME, self.vendor_name),
            (part::MODEL_NAME, self.model_name),
            (part::VENDOR_DOMAIN, self.vendor_domain),
            (part::DESCRIPTION, self.component),
            (part::VERSION, self.version),
        ];
        let parts: std::collections::BTreeMap<i64, &str> =
            parts.into_iter().filter_map(|(key, words)| Some((key, words?))).collect();
        if let Some(component) = component.filter(|_| !parts.is_empty()) {
            words.components.insert(component.clone(), parts);
        }
        Text::encode(&[(language, words)].into_iter().collect())
    }
}

const NAME_FITS: &str = "a name and its suffix fit into a part of an identifier";
