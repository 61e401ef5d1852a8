//! QueryResponses that answer nothing: hints, after which the TAM asks for itself.

use api::PackageName;
use cose::Signer as _;
use suit::ComponentId;
use teep::{
    Message, Numbering, Present, RequestedTc, Suite,
    envelope::{Outgoing, Protection, Signers},
    message::QueryResponse,
};

use crate::{
    bench::Bench,
    case3::{Owner, enrolled, names, placed, view},
    sim::AgentKeys,
};

/// It has no freshness, so it is no more than a hint: the TAM asks, and that session decides.
#[tokio::test]
async fn a_known_agent_that_asks_by_itself_is_asked_back_and_served() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let id = placed(&user, true).await.deployment;
    user.upload(&id, PackageName::Ua, owner.ua(1)).await;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    device.work().await;
    let component = ComponentId::in_tee(owner.key.key().thumbprint(), "ta").unwrap();
    let handle = device.request_ta(component.clone());

    let mut answer = device.post(api::path::TAM, hint(component, &device.keys)).await;

    assert_eq!(answer.status, 200);
    let asked = cose::Sign1::decode(&answer.body, cose::Tagging::Tagged).unwrap().payload.unwrap();
    let asked = Message::decode(asked, Numbering::V26).unwrap();
    assert!(asked.token().is_some(), "{asked:?}");
    while answer.status == 200 {
        let Some(message) = device.process(handle, &answer.body) else { break };
        answer = device.post(api::path::TAM, message).await;
    }
    assert_eq!(names(&view(&user, &id).await), ["UA->REE", "TA->ConfidentialProcess"]);
}

//= teep 15.103 (M): an unsolicited QueryResponse that is replayed has no effect
#[tokio::test]
async fn a_stranger_that_asks_by_itself_gets_an_empty_answer_and_a_repeated_hint_changes_nothing() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    let component = ComponentId::in_tee(owner.key.key().thumbprint(), "ta").unwrap();
    let stranger = AgentKeys::generate(cose::Algorithm::Esp256);

    let unknown = device.post(api::path::TAM, hint(component.clone(), &stranger)).await;
    let known = hint(component, &device.keys);
    let answers = [device.post(api::path::TAM, known.clone()).await.body];
    let again = device.post(api::path::TAM, known).await;

    assert_eq!(unknown.status, 204);
    // Each time it is asked anew, by another token, and nothing was installed or recorded.
    assert_ne!(answers[0], again.body);
    assert_eq!(names(&view(&user, &id).await), Vec::<String>::new());
}

/// An unsolicited QueryResponse that asks for a component.
fn hint(component: ComponentId, keys: &dyn Signers) -> Vec<u8> {
    let response = QueryResponse {
        selected_version: Some(0),
        requested_tc_list: vec![RequestedTc { component, present: Present::Nothing }],
        ..QueryResponse::default()
    };
    let message = Message::QueryResponse(response);
    let protection = Protection::Sign1(Suite::Esp256);
    Outgoing { message, numbering: Numbering::V26, protection }.seal(keys).unwrap()
}
