//! One agent that serves several TAMs, of which none sees or changes what another installed.

use channel::PrivateKey;
use channel::release::{self, Binding, Role};
use keys::SystemEntropy;
use suit::ComponentId;
use suit::report::{Conclusion, Reason};
use teep::Message;
use teep::message::{DataItems, QueryResponse, Update};

use crate::component;
use crate::support::*;

/// The TAMs of two operators, and a device with an application from the first.
struct Scene {
    tams: [Tam; 2],
    owner: Owner,
    device: Device,
    ta: suit::build::Built,
}

impl Scene {
    fn new() -> Self {
        let tams = [Tam::new(), Tam { uri: OTHER, ..Tam::new() }];
        let device = Device::serving(&[&tams[0], &tams[1]]);
        let owner = Owner::new();
        let ta = owner.ta(2, &component::echo());
        let to = attest(&device, &tams[0], &CHALLENGE);
        assert!(deploy(&device, &tams[0], &to, &[&ta.envelope]).is_success());
        Self { tams, owner, device, ta }
    }

    /// What a TAM is told of when it asks for everything.
    fn answer(&self, tam: &Tam) -> (QueryResponse<'static>, Vec<ComponentId>) {
        let to = attest(&self.device, tam, &CHALLENGE);
        let items = DataItems::TRUSTED_COMPONENTS.and(DataItems::SUIT_REPORTS);
        let query = tam.query(items, None).1;
        let session = connect_to(&self.device, tam.uri);
        let answer = self.device.tell(session, query).message.unwrap();
        let Message::QueryResponse(response) = open(&answer, &to.teep) else { panic!() };
        let listed = response.tc_list.iter().flatten().map(|one| one.component.clone());
        let listed = listed.collect();
        let suit_reports = response.suit_reports.iter().map(|one| one.to_vec().into()).collect();
        (QueryResponse { suit_reports, ..QueryResponse::default() }, listed)
    }
}

//= teep 15.118: a TAM does not see what another TAM installed
#[test]
fn what_one_tam_installed_is_in_no_answer_to_another() {
    let scene = Scene::new();
    let [first, second] = &scene.tams;

    let (own, listed) = scene.answer(first);
    assert!(listed.contains(&scene.ta.manifest_component));
    assert_eq!(own.suit_reports.len(), 1);

    let (others, listed) = scene.answer(second);
    assert_eq!(listed, [ComponentId::new([b"TEEP-Agent"]).unwrap()]);
    assert!(others.suit_reports.is_empty());
    // The same challenge, within the time in which it is one exchange for the same TAM.
    let seen = attest(&scene.device, first, &CHALLENGE);
    let unseen = attest(&scene.device, second, &CHALLENGE);
    assert_eq!(seen.claims.submods.tas().count(), 1);
    assert!(unseen.claims.submods.is_empty());
    let (_, renewal) = second.renewal(&CHALLENGE);
    let session = connect_to(&scene.device, second.uri);
    let answer = scene.device.tell(session, renewal).message.unwrap();
    let name = b"planner";
    assert!(!answer.windows(name.len()).any(|window| window == name));
}

//= teep 15.118: a TAM does not remove what another TAM installed, and learns nothing by trying
#[test]
fn what_one_tam_installed_another_cannot_remove() {
    let scene = Scene::new();
    let [first, second] = &scene.tams;
    let remove = |tam: &Tam, manifest: ComponentId| {
        let to = attest(&scene.device, tam, &CHALLENGE);
        let unneeded_manifest_list = vec![manifest];
        let update = Update { unneeded_manifest_list, ..Update::default() };
        let (token, update) = tam.update_of(update);
        let answer = scene.device.tell(to.session, update);
        verdict(&scene.device, &to, token, answer, &mut |action| panic!("{action:?}"))
    };
    let nothing = Owner::new().ta(1, &component::echo()).manifest_component;

    let tried = remove(second, scene.ta.manifest_component.clone());
    let absent = remove(second, nothing);

    assert!(tried.is_success() && absent.is_success());
    assert_eq!(scene.device.state(), "awaiting release");
    assert!(remove(first, scene.ta.manifest_component.clone()).is_success());
    assert_eq!(scene.device.state(), "none");
}

//= teep 15.118: a TAM does not replace what another TAM installed
#[test]
fn what_one_tam_installed_another_cannot_replace_until_it_is_gone() {
    let scene = Scene::new();
    let [first, second] = &scene.tams;
    let newer = scene.owner.ta(3, &component::echo());
    let package = scene.owner.package(3, &[&newer]);
    for envelope in [&newer.envelope, &package.envelope] {
        let to = attest(&scene.device, second, &CHALLENGE);
        let refused = deploy(&scene.device, second, &to, &[envelope]);

        let Conclusion::Failure { reason, .. } = refused.failure() else { panic!() };
        assert!(matches!(reason, Reason::ComponentUnauthorised | Reason::OperationFailed));
        let kept = attest(&scene.device, first, &CHALLENGE);
        let kept = kept.claims.submods.ta(scene.ta.manifest_component.parts()).unwrap();
        assert_eq!(kept.manifest.sequence_number, 2);
    }

    let gone = vec![scene.ta.manifest_component.clone()];
    let to = attest(&scene.device, first, &CHALLENGE);
    let (_, update) = first.update_of(Update { unneeded_manifest_list: gone, ..Update::default() });
    scene.device.tell(to.session, update);
    let to = attest(&scene.device, second, &CHALLENGE);
    assert!(deploy(&scene.device, second, &to, &[&newer.envelope]).is_success());
}

//= teep 15.118: a TAM gives no data to what another TAM installed
#[test]
fn the_application_of_one_tam_takes_no_data_from_another() {
    let scene = Scene::new();
    let [first, second] = &scene.tams;
    let to = attest(&scene.device, first, &CHALLENGE);
    let caller = PrivateKey::generate(&mut SystemEntropy);
    let entry = to.claims.submods.ta(scene.ta.manifest_component.parts()).unwrap();
    let binding = Binding {
        owner: scene.owner.thumbprint(),
        manifest_digest: scene.ta.digest.bytes().try_into().unwrap(),
        eat_digest: to.eat_digest,
        role: Role::Ta,
    };
    let (callers, entropy) = ([caller.public().clone()], &mut SystemEntropy);
    let (key, receiver) = (&scene.owner.key, &entry.receivers[0]);
    let sealed = release::seal(key, receiver, &binding, "edge-7", &callers, b"data", entropy);
    let sealed = sealed.unwrap().0;
    let pd = scene.owner.pd(1, &sealed);

    let second_to = attest(&scene.device, second, &CHALLENGE);
    let refused = deploy(&scene.device, second, &second_to, &[&pd.envelope]);

    assert!(!refused.is_success());
    assert_eq!(scene.device.state(), "awaiting release");
    assert!(deploy(&scene.device, first, &to, &[&pd.envelope]).is_success());
    assert_eq!(scene.device.state(), "released");
}

/// The index says from whom things came: it is the same after a restart.
#[test]
fn a_restart_does_not_mix_what_tams_installed() {
    let Scene { tams, device, ta, owner } = Scene::new();
    let scene = Scene { device: device.restarted(), tams, ta, owner };

    let (_, own) = scene.answer(&scene.tams[0]);
    let (_, others) = scene.answer(&scene.tams[1]);

    assert!(own.contains(&scene.ta.manifest_component));
    assert_eq!(others.len(), 1);
}

const OTHER: &str = "http://other.example/tam";
