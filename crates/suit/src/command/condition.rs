//! SUIT_Condition (suit-manifest section 8.4.9, trust-domains 5.6, update-management 4).

/// A condition: checks, and changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// The device has this vendor identifier.
    VendorIdentifier,
    /// The device has this class identifier.
    ClassIdentifier,
    /// The component has this digest, and this size if one is set.
    ImageMatch,
    /// The time is before this one (update-management).
    UseBefore,
    /// The component is in this slot.
    ComponentSlot,
    /// The component has this content.
    CheckContent,
    /// The dependency is authentic and the one that was named (trust-domains).
    DependencyIntegrity,
    /// The component is a dependency (trust-domains).
    IsDependency,
    /// Never holds.
    Abort,
    /// The device has this device identifier.
    DeviceIdentifier,
    /// The component does not have this digest (update-management).
    ImageNotMatch,
    /// The battery has at least this charge (update-management).
    MinimumBattery,
    /// The update is allowed at this priority (update-management).
    UpdateAuthorized,
    /// The component has a version that compares so (update-management).
    Version,
}

impl Condition {
    /// Every condition.
    pub const ALL: [Self; 14] = [
        Self::VendorIdentifier,
        Self::ClassIdentifier,
        Self::ImageMatch,
        Self::UseBefore,
        Self::ComponentSlot,
        Self::CheckContent,
        Self::DependencyIntegrity,
        Self::IsDependency,
        Self::Abort,
        Self::DeviceIdentifier,
        Self::ImageNotMatch,
        Self::MinimumBattery,
        Self::UpdateAuthorized,
        Self::Version,
    ];

    /// The label of the condition in the registry.
    pub const fn label(self) -> i64 {
        match self {
            Self::VendorIdentifier => 1,
            Self::ClassIdentifier => 2,
            Self::ImageMatch => 3,
            Self::UseBefore => 4,
            Self::ComponentSlot => 5,
            Self::CheckContent => 6,
            Self::DependencyIntegrity => 7,
            Self::IsDependency => 8,
            Self::Abort => 14,
            Self::DeviceIdentifier => 24,
            Self::ImageNotMatch => 25,
            Self::MinimumBattery => 26,
            Self::UpdateAuthorized => 27,
            Self::Version => 28,
        }
    }

    /// The condition with this label.
    pub fn from_label(label: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|condition| condition.label() == label)
    }
}
