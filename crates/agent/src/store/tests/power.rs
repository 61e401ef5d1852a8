//! Disks whose power fails: between two effects or inside one, by a loss of what was not synced
//! or by the death of the process.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use super::super::Disk;

/// Counts effects, and ends everything at one of them.
#[derive(Clone)]
pub(super) struct Fuse(Arc<Mutex<Left>>);

struct Left {
    effects: Option<usize>,
    burnt: usize,
    end: fn() -> io::Error,
    /// How much of the last effect still happens, in 256ths.
    part: u8,
}

impl Fuse {
    /// Never ends anything, and counts.
    pub(super) fn whole() -> Self {
        Self::new(None, 0, power_is_gone)
    }

    /// Ends everything at an effect: the power is gone from then on.
    pub(super) fn power(effects: usize, part: u8) -> Self {
        Self::new(Some(effects), part, power_is_gone)
    }

    /// Kills the process at an effect.
    pub(super) fn kill(effects: usize, part: u8) -> Self {
        Self::new(Some(effects), part, || {
            let own = rustix::process::getpid();
            let killed = rustix::process::kill_process(own, rustix::process::Signal::KILL);
            unreachable!("a killed process goes nowhere: {killed:?}")
        })
    }

    fn new(effects: Option<usize>, part: u8, end: fn() -> io::Error) -> Self {
        Self(Arc::new(Mutex::new(Left { effects, burnt: 0, end, part })))
    }

    /// The effects that happened.
    pub(super) fn burnt(&self) -> usize {
        self.0.lock().unwrap().burnt
    }

    /// Has an effect happen, or a part of it if it is the last one.
    pub(super) fn burn(
        &self,
        mut effect: impl FnMut(Option<u8>) -> io::Result<()>,
    ) -> io::Result<()> {
        let (over, part, end) = {
            let mut left = self.0.lock().unwrap();
            let over = left.effects.is_some_and(|effects| left.burnt >= effects);
            let first = left.effects == Some(left.burnt);
            left.burnt += 1;
            (over, first.then_some(left.part), left.end)
        };
        if !over {
            return effect(None);
        }
        if let Some(part) = part {
            effect(Some(part))?;
        }
        Err(end())
    }
}

fn power_is_gone() -> io::Error {
    io::Error::other("the power is gone")
}

/// A disk behind a fuse.
pub(super) struct Fused<D>(pub(super) D, pub(super) Fuse);

impl<D: Disk> Disk for Fused<D> {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.0.read(name)
    }

    fn read_at(&self, name: &str, offset: u64, length: usize) -> io::Result<Option<Vec<u8>>> {
        self.0.read_at(name, offset, length)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.0.names()
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let Self(disk, fuse) = self;
        for page in bytes.chunks(PAGE_BYTES) {
            fuse.burn(|part| {
                let length = part.map_or(page.len(), |part| page.len() * usize::from(part) / 256);
                disk.append(name, &page[..length])
            })?;
        }
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let Self(disk, fuse) = self;
        fuse.burn(|part| if half(part) { disk.rename(from, to) } else { Ok(()) })
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let Self(disk, fuse) = self;
        fuse.burn(|part| if half(part) { disk.remove(name) } else { Ok(()) })
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let Self(disk, fuse) = self;
        fuse.burn(|part| if half(part) { disk.sync(name) } else { Ok(()) })
    }

    fn sync_names(&mut self) -> io::Result<()> {
        let Self(disk, fuse) = self;
        fuse.burn(|part| if half(part) { disk.sync_names() } else { Ok(()) })
    }
}

/// What cannot happen in part happens or not.
fn half(part: Option<u8>) -> bool {
    part.is_none_or(|part| part >= 128)
}

/// A disk in memory that knows what would survive a loss of power.
#[derive(Clone, Default)]
pub(super) struct Volatile(Arc<Mutex<State>>);

#[derive(Clone, Default)]
struct State {
    /// Every file ever made: what is read, and what is durable of it.
    files: Vec<(Vec<u8>, Vec<u8>)>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
}

impl Volatile {
    /// The files with their contents.
    pub(super) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.0.lock().unwrap();
        state.names.iter().map(|(name, at)| (name.clone(), state.files[*at].0.clone())).collect()
    }

    /// The same files in another disk.
    pub(super) fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().unwrap().clone())))
    }

    /// Puts other files in the place of these.
    pub(super) fn replace(&self, by: &Self) {
        let other = by.0.lock().unwrap().clone();
        *self.0.lock().unwrap() = other;
    }

    /// Changes the contents of some files.
    pub(super) fn damage(&self, of: impl Fn(&str) -> bool, damage: impl Fn(&mut Vec<u8>)) {
        let state = &mut *self.0.lock().unwrap();
        for (name, at) in &state.names {
            if of(name) {
                damage(&mut state.files[*at].0);
            }
        }
    }

    /// The power is lost: of what was not synced, chance keeps something.
    pub(super) fn lose_power(&self, mut chance: impl FnMut() -> u64) {
        let state = &mut *self.0.lock().unwrap();
        let mut names: Vec<String> = state.names.keys().cloned().collect();
        names.extend(state.durable_names.keys().cloned());
        for name in names {
            let (now, durable) = (state.names.get(&name), state.durable_names.get(&name));
            if now != durable && chance().is_multiple_of(2) {
                match durable.copied() {
                    Some(at) => state.names.insert(name, at),
                    None => state.names.remove(&name),
                };
            }
        }
        state.durable_names.clone_from(&state.names);
        for (now, durable) in &mut state.files {
            let more = now.len().saturating_sub(durable.len()) as u64;
            let keeps = durable.len() + usize::try_from(chance() % (more + 1)).unwrap();
            now.truncate(keeps);
            durable.clone_from(now);
        }
    }
}

impl Disk for Volatile {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.read_at(name, 0, usize::MAX)
    }

    fn read_at(&self, name: &str, offset: u64, length: usize) -> io::Result<Option<Vec<u8>>> {
        let state = self.0.lock().unwrap();
        let Some(at) = state.names.get(name) else { return Ok(None) };
        let content = &state.files[*at].0;
        let from = content.len().min(usize::try_from(offset).unwrap());
        let to = content.len().min(from.saturating_add(length));
        Ok(Some(content[from..to].to_vec()))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().names.keys().cloned().collect())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let state = &mut *self.0.lock().unwrap();
        let at = *state.names.entry(name.to_owned()).or_insert_with(|| {
            state.files.push(Default::default());
            state.files.len() - 1
        });
        state.files[at].0.extend_from_slice(bytes);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let at = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), at);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.0.lock().unwrap().names.remove(name);
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let state = &mut *self.0.lock().unwrap();
        let at = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        let (now, durable) = &mut state.files[at];
        durable.clone_from(now);
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        let state = &mut *self.0.lock().unwrap();
        state.durable_names.clone_from(&state.names);
        Ok(())
    }
}

/// What a disk writes at a time.
const PAGE_BYTES: usize = 4096;
