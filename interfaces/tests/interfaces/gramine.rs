//! Evidence through Gramine's pseudo-files.

use std::sync::Arc;
use std::thread;

use agent::attester::{Attester as _, Gramine, Problem, Unavailable};

use crate::fuse::Mounted;
use crate::library_os::LibraryOs;
use crate::tsm::mount;

#[test]
fn an_enclave_gives_quotes_over_its_own_data_to_many_threads() {
    let os = mount!(LibraryOs::new());
    let gramine = Arc::new(Gramine::open(os.root()).unwrap());
    assert_eq!(gramine.description().family, "SGX");

    let threads: Vec<_> = (0..8_u8)
        .map(|number| {
            let gramine = Arc::clone(&gramine);
            thread::spawn(move || (number, gramine.quote([number; 64]).unwrap()))
        })
        .collect();

    for thread in threads {
        let (number, quote) = thread.join().unwrap();
        assert_eq!(quote.media_type, rats::evidence::SGX_QUOTE);
        assert_eq!(quote.evidence[368..432], [number; 64]);
    }
}

#[test]
fn sealing_keys_depend_on_the_enclave() {
    let os = mount!(LibraryOs::new());
    let gramine = Gramine::open(os.root()).unwrap();
    let key = gramine.sealing_key("storage").unwrap();
    assert_eq!(key, gramine.sealing_key("storage").unwrap());

    os.machine.lock().unwrap().sealing_key = Ok(vec![0x5b; 16]);
    assert_ne!(key, gramine.sealing_key("storage").unwrap());

    os.machine.lock().unwrap().sealing_key = Ok(vec![0x5b; 8]);
    let Unavailable::Interface(fault) = gramine.sealing_key("storage").unwrap_err() else {
        panic!()
    };
    assert_eq!(fault.problem, Problem::Length { expected: 16, seen: 8 });
}

#[test]
fn an_enclave_without_attestation_or_with_a_broken_one_says_so() {
    let os = mount!(LibraryOs::new());
    os.machine.lock().unwrap().attestation_type = "none";
    let problem = || Gramine::open(os.root()).unwrap_err().problem;
    assert_eq!(problem(), Problem::Provider("none".to_owned()));

    os.machine.lock().unwrap().attestation_type = "dcap";
    os.machine.lock().unwrap().quote_error = Some(libc::EACCES);
    assert_eq!(problem(), Problem::Denied);
}
