//! Evidence through configfs-tsm.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use agent::attester::{Attester as _, Fault, Problem, Tsm, Unavailable};

use crate::fuse::Mounted;
use crate::kernel::{self, CERTIFICATES, Kernel, REPORTS};

/// A kernel below FUSE, or a skipped test.
macro_rules! mount {
    ($kernel:expr) => {{
        fn here() {}
        let test = std::any::type_name_of_val(&here);
        match Mounted::new(test, $kernel) {
            Some(mounted) => mounted,
            None => return,
        }
    }};
}
pub(crate) use mount;

//= EV-IF-1 (M): evidence and what endorses it, for data of 64 bytes
#[test]
fn a_snp_guest_gives_its_report_and_the_hosts_certificates() {
    let kernel = mount!(Kernel::new("sev_guest"));
    let tsm = Tsm::open(kernel.root(), None).unwrap();

    let quote = tsm.quote([7; 64]).unwrap();

    assert_eq!(quote.media_type, rats::evidence::SEV_SNP_REPORT);
    assert_eq!((quote.evidence.len(), &quote.evidence[0x50..0x90]), (1184, &[7; 64][..]));
    assert_eq!(quote.aux.as_deref(), Some(CERTIFICATES));
    let description = tsm.description();
    assert_eq!((description.family.as_str(), description.ueid.len()), ("SEV-SNP", 33));
    assert_eq!(description.interface, "configfs-tsm sev_guest");
}

#[test]
fn tdx_and_cca_guests_have_no_certificates_beside_their_evidence() {
    for (provider, media_type) in
        [("tdx_guest", rats::evidence::TDX_QUOTE), ("arm_cca_guest", rats::evidence::CCA_TOKEN)]
    {
        let kernel = mount!(Kernel::new(provider));
        let tsm = Tsm::open(kernel.root(), None).unwrap();

        let quote = tsm.quote([7; 64]).unwrap();

        assert_eq!((quote.media_type.as_str(), quote.aux), (media_type, None));
        let key = tsm.sealing_key("storage").unwrap_err();
        assert!(key.is_lack(), "{key:?}");
        assert_eq!(tsm.counter(), Ok(None));
    }
}

#[test]
fn a_report_folder_is_removed_with_its_owner() {
    let kernel = mount!(Kernel::new("tdx_guest"));
    let tsm = Tsm::open(kernel.root(), None).unwrap();
    assert_eq!(kernel.machine.lock().unwrap().reports.len(), 1);

    drop(tsm);

    assert!(kernel.machine.lock().unwrap().reports.is_empty());
}

#[test]
fn the_privilege_level_is_the_one_that_is_set_or_else_the_floor() {
    let mut kernel = Kernel::new("sev_guest");
    kernel.floor = 2;
    let kernel = mount!(kernel);
    let level = |asked| {
        let tsm = Tsm::open(kernel.root(), asked)?;
        Ok(tsm.quote([7; 64]).unwrap().evidence[0x30])
    };

    assert_eq!(level(None), Ok(2));
    assert_eq!(level(Some(3)), Ok(3));
    let refused: Fault = level(Some(1)).unwrap_err();
    assert_eq!(refused.problem, Problem::PrivilegeLevel { asked: 1, floor: 2 });
}

#[test]
fn short_reads_give_whole_evidence() {
    let mut kernel = Kernel::new("sev_guest");
    kernel.read_bytes_max = 100;
    let kernel = mount!(kernel);

    let quote = Tsm::open(kernel.root(), None).unwrap().quote([7; 64]).unwrap();

    assert_eq!((quote.evidence.len(), quote.aux.as_deref()), (1184, Some(CERTIFICATES)));
}

//= EV-IF-2 (M): access is serialised, and evidence carries the data just written
#[test]
fn many_threads_get_evidence_over_their_own_data() {
    let kernel = mount!(Kernel::new("tdx_guest"));
    let tsm = Arc::new(Tsm::open(kernel.root(), None).unwrap());

    let threads: Vec<_> = (0..16_u8)
        .map(|number| {
            let tsm = Arc::clone(&tsm);
            thread::spawn(move || (number, tsm.quote([number; 64]).unwrap()))
        })
        .collect();

    for thread in threads {
        let (number, quote) = thread.join().unwrap();
        assert_eq!(quote.evidence[568..632], [number; 64]);
    }
    assert_eq!(kernel.machine.lock().unwrap().made, 1 + 16, "one for each, and the first");
}

