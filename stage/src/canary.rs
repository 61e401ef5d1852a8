//! Searches what the operator holds for something that it must not hold.
//!
//! A search that finds nothing proves little; one that finds what was planted shows at least that
//! it looks in the right places.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// Where something was found, and in which writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The file, or the process and its address range.
    pub place: String,
    /// "as it is", "hexadecimal", "base64" or "UTF-16".
    pub writing: &'static str,
}

/// Searches every file below the paths.
///
/// # Errors
/// A file cannot be read.
pub fn search(paths: &[PathBuf], canary: &str) -> Result<Vec<Sighting>> {
    let needles = writings(canary);
    let mut sightings = Vec::new();
    for file in paths.iter().flat_map(|path| files(path)) {
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            // What is written beside and moved into place goes away between listing and look.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("reading {}", file.display()));
            }
        };
        look(&bytes, &needles, &file.display().to_string(), &mut sightings);
    }
    Ok(sightings)
}

/// Searches the memory of a running process.
///
/// # Errors
/// The process may not be looked into.
pub fn search_memory(pid: u32, canary: &str) -> Result<Vec<Sighting>> {
    let needles = writings(canary);
    let maps = File::open(format!("/proc/{pid}/maps")).context("opening the memory map")?;
    let mut memory = File::open(format!("/proc/{pid}/mem")).context("opening the memory")?;
    let mut sightings = Vec::new();
    for line in BufReader::new(maps).lines() {
        let line = line?;
        let Some((range, rest)) = line.split_once(' ') else { continue };
        let Some((first, last)) = range.split_once('-') else { continue };
        if !rest.starts_with('r') || rest.contains("[v") {
            continue;
        }
        let (first, last) = (u64::from_str_radix(first, 16)?, u64::from_str_radix(last, 16)?);
        let mut bytes = vec![0; usize::try_from(last - first)?];
        // A range may go away between the listing and the look.
        if memory.seek(SeekFrom::Start(first)).is_ok() && memory.read_exact(&mut bytes).is_ok() {
            look(&bytes, &needles, &format!("process {pid} at {range}"), &mut sightings);
        }
    }
    Ok(sightings)
}

/// Searches a text that somebody tells.
#[must_use]
pub fn search_text(text: &[u8], place: &str, canary: &str) -> Vec<Sighting> {
    let mut sightings = Vec::new();
    look(text, &writings(canary), place, &mut sightings);
    sightings
}

type Needles = Vec<(&'static str, Vec<u8>)>;

/// The canary as it may be written down.
fn writings(canary: &str) -> Needles {
    let bytes = canary.as_bytes();
    let lower: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut needles: Needles = vec![
        ("as it is", bytes.to_vec()),
        ("hexadecimal", lower.clone().into_bytes()),
        ("hexadecimal", lower.to_uppercase().into_bytes()),
        ("UTF-16", canary.encode_utf16().flat_map(u16::to_le_bytes).collect()),
    ];
    // Base64 depends on where in a group of three bytes the canary begins; the first and last
    // characters also hold bits of its neighbours and are left out.
    for lead in 0..3 {
        let mut padded = vec![0; lead];
        padded.extend_from_slice(bytes);
        let whole = padded.len() / 3 * 3;
        let text = base64(&padded[..whole]);
        let first = if lead == 0 { 0 } else { 4 };
        needles.push(("base64", text[first..].to_vec()));
        let url_safe = text.iter().map(|c| match c {
            b'+' => b'-',
            b'/' => b'_',
            other => *other,
        });
        needles.push(("base64", url_safe.skip(first).collect()));
    }
    needles
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    let digit = |six: u32| ALPHABET[(six & 63) as usize];
    bytes
        .chunks_exact(3)
        .flat_map(|three| {
            let all = u32::from_be_bytes([0, three[0], three[1], three[2]]);
            [digit(all >> 18), digit(all >> 12), digit(all >> 6), digit(all)]
        })
        .collect()
}

fn look(bytes: &[u8], needles: &Needles, place: &str, sightings: &mut Vec<Sighting>) {
    for (writing, needle) in needles {
        if memchr::memmem::find(bytes, needle).is_some() {
            sightings.push(Sighting { place: place.to_owned(), writing });
        }
    }
}

fn files(path: &Path) -> Vec<PathBuf> {
    let Ok(kind) = fs::symlink_metadata(path) else { return Vec::new() };
    if kind.is_file() {
        return vec![path.to_path_buf()];
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.flat_map(|entry| files(&entry.path())).collect()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_canary_is_found_in_every_writing() {
        let directory = tempfile::tempdir().unwrap();
        let canary = "cardiology clinic";
        let base64 = String::from_utf8(base64(b"xxcardiology clinic!!")).unwrap();
        let utf16: Vec<u8> = canary.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let hexadecimal: String = canary.bytes().map(|byte| format!("{byte:02X}")).collect();
        fs::write(directory.path().join("plain"), format!("…{canary}…")).unwrap();
        fs::write(directory.path().join("base64"), base64).unwrap();
        fs::write(directory.path().join("utf16"), utf16).unwrap();
        fs::write(directory.path().join("hex"), hexadecimal).unwrap();

        let sightings = search(&[directory.path().to_path_buf()], canary).unwrap();

        for (file, writing) in [
            ("plain", "as it is"),
            ("base64", "base64"),
            ("utf16", "UTF-16"),
            ("hex", "hexadecimal"),
        ] {
            let seen = |s: &Sighting| s.place.ends_with(file) && s.writing == writing;
            assert!(sightings.iter().any(seen), "{file}: {sightings:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("plain"), "cardiology clinics are elsewhere").unwrap();

        let sightings = search(&[directory.path().to_path_buf()], "cardiology clinic, 3").unwrap();

        assert_eq!(sightings, []);
    }

    #[test]
    fn the_memory_of_a_process_is_searched() {
        let secret = format!("in memory {}", std::process::id());
        let held = std::hint::black_box(secret.clone());

        let sightings = search_memory(std::process::id(), &held).unwrap();

        assert!(!sightings.is_empty());
    }
}
