//! The corpus: what every target starts from, replayed in every test run.

pub(crate) mod arm;
mod hardware;
mod local;
mod objects;
mod rats;
mod suit;
mod teep;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{TARGETS, Target};

#[test]
fn every_target_has_a_binary_and_a_corpus_and_there_are_no_others() {
    let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let binaries = listed(&fuzz().join("src/bin"));
    let binaries = binaries.iter().map(|path| stem(path)).collect();
    let corpora = listed(&fuzz().join("corpus")).iter().map(|path| stem(path)).collect();

    assert_eq!(names, binaries);
    assert_eq!(names, corpora);
}

#[test]
fn the_corpus_is_small() {
    let mut total = 0;
    for (name, _) in TARGETS {
        let files = listed(&fuzz().join("corpus").join(name));
        assert!((1..=FILES_MAX).contains(&files.len()), "{name} has {} files", files.len());
        for file in files {
            let size = fs::metadata(&file).unwrap().len();
            assert!(size <= FILE_BYTES_MAX, "{} has {size} bytes", file.display());
            total += size;
        }
    }

    assert!(total <= CORPUS_BYTES_MAX, "{total} bytes");
}

#[test]
fn no_corpus_file_breaks_a_promise() {
    for (name, target) in TARGETS {
        for file in listed(&fuzz().join("corpus").join(name)) {
            replay(name, target, &file);
        }
    }
}

/// Every vector is bytes to every target, except to those of the channel, whose formats are ours.
#[test]
fn no_vector_breaks_a_promise() {
    let vectors = fuzz().join("../../shared/vectors");
    if !vectors.is_dir() {
        println!("skipped: ../shared/vectors is absent");
        return;
    }
    let files = tree(&vectors);
    assert!(!files.is_empty());
    for file in files {
        for (name, target) in TARGETS.iter().filter(|(name, _)| !name.starts_with("channel")) {
            replay(name, *target, &file);
        }
    }
}

#[test]
#[ignore = "writes fuzz/corpus again"]
fn the_seeds_are_written_again() {
    let mut seeds = Seeds(Vec::new());
    objects::seed(&mut seeds);
    local::seed(&mut seeds);
    suit::seed(&mut seeds);
    teep::seed(&mut seeds);
    rats::seed(&mut seeds);
    hardware::seed(&mut seeds);
    arm::seed(&mut seeds);

    for (target, name, bytes) in seeds.0 {
        assert!(TARGETS.iter().any(|(known, _)| *known == target), "{target}");
        let directory = fuzz().join("corpus").join(target);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(name), bytes).unwrap();
    }
}

/// Files to write: target, name, content.
struct Seeds(Vec<(&'static str, String, Vec<u8>)>);

impl Seeds {
    fn put(&mut self, target: &'static str, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push((target, name.into(), bytes.into()));
    }
}

/// Runs one file, and names it when it breaks something.
fn replay(name: &str, target: Target, file: &Path) {
    let bytes = fs::read(file).unwrap();
    let outcome = std::panic::catch_unwind(|| target(&bytes));
    assert!(outcome.is_ok(), "{name} breaks on {}", file.display());
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// What a directory has, in order; nothing where there is none.
fn listed(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn tree(directory: &Path) -> Vec<PathBuf> {
    let (directories, files): (Vec<_>, Vec<_>) =
        listed(directory).into_iter().partition(|path| path.is_dir());
    files.into_iter().chain(directories.iter().flat_map(|path| tree(path))).collect()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

const FILES_MAX: usize = 24;
const FILE_BYTES_MAX: u64 = 8 << 10;
const CORPUS_BYTES_MAX: u64 = 600 << 10;
