//! Slots: contents that stream onto the disk of the REE, each sealed under a key of its own.
//!
//! The key of a slot is in memory until a commit writes it into the sealed index; that is what
//! makes the content visible. Whatever ends before the commit, a wrong tag, a wrong digest or a
//! loss of power, takes the key along, and what is on the disk is noise that is swept away.

use std::fmt;
use std::sync::Arc;

use cose::{Entropy as _, Secret};
use keys::SystemEntropy;
use suit::process::Obstacle;
use suit::slot::{KEY_BYTES, Opening, Sealing};
use suit::{DigestAlgorithm, Intake, Measured};
use zeroize::Zeroizing;

use super::{CONTENT, Damaged, Disk, Store};
use crate::backend::container::IMAGE_BYTES_MAX;

/// The key of one slot: it seals one content and nothing else.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct InstallKey(pub(super) Zeroizing<[u8; KEY_BYTES]>);

impl InstallKey {
    fn draw() -> Self {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        SystemEntropy.fill(key.as_mut());
        Self(key)
    }

    fn secret(&self) -> Secret {
        Secret::new(self.0.to_vec())
    }
}

impl fmt::Debug for InstallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A content that is being written. Dropped, it was never there.
#[derive(Debug)]
pub struct Slot {
    file: Arc<str>,
    key: InstallKey,
    intake: Intake,
    sealing: Sealing,
}

/// The content of one component, visible once an index speaks of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The file that holds it.
    pub file: Arc<str>,
    pub(super) key: InstallKey,
    /// SHA-256 of the content.
    pub digest: [u8; 32],
    /// The length of the content.
    pub length: u64,
}

impl Store {
    /// Opens a slot with a name and a key that were never used, for what comes from `intake`,
    /// which measures by SHA-256.
    pub fn slot(&mut self, intake: Intake) -> Slot {
        let mut name = [0; 16];
        SystemEntropy.fill(&mut name);
        let file: Arc<str> = format!("{CONTENT}{}", hex::encode(name)).into();
        self.slots.retain(|slot| slot.strong_count() > 0);
        self.slots.push(Arc::downgrade(&file));
        let key = InstallKey::draw();
        let sealing = Sealing::new(&key.secret()).expect("an install key has its length");
        Slot { file, key, intake, sealing }
    }

    /// Writes what has arrived, decrypted if it was encrypted and sealed again.
    pub fn extend(&mut self, slot: &mut Slot, arrived: &[u8]) -> Result<(), Obstacle> {
        let Slot { file, intake, sealing, .. } = slot;
        let disk = &mut self.disk;
        let append = &mut |sealed: &[u8]| disk.append(file, sealed).map_err(failed);
        intake.take(arrived, &mut |text| sealing.take(text, append))
    }

    /// Everything has arrived, and is durable. Fails if the cipher of the payload finds a change.
    pub fn finish(&mut self, slot: Slot) -> Result<Content, Obstacle> {
        let Slot { file, key, intake, mut sealing } = slot;
        let disk = &mut self.disk;
        let append = &mut |sealed: &[u8]| disk.append(&file, sealed).map_err(failed);
        let measured = intake.finish(&mut |text| sealing.take(text, append))?;
        sealing.finish(append)?;
        disk.sync(&file).map_err(failed)?;
        let digest = measured.digest.bytes().try_into().map_err(|_| Obstacle::Unsupported)?;
        Ok(Content { file, key, digest, length: measured.size })
    }

    /// Writes a content that is in memory.
    pub fn put(&mut self, content: &[u8]) -> Result<Content, Obstacle> {
        let intake = Intake::plain(DigestAlgorithm::Sha256, content.len() as u64)?;
        let mut slot = self.slot(intake);
        self.extend(&mut slot, content)?;
        self.finish(slot)
    }

