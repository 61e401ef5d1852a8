//! Manifests that the public builders cannot express, for tests.

use std::sync::Arc;

use cose::Signer;
use keys::SigningKey;

use crate::build::{Draft, SequenceWriter};
use crate::cbor::Writer;
use crate::command::{Condition, Directive, label};
use crate::component::ComponentId;
use crate::digest::Digest;
use crate::parameter::{Parameter, write_parameters};
use crate::process::{Context, Ending};
use crate::section::{Procedure, Section};
use crate::testing::{Shell, authentic, new_key, owner_context};
use crate::{Error, Processor};

/// A device with one author, whose key may do everything.
pub(crate) struct Bench {
    pub(crate) key: Arc<SigningKey>,
    pub(crate) context: Context,
    pub(crate) shell: Shell,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let mut context = owner_context();
        context.authority = Arc::new(crate::authority::AnyComponent);
        Self { key: Arc::new(new_key()), context, shell: Shell::new() }
    }

    /// A new device of the author of another one.
    pub(crate) fn with_key(other: &Self) -> Self {
        Self { key: other.key.clone(), ..Self::new() }
    }

    /// Signs a draft.
    pub(crate) fn sign(&self, draft: Draft) -> Vec<u8> {
        draft.sign(&*self.key).unwrap().envelope
    }

    /// Signs a draft and runs it on the device.
    pub(crate) fn run(&mut self, draft: Draft, procedure: Procedure) -> Ending {
        self.try_run(draft, procedure).unwrap()
    }

    /// The same for a draft that may be refused.
    pub(crate) fn try_run(&mut self, draft: Draft, procedure: Procedure) -> Result<Ending, Error> {
        let envelope = self.sign(draft);
        self.try_run_envelope(&envelope, procedure)
    }

    pub(crate) fn try_run_envelope(
        &mut self,
        envelope: &[u8],
        procedure: Procedure,
    ) -> Result<Ending, Error> {
        let anchors = crate::Anchors::none().with_key(self.key.key().clone());
        let verified =
            crate::Envelope::decode(envelope)?.authenticate(&anchors, &cose::Accept::CURRENT)?;
        let mut processor = Processor::new(&verified, self.context.clone())?;
        let ending = self.shell.run(&mut processor, procedure);
        self.context.installed = processor.installed().clone();
        Ok(ending)
    }

    /// Runs a section of commands on component `a` (and `b`, `c` if more are asked for).
    pub(crate) fn install(&mut self, components: usize, commands: SequenceWriter) -> Ending {
        let mut draft = draft(components);
        draft.sections.insert(Section::Install, commands);
        self.run(draft, Procedure::Update)
    }
}

/// A draft with the components `a`, `b`, `c`, … and nothing else.
pub(crate) fn draft(components: usize) -> Draft {
    let mut draft = Draft::new(1);
    draft.components = ["a", "b", "c", "d"][..components].iter().map(|name| id(name)).collect();
    draft.component_id = Some(id("a.suit"));
    draft
}

/// A draft with component `a` and this install section.
pub(crate) fn installing(commands: SequenceWriter) -> Draft {
    let mut draft = draft(1);
    draft.sections.insert(Section::Install, commands);
    draft
}

pub(crate) fn id(name: &str) -> ComponentId {
    ComponentId::new([name]).unwrap()
}

pub(crate) fn sequence() -> SequenceWriter {
    SequenceWriter::new()
}

pub(crate) fn digest_of(content: &[u8]) -> Digest {
    Digest::sha256(cose::sha256(content))
}

/// Writes `content` to the selected component.
pub(crate) fn writing(content: &[u8]) -> SequenceWriter {
    sequence().override_parameters(&[Parameter::Content(content)]).directive(Directive::Write)
}

impl SequenceWriter {
    pub(crate) fn set_parameters(self, parameters: &[Parameter<'_>]) -> Self {
        self.command(label::SET_PARAMETERS, |w| write_parameters(w, parameters))
    }

    pub(crate) fn try_each(self, sequences: &[Self], or_succeed: bool) -> Self {
        self.command(label::TRY_EACH, |w| {
            w.array(sequences.len() + usize::from(or_succeed));
            sequences.iter().for_each(|sequence| {
                w.bytes(&sequence.finish());
            });
            if or_succeed {
                w.null();
            }
        })
    }

    pub(crate) fn run_sequence(self, sequence: &Self) -> Self {
        self.command(label::RUN_SEQUENCE, |w| {
            w.bytes(&sequence.finish());
        })
    }

    pub(crate) fn abort(self) -> Self {
        self.condition(Condition::Abort)
    }

    pub(crate) fn then(mut self, other: Self) -> Self {
        self.append(other);
        self
    }
}

/// Encodes with the writer of the crate.
pub(crate) fn encoded(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    Writer::collect(write)
}

/// Authenticates by the key that travels with the signature.
pub(crate) fn opened(envelope: &[u8]) -> crate::Verified<'_> {
    authentic(envelope)
}
