//! Replays the corpus and every vector.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::fuzz;
use crate::{TARGETS, Target};

//= teep 15.122 (M): each target runs under libFuzzer and has its corpus
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

//= teep 15.122 (M): the corpus is replayed in every test run
#[test]
fn no_corpus_file_breaks_a_promise() {
    for (name, target) in TARGETS {
        for file in listed(&fuzz().join("corpus").join(name)) {
            replay(name, target, &file);
        }
    }
}

//= teep 15.122 (M): the vectors are part of the corpus
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

/// Runs one file, and names it when it breaks something.
fn replay(name: &str, target: Target, file: &Path) {
    let bytes = fs::read(file).unwrap();
    let outcome = std::panic::catch_unwind(|| target(&bytes));
    assert!(outcome.is_ok(), "{name} breaks on {}", file.display());
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
