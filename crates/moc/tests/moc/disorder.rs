//! A Broker that drops, delays, duplicates and reorders whatever passes through its hands.

use api::{PackageName, State};

use crate::{
    audience::Caller,
    bench::Bench,
    case3::{Owner, attest, enrolled, names, placed, view},
    sim::Sim,
};

const ROW: [&str; 4] = ["UA->REE", "TA->ConfidentialProcess", "att:TEEP-Agent", "PD->TA"];

//= teep 15.116: a Broker that drops, delays, duplicates and reorders causes no wrong state
#[tokio::test]
async fn disorder_on_the_way_never_breaks_the_order_of_the_figure() {
    for seed in 1..=12 {
        let bench = Bench::start().await;
        let user = bench.tenant("acme").await;
        let device = enrolled(&bench, "edge").await;
        let mut broker = Broker { device, chance: Chance(seed), heard: Vec::new() };
        let owner = Owner::new();
        let id = placed(&user, true).await.deployment;
        user.upload(&id, PackageName::Ua, owner.ua(1)).await;
        user.upload(&id, PackageName::Ta, owner.ta(1)).await;

        for round in 0..100 {
            broker.session(&bench).await;
            let view = view(&user, &id).await;
            let seen = names(&view);
            assert!(
                ROW.starts_with(&seen.iter().map(String::as_str).collect::<Vec<_>>()),
                "seed {seed}, round {round}: {seen:?}"
            );
            if view.state == State::Running {
                break;
            }
            assert_ne!(view.state, State::Failed, "seed {seed}: {:?}", view.failure);
            bring(&user, &id, &owner, &view.needs).await;
            bench.clock.advance_ms(60_000);
        }

        assert_eq!(names(&view(&user, &id).await), ROW, "seed {seed}");
    }
}

async fn bring(user: &Caller, id: &str, owner: &Owner, needs: &[api::Need]) {
    match needs {
        [api::Need::Nonce] => drop(attest(user, id).await),
        [api::Need::Pd] => user.upload(id, PackageName::Pd, owner.pd(1)).await,
        _ => {}
    }
}

struct Broker {
    device: Sim,
    chance: Chance,
    /// Every path and message that passed through.
    heard: Vec<(String, Vec<u8>)>,
}

impl Broker {
    /// One session, which may be cut anywhere and is mixed with older traffic.
    async fn session(&mut self, bench: &Bench) {
        let Some(ticket) = self.device.wake().await.and_then(|wake| wake.ticket) else { return };
        let path = api::path::tam_ticket(&ticket);
        let handle = self.device.policy_check();
        let mut message = Vec::new();
        loop {
            self.heard.push((path.clone(), message.clone()));
            if self.chance.one_in(6) {
                return;
            }
            if self.chance.one_in(3) {
                self.replay().await;
            }
            let answer = self.device.post(&path, message.clone()).await;
            if self.chance.one_in(4) {
                self.device.post(&path, message).await;
            }
            if self.chance.one_in(8) {
                bench.clock.advance_ms(1_000);
            }
            match answer.status {
                200 => {}
                other => return assert_eq!(other, 204),
            }
            match self.device.process(handle, &answer.body) {
                Some(next) => message = next,
                None => return,
            }
        }
    }

    async fn replay(&mut self) {
        let (path, message) = self.heard[self.chance.below(self.heard.len())].clone();
        self.device.post(&path, message).await;
    }
}

/// Repeatable chance.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}
