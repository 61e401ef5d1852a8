//! SGX enclaves and TDX trust domains.

use rats::corim::{Class, Svn};

use super::{Stateable, Stated, Statement, class};
use crate::evidence::sgx::Spelling;
use crate::evidence::{sgx, tdx};
use crate::value::Hex;

impl Stateable for sgx::Reference {
    fn name(&self) -> &str {
        crate::reference::Comparable::name(self)
    }

    fn class(&self) -> Class {
        class("Intel", "SGX")
    }

    fn state(&self, statement: &mut Statement) {
        let spelt = Spelling::from(self.clone());
        let exact = |number: u16| Svn::Exact(number.into());
        let lowest = |number: u16| Svn::Min(number.into());
        statement.digest("mrenclave", spelt.mrenclave);
        statement.digest("mrsigner", spelt.mrsigner);
        statement.svn("isvprodid", spelt.isvprodid.map(exact));
        statement.svn("isvsvn", spelt.isvsvn_min.map(lowest));
        match spelt.config_id {
            // A CONFIGID that is a digest with zeros behind it is stated as the digest.
            Some(Hex(id)) if id[32..] == [0; 32] => statement.digest("config-id", Some(&id[..32])),
            id => statement.raw("config-id", id),
        }
        statement.svn("config-svn", spelt.config_svn_min.map(lowest));
    }

    fn read(name: &str, class: &Class, stated: &Stated<'_>) -> Option<Self> {
        if *class != super::class("Intel", "SGX") {
            return None;
        }
        let digest = stated.digest::<32>("config-id").map(|digest| {
            let mut id = [0; 64];
            id[..32].copy_from_slice(&digest.0);
            Hex(id)
        });
        let spelt = Spelling {
            name: name.to_owned(),
            mrenclave: stated.digest("mrenclave"),
            mrsigner: stated.digest("mrsigner"),
            isvprodid: stated.svn("isvprodid"),
            isvsvn_min: stated.svn("isvsvn"),
            config_id: digest.or_else(|| stated.raw("config-id")),
            config_svn_min: stated.svn("config-svn"),
        };
        spelt.try_into().ok()
    }
}

impl Stateable for tdx::Reference {
    fn name(&self) -> &str {
        &self.name
    }

    fn class(&self) -> Class {
        class("Intel", "TDX")
    }

    fn state(&self, statement: &mut Statement) {
        let registers = [self.rtmr0, self.rtmr1, self.rtmr2, self.rtmr3];
        statement.digest("mrtd", Some(self.mrtd));
        statement.registers(tdx::REGISTERS.into_iter().zip(registers));
        statement.raw("mrconfigid", self.mrconfigid);
        statement.raw("mrowner", self.mrowner);
        statement.raw("mrownerconfig", self.mrownerconfig);
    }

    fn read(name: &str, class: &Class, stated: &Stated<'_>) -> Option<Self> {
        if *class != super::class("Intel", "TDX") {
            return None;
        }
        let [rtmr0, rtmr1, rtmr2, rtmr3] =
            tdx::REGISTERS.map(|register| stated.fixed_register(register));
        Some(Self {
            name: name.to_owned(),
            mrtd: stated.digest("mrtd")?,
            rtmr0,
            rtmr1,
            rtmr2,
            rtmr3,
            mrconfigid: stated.raw("mrconfigid"),
            mrowner: stated.raw("mrowner"),
            mrownerconfig: stated.raw("mrownerconfig"),
        })
    }
}
