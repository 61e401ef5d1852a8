//! SUIT_Directive, as far as the argument is a reporting policy (suit-manifest section 8.4.10,
//! trust-domains 5.6, update-management 4).

/// A directive whose argument is a reporting policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Directive {
    /// Runs the section of the same name of a dependency (trust-domains).
    ProcessDependency,
    /// Stores the parameter content in the component.
    Write,
    /// Stores what the parameter uri names in the component.
    Fetch,
    /// Stores the content of another component in the component.
    Copy,
    /// Starts the component.
    Invoke,
    /// Waits for an event (update-management).
    Wait,
    /// Exchanges the content of two components.
    Swap,
    /// Gives up this manifest's use of the component (trust-domains).
    Unlink,
}

impl Directive {
    /// Every directive whose argument is a reporting policy.
    pub const ALL: [Self; 8] = [
        Self::ProcessDependency,
        Self::Write,
        Self::Fetch,
        Self::Copy,
        Self::Invoke,
        Self::Wait,
        Self::Swap,
        Self::Unlink,
    ];

    /// The label of the directive in the registry.
    pub const fn label(self) -> i64 {
        match self {
            Self::ProcessDependency => 11,
            Self::Write => 18,
            Self::Fetch => 21,
            Self::Copy => 22,
            Self::Invoke => 23,
            Self::Wait => 29,
            Self::Swap => 31,
            Self::Unlink => 33,
        }
    }

    /// The directive with this label.
    pub fn from_label(label: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|directive| directive.label() == label)
    }
}
