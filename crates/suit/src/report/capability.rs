//! SUIT_Capability_Report (suit-report section 6): what a processor can do.

use std::collections::BTreeMap;

use super::{encoded_ints, read_ints};
use crate::cbor::{Kind, Reader, Writer, int_key};
use crate::component::ComponentId;
use crate::error::{Error, Malformed};

/// A capability report.
///
/// ```cddl
/// SUIT_Capability_Report = {
///   suit-component-capabilities (1)  => [ + SUIT_Component_Capability ],
///   suit-command-capabilities (2)    => [ + int ],
///   suit-parameters-capabilities (3) => [ + int ],
///   suit-crypt-algo-capabilities (4) => [ + int ],
///   ? suit-envelope-capabilities (5) => [ + int ],
///   ? suit-manifest-capabilities (6) => [ + int ], ...
///   * [ + int ]                        => [ + int ]
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// The components.
    pub components: Vec<CapableComponent>,
    /// The commands, by label.
    pub commands: Vec<i64>,
    /// The parameters, by key.
    pub parameters: Vec<i64>,
    /// The algorithms, by COSE identifier.
    pub algorithms: Vec<i64>,
    /// The optional lists, by key from 5 to 10.
    pub others: BTreeMap<i64, Vec<i64>>,
    /// Lists of other registries, by the path to the registry.
    pub further: BTreeMap<Vec<i64>, Vec<i64>>,
}

/// SUIT_Component_Capability.
///
/// ```cddl
/// [ * bstr, ? true ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapableComponent {
    /// The identifier, or the first parts of identifiers.
    pub prefix: ComponentId,
    /// Whether further parts may follow.
    pub any_below: bool,
}

impl Capability {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let mut components = None;
        let mut lists = BTreeMap::new();
        let mut further = BTreeMap::new();
        for _ in 0..reader.map()? {
            if reader.kind()? == Kind::Array {
                further.insert(read_ints(reader)?, read_ints(reader)?);
                continue;
            }
            match reader.int()? {
                COMPONENTS => {
                    let length = reader.array()?;
                    let list = (0..length).map(|_| CapableComponent::read(reader));
                    components = Some(list.collect::<Result<_, _>>()?);
                }
                key @ COMMANDS..=LAST => drop(lists.insert(key, read_ints(reader)?)),
                _ => return Err(Malformed::Expected("a capability from 1 to 10").into()),
            }
        }
        let mut take = |key, what| lists.remove(&key).ok_or(Malformed::Absent(what));
        Ok(Self {
            components: components.ok_or(Malformed::Absent("component capabilities"))?,
            commands: take(COMMANDS, "command capabilities")?,
            parameters: take(PARAMETERS, "parameter capabilities")?,
            algorithms: take(ALGORITHMS, "algorithm capabilities")?,
            others: lists,
            further,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        let components = Writer::collect(|w| {
            w.array(self.components.len());
            self.components.iter().for_each(|component| component.write(w));
        });
        let mut entries = vec![
            (int_key(COMPONENTS), components),
            (int_key(COMMANDS), encoded_ints(&self.commands)),
            (int_key(PARAMETERS), encoded_ints(&self.parameters)),
            (int_key(ALGORITHMS), encoded_ints(&self.algorithms)),
        ];
        let others = self.others.iter().map(|(key, list)| (int_key(*key), encoded_ints(list)));
        entries.extend(others);
        let further = self.further.iter();
        entries.extend(further.map(|(path, list)| (encoded_ints(path), encoded_ints(list))));
        w.sorted_map(entries);
    }
}

impl CapableComponent {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let length = reader.array()?;
        let mut parts = Vec::new();
        let mut any_below = false;
        for position in 1..=length {
            if position == length && reader.kind()? == Kind::Bool {
                any_below = reader.bool()?;
            } else {
                parts.push(reader.bytes()?);
            }
        }
        Ok(Self { prefix: ComponentId::new(parts)?, any_below })
    }

    fn write(&self, w: &mut Writer) {
        let parts = self.prefix.parts();
        w.array(parts.len() + usize::from(self.any_below));
        for part in parts {
            w.bytes(part);
        }
        if self.any_below {
            w.bool(true);
        }
    }
}

const COMPONENTS: i64 = 1;
const COMMANDS: i64 = 2;
const PARAMETERS: i64 = 3;
const ALGORITHMS: i64 = 4;
const LAST: i64 = 10;
