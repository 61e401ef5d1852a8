//! Source files: sizes, words, paths, and what the pure ring must not touch.

use std::path::Path;

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_COLUMNS_MAX: usize = 100;

/// The pure ring: bytes and time in, bytes and effects out.
const RING: [&str; 7] = ["channel", "cose", "rats", "suit", "teep", "verifier", "x509"];

/// What a crate of the pure ring must not name outside its tests.
const IMPURE: [&str; 12] = [
    "SystemRandom",
    "SystemTime",
    "Instant::now",
    "println!",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "tokio::",
    "tracing::",
    "unsafe ",
];

/// Names that say nothing.
const VAGUE: [&str; 6] =
    ["handler.rs", "helpers.rs", "manager.rs", "misc.rs", "types.rs", "utils.rs"];

/// Checks one text file.
pub(super) fn check(file: &Path, text: &str, findings: &mut Vec<String>) {
    let mut found = |line: usize, what: String| {
        findings.push(format!("{}:{line}: {what}", file.display()));
    };
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    for (number, line) in (1..).zip(text.lines()) {
        if line.ends_with([' ', '\t']) && !name.ends_with(".md") {
            found(number, "space at the end of the line".to_owned());
        }
        if let Some(path) = absolute_path(line) {
            found(number, format!("absolute path `{path}`"));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        found(text.lines().count(), "no newline at the end".to_owned());
    }
    if !name.ends_with(".rs") {
        return;
    }
    if VAGUE.contains(&name.as_ref()) {
        found(1, format!("a file named `{name}` says nothing: use a noun of the specification"));
    }
    rust(file, text, &mut found);
}

fn rust(file: &Path, text: &str, found: &mut impl FnMut(usize, String)) {
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() > FILE_LINES_MAX {
        found(lines.len(), format!("{} lines, at most {FILE_LINES_MAX}", lines.len()));
    }
    for (number, line) in (1..).zip(&lines) {
        let unbreakable = line.contains("://") || line.contains("r#\"");
        if line.chars().count() > LINE_COLUMNS_MAX && !unbreakable {
            found(number, format!("more than {LINE_COLUMNS_MAX} columns"));
        }
        if ["TO", "FIX"]
            .iter()
            .any(|half| line.contains(&format!("{half}DO")) || line.contains(&format!("{half}ME")))
        {
            found(number, "unfinished work belongs to the tracker, not to the tree".to_owned());
        }
    }
    for (first, length) in functions(&lines) {
        if length > FUNCTION_LINES_MAX {
            found(first, format!("a function of {length} lines, at most {FUNCTION_LINES_MAX}"));
        }
    }
    if in_ring(file) {
        for (number, line) in (1..).zip(before_tests(&lines)) {
            let code = line.split("//").next().unwrap_or("");
            for word in IMPURE.iter().filter(|word| code.contains(**word)) {
                found(number, format!("`{}` in the pure ring", word.trim()));
            }
        }
    }
}

fn in_ring(file: &Path) -> bool {
    let mut parts = file.iter().map(|part| part.to_string_lossy());
    parts.next().is_some_and(|top| top == "crates")
        && parts.next().is_some_and(|name| RING.contains(&name.as_ref()))
        && parts.next().is_some_and(|part| part == "src")
        && !["tests.rs", "testing.rs"].iter().any(|name| file.ends_with(name))
        && !file.iter().any(|part| part == "tests" || part == "testing")
}

fn before_tests<'a>(lines: &'a [&'a str]) -> &'a [&'a str] {
    let tests = lines.iter().position(|line| line.trim() == "#[cfg(test)]");
    &lines[..tests.unwrap_or(lines.len())]
}

/// First line and length of each function, by the indentation that rustfmt gives.
fn functions(lines: &[&str]) -> Vec<(usize, usize)> {
    let mut functions = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indentation = &line[..line.len() - code.len()];
        let begins = code.starts_with("fn ")
            || (code.contains(" fn ") && code.starts_with(['p', 'a', 'c', 'u', 'e']));
        if !begins || code.starts_with("//") || code.ends_with(';') || code.ends_with('}') {
            continue;
        }
        let end = format!("{indentation}}}");
        if let Some(length) = lines[index..].iter().position(|line| *line == end) {
            functions.push((index + 1, length + 1));
        }
    }
    functions
}

/// A path that only exists on somebody's machine.
fn absolute_path(line: &str) -> Option<&'static str> {
    HOMES.into_iter().find(|home| line.contains(home))
}

const HOMES: [&str; 4] =
    [concat!("/", "work/"), concat!("/", "home/"), concat!("/", "Users/"), concat!("/", "root/")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_function_is_found_with_its_first_line() {
        let long = format!("//! Doc.\nfn long() {{\n{}}}\n", "    step();\n".repeat(70));

        let findings = checked("xtask/src/x.rs", &long);

        assert_eq!(findings, ["xtask/src/x.rs:2: a function of 72 lines, at most 70"]);
    }

    #[test]
    fn the_ring_must_not_read_the_clock_but_its_tests_may() {
        let text = "use std::time::SystemTime;\n#[cfg(test)]\nmod tests { use std::fs; }\n";

        assert_eq!(checked("crates/teep/src/x.rs", text).len(), 1);
        assert_eq!(checked("crates/moc/src/x.rs", text).len(), 0);
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        let line = format!("see {}me/x\n", HOMES[1]);

        assert_eq!(checked("docs/x.md", &line).len(), 1);
    }

    fn checked(file: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check(Path::new(file), text, &mut findings);
        findings
    }
}