    /// Passes a content through `intake` into another slot, piece by piece.
    pub fn pass(&mut self, source: &Content, intake: Intake) -> Result<Content, Obstacle> {
        let mut slot = self.slot(intake);
        let mut reading = Reading::new(source);
        while let Some(piece) = reading.next(&*self.disk).map_err(failed)? {
            self.extend(&mut slot, &piece)?;
        }
        self.finish(slot)
    }

    /// Gives a content piece by piece, each but the last one of [`PIECE_BYTES`] or more.
    pub fn pieces<E: From<Damaged>>(
        &self,
        content: &Content,
        take: &mut dyn FnMut(Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut reading = Reading::new(content);
        let mut waiting = Vec::new();
        while let Some(piece) = reading.next(&*self.disk)? {
            waiting.extend_from_slice(&piece);
            if waiting.len() >= PIECE_BYTES {
                take(std::mem::take(&mut waiting))?;
            }
        }
        if waiting.is_empty() { Ok(()) } else { take(waiting) }
    }

    /// Reads a content into memory.
    pub fn load(&self, content: &Content) -> Result<Zeroizing<Vec<u8>>, Damaged> {
        let (length, max) = (content.length, LOADED_BYTES_MAX);
        if length > max {
            return Err(Damaged::TooLong { length, max });
        }
        // Room for all of it, so that no copy is left behind by growing.
        let length = usize::try_from(content.length).unwrap_or_default();
        let mut plain = Zeroizing::new(Vec::with_capacity(length));
        let mut reading = Reading::new(content);
        while let Some(piece) = reading.next(&*self.disk)? {
            plain.extend_from_slice(&piece);
        }
        Ok(plain)
    }

    /// Hashes a content piece by piece.
    pub fn measure(
        &self,
        content: &Content,
        algorithm: DigestAlgorithm,
    ) -> Result<Measured, Obstacle> {
        if algorithm == DigestAlgorithm::Sha256 {
            let digest = suit::Digest::sha256(content.digest);
            return Ok(Measured { digest, size: content.length });
        }
        let mut intake = Intake::plain(algorithm, content.length)?;
        let mut reading = Reading::new(content);
        while let Some(piece) = reading.next(&*self.disk).map_err(failed)? {
            intake.take(&piece, &mut |_| Ok(()))?;
        }
        intake.finish(&mut |_| Ok(()))
    }
}

/// A slot that is being read from its beginning to its end.
struct Reading<'c> {
    content: &'c Content,
    opening: Option<Opening>,
    offset: u64,
}

impl<'c> Reading<'c> {
    fn new(content: &'c Content) -> Self {
        let opening = Opening::new(&content.key.secret()).expect("an install key has its length");
        Self { content, opening: Some(opening), offset: 0 }
    }

    /// The next piece, as it was written; the content is whole once there is no more.
    fn next(&mut self, disk: &dyn Disk) -> Result<Option<Zeroizing<Vec<u8>>>, Damaged> {
        let name = || self.content.file.to_string();
        let Some(mut opening) = self.opening.take() else { return Ok(None) };
        let sealed = disk.read_at(&self.content.file, self.offset, PIECE_BYTES)?;
        let sealed = sealed.ok_or_else(|| Damaged::Missing { name: name() })?;
        self.offset += sealed.len() as u64;
        let mut piece = Zeroizing::new(Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 8));
        let mut sink = |text: &[u8]| {
            piece.extend_from_slice(text);
            Ok(())
        };
        let opened = if sealed.is_empty() {
            opening.finish(&mut sink)
        } else {
            let taken = opening.take(&sealed, &mut sink);
            self.opening = Some(opening);
            taken
        };
        opened.map_err(|_| Damaged::Foreign { name: name() })?;
        Ok(Some(piece))
    }
}

fn failed(error: impl std::error::Error) -> Obstacle {
    tracing::warn!(error = %crate::install::chain(&error), "a slot cannot be used");
    Obstacle::Storage
}

const PIECE_BYTES: usize = 1 << 20;

/// What is read into memory as a whole: applications and manifests, not data.
const LOADED_BYTES_MAX: u64 = IMAGE_BYTES_MAX;
