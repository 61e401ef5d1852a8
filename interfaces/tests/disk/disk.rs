//! A disk in memory that keeps, when the power fails, what was synced and nothing else.
//!
//! A file keeps the bytes that it had at its last fsync, a folder the names that it had at its own:
//! the least that POSIX promises. Every sync makes another state durable; the state before it is
//! what a power cut leaves at any moment until then.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};

/// A disk that is mounted.
pub(crate) struct Disk {
    nodes: Arc<Mutex<Nodes>>,
    root: tempfile::TempDir,
    // Unmounted before the folder goes away.
    session: Option<BackgroundSession>,
}

/// What a power cut leaves.
#[derive(Clone)]
pub(crate) struct Cut {
    /// How much had been acknowledged by then.
    pub(crate) acknowledged: usize,
    /// Folders (no bytes) and files by path.
    left: Vec<(String, Option<Arc<Vec<u8>>>)>,
}

type Names = BTreeMap<String, usize>;

enum Node {
    File { now: Vec<u8>, kept: Arc<Vec<u8>> },
    Folder { now: Names, kept: Names },
}

struct Nodes {
    all: Vec<Node>,
    cuts: Vec<Cut>,
    acknowledged: Box<dyn Fn() -> usize + Send>,
}

struct Files(Arc<Mutex<Nodes>>);

impl Disk {
    /// Mounts an empty disk, or says why the test is skipped. `acknowledged` is asked at each sync.
    pub(crate) fn mount(
        test: &str,
        acknowledged: impl Fn() -> usize + Send + 'static,
    ) -> Option<Self> {
        let root = tempfile::tempdir().unwrap();
        let (all, acknowledged) = (vec![folder()], Box::new(acknowledged));
        let nodes = Arc::new(Mutex::new(Nodes { all, cuts: Vec::new(), acknowledged }));
        match fuser::spawn_mount(Files(nodes.clone()), root.path(), &Config::default()) {
            Ok(session) => Some(Self { nodes, root, session: Some(session) }),
            Err(error) => {
                println!("skipped: {test}: /dev/fuse: {error}");
                None
            }
        }
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// What a power cut at any time until now leaves, each state once.
    pub(crate) fn cuts(&self) -> Vec<Cut> {
        let mut nodes = self.nodes.lock().unwrap();
        nodes.cut();
        std::mem::take(&mut nodes.cuts)
    }

    /// Waits until nobody has a file of it open.
    pub(crate) fn wait_until_idle(&self) {
        let open = |entry: fs::DirEntry| {
            fs::read_link(entry.path()).is_ok_and(|path| path.starts_with(self.root()))
        };
        while fs::read_dir("/proc/self/fd").unwrap().any(|entry| entry.is_ok_and(open)) {
            std::thread::yield_now();
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.session.take());
    }
}

impl Cut {
    /// Writes what is left into a folder.
    pub(crate) fn write(&self, to: &Path) {
        for (path, bytes) in &self.left {
            match bytes {
                None => fs::create_dir_all(to.join(path)).unwrap(),
                Some(bytes) => fs::write(to.join(path), bytes.as_slice()).unwrap(),
            }
        }
    }
}

impl Nodes {
    /// Notes what a power cut leaves now: once with nothing that was not synced, and twice with
    /// every other page of it, as a disk may write what it likes.
    fn cut(&mut self) {
        let acknowledged = (self.acknowledged)();
        for torn in [None, Some(0), Some(1)] {
            let mut left = Vec::new();
            self.walk(0, "", torn, &mut left);
            self.cuts.push(Cut { acknowledged, left });
        }
    }

    fn walk(
        &self,
        node: usize,
        path: &str,
        torn: Option<usize>,
        left: &mut Vec<(String, Option<Arc<Vec<u8>>>)>,
    ) {
        match &self.all[node] {
            Node::File { now, kept } => {
                let bytes = torn.map_or_else(|| kept.clone(), |odd| mixed(now, kept, odd));
                left.push((path.to_owned(), Some(bytes)));
            }
            Node::Folder { kept, .. } => {
                left.push((path.to_owned(), None));
                for (name, child) in kept {
                    let path =
                        if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
                    self.walk(*child, &path, torn, left);
                }
            }
        }
    }

    fn names(&mut self, inode: INodeNo) -> &mut Names {
        match &mut self.all[at(inode)] {
            Node::Folder { now, .. } => now,
            Node::File { .. } => panic!("a folder is asked for"),
        }
    }

