//! Reference values that a reference value provider states in a CoRIM, and how they are stated.
//!
//! One CoMID states one reference value; the CoMID's identifier is what people call it. Its class
//! names the kind of evidence, its measurements are keyed as the fields of a reference value:
//!
//! * `Intel` `SGX`: `mrenclave`, or `mrsigner` with `isvprodid` and `isvsvn`; `config-id`,
//!   `config-svn`
//! * `Intel` `TDX`: `mrtd`, `mrconfigid`, `mrowner`, `mrownerconfig`; registers `rtmr0` to `rtmr3`
//! * `AMD` `SEV-SNP`: `measurement`, `host-data`, `id-key-digest`, `author-key-digest`,
//!   `family-id`, `image-id`, `guest-svn`; registers by the number of the PCR
//! * `AMD` `SEV`: `launch-digest`
//! * `Arm` `CCA`, class id: implementation id: each `software-component`, `configuration`, `rim`,
//!   `rpv`; registers `rem0` to `rem3`; `Huawei` `virtCCA` likewise
//! * `Arm` `PSA`, class id: implementation id: each `software-component`,
//!   `certification-reference`
//! * `Huawei` `iTrustee`: `qta-img`, `qta-mem`, `ta` (its UUID), `ta-img`, `ta-mem`, `ima-log`
//! * `TrustedFirmware` `OP-TEE`: `ta` (its UUID), the digest under the name of its command
//!
//! Digests are digests; what a party chose freely is a raw value; versions are an `svn`, exact or
//! lowest; a name is a name; registers are integrity registers under the key `registers`. Of a
//! software component, the name is its type and the cryptographic key is the signer id.
//!
//! A statement that is not wholly understood is no statement: a triple with a measurement, a value
//! or a restriction beyond these is passed over, so that nothing that is stated goes uncompared. A
//! CoRIM comes here after `rats` has checked its signature, signer and times.

mod amd;
mod arm;
mod intel;
mod statement;
mod trustzone;

use rats::corim::{Class, ClassId, Comid, Corim, Environment, ReferenceTriple, TagId, Validity};

use crate::ReferenceValues;
use crate::evidence::{cca, sev, sgx, snp, tdx, trustzone as tz};
use crate::value::Hex;
use statement::{Stated, Statement};

/// A reference value that a CoRIM can state.
trait Stateable: Sized {
    /// What people call it.
    fn name(&self) -> &str;

    /// What it is about.
    fn class(&self) -> Class;

    /// States every field.
    fn state(&self, statement: &mut Statement);

    /// Reads the fields; what is beside them is found out by stating again what was read.
    fn read(name: &str, class: &Class, stated: &Stated<'_>) -> Option<Self>;

    /// Reads a triple that states such a reference value, and nothing more.
    fn from_triple(name: &str, triple: &ReferenceTriple) -> Option<Self> {
        let read = Self::read(name, &triple.environment.class, &Stated(&triple.measurements))?;
        let restated = read.to_triple();
        let same = restated.measurements.len() == triple.measurements.len()
            && triple.environment == restated.environment
            && triple.measurements.iter().all(|stated| restated.measurements.contains(stated));
        same.then_some(read)
    }

    fn to_triple(&self) -> ReferenceTriple {
        let mut statement = Statement::default();
        self.state(&mut statement);
        ReferenceTriple {
            environment: Environment::of(self.class()),
            measurements: statement.finish(),
        }
    }
}

impl ReferenceValues {
    /// Adds what a verified CoRIM states.
    #[must_use]
    pub fn with_corim(mut self, corim: &Corim) -> Self {
        for tag in &corim.tags {
            let name = match &tag.id {
                TagId::Text(name) => name.clone(),
                TagId::Uuid(id) => tz::Uuid(*id).to_string(),
            };
            for triple in &tag.reference_values {
                self.add(&name, triple);
            }
        }
        self
    }

    /// States every reference value, for its provider to sign.
    #[must_use]
    pub fn to_corim(&self, id: &str, validity: Option<Validity>) -> Corim {
        let mut tags = Vec::new();
        state(&self.sgx, &mut tags);
        state(&self.tdx, &mut tags);
        state(&self.snp, &mut tags);
        state(&self.sev, &mut tags);
        state(&self.cca, &mut tags);
        state(&self.trustzone, &mut tags);
        Corim { id: TagId::Text(id.to_owned()), tags, validity }
    }

    fn add(&mut self, name: &str, triple: &ReferenceTriple) {
        self.sgx.extend(sgx::Reference::from_triple(name, triple));
        self.tdx.extend(tdx::Reference::from_triple(name, triple));
        self.snp.extend(snp::Reference::from_triple(name, triple));
        self.sev.extend(sev::Reference::from_triple(name, triple));
        self.cca.extend(cca::Reference::from_triple(name, triple));
        self.trustzone.extend(tz::Reference::from_triple(name, triple));
    }
}

/// States one SGX enclave and its configuration.
#[must_use]
pub fn sgx_enclave(
    name: &str,
    mrenclave: [u8; 32],
    configuration: [u8; 32],
    validity: Option<Validity>,
) -> Corim {
    let mut config_id = [0; 64];
    config_id[..32].copy_from_slice(&configuration);
    let enclave = sgx::Reference::enclave(name.to_owned(), mrenclave);
    let enclave = sgx::Spelling { config_id: Some(Hex(config_id)), ..enclave.into() };
    let sgx = Vec::from_iter(sgx::Reference::try_from(enclave).ok());
    ReferenceValues { sgx, ..ReferenceValues::default() }.to_corim(name, validity)
}

fn state<R: Stateable>(references: &[R], tags: &mut Vec<Comid>) {
    tags.extend(references.iter().map(|reference| Comid {
        id: TagId::Text(reference.name().to_owned()),
        version: 0,
        reference_values: vec![reference.to_triple()],
    }));
}

fn class(vendor: &str, model: &str) -> Class {
    Class { id: None, vendor: Some(vendor.to_owned()), model: Some(model.to_owned()) }
}

/// The class of devices with one immutable root of trust.
fn implementation(vendor: &str, model: &str, id: &Hex<32>) -> Class {
    Class { id: Some(ClassId::Bytes(id.0.to_vec())), ..class(vendor, model) }
}

/// The root of trust that a class names, when it is of that vendor and model.
fn implementation_of(read: &Class, vendor: &str, model: &str) -> Option<Hex<32>> {
    let Some(ClassId::Bytes(id)) = &read.id else { return None };
    let id = Hex(id.as_slice().try_into().ok()?);
    (*read == implementation(vendor, model, &id)).then_some(id)
}

#[cfg(test)]
mod tests;
