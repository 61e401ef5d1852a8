//! What a guest says on its console: passed on, but never more than a bound.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tracing::{info, warn};

/// The last lines of an output.
#[derive(Clone, Debug, Default)]
pub(super) struct LastWords(Arc<Mutex<VecDeque<String>>>);

impl LastWords {
    /// Reads an output to its end, in a thread of its own.
    ///
    /// Lines go to the log until [`CONSOLE_BYTES_MAX`] have passed; what follows is counted only,
    /// so that a guest cannot fill the host's disk.
    pub(super) fn of(
        self,
        name: &'static str,
        output: impl Read + Send + 'static,
    ) -> JoinHandle<()> {
        thread::spawn(move || self.read(name, output))
    }

    fn read(self, name: &'static str, output: impl Read) {
        let mut output = BufReader::new(output);
        let (mut passed, mut dropped) = (0, 0);
        loop {
            let mut line = Vec::new();
            match output.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(read) if passed + read > CONSOLE_BYTES_MAX => {
                    if dropped == 0 {
                        warn!(from = name, "it says too much; nothing more of it is passed on");
                    }
                    dropped += read;
                }
                Ok(read) => {
                    passed += read;
                    let line = printable(&line);
                    if !line.is_empty() {
                        info!(from = name, "{line}");
                        self.keep(line);
                    }
                }
            }
        }
    }

    fn keep(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// The lines, oldest first.
    pub(super) fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect::<Vec<_>>().join("; ")
    }
}

/// A line without what could steer a terminal.
fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.chars().filter(|c| !c.is_control()).collect::<String>().trim_end().to_owned()
}

const CONSOLE_BYTES_MAX: usize = 1024 * 1024;
const LINE_BYTES_MAX: u64 = 512;
const LINES_KEPT: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_without_control_characters() {
        let words = LastWords::default();
        let output: String = (0..9).map(|line| format!("line {line}\x1b[2J\r\n")).collect();

        words.clone().read("test", output.as_bytes());

        let kept: Vec<_> = (3..9).map(|line| format!("line {line}[2J")).collect();
        assert_eq!(words.text(), kept.join("; "));
    }

    #[test]
    fn an_endless_line_is_cut_and_a_flood_is_read_but_not_kept() {
        let words = LastWords::default();

        words.clone().read("test", std::io::repeat(b'x').take(3 * CONSOLE_BYTES_MAX as u64));

        assert_eq!(words.text().len(), LINES_KEPT * (LINE_BYTES_MAX as usize + 2) - 2);
    }
}
