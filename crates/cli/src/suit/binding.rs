//! Which digest binds which payload: read from the commands, without running them.

use std::collections::BTreeMap;

use suit::{
    Digest, Manifest, Parameter, Section, Sequence,
    command::{Command, Condition, Directive, Selection},
};

/// A payload that a manifest fetches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    /// Where from.
    pub uri: String,
    /// The component index that it is for.
    pub index: u64,
    /// The digest that it has to have.
    pub digest: Option<Digest>,
    /// The size that it has to have.
    pub size: Option<u64>,
    /// Whether it is encrypted, so that the digest is that of its plaintext.
    pub encrypted: bool,
}

/// Every payload that the sections fetch, each section for itself after the shared sequence.
pub(super) fn bindings(manifest: &Manifest<'_>) -> Vec<Binding> {
    let mut found = Vec::new();
    let indices: Vec<u64> = manifest.common.indices().into_keys().collect();
    for section in Section::ALL {
        let Some(sequence) = manifest.section(section).and_then(|member| member.content()) else {
            continue;
        };
        let mut walk =
            Walk { indices: &indices, selected: indices.clone(), known: BTreeMap::new() };
        if let Some(shared) = &manifest.common.shared {
            walk.sequence(shared, &mut found);
        }
        if indices.len() == 1 {
            walk.selected.clone_from(&indices);
        }
        walk.sequence(sequence, &mut found);
    }
    found.dedup();
    found
}

#[derive(Clone)]
struct Walk<'a> {
    indices: &'a [u64],
    selected: Vec<u64>,
    known: BTreeMap<u64, Known>,
}

#[derive(Clone, Default)]
struct Known {
    uri: Option<String>,
    digest: Option<Digest>,
    size: Option<u64>,
    encrypted: bool,
}

impl Walk<'_> {
    fn sequence(&mut self, sequence: &Sequence<'_>, found: &mut Vec<Binding>) {
        for (_, command) in sequence.commands() {
            self.command(&command, found);
        }
    }

    fn command(&mut self, command: &Command<'_>, found: &mut Vec<Binding>) {
        match command {
            Command::SetComponentIndex(selection) => {
                self.selected = match selection {
                    Selection::One(index) => vec![*index],
                    Selection::All => self.indices.to_vec(),
                    Selection::Several(several) => several.clone(),
                }
            }
            Command::SetParameters(parameters) | Command::OverrideParameters(parameters) => {
                let replace = matches!(command, Command::OverrideParameters(_));
                for index in &self.selected {
                    let known = self.known.entry(*index).or_default();
                    parameters.iter().for_each(|parameter| known.set(&parameter, replace));
                }
            }
            Command::OverrideMultiple(several) => {
                for (index, parameters) in several {
                    let known = self.known.entry(*index).or_default();
                    parameters.iter().for_each(|parameter| known.set(&parameter, true));
                }
            }
            Command::TryEach(alternatives) => {
                for sequence in &alternatives.sequences {
                    self.clone().sequence(sequence, found);
                }
            }
            Command::RunSequence(sequence) => self.sequence(sequence, found),
            Command::Directive(Directive::Fetch, _) => self.fetch(found),
            Command::Condition(Condition::ImageMatch | Condition::DependencyIntegrity, _) => {
                self.check(found);
            }
            Command::Condition(..)
            | Command::Directive(..)
            | Command::CopyParameters(_)
            | Command::Custom(..)
            | Command::Unknown(_) => {}
        }
    }

    fn fetch(&self, found: &mut Vec<Binding>) {
        for index in &self.selected {
            let known = self.known.get(index).cloned().unwrap_or_default();
            found.extend(known.uri.map(|uri| Binding {
                uri,
                index: *index,
                digest: known.digest,
                size: known.size,
                encrypted: known.encrypted,
            }));
        }
    }

    /// A digest may be set after the payload was fetched.
    fn check(&self, found: &mut [Binding]) {
        for index in &self.selected {
            let last = found.iter_mut().rev().find(|binding| binding.index == *index);
            let known = self.known.get(index);
            if let (Some(last), Some(known)) = (last, known) {
                last.digest = last.digest.or(known.digest);
                last.size = last.size.or(known.size);
            }
        }
    }
}

impl Known {
    fn set(&mut self, parameter: &Parameter<'_>, replace: bool) {
        match parameter {
            Parameter::Uri(uri) if replace || self.uri.is_none() => {
                self.uri = Some((*uri).to_owned());
            }
            Parameter::ImageDigest(digest) if replace || self.digest.is_none() => {
                self.digest = Some(*digest);
            }
            Parameter::ImageSize(size) if replace || self.size.is_none() => {
                self.size = Some(*size);
            }
            Parameter::EncryptionInfo(_) => self.encrypted = true,
            _ => {}
        }
    }
}
