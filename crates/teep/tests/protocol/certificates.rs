//! Keys that certificates vouch for: x5chain beside a signature.

use cose::Signer;
use teep::envelope::{
    self, Dialect, Hint, NoKey, Outgoing, PeerKey, Protection, Rejected, Signers, Standing,
};
use teep::message::Success;
use teep::{ErrCode, Message, Numbering, Suite};

use crate::authority::{Authority, EARLY, EXPIRED, VALID};
use crate::support::{MessageKeys, NOW};

#[test]
fn a_key_with_a_chain_to_an_anchor_counts_while_its_certificate_does() {
    let (authority, keys) = (Authority::new(), MessageKeys::generate());
    let certified = Certified { chain: vec![authority.certify(keys.esp256.key(), VALID)], keys };

    for protection in [Protection::Sign1(Suite::Esp256), Protection::Sign(Suite::MANDATORY.into())]
    {
        let bytes = certified.seal(protection);
        let opened = envelope::open(&bytes, &Dialect::default(), &|hint: &Hint<'_>| {
            hint.certified(&[authority.anchor()], NOW)
        });

        let opened = opened.unwrap();
        let signer = opened.signer();
        assert_eq!(signer.key, *certified.keys.esp256.key());
        assert_eq!(signer.standing, Standing::Anchored);
        assert!(signer.valid_until.is_some_and(|until| signer.check(until) == Ok(())));
        let late = signer.valid_until.map(|until| until.after(1)).unwrap();
        assert_eq!(signer.check(late), Err(NoKey::Expired));
    }
}

//= teep 14.51 (M): a certificate that is bad or expired gives Error 6 or 9
#[test]
fn each_fault_of_a_chain_has_its_reason() {
    let (authority, other) = (Authority::new(), Authority::new());
    let keys = MessageKeys::generate();
    let own = keys.esp256.key().clone();
    let mut certified = Certified { chain: Vec::new(), keys };
    let stranger = MessageKeys::generate();

    for (chain, no_key, code) in [
        (vec![], NoKey::Unknown, ErrCode::BadCertificate),
        (vec![other.certify(&own, VALID)], NoKey::Unknown, ErrCode::BadCertificate),
        (vec![authority.certify(&own, EXPIRED)], NoKey::Expired, ErrCode::CertificateExpired),
        (vec![authority.certify(&own, EARLY)], NoKey::Expired, ErrCode::CertificateExpired),
        (
            vec![authority.certify(stranger.esp256.key(), VALID)],
            NoKey::BadCertificate,
            ErrCode::BadCertificate,
        ),
        (vec![authority.anchor()], NoKey::BadCertificate, ErrCode::BadCertificate),
        (vec![vec![0x30, 0]], NoKey::BadCertificate, ErrCode::BadCertificate),
        (
            vec![authority.certify(&own, VALID), other.anchor()],
            NoKey::BadCertificate,
            ErrCode::BadCertificate,
        ),
    ] {
        certified.chain = chain;
        let bytes = certified.seal(Protection::Sign1(Suite::Esp256));

        let keys = |hint: &Hint<'_>| -> Result<PeerKey, NoKey> {
            hint.certified(&[authority.anchor()], NOW)
        };
        let rejected = envelope::open(&bytes, &Dialect::default(), &keys).unwrap_err();

        assert_eq!(rejected, Rejected::Key(no_key));
        assert_eq!(rejected.err_code(), code);
    }
}

/// One party, with certificates for its ESP256 key.
struct Certified {
    keys: MessageKeys,
    chain: Vec<Vec<u8>>,
}

impl Certified {
    fn seal(&self, protection: Protection) -> Vec<u8> {
        let message = Message::Success(Success::default());
        Outgoing { message, numbering: Numbering::V26, protection }.seal(self).unwrap()
    }
}

impl Signers for Certified {
    fn signer(&self, suite: Suite) -> Option<&dyn Signer> {
        self.keys.signer(suite)
    }

    fn x5chain(&self, suite: Suite) -> &[Vec<u8>] {
        if suite == Suite::Esp256 { &self.chain } else { &[] }
    }
}
