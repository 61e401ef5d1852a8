//! Which interface the Agent takes, and what it says when there is none.

use agent::attester::{Attester as _, Interface, Problem, Unavailable, detect};

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
