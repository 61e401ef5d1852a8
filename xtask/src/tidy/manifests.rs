//! Cargo manifests: dependencies in order.

use std::path::Path;

/// Checks that each run of dependency lines is sorted. A comment begins a new run.
pub(super) fn check(file: &Path, text: &str, findings: &mut Vec<String>) {
    if file.file_name().is_none_or(|name| name != "Cargo.toml") {
        return;
    }
    let (mut in_dependencies, mut last) = (false, String::new());
    for (number, line) in (1..).zip(text.lines()) {
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]");
            last.clear();
        } else if line.starts_with('#') || line.trim().is_empty() {
            last.clear();
        } else if in_dependencies && let Some(name) = line.split(['.', ' ', '=']).next() {
            if name < last.as_str() {
                findings.push(format!("{}:{number}: `{name}` after `{last}`", file.display()));
            }
            if !name.is_empty() {
                last = name.to_owned();
            }
        }
    }
}
