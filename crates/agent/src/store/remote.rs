//! The disk of the REE, seen from inside a confidential VM.
//!
//! Its replies are hostile: they may lie, and the sealing above shows it; they may not make the
//! agent keep more than a file may be long.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use device::frame;
use device::storage::{Name, PART_BYTES_MAX, Reply, Request};

use super::Disk;

/// A disk behind the messages of [`device::storage`].
///
/// A file is an upload until it is synced: then the other side puts it in place, durably.
#[derive(Clone, Debug)]
pub struct Remote {
    stream: Arc<Mutex<UnixStream>>,
    /// The lengths of uploads.
    uploads: BTreeMap<String, u64>,
}

impl Remote {
    /// The disk at the other end of this socket.
    pub fn new(stream: UnixStream) -> Self {
        Self { stream: Arc::new(Mutex::new(stream)), uploads: BTreeMap::new() }
    }

    fn ask(&self, request: &Request) -> io::Result<Reply> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let reply = frame::ask(&mut *stream, request).map_err(io::Error::other)?;
        if let Reply::Failed(failure) = reply {
            return Err(io::Error::other(failure));
        }
        Ok(reply)
    }

    fn tell(&self, request: &Request) -> io::Result<()> {
        if self.ask(request)? == Reply::Done { Ok(()) } else { Err(unexpected()) }
    }
}

impl Disk for Remote {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let name = checked(name)?;
        let mut content = Vec::new();
        loop {
            let offset = content.len() as u64;
            let reply = self.ask(&Request::Read { name: name.clone(), offset })?;
            if reply == Reply::Absent && offset == 0 {
                return Ok(None);
            }
            let Reply::Part { part, length } = reply else { return Err(unexpected()) };
            if length > FILE_BYTES_MAX {
                return Err(ErrorKind::FileTooLarge.into());
            }
            let whole = offset + part.len() as u64;
            if whole > length || (part.is_empty() && whole < length) {
                return Err(ErrorKind::InvalidData.into());
            }
            content.extend(part);
            if whole == length {
                return Ok(Some(content));
            }
        }
    }

    fn read_at(&self, name: &str, offset: u64, length: usize) -> io::Result<Option<Vec<u8>>> {
        let name = checked(name)?;
        let mut piece = Vec::new();
        loop {
            let from = offset + piece.len() as u64;
            let reply = self.ask(&Request::Read { name: name.clone(), offset: from })?;
            if reply == Reply::Absent && piece.is_empty() {
                return Ok(None);
            }
            let Reply::Part { part, length: whole } = reply else { return Err(unexpected()) };
            let to = from + part.len() as u64;
            if to > whole || (part.is_empty() && from < whole) {
                return Err(ErrorKind::InvalidData.into());
            }
            piece.extend(part);
            if piece.len() >= length || to == whole {
                piece.truncate(length);
                return Ok(Some(piece));
            }
        }
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let checked = checked(name)?;
        let mut offset = self.uploads.get(name).copied().unwrap_or_default();
        let mut parts = bytes.chunks(PART_BYTES_MAX);
        loop {
            let part = parts.next().unwrap_or_default().to_vec();
            let length = part.len() as u64;
            self.tell(&Request::Write { name: checked.clone(), offset, part })?;
            offset += length;
            self.uploads.insert(name.to_owned(), offset);
            if parts.len() == 0 {
                return Ok(());
            }
        }
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        match self.uploads.remove(name) {
            Some(length) => self.tell(&Request::Finish { name: checked(name)?, length }),
            None => Ok(()),
        }
    }

    fn sync_names(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// The other side puts an upload in place by itself.
    fn put(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.uploads.remove(name);
        self.append(name, content)?;
        self.sync(name)
    }

    fn rename(&mut self, _: &str, _: &str) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.tell(&Request::Remove { name: checked(name)? })
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let Reply::Names(names) = self.ask(&Request::Names)? else { return Err(unexpected()) };
        let mut names: Vec<_> = names.iter().map(|name| name.as_ref().to_owned()).collect();
        names.sort_unstable();
        Ok(names)
    }
}

fn checked(name: &str) -> io::Result<Name> {
    Name::new(name).map_err(io::Error::other)
}

fn unexpected() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "the disk gave an answer of another kind")
}

/// The longest file that is read back.
const FILE_BYTES_MAX: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_file_longer_than_a_part_is_put_and_read_whole() {
        let content: Vec<u8> = (0..PART_BYTES_MAX * 2 + 5).map(|at| (at % 251) as u8).collect();
        let mut told = Vec::new();
        let (mut disk, serving) = disk(move |request| {
            let reply = match &request {
                Request::Read { offset, .. } => part(&told, *offset),
                Request::Write { offset, part, .. } => {
                    assert_eq!(*offset, told.len() as u64);
                    told.extend(part);
                    Reply::Done
                }
                Request::Finish { length, .. } if *length == told.len() as u64 => Reply::Done,
                Request::Finish { .. } | Request::Names | Request::Remove { .. } => {
                    panic!("{request:?}")
                }
            };
            Some(reply)
        });

        disk.put("content-1", &content).unwrap();

        let middle = disk.read_at("content-1", 7, PART_BYTES_MAX + 3).unwrap();
        assert!(middle.as_deref() == Some(&content[7..PART_BYTES_MAX + 10]));
        assert!(disk.read("content-1").unwrap() == Some(content));
        drop(disk);
        serving.join().unwrap();
    }

    #[test]
    fn a_disk_that_lies_is_an_error_and_not_an_endless_file() {
        let kind = |reply: Reply| {
            let (disk, _) = disk(move |_| Some(reply.clone()));
            disk.read("identity").map(drop).unwrap_err().kind()
        };
        let part = |part: &[u8], length| Reply::Part { part: part.to_vec(), length };

        assert_eq!(kind(part(b"", 7)), ErrorKind::InvalidData);
        assert_eq!(kind(part(b"more than that", 7)), ErrorKind::InvalidData);
        assert_eq!(kind(part(b"x", FILE_BYTES_MAX + 1)), ErrorKind::FileTooLarge);
        assert_eq!(kind(Reply::Done), ErrorKind::InvalidData);
    }

    #[test]
    fn a_disk_that_is_gone_is_an_error() {
        let (mut disk, _) = disk(|_| None);

        assert!(disk.put("identity", b"x").is_err());
        assert!(disk.names().is_err());
    }

    fn part(content: &[u8], offset: u64) -> Reply {
        let rest = &content[usize::try_from(offset).unwrap()..];
        let part = rest[..rest.len().min(PART_BYTES_MAX)].to_vec();
        Reply::Part { part, length: content.len() as u64 }
    }

    /// A disk that answers with this function, until it gives nothing.
    fn disk(
        mut answer: impl FnMut(Request) -> Option<Reply> + Send + 'static,
    ) -> (Remote, thread::JoinHandle<()>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let serving = thread::spawn(move || {
            while let Ok(Some(request)) = frame::receive(&mut theirs) {
                let Some(reply) = answer(request) else { return };
                frame::send(&mut theirs, &reply).unwrap();
            }
        });
        (Remote::new(ours), serving)
    }
}
