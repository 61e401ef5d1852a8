//! The sequence diagram of a flow, drawn from the events that its parties told.

use std::fmt::Write as _;

use api::{Actor, Event, EventName};

use super::{super::Row, escaped};

/// Whose line it is, from left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Party {
    User,
    Moc,
    Broker,
    Ua,
    Agent,
    Ta,
}

/// One arrow.
struct Message {
    from: Party,
    to: Party,
    text: String,
}

/// Draws the flow; nothing when nothing happened.
pub(super) fn svg(row: &Row) -> String {
    let events: Vec<Event> = serde_json::from_value(row.ran.events.clone()).unwrap_or_default();
    if events.is_empty() {
        return String::new();
    }
    let groups: Vec<(&Event, Vec<Message>)> =
        events.iter().map(|event| (event, messages(event, row))).collect();
    let height = HEAD
        + groups.iter().map(|(_, messages)| GROUP_HEAD + STEP * messages.len() as f64).sum::<f64>()
        + 16.0;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Sequence of case {} on \
         {}\">",
        row.case,
        escaped(&row.ran_on)
    );
    frame(&mut svg, row, height);
    let begun = events[0].at_ms;
    let mut y = HEAD;
    for (number, (event, messages)) in groups.iter().enumerate() {
        let tall = GROUP_HEAD + STEP * messages.len() as f64;
        if number % 2 == 0 {
            rectangle(&mut svg, "band", 0.0, y, WIDTH, tall);
        }
        heading(&mut svg, event, y, begun);
        y += GROUP_HEAD;
        for message in messages {
            arrow(&mut svg, message, y + STEP / 2.0);
            y += STEP;
        }
    }
    svg.push_str("</svg>");
    svg
}

/// What went between the parties for one event.
fn messages(event: &Event, row: &Row) -> Vec<Message> {
    use Party::{Agent, Broker, Moc, Ta, Ua, User};
    let say = |from, to, text: &str| Message { from, to, text: text.to_owned() };
    let runs = |to| say(Agent, to, &format!("starts it ({})", row.instance));
    match (event.event, event.actor) {
        (EventName::AttestAgent, _) => vec![
            say(User, Moc, "nonce"),
            say(Moc, Agent, "QueryRequest: challenge of both nonces"),
            say(Agent, Moc, "QueryResponse: EAT and quote"),
            say(Moc, User, "result; the user appraises again"),
        ],
        (EventName::UaToRee, Actor::NetworkUser) => vec![
            say(User, Moc, "(UA)"),
            say(Moc, Broker, "the user's order, past TAM and Agent"),
            say(Broker, Ua, "checks, starts"),
        ],
        (EventName::UaToRee, _) if row.case == 1 => {
            vec![say(Agent, Broker, "UA, now that the TA has its data"), say(Broker, Ua, "starts")]
        }
        (EventName::UaToRee, _) => vec![
            say(User, Moc, &format!("({})", if row.case == 2 { "UA,TA" } else { "UA" })),
            say(Moc, Agent, "Update"),
            say(Agent, Broker, "action: install the UA"),
            say(Broker, Ua, "checks, starts"),
        ],
        (EventName::TaTo(_), _) => {
            let mut messages = match (row.case, row.with_ua && row.ran_on == "SGX") {
                (2, true) => vec![say(Ua, Agent, "RequestTA: the UA loads the TA")],
                (2, false) => Vec::new(),
                (3, true) => vec![
                    say(User, Moc, "(TA)"),
                    say(Ua, Agent, "RequestTA: the UA loads the TA"),
                    say(Moc, Agent, "Update"),
                ],
                _ => vec![say(User, Moc, "(TA)"), say(Moc, Agent, "Update")],
            };
            messages.push(runs(Ta));
            messages
        }
        (EventName::TaPdTo(_) | EventName::UaTaPdTo(_), _) => vec![
            say(User, Moc, &format!("{}, PD sealed to Agent", bundle(event.event))),
            say(Moc, Agent, "Update: ciphertext"),
            say(Agent, Ta, &format!("starts it ({}), hands over the data", row.instance)),
            say(Agent, User, "receipt, with the TA's service key"),
        ],
        (EventName::PdToTa, _) => vec![
            say(User, Moc, "PD sealed to the TA"),
            say(Moc, Ta, "Update: ciphertext, opened inside the TA"),
            say(Ta, User, "receipt"),
        ],
        (EventName::UaPdToTa, _) => vec![
            say(User, Moc, "(UA,PD) sealed to the TA"),
            say(Moc, Ta, "Update: ciphertext, opened inside the TA"),
            say(Ta, Broker, "hands the UA out"),
            say(Broker, Ua, "checks, starts"),
            say(Ta, User, "receipt"),
        ],
    }
}

