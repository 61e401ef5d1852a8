//! The program `tamarack-agent`: the TEEP Agent, and the worker that it starts for each TA.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use agent::backend::container::launcher;
use agent::backend::process::{Form, Limits, worker};
use agent::{OnHardware, init, probe};
use anyhow::Context as _;

fn main() -> ExitCode {
    if init::is_first() {
        init::run();
    }
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match Command::parse(&arguments) {
        Some(command) => match command.run() {
            Ok(code) => code,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        },
        None => {
            eprint!("{USAGE}");
            ExitCode::from(USAGE_STATUS)
        }
    }
}

/// What the program is asked to do.
enum Command {
    Run { storage: Option<PathBuf>, own_digest: Option<[u8; 32]> },
    Hardware(OnHardware),
    Worker { limits: Limits, form: Form },
    Container { arguments: Vec<String> },
    Probe { json: bool },
}

impl Command {
    fn parse(arguments: &[OsString]) -> Option<Self> {
        let texts: Vec<&str> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
        match texts.as_slice() {
            ["run", "--storage", _] => {
                let storage = Some(PathBuf::from(&arguments[2]));
                Some(Self::Run { storage, own_digest: None })
            }
            ["run", "--storage-fd"] => Some(Self::Run { storage: None, own_digest: None }),
            ["run", "--storage-fd", "--own-digest", digest] => {
                let digest = hex::decode(digest).ok()?.try_into().ok()?;
                Some(Self::Run { storage: None, own_digest: Some(digest) })
            }
            ["run", "--storage", _, "--settings", _, "--listen", _, level @ ..] => {
                Some(Self::Hardware(OnHardware {
                    storage: PathBuf::from(&arguments[2]),
                    settings: PathBuf::from(&arguments[4]),
                    socket: PathBuf::from(&arguments[6]),
                    privilege_level: match level {
                        [] => None,
                        ["--vmpl", level] => Some(level.parse().ok().filter(|level| *level < 4)?),
                        _ => return None,
                    },
                }))
            }
            ["probe"] => Some(Self::Probe { json: false }),
            ["probe", "--json"] => Some(Self::Probe { json: true }),
            ["ta-worker", cpu_s, memory_bytes, form, code] => Some(Self::Worker {
                limits: Limits::parse(cpu_s, memory_bytes, code)?,
                form: Form::from_name(form)?,
            }),
            ["ta-container", arguments @ ..] => Some(Self::Container {
                arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
            }),
            _ => None,
        }
    }

    fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Run { storage, own_digest } => agent::run(storage.as_deref(), own_digest)?,
            Self::Hardware(on) => agent::run_on_hardware(&on)?,
            Self::Worker { limits, form } => {
                worker::run(limits, form).context("running a Trusted Application")?;
            }
            Self::Container { arguments } => {
                let code = launcher::run(&arguments).context("launching a container")?;
                return Ok(ExitCode::from(code));
            }
            Self::Probe { json } => {
                let findings = probe::probe();
                let text = if json { probe::json(&findings) } else { probe::text(&findings) };
                print(&text).context("writing the findings")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print(text: &str) -> std::io::Result<()> {
    use std::io::Write as _;

    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

const USAGE: &str = "\
Usage: tamarack-agent <command>

  run --storage DIR    Run the TEEP Agent. Started by a TEE: descriptor 3 is the TEE, 4 the
                       listening socket for the Broker, 5 the measured settings.
  run --storage-fd [--own-digest SHA256]
                       The same with its disk behind descriptor 6, inside a confidential VM.
  run --storage DIR --settings FILE --listen SOCKET [--vmpl LEVEL]
                       Run the TEEP Agent on the hardware of this machine, which it finds itself.
  probe [--json]       Show what this machine offers to isolate applications and to be a TEE.
";

const USAGE_STATUS: u8 = 2;
