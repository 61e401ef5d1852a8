//! Who owns a package decides what may be in it (use-case draft section 2.1).

use api::{PackageName, RequestPlaced};
use keys::file;
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
