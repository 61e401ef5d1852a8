//! What the agent tells the Broker about itself: nothing that is secret, nothing that is proof.

use cose::Signer as _;
use serde_json::{Value, json};

use super::Core;
use crate::ta::{Standing, Ta};

impl Core {
    /// ```json
    /// { "tee": { "family": "SGX", "interface": "emulator", "trouble": "why it cannot attest" },
    ///   "teep_key": "<hex>", "rollable": true, "manifests": [..],
    ///   "applications": [..] }
    /// ```
    pub(super) fn describe(&self) -> String {
        let tee = self.quotes.description();
        let manifests: Vec<Value> = self
            .store
            .installed()
            .map(|installed| {
                json!({
                    "manifest": installed.manifest.to_string(),
                    "sequence_number": installed.sequence_number,
                    "digest": hex::encode(installed.digest),
                })
            })
            .collect();
        let applications: Vec<Value> =
            self.applications.all().iter().map(|ta| application(ta)).collect();
        json!({
            "tee": {
                "family": tee.family,
                "interface": tee.interface,
                "trouble": self.quotes.trouble(),
            },
            "teep_key": self.identity.teep.key().thumbprint().to_string(),
            "rollable": self.store.rollable(),
            "manifests": manifests,
            "applications": applications,
        })
        .to_string()
    }
}

fn application(ta: &Ta) -> Value {
    let (state, cause) = match ta.standing() {
        Standing::AwaitingRelease => ("awaiting release", None),
        Standing::Released => ("released", None),
        Standing::Crashed(crash) => ("crashed", Some(crash.to_string())),
    };
    json!({ "component": ta.component().to_string(), "state": state, "cause": cause })
}
