//! TrustZone software: iTrustee, virtCCA, OP-TEE and PSA.

use rats::corim::Class;

use super::arm::{read_platform, read_realm, state_platform, state_realm};
use super::{Stateable, Stated, Statement, class, implementation, implementation_of};
use crate::evidence::trustzone::{Reference, Software, Uuid, itrustee, optee, psa, virtcca};
use crate::value::Hex;

impl Stateable for Reference {
    fn name(&self) -> &str {
        &self.name
    }

    fn class(&self) -> Class {
        match &self.software {
            Software::Itrustee(_) => class("Huawei", "iTrustee"),
            Software::OpTee(_) => class("TrustedFirmware", "OP-TEE"),
            Software::Psa(psa) => implementation("Arm", "PSA", &psa.implementation_id),
            Software::VirtCca(machine) => {
                implementation("Huawei", "virtCCA", &machine.platform.implementation_id)
            }
        }
    }

    fn state(&self, statement: &mut Statement) {
        match &self.software {
            Software::Itrustee(itrustee) => state_itrustee(itrustee, statement),
            Software::OpTee(optee) => {
                statement.raw("ta", Some(optee.ta.0));
                statement.digest(optee.command.name(), Some(optee.digest));
            }
            Software::Psa(psa) => {
                statement.components(&psa.components);
                let certified = psa.certification_reference.as_ref();
                statement.text("certification-reference", certified);
            }
            Software::VirtCca(machine) => {
                state_platform(&machine.platform, statement);
                state_realm(&machine.cvm, statement);
            }
        }
    }

    fn read(name: &str, class: &Class, stated: &Stated<'_>) -> Option<Self> {
        let software = match (class.vendor.as_deref()?, class.model.as_deref()?) {
            ("Huawei", "iTrustee") => Software::Itrustee(read_itrustee(stated)?),
            ("TrustedFirmware", "OP-TEE") => Software::OpTee(read_optee(stated)?),
            ("Arm", "PSA") => Software::Psa(psa::Reference {
                implementation_id: implementation_of(class, "Arm", "PSA")?,
                components: stated.components(),
                certification_reference: stated.text("certification-reference"),
            }),
            ("Huawei", "virtCCA") => Software::VirtCca(Box::new(virtcca::Reference {
                platform: read_platform(implementation_of(class, "Huawei", "virtCCA")?, stated),
                cvm: read_realm(stated)?,
            })),
            _ => return None,
        };
        Some(Self { name: name.to_owned(), software })
    }
}

fn state_itrustee(itrustee: &itrustee::Reference, statement: &mut Statement) {
    let ta = itrustee.ta.as_ref();
    statement.digest("qta-img", Some(itrustee.qta_img));
    statement.digest("qta-mem", Some(itrustee.qta_mem));
    statement.raw("ta", ta.map(|ta| ta.uuid.0));
    statement.digest("ta-img", ta.map(|ta| ta.img));
    statement.digest("ta-mem", ta.map(|ta| ta.mem));
    statement.digest("ima-log", itrustee.ima_log);
}

fn read_itrustee(stated: &Stated<'_>) -> Option<itrustee::Reference> {
    let ta = stated.raw("ta").map(|Hex(uuid)| {
        let (img, mem) = (stated.digest("ta-img")?, stated.digest("ta-mem")?);
        Some(itrustee::TaReference { uuid: Uuid(uuid), img, mem })
    });
    Some(itrustee::Reference {
        qta_img: stated.digest("qta-img")?,
        qta_mem: stated.digest("qta-mem")?,
        ta: ta.flatten(),
        ima_log: stated.digest("ima-log"),
    })
}

fn read_optee(stated: &Stated<'_>) -> Option<optee::Reference> {
    let digest = |command: optee::Command| Some((command, stated.digest(command.name())?));
    let (command, digest) = optee::Command::ALL.into_iter().find_map(digest)?;
    Some(optee::Reference { ta: Uuid(stated.raw::<16>("ta")?.0), command, digest })
}
