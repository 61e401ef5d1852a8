//! Paths of the interface: templates for a router (`{name}` is one segment), and the same paths
//! filled in for a client.

/// Liveness.
pub const HEALTHZ: &str = "/healthz";
/// Readiness.
pub const READYZ: &str = "/readyz";
/// TEEP for a stranger.
pub const TAM: &str = "/tam";
/// TEEP for the holder of a ticket.
pub const TAM_TICKET: &str = "/tam/{ticket}";
/// What the program counts, for Prometheus.
pub const METRICS: &str = "/metrics";
/// The OpenAPI document.
pub const OPENAPI: &str = "/openapi.json";
/// The page for people who try the interface.
pub const PAGE: &str = "/api";
/// Its script.
pub const PAGE_SCRIPT: &str = "/api/page.js";
/// Its style.
pub const PAGE_STYLE: &str = "/api/page.css";
/// Tenants.
pub const TENANTS: &str = "/v1/tenants";
/// Credentials.
pub const TOKENS: &str = "/v1/tokens";
/// One credential.
pub const TOKEN: &str = "/v1/tokens/{token}";
/// Devices.
pub const DEVICES: &str = "/v1/devices";
/// One device.
pub const DEVICE: &str = "/v1/devices/{device}";
/// Long poll of a device.
pub const WAKE: &str = "/v1/devices/{device}/wake";
/// Outcomes of placing UAs that their Network Users deploy.
pub const PLACEMENTS: &str = "/v1/devices/{device}/placements";
/// Enrolments of a device: it is to be appraised anew.
pub const ENROLMENTS: &str = "/v1/devices/{device}/enrolments";
/// Orders to a device.
pub const ORDERS: &str = "/v1/devices/{device}/orders";
/// Tokens with which devices join.
pub const JOIN_TOKENS: &str = "/v1/join-tokens";
/// One of them.
pub const JOIN_TOKEN: &str = "/v1/join-tokens/{token}";
/// Devices that join.
pub const JOINS: &str = "/v1/joins";
/// Requests for a place.
pub const REQUESTS: &str = "/v1/requests";
/// One blob.
pub const BLOB: &str = "/v1/blobs/{sha256}";
/// Deployments of a tenant.
pub const DEPLOYMENTS: &str = "/v1/deployments";
/// Progress of a deployment, as server-sent events.
pub const PROGRESS: &str = "/v1/deployments/{deployment}/progress";
/// One deployment.
pub const DEPLOYMENT: &str = "/v1/deployments/{deployment}";
/// One package of a deployment.
pub const PACKAGE: &str = "/v1/deployments/{deployment}/packages/{package}";
/// Attestations of a deployment.
pub const ATTESTATIONS: &str = "/v1/deployments/{deployment}/attestations";
/// One attestation.
pub const ATTESTATION: &str = "/v1/deployments/{deployment}/attestations/{attestation}";
/// Receipts of a deployment.
pub const RECEIPTS: &str = "/v1/deployments/{deployment}/receipts";
/// Proofs that what happened in a deployment is in the log of decisions.
pub const PROOFS: &str = "/v1/deployments/{deployment}/proofs";
/// The newest signed checkpoint of the log of decisions.
pub const CHECKPOINT: &str = "/v1/audit/checkpoint";
/// Entries of the log of decisions.
pub const ENTRIES: &str = "/v1/audit/entries";
/// One entry of the log of decisions, with its proof.
pub const ENTRY: &str = "/v1/audit/entries/{position}";
/// That the log of decisions continues an older one.
pub const CONSISTENCY: &str = "/v1/audit/consistency";

use crate::PackageName;

/// [`TAM_TICKET`] filled in.
pub fn tam_ticket(ticket: &str) -> String {
    format!("/tam/{ticket}")
}

/// [`TOKEN`] filled in: the identifier, never the secret.
pub fn token(id: &str) -> String {
    format!("/v1/tokens/{id}")
}

/// [`DEVICE`] filled in.
pub fn device(device: &str) -> String {
    format!("/v1/devices/{device}")
}

/// [`ENROLMENTS`] filled in.
pub fn enrolments(device: &str) -> String {
    format!("/v1/devices/{device}/enrolments")
}

/// [`ORDERS`] filled in.
pub fn orders(device: &str) -> String {
    format!("/v1/devices/{device}/orders")
}

