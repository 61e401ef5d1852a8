//! The sections of a manifest and the procedures that run them (suit-manifest section 6.3).

use std::fmt;

/// A command sequence of the manifest that a procedure runs; the number is its manifest key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// suit-validate.
    Validate,
    /// suit-load.
    Load,
    /// suit-invoke.
    Invoke,
    /// suit-dependency-resolution (trust-domains).
    DependencyResolution,
    /// suit-payload-fetch.
    PayloadFetch,
    /// suit-candidate-verification (trust-domains).
    CandidateVerification,
    /// suit-install.
    Install,
    /// suit-uninstall (trust-domains).
    Uninstall,
}

impl Section {
    /// Every section, in the order of the keys.
    pub const ALL: [Self; 8] = [
        Self::Validate,
        Self::Load,
        Self::Invoke,
        Self::DependencyResolution,
        Self::PayloadFetch,
        Self::CandidateVerification,
        Self::Install,
        Self::Uninstall,
    ];

    /// The key of the section in the manifest, and in the envelope if it is severed.
    pub const fn key(self) -> i64 {
        match self {
            Self::Validate => 7,
            Self::Load => 8,
            Self::Invoke => 9,
            Self::DependencyResolution => 15,
            Self::PayloadFetch => 16,
            Self::CandidateVerification => 18,
            Self::Install => 20,
            Self::Uninstall => 24,
        }
    }

    /// The section with this key.
    pub fn from_key(key: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.key() == key)
    }

    //= suit 13.28 (M): validate, load, invoke not severable; uninstall not severable. M 8.4, D 6
    /// Whether a manifest may hold a digest in place of the section.
    pub const fn is_severable(self) -> bool {
        match self {
            Self::DependencyResolution
            | Self::PayloadFetch
            | Self::CandidateVerification
            | Self::Install => true,
            Self::Validate | Self::Load | Self::Invoke | Self::Uninstall => false,
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Validate => "validate",
            Self::Load => "load",
            Self::Invoke => "invoke",
            Self::DependencyResolution => "dependency-resolution",
            Self::PayloadFetch => "payload-fetch",
            Self::CandidateVerification => "candidate-verification",
            Self::Install => "install",
            Self::Uninstall => "uninstall",
        })
    }
}

/// What a manifest is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Procedure {
    /// Brings the components into the state that the manifest describes.
    Update,
    /// Starts them.
    Invocation,
    /// Removes them (trust-domains section 6).
    Uninstall,
    /// One section alone, on behalf of a first processor (trust-domains section 5.4.1).
    Only(Section),
}

impl Procedure {
    /// The sections in the order in which they run.
    pub fn sections(self) -> &'static [Section] {
        match self {
            Self::Update => &[
                Section::DependencyResolution,
                Section::PayloadFetch,
                Section::CandidateVerification,
                Section::Install,
                Section::Validate,
            ],
            Self::Invocation => &[Section::Validate, Section::Load, Section::Invoke],
            Self::Uninstall => &[Section::Uninstall],
            Self::Only(section) => match section {
                Section::Validate => &[Section::Validate],
                Section::Load => &[Section::Load],
                Section::Invoke => &[Section::Invoke],
                Section::DependencyResolution => &[Section::DependencyResolution],
                Section::PayloadFetch => &[Section::PayloadFetch],
                Section::CandidateVerification => &[Section::CandidateVerification],
                Section::Install => &[Section::Install],
                Section::Uninstall => &[Section::Uninstall],
            },
        }
    }
}
