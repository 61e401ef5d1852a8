//! What was measured after the launch: the log in TEEP evidence against the register of the quote,
//! and the containers that run against the log.
//!
//! TDX and CCA have registers that a running system extends. An Agent there extends one before it
//! starts a container, so that the hardware vouches for the image and not the Agent's word alone.

use cose::sha384;
use rats::eat;
use rats::runtime::{Event, RuntimeLog};

use crate::check::{Check, Checks, Failure, Owner, Reason, Stop};
use crate::claims::{Claims, Named};
use crate::evidence::Kind;
use crate::policy::Policy;

/// What a register is known to hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    /// Whether the kind of evidence has such a register.
    register: bool,
    events: Vec<Event>,
}

impl Measured {
    /// Believes a log that replays to the register of authentic evidence.
    pub(crate) fn replayed(
        kind: Kind,
        claims: Option<&Claims>,
        log: Option<&[u8]>,
        checks: &mut Checks,
    ) -> Result<Self, Stop> {
        let register = register(kind, claims);
        let Some(log) = log else {
            return Ok(Self { register: register.is_some(), events: Vec::new() });
        };
        let check = Check::new("agent.runtime-log");
        let Some(register) = register else {
            return checks.fail(check.seen("a log").expected("none").holds(false, || {
                let remedy = "send no log where no register of the hardware vouches for it";
                Failure::new(Reason::Unsupported, Owner::AgentProvider, remedy)
            }));
        };
        let events = RuntimeLog::decode(log).and_then(|log| {
            let events: Vec<_> = log.events().map(Event::decode).collect::<Result<_, _>>()?;
            Ok((replay(register.value.as_slice().len(), &log), events))
        });
        let (replayed, events) = match events {
            Ok(read) => read,
            Err(error) => {
                return checks.fail(check.seen(error.to_string()).holds(false, || {
                    let remedy = "send the log as it was measured";
                    Failure::new(Reason::Malformed, Owner::AgentProvider, remedy)
                }));
            }
        };
        let quoted = register.value.as_slice();
        let check = check.seen(&replayed[..]).expected(quoted).source(register.name);
        checks.need(check.holds(replayed == quoted, || {
            let remedy = "send the whole log; what was measured before this start of the Agent is \
                          in no log, so start the machine again";
            Failure::new(Reason::MeasurementMismatch, Owner::Attester, remedy)
        }))?;
        Ok(Self { register: true, events })
    }

    /// Refuses a container that the register does not know, where there is one.
    pub(crate) fn check(
        &self,
        claims: &eat::Claims,
        policy: &Policy,
        checks: &mut Checks,
    ) -> Result<(), Stop> {
        for entry in claims.submods.tas().filter(|_| self.register) {
            let Some(image) = entry.instance.image else { continue };
            let manifest = entry.manifest.digest;
            let measured = self.events.contains(&Event::Container { manifest, image });
            let check = Check::new("agent.container").seen(&image.manifest);
            let check = check.expected("measured before it started").source("runtime register");
            checks.need(check.holds(measured || policy.claimed_images_allowed, || {
                let remedy = "measure an image into the runtime register before it starts, on a \
                              kernel that gives access to it; then attest anew";
                Failure::new(Reason::MeasurementMismatch, Owner::DeviceOperator, remedy)
            }))?;
        }
        Ok(())
    }
}

/// The register that is an Agent's to extend.
fn register(kind: Kind, claims: Option<&Claims>) -> Option<&Named> {
    let name = match kind {
        Kind::Tdx => "rtmr3",
        Kind::Cca => "rem3",
        Kind::Sev | Kind::SevSnp | Kind::Sgx | Kind::TrustZone => return None,
    };
    claims?.registers.iter().find(|register| register.name == name)
}

/// What a register of this length holds after the events: R ← H(R ‖ H(event)), from zero.
fn replay(length: usize, log: &RuntimeLog) -> Vec<u8> {
    let digest = |bytes: &[u8]| match length {
        32 => cose::sha256(bytes).to_vec(),
        48 => sha384(bytes).to_vec(),
        _ => cose::sha512(bytes).to_vec(),
    };
    log.events().fold(vec![0; length], |register, event| {
        digest(&[register.as_slice(), &digest(event)].concat())
    })
}
