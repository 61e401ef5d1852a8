//! Conditions (suit-manifest section 8.4.9, trust-domains 5.6, update-management 4).

use super::Processor;
use super::failure::{Fault, Value};
use super::frame::Scene;
use super::machine::Stop;
use super::operation::{Asked, Purpose};
use crate::command::Condition;
use crate::parameter::{Parameter, Uuid, VendorId, key};
use crate::report::Properties;

impl Processor<'_> {
    //= suit 13.30 (M): Condition whose parameter is unset fails. M 8.4.9
    pub(super) fn condition(&mut self, scene: Scene, condition: Condition) -> Result<(), Stop> {
        match condition {
            Condition::VendorIdentifier => self.vendor(scene),
            Condition::ClassIdentifier => self.class(scene),
            Condition::DeviceIdentifier => self.device(scene),
            Condition::ImageMatch => self.image_match(scene, true),
            Condition::ImageNotMatch => self.image_match(scene, false),
            Condition::UseBefore => self.use_before(scene),
            Condition::ComponentSlot => self.component_slot(scene),
            Condition::CheckContent => {
                self.needed(scene, key::CONTENT)?;
                self.ask(scene, Asked::CheckContent);
                Ok(())
            }
            Condition::DependencyIntegrity => self.dependency_integrity(scene),
            //= suit 13.62 (M): is-dependency true/false right. D 5.6.3
            Condition::IsDependency => {
                if self.programs[scene.program].dependencies.contains_key(&scene.index) {
                    self.hold(scene)
                } else {
                    Err(Stop::soft(Fault::NotDependency, Properties::new()))
                }
            }
            Condition::Abort => Err(Stop::soft(Fault::Abort, Properties::new())),
            Condition::MinimumBattery => self.minimum_battery(scene),
            Condition::UpdateAuthorized => {
                let Parameter::UpdatePriority(priority) =
                    self.needed(scene, key::UPDATE_PRIORITY)?
                else {
                    return Err(unset(key::UPDATE_PRIORITY));
                };
                self.ask(scene, Asked::Authorize(priority));
                Ok(())
            }
            Condition::Version => {
                let Parameter::Version(wanted) = self.needed(scene, key::VERSION)? else {
                    return Err(unset(key::VERSION));
                };
                self.ask(scene, Asked::Version(wanted));
                Ok(())
            }
        }
    }

    //= suit 13.31 (M): Vendor/class mismatch fails; PEN form (tag 112) accepted. M 8.4.8
    fn vendor(&mut self, scene: Scene) -> Result<(), Stop> {
        let device = &self.context.device;
        let Parameter::VendorId(wanted) = self.needed(scene, key::VENDOR_ID)? else {
            return Err(unset(key::VENDOR_ID));
        };
        let (known, wanted) = match wanted {
            VendorId::Uuid(uuid) => (device.vendors.contains(&uuid), uuid.bytes().to_vec()),
            VendorId::Pen(number) => {
                (device.vendor_numbers.iter().any(|own| own == number), number.to_vec())
            }
        };
        let own = device.vendors.first().copied();
        self.identity_result(scene, known, wanted, own, |own| {
            Parameter::VendorId(VendorId::Uuid(own))
        })
    }

    fn class(&mut self, scene: Scene) -> Result<(), Stop> {
        let Parameter::ClassId(wanted) = self.needed(scene, key::CLASS_ID)? else {
            return Err(unset(key::CLASS_ID));
        };
        let known = self.context.device.classes.contains(&wanted);
        let own = self.context.device.classes.first().copied();
        self.identity_result(scene, known, wanted.bytes().to_vec(), own, Parameter::ClassId)
    }

    fn device(&mut self, scene: Scene) -> Result<(), Stop> {
        let Parameter::DeviceId(wanted) = self.needed(scene, key::DEVICE_ID)? else {
            return Err(unset(key::DEVICE_ID));
        };
        let own = self.context.device.device;
        let known = own == Some(wanted);
        self.identity_result(scene, known, wanted.bytes().to_vec(), own, Parameter::DeviceId)
    }

    fn identity_result(
        &mut self,
        scene: Scene,
        known: bool,
        expected: Vec<u8>,
        own: Option<Uuid>,
        property: impl Fn(Uuid) -> Parameter<'static>,
    ) -> Result<(), Stop> {
        if known {
            return self.hold(scene);
        }
        let (seen, measured) = match own {
            Some(own) => {
                (Value::Bytes(own.bytes().to_vec()), Properties::new().with(&property(own)))
            }
            None => (Value::Nothing, Properties::new()),
        };
        Err(Stop::soft(Fault::Mismatch { expected: Value::Bytes(expected), seen }, measured))
    }

    fn image_match(&mut self, scene: Scene, equal: bool) -> Result<(), Stop> {
        let expected = self.digest(scene.slot).ok_or_else(|| unset(key::IMAGE_DIGEST))?;
        let dependency = self.programs[scene.program].dependencies.contains_key(&scene.index);
        let asked = if dependency && equal {
            Asked::Load(Purpose::ImageMatch(expected))
        } else {
            Asked::Digest { expected, equal }
        };
        self.ask(scene, asked);
        Ok(())
    }

    fn component_slot(&mut self, scene: Scene) -> Result<(), Stop> {
        let wanted = self.needed_number(scene, key::COMPONENT_SLOT)?;
        let own = self.context.device.slots.get(self.component(&scene)).copied();
        if own == Some(wanted) {
            return self.hold(scene);
        }
        let measured = own.map(|own| Properties::new().with(&Parameter::ComponentSlot(own)));
        let fault = Fault::Mismatch {
            expected: Value::Number(wanted),
            seen: own.map_or(Value::Nothing, Value::Number),
        };
        Err(Stop::soft(fault, measured.unwrap_or_default()))
    }

    //= suit 13.103 (M): use-before in 64 bits. U 4.1
    fn use_before(&mut self, scene: Scene) -> Result<(), Stop> {
        let before = self.needed_number(scene, key::USE_BEFORE)?;
        match self.context.device.now {
            Some(now) if now < before => self.hold(scene),
            now => {
                let fault = Fault::Mismatch {
                    expected: Value::Number(before),
                    seen: now.map_or(Value::Nothing, Value::Number),
                };
                let measured = now.map(|now| Properties::new().with(&Parameter::UseBefore(now)));
                Err(Stop::soft(fault, measured.unwrap_or_default()))
            }
        }
    }

    fn minimum_battery(&mut self, scene: Scene) -> Result<(), Stop> {
        let least = self.needed_number(scene, key::MINIMUM_BATTERY)?;
        match self.context.device.battery {
            Some(charge) if charge >= least => self.hold(scene),
            charge => {
                let fault = Fault::Mismatch {
                    expected: Value::Number(least),
                    seen: charge.map_or(Value::Nothing, Value::Number),
                };
                let measured =
                    charge.map(|own| Properties::new().with(&Parameter::MinimumBattery(own)));
                Err(Stop::soft(fault, measured.unwrap_or_default()))
            }
        }
    }

    pub(super) fn hold(&mut self, scene: Scene) -> Result<(), Stop> {
        self.held(&scene, Properties::new());
        Ok(())
    }

    fn needed(&self, scene: Scene, key: i64) -> Result<Parameter<'_>, Stop> {
        self.parameter(scene.slot, key).ok_or_else(|| unset(key))
    }

    fn needed_number(&self, scene: Scene, key: i64) -> Result<u64, Stop> {
        self.number(scene.slot, key).ok_or_else(|| unset(key))
    }
}

pub(super) fn unset(key: i64) -> Stop {
    Stop::soft(Fault::ParameterUnset(key), Properties::new())
}
