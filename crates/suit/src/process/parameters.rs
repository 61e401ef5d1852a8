//! Setting parameters and reading them.

use super::failure::Fault;
use super::frame::{Entries, Frame, Scene};
use super::machine::Stop;
use super::{FreeOrder, Located, Processor};
use crate::cbor::Reader;
use crate::digest::Digest;
use crate::error::Error;
use crate::parameter::{Parameter, key};
use crate::report::Properties;

impl Processor<'_> {
    //= suit 13.43 (M): override replaces, set-parameters does not. M 8.4.10.3, D 5.6.1
    //= suit 13.65 (M): Dependent cannot override values the dependency sets with
    //= override-parameters; can replace those set with set-parameters. D 5.6.1
    //= suit 13.85 (M): Both override and set carry encryption-info. E 4
    //= suit 13.44 (M): Parameters belong to one component; strict-order and soft-failure are
    //= global. M 8.4.8
    pub(super) fn set_parameters(
        &mut self,
        scene: Scene,
        entries: &Entries,
        replace: bool,
    ) -> Result<(), Stop> {
        self.store_parameters(scene, scene.slot, entries, replace)?;
        self.held(&scene, Properties::new());
        Ok(())
    }

    /// update-management section 4: sets parameters of several components.
    pub(super) fn override_multiple(
        &mut self,
        scene: Scene,
        several: &[(u64, Entries)],
    ) -> Result<(), Stop> {
        for (index, entries) in several {
            let slot = self.bound(scene.program, *index)?;
            self.store_parameters(scene, slot, entries, true)?;
        }
        self.held(&scene, Properties::new());
        Ok(())
    }

    /// update-management section 4: takes parameters over from other components.
    pub(super) fn copy_parameters(
        &mut self,
        scene: Scene,
        sources: &[(u64, Vec<i64>)],
    ) -> Result<(), Stop> {
        for (index, keys) in sources {
            let source = self.bound(scene.program, *index)?;
            for key in keys {
                let value = self.slots[source].parameters.get(key).cloned();
                let value = value.ok_or(Fault::ParameterUnset(*key))?;
                self.slots[scene.slot].parameters.insert(*key, value);
            }
        }
        self.held(&scene, Properties::new());
        Ok(())
    }

    fn store_parameters(
        &mut self,
        scene: Scene,
        slot: usize,
        entries: &Entries,
        replace: bool,
    ) -> Result<(), Stop> {
        for (key, range) in entries {
            let at = Located::In { program: scene.program, range: range.clone() };
            // The others were read with their command.
            let switch = matches!(*key, key::STRICT_ORDER | key::SOFT_FAILURE);
            let switch = switch.then(|| Reader::trusted(self.bytes(&at)).bool()).transpose();
            if let Some(on) = switch.map_err(Error::from)? {
                if *key == key::SOFT_FAILURE {
                    self.set_soft_failure(on)?;
                } else {
                    self.run.free_order = (!on).then(FreeOrder::default);
                }
            } else if replace || !self.slots[slot].parameters.contains_key(key) {
                self.slots[slot].parameters.insert(*key, at);
            }
        }
        Ok(())
    }

    //= suit 13.39 (M): soft-failure false inside a try-each sequence makes its condition failure
    //= abort. M 8.4.8
    //= suit 13.40 (M): soft-failure outside try-each/run-sequence aborts; value restored
    //= afterwards. M 8.4.8
    fn set_soft_failure(&mut self, soft: bool) -> Result<(), Stop> {
        match self.run.frames.last_mut() {
            Some(Frame::Sequence(running)) if running.soft.is_some() => {
                running.soft = Some(soft);
                Ok(())
            }
            Some(_) | None => Err(Fault::SoftFailure.into()),
        }
    }

    /// The component of an index.
    pub(super) fn bound(&self, program: usize, index: u64) -> Result<usize, Stop> {
        let slot = self.bindings[program].get(&index).copied();
        slot.ok_or_else(|| Fault::Index(index).into())
    }

    pub(super) fn digest(&self, slot: usize) -> Option<Digest> {
        let Parameter::ImageDigest(digest) = self.parameter(slot, key::IMAGE_DIGEST)? else {
            return None;
        };
        Some(digest)
    }

    pub(super) fn size(&self, slot: usize) -> Option<u64> {
        self.number(slot, key::IMAGE_SIZE)
    }

    pub(super) fn uri(&self, slot: usize) -> Option<&str> {
        let Parameter::Uri(uri) = self.parameter(slot, key::URI)? else { return None };
        Some(uri)
    }

    pub(super) fn number(&self, slot: usize, key: i64) -> Option<u64> {
        let (Parameter::UseBefore(value)
        | Parameter::ComponentSlot(value)
        | Parameter::ImageSize(value)
        | Parameter::SourceComponent(value)
        | Parameter::MinimumBattery(value)) = self.parameter(slot, key)?
        else {
            return None;
        };
        Some(value)
    }

    pub(super) fn byte_parameter(&self, slot: usize, key: i64) -> Option<&[u8]> {
        let (Parameter::Content(value)
        | Parameter::EncryptionInfo(value)
        | Parameter::InvokeArgs(value)
        | Parameter::FetchArguments(value)
        | Parameter::WaitInfo(value)) = self.parameter(slot, key)?
        else {
            return None;
        };
        Some(value)
    }
}
