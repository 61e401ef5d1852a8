//! A native Trusted Application for tests: it answers with its data, and does what it is asked to
//! in order to break out. Compiled by the tests as one static file.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

fn main() {
    let mut channel = unsafe { File::from_raw_fd(0) };
    let mut data = Vec::new();
    loop {
        let mut header = [0; 4];
        if channel.read_exact(&mut header).is_err() {
            return;
        }
        let mut body = vec![0; u32::from_be_bytes(header) as usize];
        channel.read_exact(&mut body).unwrap();
        let kind = body.remove(0);
        let answer: Result<Vec<u8>, String> = match kind {
            1 if body == b"refuse" => Err("no".into()),
            1 if body.starts_with(b"attempts\n") => attempt(&body),
            1 => {
                data = body;
                Ok(Vec::new())
            }
            _ => Ok(serve(&data, &body)),
        };
        let (kind, body) = match answer {
            Ok(body) => (0, body),
            Err(text) => (1, text.into_bytes()),
        };
        let mut frame = (body.len() as u32 + 1).to_be_bytes().to_vec();
        frame.push(kind);
        frame.extend(body);
        channel.write_all(&frame).unwrap();
    }
}

/// Tries what each line says, and takes the data only when nothing of it succeeded.
fn attempt(lines: &[u8]) -> Result<Vec<u8>, String> {
    let text = String::from_utf8_lossy(lines).into_owned();
    for line in text.lines().skip(1) {
        let answer = String::from_utf8_lossy(&serve(&[], line.as_bytes())).into_owned();
        if !answer.starts_with("errno ") {
            return Err(format!("{line}: {answer}"));
        }
    }
    Ok(Vec::new())
}

fn serve(data: &[u8], request: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(request).into_owned();
    let (what, on) = text.split_once(' ').unwrap_or((&text, ""));
    let outcome = match what {
        "read" => fs::read(on).map(|bytes| format!("{} bytes", bytes.len())),
        "write" => fs::write(on, "x").map(|()| "written".into()),
        "list" => list(on),
        "connect" => TcpStream::connect(on).map(|_| "connected".into()),
        "send" => UdpSocket::bind("127.0.0.1:0")
            .and_then(|socket| socket.send_to(b"x", on))
            .map(|_| "sent".into()),
        "unix" => UnixStream::connect(on).map(|_| "connected".into()),
        "spawn" => Command::new(on).status().map(|status| format!("{status}")),
        "descriptors" => Ok(descriptors()),
        "mkdir" => fs::create_dir(on).map(|()| "made".into()),
        "pids" => Ok(format!("{}", std::process::id())),
        "kill" => signal(on.parse().unwrap()),
        "mount" => mount(),
        "unshare" => answered(unsafe { unshare(0x1000_0000) }),
        "ptrace" => answered(unsafe { ptrace(16, on.parse().unwrap(), 0, 0) }),
        "setuid" => answered(unsafe { setuid(0) }.min(unsafe { setgid(0) })),
        "memory" => {
            let mut taken: Vec<Vec<u8>> = Vec::new();
            loop {
                let mut more = Vec::new();
                if more.try_reserve_exact(1 << 20).is_err() {
                    break Err(std::io::Error::from_raw_os_error(12));
                }
                more.resize(1 << 20, 1_u8);
                taken.push(more);
                if taken.len() > 1024 {
                    break Ok("a gigabyte".into());
                }
            }
        }
        "fork" => {
            let mut count = 0;
            loop {
                match unsafe { fork() } {
                    0 => loop {
                        unsafe { pause() };
                    },
                    -1 => break Ok(format!("{count}")),
                    _ => count += 1,
                }
                if count > 2000 {
                    break Ok("no end".into());
                }
            }
        }
        "spin" => loop {
            std::hint::spin_loop();
        },
        "exit" => std::process::exit(3),
        "flood" => {
            let mut out = unsafe { File::from_raw_fd(0) };
            loop {
                let _ = out.write_all(&[0xff; 65536]);
            }
        }
        "env" => Ok(std::env::vars().map(|(name, _)| name).collect::<Vec<_>>().join(" ")),
        _ => return [data, request].concat(),
    };
    match outcome {
        Ok(text) => text.into_bytes(),
        Err(error) => format!("errno {}", error.raw_os_error().unwrap_or(0)).into_bytes(),
    }
}

fn list(folder: &str) -> std::io::Result<String> {
    let entries = fs::read_dir(folder)?;
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    Ok(names.join(" "))
}

/// What is open, by number.
fn descriptors() -> String {
    let open = (0..64).filter(|number| unsafe { fcntl(*number, 1) } >= 0);
    open.map(|number| number.to_string()).collect::<Vec<_>>().join(" ")
}

fn answered(code: i64) -> std::io::Result<String> {
    if code < 0 { Err(std::io::Error::last_os_error()) } else { Ok("done".into()) }
}

fn signal(pid: i32) -> std::io::Result<String> {
    answered(unsafe { kill(pid, 9) }.into())
}

fn mount() -> std::io::Result<String> {
    let none = c"none".as_ptr().cast();
    let tmpfs = c"tmpfs".as_ptr().cast();
    let at = c"/tmp".as_ptr().cast();
    extern "C" {
        fn mount(source: *const u8, target: *const u8, kind: *const u8, flags: u64, data: *const u8)
            -> i32;
    }
    answered(unsafe { mount(none, at, tmpfs, 0, std::ptr::null()) }.into())
}

extern "C" {
    fn fcntl(number: i32, command: i32) -> i32;
    fn fork() -> i32;
    fn pause() -> i32;
    fn kill(pid: i32, signal: i32) -> i32;
    fn setuid(user: u32) -> i64;
    fn setgid(group: u32) -> i64;
    fn unshare(flags: i32) -> i64;
    fn ptrace(request: i64, pid: i64, address: i64, data: i64) -> i64;
}
