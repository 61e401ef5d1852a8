//! Keys and pins.

use std::path::{Path, PathBuf};

use anstream::println;
use anyhow::{Context as _, Result};
use channel::Suites;
use clap::{Args, Subcommand};
use cose::{Algorithm, Signer as _};
use keys::{
    file,
    hss::{HssKey, Size},
};
use sdk::{MocClient, trust::Strength};
use serde_json::json;

use crate::{
    connect,
    home::{Account, Home, Reference as Pinned},
    outcome::Failed,
};

/// `tamarack init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The Network M/OC's address
    #[arg(long, value_name = "URL")]
    moc: String,
    /// File with the tenant's token
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// File with trust anchors for TLS besides the platform's (PEM)
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Init {
    /// Makes the home; an owner's key that is there stays.
    ///
    /// # Errors
    /// See [`Failed`].
    pub fn run(self, home: &Home) -> Result<(), Failed> {
        let anchors = self.roots.as_ref().map(connect::anchors).transpose()?;
        // What cannot work later is refused here.
        let _usable = MocClient::new(&self.moc, "", anchors.as_deref())?;
        home.create()?;
        let token_file = absolute(&self.token_file)?;
        let roots = self.roots.as_deref().map(absolute).transpose()?;
        home.keep_account(&Account { moc: self.moc, token_file, roots })?;
        let owner = create(&home.owner_key(), Algorithm::Esp256)?;
        if self.json {
            println!("{}", json!({ "owner": owner }));
        } else {
            println!("Your components begin with the thumbprint of your key:\n  {owner}");
            println!("The key is {}; keep it.", home.owner_key().display());
        }
        Ok(())
    }
}

/// `tamarack trust`.
#[derive(Debug, Args)]
pub struct Trust {
    /// The Verifier whose results are compared: a COSE_Key in hexadecimal
    #[arg(long, value_name = "HEX")]
    verifier: Option<String>,
    /// The root of an emulator of SGX and TDX that is accepted: SHA-256 of its
    /// SubjectPublicKeyInfo, in hexadecimal
    #[arg(long, value_name = "HEX")]
    emulator: Vec<String>,
    /// A list of anchors (TOML) that are accepted: emulators of any family, and single devices
    #[arg(long, value_name = "FILE")]
    anchors: Option<PathBuf>,
    /// Signed reference values (CoRIM)
    #[arg(long, value_name = "FILE", requires = "reference_signer")]
    reference: Option<PathBuf>,
    /// The key of who signed them (COSE_Key)
    #[arg(long, value_name = "FILE", requires = "reference")]
    reference_signer: Option<PathBuf>,
    /// A directory with your own copy of the vendors' collateral
    #[arg(long, value_name = "DIR")]
    collateral: Option<PathBuf>,
    /// Your own appraisal policy (TOML) in place of the strict default
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Whose word is enough: `result` (the pinned Verifier's), `evidence` (the Verifier's, and your
    /// own appraisal of its Evidence), or `own` (your own nonce and appraisal) [default: own]
    #[arg(long, value_name = "STRENGTH")]
    strength: Option<Strength>,
    /// The suites of the channel that data may be sealed with, the preferred one first
    /// [default: x-wing,p-256,x25519]
    #[arg(long, value_name = "SUITES", value_delimiter = ',')]
    channel: Option<Vec<String>>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Trust {
    /// Adds pins and shows all.
    ///
    /// # Errors
    /// See [`Failed`].
    pub fn run(self, home: &Home) -> Result<(), Failed> {
        home.create()?;
        let mut pins = home.pins()?;
        if let Some(verifier) = self.verifier {
            let key = hex::decode(&verifier).context("--verifier is not hexadecimal")?;
            cose::Key::decode(&key).context("--verifier is no COSE_Key")?;
            pins.verifier = Some(verifier);
        }
        for emulator in self.emulator {
            let digest = hex::decode(&emulator).context("--emulator is not hexadecimal")?;
            <[u8; 32]>::try_from(digest.as_slice())
                .context("--emulator must be 32 bytes (64 digits)")?;
            if !pins.emulators.contains(&emulator) {
                pins.emulators.push(emulator);
            }
        }
        if let (Some(corim), Some(signer)) = (self.reference, self.reference_signer) {
            let pinned = Pinned { corim: absolute(&corim)?, signer: absolute(&signer)? };
            if !pins.references.contains(&pinned) {
                pins.references.push(pinned);
            }
        }
        if let Some(anchors) = self.anchors {
            pins.anchors = Some(absolute(&anchors)?);
        }
        if let Some(collateral) = self.collateral {
            pins.collateral = Some(absolute(&collateral)?);
        }
        if let Some(policy) = self.policy {
            pins.policy = Some(absolute(&policy)?);
        }
        if let Some(channel) = self.channel {
            Suites::parse(channel.iter().map(String::as_str)).context("--channel")?;
            pins.channel = Some(channel);
        }
        if let Some(strength) = self.strength {
            pins.strength = strength;
        }
        home.keep_pins(&pins)?;
        if self.json {
            println!("{}", json!(pins));
        } else {
            println!("{}", toml::to_string(&pins).context("showing the pins")?);
        }
        Ok(())
    }
}

/// What a key signs with.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub enum Kind {
    /// ECDSA on P-256
    #[default]
    Esp256,
    /// EdDSA on Ed25519
    Ed25519,
    /// ECDSA on P-384
    Esp384,
    /// Hash-based: safe against quantum computers, for 1048576 signatures; the file is the key's
    /// state and is never copied
    HssLms,
    /// The same for 1024 signatures, made and used in a blink
    #[value(name = "hss-lms-1024")]
    HssLms1024,
}

/// `tamarack key`.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Makes a signing key and, beside it, its public key
    New {
        /// The private key's file; the public key gets the ending `pub`
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// What it signs with
        #[arg(long, value_enum, default_value_t)]
        algorithm: Kind,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Key {
    /// Runs the command.
    ///
    /// # Errors
    /// See [`Failed`].
    pub fn run(self) -> Result<(), Failed> {
        let Self::New { out, algorithm, json } = self;
        let thumbprint = match algorithm {
            Kind::Esp256 => create(&out, Algorithm::Esp256),
            Kind::Ed25519 => create(&out, Algorithm::Ed25519),
            Kind::Esp384 => create(&out, Algorithm::Esp384),
            Kind::HssLms => create_hash_based(&out, Size::Million),
            Kind::HssLms1024 => create_hash_based(&out, Size::Thousand),
        }?;
        if json {
            println!("{}", json!({ "thumbprint": thumbprint }));
        } else {
            println!("{thumbprint}");
        }
        Ok(())
    }
}

fn create(path: &Path, algorithm: Algorithm) -> Result<String> {
    let key = file::load_or_create(path, algorithm)
        .with_context(|| format!("making the key {}", path.display()))?;
    publish(path, key.key())
}

fn create_hash_based(path: &Path, size: Size) -> Result<String> {
    let key =
        HssKey::create(path, size).with_context(|| format!("making the key {}", path.display()))?;
    publish(path, key.key())
}

fn publish(path: &Path, key: &cose::Key) -> Result<String> {
    file::save_public(file::public_path(path), key)
        .with_context(|| format!("writing the public key beside {}", path.display()))?;
    Ok(key.thumbprint().to_string())
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("finding {}", path.display()))
}
