//! Platforms and realms: CCA, and what virtCCA shares with it.

use rats::corim::Class;

use super::{Stateable, Stated, Statement, implementation, implementation_of};
use crate::evidence::arm::{PlatformReference, REGISTERS, RealmReference};
use crate::evidence::cca;
use crate::value::Hex;

impl Stateable for cca::Reference {
    fn name(&self) -> &str {
        &self.name
    }

    fn class(&self) -> Class {
        implementation("Arm", "CCA", &self.platform.implementation_id)
    }

    fn state(&self, statement: &mut Statement) {
        state_platform(&self.platform, statement);
        state_realm(&self.realm, statement);
    }

    fn read(name: &str, class: &Class, stated: &Stated<'_>) -> Option<Self> {
        let implementation_id = implementation_of(class, "Arm", "CCA")?;
        let platform = read_platform(implementation_id, stated);
        Some(Self { name: name.to_owned(), platform, realm: read_realm(stated)? })
    }
}

pub(super) fn state_platform(platform: &PlatformReference, statement: &mut Statement) {
    statement.components(&platform.components);
    statement.raw("configuration", platform.configuration.as_ref());
}

pub(super) fn read_platform(implementation_id: Hex<32>, stated: &Stated<'_>) -> PlatformReference {
    PlatformReference {
        implementation_id,
        configuration: stated.any_raw("configuration"),
        components: stated.components(),
    }
}

pub(super) fn state_realm(realm: &RealmReference, statement: &mut Statement) {
    let registers = [&realm.rem0, &realm.rem1, &realm.rem2, &realm.rem3];
    statement.digest("rim", Some(&realm.rim));
    statement.raw("rpv", realm.rpv);
    statement.registers(REGISTERS.into_iter().zip(registers.map(Option::as_ref)));
}

pub(super) fn read_realm(stated: &Stated<'_>) -> Option<RealmReference> {
    let [rem0, rem1, rem2, rem3] = REGISTERS.map(|register| stated.register(register));
    let rim = stated.any_digest("rim")?;
    Some(RealmReference { rim, rpv: stated.raw("rpv"), rem0, rem1, rem2, rem3 })
}
