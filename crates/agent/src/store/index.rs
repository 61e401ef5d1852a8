//! What is installed, as one sealed record.

use std::collections::BTreeMap;

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};
use minicbor::encode::{Encoder, Write};
use suit::ComponentId;
use zeroize::Zeroizing;

use super::slot::{Content, InstallKey};

/// Everything the store knows; it is written and read as a whole.
///
/// ```cddl
/// index = [3, store: bstr .size 16, generation: uint, counter: uint / null,
///          [* installed], [* (component-id, uint)], memory: bstr / null]
/// installed = [manifest: component-id, sequence-number: uint, digest: bstr .size 32,
///              [* content], tam: tstr / null]
/// content = [component-id, file: tstr, install-key: bstr .size 32, digest: bstr .size 32,
///            length: uint]
/// component-id = [+ bstr]
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    /// Which store this is the index of.
    pub(super) store: [u8; STORE_ID_BYTES],
    /// How many indexes came before.
    pub(super) generation: u64,
    /// What the counter of the TEE says once this index is in place.
    pub(super) counter: Option<u64>,
    /// What is installed, by manifest component identifier.
    pub(super) installed: BTreeMap<ComponentId, Installed>,
    /// The highest sequence number that was ever installed, kept after removal.
    pub(super) sequence_numbers: BTreeMap<ComponentId, u64>,
    /// What the TEEP machine remembers.
    pub(super) memory: Option<Vec<u8>>,
}

/// One installed manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Its component identifier.
    pub manifest: ComponentId,
    /// Its sequence number.
    pub sequence_number: u64,
    /// SHA-256 of the manifest.
    pub digest: [u8; 32],
    /// What it put in place. The envelope itself is the content of the manifest's identifier.
    pub contents: BTreeMap<ComponentId, Content>,
    /// The URI of the TAM that it came from.
    pub tam: Option<String>,
}

impl Index {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        self.write(&mut e).expect("writing to memory does not fail");
        e.into_writer()
    }

    fn write<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(7)?.u64(VERSION)?.bytes(&self.store)?.u64(self.generation)?;
        match self.counter {
            Some(counter) => e.u64(counter)?,
            None => e.null()?,
        };
        e.array(self.installed.len() as u64)?;
        for installed in self.installed.values() {
            e.array(5)?;
            write_id(e, &installed.manifest)?;
            e.u64(installed.sequence_number)?.bytes(&installed.digest)?;
            e.array(installed.contents.len() as u64)?;
            for (component, content) in &installed.contents {
                e.array(5)?;
                write_id(e, component)?;
                e.str(&content.file)?.bytes(content.key.0.as_ref())?;
                e.bytes(&content.digest)?.u64(content.length)?;
            }
            match &installed.tam {
                Some(tam) => e.str(tam)?,
                None => e.null()?,
            };
        }
        e.array(2 * self.sequence_numbers.len() as u64)?;
        for (manifest, sequence_number) in &self.sequence_numbers {
            write_id(e, manifest)?;
            e.u64(*sequence_number)?;
        }
        match &self.memory {
            Some(memory) => e.bytes(memory)?,
            None => e.null()?,
        };
        Ok(())
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut d = Decoder::new(bytes);
        array(&mut d, 7)?;
        let version = d.u64()?;
        if ![VERSION, WITHOUT_TAMS].contains(&version) {
            return Err(Error::message("the index has another version"));
        }
        let mut index = Self { store: exact(&mut d)?, generation: d.u64()?, ..Self::default() };
        index.counter = optional(&mut d, |d| d.u64())?;
        for _ in 0..length(&mut d)? {
            let installed = Installed::read(&mut d, version)?;
            index.installed.insert(installed.manifest.clone(), installed);
        }
        for _ in 0..length(&mut d)? / 2 {
            let manifest = read_id(&mut d)?;
            index.sequence_numbers.insert(manifest, d.u64()?);
        }
        index.memory = optional(&mut d, |d| Ok(d.bytes()?.to_vec()))?;
        Ok(index)
    }
}

