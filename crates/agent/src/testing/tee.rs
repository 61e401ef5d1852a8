//! A TEE in the memory of a test.

use std::sync::Mutex;

use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};

use crate::attester::{Attester, Counter, Unavailable};

/// Gives quotes that say nothing but what they cover.
pub(crate) struct SoftwareTee {
    description: Description,
    counter: Mutex<u64>,
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
        }
    }
}

impl Attester for SoftwareTee {
    fn description(&self) -> &Description {
        &self.description
    }

    fn quote(&self, report_data: [u8; REPORT_DATA_BYTES]) -> Result<Quote, Unavailable> {
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
}
