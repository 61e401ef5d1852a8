//! The corpus: what every target starts from, replayed in every test run.

pub(crate) mod arm;
mod hardware;
mod local;
mod objects;
mod rats;
mod suit;
mod teep;
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use crate::TARGETS;

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

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}