#[test]
fn two_agents_on_one_machine_have_folders_of_their_own() {
    let kernel = mount!(Kernel::new("tdx_guest"));
    let one = Tsm::open(kernel.root(), None).unwrap();
    let other = Tsm::open(kernel.root(), None).unwrap();

    assert_eq!(one.quote([1; 64]).unwrap().evidence[568], 1);
    assert_eq!(other.quote([2; 64]).unwrap().evidence[568], 2);
    assert_eq!(kernel.machine.lock().unwrap().reports.len(), 2);
}

#[test]
fn what_is_busy_raced_or_dropped_is_tried_again() {
    use kernel::Fault::{Dropped, Level, Outblob, RacedRead, RacedWrite};
    for fault in [
        Outblob(libc::EBUSY),
        Outblob(libc::EWOULDBLOCK),
        Level(libc::EBUSY),
        Dropped,
        RacedWrite,
        RacedRead,
    ] {
        let mut kernel = Kernel::new("sev_guest");
        kernel.floor = 1;
        let kernel = mount!(kernel);
        let tsm = Tsm::open(kernel.root(), None).unwrap();
        kernel.machine.lock().unwrap().faults.extend([fault, fault]);

        let quote = tsm.quote([7; 64]).unwrap();

        assert_eq!(quote.evidence[0x50..0x90], [7; 64], "{fault:?}");
        assert!(kernel.machine.lock().unwrap().faults.is_empty(), "{fault:?}");
    }
}

#[test]
fn what_stays_busy_is_given_up_with_a_remedy_and_works_later() {
    let kernel = mount!(Kernel::new("tdx_guest"));
    let tsm = Tsm::open(kernel.root(), None).unwrap();
    let raced = [kernel::Fault::RacedRead; 6];
    kernel.machine.lock().unwrap().faults.extend(raced);

    let Unavailable::Interface(fault) = tsm.quote([7; 64]).unwrap_err() else { panic!() };

    assert_eq!(fault.problem, Problem::Busy(6));
    assert_eq!(fault.remedy, "leave the interface to the Agent alone");
    assert!(fault.interface.contains(REPORTS), "{fault}");
    assert!(tsm.quote([7; 64]).is_ok());
}

//= EV-IF-2 (M): the provider is verified before the format is trusted
#[test]
fn another_provider_than_at_the_start_is_refused() {
    let kernel = mount!(Kernel::new("tdx_guest"));
    let tsm = Tsm::open(kernel.root(), None).unwrap();
    kernel.machine.lock().unwrap().provider = Some("sev_guest");

    let Unavailable::Interface(fault) = tsm.quote([7; 64]).unwrap_err() else { panic!() };

    assert_eq!(fault.problem, Problem::Provider("sev_guest".to_owned()));
}

/// What goes wrong, and what the Agent says of it.
type Case = (fn(&mut Kernel), Problem);

#[test]
fn evidence_that_is_none_is_refused() {
    let failed = |set: fn(&mut Kernel)| {
        let mut kernel = Kernel::new("sev_guest");
        set(&mut kernel);
        let mounted = Mounted::new("evidence_that_is_none_is_refused", kernel)?;
        Some(Tsm::open(mounted.root(), None).unwrap_err().problem)
    };
    let cases: [Case; 8] = [
        (|k| k.missing_bytes = 1, Problem::Length { expected: 1184, seen: 1183 }),
        (|k| k.other_data = true, Problem::OtherData),
        (|k| k.provider = Some("sev_csv"), Problem::Provider("sev_csv".to_owned())),
        (|k| k.provider = None, Problem::NoProvider),
        (|k| k.faults.push_back(kernel::Fault::Mkdir(libc::EACCES)), Problem::Denied),
        (|k| k.faults.push_back(kernel::Fault::Outblob(libc::ENOTTY)), Problem::NoProvider),
        (
            |k| k.faults.push_back(kernel::Fault::Outblob(libc::EINVAL)),
            Problem::Os(std::io::ErrorKind::InvalidInput),
        ),
        (
            |k| k.faults.push_back(kernel::Fault::Outblob(libc::ETIMEDOUT)),
            Problem::Os(std::io::ErrorKind::TimedOut),
        ),
    ];
    for (set, problem) in cases {
        let Some(failed) = failed(set) else { return };

        assert_eq!(failed, problem);
    }
}

#[test]
fn a_machine_without_configfs_says_so() {
    let root = tempfile::tempdir().unwrap();

    let absent = Tsm::open(root.path(), None).unwrap_err();

    let path = Path::new(root.path()).join(REPORTS);
    assert_eq!(absent, Fault::new(&path, Problem::Absent));
}
