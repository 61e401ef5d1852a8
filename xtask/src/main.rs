//! Every development task of the workspace, with one name each.
//!
//! `cargo demo` runs the product's main job, `cargo xtask test` is what CI runs; the rest are
//! parts of these two, for use by hand.

mod bench;
mod build;
mod demo;
mod fuzz;
mod guest;
mod ledger;
mod map;
mod run;
mod setup;
mod soak;
mod test;
mod tidy;
mod up;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Development tasks of Tamarack", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Deploys a trusted application end to end on this machine, then shows two refusals
    Demo {
        /// Print one JSON document for a program
        #[arg(long)]
        json: bool,
        /// Keep keys, databases, captured messages and logs in this new directory
        #[arg(long, value_name = "DIR")]
        keep: Option<PathBuf>,
    },
    /// Starts a Network M/OC with one enrolled, emulated device, and stays until Ctrl-C
    Up {
        /// A new directory for keys, databases and logs
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Print one JSON document for a program
        #[arg(long)]
        json: bool,
    },
    /// Installs what the instance types need, by package name; says what it would do without root
    Setup {
        /// Only say what is missing
        #[arg(long)]
        dry: bool,
    },
    /// Builds the images of confidential VMs, for each processor that this machine can run
    Guest {
        /// Only guests of this processor: x86_64 or aarch64
        #[arg(long, value_name = "NAME")]
        processor: Option<String>,
    },
    /// Does one thing very often, and says what failed and what was left behind
    Soak {
        #[command(subcommand)]
        what: Soak,
    },
    /// Runs everything that CI runs: format, lints, tidy, ledger, all tests
    Test {
        /// Run only the steps whose name contains this text
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
    },
    /// Checks the tree: dependency edges, sizes, order, paths, licences
    Tidy,
    /// Prints the requirement ledger and fails on a MUST without code or test
    Spec {
        /// One document: teep, suit, rats or evidence
        name: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Write the list of open requirements and the conformance page again
        #[arg(long)]
        write: bool,
    },
    /// Measures; floors and peers are taken in the same run
    Bench {
        /// One suite: demo, instances, moc, suit, teep or verifier
        name: Option<String>,
        /// A tenth of the devices and of the time, in the suite moc; its rows say so
        #[arg(long)]
        quick: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Fuzzes one target of `fuzz/`, or all one after another
    Fuzz {
        /// The target
        target: Option<String>,
        /// How long each target runs
        #[arg(long, value_name = "N", default_value_t = 30)]
        seconds: u32,
    },
    /// Writes the sample application's road map again
    Map,
}

#[derive(Subcommand)]
enum Soak {
    /// Boots confidential VMs and stops them again
    Vm {
        /// How often, for each processor
        #[arg(long, value_name = "N", default_value_t = 100)]
        boots: u32,
        /// Only guests of this processor: x86_64 or aarch64
        #[arg(long, value_name = "NAME")]
        processor: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Demo { json, keep } => demo::run(json, keep),
        Task::Up { dir, json } => up::run(&dir, json),
        Task::Setup { dry } => setup::run(dry),
        Task::Soak { what: Soak::Vm { boots, processor, json } } => {
            soak::vm(boots, processor.as_deref(), json)
        }
        Task::Guest { processor } => {
            guest::only(build::Show::Progress, processor.as_deref()).map(drop)
        }
        Task::Test { only } => test::run(only.as_deref()),
        Task::Tidy => tidy::run(),
        Task::Spec { write: true, .. } => ledger::write(),
        Task::Spec { name, json, .. } => ledger::run(name.as_deref(), json),
        Task::Bench { name, quick, json } => {
            let extent = if quick { bench::Extent::Quick } else { bench::Extent::Full };
            bench::run(name.as_deref(), extent, json)
        }
        Task::Fuzz { target, seconds } => fuzz::run(target.as_deref(), seconds),
        Task::Map => {
            map::write(&run::root().join("examples/route-planner/map/tamarack-bay.geojson"))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("{}error{}: {error:#}", run::RED.render(), run::RED.render_reset());
            ExitCode::FAILURE
        }
    }
}
