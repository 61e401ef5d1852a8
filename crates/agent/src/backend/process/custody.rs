//! The keys of one Trusted Application.

use cose::{Agreement as _, Curve, Key};
use keys::AgreementKey;
use zeroize::Zeroizing;

use super::wire::Refusal;

pub(super) struct Custody {
    service: AgreementKey,
}

pub(super) struct Opened {
    pub(super) data: Zeroizing<Vec<u8>>,
    pub(super) callers: Vec<Key>,
    pub(super) confirmation: Vec<u8>,
}

pub(super) struct Call {
    pub(super) plain: Zeroizing<Vec<u8>>,
}

impl Call {
    pub(super) fn seal(self, _answer: &[u8]) -> Result<Vec<u8>, Refusal> {
        Err(Refusal::Misuse)
    }
}

impl Custody {
    pub(super) fn new(_owner: [u8; 32], _digest: [u8; 32]) -> Self {
        Self { service: AgreementKey::generate(Curve::P256).expect("x") }
    }
    pub(super) fn service_key(&self) -> Key {
        self.service.key().clone()
    }
    pub(super) fn new_receiver(&mut self) -> Key {
        self.service.key().clone()
    }
    pub(super) fn bind(&mut self, _r: [u8; 32], _d: [u8; 32]) -> Result<(), Refusal> {
        Ok(())
    }
    pub(super) fn open(&mut self, _release: &[u8]) -> Result<Opened, Refusal> {
        Err(Refusal::NoReceiver)
    }
    pub(super) fn personalized(&mut self, _callers: Vec<Key>) {}
    pub(super) fn open_request(&mut self, _request: &[u8]) -> Result<Call, Refusal> {
        Err(Refusal::AwaitingRelease)
    }
}
