//! Encrypted and long payloads: opened on their way into a slot, by the key that evidence names.

use agent::install::CAUSE;
use cose::encrypt::{ContentAlgorithm, ContentKey, Recipient};
use cose::{Agreement as _, Curve, Key};
use device::broker::Action;
use keys::{AgreementKey, SystemEntropy};
use suit::Parameter;
use suit::build::{Built, Payload, Ta, Uri};
use suit::encryption::{Sealed, seal};
use suit::parameter::CustomValue;
use suit::report::{Conclusion, Reason};

use crate::component;
use crate::support::*;

#[test]
fn an_encrypted_application_is_installed_by_every_cipher_and_nothing_of_it_is_on_the_disk() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);
    let module = component::echo();
    for (number, algorithm) in (1..).zip(ContentAlgorithm::ALL) {
        let module = [&module[..], &custom_section(number)].concat();
        let sealed = sealed_for(&payload_key(&to), algorithm, &module);
        let ta = encrypted(&owner, u64::from(number), &module, &sealed);

        let installed = fetched(&device, &tam, &to, &ta, &sealed.ciphertext);

        assert!(installed.is_success(), "{algorithm:?}: {installed:?}");
        assert_eq!(device.state(), "awaiting release", "{algorithm:?}");
    }
    for file in std::fs::read_dir(device.storage.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(16).any(|window| window == &module[..16]));
    }
    assert_eq!(device.restarted().state(), "awaiting release");
}

//= suit 13.81 (M): GCM and ChaCha tag failure: nothing of the plaintext becomes visible or
//= readable (what was streamed is encrypted under an install key that is destroyed). E 6
#[test]
fn a_changed_ciphertext_or_one_for_another_device_leaves_the_old_application() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);
    let old = owner.ta(1, &component::echo());
    assert!(deploy(&device, &tam, &to, &[&old.envelope]).is_success());
    let files = || std::fs::read_dir(device.storage.path()).unwrap().count();
    let before = files();
    let stranger = AgreementKey::generate(Curve::P256).unwrap().key().clone();
    let module = component::refusing();
    let gcm = ContentAlgorithm::A128Gcm;

    for (receiver, algorithm, flip, cause) in [
        (payload_key(&to), gcm, true, Reason::OperationFailed),
        (stranger, gcm, false, Reason::OperationFailed),
        // The cipher finds nothing; the digest does.
        (payload_key(&to), ContentAlgorithm::A128Ctr, true, Reason::ConditionFailed),
    ] {
        let mut sealed = sealed_for(&receiver, algorithm, &module);
        sealed.ciphertext[70] ^= u8::from(flip);
        let ta = encrypted(&owner, 2, &module, &sealed);

        let refused = fetched(&device, &tam, &to, &ta, &sealed.ciphertext);

        let Conclusion::Failure { reason, .. } = refused.failure() else { panic!() };
        assert_eq!(*reason, cause, "{algorithm:?}");
        let now = attest(&device, &tam, &CHALLENGE);
        let entry = now.claims.submods.ta(old.manifest_component.parts()).unwrap();
        assert_eq!(entry.manifest.sequence_number, 1);
    }
    let newer = owner.ta(3, &component::echo());
    assert!(deploy(&device, &tam, &to, &[&newer.envelope]).is_success());
    assert_eq!(files(), before, "what was given up is swept away");
}

#[test]
fn a_component_of_many_ranges_is_installed_in_pieces_and_one_too_long_for_its_custodian_is_named() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);
    for (number, length) in [(1, 9 << 20), (2, 17 << 20)] {
        let module = padded(component::echo(), length);
        let ta = owner.ta_at(URI_OF_PAYLOAD, number, &module);
        let mut ranges = 0;

        let came = serve(&device, &tam, &to, &ta, &module, &mut ranges);

        assert_eq!(ranges, module.len().div_ceil(4 << 20));
        if number == 1 {
            assert!(came.is_success(), "{came:?}");
            continue;
        }
        let Conclusion::Failure { record, .. } = came.failure() else { panic!() };
        let Some(Parameter::Custom(CAUSE, CustomValue::Text(text))) = record.properties.find(CAUSE)
        else {
            panic!("{record:?}")
        };
        let (seen, max) = (module.len(), 15 << 20);
        assert!(text.contains(&format!("{seen} bytes are too many")), "{text}");
        assert!(text.contains(&format!("takes {max}")), "{text}");
        assert_eq!(device.state(), "awaiting release");
    }
}

fn fetched(device: &Device, tam: &Tam, to: &Enrolled, ta: &Built, payload: &[u8]) -> Verdict {
    serve(device, tam, to, ta, payload, &mut 0)
}

/// Does what the agent asks the Broker for, and counts it.
fn serve(
    device: &Device,
    tam: &Tam,
    to: &Enrolled,
    ta: &Built,
    payload: &[u8],
    ranges: &mut usize,
) -> Verdict {
    let (token, update) = tam.update(&[&ta.envelope]);
    let answer = device.tell(to.session, update);
    verdict(device, to, token, answer, &mut |action| {
        let Action::Fetch { offset, length, .. } = action else { panic!("{action:?}") };
        *ranges += 1;
        let from = payload.len().min(usize::try_from(*offset).unwrap());
        let to = payload.len().min(from + usize::try_from(*length).unwrap());
        Ok(payload[from..to].to_vec())
    })
}

fn payload_key(of: &Enrolled) -> Key {
    of.claims.session_keys.as_ref().unwrap().payload.clone().unwrap()
}

fn encrypted(owner: &Owner, sequence_number: u64, module: &[u8], sealed: &Sealed) -> Built {
    let payload = Payload::at(Uri::new(URI_OF_PAYLOAD).unwrap(), module).encrypted(sealed);
    Ta::new(name("planner"), sequence_number, here(), payload).sign(&owner.key).unwrap()
}

fn sealed_for(receiver: &Key, algorithm: ContentAlgorithm, plaintext: &[u8]) -> Sealed {
    let ephemeral = AgreementKey::generate(receiver.curve()).unwrap();
    let recipient = Recipient::Agreement { receiver, ephemeral: &ephemeral };
    seal(ContentKey::draw(algorithm, &mut SystemEntropy), &[recipient], plaintext).unwrap()
}

/// The module with a custom section that makes it this long.
fn padded(mut module: Vec<u8>, length: usize) -> Vec<u8> {
    let content = length - module.len();
    module.push(0);
    let mut left = content + 2;
    loop {
        let more = left > 0x7f;
        module.push((left & 0x7f) as u8 | u8::from(more) << 7);
        left >>= 7;
        if !more {
            break;
        }
    }
    module.extend([1, b'p']);
    module.resize(module.len() + content, 7);
    module
}

fn custom_section(number: u8) -> [u8; 5] {
    [0, 3, 1, b'n', number]
}

const URI_OF_PAYLOAD: &str = "https://moc.example/blob";
