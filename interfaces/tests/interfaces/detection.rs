//! Which interface the Agent takes, and what it says when there is none.

use std::os::unix::net::UnixStream;
use std::thread;

use agent::attester::{Attester as _, Interface, NotReached, Problem, Unavailable, detect, reach};
use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};
use device::frame;
use device::tee::{Description, Reply, Request};

use crate::fuse::Mounted;
use crate::kernel::Kernel;
use crate::library_os::LibraryOs;
use crate::tsm::mount;

#[test]
fn the_interface_that_gives_evidence_is_taken() {
    let kernel = mount!(Kernel::new("arm_cca_guest"));
    let os = mount!(LibraryOs::new());

    let cca = detect(kernel.root(), None).unwrap();
    let sgx = detect(os.root(), None).unwrap();

    assert_eq!(cca.description().interface, "configfs-tsm arm_cca_guest");
    assert_eq!(sgx.description().interface, "gramine");
}

#[test]
fn a_machine_without_hardware_names_every_interface_and_cannot_attest() {
    let root = tempfile::tempdir().unwrap();

    let none = detect(root.path(), None).err().unwrap();

    let problems: Vec<_> = none.tried.iter().map(|fault| fault.problem.clone()).collect();
    assert_eq!(problems, vec![Problem::Absent; Interface::ALL.len()]);
    for (fault, interface) in none.tried.iter().zip(Interface::ALL) {
        assert!(fault.interface.contains(interface.path()), "{fault}");
    }
    assert!(matches!(none.quote([0; 64]), Err(Unavailable::Interface(_))));
}

#[test]
fn what_is_there_and_does_not_work_is_the_reason() {
    let mut kernel = Kernel::new("tdx_guest");
    kernel.provider = None;
    let kernel = mount!(kernel);

    let none = detect(kernel.root(), None).err().unwrap();

    let Err(Unavailable::Interface(fault)) = none.quote([0; 64]) else { panic!() };
    assert_eq!(fault.problem, Problem::NoProvider);
}

#[test]
fn a_confidential_machine_takes_only_settings_that_were_measured_with_it() {
    for (provider, algorithm) in
        [("tdx_guest", &SHA384), ("sev_guest", &SHA256), ("arm_cca_guest", &SHA512)]
    {
        let mut kernel = Kernel::new(provider);
        kernel.settings = digest::digest(algorithm, b"settings").as_ref().to_vec();
        let kernel = mount!(kernel);
        // Nobody is behind the host's channel.
        let reached = |settings| {
            let tee = reach(kernel.root(), UnixStream::pair().unwrap().0, settings)?;
            Ok(tee.description().interface.clone())
        };

        assert_eq!(reached(b"settings"), Ok(format!("configfs-tsm {provider}")));
        assert_eq!(reached(b"other settings"), Err(NotReached::Settings));
    }
}

#[test]
fn a_machine_without_hardware_takes_the_tee_behind_the_hosts_channel() {
    let root = tempfile::tempdir().unwrap();
    let (guest, mut host) = UnixStream::pair().unwrap();
    let description = Description {
        family: "TDX".to_owned(),
        hwmodel: b"test".to_vec(),
        hwversion: String::new(),
        oemid: vec![0; 16],
        ueid: vec![1; 33],
        interface: "emulator".to_owned(),
    };
    let described = Reply::Description(description);
    let tee = thread::spawn(move || {
        assert_eq!(frame::receive(&mut host), Ok(Some(Request::Describe)));
        frame::send(&mut host, &described).unwrap();
    });

    let reached = reach(root.path(), guest, b"settings").ok().unwrap();

    assert_eq!(reached.description().interface, "emulator");
    tee.join().unwrap();
}
