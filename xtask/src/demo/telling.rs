//! How the story reads on a terminal.

use std::{path::Path, time::Duration};

use anstream::println;
use anstyle::{AnsiColor, Style};

use super::{Refused, Story};
use crate::run::{DIM, GREEN, RED};

const HEAD: Style = AnsiColor::Cyan.on_default().bold();
const BOLD: Style = Style::new().bold();

pub(super) fn building() {
    println!("{DIM}Building the programs and the Trusted Application …{DIM:#}");
}

pub(super) fn opening(built: Duration) {
    let took = built.as_secs_f64();
    println!("{DIM}Built in {took:.1} s. Everything below happens on loopback,{DIM:#}");
    println!("{DIM}each party in its own process.{DIM:#}\n");
}

pub(super) fn scene(text: &str) {
    println!("{HEAD}▸{HEAD:#} {text}");
}

pub(super) fn tell(story: &Story, took: Duration, kept: Option<&Path>) {
    sequence(story);
    answer(story);
    cases(story);
    held(story);
    for (number, refused) in (1..).zip(&story.refusals) {
        refusal(number, refused);
    }
    println!("\n{DIM}The running part took {:.1} s.{DIM:#}", took.as_secs_f64());
    match kept {
        Some(kept) => {
            println!("Keys, databases, captured messages and logs are in {}", kept.display());
            println!("Look into any file of it, for example the Agent's Evidence:");
            let message = kept.join("devices/edge-1/captured/002-agent-to-tam.teep.cbor");
            println!("  {BOLD}target/debug/tamarack inspect {}{BOLD:#}", message.display());
        }
        None => println!("{DIM}Keep everything for a look: cargo demo --keep DIR{DIM:#}"),
    }
}

fn sequence(story: &Story) {
    headline("Load sequence (draft figure 4: case 3, confidential process, SGX, with UA)");
    for (number, event) in (1..).zip(&story.load_sequence) {
        println!("  {number}. {GREEN}{event}{GREEN:#}");
    }
    headline("Time of each phase");
    for (name, ms) in &story.phase_order {
        println!("  {ms:>6} ms  {name}");
    }
}

fn answer(story: &Story) {
    headline("The Trusted Application's answer, opened by the vehicle");
    let route = &story.result;
    println!("  from home to work: {:.1} min, {} m", route.minutes, route.length_m);
    println!("  by {}", route.streets.join(", "));
    for habit in &route.habits {
        println!("  {GREEN}✓{GREEN:#} {habit}");
    }
    println!(
        "  {DIM}Only the driver's own data says what `home`, `work` and these habits are.{DIM:#}"
    );
}

fn cases(story: &Story) {
    headline("The other packaging cases (draft figures 2, 3, 5 and 6), on the same device");
    for (case, events) in &story.cases {
        println!("  {GREEN}✓{GREEN:#} case {case}  {}", events.join(", "));
    }
    println!("  {DIM}Every row of the figures, with diagrams: tamarack matrix --html FILE{DIM:#}");
}

fn held(story: &Story) {
    headline("The same data in different hands");
    let held = &story.held;
    println!("  Network User         {}…", held.by_the_user);
    println!(
        "  M/OC and Broker      {}… {DIM}({} bytes, sealed){DIM:#}",
        held.by_the_operator, held.sealed_bytes
    );
    println!("  {GREEN}✓{GREEN:#} searched and not found: {}", held.searched.join(", "));
    println!("  {RED}!{RED:#} {}", story.caveat);
}

fn refusal(number: u32, refused: &Refused) {
    headline(&format!("Refusal {number}: {}", refused.experiment));
    let reason = &refused.refusal;
    println!("  {RED}refused{RED:#} by the {}, before any Personalization Data moved", refused.by);
    for (name, value) in [
        ("check", &reason.check),
        ("expected", &reason.expected),
        ("seen", &reason.seen),
        ("to fix by", &reason.owner),
        ("remedy", &reason.remedy),
    ] {
        println!("  {name:>10}  {value}");
    }
}

fn headline(text: &str) {
    println!("\n{HEAD}{text}{HEAD:#}");
}
