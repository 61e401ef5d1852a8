//! What a manifest asks of the device that runs its application.

use rats::eat::InstanceType;
use suit::command::Command;
use suit::{Parameter, Sequence, Verified};

use super::Refused;

/// The instance type that the manifest's class names; a class of the device's own stands for the
/// first type of its settings.
///
/// The processor checks the class as a condition. This is its meaning, found before anything
/// runs, so that a refusal can say what is asked for and what there is.
pub(super) fn instance(
    verified: &Verified<'_>,
    has: &[InstanceType],
) -> Result<InstanceType, Refused> {
    let mut asked = Vec::new();
    if let Some(shared) = &verified.manifest().common.shared {
        classes(shared, &mut asked);
    }
    asked.sort_unstable();
    asked.dedup();
    match asked.as_slice() {
        [] => has.first().copied().ok_or(Refused::InstanceTypes),
        [asked] if has.contains(asked) => Ok(*asked),
        [asked] => Err(Refused::NoInstanceType { asked: *asked, has: has.to_vec() }),
        _ => Err(Refused::InstanceTypes),
    }
}

fn classes(sequence: &Sequence<'_>, found: &mut Vec<InstanceType>) {
    for (_, command) in sequence.commands() {
        match command {
            Command::SetParameters(parameters) | Command::OverrideParameters(parameters) => {
                found.extend(parameters.iter().filter_map(|parameter| named(&parameter)));
            }
            Command::OverrideMultiple(several) => {
                found.extend(
                    several
                        .values()
                        .flat_map(|p| p.iter().filter_map(|parameter| named(&parameter))),
                );
            }
            Command::TryEach(choice) => {
                choice.sequences.iter().for_each(|sequence| classes(sequence, found));
            }
            Command::RunSequence(sequence) => classes(&sequence, found),
            Command::Condition(..)
            | Command::Directive(..)
            | Command::SetComponentIndex(_)
            | Command::CopyParameters(_)
            | Command::Custom(..)
            | Command::Unknown(_) => {}
        }
    }
}

fn named(parameter: &Parameter<'_>) -> Option<InstanceType> {
    let Parameter::ClassId(class) = parameter else { return None };
    InstanceType::of_class_id(class.bytes())
}
