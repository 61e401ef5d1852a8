//! The options map of a received message.

use std::borrow::Cow;
use std::collections::BTreeMap;

use minicbor::decode::Decoder;

use crate::attestation::AttestationPayload;
use crate::limits;
use crate::malformed::Malformed;
use crate::numbering::Numbering;
use crate::option::Label;
use crate::wire;

/// The known options of one message, each still encoded.
pub(super) struct Fields<'b> {
    numbering: Numbering,
    entries: BTreeMap<Label, &'b [u8]>,
}

impl<'b> Fields<'b> {
    //= teep 14.12 (S): an unknown option label is ignored and the message processed
    pub(super) fn decode(d: &mut Decoder<'b>, numbering: Numbering) -> Result<Self, Malformed> {
        let mut entries = BTreeMap::new();
        wire::map(d, "options", limits::OPTIONS, |d| {
            let number = wire::uint(d, "an unsigned integer as option label")?;
            let value = wire::raw(d)?;
            if let Some(label) = Label::from_number(number, numbering) {
                entries.insert(label, value);
            }
            Ok(())
        })?;
        Ok(Self { numbering, entries })
    }

    pub(super) const fn numbering(&self) -> Numbering {
        self.numbering
    }

    /// Takes an option out and reads it.
    pub(super) fn take<T>(
        &mut self,
        label: Label,
        read: impl FnOnce(&mut Decoder<'b>) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        match self.entries.remove(&label) {
            Some(value) => read(&mut Decoder::new(value)).map(Some),
            None => Ok(None),
        }
    }

    /// Takes out an option that is a list of one element or more; none if absent.
    //= teep 14.15 (M): empty arrays where the document asks for one or more are refused
    pub(super) fn list<T>(
        &mut self,
        label: Label,
        max: usize,
        element: impl FnMut(&mut Decoder<'b>) -> Result<T, Malformed>,
    ) -> Result<Option<Vec<T>>, Malformed> {
        self.take(label, |d| wire::list(d, label.name(), max, element))
    }

    /// Takes out suit-reports, none if absent.
    pub(super) fn suit_reports(&mut self) -> Result<Vec<Cow<'b, [u8]>>, Malformed> {
        let report = |d: &mut Decoder<'b>| wire::wrapped(d, "suit-reports", limits::ATTACHMENT);
        Ok(self.list(Label::SuitReports, limits::REPORTS, report)?.unwrap_or_default())
    }

    /// Takes out attestation-payload and its format.
    pub(super) fn attestation_payload(
        &mut self,
    ) -> Result<Option<AttestationPayload<'b>>, Malformed> {
        let format = self.take(Label::AttestationPayloadFormat, |d| {
            crate::text::sized(d, Label::AttestationPayloadFormat.name(), limits::FORMAT_BYTES)
        })?;
        let bytes = self.take(Label::AttestationPayload, |d| {
            wire::bytes(d, Label::AttestationPayload.name())
        })?;
        Ok(bytes.map(|bytes| AttestationPayload { format, bytes }))
    }
}
