//! Initial RAM disks: archives in cpio's "newc" format, without times, owners and other accidents.

/// An archive that grows.
pub(super) struct Cpio {
    bytes: Vec<u8>,
    entries: u32,
}

impl Cpio {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::new(), entries: 0 }
    }

    /// Adds a directory, which must come before what is in it.
    pub(super) fn directory(&mut self, name: &str) {
        self.entry(name, 0o040_755, (0, 0), &[]);
    }

    pub(super) fn file(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entry(name, 0o100_000 | mode, (0, 0), content);
    }

    pub(super) fn character_device(&mut self, name: &str, major: u32, minor: u32) {
        self.entry(name, 0o020_600, (major, minor), &[]);
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, (major, minor): (u32, u32), content: &[u8]) {
        self.entries += 1;
        let length = u32::try_from(content.len()).expect("a file of an initrd is short");
        let name_length = u32::try_from(name.len() + 1).expect("a name is short");
        // inode, mode, uid, gid, links, mtime, size, device (2), device of the node (2), name, sum
        let fields = [self.entries, mode, 0, 0, 1, 0, length, 0, 0, major, minor, name_length, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08X}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_the_bytes_that_the_format_defines() {
        let mut cpio = Cpio::new();
        cpio.directory("dev");
        cpio.file("init", 0o755, b"hello");
        let archive = cpio.finish();

        let header = |inode: u32, mode: u32, size: u32, name: u32| {
            let zero = "00000000";
            format!(
                "070701{inode:08X}{mode:08X}{zero}{zero}00000001{zero}{size:08X}\
                 {zero}{zero}{zero}{zero}{name:08X}{zero}"
            )
        };
        let expected = [
            header(1, 0o040_755, 0, 4).as_str(),
            "dev\0\0\0",
            &header(2, 0o100_755, 5, 5),
            "init\0\0",
            "hello\0\0\0",
            &header(3, 0, 0, 11),
            "TRAILER!!!\0\0\0\0",
        ]
        .concat();
        assert_eq!(String::from_utf8(archive).unwrap(), expected);
    }
}
