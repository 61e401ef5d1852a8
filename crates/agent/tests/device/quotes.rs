//! Scarce quotes: who shares one, who waits, who needs none, and what an Agent does without.

use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use agent::attester::{Attester, Channel, Fault, Problem, Unavailable};
use cose::Accept;
use device::broker::Request;
use device::frame::{self, Broken};
use device::tee::{self, Description, Quote, SealingKey};
use rats::evidence::Evidence;
use teep::message::DataItems;
use teep::{ErrCode, Message};

use crate::support::{CHALLENGE, Device, Tam, attest, connect, open};

//= EV-IF-1 (M): one quote for each exchange, however often it is asked for
#[test]
fn a_challenge_that_is_repeated_gets_the_same_quote() {
    let (tam, tee) = (Tam::new(), Arc::new(Hardware::default()));
    let device = Device::over(&tam, Arc::clone(&tee) as Arc<dyn Attester>);

    let first = attest(&device, &tam, &CHALLENGE);
    let again = attest(&device, &tam, &CHALLENGE);
    let other = attest(&device, &tam, &[0x5b; 64]);

    assert_eq!(first.eat_digest, again.eat_digest);
    assert_ne!(first.eat_digest, other.eat_digest);
    assert_eq!(tee.quotes.load(Ordering::SeqCst), 2);
}

#[test]
fn a_renewal_needs_no_quote_and_waits_for_nobody() {
    let (tam, tee) = (Tam::new(), Arc::new(Hardware::default()));
    let device = Device::over(&tam, Arc::clone(&tee) as Arc<dyn Attester>);
    let enrolled = attest(&device, &tam, &CHALLENGE);
    let entered = tee.close();
    let (waiting, renewing) = (connect(&device), connect(&device));
    let (_, query) = tam.query(DataItems::ATTESTATION, Some(&[0x5b; 64]));
    let (token, renewal) = tam.renewal(&[0x5c; 64]);

    thread::scope(|scope| {
        let slow = scope.spawn(|| device.tell(waiting, query));
        entered.recv().unwrap();

        let answer = device.tell(renewing, renewal).message.unwrap();

        assert!(!slow.is_finished());
        let Message::QueryResponse(response) = open(&answer, &enrolled.teep) else { panic!() };
        assert_eq!(response.token, Some(token));
        let renewed = Evidence::decode(&response.attestation_payload.unwrap().bytes).unwrap();
        assert_eq!(renewed.hardware, None);
        let eat = rats::eat::verify(&renewed.eat, &enrolled.evidence, &Accept::CURRENT).unwrap();
        assert_eq!(eat.get().claims.eat_nonce.as_ref().unwrap().as_bytes(), [0x5c; 64]);
        assert_eq!(eat.get().claims.receivers, [], "nothing can be released to a renewal");
        assert_eq!(tee.quotes.load(Ordering::SeqCst), 1);

        tee.open();
        assert!(slow.join().unwrap().message.is_some());
    });
    assert_eq!(tee.quotes.load(Ordering::SeqCst), 2);
}

#[test]
fn an_agent_whose_tee_fails_stays_up_and_says_why_until_it_works_again() {
    let path = std::path::Path::new("/dev/sev-guest");
    let faults: [(Unavailable, &str); 6] = [
        (Broken::Ended.into(), "start the device again"),
        (Fault::new(path, Problem::Absent).into(), "run the Agent inside the TEE"),
        (Fault::new(path, Problem::Denied).into(), "give the Agent's user read and write access"),
        (Fault::new(path, Problem::Firmware(0x16)).into(), "0x16"),
        (
            Fault::new(path, Problem::Length { expected: 1184, seen: 7 }).into(),
            "it gave 7 bytes where 1184 are the least",
        ),
        (Unavailable::TooMany(32), "ask again later"),
    ];
    let (tam, tee) = (Tam::new(), Arc::new(Hardware::default()));
    let device = Device::over(&tam, Arc::clone(&tee) as Arc<dyn Attester>);
    let teep = attest(&device, &tam, &CHALLENGE).teep;
    assert_eq!(device.description()["tee"]["trouble"], serde_json::Value::Null);

    for (number, (fault, remedy)) in (0_u8..).zip(faults) {
        *tee.fault.lock().unwrap() = Some(fault.clone());
        let session = connect(&device);
        let (_, query) = tam.query(DataItems::ATTESTATION, Some(&[number; 64]));
        let answer = device.tell(session, query).message.unwrap();

        let Message::Error(error) = open(&answer, &teep) else { panic!("{fault:?}") };
        assert_eq!(error.err_code, ErrCode::TemporaryError, "{fault:?}");
        let trouble = device.description()["tee"]["trouble"].as_str().unwrap().to_owned();
        assert!(trouble.contains(remedy), "{trouble}");

        *tee.fault.lock().unwrap() = None;
        attest(&device, &tam, &[number; 64]);
        assert_eq!(device.description()["tee"]["trouble"], serde_json::Value::Null);
    }
}

