//! `tamarack`: asks for confidential computing, deploys, appraises, explains.
//!
//! It is thin over `sdk`: what decides about trust is there or in `verifier`. Exit codes: 0 done,
//! 2 unusable input, 3 refused with the reason, 4 somebody does not answer.

pub mod audit;
pub mod collateral;
mod connect;
pub mod deploy;
pub mod evidence;
pub mod home;
pub mod inspect;
pub mod launch;
pub mod matrix;
pub mod operator;
pub mod outcome;
pub mod package;
pub mod policy;
pub mod reference;
pub mod request;
pub mod setup;
pub mod suit;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use outcome::Failed;

#[derive(Parser)]
#[command(
    name = "tamarack",
    about = "Run confidential workloads on devices that somebody else operates",
    version
)]
struct Arguments {
    /// The Network User's home [default: ~/.tamarack]
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes the owner's key and says which Network M/OC to use
    Init(setup::Init),
    /// Pins whom to believe: emulators, reference values, the Verifier
    Trust(setup::Trust),
    /// Makes keys
    #[command(subcommand)]
    Key(setup::Key),
    /// States and signs reference values
    #[command(subcommand)]
    Reference(reference::Reference),
    /// Makes what a package carries
    #[command(subcommand)]
    Package(package::Package),
    /// Asks for a place for a deployment, and says why there
    Request(request::Request),
    /// Deploys a project: request, packages, attestation, own check, release of the data
    Deploy(deploy::Deploy),
    /// Launches a guest of AMD SEV: appraises its launch, and injects the secret that it needs
    Launch(launch::Launch),
    /// Appraises evidence offline
    #[command(subcommand)]
    Evidence(evidence::Evidence),
    /// Checks appraisal policies and tries them on kept evidence
    #[command(subcommand)]
    Policy(policy::Command),
    /// Packs and unpacks offline bundles of endorsements
    #[command(subcommand)]
    Collateral(collateral::Command),
    /// Recognises and explains a file of this world
    Inspect(inspect::Inspect),
    /// Builds, signs, checks and tries SUIT manifests
    #[command(subcommand)]
    Suit(suit::Suit),
    /// Runs the rows of the draft's figures 2 to 6 on this machine
    Matrix(matrix::Matrix),
    /// Reads and checks a Network M/OC's log of decisions
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Operates a Network M/OC
    Operator(operator::Operator),
}

/// Runs the command of this process.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let as_json = std::env::args().any(|argument| argument == "--json");
    match execute(arguments) {
        Ok(code) => code,
        Err(failed) => failed.tell(as_json),
    }
}

fn execute(arguments: Arguments) -> Result<ExitCode, Failed> {
    let home = || home::Home::at(arguments.home.clone());
    match arguments.command {
        Command::Init(init) => init.run(&home()?)?,
        Command::Trust(trust) => trust.run(&home()?)?,
        Command::Key(key) => key.run()?,
        Command::Reference(reference) => reference.run()?,
        Command::Package(package) => package.run(&home)?,
        Command::Request(request) => wait(request.run(&home()?))?,
        Command::Deploy(deploy) => wait(deploy.run(&home()?))?,
        Command::Launch(launch) => launch.run(&home()?)?,
        Command::Evidence(evidence) => return evidence.run(),
        Command::Policy(policy) => return policy.run(),
        Command::Collateral(collateral) => collateral.run()?,
        Command::Inspect(inspect) => inspect.run()?,
        Command::Suit(suit) => suit.run(&home)?,
        Command::Matrix(matrix) => return matrix.run(),
        Command::Audit(audit) => wait(audit.run(&home))?,
        Command::Operator(operator) => wait(operator.run())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn wait<T>(future: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failed::Unusable(error.into()))?.block_on(future)
}
