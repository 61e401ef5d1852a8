//! Reference values that a reference value provider states in a CoRIM.
//!
//! The profile of an SGX enclave, for which no published one exists: a reference triple whose
//! class is vendor `Intel`, model `SGX`, and whose measurements carry these keys:
//!
//! | key | value |
//! |---|---|
//! | `mrenclave` | digests: SHA-256, the measurement; name: what people call it |
//! | `config-id` | digests: SHA-256 of the configuration; CONFIGID is it and 32 zero bytes |
//!
//! A triple without `mrenclave` states nothing about an enclave and is passed over. A CoRIM comes
//! here after `rats` has checked its signature, signer and times.

use rats::corim::{
    Class, Comid, Corim, Digest, Environment, Measurement, MeasurementKey, ReferenceTriple, TagId,
    Validity,
};

use crate::{
    ReferenceValues,
    evidence::sgx::{Reference, Spelling},
    value::Hex,
};

impl ReferenceValues {
    /// Adds what a verified CoRIM states.
    #[must_use]
    pub fn with_corim(mut self, corim: &Corim) -> Self {
        let triples = corim.tags.iter().flat_map(|tag| &tag.reference_values);
        let sgx = triples.filter(|triple| triple.environment.matches(&sgx_class()));
        self.sgx.extend(sgx.filter_map(|triple| enclave(&triple.measurements)));
        self
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
    let triple = ReferenceTriple {
        environment: Environment::of(sgx_class()),
        measurements: vec![
            measurement(MRENCLAVE, mrenclave, Some(name.to_owned())),
            measurement(CONFIG_ID, configuration, None),
        ],
    };
    let id = TagId::Text(format!("tamarack/sgx/{name}"));
    let comid = Comid { id: id.clone(), version: 0, reference_values: vec![triple] };
    Corim { id, tags: vec![comid], validity }
}

fn enclave(measurements: &[Measurement]) -> Option<Reference> {
    let mrenclave = stated(measurements, MRENCLAVE)?;
    let config_id = stated(measurements, CONFIG_ID).map(|digest| {
        let mut config_id = [0; 64];
        config_id[..32].copy_from_slice(&sha256(digest)?);
        Some(Hex(config_id))
    });
    let name = mrenclave.name.clone().unwrap_or_else(|| "unnamed enclave".to_owned());
    // A value that is stated but not readable must not become one that is not compared.
    let config_id = match config_id {
        Some(None) => return None,
        Some(read) => read,
        None => None,
    };
    let spelt = Spelling {
        name,
        mrenclave: Some(Hex(sha256(mrenclave)?)),
        config_id,
        ..Spelling::default()
    };
    spelt.try_into().ok()
}

fn stated<'m>(measurements: &'m [Measurement], key: &str) -> Option<&'m Measurement> {
    let named = |m: &&Measurement| matches!(&m.key, Some(MeasurementKey::Text(k)) if k == key);
    measurements.iter().find(named)
}

fn sha256(measurement: &Measurement) -> Option<[u8; 32]> {
    // A restriction that is not understood here makes the statement unusable.
    if !measurement.restrictions.is_empty() {
        return None;
    }
    let of_sha256 = |digest: &&Digest| {
        let same = Digest::sha256([0; 32]);
        digest.algorithm == same.algorithm
    };
    measurement.digests.iter().find(of_sha256)?.value.as_slice().try_into().ok()
}

fn measurement(key: &str, digest: [u8; 32], name: Option<String>) -> Measurement {
    Measurement {
        key: Some(MeasurementKey::Text(key.to_owned())),
        version: None,
        svn: None,
        digests: vec![Digest::sha256(digest)],
        name,
        restrictions: Vec::new(),
    }
}

fn sgx_class() -> Class {
    Class { id: None, vendor: Some("Intel".to_owned()), model: Some("SGX".to_owned()) }
}

const MRENCLAVE: &str = "mrenclave";
const CONFIG_ID: &str = "config-id";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enclave_that_was_stated_is_read_again() {
        let corim = sgx_enclave("agent 1", [7; 32], [9; 32], None);

        let values = ReferenceValues::default().with_corim(&corim);

        let spelt = Spelling::from(values.sgx[0].clone());
        assert_eq!(spelt.mrenclave, Some(Hex([7; 32])));
        let mut config_id = [0; 64];
        config_id[..32].copy_from_slice(&[9; 32]);
        assert_eq!(spelt.config_id, Some(Hex(config_id)));
        assert_eq!(spelt.name, "agent 1");
    }

    #[test]
    fn what_states_no_measurement_gives_no_reference_value() {
        let mut corim = sgx_enclave("agent 1", [7; 32], [9; 32], None);
        corim.tags[0].reference_values[0].measurements.remove(0);

        assert!(ReferenceValues::default().with_corim(&corim).sgx.is_empty());
    }

    #[test]
    fn a_configuration_that_does_not_read_is_not_left_out_of_the_comparison() {
        let mut corim = sgx_enclave("agent 1", [7; 32], [9; 32], None);
        corim.tags[0].reference_values[0].measurements[1].digests[0].value.truncate(8);

        assert!(ReferenceValues::default().with_corim(&corim).sgx.is_empty());
    }
}
