//! Who owns a package decides what may be in it (use-case draft section 2.1).

use api::{PackageName, RequestPlaced};
use keys::file;
use moc::store::BlobDigest;
use serde_json::json;
use suit::build::{Delivery, Name, Payload, Pd, Root, Ta};

use crate::{
    audience::Caller,
    bench::Bench,
    case3::{Owner, attest, compatibility, enrolled, placed, view},
    hostile::put,
};

#[tokio::test]
async fn a_package_of_the_tam_that_holds_personalization_data_is_refused() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let tam = tam(&bench);
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, tam.ta(1)).await;
    device.work().await;
    attest(&user, &id).await;
    device.work().await;

    let problem = put(&user, &id, PackageName::Pd, tam.pd(1)).await.refused(403, "untrusted");

    assert_eq!(problem.check.as_deref(), Some("package.owner"));
    assert!(problem.expected.unwrap().contains("draft section 2.1"));
    assert_eq!(problem.seen.as_deref(), Some("(PD) signed by the TAM"));
    assert!(view(&user, &id).await.failure.is_none(), "a refused package changes nothing");
}

#[tokio::test]
async fn the_signer_of_the_package_around_it_does_not_hide_whose_the_data_is() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let (tam, owner) = (tam(&bench), Owner::new());
    let id = case_4(&user).await;
    attest(&user, &id).await;
    device.work().await;

    for (data, check) in [(&tam, "package.owner"), (&Owner::new(), "owner")] {
        let package = ta_pd(&owner, data);
        let problem = put(&user, &id, PackageName::TaPd, package).await.refused(403, "untrusted");
        assert_eq!(problem.check.as_deref(), Some(check));
    }
    user.upload(&id, PackageName::TaPd, ta_pd(&owner, &owner)).await;
}

#[tokio::test]
async fn a_blob_that_no_deployment_needs_is_removed_and_one_that_is_needed_stays() {
    let bench = Bench::start().await;
    let (user, other) = (bench.tenant("acme").await, bench.tenant("other").await);
    let mut device = enrolled(&bench, "edge").await;
    let id = placed(&user, false).await.deployment;
    let envelope = Owner::new().ta(1);
    user.upload(&id, PackageName::Ta, envelope.clone()).await;
    device.work().await;
    let needed = BlobDigest::of(&envelope);
    let (alone, shared) = (keep(&user, b"one").await, keep(&user, b"both").await);
    bench.clock.advance_ms(DAYS_30 - 1);
    bench.moc.sweep_blobs().await.unwrap();
    let there = async |digest| bench.moc.store().blobs().len(digest).await.unwrap().is_some();
    assert!(there(alone).await && there(shared).await, "their time has not come");
    keep(&other, b"both").await;

    bench.clock.advance_ms(1);
    bench.moc.sweep_blobs().await.unwrap();

    assert!(!there(alone).await, "nobody needs it");
    assert!(there(shared).await, "somebody has it still");
    assert!(there(needed).await, "a deployment under way names it");
    keep(&user, b"one").await;
    assert!(there(alone).await, "it may come again");
    let late = bench.moc.store().blobs().put(b"nobody's").await.unwrap();
    bench.moc.sweep_blobs().await.unwrap();
    assert!(!there(late).await, "what broke off before it was anybody's");
}

async fn keep(by: &Caller, bytes: &[u8]) -> BlobDigest {
    let digest = BlobDigest::of(bytes);
    let path = api::path::blob(&digest.to_string());
    let answer = by.put(&path, "application/octet-stream", bytes.to_vec()).await;
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    digest
}

/// The default of `blob_unused_ms_max`.
const DAYS_30: u64 = 2_592_000_000;

/// Case 4 without UA: TA and PD in one package.
async fn case_4(user: &Caller) -> String {
    let asked = json!({
        "case": 4, "instance": "process", "hardware": ["SGX"], "with_ua": false, "emulated": true,
    });
    user.post("/v1/requests", &asked).await.expect::<RequestPlaced>(201).deployment
}

/// The Network M/OC as an owner of packages: with its TAM's own key.
fn tam(bench: &Bench) -> Owner {
    Owner { key: file::load(bench.dir.path().join("moc/keys/tam-esp256.pem")).unwrap() }
}

/// A package of two, signed by the first owner, whose data is the second one's.
fn ta_pd(owner: &Owner, of: &Owner) -> Vec<u8> {
    let name = |name| Name::new(name).unwrap();
    let ta = Ta::new(name("ta"), 1, compatibility(), Payload::integrated(b"ta"));
    let ta = ta.sign(&owner.key).unwrap();
    let pd = Pd::new(name("ta.pd"), 1, compatibility(), Payload::integrated(b"ciphertext"));
    let pd = pd.sign(&of.key).unwrap();
    let root = Root::new(name("ta.package"), 1, compatibility());
    let root = root.with(&ta, Delivery::Integrated).with(&pd, Delivery::Integrated);
    root.sign(&owner.key).unwrap().envelope
}
