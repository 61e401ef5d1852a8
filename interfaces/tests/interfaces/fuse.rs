//! Files whose contents a machine makes up, mounted for real.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyWrite, Request, WriteFlags,
};

/// What stands behind the files. Paths begin below the root, without a slash.
pub(crate) trait Machine: Send + 'static {
    /// A folder, a file, or nothing.
    fn kind(&self, path: &str) -> Option<FileType>;

    /// What a reader gets, or the number of an error.
    fn read(&mut self, path: &str) -> Result<Vec<u8>, i32>;

    /// Takes what was written at once.
    fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), i32>;

    /// Makes a folder.
    fn mkdir(&mut self, _path: &str) -> Result<(), i32> {
        Err(libc::EPERM)
    }

    /// Removes a folder.
    fn rmdir(&mut self, _path: &str) -> Result<(), i32> {
        Err(libc::EPERM)
    }

    /// The most bytes that one read gives.
    fn read_bytes_max(&self) -> usize {
        usize::MAX
    }
}

/// A mounted machine.
pub(crate) struct Mounted<M> {
    pub(crate) machine: Arc<Mutex<M>>,
    root: tempfile::TempDir,
    // Unmounted before the folder goes away.
    session: Option<BackgroundSession>,
}

impl<M: Machine> Mounted<M> {
    /// Mounts it, or says why the test is skipped.
    pub(crate) fn new(test: &str, machine: M) -> Option<Self> {
        let machine = Arc::new(Mutex::new(machine));
        let root = tempfile::tempdir().unwrap();
        let files = Files { machine: Arc::clone(&machine), open: Mutex::default() };
        match fuser::spawn_mount(files, root.path(), &Config::default()) {
            Ok(session) => Some(Self { machine, root, session: Some(session) }),
            Err(error) => {
                println!("skipped: {test}: /dev/fuse: {error}");
                None
            }
        }
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }
}

impl<M> Drop for Mounted<M> {
    fn drop(&mut self) {
        drop(self.session.take());
    }
}

struct Files<M> {
    machine: Arc<Mutex<M>>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    /// Paths by inode, from 2 on.
    paths: Vec<String>,
    /// What each handle reads.
    contents: HashMap<u64, Vec<u8>>,
    next: u64,
}

impl Open {
    fn path(&self, inode: INodeNo) -> String {
        match inode {
            INodeNo::ROOT => String::new(),
            INodeNo(number) => self.paths[usize::try_from(number).unwrap() - 2].clone(),
        }
    }

    fn inode(&mut self, path: &str) -> INodeNo {
        let at = self.paths.iter().position(|known| known == path).unwrap_or_else(|| {
            self.paths.push(path.to_owned());
            self.paths.len() - 1
        });
        INodeNo(at as u64 + 2)
    }
}

impl<M: Machine> Files<M> {
    fn path(&self, inode: INodeNo) -> String {
        self.open.lock().unwrap().path(inode)
    }

    fn child(&self, parent: INodeNo, name: &OsStr) -> String {
        let (parent, name) = (self.path(parent), name.to_str().unwrap());
        if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") }
    }

    fn attributes(&self, path: &str, inode: INodeNo) -> Option<FileAttr> {
        let kind = match path {
            "" => FileType::Directory,
            path => self.machine.lock().unwrap().kind(path)?,
        };
        Some(FileAttr {
            ino: inode,
            size: 0,
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm: 0o700,
            nlink: 1,
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    fn entry(&self, path: &str, reply: ReplyEntry) {
        let inode = self.open.lock().unwrap().inode(path);
        match self.attributes(path, inode) {
            Some(attributes) => reply.entry(&Duration::ZERO, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }
}

impl<M: Machine> Filesystem for Files<M> {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.entry(&self.child(parent, name), reply);
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(&self.path(inode), inode) {
            Some(attributes) => reply.attr(&Duration::ZERO, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let path = self.child(parent, name);
        let made = self.machine.lock().unwrap().mkdir(&path);
        match made {
            Ok(()) => self.entry(&path, reply),
            Err(error) => reply.error(Errno::from_i32(error)),
        }
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.machine.lock().unwrap().rmdir(&self.child(parent, name));
        match removed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(Errno::from_i32(error)),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let mut open = self.open.lock().unwrap();
        open.next += 1;
        // As in configfs, the length is not known before the contents are made.
        reply.opened(FileHandle(open.next), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let path = self.path(inode);
        let mut machine = self.machine.lock().unwrap();
        let mut open = self.open.lock().unwrap();
        let contents = match open.contents.get(&handle.0) {
            Some(contents) => contents.clone(),
            None => match machine.read(&path) {
                Ok(contents) => {
                    open.contents.insert(handle.0, contents.clone());
                    contents
                }
                Err(error) => return reply.error(Errno::from_i32(error)),
            },
        };
        let rest = contents.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let most = rest.len().min(size as usize).min(machine.read_bytes_max());
        reply.data(&rest[..most]);
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        _: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.machine.lock().unwrap().write(&self.path(inode), data);
        match written {
            Ok(()) => reply.written(data.len().try_into().unwrap()),
            Err(error) => reply.error(Errno::from_i32(error)),
        }
    }
}
