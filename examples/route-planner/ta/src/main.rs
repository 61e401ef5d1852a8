//! The same Trusted Application as a native program: for a process or a container of its own.
//!
//! Its custodian talks to it on the standard input, one question at a time:
//!
//! ```text
//! frame    = length (4 bytes, big-endian) || kind (1 byte) || body
//! question = kind 1, Personalization Data / kind 2, request
//! answer   = kind 0, answer / kind 1, text of a refusal
//! ```

use std::io::{ErrorKind, Read, Result, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use route_planner::planner::Planner;

fn main() -> Result<()> {
    let mut custodian = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut planner = None;
    loop {
        let mut header = [0; 4];
        match custodian.read_exact(&mut header) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        let length = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
        if !(1..=QUESTION_BYTES_MAX).contains(&length) {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut question = vec![0; length];
        custodian.read_exact(&mut question)?;
        let (kind, body) = (question[0], &question[1..]);
        let (kind, answer) = match answer(&mut planner, kind, body) {
            Ok(answer) => (DONE, answer),
            Err(text) => (REFUSED, text.into_bytes()),
        };
        let mut frame = u32::try_from(answer.len() + 1).unwrap_or(0).to_be_bytes().to_vec();
        frame.push(kind);
        frame.extend_from_slice(&answer);
        custodian.write_all(&frame)?;
    }
}

fn answer(
    planner: &mut Option<Planner>,
    kind: u8,
    body: &[u8],
) -> std::result::Result<Vec<u8>, String> {
    match (kind, planner.as_ref()) {
        (PERSONALIZE, _) => {
            *planner = Some(Planner::new(body).map_err(|refused| refused.text().to_owned())?);
            Ok(Vec::new())
        }
        (SERVE, Some(planner)) => planner.serve(body).map_err(|refused| refused.text().to_owned()),
        (SERVE, None) => Err("no Personalization Data has been released yet".to_owned()),
        _ => Err("no such question".to_owned()),
    }
}

const DONE: u8 = 0;
const PERSONALIZE: u8 = 1;
/// As long as a frame of the custodian.
const QUESTION_BYTES_MAX: usize = 16 * 1024 * 1024;
const REFUSED: u8 = 1;
const SERVE: u8 = 2;
