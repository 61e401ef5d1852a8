//! SUIT_Component_Identifier (suit-manifest section 8.4.5.1) and what Tamarack puts into it.

use std::fmt;
use std::sync::Arc;

use cose::Thumbprint;

use crate::cbor::{Reader, Writer};
use crate::error::{Error, Malformed};

/// A SUIT_Component_Identifier.
///
/// ```cddl
/// SUIT_Component_Identifier = [* bstr]
/// ```
///
/// At least one part is required here, and neither the number nor the length of the parts is
/// open, since a device turns them into names of places. A copy costs nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ComponentId(Arc<[Vec<u8>]>);

impl ComponentId {
    /// Makes an identifier of its parts.
    pub fn new<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Result<Self, Malformed> {
        let parts: Vec<Vec<u8>> = parts.into_iter().map(|part| part.as_ref().to_vec()).collect();
        let fits = (1..=PARTS_MAX).contains(&parts.len())
            && parts.iter().all(|part| part.len() <= PART_BYTES_MAX);
        if !fits {
            return Err(Malformed::ComponentIdentifier);
        }
        Ok(Self(parts.into()))
    }

    /// `[owner, name]`: a component in the TEE.
    pub fn in_tee(owner: Thumbprint, name: &str) -> Result<Self, Malformed> {
        Self::new([&owner.0[..], name.as_bytes()])
    }

    /// `['REE', owner, name]`: a component outside the TEE.
    pub fn in_ree(owner: Thumbprint, name: &str) -> Result<Self, Malformed> {
        Self::new([REE, &owner.0[..], name.as_bytes()])
    }

    /// The parts.
    pub fn parts(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// Whether the component is outside the TEE.
    pub fn is_in_ree(&self) -> bool {
        self.0[0] == REE
    }

    /// The owner that the identifier names, if it has the form of Tamarack's identifiers.
    pub fn owner(&self) -> Option<Thumbprint> {
        let at = usize::from(self.is_in_ree());
        self.0.get(at).and_then(|part| part.as_slice().try_into().ok()).map(Thumbprint)
    }

    /// The last part as text.
    pub fn name(&self) -> Option<&str> {
        self.0.last().and_then(|part| str::from_utf8(part).ok())
    }

    /// The identifier of the manifest of this component: the last part with `.suit` added.
    pub fn manifest(&self) -> Result<Self, Malformed> {
        let mut parts = self.0.to_vec();
        if let Some(last) = parts.last_mut() {
            last.extend_from_slice(MANIFEST_SUFFIX);
        }
        Self::new(parts)
    }

    /// Whether the parts of `prefix` come first in this identifier.
    pub fn starts_with(&self, prefix: &Self) -> bool {
        self.0.starts_with(&prefix.0)
    }

    //= suit 13.68 (M): Dependency prefix prepended to ids; ids outside the prefix are impossible.
    /// This identifier below `prefix` (trust-domains section 5.2.2).
    pub fn below(&self, prefix: &Self) -> Result<Self, Malformed> {
        Self::new(prefix.0.iter().chain(self.0.iter()))
    }

    //= suit 13.56 (M): Component ids that map to paths cannot escape their root (`..`, empty,
    //= slash, NUL, symlink race). U 8
    /// A file name for the component: lower-case hexadecimal parts, joined by `-`.
    ///
    /// Different identifiers have different names, and no identifier can be a path: the name
    /// holds only `0-9`, `a-f`, `-`, `_` (an empty part) and `x`. An identifier that is too long
    /// for a file name is named by `x` and its SHA-256 digest.
    pub fn file_name(&self) -> String {
        let parts: Vec<String> = self
            .0
            .iter()
            .map(|part| match part.as_slice() {
                [] => "_".to_owned(),
                bytes => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            })
            .collect();
        let name = parts.join("-");
        if name.len() <= FILE_NAME_BYTES_MAX {
            return name;
        }
        let digest = cose::sha256(&self.encode());
        std::iter::once("x".to_owned())
            .chain(digest.iter().map(|byte| format!("{byte:02x}")))
            .collect()
    }

    /// Decodes an encoded identifier that stands alone.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        Self::read(&mut Reader::open(bytes)?)
    }

