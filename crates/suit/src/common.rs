//! SUIT_Common (suit-manifest section 8.4.5, trust-domains section 5.2).

use std::collections::{BTreeMap, BTreeSet};

use crate::cbor::{Reader, Writer, each_entry};
use crate::component::ComponentId;
use crate::error::{Error, Malformed, Unsupported};
use crate::sequence::{Labels, Place, Sequence};

/// What every section of a manifest shares.
///
/// ```cddl
/// SUIT_Common = {
///   ? suit-dependencies => { + uint => SUIT_Dependency_Metadata },
///   suit-components => [ + SUIT_Component_Identifier ],
///   ? suit-shared-sequence => bstr .cbor SUIT_Shared_Sequence
/// }
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Common<'b> {
    /// The dependencies by component index.
    pub dependencies: BTreeMap<u64, Dependency>,
    /// The components; their places are their indices.
    pub components: Vec<ComponentId>,
    /// The sequence that runs before each section.
    pub shared: Option<Sequence<'b>>,
}

/// SUIT_Dependency_Metadata.
///
/// ```cddl
/// { ? suit-dependency-prefix => SUIT_Component_Identifier }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependency {
    /// For a dependency that is in the list of components, the prefix of every component of the
    /// dependency; for another one, the place where its envelope is stored.
    pub prefix: Option<ComponentId>,
}

impl<'b> Common<'b> {
    pub(crate) fn decode(bytes: &'b [u8], labels: &mut Labels) -> Result<Self, Error> {
        let mut dependencies = BTreeMap::new();
        let mut components = Vec::new();
        let mut shared = None;
        each_entry(&mut Reader::open(bytes)?, |key, reader| {
            match key {
                DEPENDENCIES => dependencies = read_dependencies(reader)?,
                COMPONENTS => components = read_components(reader)?,
                SHARED => {
                    let bytes = reader.bytes()?;
                    shared = Some(Sequence::decode_noting(bytes, Place::Shared, labels)?);
                }
                other => return Err(Unsupported::CommonMember(other).into()),
            }
            Ok(())
        })?;
        if components.is_empty() && dependencies.is_empty() {
            return Err(Malformed::Absent("a component").into());
        }
        let common = Self { dependencies, components, shared };
        common.check_places()?;
        Ok(common)
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        self.write_with(w, self.shared.map(|shared| shared.bytes()));
    }

    /// Writes common with an encoded shared sequence.
    pub(crate) fn write_with(&self, w: &mut Writer, shared: Option<&[u8]>) {
        let members = usize::from(!self.dependencies.is_empty())
            + usize::from(!self.components.is_empty())
            + usize::from(shared.is_some());
        w.map(members);
        if !self.dependencies.is_empty() {
            w.int(DEPENDENCIES).map(self.dependencies.len());
            for (index, dependency) in &self.dependencies {
                w.uint(*index).map(usize::from(dependency.prefix.is_some()));
                if let Some(prefix) = &dependency.prefix {
                    w.int(PREFIX);
                    prefix.write(w);
                }
            }
        }
        if !self.components.is_empty() {
            w.int(COMPONENTS).array(self.components.len());
            self.components.iter().for_each(|component| component.write(w));
        }
        if let Some(shared) = shared {
            w.int(SHARED).bytes(shared);
        }
    }

    /// Every index that commands may select with the component that it names: the components
    /// first, then the dependencies that are not among them.
    pub fn indices(&self) -> BTreeMap<u64, &ComponentId> {
        let listed = (0..).zip(&self.components);
        let unlisted = self.dependencies.iter().filter_map(|(index, dependency)| {
            dependency.prefix.as_ref().map(|place| (*index, place))
        });
        unlisted.chain(listed).collect()
    }

    /// The prefix of the components of a dependency.
    ///
    /// A dependency outside the list of components uses its prefix as its place, as every
    /// printed example does, so it has no other use.
    pub fn scope(&self, index: u64) -> Option<&ComponentId> {
        let listed = usize::try_from(index).is_ok_and(|at| at < self.components.len());
        let dependency = self.dependencies.get(&index)?;
        dependency.prefix.as_ref().filter(|_| listed)
    }

    /// The component with the lowest index.
    pub(crate) fn first(&self) -> Option<&ComponentId> {
        let unlisted = || self.dependencies.values().find_map(|it| it.prefix.as_ref());
        self.components.first().or_else(unlisted)
    }

    fn check_places(&self) -> Result<(), Malformed> {
        if self.dependencies.is_empty() && self.components.len() == 1 {
            return Ok(());
        }
        for (index, dependency) in &self.dependencies {
            let listed = usize::try_from(*index).is_ok_and(|at| at < self.components.len());
            if !listed && dependency.prefix.is_none() {
                return Err(Malformed::DependencyPlace(*index));
            }
        }
        let mut seen = BTreeSet::new();
        match self.indices().into_values().find(|component| !seen.insert(*component)) {
            Some(twice) => Err(Malformed::ComponentTwice(twice.clone())),
            None => Ok(()),
        }
    }
}

fn read_dependencies(reader: &mut Reader<'_>) -> Result<BTreeMap<u64, Dependency>, Error> {
    let length = reader.map()?;
    if length == 0 {
        return Err(Malformed::Expected("at least one dependency").into());
    }
    let mut dependencies = BTreeMap::new();
    for _ in 0..length {
        let index = reader.uint()?;
        let mut dependency = Dependency::default();
        each_entry(reader, |key, reader| {
            match key {
                PREFIX => dependency.prefix = Some(ComponentId::read(reader)?),
                other => return Err(Unsupported::CommonMember(other).into()),
            }
            Ok(())
        })?;
        dependencies.insert(index, dependency);
    }
    Ok(dependencies)
}

fn read_components(reader: &mut Reader<'_>) -> Result<Vec<ComponentId>, Error> {
    let length = reader.array()?;
    if length == 0 {
        return Err(Malformed::Expected("at least one component").into());
    }
    (0..length).map(|_| ComponentId::read(reader)).collect()
}

const DEPENDENCIES: i64 = 1;
const COMPONENTS: i64 = 2;
const SHARED: i64 = 4;
const PREFIX: i64 = 1;
