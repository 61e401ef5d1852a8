//! The requirement ledger: each requirement of `spec/` with the code and the tests that cite it.
//!
//! A citation is a comment `//= teep 14.28 …` above the code or the test. `spec/open.toml` lists
//! what is not covered yet; the test run fails when something that is not listed there loses its
//! code or its tests, and when something listed there has gained both.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::run;

/// The documents, in the order of `spec/`.
pub(crate) const DOCUMENTS: [&str; 4] = ["teep", "suit", "rats", "evidence"];

#[derive(Deserialize)]
struct Document {
    requirement: Vec<Requirement>,
}

#[derive(Clone, Deserialize)]
struct Requirement {
    id: String,
    level: String,
    section: String,
    text: String,
}

#[derive(Deserialize)]
struct Open {
    open: BTreeSet<String>,
}

/// A requirement with where it is met and tested.
#[derive(Serialize)]
struct Row {
    id: String,
    level: String,
    section: String,
    text: String,
    #[serde(rename = "where")]
    code: Vec<String>,
    tests: Vec<String>,
}

impl Row {
    fn covered(&self) -> bool {
        !self.code.is_empty() && !self.tests.is_empty()
    }
}

/// Prints the ledger; fails on a MUST without code or test.
pub(crate) fn run(name: Option<&str>, json: bool) -> Result<()> {
    let rows = rows(name)?;
    if json {
        anstream::println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        print(&rows);
    }
    let open = rows.iter().filter(|row| row.level == "MUST" && !row.covered()).count();
    if open > 0 {
        bail!("{open} of {} requirements are MUSTs without code or test", rows.len());
    }
    Ok(())
}

/// Writes `spec/open.toml` and `docs/conformance.md` again.
pub(crate) fn write() -> Result<()> {
    let rows = rows(None)?;
    let mut open = OPEN_HEAD.to_owned();
    for row in rows.iter().filter(|row| row.level == "MUST" && !row.covered()) {
        open += &format!("    {:?},\n", row.id);
    }
    fs::write(run::root().join("spec/open.toml"), open + "]\n")?;
    fs::write(run::root().join(CONFORMANCE), conformance(&rows))?;
    anstream::println!("wrote spec/open.toml and {CONFORMANCE}");
    Ok(())
}

/// The page for people: files without line numbers, so that it changes when coverage does.
fn conformance(rows: &[Row]) -> String {
    let mut page = CONFORMANCE_HEAD.to_owned();
    for document in DOCUMENTS {
        let section: Vec<_> = rows.iter().filter(|row| document_of(&row.id) == document).collect();
        let covered = section.iter().filter(|row| row.covered()).count();
        page += &format!("\n## {document}: {covered} of {}\n\n", section.len());
        page += "| Id | Level | Requirement | Code | Tests |\n|---|---|---|---|---|\n";
        for row in section {
            let Row { id, level, text, code, tests, .. } = row;
            let text = text.replace('|', "\\|");
            let (code, tests) = (files(code), files(tests));
            page += &format!("| {id} | {level} | {text} | {code} | {tests} |\n");
        }
    }
    page
}

fn files(places: &[String]) -> String {
    let names = places.iter().filter_map(|place| place.rsplit_once(':')).map(|(file, _)| file);
    let names: BTreeSet<String> = names.map(|file| format!("`{file}`")).collect();
    names.into_iter().collect::<Vec<_>>().join(" ")
}

/// What the test run checks: citations name known ids, and what is generated is fresh.
pub(crate) fn check() -> Result<()> {
    let text = fs::read_to_string(run::root().join("spec/open.toml"))?;
    let open: Open = toml::from_str(&text).context("reading spec/open.toml")?;
    let rows = rows(None)?;
    let known: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let mut findings = Vec::new();
    for (id, place) in
        citations()?.into_iter().flat_map(|(id, at)| at.into_iter().map(move |a| (id.clone(), a)))
    {
        if !known.contains(id.as_str()) {
            findings.push(format!("{}: `{id}` is not in spec/", place.shown));
        }
    }
    for row in rows.iter().filter(|row| row.level == "MUST") {
        match (row.covered(), open.open.contains(&row.id)) {
            (false, false) => findings.push(format!("{} has lost its code or its tests", row.id)),
            (true, true) => {
                findings.push(format!("{} is covered: take it out of spec/open.toml", row.id))
            }
            (true, false) | (false, true) => {}
        }
    }
    if fs::read_to_string(run::root().join(CONFORMANCE)).ok() != Some(conformance(&rows)) {
        findings.push(format!("{CONFORMANCE} is stale: run `cargo xtask spec --write`"));
    }
    for finding in &findings {
        anstream::println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("the ledger has {} findings", findings.len());
    }
    anstream::println!("ledger: {} requirements, {} open", rows.len(), open.open.len());
    Ok(())
}

