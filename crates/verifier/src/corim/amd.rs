//! SEV-SNP guests, and SEV and SEV-ES guests.

use rats::Label;
use rats::corim::{Class, Svn};

use super::{Stateable, Stated, Statement, class};
use crate::evidence::snp::{Register, Spelling};
use crate::evidence::{sev, snp};
use crate::value::Hex;

impl Stateable for snp::Reference {
    fn name(&self) -> &str {
        crate::reference::Comparable::name(self)
    }

    fn class(&self) -> Class {
        class("AMD", "SEV-SNP")
    }

    fn state(&self, statement: &mut Statement) {
        let spelt = Spelling::from(self.clone());
        let register =
            |register: &Register| (Label::Int(register.index.into()), Some(register.sha256));
        statement.digest("measurement", spelt.measurement);
        statement.digest("id-key-digest", spelt.id_key_digest);
        statement.digest("author-key-digest", spelt.author_key_digest);
        statement.raw("family-id", spelt.family_id);
        statement.raw("image-id", spelt.image_id);
        statement.svn("guest-svn", spelt.guest_svn_min.map(|svn| Svn::Min(svn.into())));
        statement.raw("host-data", spelt.host_data);
        statement.registers(spelt.pcrs.iter().map(register));
    }

    fn read(name: &str, class: &Class, stated: &Stated<'_>) -> Option<Self> {
        if *class != super::class("AMD", "SEV-SNP") {
            return None;
        }
        let register = |(number, value): (i64, &[u8])| {
            let sha256 = Hex(value.try_into().ok()?);
            Some(Register { index: number.try_into().ok()?, sha256 })
        };
        let spelt = Spelling {
            name: name.to_owned(),
            measurement: stated.digest("measurement"),
            id_key_digest: stated.digest("id-key-digest"),
            author_key_digest: stated.digest("author-key-digest"),
            family_id: stated.raw("family-id"),
            image_id: stated.raw("image-id"),
            guest_svn_min: stated.svn("guest-svn"),
            host_data: stated.raw("host-data"),
            pcrs: stated.numbered_registers().filter_map(register).collect(),
        };
        spelt.try_into().ok()
    }
}

impl Stateable for sev::Reference {
    fn name(&self) -> &str {
        &self.name
    }

    fn class(&self) -> Class {
        class("AMD", "SEV")
    }

    fn state(&self, statement: &mut Statement) {
        statement.digest("launch-digest", Some(self.launch_digest));
    }

    fn read(name: &str, class: &Class, stated: &Stated<'_>) -> Option<Self> {
        if *class != super::class("AMD", "SEV") {
            return None;
        }
        Some(Self { name: name.to_owned(), launch_digest: stated.digest("launch-digest")? })
    }
}
