//! What the processor is told about the device and about whom it believes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use cose::encrypt::ContentAlgorithm;
use cose::{Accept, Algorithm};

use super::references::References;
use crate::authentication::{Anchors, SIGNATURES, TrustAnchors};
use crate::authority::{Authority, OwnerPrefix};
use crate::command::{Condition, Directive, label};
use crate::component::ComponentId;
use crate::digest::DigestAlgorithm;
use crate::parameter::{Parameter, Uuid};
use crate::report::{Capability, CapableComponent};

/// Identity and abilities of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The vendor identifiers it answers to.
    pub vendors: BTreeSet<Uuid>,
    /// Its vendor's private enterprise numbers, as relative object identifiers.
    pub vendor_numbers: BTreeSet<Vec<u8>>,
    /// The class identifiers it answers to.
    pub classes: BTreeSet<Uuid>,
    /// Its own identifier.
    pub device: Option<Uuid>,
    /// The components it has, or none where every identifier is possible.
    pub components: Option<Vec<CapableComponent>>,
    /// The slot that each component with slots would be updated in.
    pub slots: BTreeMap<ComponentId, u64>,
    /// The commands it runs.
    pub commands: Arc<BTreeSet<i64>>,
    /// The URI schemes it fetches from, in lower case.
    pub schemes: BTreeSet<String>,
    /// Seconds since 1970, if it knows the time.
    pub now: Option<u64>,
    /// The charge of its battery in milliwatt-hours, if it has one.
    pub battery: Option<u64>,
    /// The second processor, if components below a prefix have one.
    pub second: Option<SecondProcessor>,
}

impl Device {
    /// A device that runs every command and fetches by `https`.
    pub fn new(vendor: Uuid, class: Uuid) -> Self {
        Self {
            vendors: BTreeSet::from([vendor]),
            vendor_numbers: BTreeSet::new(),
            classes: BTreeSet::from([class]),
            device: None,
            components: None,
            slots: BTreeMap::new(),
            commands: Arc::new(every_command()),
            schemes: BTreeSet::from(["https".to_owned()]),
            now: None,
            battery: None,
            second: None,
        }
    }

    /// The same device without some commands.
    pub fn without_commands(mut self, labels: impl IntoIterator<Item = i64>) -> Self {
        let commands = Arc::make_mut(&mut self.commands);
        labels.into_iter().for_each(|label| {
            commands.remove(&label);
        });
        self
    }

    //= suit 13.98 (M): Capability report lists all extensions implemented. R 6
    /// What this device can do, for the report: its components, commands and parameters, and
    /// every algorithm that is computed here.
    pub fn capability(&self) -> Capability {
        let digests = DigestAlgorithm::COMPUTED.into_iter().map(DigestAlgorithm::id);
        let signatures =
            [Algorithm::Esp256, Algorithm::Ed25519, Algorithm::Esp384, Algorithm::HssLms];
        let ciphers = ContentAlgorithm::ALL.into_iter().map(ContentAlgorithm::id);
        Capability {
            components: self.components.clone().unwrap_or_default(),
            commands: self.commands.iter().copied().collect(),
            parameters: Parameter::KEYS.to_vec(),
            algorithms: digests
                .chain(signatures.into_iter().map(Algorithm::id))
                .chain([HMAC_256])
                .chain(ciphers)
                .chain(KEY_WRAPS)
                .collect(),
            others: BTreeMap::new(),
            further: BTreeMap::new(),
        }
    }

    pub(super) fn has_component(&self, component: &ComponentId) -> bool {
        match &self.components {
            None => true,
            Some(list) => list.iter().any(|capable| {
                *component == capable.prefix
                    || capable.any_below && component.starts_with(&capable.prefix)
            }),
        }
    }
}

/// A processor in another trust domain that runs the dependencies below a prefix
/// (trust-domains section 5.4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecondProcessor {
    /// The components that it has.
    pub prefix: ComponentId,
    /// The parameters that it accepts from a dependent.
    pub parameters: BTreeSet<i64>,
}

/// What hostile input can make the processor spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Components of one manifest.
    pub components: usize,
    /// Commands of one procedure, each run for each component.
    pub commands: u32,
    /// Manifests of one procedure.
    pub manifests: usize,
    /// Dependencies of dependencies.
    pub dependency_depth: usize,
    /// Bytes of a payload whose size the manifest does not tell.
    pub payload_bytes: u64,
    /// Records of one report.
    pub records: usize,
    /// Whether an Invocation procedure without a validate section may invoke.
    pub invoke_unvalidated: bool,
}

impl Limits {
    /// Limits for a device that is not constrained.
    pub const DEFAULT: Self = Self {
        components: 64,
        commands: 10_000,
        manifests: 16,
        dependency_depth: 4,
        payload_bytes: 256 << 20,
        records: 256,
        invoke_unvalidated: false,
    };
}

/// What the device keeps about manifests that it has run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installed {
    /// The sequence number that each manifest identity may not fall below.
    pub sequence_numbers: BTreeMap<ComponentId, u64>,
    /// Which manifests use which components.
    pub references: References,
}

/// Everything that a run depends on besides the manifest.
#[derive(Clone)]
pub struct Context {
    /// The device.
    pub device: Device,
    /// What a run may spend.
    pub limits: Limits,
    /// What the device keeps.
    pub installed: Installed,
    /// Whom the device believes about dependencies.
    pub anchors: Arc<dyn TrustAnchors + Send + Sync>,
    /// Which components a signer may touch.
    pub authority: Arc<dyn Authority + Send + Sync>,
    /// The signature algorithms that the device takes.
    pub accept: Accept,
    /// What the receiver of the report gave to prove that it is fresh.
    pub nonce: Option<Vec<u8>>,
}

impl Context {
    /// Believes nobody about dependencies, gives each signer its own components, and starts
    /// from an empty device.
    pub fn new(device: Device) -> Self {
        Self {
            device,
            limits: Limits::DEFAULT,
            installed: Installed::default(),
            anchors: Arc::new(Anchors::none()),
            authority: Arc::new(OwnerPrefix),
            accept: SIGNATURES,
            nonce: None,
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("device", &self.device)
            .field("limits", &self.limits)
            .field("installed", &self.installed)
            .finish_non_exhaustive()
    }
}

/// The labels of every command that this crate runs.
pub fn every_command() -> BTreeSet<i64> {
    let conditions = Condition::ALL.into_iter().map(Condition::label);
    let directives = Directive::ALL.into_iter().map(Directive::label);
    let others = [
        label::SET_COMPONENT_INDEX,
        label::TRY_EACH,
        label::SET_PARAMETERS,
        label::OVERRIDE_PARAMETERS,
        label::RUN_SEQUENCE,
        label::OVERRIDE_MULTIPLE,
        label::COPY_PARAMS,
    ];
    conditions.chain(directives).chain(others).collect()
}

const HMAC_256: i64 = 5;
/// AES Key Wrap, and ECDH-ES with it, for keys of 128, 192 and 256 bits.
const KEY_WRAPS: [i64; 6] = [-3, -4, -5, -29, -30, -31];
