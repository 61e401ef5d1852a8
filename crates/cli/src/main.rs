//! The command of Network Users and operators.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
