//! The directory that holds collateral: plain files for every platform, folders for each.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use verifier::{Collateral, Kind, Platform};

/// A directory of collateral.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

impl Store {
    /// The store in that directory.
    #[must_use]
    pub const fn at(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Every file with the name of its folders.
    ///
    /// # Errors
    /// The directory or a file cannot be read.
    pub fn read(&self) -> io::Result<Collateral> {
        let mut collateral = Collateral::default();
        for (name, path) in self.files()? {
            match fs::read(path) {
                Ok(bytes) => collateral.insert(name, bytes),
                // Replaced at this moment; the change is seen by the next reading.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(collateral)
    }

    /// Every file, for noticing changes.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn files(&self) -> io::Result<Vec<(String, PathBuf)>> {
        let mut files = Vec::new();
        list(&self.directory, "", &mut files)?;
        Ok(files)
    }

    /// The platforms that have a folder.
    #[must_use]
    pub fn platforms(&self) -> Vec<Platform> {
        let mut platforms = Vec::new();
        for kind in [Kind::Sgx, Kind::Tdx, Kind::SevSnp] {
            let Ok(folders) = fs::read_dir(self.directory.join(kind.as_str())) else { continue };
            for folder in folders.flatten() {
                let name = folder.file_name();
                platforms.extend(name.to_str().and_then(|name| Platform::parse(kind, name)));
            }
        }
        platforms
    }

    /// What is there for a platform alone.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn of(&self, platform: &Platform) -> io::Result<Collateral> {
        let mut files = Vec::new();
        match list(&self.folder(platform), "", &mut files) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut collateral = Collateral::default();
        for (name, path) in files {
            collateral.insert(name, fs::read(path)?);
        }
        Ok(collateral)
    }

    /// Puts the whole folder of a platform in place of the one that is there: its files belong
    /// together, so no reader finds new ones beside old ones.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn replace(&self, platform: &Platform, files: &Collateral) -> io::Result<()> {
        let folder = self.folder(platform);
        let (fresh, old) = (folder.with_extension("new"), folder.with_extension("old"));
        for leftover in [&fresh, &old] {
            remove(leftover)?;
        }
        fs::create_dir_all(&fresh)?;
        for (name, bytes) in files.files() {
            let path = fresh.join(name);
            fs::write(&path, bytes)?;
            fs::File::open(&path)?.sync_all()?;
        }
        match fs::rename(&folder, &old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::rename(&fresh, &folder)?;
        remove(&old)
    }

    fn folder(&self, platform: &Platform) -> PathBuf {
        self.directory.join(platform.kind().as_str()).join(platform.to_string())
    }
}

/// Files, and those in the folders of kinds of evidence and of their platforms.
fn list(directory: &Path, folder: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let name = format!("{folder}{name}");
        if path.is_file() {
            files.push((name, path));
        } else if is_folder(&name) {
            list(&path, &format!("{name}/"), files)?;
        }
    }
    Ok(())
}

fn is_folder(name: &str) -> bool {
    let mut parts = name.split('/');
    let kind = parts.next().and_then(|kind| kind.parse::<Kind>().ok());
    match (kind, parts.next(), parts.next()) {
        (Some(_), None, None) => true,
        (Some(kind), Some(platform), None) => Platform::parse(kind, platform).is_some(),
        _ => false,
    }
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    fn platform() -> Platform {
        Platform::parse(Kind::Tdx, "00906ed50000-processor").unwrap()
    }

    #[test]
    fn a_platform_s_files_are_replaced_together() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::at(directory.path().to_owned());
        store.replace(&platform(), &Collateral::from_files([("a", "1"), ("b", "1")])).unwrap();
        store.replace(&platform(), &Collateral::from_files([("a", "2")])).unwrap();
        fs::write(directory.path().join("root"), "0").unwrap();
        fs::create_dir(directory.path().join("other")).unwrap();

        let read = store.read().unwrap();

        let names = ["root", "tdx/00906ed50000-processor/a"];
        assert_eq!(read.files().map(|(name, _)| name).collect::<Vec<_>>(), names);
        assert_eq!(store.of(&platform()).unwrap(), Collateral::from_files([("a", "2")]));
        assert_eq!(store.platforms(), [platform()]);
    }

    #[test]
    fn a_replacement_that_was_cut_off_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::at(directory.path().to_owned());
        store.replace(&platform(), &Collateral::from_files([("a", "1")])).unwrap();
        let cut = store.folder(&platform()).with_extension("new");
        fs::create_dir(&cut).unwrap();
        fs::write(cut.join("a"), "half").unwrap();

        assert_eq!(store.read().unwrap().files().count(), 1);
        store.replace(&platform(), &Collateral::from_files([("a", "2")])).unwrap();
        assert_eq!(store.of(&platform()).unwrap(), Collateral::from_files([("a", "2")]));
    }
}
