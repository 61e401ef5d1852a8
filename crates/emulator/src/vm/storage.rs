//! The disk of the REE, served to a guest that may ask for anything.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use device::frame::{self, Broken};
use device::storage::{NAMES_MAX, Name, PART_BYTES_MAX, Reply, Request};
use device::{Failure, FailureCode};

/// Serves the files of one directory until the guest is gone.
pub(super) fn serve(mut guest: UnixStream, dir: &Path) -> Result<(), Broken> {
    loop {
        let request = match frame::receive(&mut guest) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(Broken::Malformed(malformed)) => {
                let failed = Failure::new(FailureCode::Malformed, malformed.to_string());
                return frame::send(&mut guest, &Reply::Failed(failed));
            }
            Err(broken) => return Err(broken),
        };
        let reply = answer(dir, request).unwrap_or_else(|error| {
            Reply::Failed(Failure::new(FailureCode::Broken, error.kind().to_string()))
        });
        frame::send(&mut guest, &reply)?;
    }
}

fn answer(dir: &Path, request: Request) -> io::Result<Reply> {
    match request {
        Request::Names => names(dir).map(Reply::Names),
        Request::Read { name, offset } => match File::open(path(dir, &name)) {
            Ok(file) => part(file, offset),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Reply::Absent),
            Err(error) => Err(error),
        },
        Request::Write { name, offset, part } => {
            if part.len() > PART_BYTES_MAX || used(dir)? + part.len() as u64 > STORAGE_BYTES_MAX {
                return Err(ErrorKind::QuotaExceeded.into());
            }
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(offset == 0)
                .write(true)
                .mode(0o600)
                .open(unfinished(dir, &name))?;
            if file.metadata()?.len() != offset {
                return Err(ErrorKind::InvalidInput.into());
            }
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(&part)?;
            Ok(Reply::Done)
        }
        Request::Finish { name, length } => {
            let file = File::open(unfinished(dir, &name))?;
            if file.metadata()?.len() != length {
                return Err(ErrorKind::InvalidInput.into());
            }
            file.sync_all()?;
            fs::rename(unfinished(dir, &name), path(dir, &name))?;
            sync(dir)
        }
        Request::Remove { name } => match fs::remove_file(path(dir, &name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Reply::Done),
            removed => removed.and_then(|()| sync(dir)),
        },
    }
}

fn part(mut file: File, offset: u64) -> io::Result<Reply> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(offset))?;
    let mut part = Vec::new();
    file.take(PART_BYTES_MAX as u64).read_to_end(&mut part)?;
    Ok(Reply::Part { part, length })
}

fn names(dir: &Path) -> io::Result<Vec<Name>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)?.take(usize::try_from(NAMES_MAX).unwrap_or(usize::MAX)) {
        names.extend(entry?.file_name().to_str().and_then(|name| Name::new(name).ok()));
    }
    names.sort_unstable();
    Ok(names)
}

/// Bytes of all files; each counts at least a block, so that many empty ones are bounded too.
fn used(dir: &Path) -> io::Result<u64> {
    let sizes = fs::read_dir(dir)?.map(|entry| Ok(entry?.metadata()?.len().max(BLOCK_BYTES)));
    sizes.sum()
}

fn sync(dir: &Path) -> io::Result<Reply> {
    File::open(dir)?.sync_all()?;
    Ok(Reply::Done)
}

/// A [`Name`] has no slash and does not begin with a dot.
fn path(dir: &Path, name: &Name) -> PathBuf {
    dir.join(name.as_ref())
}

fn unfinished(dir: &Path, name: &Name) -> PathBuf {
    dir.join(format!("{}.unfinished", name.as_ref()))
}

const BLOCK_BYTES: u64 = 4096;

/// What a guest may fill.
const STORAGE_BYTES_MAX: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_file_is_in_place_when_it_is_finished_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let mut guest = guest(dir.path());
        let name = || Name::new("identity").unwrap();
        let write =
            |offset, part: &[u8]| Request::Write { name: name(), offset, part: part.into() };
        let read = Request::Read { name: name(), offset: 0 };

        assert_eq!(ask(&mut guest, &write(0, b"sea")), Reply::Done);
        assert_eq!(ask(&mut guest, &read), Reply::Absent);
        assert_eq!(ask(&mut guest, &write(3, b"led")), Reply::Done);
        assert_eq!(ask(&mut guest, &Request::Finish { name: name(), length: 6 }), Reply::Done);

        let part = Reply::Part { part: b"sealed".to_vec(), length: 6 };
        assert_eq!(ask(&mut guest, &read), part);
        assert_eq!(ask(&mut guest, &Request::Names), Reply::Names(vec![name()]));
        assert_eq!(ask(&mut guest, &Request::Remove { name: name() }), Reply::Done);
        assert_eq!(ask(&mut guest, &Request::Remove { name: name() }), Reply::Done);
        assert_eq!(ask(&mut guest, &read), Reply::Absent);
    }

    #[test]
    fn a_file_with_holes_or_of_another_length_is_not_put_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let mut guest = guest(dir.path());
        let name = || Name::new("identity").unwrap();
        let refused =
            |reply| matches!(reply, Reply::Failed(failure) if failure.code == FailureCode::Broken);

        let hole = Request::Write { name: name(), offset: 1 << 40, part: vec![1] };
        assert!(refused(ask(&mut guest, &hole)));
        ask(&mut guest, &Request::Write { name: name(), offset: 0, part: vec![1] });
        assert!(refused(ask(&mut guest, &Request::Finish { name: name(), length: 2 })));
        let long = vec![0; PART_BYTES_MAX + 1];
        assert!(refused(ask(&mut guest, &Request::Write { name: name(), offset: 1, part: long })));
    }

    #[test]
    fn what_is_no_request_ends_the_conversation() {
        let dir = tempfile::tempdir().unwrap();
        let mut guest = guest(dir.path());

        frame::write_frame(&mut guest, &[0x82, 4, 0x62, b'.', b'.']).unwrap();

        let reply = frame::receive(&mut guest).unwrap();
        assert!(matches!(reply, Some(Reply::Failed(f)) if f.code == FailureCode::Malformed));
        assert_eq!(frame::receive::<Reply>(&mut guest), Ok(None));
    }

    fn guest(dir: &Path) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let dir = dir.to_owned();
        thread::spawn(move || serve(theirs, &dir));
        ours
    }

    fn ask(guest: &mut UnixStream, request: &Request) -> Reply {
        frame::ask(guest, request).unwrap()
    }
}
