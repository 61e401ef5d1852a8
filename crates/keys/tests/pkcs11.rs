//! Keys in a PKCS#11 token, with SoftHSM as the token.
#![expect(clippy::unwrap_used, reason = "lets a test fail")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cose::encrypt::{
    ContentAlgorithm, ContentKey, Encrypt, Integrity, Opener, Recipient, encrypt, other,
};
use cose::{
    Accept, Agreement as _, Algorithm, Curve, Header, KeyUnusable, Payload, Sign1, Signer as _,
    Tagging, Untrusted,
};
use keys::pkcs11::{Token, TokenError};
use keys::{AgreementKey, SystemEntropy};

/// SoftHSM finds its tokens by an environment variable, so what needs one runs in a process of its
/// own.
#[test]
fn keys_in_a_token_sign_and_agree() {
    let Some(module) = module() else {
        println!("skipped: keys_in_a_token_sign_and_agree: no libsofthsm2.so (package softhsm2)");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let configuration = directory.path().join("softhsm2.conf");
    let tokens = directory.path().join("tokens");
    fs::create_dir(&tokens).unwrap();
    fs::write(&configuration, format!("directories.tokendir = {}\n", tokens.display())).unwrap();
    let run = |command: &mut Command| {
        let output = command.env("SOFTHSM2_CONF", &configuration).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    };
    let words = ["--init-token", "--free", "--label", LABEL, "--pin", PIN, "--so-pin", PIN];
    run(Command::new("softhsm2-util").args(words));

    let itself = std::env::current_exe().unwrap();
    run(Command::new(itself)
        .args(["--exact", "inside_a_process_with_a_token", "--ignored"])
        .env("TOKEN_MODULE", module));
}

#[test]
#[ignore = "run by keys_in_a_token_sign_and_agree"]
fn inside_a_process_with_a_token() {
    let module = PathBuf::from(std::env::var_os("TOKEN_MODULE").unwrap());
    let token = Token::open(&module, LABEL, PIN).unwrap();

    signs(&token);
    agrees(&token);
    refuses(&token);
}

fn signs(token: &Token) {
    for algorithm in [Algorithm::Esp256, Algorithm::Esp384, Algorithm::Ed25519] {
        let label = format!("message {algorithm}");
        token.generate(&label, algorithm).unwrap();
        let key = token.signing_key(&label, algorithm).unwrap();
        let header = Header::default;
        let payload = Payload::Attached(b"payload");

        let bytes = cose::sign1(&key, header(), header(), &[], payload).unwrap();

        let message = Sign1::decode(&bytes, Tagging::Tagged).unwrap();
        let verified = message.verify(key.key(), &Accept::CURRENT, &[]).unwrap();
        assert_eq!(*verified.get(), b"payload", "{algorithm}");
        assert_eq!(key.algorithm(), algorithm);
        let again = token.signing_key(&label, algorithm).unwrap();
        assert_eq!(again.key(), key.key());
        let mut changed = bytes.clone();
        *changed.last_mut().unwrap() ^= 1;
        let message = Sign1::decode(&changed, Tagging::Tagged).unwrap();
        let refused = message.verify(key.key(), &Accept::CURRENT, &[]);
        assert_eq!(refused, Err(Untrusted::Signature));
    }
}

/// What is encrypted to the TAM's key in a token opens by its handle.
fn agrees(token: &Token) {
    for curve in [Curve::P256, Curve::P384] {
        let label = format!("receiver {curve:?}");
        token.generate_agreement(&label, curve).unwrap();
        let key = token.agreement_key(&label, curve).unwrap();
        let ephemeral = AgreementKey::generate(curve).unwrap();
        let recipient = Recipient::Agreement { receiver: key.key(), ephemeral: &ephemeral };
        let content = ContentKey::draw(ContentAlgorithm::A128Gcm, &mut SystemEntropy);
        let payload = Payload::Attached(b"evidence");
        let sealed = encrypt(content, &[recipient], other::EAT, &[], payload).unwrap().object;

        let message = Encrypt::decode(&sealed, Tagging::Tagged).unwrap();
        let opener = Opener::Agreement(&key);
        let opened = message.decrypt(&opener, other::EAT, Integrity::Cipher, &[]).unwrap();

        assert_eq!(opened.expose(), b"evidence");
        assert_eq!(key.agree(ephemeral.key()), ephemeral.agree(key.key()));
        let foreign = AgreementKey::generate(Curve::X25519).unwrap();
        assert_eq!(key.agree(foreign.key()), Err(KeyUnusable));
    }
}

fn refuses(token: &Token) {
    let no_key = TokenError::NoKey("absent".to_owned());
    assert_eq!(token.signing_key("absent", Algorithm::Esp256).unwrap_err(), no_key);
    let other = TokenError::OtherKind("message ESP384".to_owned());
    assert_eq!(token.signing_key("message ESP384", Algorithm::Esp256).unwrap_err(), other);
    let unsupported = token.signing_key("message ESP256", Algorithm::MlDsa65).unwrap_err();
    assert_eq!(unsupported, TokenError::Unsupported);
    assert_eq!(token.generate("legacy", Algorithm::Es256), Err(TokenError::Unsupported));
    let x25519 = token.generate_agreement("x", Curve::X25519);
    assert_eq!(x25519, Err(TokenError::Unsupported));
    // A second pair of the same name makes the name useless, never ambiguous.
    token.generate("message ESP256", Algorithm::Esp256).unwrap();
    let twice = TokenError::NoKey("message ESP256".to_owned());
    assert_eq!(token.signing_key("message ESP256", Algorithm::Esp256).unwrap_err(), twice);
}

#[test]
fn a_module_that_does_not_load_is_named() {
    let absent = Path::new("/nonexistent/module.so");

    let refused = Token::open(absent, LABEL, PIN).unwrap_err();

    assert_eq!(refused, TokenError::Module(absent.to_owned()));
}

fn module() -> Option<PathBuf> {
    ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
}

const LABEL: &str = "tamarack";
const PIN: &str = "1234";
