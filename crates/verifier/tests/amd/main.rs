//! AMD's evidence, recorded from real hardware and made by a vendor of our own.

mod hostile;
mod made;
mod recorded;
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
mod vectors;
mod vendor;
