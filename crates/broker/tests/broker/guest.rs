//! A UA that tries what it is told, and says what came of it. The test compiles it by itself.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;

fn main() {
    for attempt in std::env::args().skip(1) {
        let (word, rest) = attempt.split_once(' ').unwrap_or((&attempt, ""));
        let said = match word {
            "ask" => ask(rest),
            "bind" => TcpListener::bind(("127.0.0.1", port(rest))).map(done),
            "connect" => TcpStream::connect(("127.0.0.1", port(rest))).map(done),
            "exit" => std::process::exit(1),
            "grow" => grow(rest),
            "list" => list(rest),
            "pid" => Ok(std::process::id().to_string()),
            "read" => std::fs::read_to_string(rest),
            "sleep" => loop {
                std::thread::sleep(std::time::Duration::from_secs(60));
            },
            "udp" => UdpSocket::bind("127.0.0.1:0").map(done),
            "unix" => UnixStream::connect(rest).map(done),
            "write" => std::fs::write(rest, "written").map(done),
            _ => Ok("no such attempt".to_owned()),
        };
        match said {
            Ok(said) => println!("{attempt}: {said}"),
            Err(error) => println!("{attempt}: failed {:?}", error.kind()),
        }
    }
}

/// Sends a frame over the standard input, which is a socket, and reads its answer.
fn ask(hex: &str) -> std::io::Result<String> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    let frame: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    let mut broker = std::mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(0) });
    broker.write_all(&frame)?;
    let mut length = [0; 4];
    broker.read_exact(&mut length)?;
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    broker.read_exact(&mut answer)?;
    Ok(answer.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether this many MiB can be had.
fn grow(mib: &str) -> std::io::Result<String> {
    let mut memory: Vec<u8> = Vec::new();
    let length = mib.parse::<usize>().expect("a number") << 20;
    memory.try_reserve_exact(length).map_err(|_| std::io::ErrorKind::OutOfMemory)?;
    memory.resize(length, 1);
    Ok(memory.len().to_string())
}

fn list(folder: &str) -> std::io::Result<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names.join(" "))
}

fn port(text: &str) -> u16 {
    text.parse().expect("a port")
}

fn done<T>(_: T) -> String {
    "done".to_owned()
}
