//! AMD's evidence, recorded from real hardware and made by a vendor of our own.

mod hostile;
mod launches;
mod made;
mod paravisor;
mod recorded;
mod sessions;
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
mod vectors;
mod vendor;
