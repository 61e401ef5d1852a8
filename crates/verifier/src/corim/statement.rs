//! Measurements by key, written and read.

use std::collections::BTreeMap;

use rats::Label;
use rats::corim::{Digest, Measurement, MeasurementKey, Svn};
use rats::eat::Version;

use crate::evidence::arm::Component;
use crate::value::{Hex, Octets};

/// Measurements under construction; what is absent is not stated.
#[derive(Default)]
pub(super) struct Statement(Vec<Measurement>);

/// The measurements of one triple.
pub(super) struct Stated<'c>(pub(super) &'c [Measurement]);

impl Statement {
    pub(super) fn digest(&mut self, key: &str, digest: Option<impl AsRef<[u8]>>) {
        self.put(key, digest.map(|digest| measured(digest.as_ref())));
    }

    pub(super) fn raw(&mut self, key: &str, bytes: Option<impl AsRef<[u8]>>) {
        let raw =
            |bytes: &[u8]| Measurement { raw: Some(bytes.to_vec()), ..Measurement::default() };
        self.put(key, bytes.map(|bytes| raw(bytes.as_ref())));
    }

    pub(super) fn svn(&mut self, key: &str, svn: Option<Svn>) {
        self.put(key, svn.map(|svn| Measurement { svn: Some(svn), ..Measurement::default() }));
    }

    pub(super) fn text(&mut self, key: &str, text: Option<&String>) {
        let named =
            |text: &String| Measurement { name: Some(text.clone()), ..Measurement::default() };
        self.put(key, text.map(named));
    }

    pub(super) fn registers<V: AsRef<[u8]>>(
        &mut self,
        registers: impl IntoIterator<Item = (impl Into<Label>, Option<V>)>,
    ) {
        let held = registers.into_iter().filter_map(|(register, value)| {
            Some((register.into(), Vec::from_iter(Digest::by_length(value?.as_ref()))))
        });
        let registers: BTreeMap<_, _> = held.collect();
        let some = !registers.is_empty();
        self.put(REGISTERS, some.then(|| Measurement { registers, ..Measurement::default() }));
    }

    pub(super) fn components(&mut self, components: &[Component]) {
        for component in components {
            let measurement = Measurement {
                version: component.version.as_deref().map(Version::new),
                name: component.kind.clone(),
                keys: component.signer_id.iter().map(|id| id.as_slice().to_vec()).collect(),
                ..measured(component.measurement.as_slice())
            };
            self.put(COMPONENT, Some(measurement));
        }
    }

    pub(super) fn finish(self) -> Vec<Measurement> {
        self.0
    }

    fn put(&mut self, key: &str, measurement: Option<Measurement>) {
        let key = Some(MeasurementKey::Text(key.to_owned()));
        self.0.extend(measurement.map(|measurement| Measurement { key, ..measurement }));
    }
}

impl Stated<'_> {
    pub(super) fn digest<const N: usize>(&self, key: &str) -> Option<Hex<N>> {
        fixed(digest_of(self.find(key)?)?)
    }

    pub(super) fn any_digest(&self, key: &str) -> Option<Octets> {
        digest_of(self.find(key)?).map(Octets::new)
    }

    pub(super) fn raw<const N: usize>(&self, key: &str) -> Option<Hex<N>> {
        fixed(self.find(key)?.raw.as_deref()?)
    }

    pub(super) fn any_raw(&self, key: &str) -> Option<Octets> {
        self.find(key)?.raw.as_deref().map(Octets::new)
    }

    /// The number of an exact or a lowest version; stating it again tells which it was.
    pub(super) fn svn<T: TryFrom<u64>>(&self, key: &str) -> Option<T> {
        let (Svn::Exact(number) | Svn::Min(number)) = self.find(key)?.svn?;
        number.try_into().ok()
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.find(key)?.name.clone()
    }

    pub(super) fn register(&self, register: impl Into<Label>) -> Option<Octets> {
        let held = self.find(REGISTERS)?.registers.get(&register.into())?;
        held.first().map(|digest| Octets::new(&digest.value))
    }

    pub(super) fn fixed_register<const N: usize>(&self, label: impl Into<Label>) -> Option<Hex<N>> {
        fixed(self.register(label)?.as_slice())
    }

    /// Every register that has a number.
    pub(super) fn numbered_registers(&self) -> impl Iterator<Item = (i64, &[u8])> {
        let registers = self.find(REGISTERS).into_iter().flat_map(|found| &found.registers);
        registers.filter_map(|(register, held)| match (register, held.first()) {
            (Label::Int(number), Some(digest)) => Some((*number, digest.value.as_slice())),
            _ => None,
        })
    }

    pub(super) fn components(&self) -> Vec<Component> {
        let components = self.0.iter().filter(|measurement| is(measurement, COMPONENT));
        let read = components.filter_map(|measurement| {
            Some(Component {
                kind: measurement.name.clone(),
                measurement: Octets::new(digest_of(measurement)?),
                signer_id: measurement.keys.first().map(|id| Octets::new(id)),
                version: measurement.version.as_ref().map(|version| version.version.clone()),
            })
        });
        read.collect()
    }

    fn find(&self, key: &str) -> Option<&Measurement> {
        self.0.iter().find(|measurement| is(measurement, key))
    }
}

fn is(measurement: &Measurement, key: &str) -> bool {
    matches!(&measurement.key, Some(MeasurementKey::Text(text)) if text == key)
}

/// A digest; of a length that no digest has, a raw value.
fn measured(bytes: &[u8]) -> Measurement {
    match Digest::by_length(bytes) {
        Some(digest) => Measurement { digests: vec![digest], ..Measurement::default() },
        None => Measurement { raw: Some(bytes.to_vec()), ..Measurement::default() },
    }
}

fn digest_of(measurement: &Measurement) -> Option<&[u8]> {
    let digest = measurement.digests.first().map(|digest| digest.value.as_slice());
    digest.or(measurement.raw.as_deref())
}

fn fixed<const N: usize>(bytes: &[u8]) -> Option<Hex<N>> {
    bytes.try_into().ok().map(Hex)
}

const REGISTERS: &str = "registers";
const COMPONENT: &str = "software-component";
