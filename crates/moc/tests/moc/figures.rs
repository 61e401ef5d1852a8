//! What the figures of the draft do not show, and packages of another case: refused with the place
//! in the draft.

use api::{Need, PackageName};
use serde_json::json;

use crate::{
    bench::Bench,
    case3::{Owner, enrolled, placed, view},
    hostile::put,
};

#[tokio::test]
async fn a_request_for_a_cell_that_no_figure_has_is_refused_with_its_figure() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let _device = enrolled(&bench, "edge").await;
    for (case, instance, hardware, with_ua, figure) in [
        (3, "vm", "SGX", true, "figure 4"),
        (1, "vm", "TrustZone", true, "figure 2"),
        (5, "process", "TDX", true, "figure 6"),
        (4, "process", "CCA", false, "figure 5"),
        (1, "process", "SGX", false, "figure 2"),
        (2, "process", "SGX", false, "figure 3"),
    ] {
        let asked = json!({
            "case": case, "instance": instance, "hardware": [hardware], "with_ua": with_ua,
        });

        let answer = user.post(api::path::REQUESTS, &asked).await;

        let problem = answer.refused(422, "unsupported");
        assert_eq!(problem.check.as_deref(), Some("case"));
        let seen = problem.seen.unwrap();
        assert!(seen.contains(figure), "case {case}, {instance} on {hardware}: {seen}");
        assert!(problem.remedy.unwrap().contains("figures 2 to 6"));
    }
}

#[tokio::test]
async fn a_package_of_another_case_is_refused_with_the_section_of_the_own() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let _device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let id = placed(&user, false).await.deployment;

    for package in [PackageName::UaTa, PackageName::UaTaPd, PackageName::TaPd, PackageName::UaPd] {
        let problem = put(&user, &id, package, owner.ta(1)).await.refused(409, "conflict");

        assert_eq!(problem.check.as_deref(), Some("plan"));
        let expected = "a package of case 3: (TA) (PD) (draft section 4.3)";
        assert_eq!(problem.expected.as_deref(), Some(expected));
        assert_eq!(problem.seen.as_deref(), Some(package.figure()));
    }
    assert_eq!(view(&user, &id).await.needs, [Need::Ta], "the deployment goes on");
}

#[tokio::test]
async fn a_package_without_one_of_its_parts_is_refused_with_its_section() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let _device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let asked = json!({
        "case": 2, "instance": "process", "hardware": ["SGX"], "with_ua": true, "emulated": true,
    });
    let placed: api::RequestPlaced = user.post(api::path::REQUESTS, &asked).await.expect(201);
    let id = placed.deployment;

    // The UA's manifest alone, and no manifest at all, under the name of both.
    for envelope in [owner.ua(1), owner.ta(1)] {
        let answer = put(&user, &id, PackageName::UaTa, envelope).await;

        let problem = answer.refused(422, "unsupported");
        assert_eq!(problem.check.as_deref(), Some("package.parts"));
        let expected = "(UA,TA), as draft section 4.2 says";
        assert_eq!(problem.expected.as_deref(), Some(expected));
    }
    assert_eq!(view(&user, &id).await.needs, [Need::UaTa]);
}
