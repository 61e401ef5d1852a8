//! Credentials: who may do what, until when.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What the holder of a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs the M/OC: tenants, devices, credentials.
    Operator,
    /// Credentials, quarantine of devices, the log of decisions.
    SecurityOfficer,
    /// A Network User with the say over the tenant's credentials.
    TenantAdmin,
    /// A Network User.
    TenantUser,
    /// Reads the log of decisions and the inventory.
    Auditor,
    /// The Broker of one device.
    Device,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] = [
        Self::Operator,
        Self::SecurityOfficer,
        Self::TenantAdmin,
        Self::TenantUser,
        Self::Auditor,
        Self::Device,
    ];

    /// The spelling of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::SecurityOfficer => "security-officer",
            Self::TenantAdmin => "tenant-admin",
            Self::TenantUser => "tenant-user",
            Self::Auditor => "auditor",
            Self::Device => "device",
        }
    }

    /// What a holder may do at most.
    pub const fn scopes(self) -> &'static [Scope] {
        match self {
            Self::Operator => &[
                Scope::AuditRead,
                Scope::DevicesRead,
                Scope::DevicesWrite,
                Scope::TenantsRead,
                Scope::TenantsWrite,
                Scope::TokensWrite,
            ],
            Self::SecurityOfficer => &[
                Scope::AuditRead,
                Scope::DevicesRead,
                Scope::DevicesWrite,
                Scope::TenantsRead,
                Scope::TokensWrite,
            ],
            Self::TenantAdmin => {
                &[Scope::DeploymentsRead, Scope::DeploymentsWrite, Scope::TokensWrite]
            }
            Self::TenantUser => &[Scope::DeploymentsRead, Scope::DeploymentsWrite],
            Self::Auditor => &[Scope::AuditRead, Scope::DevicesRead, Scope::TenantsRead],
            Self::Device => &[Scope::Device],
        }
    }

    /// Whether a holder belongs to a tenant.
    pub const fn is_of_tenant(self) -> bool {
        matches!(self, Self::TenantAdmin | Self::TenantUser)
    }

    /// The roles of the credentials that a holder may make.
    pub const fn grants(self) -> &'static [Self] {
        match self {
            Self::Operator | Self::SecurityOfficer => &[
                Self::Operator,
                Self::SecurityOfficer,
                Self::TenantAdmin,
                Self::TenantUser,
                Self::Auditor,
            ],
            Self::TenantAdmin => &[Self::TenantAdmin, Self::TenantUser],
            Self::TenantUser | Self::Auditor | Self::Device => &[],
        }
    }
}

/// One thing that a credential allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Scope {
    /// Read the log of decisions.
    #[serde(rename = "audit:read")]
    AuditRead,
    /// Look at the tenant's own deployments, results and receipts.
    #[serde(rename = "deployments:read")]
    DeploymentsRead,
    /// Ask for places, bring packages, ask for evidence.
    #[serde(rename = "deployments:write")]
    DeploymentsWrite,
    /// Be the Broker of one device.
    #[serde(rename = "device")]
    Device,
    /// Look at devices.
    #[serde(rename = "devices:read")]
    DevicesRead,
    /// Add, enrol, approve, quarantine, drain and retire devices.
    #[serde(rename = "devices:write")]
    DevicesWrite,
    /// Look at tenants.
    #[serde(rename = "tenants:read")]
    TenantsRead,
    /// Add tenants.
    #[serde(rename = "tenants:write")]
    TenantsWrite,
    /// Make, list and revoke credentials.
    #[serde(rename = "tokens:write")]
    TokensWrite,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 9] = [
        Self::AuditRead,
        Self::DeploymentsRead,
        Self::DeploymentsWrite,
        Self::Device,
        Self::DevicesRead,
        Self::DevicesWrite,
        Self::TenantsRead,
        Self::TenantsWrite,
        Self::TokensWrite,
    ];

    /// The spelling of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuditRead => "audit:read",
            Self::DeploymentsRead => "deployments:read",
            Self::DeploymentsWrite => "deployments:write",
            Self::Device => "device",
            Self::DevicesRead => "devices:read",
            Self::DevicesWrite => "devices:write",
            Self::TenantsRead => "tenants:read",
            Self::TenantsWrite => "tenants:write",
            Self::TokensWrite => "tokens:write",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no role or no scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownGrant(pub String);

impl fmt::Display for UnknownGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is neither a role nor a scope", self.0)
    }
}

impl std::error::Error for UnknownGrant {}

impl FromStr for Role {
    type Err = UnknownGrant;

    fn from_str(text: &str) -> Result<Self, UnknownGrant> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| UnknownGrant(text.to_owned()))
    }
}

impl FromStr for Scope {
    type Err = UnknownGrant;

    fn from_str(text: &str) -> Result<Self, UnknownGrant> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| UnknownGrant(text.to_owned()))
    }
}

/// `POST /v1/tokens` (`tokens:write`): a new credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PostToken {
    /// What its holder is.
    pub role: Role,
    /// Whose, for the roles of a tenant; a tenant's admin may leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// A name of 1 to 64 characters out of `a-z 0-9 . _ -`, first a letter or digit, so that
    /// somebody knows later what it was for.
    pub name: String,
    /// What it allows, out of the role's scopes; empty allows all of them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub scopes: BTreeSet<Scope>,
    /// Seconds until it counts no more, 1 to 31,622,400 (a leap year). Default: 7,776,000, which
    /// are 90 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_s: Option<u64>,
    /// In place of a bearer token: SHA-256 of the holder's TLS client certificate (DER), hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_sha256: Option<String>,
}

/// 201 to [`PostToken`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenAdded {
    /// Identifier, which is no secret.
    pub id: String,
    /// The bearer token, shown this once; absent for a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// When it counts no more, in milliseconds since 1970.
    pub expires_at_ms: u64,
}

/// One element of `GET /v1/tokens`: a credential that counts. The secret is kept by nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenView {
    /// Identifier.
    pub id: String,
    /// What it was for.
    pub name: String,
    /// What its holder is.
    pub role: Role,
    /// Whose, for the roles of a tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Which device's, for a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What it allows.
    pub scopes: BTreeSet<Scope>,
    /// Whether it is a client certificate.
    pub certificate: bool,
    /// Since when, in milliseconds since 1970.
    pub created_at_ms: u64,
    /// Until when; absent when it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_and_scopes_come_back_from_their_texts() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
            assert_eq!(serde_json::to_string(&role).unwrap(), format!("\"{role}\""));
        }
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            assert_eq!(serde_json::to_string(&scope).unwrap(), format!("\"{scope}\""));
        }
        assert_eq!("root".parse::<Role>(), Err(UnknownGrant("root".into())));
    }

    #[test]
    fn nobody_of_a_tenant_grants_anything_beyond_the_tenant() {
        for role in [Role::TenantAdmin, Role::TenantUser] {
            assert!(role.grants().iter().all(|granted| granted.is_of_tenant()));
        }
        assert_eq!(Role::Auditor.grants(), []);
        assert_eq!(Role::Device.grants(), []);
    }
}