fn bundle(event: EventName) -> &'static str {
    match event {
        EventName::UaTaPdTo(_) => "(UA,TA,PD)",
        _ => "(TA,PD)",
    }
}

/// The device with its two sides, and everybody's name and line.
fn frame(svg: &mut String, row: &Row, height: f64) {
    let (ree, tee) = (Party::Broker.x() - 62.0, Party::Agent.x() - 72.0);
    rectangle(svg, "ree", ree, 0.0, tee - ree - 6.0, height);
    rectangle(svg, "tee", tee, 0.0, WIDTH - tee, height);
    text(svg, "fine", ree + 8.0, 15.0, "start", "REE");
    text(svg, "fine", tee + 8.0, 15.0, "start", &format!("TEE: {}", row.ran_on));
    for party in Party::ALL {
        if party == Party::Ua && !row.with_ua {
            continue;
        }
        let x = party.x();
        rectangle(svg, "box", x - 54.0, 22.0, 108.0, 24.0);
        text(svg, "name", x, 38.0, "middle", party.name());
        let _written =
            write!(svg, "<line class=\"life\" x1=\"{x}\" y1=\"46\" x2=\"{x}\" y2=\"{height}\"/>");
    }
}

fn heading(svg: &mut String, event: &Event, y: f64, begun: u64) {
    text(svg, "event label", 10.0, y + 17.0, "start", &event.event.to_string());
    let actor = serde_json::to_value(event.actor).unwrap_or_default();
    let after = event.at_ms.saturating_sub(begun) as f64 / 1000.0;
    let fine = format!(
        "told by {}, +{after:.2} s, statement {}…, cause {}",
        actor.as_str().unwrap_or("nobody"),
        event.digest.get(..8).unwrap_or_default(),
        event.cause.as_deref().and_then(|cause| cause.get(..8)).unwrap_or("none"),
    );
    text(svg, "fine label", WIDTH - 10.0, y + 17.0, "end", &fine);
}

fn arrow(svg: &mut String, message: &Message, y: f64) {
    let (from, to) = (message.from.x(), message.to.x());
    let towards = if to > from { 1.0 } else { -1.0 };
    let tip = to - towards * 2.0;
    let _written = write!(
        svg,
        "<path class=\"arrow\" d=\"M{from} {y}H{}\"/>\
         <path class=\"head\" d=\"M{tip} {y}l{} -4.5v9z\"/>",
        tip - towards * 7.0,
        -towards * 9.0
    );
    text(svg, "label", f64::midpoint(from, to), y - 6.0, "middle", &message.text);
}

fn rectangle(svg: &mut String, class: &str, x: f64, y: f64, width: f64, height: f64) {
    let opacity = if class == "band" { " opacity=\"0.45\"" } else { "" };
    let _written = write!(
        svg,
        "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" \
         rx=\"4\"{opacity}/>"
    );
}

fn text(svg: &mut String, class: &str, x: f64, y: f64, anchor: &str, text: &str) {
    let _written = write!(
        svg,
        "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>",
        escaped(text)
    );
}

impl Party {
    const ALL: [Self; 6] = [Self::User, Self::Moc, Self::Broker, Self::Ua, Self::Agent, Self::Ta];

    const fn x(self) -> f64 {
        match self {
            Self::User => 70.0,
            Self::Moc => 290.0,
            Self::Broker => 480.0,
            Self::Ua => 610.0,
            Self::Agent => 780.0,
            Self::Ta => 960.0,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::User => "Network User",
            Self::Moc => "M/OC (TAM)",
            Self::Broker => "TEEP Broker",
            Self::Ua => "UA",
            Self::Agent => "TEEP Agent",
            Self::Ta => "TA",
        }
    }
}

const WIDTH: f64 = 1040.0;
const HEAD: f64 = 56.0;
const GROUP_HEAD: f64 = 26.0;
const STEP: f64 = 30.0;
