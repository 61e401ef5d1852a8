//! What a session cannot do without on the M/OC's side: its signatures and key agreements, bare.

use anyhow::{Result, anyhow};
use aws_lc_rs::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey as Agreed, X25519};
use aws_lc_rs::kem::{DecapsulationKey, EncapsulationKey, ML_KEM_768};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, UnparsedPublicKey,
};

/// The operations, and what they took so far.
pub(crate) struct Floor {
    random: SystemRandom,
    p256: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
    signature: Vec<u8>,
    peer: Vec<u8>,
    encapsulation: EncapsulationKey,
    seconds: Vec<f64>,
}

impl Floor {
    pub(crate) fn new() -> Result<Self> {
        let random = SystemRandom::new();
        let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        let signature = p256.sign(&random, &MESSAGE)?.as_ref().to_vec();
        let peer = EphemeralPrivateKey::generate(&X25519, &random)?;
        let decapsulation = DecapsulationKey::generate(&ML_KEM_768)?;
        Ok(Self {
            p256,
            ed25519: Ed25519KeyPair::generate()?,
            signature,
            peer: peer.compute_public_key()?.as_ref().to_vec(),
            encapsulation: decapsulation.encapsulation_key()?,
            random,
            seconds: Vec::new(),
        })
    }

    /// Measures a batch; called between the rounds of what it is compared with.
    pub(crate) fn round(&mut self) {
        for _ in 0..5 {
            let begun = bench::thread_seconds();
            for _ in 0..BATCH {
                self.session();
            }
            self.seconds.push((bench::thread_seconds() - begun) / f64::from(BATCH));
        }
    }

    /// The median of the batches: CPU seconds of one session's operations.
    pub(crate) fn session_seconds(&mut self) -> f64 {
        self.seconds.sort_by(f64::total_cmp);
        self.seconds[self.seconds.len() / 2]
    }

    /// One session of the M/OC.
    fn session(&self) {
        // TLS 1.3: X25519MLKEM768, and the signature of CertificateVerify.
        self.agree().expect("both keys are of their kind");
        self.sign();
        // QueryRequest to somebody unknown, who may choose the suite.
        self.sign();
        std::hint::black_box(self.ed25519.sign(&MESSAGE));
        // QueryResponse; the quote in it with its enclave's report and the platform's certificate,
        // which is one that was not seen before; the EAT that it vouches for.
        for _ in 0..5 {
            self.verify();
        }
        // The manifest, before it is relayed; Update.
        self.verify();
        self.sign();
        // Success; the SUIT report in it.
        for _ in 0..2 {
            self.verify();
        }
    }

    fn agree(&self) -> Result<()> {
        let own = EphemeralPrivateKey::generate(&X25519, &self.random)?;
        std::hint::black_box(own.compute_public_key()?);
        let failed = anyhow!("the peer's key is none");
        let shared =
            agreement::agree_ephemeral(own, Agreed::new(&X25519, &self.peer), failed, |s| {
                Ok(std::hint::black_box(s.to_vec()))
            })?;
        std::hint::black_box(shared);
        let sealed = self.encapsulation.encapsulate()?;
        std::hint::black_box(&sealed);
        Ok(())
    }

    fn sign(&self) {
        let made = self.p256.sign(&self.random, &MESSAGE).expect("a P-256 key signs everything");
        std::hint::black_box(made);
    }

    fn verify(&self) {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.p256.public_key().as_ref());
        key.verify(&MESSAGE, &self.signature).expect("it was signed with this key");
    }
}

/// About as long as what is signed in a session.
const MESSAGE: [u8; 512] = [0x5a; 512];
const BATCH: u32 = 20;
