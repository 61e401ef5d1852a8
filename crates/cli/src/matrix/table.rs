//! The matrix as text: case by hardware and instance type.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::{Outcome, Row};

/// A flow that is over.
pub(crate) fn line(row: &Row, done: usize, total: usize) -> String {
    let (style, mark) = mark(row);
    let ua = if row.with_ua { "with UA" } else { "no UA" };
    let mut text = format!(
        "{style}{mark}{style:#} {done:>2}/{total} case {} {:<9} {:<9} {ua:<7} {:>6.1} s",
        row.case,
        row.instance,
        row.hardware,
        seconds(row.ran.ms),
    );
    for (name, ms) in &row.ran.phases {
        let _written = write!(text, "  {DIM}{name} {:.1}{DIM:#}", seconds(*ms));
    }
    if let Some(why) = &row.ran.why {
        let _written = write!(text, "\n     {why}");
    }
    text
}

/// All rows.
pub(crate) fn table(outcome: &Outcome) -> String {
    let mut text = format!("{BOLD}{:<24}", "");
    for case in 1..=5 {
        let _written = write!(text, "{:<18}", format!("case {case}"));
    }
    let _written = writeln!(text, "{BOLD:#}");
    for instance in ["process", "container", "vm"] {
        for hardware in ["SGX", "TrustZone", "SEV-SNP", "TDX", "CCA"] {
            let fits = |row: &&Row| row.instance == instance && row.ran_on == hardware;
            let rows: Vec<&Row> = outcome.flows.iter().filter(fits).collect();
            if !rows.is_empty() {
                cells(&mut text, instance, hardware, &rows);
            }
        }
    }
    if !outcome.variants.is_empty() {
        let _written = writeln!(text, "{DIM}beyond the figures, attested at launch:{DIM:#}");
        cells(&mut text, "vm", "SEV-ES", &outcome.variants.iter().collect::<Vec<_>>());
    }
    let _written = write!(
        text,
        "\n{} of {} flows went as figures 2 to 6 say, in {:.1} s. Cases 3 and 4: with UA, \
         without.\n{YELLOW}{}{YELLOW:#}",
        outcome.passed,
        outcome.flows.len(),
        seconds(outcome.took_ms),
        outcome.caveat
    );
    text
}

/// One line of the table.
fn cells(text: &mut String, instance: &str, hardware: &str, rows: &[&Row]) {
    let _written = write!(text, "{instance:<11}{hardware:<13}");
    for case in 1..=5 {
        let mut cell = String::new();
        let mut width = 0;
        for row in rows.iter().filter(|row| row.case == case) {
            let (style, mark) = mark(row);
            let shown = format!("{mark} {:.1} s  ", seconds(row.ran.ms));
            width += shown.chars().count();
            let _written = write!(cell, "{style}{shown}{style:#}");
        }
        let _written = write!(text, "{cell}{}", " ".repeat(18_usize.saturating_sub(width)));
    }
    let _written = writeln!(text);
}

fn mark(row: &Row) -> (Style, &'static str) {
    match row.ran.ok {
        true => (GREEN, "✓"),
        false => (RED, "✗"),
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GREEN: Style = AnsiColor::Green.on_default().bold();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();
