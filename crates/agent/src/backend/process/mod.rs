//! Trusted Applications as processes: the agent's own program, started again and locked down.

mod custody;
pub(super) mod instance;
pub mod lockdown;
mod module_cache;
pub(super) mod native;
pub mod sandbox;
pub(super) mod wire;
pub mod worker;

use std::process::Command;

pub use instance::ProcessBackend;
pub use module_cache::ModuleCache;

/// What one Trusted Application may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of its linear memory.
    pub memory_bytes_max: u64,
    /// Milliseconds for one call.
    pub call_ms_max: u64,
    /// Seconds of processor time in the life of its worker.
    pub cpu_s_max: u64,
    /// Whether components are interpreted, where no memory may become code.
    pub interpret: bool,
}

impl Limits {
    /// What the kernel keeps for a custodian: the linear memory of a component, twice for growing
    /// it, beside the worker itself and the compiler.
    const fn of_custodian(self) -> lockdown::Limits {
        lockdown::Limits {
            address_space_bytes_max: 2 * self.memory_bytes_max + WORKER_BYTES,
            cpu_s_max: self.cpu_s_max,
        }
    }

    /// What the kernel keeps for a native program: its memory beside its own code.
    pub(super) const fn of_program(self) -> lockdown::Limits {
        lockdown::Limits {
            address_space_bytes_max: self.memory_bytes_max + PROGRAM_BYTES,
            cpu_s_max: self.cpu_s_max,
        }
    }

    /// Adds the arguments of a custodian: the kernel's limits have to stand before anything is
    /// read.
    pub(super) fn arguments(self, command: &mut Command, form: Form) {
        command
            .arg(self.cpu_s_max.to_string())
            .arg(self.memory_bytes_max.to_string())
            .arg(form.name())
            .arg(if self.interpret { INTERPRETED } else { COMPILED });
    }

    /// What runs a component.
    pub(super) const fn submodule(self) -> &'static str {
        if self.interpret { "wasmtime-pulley" } else { "wasmtime" }
    }

    /// Reads the arguments of a custodian.
    pub fn parse(cpu_s_max: &str, memory_bytes_max: &str, code: &str) -> Option<Self> {
        let interpret = [COMPILED, INTERPRETED].iter().position(|known| *known == code)? == 1;
        let (cpu_s_max, memory_bytes_max) =
            (cpu_s_max.parse().ok()?, memory_bytes_max.parse().ok()?);
        Some(Self { memory_bytes_max, call_ms_max: 0, cpu_s_max, interpret })
    }
}

/// What an application is to its custodian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A WebAssembly component, which the custodian runs itself.
    Component,
    /// The program of an image, in a container whose first process the custodian is.
    Container,
    /// A static program, in a process beside the custodian.
    Program,
    /// A program that was started elsewhere, and whose socket the custodian is given.
    Started,
}

impl Form {
    const ALL: [Self; 4] = [Self::Component, Self::Container, Self::Program, Self::Started];

    /// The form of a content that is no image; what is no program counts as a component, and is
    /// refused as one.
    fn of(content: &[u8]) -> Self {
        if content.starts_with(b"\x7fELF") { Self::Program } else { Self::Component }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Component => "component",
            Self::Container => "container",
            Self::Program => "program",
            Self::Started => "started",
        }
    }

    /// Reads the name on the command line of a custodian.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.name() == name)
    }
}

const COMPILED: &str = "compiled";
const INTERPRETED: &str = "interpreted";

/// The address space of a program for itself: code, stacks, what it maps and does not use.
const PROGRAM_BYTES: u64 = 64 << 20;

/// The address space of a worker without its application.
const WORKER_BYTES: u64 = 2 << 30;