impl Installed {
    fn read(d: &mut Decoder<'_>, version: u64) -> Result<Self, Error> {
        array(d, if version == WITHOUT_TAMS { 4 } else { 5 })?;
        let mut installed = Self {
            manifest: read_id(d)?,
            sequence_number: d.u64()?,
            digest: exact(d)?,
            contents: BTreeMap::new(),
            tam: None,
        };
        for _ in 0..length(d)? {
            array(d, 5)?;
            let component = read_id(d)?;
            let content = Content {
                file: d.str()?.into(),
                key: InstallKey(Zeroizing::new(exact(d)?)),
                digest: exact(d)?,
                length: d.u64()?,
            };
            installed.contents.insert(component, content);
        }
        if version != WITHOUT_TAMS {
            installed.tam = optional(d, |d| Ok(d.str()?.to_owned()))?;
        }
        Ok(installed)
    }
}

fn write_id<W: Write>(
    e: &mut Encoder<W>,
    component: &ComponentId,
) -> Result<(), minicbor::encode::Error<W::Error>> {
    e.array(component.parts().len() as u64)?;
    for part in component.parts() {
        e.bytes(part)?;
    }
    Ok(())
}

fn read_id(d: &mut Decoder<'_>) -> Result<ComponentId, Error> {
    let parts =
        (0..length(d)?).map(|_| Ok(d.bytes()?.to_vec())).collect::<Result<Vec<_>, Error>>()?;
    ComponentId::new(parts).map_err(|_| Error::message("not a component identifier"))
}

fn optional<'b, T>(
    d: &mut Decoder<'b>,
    read: impl FnOnce(&mut Decoder<'b>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    if d.datatype()? == Type::Null {
        d.null()?;
        return Ok(None);
    }
    read(d).map(Some)
}

fn array(d: &mut Decoder<'_>, length: u64) -> Result<(), Error> {
    if d.array()? != Some(length) {
        return Err(Error::message("an array has another length"));
    }
    Ok(())
}

fn length(d: &mut Decoder<'_>) -> Result<u64, Error> {
    d.array()?.ok_or_else(|| Error::message("an array has no definite length"))
}

fn exact<const N: usize>(d: &mut Decoder<'_>) -> Result<[u8; N], Error> {
    d.bytes()?.try_into().map_err(|_| Error::message("a byte string has another length"))
}

/// The length of what names a store.
pub(super) const STORE_ID_BYTES: usize = 16;

const VERSION: u64 = 3;

/// The version that did not say from which TAM a manifest came.
const WITHOUT_TAMS: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_from_before_tams_were_told_apart_is_read() {
        let id = |name: &[u8]| ComponentId::new([name]).unwrap();
        let installed = |name: &[u8], tam: Option<&str>| Installed {
            manifest: id(name),
            sequence_number: 7,
            digest: [1; 32],
            contents: BTreeMap::new(),
            tam: tam.map(str::to_owned),
        };
        let all = [installed(b"a", Some("http://tam.example")), installed(b"b", None)];
        let installed = all.into_iter().map(|one| (one.manifest.clone(), one)).collect();
        let index = Index { installed, generation: 3, ..Index::default() };
        assert_eq!(Index::decode(&index.encode()).unwrap(), index);

        // As the version before wrote it: four members, and no TAM.
        let mut e = Encoder::new(Vec::new());
        e.array(7).unwrap().u64(WITHOUT_TAMS).unwrap().bytes(&index.store).unwrap();
        e.u64(3).unwrap().null().unwrap().array(1).unwrap().array(4).unwrap();
        write_id(&mut e, &id(b"b")).unwrap();
        e.u64(7).unwrap().bytes(&[1; 32]).unwrap().array(0).unwrap();
        e.array(0).unwrap().null().unwrap();
        let older = Index::decode(&e.into_writer()).unwrap();

        assert_eq!(older.installed[&id(b"b")], index.installed[&id(b"b")]);
        assert_eq!(older.installed.len(), 1);
    }
}
