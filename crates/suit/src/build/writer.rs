//! Writes command sequences.

use crate::cbor::Writer;
use crate::command::{Condition, Directive, ReportingPolicy, Selection, label};
use crate::parameter::{Parameter, write_parameters};

/// A command sequence that grows.
#[derive(Clone, Debug, Default)]
pub(crate) struct SequenceWriter {
    commands: Vec<Vec<u8>>,
}

impl SequenceWriter {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn select(self, index: u64) -> Self {
        self.selection(&Selection::One(index))
    }

    pub(crate) fn selection(self, selection: &Selection) -> Self {
        self.command(label::SET_COMPONENT_INDEX, |w| selection.write(w))
    }

    pub(crate) fn override_parameters(self, parameters: &[Parameter<'_>]) -> Self {
        self.command(label::OVERRIDE_PARAMETERS, |w| write_parameters(w, parameters))
    }

    pub(crate) fn condition(self, condition: Condition) -> Self {
        self.command(condition.label(), |w| {
            w.uint(u64::from(ReportingPolicy::ALWAYS.bits()));
        })
    }

    pub(crate) fn directive(self, directive: Directive) -> Self {
        self.command(directive.label(), |w| {
            w.uint(u64::from(ReportingPolicy::ON_FAILURE.bits()));
        })
    }

    /// Any label with any argument.
    pub(crate) fn command(mut self, label: i64, argument: impl FnOnce(&mut Writer)) -> Self {
        self.commands.push(Writer::collect(|w| {
            w.int(label);
            argument(w);
        }));
        self
    }

    #[cfg(test)]
    pub(crate) fn append(&mut self, other: Self) {
        self.commands.extend(other.commands);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub(crate) fn finish(&self) -> Vec<u8> {
        Writer::collect(|w| {
            w.array(self.commands.len() * 2);
            self.commands.iter().for_each(|command| {
                w.raw(command);
            });
        })
    }
}
