//! The Agent at the interfaces of real hardware, which a fake below FUSE stands in for.
//!
//! Where there is no `/dev/fuse`, or it may not be mounted, each test is skipped by name.
#![expect(clippy::unwrap_used, reason = "lets a test fail")]
#![expect(clippy::print_stdout, reason = "says which test is skipped")]

mod appraisal;
mod detection;
mod efi_secret;
mod fuse;
mod gramine;
mod kernel;
mod library_os;
mod op_tee;
mod tsm;
