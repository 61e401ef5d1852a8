//! The key that signs: in a file, or in a PKCS#11 token named by a URI (RFC 7512).

use std::path::Path;

use anstream::eprintln;
use anyhow::{Context as _, Result, bail};
use cose::Signer;
use keys::hss::HssKey;

/// Opens a signing key: `pkcs11:…` is one in a token, anything else a file.
///
/// # Errors
/// The key cannot be read, or there is no such token or key.
pub(super) fn load(key: &Path) -> Result<Box<dyn Signer>> {
    match key.to_str().and_then(|text| text.strip_prefix("pkcs11:")) {
        Some(uri) => token::load(uri),
        None => {
            if let Some(signer) = hash_based(key)? {
                return Ok(Box::new(signer));
            }
            let signer = keys::file::load(key);
            let signer = signer.with_context(|| format!("reading the key {}", key.display()))?;
            Ok(Box::new(signer))
        }
    }
}

/// Opens a key whose every signature uses up a part of it, and says how much is left.
fn hash_based(key: &Path) -> Result<Option<HssKey>> {
    let shown = key.display();
    let opened = HssKey::open(key).with_context(|| format!("reading the key {shown}"))?;
    let Some(signer) = opened else { return Ok(None) };
    match signer.left().with_context(|| format!("reading the key {shown}"))? {
        0 => bail!("the key {shown} has no signature left: make another with `tamarack key new`"),
        left => eprintln!("note: {shown} is good for {left} signatures more; never copy this file"),
    }
    Ok(Some(signer))
}

#[cfg(not(feature = "pkcs11"))]
mod token {
    use anyhow::{Result, bail};
    use cose::Signer;

    pub(super) fn load(_: &str) -> Result<Box<dyn Signer>> {
        bail!("this tamarack was built without the feature `pkcs11`: keys are in files")
    }
}

#[cfg(feature = "pkcs11")]
mod token {
    use std::path::PathBuf;

    use anyhow::{Context as _, Result, bail, ensure};
    use cose::{Algorithm, Signer};
    use keys::pkcs11::{Token, TokenError};

    /// What a URI names.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Named {
        token: String,
        object: String,
        module: PathBuf,
        pin: PathBuf,
    }

    pub(super) fn load(uri: &str) -> Result<Box<dyn Signer>> {
        let named = Named::parse(uri).context(FORM)?;
        let pin = std::fs::read_to_string(&named.pin);
        let pin = pin.with_context(|| format!("reading the PIN in {}", named.pin.display()))?;
        let token = Token::open(&named.module, &named.token, pin.trim_end_matches(['\r', '\n']))?;
        for algorithm in [Algorithm::Esp256, Algorithm::Esp384, Algorithm::Ed25519] {
            match token.signing_key(&named.object, algorithm) {
                Err(TokenError::OtherKind(_)) => {}
                key => return Ok(Box::new(key?)),
            }
        }
        Err(TokenError::OtherKind(named.object).into())
    }

    impl Named {
        fn parse(uri: &str) -> Result<Self> {
            let mut named = Self::default();
            let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
            let path = path.split(';').map(|attribute| (attribute, true));
            let query = query.split('&').map(|attribute| (attribute, false));
            for (attribute, of_path) in path.chain(query).filter(|(text, _)| !text.is_empty()) {
                let (name, value) =
                    attribute.split_once('=').context("an attribute without `=`")?;
                let value = decoded(value)?;
                match (name, of_path) {
                    ("token", true) => named.token = value,
                    ("object", true) => named.object = value,
                    // A key pair is meant, whatever part of it is named.
                    ("type", true) if matches!(&*value, "private" | "public") => {}
                    ("module-path", false) => named.module = value.into(),
                    ("pin-source", false) => {
                        named.pin = value.strip_prefix("file:").unwrap_or(&value).into();
                    }
                    (name, _) => bail!("`{name}` is not understood"),
                }
            }
            for (name, missing) in [
                ("token", named.token.is_empty()),
                ("object", named.object.is_empty()),
                ("module-path", named.module.as_os_str().is_empty()),
                ("pin-source", named.pin.as_os_str().is_empty()),
            ] {
                ensure!(!missing, "`{name}` is missing");
            }
            Ok(named)
        }
    }

    /// The value of an attribute, whose special characters are written as `%20`.
    fn decoded(text: &str) -> Result<String> {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'%' => {
                    let digits: Vec<u8> = rest.by_ref().take(2).collect();
                    let byte = hex::decode(digits).ok().filter(|bytes| bytes.len() == 1);
                    byte.context("a `%` without two hexadecimal digits")?[0]
                }
                byte => byte,
            });
        }
        String::from_utf8(bytes).context("a value that is not text")
    }

    const FORM: &str = "a key in a token is named by \
        pkcs11:token=LABEL;object=KEY?module-path=LIBRARY&pin-source=file:PIN";

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_uri_names_token_key_library_and_pin_and_nothing_is_guessed() {
            let uri =
                "token=my%20HSM;object=owner;type=private?module-path=/p.so&pin-source=file:/n";
            let named = Named {
                token: "my HSM".to_owned(),
                object: "owner".to_owned(),
                module: "/p.so".into(),
                pin: "/n".into(),
            };
            let refused = |uri| Named::parse(uri).unwrap_err().to_string();

            assert_eq!(Named::parse(uri).unwrap(), named);
            assert_eq!(refused("token=t;object=o?module-path=m"), "`pin-source` is missing");
            assert_eq!(refused("token=t;serial=1"), "`serial` is not understood");
            assert_eq!(refused("token=t?object=o"), "`object` is not understood");
            assert_eq!(refused("token=%2"), "a `%` without two hexadecimal digits");
            assert_eq!(refused("token"), "an attribute without `=`");
        }
    }
}