fn rows(name: Option<&str>) -> Result<Vec<Row>> {
    if let Some(name) = name.filter(|name| !DOCUMENTS.contains(name)) {
        bail!("no document `{name}`; there are {}", DOCUMENTS.join(", "));
    }
    let cited = citations()?;
    let mut rows = Vec::new();
    for document in DOCUMENTS.into_iter().filter(|document| name.is_none_or(|n| n == *document)) {
        let path = run::root().join("spec").join(document).with_extension("toml");
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let Document { requirement } = toml::from_str(&text)?;
        rows.extend(requirement.into_iter().map(|Requirement { id, level, section, text }| {
            let places = cited.get(&id).map_or(&[][..], Vec::as_slice);
            let shown = |test: bool| {
                places.iter().filter(|p| p.test == test).map(|p| p.shown.clone()).collect()
            };
            Row { code: shown(false), tests: shown(true), id, level, section, text }
        }));
    }
    Ok(rows)
}

fn print(rows: &[Row]) {
    for row in rows {
        let (mark, colour) = if row.covered() { ("✓", run::GREEN) } else { ("·", run::DIM) };
        let (on, off) = (colour.render(), colour.render_reset());
        anstream::println!("{on}{mark}{off} {:<12} {:<6} {}", row.id, row.level, row.text);
        for (what, places) in [("code", &row.code), ("test", &row.tests)] {
            for place in places {
                anstream::println!("      {what} {place}");
            }
        }
    }
    for document in DOCUMENTS {
        let section: Vec<_> = rows.iter().filter(|row| document_of(&row.id) == document).collect();
        if !section.is_empty() {
            let covered = section.iter().filter(|row| row.covered()).count();
            anstream::println!("{document}: {covered} of {} covered", section.len());
        }
    }
}

fn document_of(id: &str) -> &str {
    if id.starts_with("EV-") { "evidence" } else { id.split(' ').next().unwrap_or("") }
}

struct Place {
    shown: String,
    test: bool,
}

/// Every citation in the tree's Rust sources.
fn citations() -> Result<BTreeMap<String, Vec<Place>>> {
    let mut cited: BTreeMap<String, Vec<Place>> = BTreeMap::new();
    for folder in ["crates", "interfaces", "stage", "fuzz/targets"] {
        for file in rust_files(&run::root().join(folder))? {
            let text = fs::read_to_string(&file)?;
            let shown = file.strip_prefix(run::root()).unwrap_or(&file).display().to_string();
            let of_tests = file.ends_with("tests.rs") || file.iter().any(|part| part == "tests");
            let mut in_tests = of_tests;
            for (number, line) in (1..).zip(text.lines()) {
                in_tests |= line.trim() == "#[cfg(test)]";
                for id in line.trim_start().strip_prefix("//= ").into_iter().flat_map(ids) {
                    let place = Place { shown: format!("{shown}:{number}"), test: in_tests };
                    cited.entry(id).or_default().push(place);
                }
            }
        }
    }
    Ok(cited)
}

/// The ids at the head of a citation: `teep 14.28, 14.29: …` names two.
fn ids(citation: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut document = "";
    for word in citation.split_whitespace() {
        let bare = word.trim_end_matches([',', ':', ';']);
        let numbered = bare.contains('.')
            && bare
                .split('.')
                .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        if DOCUMENTS.contains(&bare) {
            document = bare;
        } else if bare.starts_with("EV-") {
            ids.push(bare.to_owned());
        } else if numbered && !document.is_empty() {
            ids.push(format!("{document} {bare}"));
        } else {
            break;
        }
    }
    ids
}

const CONFORMANCE: &str = "docs/conformance.md";

const CONFORMANCE_HEAD: &str = "# Conformance

Every requirement of the specifications that `spec/` lists, with the files whose code and tests cite
it. Written by `cargo xtask spec --write`; `cargo xtask spec` shows the lines.
";

const OPEN_HEAD: &str =
    "# MUSTs without code or test. Written by `cargo xtask spec --write`; the test run fails when a
# requirement that is not listed here loses its code or its tests.
open = [
";

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::ids;

    #[test]
    fn a_citation_names_one_or_more_ids() {
        assert_eq!(ids("teep 14.28 (M): the token is used once"), ["teep 14.28"]);
        assert_eq!(ids("teep 14.28, 14.29: both"), ["teep 14.28", "teep 14.29"]);
        assert_eq!(ids("EV-DCAP-3: zeros too"), ["EV-DCAP-3"]);
        assert!(ids("RFC 9052 section 4").is_empty());
    }
}
