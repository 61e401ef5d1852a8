//! Trusted Applications as processes: the agent's own program, started again and locked down.

mod custody;
mod instance;
pub mod lockdown;
pub mod sandbox;
pub(super) mod wire;
pub mod worker;

pub use instance::ProcessBackend;

/// What one Trusted Application may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of its linear memory.
    pub memory_bytes_max: u64,
    /// Milliseconds for one call.
    pub call_ms_max: u64,
    /// Seconds of processor time in the life of its worker.
    pub cpu_s_max: u64,
}

impl Limits {
    /// What the kernel keeps: the linear memory, twice for growing it, beside the worker itself
    /// and the compiler.
    pub const fn of_process(memory_bytes_max: u64, cpu_s_max: u64) -> lockdown::Limits {
        lockdown::Limits { address_space_bytes_max: 2 * memory_bytes_max + WORKER_BYTES, cpu_s_max }
    }
}

/// The address space of a worker without its application.
const WORKER_BYTES: u64 = 2 << 30;
