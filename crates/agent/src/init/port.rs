//! Finding the serial port of the link among what the machine has.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Opens the port, which may appear a moment after its driver, and opens only after that.
pub(super) fn open() -> io::Result<File> {
    for _ in 0..ATTEMPTS {
        if let Some(path) = find()? {
            match open_port(&path) {
                Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {}
                opened => return opened,
            }
        }
        thread::sleep(AGAIN);
    }
    Err(io::Error::new(ErrorKind::NotFound, format!("no serial port is named {PORT}")))
}

fn open_port(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)
}

fn find() -> io::Result<Option<PathBuf>> {
    let ports = match fs::read_dir(PORTS) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        ports => ports?,
    };
    for port in ports {
        let port = port?;
        let name = fs::read_to_string(port.path().join("name")).unwrap_or_default();
        if name.trim_end() == PORT {
            return Ok(Some(Path::new("/dev").join(port.file_name())));
        }
    }
    Ok(None)
}

const AGAIN: Duration = Duration::from_millis(2);
const ATTEMPTS: u32 = 2500;
const PORT: &str = "org.tamarack.link";
const PORTS: &str = "/sys/class/virtio-ports";
