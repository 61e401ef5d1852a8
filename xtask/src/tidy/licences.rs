//! The licences that may ship. Dependencies of tests alone are not shipped.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

const ALLOWED: [&str; 15] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "BlueOak-1.0.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Checks every package that the shipped crates reach by normal and build dependencies.
pub(super) fn check(metadata: &Value, findings: &mut Vec<String>) {
    let packages: BTreeMap<&str, &Value> = items(&metadata["packages"])
        .filter_map(|package| Some((package["id"].as_str()?, package)))
        .collect();
    for id in shipped(metadata) {
        let Some(package) = packages.get(id) else { continue };
        let licence = package["license"].as_str().unwrap_or("");
        if !allowed(licence) {
            findings.push(format!("licence `{licence}` of {} is not on the list", package["name"]));
        }
    }
}

fn shipped(metadata: &Value) -> BTreeSet<&str> {
    let nodes: BTreeMap<&str, &Value> = items(&metadata["resolve"]["nodes"])
        .filter_map(|node| Some((node["id"].as_str()?, node)))
        .collect();
    let mut open: Vec<&str> =
        items(&metadata["workspace_members"]).filter_map(Value::as_str).collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        for dependency in nodes.get(id).into_iter().flat_map(|node| items(&node["deps"])) {
            if items(&dependency["dep_kinds"]).any(|kind| kind["kind"] != "dev") {
                open.extend(dependency["pkg"].as_str());
            }
        }
    }
    seen
}

/// An SPDX expression holds when one `OR` branch has only allowed `AND` terms.
fn allowed(expression: &str) -> bool {
    let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
    plain
        .split(" OR ")
        .any(|branch| branch.split(" AND ").all(|term| ALLOWED.contains(&term.trim())))
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[test]
    fn one_branch_of_allowed_terms_is_enough() {
        assert!(allowed("MIT OR GPL-3.0"));
        assert!(allowed("Apache-2.0/MIT"));
        assert!(allowed("ISC AND MIT"));
        assert!(!allowed("MPL-2.0"));
        assert!(!allowed("MIT AND MPL-2.0"));
        assert!(!allowed(""));
    }
}
