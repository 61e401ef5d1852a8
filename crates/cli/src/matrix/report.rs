//! The matrix as a page: the figures' rows in a table, and a sequence diagram for each flow.

mod diagram;

use std::fmt::Write as _;

use super::{Outcome, Row};

/// One self-contained file: no script, no font, no picture from elsewhere.
pub(crate) fn html(outcome: &Outcome) -> String {
    let mut page = String::new();
    let (passed, total) = (outcome.passed, outcome.flows.len());
    let _written = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>Tamarack: figures 2 to 6, {passed} of {total}</title>\
         <style>{STYLE}</style></head><body><main>\
         <h1>Figures 2 to 6 of the use-case draft, on this machine</h1>\
         <p class=\"lead\"><b>{passed} of {total}</b> flows went as the figures say, in {:.1} s. \
         What happened is told by the parties that acted; each event links to the one before by \
         the digest of the actor's statement.</p><p class=\"caveat\">{}</p>",
        outcome.took_ms as f64 / 1000.0,
        escaped(outcome.caveat)
    );
    grid(&mut page, outcome);
    for row in &outcome.flows {
        flow(&mut page, row);
    }
    if !outcome.variants.is_empty() {
        page.push_str(
            "<h1>Beyond the figures: SEV-ES</h1><p class=\"lead\">This hardware attests at launch, \
             to the Network User who launches the guest: the launch measurement is the \
             attestation, and the user's secret is injected before boot goes on. What the guest \
             says later it proves by that secret.</p>",
        );
    }
    for row in &outcome.variants {
        flow(&mut page, row);
    }
    page.push_str("</main></body></html>\n");
    page
}

fn grid(page: &mut String, outcome: &Outcome) {
    page.push_str("<table class=\"grid\"><thead><tr><th>Instance</th><th>Hardware</th>");
    for (case, packages) in (1..).zip(PACKAGES) {
        let _written = write!(page, "<th>Case {case}<br><small>{packages}</small></th>");
    }
    page.push_str("</tr></thead><tbody>");
    for instance in ["process", "container", "vm"] {
        for hardware in ["TrustZone", "SGX", "SEV-SNP", "CCA", "TDX"] {
            let fits = |row: &&Row| row.instance == instance && row.ran_on == hardware;
            if !outcome.flows.iter().any(|row| fits(&row)) {
                continue;
            }
            let _written = write!(page, "<tr><th>{instance}</th><th>{hardware}</th>");
            for case in 1..=5 {
                page.push_str("<td>");
                for row in outcome.flows.iter().filter(fits).filter(|row| row.case == case) {
                    let (class, mark) = mark(row);
                    let ua = match (row.case, row.with_ua) {
                        (3 | 4, true) => " with UA",
                        (3 | 4, false) => " no UA",
                        _ => "",
                    };
                    let _written = write!(
                        page,
                        "<a class=\"{class}\" href=\"#{}\">{mark}{ua} <small>{:.1} s</small></a>",
                        anchor(row),
                        row.ran.ms as f64 / 1000.0
                    );
                }
                page.push_str("</td>");
            }
            page.push_str("</tr>");
        }
    }
    page.push_str("</tbody></table>");
}

fn flow(page: &mut String, row: &Row) {
    let (class, mark) = mark(row);
    let ua = if row.with_ua { "with UA" } else { "without UA" };
    let written_as = match row.hardware == row.ran_on {
        true => row.hardware.clone(),
        false => format!("{} (the figure writes {})", row.ran_on, row.hardware),
    };
    let _written = write!(
        page,
        "<section id=\"{}\"><h2><span class=\"{class}\">{mark}</span> Case {}, {} on {}, {ua}</h2>\
         <p class=\"row\">Figure {}: <code>{{{}}}</code></p><dl>",
        anchor(row),
        row.case,
        row.instance,
        escaped(&written_as),
        row.figure,
        escaped(&row.expected.join(", ")),
    );
    let emulated = match row.ran.emulated {
        Some(true) => "emulated: the trust anchor is an emulator's",
        Some(false) => "real",
        None => "unknown",
    };
    let answered = match row.ran.answered {
        Some(true) => "the TA's answer to a vehicle shows the released data",
        Some(false) => "the TA answered without the data",
        None => "no UA carries requests",
    };
    let canary = match (row.ran.canary.is_empty(), row.ran.load_sequence.is_empty()) {
        (true, false) => {
            "the operator's files, logs, traffic and memory do not hold the data".into()
        }
        (true, true) => "not searched".to_owned(),
        (false, _) => format!("FOUND: {}", row.ran.canary.join("; ")),
    };
    let isolation = row.ran.isolation.join(", ");
    for (name, text) in [
        ("Packages", row.packages.join(" ")),
        ("Channel ends at", row.secure_channel_end.clone()),
        ("Hardware", emulated.to_owned()),
        (
            "Isolation",
            if isolation.is_empty() { "by the manifest's class".into() } else { isolation },
        ),
        ("Use", answered.to_owned()),
        ("Canary", canary),
    ] {
        let _written = write!(page, "<dt>{name}</dt><dd>{}</dd>", escaped(&text));
    }
    page.push_str("</dl>");
    if let Some(why) = &row.ran.why {
        let _written = write!(page, "<p class=\"why\">{}</p>", escaped(why));
    }
    page.push_str(&diagram::svg(row));
    phases(page, row);
    page.push_str("</section>");
}

/// Each phase as a bar of its share.
fn phases(page: &mut String, row: &Row) {
    let total: u64 = row.ran.phases.iter().map(|(_, ms)| *ms).sum();
    if total == 0 {
        return;
    }
    page.push_str("<table class=\"phases\"><tbody>");
    for (name, ms) in &row.ran.phases {
        let share = 100.0 * *ms as f64 / total as f64;
        let _written = write!(
            page,
            "<tr><td>{}</td><td>{ms} ms</td><td><i style=\"width:{share:.1}%\"></i></td></tr>",
            escaped(name)
        );
    }
    page.push_str("</tbody></table>");
}

fn mark(row: &Row) -> (&'static str, &'static str) {
    match row.ran.ok {
        true => ("ok", "✓"),
        false => ("no", "✗"),
    }
}

fn anchor(row: &Row) -> String {
    let ua = if row.with_ua { "-ua" } else { "" };
    let variant = if row.variant { "-launched" } else { "" };
    format!("case-{}-{}-{}{variant}{ua}", row.case, row.instance, row.hardware.to_lowercase())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const PACKAGES: [&str; 5] =
    ["(UA,TA,PD)", "(UA,TA) (PD)", "(TA) (PD) [(UA)]", "(TA,PD) [(UA)]", "(UA,PD) (TA)"];

const STYLE: &str = include_str!("report.css");

#[cfg(test)]
mod tests {
    use stage::Ran;

    use super::*;

    #[test]
    fn text_of_others_stays_text() {
        let flow = stage::flows().remove(0);
        let ran = Ran::not_run("<script>alert(1)</script>".to_owned());
        let outcome = Outcome {
            flows: vec![Row::new(flow, ran)],
            variants: Vec::new(),
            passed: 0,
            took_ms: 1,
            caveat: "a < b",
        };

        let page = html(&outcome);

        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert!(!page.contains("<script"), "no script, whoever wrote it");
        assert!(page.contains("a &lt; b"));
        assert!(page.contains("href=\"#case-1-process-trustzone-ua\""));
    }
}
