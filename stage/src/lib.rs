//! All parties of the draft on one machine, each in its own process, as in the field.
//!
//! The stage only writes settings, starts programs, and reads what they print: whatever happens on
//! it happens through the programs' public interfaces. It plays the operator (who sets up the
//! Network M/OC and enrols devices), the release signer (who vouches for the TEEP Agent's
//! measurement) and the Network User's hands; it never plays a TEE.

mod canary;
mod choices;
mod deploying;
mod device;
mod flow;
mod http;
mod layout;
mod moc;
mod party;
mod release;
mod user;

pub use canary::{Sighting, search, search_memory, search_text};
pub use choices::{Choices, Confidant};
pub use deploying::{Attempt, Deploying};
pub use device::{Device, Hardware, Instance, Misbehaviour, Spec};
pub use flow::{Canary, Flow, Ran, flows, variants};
pub use http::{Answer, Ask};
pub use layout::{Layout, Programs};
pub use moc::Moc;
pub use party::Party;
pub use user::{Deployed, Pins, Refusal, Ride, User, VehicleAnswer, phases};

use std::path::PathBuf;

use anyhow::Result;

use moc::{Prepared, Tam};

/// Everybody but the devices.
#[derive(Debug)]
pub struct Stage {
    /// Where everything lies.
    pub layout: Layout,
    /// The programs that play.
    pub programs: Programs,
    /// The operator's Network M/OC.
    pub moc: Moc,
    /// Another operator's, whom the same Agents serve; by choice.
    pub second: Option<Moc>,
    /// The trust anchor of the emulated vendor of SGX and TDX.
    pub anchor: String,
}

impl Stage {
    /// Sets up vendor, release signer and Network M/OC in a directory, and starts the M/OC.
    ///
    /// # Errors
    /// A program failed; the error says which and what it printed.
    pub fn set(layout: Layout, programs: Programs) -> Result<Self> {
        Self::set_with(layout, programs, &Choices::default())
    }

    /// The same, with more in the settings of the M/OC and of its Agents.
    ///
    /// # Errors
    /// A program failed; the error says which and what it printed.
    pub fn set_with(layout: Layout, programs: Programs, choices: &Choices) -> Result<Self> {
        layout.create()?;
        let anchor = release::vendor(&layout, &programs)?;
        let first = Prepared::new(&layout.moc(), &programs, choices)?;
        let new = || Prepared::new(&layout.second_moc(), &programs, choices);
        let second = choices.second_moc.then(new).transpose()?;
        let tams: Vec<&Tam> = [&first].into_iter().chain(&second).map(|moc| &moc.tam).collect();
        release::publish(&layout, &programs, &tams, choices)?;
        let moc = first.start(&layout, &programs, "moc")?;
        let second = second.map(|moc| moc.start(&layout, &programs, "moc-2")).transpose()?;
        Ok(Self { layout, programs, moc, second, anchor })
    }

    /// Enrols a device and starts it.
    ///
    /// # Errors
    /// A program failed; the error says which and what it printed.
    pub fn device(&self, spec: &Spec) -> Result<Device> {
        let mut device = Device::start(self, spec, None)?;
        device.await_enrolment(self)?;
        Ok(device)
    }

    /// The same of hardware that attests at launch: the Network User launches its guest.
    ///
    /// # Errors
    /// A program failed, or the user refused the launch; the error says which and why.
    pub fn device_launched_by(&self, owner: &User, spec: &Spec) -> Result<Device> {
        let mut device = Device::start(self, spec, Some(owner))?;
        device.await_enrolment(self)?;
        Ok(device)
    }

    /// The same, without waiting for what the M/OC makes of it.
    ///
    /// # Errors
    /// A program failed; the error says which and what it printed.
    pub fn device_begun(&self, spec: &Spec) -> Result<Device> {
        Device::start(self, spec, None)
    }

    /// A Network User of a new tenant, who pins this stage's vendor and release signer.
    ///
    /// # Errors
    /// A program failed; the error says which and what it printed.
    pub fn user(&self, name: &str) -> Result<User> {
        self.user_with(name, &self.pins())
    }

    /// A Network User of a new tenant, with pins of their own.
    ///
    /// # Errors
    /// A program failed; the error says which and what it printed.
    pub fn user_with(&self, name: &str, pins: &Pins) -> Result<User> {
        User::new(self, name, pins)
    }

    /// Publishes Agents with more settings, which hold for devices that start from now on, and lets
    /// the M/OC and every Network User know them.
    ///
    /// # Errors
    /// A program failed; the error says which and what it printed.
    pub fn publish_again(&mut self, more: &str) -> Result<()> {
        release::again(&self.layout, &self.programs, more)?;
        self.moc.restart(&self.programs)
    }

    /// What a Network User of this stage has reason to pin.
    #[must_use]
    pub fn pins(&self) -> Pins {
        Pins {
            emulator: None,
            anchors: Some(self.layout.anchors()),
            reference: self.layout.release().join("agent.corim"),
            policy: Some(self.layout.release().join("strict.toml")),
        }
    }

    /// Reference values of another release of the TEEP Agent, from the same signer.
    ///
    /// # Errors
    /// A program failed; the error says which and what it printed.
    pub fn other_release(&self) -> Result<PathBuf> {
        release::other(&self.layout, &self.programs)
    }
}
