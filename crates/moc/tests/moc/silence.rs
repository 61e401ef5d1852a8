//! What the M/OC must never write into its log.

use std::{
    io,
    sync::{Arc, Mutex},
};

use api::PackageName;
use tracing_subscriber::{
    Layer as _, filter::Targets, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::{
    bench::Bench,
    case3::{NONCE_TEXT, Owner, attest, placed},
    sim::Sim,
};

//= teep 14.48 (S): logs hold codes and ids, no Evidence, keys or Personalization Data
//= rats 11.32 (M): raw Evidence is never logged
//= rats 11.32 (M): raw Evidence is never logged
#[tokio::test]
async fn the_log_of_a_whole_deployment_holds_no_secret_and_no_evidence() {
    let log = Log::default();
    let targets = Targets::new().with_target("moc", tracing::Level::TRACE);
    let layer = fmt::layer().with_ansi(false).with_writer(log.clone()).with_filter(targets);
    // For all tests of this program: what they write is searched as well.
    tracing_subscriber::registry().with(layer).init();
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let added = bench.device("edge").await;
    let mut device = Sim::new(&bench, &added);
    let owner = Owner::new();

    let mut tickets = vec![added.enrolment_ticket.clone()];
    tickets.extend(device.work().await.ticket);
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    tickets.extend(device.work().await.ticket);
    attest(&user, &id).await;
    tickets.extend(device.work().await.ticket);
    user.upload(&id, PackageName::Pd, owner.pd(1)).await;
    tickets.extend(device.work().await.ticket);
    device.post(api::path::TAM, b"nonsense".to_vec()).await;

    let text = log.text();
    assert!(text.contains("step done") && text.contains("a message was dropped"), "{text}");
    assert_eq!(tickets.len(), 5);
    for secret in tickets.iter().map(String::as_str).chain(["tamarack-", NONCE_TEXT, "ciphertext"])
    {
        assert!(!text.contains(secret), "{secret}");
    }
    // Identifiers and digests have 32 bytes at most; more than that in a row is content.
    for message in &device.sent {
        for window in message.chunks(48).filter(|window| window.len() == 48) {
            let hexadecimal: String = window.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(!text.contains(&hexadecimal));
            assert!(!text.contains(&format!("{window:?}")[1..40]));
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> fmt::MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
