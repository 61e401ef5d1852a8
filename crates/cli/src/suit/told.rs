//! What a dry run tells while it runs.

use anstream::println;
use anstyle::Style;
use serde_json::{Value, json};
use suit::{ComponentId, command::Command, command::Name, process::Begun};

use crate::inspect::{Part, suit_command};

/// Tells each command, and keeps it for programs.
#[derive(Debug)]
pub(super) struct Told {
    /// Whether people are told.
    aloud: bool,
    steps: Vec<Value>,
    /// Manifest and section of the last command.
    heading: Option<String>,
}

impl Told {
    /// Tells people, or only keeps.
    pub(super) fn new(aloud: bool) -> Self {
        Self { aloud, steps: Vec::new(), heading: None }
    }

    /// A command begins.
    pub(super) fn began(&mut self, begun: &Begun<'_>) {
        let part = suit_command(&begun.command);
        let name = command(begun.command.label());
        let fault = begun.fault.map(ToString::to_string);
        self.steps.push(json!({
            "manifest": begun.manifest.to_string(),
            "section": begun.section.to_string(),
            "shared": begun.shared,
            "component": begun.component.to_string(),
            "command": name,
            "argument": part.value,
            "parts": part.parts.iter().map(Part::json).collect::<Vec<_>>(),
            "did": [],
            "fault": fault,
        }));
        if !self.aloud {
            return;
        }
        let heading = format!("{} of {}", begun.section, brief(begun.manifest));
        if self.heading.as_ref() != Some(&heading) {
            println!("{BOLD}{heading}{BOLD:#}");
            self.heading = Some(heading);
        }
        let shared = if begun.shared { "shared: " } else { "" };
        match &begun.command {
            Command::SetComponentIndex(_) => println!("  {shared}{name}: {}", part.value),
            _ => println!("  {shared}{name} on {}", brief(begun.component)),
        }
        if matches!(
            begun.command,
            Command::SetParameters(_)
                | Command::OverrideParameters(_)
                | Command::OverrideMultiple(_)
        ) {
            let lines = part.parts.iter().flat_map(|part| part.lines(3));
            lines.for_each(|line| println!("{}", plain(&line)));
        }
        if let Some(fault) = fault {
            println!("      {}", plain(&fault));
        }
    }

    /// What a request of the last command came to.
    pub(super) fn did(&mut self, words: &str) {
        if let Some(done) = self.steps.last_mut().and_then(|step| step["did"].as_array_mut()) {
            done.push(json!(words));
        }
        if self.aloud {
            println!("      {}", plain(words));
        }
    }

    /// Every command, for programs.
    pub(super) fn steps(&mut self) -> Value {
        Value::Array(std::mem::take(&mut self.steps))
    }
}

/// The name of a command without what kind of command it is.
pub(super) fn command(label: i64) -> String {
    let name = Name(label).to_string();
    let short = name.strip_prefix("condition-").or_else(|| name.strip_prefix("directive-"));
    short.unwrap_or(&name).to_owned()
}

/// A component identifier with thumbprints and other bytes shortened.
pub(super) fn brief(component: &ComponentId) -> String {
    let parts: Vec<String> = component.parts().iter().map(|part| brief_part(part)).collect();
    parts.join("/")
}

fn brief_part(part: &[u8]) -> String {
    match std::str::from_utf8(part) {
        Ok(text) if !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic()) => {
            text.to_owned()
        }
        _ if part.len() > 4 => format!("{}…", hex::encode(&part[..4])),
        _ => format!("h'{}'", hex::encode(part)),
    }
}

/// Text of others for a terminal: what moves its cursor or turns its direction is escaped.
pub(super) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        let unseen = matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}');
        let turns = unseen || matches!(character, '\u{2066}'..='\u{2069}' | '\u{feff}');
        if turns || character.is_control() {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

const BOLD: Style = Style::new().bold();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_manifest_moves_the_cursor_or_turns_the_direction() {
        assert_eq!(plain("a\u{1b}[2J\u{202e}ä"), "a\\u{1b}[2J\\u{202e}ä");
    }

    #[test]
    fn an_identifier_is_shown_briefly() {
        let id = ComponentId::new([&[0xab; 32][..], b"planner", b"", b"\x1b[m"]).unwrap();

        assert_eq!(brief(&id), "abababab…/planner/h''/h'1b5b6d'");
    }
}