    fn bytes(&mut self, inode: INodeNo) -> &mut Vec<u8> {
        match &mut self.all[at(inode)] {
            Node::File { now, .. } => now,
            Node::Folder { .. } => panic!("a file is asked for"),
        }
    }

    fn add(&mut self, parent: INodeNo, name: &OsStr, node: Node) -> usize {
        self.all.push(node);
        let number = self.all.len() - 1;
        self.names(parent).insert(text(name), number);
        number
    }

    fn sync(&mut self, inode: INodeNo) {
        self.cut();
        match &mut self.all[at(inode)] {
            Node::File { now, kept } => *kept = Arc::new(now.clone()),
            Node::Folder { now, kept } => kept.clone_from(now),
        }
    }

    fn attributes(&self, number: usize) -> FileAttr {
        let (kind, size) = match &self.all[number] {
            Node::File { now, .. } => (FileType::RegularFile, now.len() as u64),
            Node::Folder { .. } => (FileType::Directory, 0),
        };
        FileAttr {
            ino: INodeNo(number as u64 + 1),
            size,
            blocks: size.div_ceil(512),
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
        }
    }
}

impl Files {
    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.0.lock().unwrap()
    }

    fn remove(&self, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        match self.nodes().names(parent).remove(&text(name)) {
            Some(_) => reply.ok(),
            None => reply.error(Errno::ENOENT),
        }
    }
}

impl Filesystem for Files {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut nodes = self.nodes();
        match nodes.names(parent).get(&text(name)).copied() {
            Some(number) => reply.entry(&KNOWN, &nodes.attributes(number), Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&KNOWN, &self.nodes().attributes(at(inode)));
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut nodes = self.nodes();
        if let Some(size) = size {
            nodes.bytes(inode).resize(usize::try_from(size).unwrap(), 0);
        }
        reply.attr(&KNOWN, &nodes.attributes(at(inode)));
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let mut nodes = self.nodes();
        let number = nodes.add(parent, name, folder());
        reply.entry(&KNOWN, &nodes.attributes(number), Generation(0));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.remove(parent, name, reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.remove(parent, name, reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to: INodeNo,
        new: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut nodes = self.nodes();
        let Some(number) = nodes.names(parent).remove(&text(name)) else {
            return reply.error(Errno::ENOENT);
        };
        nodes.names(to).insert(text(new), number);
        reply.ok();
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let mut nodes = self.nodes();
        let file = Node::File { now: Vec::new(), kept: Arc::default() };
        let number = nodes.add(parent, name, file);
        let attributes = nodes.attributes(number);
        let flags = FopenFlags::FOPEN_KEEP_CACHE;
        reply.created(&KNOWN, &attributes, Generation(0), FileHandle(0), flags);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut nodes = self.nodes();
        let rest = nodes.bytes(inode).get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        reply.data(&rest[..rest.len().min(size as usize)]);
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut nodes = self.nodes();
        let (bytes, from) = (nodes.bytes(inode), usize::try_from(offset).unwrap());
        let end = from + data.len();
        bytes.resize(bytes.len().max(end), 0);
        bytes[from..end].copy_from_slice(data);
        reply.written(data.len().try_into().unwrap());
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.nodes().sync(inode);
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.nodes().sync(inode);
        reply.ok();
    }

    fn readdir(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let mut nodes = self.nodes();
        let names = nodes.names(inode).clone();
        for (index, (name, number)) in names.into_iter().enumerate().skip(offset as usize) {
            let FileAttr { ino, kind, .. } = nodes.attributes(number);
            if reply.add(ino, index as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }
}

const fn folder() -> Node {
    Node::Folder { now: Names::new(), kept: Names::new() }
}

fn at(inode: INodeNo) -> usize {
    usize::try_from(inode.0).unwrap() - 1
}

fn text(name: &OsStr) -> String {
    name.to_str().unwrap().to_owned()
}

/// Every other page as it is, the others as they were synced.
fn mixed(now: &[u8], kept: &[u8], odd: usize) -> Arc<Vec<u8>> {
    let mut bytes = kept.to_vec();
    for (number, page) in now.chunks(PAGE).enumerate().filter(|(number, _)| number % 2 == odd) {
        let from = number * PAGE;
        bytes.resize(bytes.len().max(from + page.len()), 0);
        bytes[from..from + page.len()].copy_from_slice(page);
    }
    Arc::new(bytes)
}

const PAGE: usize = 4096;
/// The kernel sees every change itself.
const KNOWN: Duration = Duration::from_secs(3600);
