//! The example of the how-to works as it is printed.

use std::{env, path::Path, process::Command};

use crate::support::Desk;

#[test]
fn the_example_of_the_how_to_runs_as_printed() {
    let how_to = include_str!("../../../../docs/suit.md");
    let desk = Desk::new();
    desk.put("planner.toml", fenced(how_to, "toml"));
    let programs = Path::new(env!("CARGO_BIN_EXE_tamarack")).parent().unwrap();
    let path = env::join_paths(
        std::iter::once(programs.to_owned())
            .chain(env::split_paths(&env::var_os("PATH").unwrap_or_default())),
    );

    let output = Command::new("sh")
        .args(["-euc", &fenced(how_to, "sh")])
        .current_dir(desk.path(""))
        .env("PATH", path.unwrap())
        .output()
        .unwrap();

    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    for line in fenced(how_to, "text").lines() {
        let (before, after) = line.split_once('…').unwrap_or((line, ""));
        let shown = |told: &str| {
            told.find(before).is_some_and(|at| told[at + before.len()..].contains(after))
        };
        assert!(out.lines().any(shown), "{line}\n{out}");
    }
    assert_eq!(desk.text("again/planner.toml"), fenced(how_to, "toml"));
}

/// The first fenced block of a language.
fn fenced(document: &str, language: &str) -> String {
    let (_, rest) = document.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}
