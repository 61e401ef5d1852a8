use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256};

use super::*;

#[test]
fn evidence_names_the_device_by_the_ptas_key_and_covers_the_challenge() {
    let tee = OpTee::over(Box::new(Fake::new()), PATH.into()).unwrap();

    let quote = tee.quote([7; 64]).unwrap();

    assert_eq!(quote.media_type, "application/vnd.tamarack.trustzone-report+cbor");
    let mut d = minicbor::Decoder::new(&quote.evidence);
    assert_eq!(d.array().unwrap(), Some(6));
    assert_eq!(d.str().unwrap(), FORMAT);
    assert_eq!(d.bytes().unwrap(), tee.description().ueid);
    assert_eq!(d.bytes().unwrap(), AGENT);
    assert_eq!(d.u32().unwrap(), HASH_TEE_MEMORY);
    assert_eq!(d.bytes().unwrap(), [7; 64]);
    let output = d.bytes().unwrap();
    assert_eq!((output.len(), &output[..32]), (32 + 256, &[0x3c; 32][..]));
    assert_eq!(d.position(), quote.evidence.len());
    assert_eq!(tee.description().family, "TrustZone");
    assert!(tee.sealing_key("storage").unwrap_err().is_lack());
}

#[test]
fn another_device_has_another_name() {
    let ueid = || {
        let tee = OpTee::over(Box::new(Fake::new()), PATH.into()).unwrap();
        tee.description().ueid.clone()
    };

    assert_ne!(ueid(), ueid());
}

#[test]
fn failures_name_the_interface_and_the_remedy() {
    let failed = |failed| {
        let fake = Fake { fails: Some(failed), ..Fake::new() };
        OpTee::over(Box::new(fake), PATH.into()).unwrap_err()
    };
    let fault = |problem| Fault::new(Path::new(PATH), problem);

    assert_eq!(failed(Failed::Os(libc::EACCES)), fault(Problem::Denied));
    assert_eq!(failed(Failed::Result(ITEM_NOT_FOUND)), fault(Problem::NoService));
    assert_eq!(failed(Failed::Result(0xffff_0001)), fault(Problem::Firmware(0xffff_0001)));
    let other = Problem::Provider("another TEE than OP-TEE".to_owned());
    assert_eq!(failed(Failed::Other), fault(other));
}

#[test]
fn what_the_pta_did_not_sign_for_this_challenge_is_refused() {
    let refused = |wrong| {
        let tee = OpTee::over(Box::new(Fake { wrong, ..Fake::new() }), PATH.into()).unwrap();
        let Unavailable::Interface(fault) = tee.quote([7; 64]).unwrap_err() else { panic!() };
        fault.problem
    };

    assert_eq!(refused(Wrong::Digest), Problem::OtherData);
    assert_eq!(refused(Wrong::Nonce), Problem::OtherData);
    assert_eq!(refused(Wrong::Length), Problem::Length { expected: 32, seen: 31 });
}

#[test]
fn a_machine_without_the_device_or_with_another_says_so() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join(PATH);

    let absent = OpTee::open(root.path()).unwrap_err();
    assert_eq!(absent, Fault::new(&path, Problem::Absent));

    std::fs::create_dir(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "").unwrap();
    // A file takes no ioctl: the system calls of the real device are made.
    let no_device = OpTee::open(root.path()).unwrap_err();
    assert_eq!(no_device, Fault::new(&path, Problem::NoProvider));
}

/// The attestation PTA of a test.
struct Fake {
    key: KeyPair,
    fails: Option<Failed>,
    wrong: Wrong,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    Digest,
    Length,
    Nonce,
}

impl Fake {
    fn new() -> Self {
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        Self { key, fails: None, wrong: Wrong::Nothing }
    }
}

impl SecureWorld for Fake {
    fn invoke(
        &self,
        service: &[u8; 16],
        command: u32,
        parameters: &mut [Parameter],
    ) -> Result<(), Failed> {
        self.fails.map_or(Ok(()), Err)?;
        assert_eq!(service, &PTA);
        match (command, parameters) {
            (GET_PUBKEY, [Parameter::Output(e), Parameter::Output(n), Parameter::ValueOutput]) => {
                // RSAPublicKey ends with the modulus and INTEGER 65537.
                let key = self.key.public_key().as_ref();
                let end = key.len() - 5;
                (*e, *n) = (vec![1, 0, 1], key[end - 256..end].to_vec());
            }
            (HASH_TEE_MEMORY, [Parameter::Input(nonce), Parameter::Output(output)]) => {
                assert_eq!((nonce.len(), output.len()), (32, OUTPUT_BYTES_MAX));
                let mut nonce = nonce.clone();
                nonce[0] ^= u8::from(self.wrong == Wrong::Nonce);
                let mut digest = [0x3c; 32];
                let signed = [&nonce[..], &digest].concat();
                let mut signature = vec![0; 256];
                let random = SystemRandom::new();
                self.key.sign(&RSA_PSS_SHA256, &random, &signed, &mut signature).unwrap();
                digest[0] ^= u8::from(self.wrong == Wrong::Digest);
                *output = [&digest[..], &signature].concat();
                if self.wrong == Wrong::Length {
                    output.truncate(31);
                }
            }
            other => panic!("{other:?}"),
        }
        Ok(())
    }
}
