//! `tamarack collateral`: offline bundles of endorsements, for Verifiers that reach no vendor.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use anstream::println;
use anyhow::{Context as _, Result, ensure};
use clap::Subcommand;
use serde_json::{Value, json};
use verifier::{
    Collateral,
    collateral::{Class, Dated},
};

use crate::{evidence, outcome::Failed};

/// `tamarack collateral`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Packs a directory of endorsements into one file
    Export {
        /// The directory: a Network M/OC's store, or one platform's files
        #[arg(value_name = "DIR")]
        from: PathBuf,
        /// The bundle
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Unpacks a bundle into a directory; what is there and newer stays
    Import {
        /// The bundle
        #[arg(value_name = "FILE")]
        from: PathBuf,
        /// The directory, made if absent
        #[arg(long, value_name = "DIR")]
        into: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// See [`Failed`].
    pub fn run(self) -> Result<(), Failed> {
        match self {
            Self::Export { from, out, json } => {
                let bundle = evidence::collateral(&from)?;
                if bundle.is_empty() {
                    return Err(anyhow::anyhow!("{} holds no file", from.display()).into());
                }
                let encoded = bundle.encode();
                // What nobody could import again is not written.
                Collateral::decode(&encoded).context("more than one bundle holds")?;
                fs::write(&out, encoded).with_context(|| format!("writing {}", out.display()))?;
                let files = bundle.files().map(|(name, bytes)| (name, bytes, "packed"));
                show(files, &bundle, json);
            }
            Self::Import { from, into, json } => {
                let bytes = fs::read(&from)
                    .with_context(|| format!("reading the bundle {}", from.display()))?;
                let bundle = Collateral::decode(&bytes)
                    .with_context(|| format!("{} is no bundle", from.display()))?;
                let mut done = Vec::new();
                for (name, bytes) in bundle.files() {
                    done.push((name, bytes, import(&into, name, bytes)?));
                }
                show(done.into_iter(), &bundle, json);
            }
        }
        Ok(())
    }
}

/// Writes one file, unless the one that is there is newer or the same.
fn import(into: &Path, name: &str, bytes: &[u8]) -> Result<&'static str> {
    let path = Path::new(name);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    ensure!(plain && !name.is_empty(), "`{name}` is no name of a file in a bundle");
    let path = into.join(path);
    let present = fs::read(&path).ok();
    if present.as_deref() == Some(bytes) {
        return Ok("there already");
    }
    let date = |bytes: &[u8]| Dated::of(bytes).map(|dated| dated.from);
    if let Some(present) = present.as_deref().and_then(date)
        && date(bytes).is_none_or(|new| new < present)
    {
        return Ok("older than what is there: left out");
    }
    let folder = path.parent().context("a file lies in a directory")?;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    // Readers see the old file or the new one, never a part.
    let fresh = path.with_extension("new");
    fs::write(&fresh, bytes).with_context(|| format!("writing {}", fresh.display()))?;
    fs::rename(&fresh, &path).with_context(|| format!("writing {}", path.display()))?;
    Ok("imported")
}

fn show<'f>(
    files: impl Iterator<Item = (&'f str, &'f [u8], &'static str)>,
    bundle: &Collateral,
    as_json: bool,
) {
    let rows: Vec<Value> = files
        .map(|(name, bytes, outcome)| {
            let dated = Dated::of(bytes);
            json!({
                "file": name,
                "outcome": outcome,
                "class": dated.map(|dated| class(dated.class)),
                "from": dated.map(|dated| verifier::Value::Time(dated.from)),
                "until": dated.map(|dated| verifier::Value::Time(dated.until)),
            })
        })
        .collect();
    if as_json {
        let digest = hex::encode(bundle.digest());
        println!("{:#}", json!({ "sha256": digest, "files": rows }));
        return;
    }
    for row in rows {
        let text = |member: &str| row[member].as_str().unwrap_or("unknown").to_owned();
        println!("{}: {}, valid until {}", text("file"), text("outcome"), text("until"));
    }
}

const fn class(class: Class) -> &'static str {
    match class {
        Class::Certificate => "certificate",
        Class::Revocation => "revocation",
        Class::Statement => "statement",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(day: u8) -> Vec<u8> {
        format!(
            r#"{{"issueDate":"2025-01-{day:02}T00:00:00Z","nextUpdate":"2025-02-01T00:00:00Z"}}"#
        )
        .into_bytes()
    }

    #[test]
    fn what_is_there_and_newer_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let put = |day| import(directory.path(), "tdx/tcb_info.json", &statement(day)).ok();

        assert_eq!(put(5), Some("imported"));
        assert_eq!(put(5), Some("there already"));
        assert_eq!(put(4), Some("older than what is there: left out"));
        assert_eq!(put(6), Some("imported"));
        let kept = fs::read(directory.path().join("tdx/tcb_info.json")).expect("the file");
        assert_eq!(kept, statement(6));
    }

    #[test]
    fn no_name_leads_out_of_the_directory() {
        let directory = tempfile::tempdir().expect("a directory");
        for name in ["", "../a", "/a", "a/../../b", "."] {
            assert!(import(&directory.path().join("in"), name, b"x").is_err(), "{name}");
        }
        assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 0);
    }
}
