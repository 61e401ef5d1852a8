//! A TEE in the memory of a test.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Condvar, Mutex};

use device::frame::Broken;
use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};

use crate::attester::{Attester, Counter, Unavailable};

/// Gives quotes that say nothing but what they cover.
pub(crate) struct SoftwareTee {
    description: Description,
    counter: Mutex<u64>,
    quotes: AtomicUsize,
    fails: AtomicBool,
    /// Who asks for a quote says so, and waits.
    gate: Option<Sender<()>>,
    held: Mutex<bool>,
    opened: Condvar,
    /// What the one register holds, where there is one.
    register: Option<Mutex<Vec<u8>>>,
}

impl SoftwareTee {
    pub(crate) fn new() -> Self {
        let mut ueid = vec![1];
        ueid.extend([0x11; 32]);
        Self {
            description: Description {
                family: "SGX".to_owned(),
                hwmodel: b"test".to_vec(),
                hwversion: "1".to_owned(),
                oemid: vec![0x22; 16],
                ueid,
                interface: "test".to_owned(),
            },
            counter: Mutex::new(0),
            quotes: AtomicUsize::new(0),
            fails: AtomicBool::new(false),
            gate: None,
            held: Mutex::new(false),
            opened: Condvar::new(),
            register: None,
        }
    }

    /// One with a register as of TDX.
    pub(crate) fn with_register() -> Self {
        Self { register: Some(Mutex::new(vec![0; 48])), ..Self::new() }
    }

    /// One that gives no quote before it is let go, and tells who asks.
    pub(crate) fn held() -> (Self, Receiver<()>) {
        let (sender, receiver) = channel();
        (Self { gate: Some(sender), held: Mutex::new(true), ..Self::new() }, receiver)
    }

    pub(crate) fn let_go(&self) {
        *self.held.lock().unwrap() = false;
        self.opened.notify_all();
    }

    /// How many quotes it has made.
    pub(crate) fn quotes(&self) -> usize {
        self.quotes.load(Ordering::SeqCst)
    }

    /// Whether it is broken.
    pub(crate) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }
}

impl Attester for SoftwareTee {
    fn description(&self) -> &Description {
        &self.description
    }

    fn quote(&self, report_data: [u8; REPORT_DATA_BYTES]) -> Result<Quote, Unavailable> {
        if let Some(gate) = &self.gate {
            let _ = gate.send(());
            let held = self.held.lock().unwrap();
            drop(self.opened.wait_while(held, |held| *held).unwrap());
        }
        if self.fails.load(Ordering::SeqCst) {
            return Err(Broken::Ended.into());
        }
        self.quotes.fetch_add(1, Ordering::SeqCst);
        let media_type = rats::evidence::SGX_QUOTE.to_owned();
        Ok(Quote { media_type, evidence: report_data.to_vec(), aux: None })
    }

    fn sealing_key(&self, label: &str) -> Result<SealingKey, Unavailable> {
        Ok(SealingKey::new(cose::sha256(label.as_bytes())))
    }

    fn counter(&self) -> Result<Option<Counter>, Unavailable> {
        let value = *self.counter.lock().unwrap();
        Ok(Some(Counter { value, rollable: true }))
    }

    fn count(&self) -> Result<Option<Counter>, Unavailable> {
        let mut counter = self.counter.lock().unwrap();
        *counter += 1;
        Ok(Some(Counter { value: *counter, rollable: true }))
    }

    fn extend(&self, _: u64, digest: &[u8]) -> Result<(), Unavailable> {
        let register = self.register.as_ref().ok_or_else(|| Unavailable::lacks("a register"))?;
        if self.fails.load(Ordering::SeqCst) {
            return Err(Broken::Ended.into());
        }
        let mut register = register.lock().unwrap();
        *register = cose::sha384(&[register.as_slice(), digest].concat()).to_vec();
        Ok(())
    }

    fn read(&self, _: u64) -> Result<Vec<u8>, Unavailable> {
        let register = self.register.as_ref().ok_or_else(|| Unavailable::lacks("a register"))?;
        Ok(register.lock().unwrap().clone())
    }
}
