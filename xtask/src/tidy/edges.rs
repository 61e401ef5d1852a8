//! Which of our crates may depend on which. A new edge is a design decision.

use serde_json::Value;

/// Each crate with all of ours that it may name in `[dependencies]`.
const EDGES: &[(&str, &[&str])] = &[
    (
        "agent",
        &["channel", "cose", "device", "image", "keys", "link", "rats", "suit", "teep", "x509"],
    ),
    ("api", &[]),
    ("audit", &["cose"]),
    ("bench", &[]),
    ("broker", &["api", "cose", "device", "image", "suit"]),
    ("channel", &["cose"]),
    (
        "cli",
        &[
            "api", "audit", "channel", "cose", "image", "keys", "rats", "sdk", "stage", "suit",
            "teep", "verifier",
        ],
    ),
    ("cose", &[]),
    ("device", &[]),
    ("emulator", &["cose", "device", "keys", "link", "rats"]),
    ("fuzz-targets", &["channel", "cose", "device", "keys", "rats", "suit", "teep", "verifier"]),
    ("image", &["cose"]),
    ("interfaces", &[]),
    ("keys", &["cose"]),
    ("link", &[]),
    ("moc", &["api", "audit", "cose", "keys", "rats", "suit", "teep", "verifier"]),
    ("rats", &["cose"]),
    ("sdk", &["api", "channel", "cose", "device", "image", "keys", "rats", "suit", "verifier"]),
    ("stage", &[]),
    ("suit", &["cose"]),
    ("teep", &["cose", "rats", "suit", "x509"]),
    ("verifier", &["cose", "rats", "x509"]),
    ("x509", &["cose", "rats"]),
];

/// Checks the edges of every workspace member.
pub(super) fn check(metadata: &Value, findings: &mut Vec<String>) {
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let Some(name) = ours(&package["name"]) else { continue };
        let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == name) else {
            findings.push(format!("crate `{name}` is not in the table of dependency edges"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let Some(on) = ours(&dependency["name"]) else { continue };
            if dependency["kind"].is_null() && !allowed.contains(&on) {
                findings.push(format!("crate `{name}` must not depend on `{on}`"));
            }
        }
    }
}

fn ours(name: &Value) -> Option<&str> {
    name.as_str()?.strip_prefix("tamarack-")
}
