//! The log of decisions as its readers check it, with nothing but the audit key.

use api::{LogConsistency, LogPage, LogProof, PackageName, SignedCheckpoint};
use audit::{Checkpoint, Entry, Refused, receipt};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use cose::Signer as _;

use crate::{
    bench::Bench,
    case3::{Owner, attest, enrolled, placed},
};

fn decoded(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

/// The audit key as somebody got it at the first start.
fn key(bench: &Bench) -> cose::Key {
    keys::file::load(bench.dir.path().join("moc/keys/audit.pem")).unwrap().key().clone()
}

async fn checkpoint(bench: &Bench) -> Checkpoint {
    let signed: SignedCheckpoint = bench.operator.get(api::path::CHECKPOINT).await.expect(200);
    Checkpoint::verify(&decoded(&signed.checkpoint), &key(bench)).unwrap()
}

async fn leaves(bench: &Bench) -> Vec<Vec<u8>> {
    let mut leaves = Vec::new();
    let mut next = Some(0);
    while let Some(from) = next {
        let page = format!("{}&limit=2", api::path::entries(from));
        let page: LogPage = bench.operator.get(&page).await.expect(200);
        leaves.extend(page.entries.iter().map(|leaf| decoded(leaf)));
        next = page.next;
    }
    leaves
}

#[tokio::test]
async fn the_whole_log_makes_the_root_that_was_signed_also_after_a_restart() {
    let bench = Bench::start().await;
    let _user = bench.tenant("acme").await;
    let _device = enrolled(&bench, "edge").await;
    let before = checkpoint(&bench).await;

    let bench = bench.restart().await;
    let _other = bench.tenant("rival").await;
    let after = checkpoint(&bench).await;
    let leaves = leaves(&bench).await;

    assert_eq!(after.log, "http://moc.example/tam");
    assert_eq!(after.size, before.size + 1);
    assert_eq!(before.covers(leaves.iter().map(Vec::as_slice)), Ok(()));
    assert_eq!(after.covers(leaves.iter().map(Vec::as_slice)), Ok(()));
    let said: Vec<String> =
        leaves.iter().map(|leaf| Entry::decode(leaf).unwrap().decision).collect();
    assert_eq!(said, ["added", "added", "added", "attested", "added"]);
}

#[tokio::test]
async fn the_log_shows_that_it_grew_and_where_an_entry_is() {
    let bench = Bench::start().await;
    let before = checkpoint(&bench).await;
    let _user = bench.tenant("acme").await;
    let key = key(&bench);

    let grown: LogConsistency =
        bench.operator.get(&api::path::consistency(before.size)).await.expect(200);
    let receipt = decoded(&grown.receipt);
    let newer = receipt::verify_consistency(&receipt, &key, before.size, &before.root).unwrap();
    assert_eq!(newer, (grown.newer, checkpoint(&bench).await.root));
    let forked = receipt::verify_consistency(&receipt, &key, before.size, &[0; 32]);
    // A log of one entry is a node of every later one, so only the signature tells.
    assert_eq!(forked, Err(Refused::Signature("a receipt")));

    let proof: LogProof = bench.operator.get(&api::path::entry(1)).await.expect(200);
    let (entry, receipt) = (decoded(&proof.entry), decoded(&proof.receipt));
    assert_eq!(receipt::verify_inclusion(&receipt, &key, &entry).unwrap().index, 1);
    assert!(Entry::decode(&entry).unwrap().subject.starts_with("tenant/"));
}

#[tokio::test]
async fn what_is_not_in_the_log_is_refused() {
    let bench = Bench::start().await;

    bench.operator.get(&api::path::entry(99)).await.refused(404, "not-found");
    bench.operator.get("/v1/audit/entries/x").await.refused(404, "not-found");
    for wrong in ["0", "99"] {
        let path = format!("{}?from={wrong}", api::path::CONSISTENCY);
        bench.operator.get(&path).await.refused(400, "malformed");
    }
    for query in ["", "?from=x", "?from=1&more=2", "?from=1&from=1"] {
        let path = format!("{}{query}", api::path::CONSISTENCY);
        let problem = bench.operator.get(&path).await.refused(400, "malformed");
        assert_eq!(problem.check.as_deref(), Some("query"));
    }
}

#[tokio::test]
async fn a_network_user_gets_a_receipt_for_each_step_with_the_acting_partys_statement() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let rival = bench.tenant("rival").await;
    let mut device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    device.work().await;
    attest(&user, &id).await;
    device.work().await;
    user.upload(&id, PackageName::Pd, owner.pd(1)).await;
    device.work().await;

    let proofs: Vec<LogProof> = user.get(&api::path::proofs(&id)).await.expect(200);

    let key = key(&bench);
    let mut stated = Vec::new();
    for proof in &proofs {
        let (entry, receipt) = (decoded(&proof.entry), decoded(&proof.receipt));
        receipt::verify_inclusion(&receipt, &key, &entry).unwrap();
        let entry = Entry::decode(&entry).unwrap();
        assert_eq!(entry.subject, format!("deployment/{id}"));
        if let Some(statement) = &proof.statement {
            assert_eq!(entry.statement, Some(cose::sha256(&decoded(statement))));
            stated.push(entry.decision);
        }
    }
    assert_eq!(stated, ["TA->ConfidentialProcess", "att:TEEP-Agent", "PD->TA"]);
    rival.get(&api::path::proofs(&id)).await.refused(404, "not-found");
}
