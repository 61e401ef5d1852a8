//! `tamarack reference`: states which measured software is meant, and signs the statement.

use std::path::{Path, PathBuf};

use anstream::println;
use anyhow::{Context as _, Result, bail, ensure};
use clap::Subcommand;
use keys::file;
use rats::{
    Timestamp,
    corim::{Meta, Validity},
};
use serde_json::{Map, Value, json};
use verifier::ReferenceValues;

use crate::outcome::Failed;

/// `tamarack reference`.
#[derive(Debug, Subcommand)]
pub enum Reference {
    /// States the measurements of TEEP Agents and signs the statement (CoRIM)
    Create {
        /// The reference value provider's signing key
        #[arg(long, value_name = "FILE")]
        signer: PathBuf,
        /// What `tamarack-tee measure` printed, or reference values as a policy's owner writes
        /// them (TOML or JSON), for any hardware; may be repeated
        #[arg(long, value_name = "FILE", required = true)]
        measurement: Vec<PathBuf>,
        /// What results call the measured software
        #[arg(long, default_value = "tamarack-agent")]
        name: String,
        /// Where the signed statement goes
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// For how many days it holds
        #[arg(long, default_value_t = 365)]
        days: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Reference {
    /// Runs the command.
    ///
    /// # Errors
    /// See [`Failed`].
    pub fn run(self) -> Result<(), Failed> {
        let Self::Create { signer, measurement, name, out, days, json } = self;
        let mut values = ReferenceValues::default();
        let mut measurements = Vec::new();
        for path in &measurement {
            let read = read(path, &name)?;
            measurements.extend(measured(&read));
            values = values.with(read);
        }
        let now = jiff::Timestamp::now().as_second();
        let until = now + i64::from(days) * 86_400;
        let validity = Validity { not_before: Some(Timestamp(now)), not_after: Timestamp(until) };
        let corim = values.to_corim(&name, Some(validity));
        let signer = file::load(&signer).context("reading the provider's key")?;
        let meta = Meta { signer: "reference value provider".into(), validity: Some(validity) };
        let signed = corim.sign(&meta, &signer).context("signing the reference values")?;
        std::fs::write(&out, signed).with_context(|| format!("writing {}", out.display()))?;
        if json {
            let mut report = json!({ "until": until, "stated": corim.tags.len() });
            for (field, value) in measurements {
                report[field] = value;
            }
            println!("{report}");
        } else {
            for (field, value) in measurements {
                let value = value.as_str().unwrap_or_default().to_owned();
                println!("{} vouches for {} {value}", out.display(), field.to_uppercase());
            }
        }
        Ok(())
    }
}

/// Reads reference values in TOML or JSON, or a measurement, which gets this name.
pub(crate) fn read(path: &Path, name: &str) -> Result<ReferenceValues> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("reading the measurement {}", path.display()))?;
    let values = match serde_json::from_str::<Value>(&text) {
        Ok(Value::Object(object)) => from_object(object, name),
        Ok(_) => bail!("{} holds no measurement", path.display()),
        Err(_) => ReferenceValues::from_toml(&text).map_err(Into::into),
    };
    let values = values.with_context(|| format!("in {}", path.display()))?;
    ensure!(values != ReferenceValues::default(), "{} states nothing", path.display());
    Ok(values)
}

/// Tells by its members which hardware a measurement is of: each has names of its own.
fn from_object(mut measured: Map<String, Value>, name: &str) -> Result<ReferenceValues> {
    let has = |member: &str| measured.contains_key(member);
    let family = if has("mrenclave") {
        "sgx"
    } else if has("mrtd") {
        "tdx"
    } else if has("measurement") {
        "snp"
    } else if has("launch_digest") {
        "sev"
    } else if has("rim") {
        "cca"
    } else if has("implementation_id") {
        "trustzone"
    } else {
        let values = serde_json::from_value(Value::Object(measured));
        return values.context("neither a measurement nor reference values");
    };
    let reference = match family {
        "sgx" => {
            // MRENCLAVE names one enclave, whatever else its signature says.
            let [mrenclave, configid] = ["mrenclave", "configid"].map(|it| measured.remove(it));
            let fields = [("mrenclave", mrenclave), ("config_id", configid)];
            let present = |(field, value): (&str, Option<Value>)| Some((field.to_owned(), value?));
            fields.into_iter().filter_map(present).collect()
        }
        "cca" => {
            let platform = measured.remove("platform").unwrap_or_default();
            Map::from_iter([
                ("platform".to_owned(), platform),
                ("realm".to_owned(), Value::Object(measured)),
            ])
        }
        "trustzone" => Map::from_iter([("psa".to_owned(), Value::Object(measured))]),
        _ => measured,
    };
    let mut reference = reference;
    reference.entry("name").or_insert_with(|| Value::from(name));
    let values = json!({ family: [reference] });
    serde_json::from_value(values).with_context(|| format!("not a measurement of {family}"))
}

/// The field by which each reference value is best known, for showing.
fn measured(values: &ReferenceValues) -> Vec<(&'static str, Value)> {
    let values = json!(values);
    let paths = [
        ("mrenclave", "/sgx", "/mrenclave"),
        ("mrtd", "/tdx", "/mrtd"),
        ("measurement", "/snp", "/measurement"),
        ("launch_digest", "/sev", "/launch_digest"),
        ("rim", "/cca", "/realm/rim"),
        ("rim", "/trustzone", "/virtcca/cvm/rim"),
        ("ta_img", "/trustzone", "/itrustee/ta/img"),
        ("digest", "/trustzone", "/optee/digest"),
        ("implementation_id", "/trustzone", "/psa/implementation_id"),
    ];
    let found = paths.into_iter().flat_map(|(field, family, path)| {
        let listed = values.pointer(family).and_then(Value::as_array).into_iter().flatten();
        listed.filter_map(move |reference| Some((field, reference.pointer(path)?.clone())))
    });
    found.filter(|(_, value)| !value.is_null()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Result<ReferenceValues> {
        let Value::Object(object) = value else { panic!("an object") };
        from_object(object, "agent")
    }

    #[test]
    fn a_measurement_tells_by_its_members_which_hardware_it_is_of() {
        let hex = |length: usize| "5a".repeat(length);
        let component = json!({ "type": "ARoT", "measurement": hex(32), "signer_id": hex(32) });
        let platform = json!({ "implementation_id": hex(32), "components": [component] });
        let measurements = [
            (json!({ "mrenclave": hex(32), "configid": hex(64), "isvsvn": 1 }), "mrenclave"),
            (json!({ "mrtd": hex(48), "mrconfigid": hex(48) }), "mrtd"),
            (json!({ "measurement": hex(48), "host_data": hex(32) }), "measurement"),
            (json!({ "launch_digest": hex(32) }), "launch_digest"),
            (json!({ "rim": hex(32), "rpv": hex(64), "platform": platform }), "rim"),
            (platform, "implementation_id"),
        ];
        for (measurement, field) in measurements {
            let values = object(measurement).expect(field);

            assert_eq!(measured(&values).first().map(|(field, _)| *field), Some(field));
        }
    }

    #[test]
    fn reference_values_are_taken_as_they_are_and_other_objects_refused() {
        let values = json!({ "tdx": [{ "name": "domain", "mrtd": "00".repeat(48) }] });

        assert_eq!(object(values).expect("reference values").tdx[0].name, "domain");
        assert!(object(json!({ "mrenclave": "5a" })).is_err());
        assert!(object(json!({ "mrtd": "00".repeat(48), "mrenclave_": "" })).is_err());
        assert!(object(json!({ "other": 1 })).is_err());
    }
}
