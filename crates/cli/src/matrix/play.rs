//! Which flow plays on which device, and when.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Mutex, PoisonError, mpsc},
    thread,
};

use anyhow::{Result, ensure};
use stage::{Device, Flow, Hardware, Instance, Layout, Programs, Ran, Spec, Stage, User};

use super::Row;

/// A device with the flows that play on it one after the other.
#[derive(Clone, Debug)]
struct Cast {
    hardware: Hardware,
    instances: Vec<Instance>,
    flows: Vec<(usize, Flow)>,
}

/// Runs the flows; `told` hears of each when it is over. The rows come in the order of the flows.
pub(crate) fn play(
    programs: &Programs,
    directory: &Path,
    flows: Vec<Flow>,
    jobs: usize,
    told: &mut dyn FnMut(&Row),
) -> Result<Vec<Row>> {
    let stage = Stage::set(Layout::below(directory)?, programs.clone())?;
    let waiting = Mutex::new(casts(flows));
    let (sender, receiver) = mpsc::channel();
    let mut rows = BTreeMap::new();
    thread::scope(|scope| {
        for number in 0..jobs.max(1) {
            let (stage, waiting, sender) = (&stage, &waiting, sender.clone());
            scope.spawn(move || {
                let user = stage.user(&format!("user-{number}")).map_err(|e| format!("{e:#}"));
                while let Some((at, cast)) = next(waiting) {
                    perform(stage, &user, at, &cast, &|place, row| {
                        // Nobody listens any more only when this program ends.
                        let _told = sender.send((place, row));
                    });
                }
            });
        }
        drop(sender);
        for (place, row) in receiver {
            told(&row);
            rows.insert(place, row);
        }
    });
    Ok(rows.into_values().collect())
}

fn next(waiting: &Mutex<Vec<Cast>>) -> Option<(usize, Cast)> {
    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let cast = waiting.pop()?;
    Some((waiting.len(), cast))
}

fn perform(
    stage: &Stage,
    user: &Result<User, String>,
    at: usize,
    cast: &Cast,
    told: &dyn Fn(usize, Row),
) {
    let device = match user {
        // A machine that this host could not boot says nothing about the flow: one more try.
        Ok(user) => start(stage, user, &format!("{at}"), cast)
            .or_else(|_| start(stage, user, &format!("{at}-again"), cast))
            .map_err(|error| format!("{error:#}")),
        Err(error) => Err(error.clone()),
    };
    for (place, flow) in &cast.flows {
        let ran = match (user, &device) {
            (Ok(user), Ok(device)) => {
                let ran = flow.run(stage, user, device);
                ran.unwrap_or_else(|error| Ran::not_run(format!("{error:#}")))
            }
            (Err(error), _) | (_, Err(error)) => Ran::not_run(error.clone()),
        };
        told(*place, Row::new(flow.clone(), ran));
    }
}

/// A device of a family that encrypts whole machines is a machine; nothing else stands in for it.
fn start(stage: &Stage, user: &User, at: &str, cast: &Cast) -> Result<Device> {
    let name = format!("{}-{at}", cast.hardware.family());
    let Some(processor) = cast.hardware.processor() else {
        return stage.device(&Spec::new(&name, cast.hardware).with_instances(&cast.instances));
    };
    ensure!(
        cast.hardware.image(&stage.programs).is_some(),
        "there is no image of an {processor} guest beside the programs; in the sources, `cargo \
         xtask setup` installs what its build needs and `cargo xtask guest` builds it"
    );
    let spec = Spec::vm(&name, cast.hardware);
    match cast.hardware {
        Hardware::Sev => stage.device_launched_by(user, &spec.with_instances(&cast.instances)),
        Hardware::Cca | Hardware::SevSnp | Hardware::Sgx | Hardware::Tdx | Hardware::TrustZone => {
            stage.device(&spec)
        }
    }
}

/// One device for all processes and containers of a family, one for each confidential VM. The last
/// is played first: the long ones.
fn casts(flows: Vec<Flow>) -> Vec<Cast> {
    let mut shared: BTreeMap<Hardware, Cast> = BTreeMap::new();
    let mut casts = Vec::new();
    for (place, flow) in flows.into_iter().enumerate() {
        // Every row of the figures has a family of the stage; a test says so.
        let Ok(hardware) = flow.ran_on() else { continue };
        let alone = Cast { hardware, instances: vec![flow.instance], flows: Vec::new() };
        if flow.instance == Instance::Vm {
            casts.push(Cast { flows: vec![(place, flow)], ..alone });
            continue;
        }
        let cast = shared.entry(hardware).or_insert(alone);
        if !cast.instances.contains(&flow.instance) {
            cast.instances.push(flow.instance);
        }
        cast.flows.push((place, flow));
    }
    let mut shared: Vec<Cast> = shared.into_values().collect();
    shared.sort_by_key(|cast| cast.flows.len());
    casts.extend(shared);
    casts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_share_a_device_and_every_confidential_vm_has_its_own() {
        let casts = casts(stage::flows());

        let vms: Vec<_> = casts.iter().filter(|cast| cast.instances == [Instance::Vm]).collect();
        assert!(vms.iter().all(|cast| cast.flows.len() == 1));
        assert_eq!(vms.len(), 21);
        let shared: Vec<usize> =
            casts.iter().filter(|cast| cast.flows.len() > 1).map(|cast| cast.flows.len()).collect();
        assert_eq!(shared, [7, 7, 7, 14, 14]);
        assert_eq!(casts.iter().map(|cast| cast.flows.len()).sum::<usize>(), 70);
    }
}
