use proptest::prelude::*;
use rats::corim::{Measurement, MeasurementKey, Svn};
use rats::eat::Version;

use super::*;

/// One reference value of every kind and form, with every field that it can have.
fn every_kind() -> ReferenceValues {
    let text = EVERY_KIND.replace("M32Z32", &format!("{}{}", "5a".repeat(32), "00".repeat(32)));
    let lengths = [("M16", 16), ("M32", 32), ("M48", 48), ("M64", 64)];
    let text =
        lengths.iter().fold(text, |text, (mark, length)| text.replace(mark, &"a7".repeat(*length)));
    ReferenceValues::from_toml(&text).expect("valid reference values")
}

/// `M32` stands for 32 bytes of measurement, in hexadecimal.
const EVERY_KIND: &str = r#"
[[sgx]]
name = "enclave"
mrenclave = "M32"
config_id = "M32Z32"
[[sgx]]
name = "signed enclave"
mrsigner = "M32"
isvprodid = 7
isvsvn_min = 3
config_id = "M64"
config_svn_min = 2
[[tdx]]
name = "domain"
mrtd = "M48"
rtmr0 = "M48"
rtmr1 = "M48"
rtmr2 = "M48"
rtmr3 = "M48"
mrconfigid = "M48"
mrowner = "M48"
mrownerconfig = "M48"
[[snp]]
name = "guest"
measurement = "M48"
host_data = "M32"
[[snp]]
name = "signed guest"
id_key_digest = "M48"
author_key_digest = "M48"
family_id = "M16"
image_id = "M16"
guest_svn_min = 5
pcrs = [{ index = 0, sha256 = "M32" }, { index = 23, sha256 = "M32" }]
[[sev]]
name = "old guest"
launch_digest = "M32"
[[cca]]
name = "realm"
[cca.platform]
implementation_id = "M32"
configuration = "M16"
components = [
  { type = "RMM", measurement = "M48", signer_id = "M32", version = "1.2" },
  { measurement = "M32" },
]
[cca.realm]
rim = "M48"
rpv = "M64"
rem0 = "M48"
rem3 = "M48"
[[trustzone]]
name = "meter"
[trustzone.psa]
implementation_id = "M32"
components = [{ type = "ARoT", measurement = "M32", signer_id = "M32" }]
certification_reference = "0604565272829-10010"
[[trustzone]]
name = "quoting application"
[trustzone.itrustee]
qta_img = "M32"
qta_mem = "M32"
ima_log = "M32"
ta = { uuid = "435dcafa-0029-4d53-97e8-a7a13a80c82e", img = "M32", mem = "M32" }
[[trustzone]]
name = "memory"
[trustzone.optee]
ta = "435dcafa-0029-4d53-97e8-a7a13a80c82e"
command = "ta-memory"
digest = "M32"
[[trustzone]]
name = "machine"
[trustzone.virtcca.platform]
implementation_id = "M32"
components = []
[trustzone.virtcca.cvm]
rim = "M32"
"#;

fn read_again(corim: &Corim) -> ReferenceValues {
    let received = Corim::decode(&corim.encode()).expect("what was just encoded");
    ReferenceValues::default().with_corim(&received)
}

#[test]
fn reference_values_of_every_kind_survive_the_round_trip() {
    let values = every_kind();

    let corim = values.to_corim("everything", None);

    assert_eq!(corim.tags.len(), 11);
    assert_eq!(read_again(&corim), values);
}

#[test]
fn an_enclave_is_stated_by_its_measurement_and_the_digest_of_its_configuration() {
    let corim = sgx_enclave("agent 1", [7; 32], [9; 32], None);

    let spelt = sgx::Spelling::from(read_again(&corim).sgx[0].clone());

    let mut config_id = [0; 64];
    config_id[..32].copy_from_slice(&[9; 32]);
    assert_eq!(spelt.config_id, Some(Hex(config_id)));
    assert_eq!((spelt.name.as_str(), spelt.mrenclave), ("agent 1", Some(Hex([7; 32]))));
}

#[test]
fn what_states_no_measurement_gives_no_reference_value() {
    let mut corim = sgx_enclave("agent 1", [7; 32], [9; 32], None);
    corim.tags[0].reference_values[0].measurements.remove(0);

    assert_eq!(read_again(&corim), ReferenceValues::default());
}

//= rats 11.29 (M): what is stated and not understood is no match, never a looser one
#[test]
fn a_statement_that_is_not_wholly_understood_is_passed_over() {
    let whole = every_kind().to_corim("everything", None);
    let changes: [fn(&mut Measurement); 5] = [
        |measurement| measurement.restrictions.push(3),
        |measurement| {
            let scheme = Some(rats::Label::Int(1));
            measurement.version = Some(Version { scheme, ..Version::new("9") });
        },
        |measurement| (measurement.svn, measurement.raw) = (Some(Svn::Exact(9)), Some(vec![1])),
        |measurement| measurement.keys.extend([vec![1; 32], vec![2; 32]]),
        |measurement| measurement.key = Some(MeasurementKey::Text("other".to_owned())),
    ];
    for number in 0..whole.tags.len() {
        let tag = Corim { tags: vec![whole.tags[number].clone()], ..whole.clone() };
        let count = tag.tags[0].reference_values[0].measurements.len();
        for (measurement, change) in (0..count).flat_map(|at| changes.map(|change| (at, change))) {
            let mut corim = tag.clone();
            change(&mut corim.tags[0].reference_values[0].measurements[measurement]);

            let values = ReferenceValues::default().with_corim(&corim);

            assert_eq!(values, ReferenceValues::default(), "{measurement} of {:?}", tag.tags[0].id);
        }
        let mut narrowed = tag.clone();
        narrowed.tags[0].reference_values[0].environment.restrictions.push(1);
        assert_eq!(ReferenceValues::default().with_corim(&narrowed), ReferenceValues::default());
    }
}

#[test]
fn a_statement_about_another_class_is_passed_over() {
    let mut corim = every_kind().to_corim("everything", None);
    for tag in &mut corim.tags {
        tag.reference_values[0].environment.class.model = Some("other".to_owned());
    }

    assert_eq!(read_again(&corim), ReferenceValues::default());
}

proptest! {
    #[test]
    fn a_changed_statement_states_what_was_changed_or_nothing(
        at in 0_usize..10_000,
        bit in 0_u8..8,
    ) {
        let values = every_kind();
        let mut encoded = values.to_corim("everything", None).encode();
        let at = at % encoded.len();
        encoded[at] ^= 1 << bit;

        if let Ok(corim) = Corim::decode(&encoded) {
            let read = ReferenceValues::default().with_corim(&corim);
            let again = read_again(&read.to_corim("everything", None));
            prop_assert_eq!(again, read);
        }
    }
}