    /// Encodes the identifier.
    pub fn encode(&self) -> Vec<u8> {
        Writer::collect(|w| self.write(w))
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let length = reader.array()?;
        if length > PARTS_MAX as u64 {
            return Err(Malformed::ComponentIdentifier.into());
        }
        let parts = (0..length).map(|_| reader.bytes()).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::new(parts)?)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.array(self.0.len());
        for part in self.0.iter() {
            writer.bytes(part);
        }
    }
}

impl fmt::Display for ComponentId {
    /// Writes printable parts as text and the others as hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (position, part) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(", ")?;
            }
            match str::from_utf8(part) {
                Ok(text) if !text.is_empty() && text.chars().all(printable) => {
                    write!(f, "'{text}'")?;
                }
                _ => {
                    f.write_str("h'")?;
                    part.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                    f.write_str("'")?;
                }
            }
        }
        f.write_str("]")
    }
}

fn printable(c: char) -> bool {
    c.is_ascii_graphic() && c != '\'' && c != '\\'
}

/// The first part of an identifier outside the TEE.
pub(crate) const REE: &[u8] = b"REE";
const MANIFEST_SUFFIX: &[u8] = b".suit";
const FILE_NAME_BYTES_MAX: usize = 200;
const PARTS_MAX: usize = 16;
const PART_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_names_its_owner_in_both_worlds() {
        let owner = Thumbprint([7; 32]);

        let inside = ComponentId::in_tee(owner, "planner").unwrap();
        let outside = ComponentId::in_ree(owner, "relay").unwrap();

        assert_eq!(inside.owner(), Some(owner));
        assert_eq!(outside.owner(), Some(owner));
        assert!(!inside.is_in_ree() && outside.is_in_ree());
        assert_eq!(inside.manifest().unwrap().name(), Some("planner.suit"));
        assert_eq!(ComponentId::new(["short", "name"]).unwrap().owner(), None);
    }

    #[test]
    fn an_identifier_survives_encoding() {
        let id = ComponentId::new([&b""[..], b"a", &[0; 255]]).unwrap();

        assert_eq!(ComponentId::decode(&id.encode()).unwrap(), id);
    }

    #[test]
    fn an_identifier_is_never_empty_and_never_too_long() {
        let none: [&[u8]; 0] = [];

        assert_eq!(ComponentId::new(none), Err(Malformed::ComponentIdentifier));
        assert_eq!(ComponentId::new([[0; 256]]), Err(Malformed::ComponentIdentifier));
        assert_eq!(ComponentId::new([[0; 1]; 17]), Err(Malformed::ComponentIdentifier));
        assert_eq!(ComponentId::decode(&[0x80]), Err(Malformed::ComponentIdentifier.into()));
    }

    //= suit 13.56 (M): Component ids that map to paths cannot escape their root (`..`, empty,
    //= slash, NUL, symlink race). U 8
    #[test]
    fn the_file_name_of_no_identifier_leaves_its_directory() {
        let long: &[u8] = &[b'/'; 255];
        let hostile: [&[&[u8]]; 7] =
            [&[b".."], &[b""], &[b"/etc/passwd"], &[b"a\0b"], &[b"a-b"], &[b"a", b"b"], &[long]];

        let names: Vec<String> =
            hostile.iter().map(|parts| ComponentId::new(*parts).unwrap().file_name()).collect();

        for name in &names {
            assert!((1..=200).contains(&name.len()));
            assert!(name.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f' | '-' | '_' | 'x')));
        }
        assert_ne!(names[4], names[5]);
    }

    //= suit 13.68 (M): Dependency prefix prepended to ids; ids outside the prefix are impossible.
    #[test]
    fn an_identifier_below_a_prefix_begins_with_the_prefix() {
        let prefix = ComponentId::new(["sub", "system"]).unwrap();

        let id = ComponentId::new(["file"]).unwrap().below(&prefix).unwrap();

        assert_eq!(id, ComponentId::new(["sub", "system", "file"]).unwrap());
        assert!(id.starts_with(&prefix));
    }

    #[test]
    fn an_identifier_is_shown_as_text_or_hexadecimal() {
        let id = ComponentId::new([&b"REE"[..], &[0, 255], b""]).unwrap();

        assert_eq!(id.to_string(), "['REE', h'00ff', h'']");
    }
}