#[test]
fn an_agent_whose_emulator_is_killed_stays_up_and_says_so() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let emulator = thread::spawn(move || serve_until_a_quote(theirs));
    let (tam, tee) = (Tam::new(), Channel::open(ours).unwrap());
    let device = Device::over(&tam, Arc::new(tee));
    let session = connect(&device);
    let (_, query) = tam.query(DataItems::ATTESTATION, Some(&CHALLENGE));

    let _no_evidence = device.ask(Request::ProcessTeepMessage { session, message: query });

    emulator.join().unwrap();
    for _ in 0..2 {
        let trouble = device.description()["tee"]["trouble"].as_str().unwrap().to_owned();
        let said = "the channel to the TEE is broken: start the device again";
        assert!(trouble.starts_with(said), "{trouble}");
    }
}

/// An emulator that is killed at the first quote.
fn serve_until_a_quote(mut agent: UnixStream) {
    let mut count = 0;
    while let Some(request) = frame::receive::<tee::Request>(&mut agent).unwrap() {
        let reply = match request {
            tee::Request::Describe => tee::Reply::Description(Hardware::default().description),
            tee::Request::SealingKey { label } => {
                tee::Reply::SealingKey(SealingKey::new(cose::sha256(label.as_bytes())))
            }
            tee::Request::CounterIncrement | tee::Request::CounterRead => {
                count += u64::from(request == tee::Request::CounterIncrement);
                tee::Reply::Counter { value: count, rollable: true }
            }
            tee::Request::Quote { .. } => return,
            other => panic!("{other:?}"),
        };
        frame::send(&mut agent, &reply).unwrap();
    }
}

/// A TEE that can be held, and that can fail.
struct Hardware {
    description: Description,
    fault: Mutex<Option<Unavailable>>,
    quotes: AtomicUsize,
    /// Who is told of everybody who waits, while the TEE is held.
    held: Mutex<Option<Sender<()>>>,
    moved: Condvar,
}

impl Default for Hardware {
    fn default() -> Self {
        Self {
            description: Description {
                family: "SEV-SNP".to_owned(),
                hwmodel: b"test".to_vec(),
                hwversion: "1".to_owned(),
                oemid: vec![0x22; 16],
                ueid: [&[1][..], &[0x11; 32]].concat(),
                interface: "test".to_owned(),
            },
            fault: Mutex::default(),
            quotes: AtomicUsize::new(0),
            held: Mutex::default(),
            moved: Condvar::new(),
        }
    }
}

impl Hardware {
    /// Gives no quote before it is opened, and tells who waits.
    fn close(&self) -> Receiver<()> {
        let (sender, receiver) = channel();
        *self.held.lock().unwrap() = Some(sender);
        receiver
    }

    fn open(&self) {
        *self.held.lock().unwrap() = None;
        self.moved.notify_all();
    }
}

impl Attester for Hardware {
    fn description(&self) -> &Description {
        &self.description
    }

    fn quote(&self, report_data: [u8; 64]) -> Result<Quote, Unavailable> {
        let held = self.held.lock().unwrap();
        if let Some(told) = &*held {
            told.send(()).unwrap();
        }
        drop(self.moved.wait_while(held, |held| held.is_some()).unwrap());
        if let Some(fault) = self.fault.lock().unwrap().clone() {
            return Err(fault);
        }
        self.quotes.fetch_add(1, Ordering::SeqCst);
        let media_type = rats::evidence::SEV_SNP_REPORT.to_owned();
        Ok(Quote { media_type, evidence: report_data.to_vec(), aux: None })
    }

    fn sealing_key(&self, label: &str) -> Result<SealingKey, Unavailable> {
        Ok(SealingKey::new(cose::sha256(label.as_bytes())))
    }
}