/// [`JOIN_TOKEN`] filled in: the identifier, never the secret.
pub fn join_token(id: &str) -> String {
    format!("/v1/join-tokens/{id}")
}

/// [`PLACEMENTS`] filled in.
pub fn placements(device: &str) -> String {
    format!("/v1/devices/{device}/placements")
}

/// [`WAKE`] filled in.
pub fn wake(device: &str) -> String {
    format!("/v1/devices/{device}/wake")
}

/// [`BLOB`] filled in.
pub fn blob(sha256: &str) -> String {
    format!("/v1/blobs/{sha256}")
}

/// [`DEPLOYMENT`] filled in.
pub fn deployment(deployment: &str) -> String {
    format!("/v1/deployments/{deployment}")
}

/// [`DEPLOYMENT`] that waits, at most 25 seconds, for a change behind `seq`.
pub fn deployment_after(deployment: &str, seq: u64) -> String {
    format!("/v1/deployments/{deployment}?wait={seq}")
}

/// [`PACKAGE`] filled in.
pub fn package(deployment: &str, package: PackageName) -> String {
    format!("/v1/deployments/{deployment}/packages/{package}")
}

/// [`ATTESTATIONS`] filled in.
pub fn attestations(deployment: &str) -> String {
    format!("/v1/deployments/{deployment}/attestations")
}

/// [`ATTESTATION`] filled in.
pub fn attestation(deployment: &str, attestation: &str) -> String {
    format!("/v1/deployments/{deployment}/attestations/{attestation}")
}

/// [`RECEIPTS`] filled in.
pub fn receipts(deployment: &str) -> String {
    format!("/v1/deployments/{deployment}/receipts")
}

/// [`PROOFS`] filled in.
pub fn proofs(deployment: &str) -> String {
    format!("/v1/deployments/{deployment}/proofs")
}

/// [`PROGRESS`] filled in.
pub fn progress(deployment: &str) -> String {
    format!("/v1/deployments/{deployment}/progress")
}

/// A page of [`ENTRIES`].
pub fn entries(from: u64) -> String {
    format!("/v1/audit/entries?from={from}")
}

/// [`ENTRY`] filled in.
pub fn entry(position: u64) -> String {
    format!("/v1/audit/entries/{position}")
}

/// [`CONSISTENCY`] with a log of `older` entries.
pub fn consistency(older: u64) -> String {
    format!("/v1/audit/consistency?from={older}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filled_paths_fit_their_templates() {
        let fill = |template: &str| {
            template
                .replace("{ticket}", "t")
                .replace("{device}", "e")
                .replace("{sha256}", "s")
                .replace("{deployment}", "d")
                .replace("{package}", "pd")
                .replace("{attestation}", "a")
        };

        assert_eq!(tam_ticket("t"), fill(TAM_TICKET));
        assert_eq!(token("t"), TOKEN.replace("{token}", "t"));
        assert_eq!(device("e"), fill(DEVICE));
        assert_eq!(placements("e"), fill(PLACEMENTS));
        assert_eq!(enrolments("e"), fill(ENROLMENTS));
        assert_eq!(orders("e"), fill(ORDERS));
        assert_eq!(join_token("t"), JOIN_TOKEN.replace("{token}", "t"));
        assert_eq!(wake("e"), fill(WAKE));
        assert_eq!(blob("s"), fill(BLOB));
        assert_eq!(deployment("d"), fill(DEPLOYMENT));
        assert_eq!(deployment_after("d", 7), fill(DEPLOYMENT) + "?wait=7");
        assert_eq!(package("d", PackageName::Pd), fill(PACKAGE));
        assert_eq!(attestations("d"), fill(ATTESTATIONS));
        assert_eq!(attestation("d", "a"), fill(ATTESTATION));
        assert_eq!(receipts("d"), fill(RECEIPTS));
        assert_eq!(proofs("d"), fill(PROOFS));
        assert_eq!(progress("d"), fill(PROGRESS));
        assert_eq!(entries(5), fill(ENTRIES) + "?from=5");
        assert_eq!(entry(5), ENTRY.replace("{position}", "5"));
        assert_eq!(consistency(5), fill(CONSISTENCY) + "?from=5");
    }
}
