use std::cell::Cell;
use std::collections::BTreeMap;

use cose::{Header, Key, Payload, Signer};

use super::*;
use crate::build::sign_digest;
use crate::command::{Condition, Directive};
use crate::digest::Digest;
use crate::report::Reason;
use crate::sample::{Bench, digest_of, draft, encoded, id, installing, sequence, writing};
use crate::testing::{authentic, new_key, public};
use crate::{Anchors, Hint, Parameter, Procedure, Secret, Severable, Signer as By};

//= suit 13.1 (M): Tagged 107 and untagged envelopes accepted; other tags refused. M 8.2
#[test]
fn an_envelope_may_be_tagged_107_and_not_otherwise() {
    let bare = signed();
    let tagged = |tag: u64| {
        encoded(|w| {
            w.tag(tag).raw(&bare);
        })
    };

    let with_tag = tagged(107);
    let envelope = Envelope::decode(&with_tag).unwrap();

    assert_eq!(envelope.encode(), with_tag);
    assert!(authenticate(&with_tag).is_ok());
    assert!(authenticate(&bare).is_ok());
    assert_eq!(Envelope::decode(&tagged(108)), Err(Malformed::Tag(108).into()));
}

//= suit 13.17 (M): tag 1070 bare manifest not accepted as an update. M 8.2
#[test]
fn a_bare_manifest_is_no_update() {
    let manifest = Envelope::decode(&signed()).unwrap().manifest_bytes().to_vec();
    let tagged = encoded(|w| {
        w.tag(1070).raw(&manifest);
    });

    assert_eq!(Envelope::decode(&tagged), Err(Malformed::Tag(1070).into()));
    assert!(Envelope::decode(&manifest).is_err());
}

//= suit 13.2 (M): Missing key 2 or 3 refused. M 8.2
#[test]
fn an_envelope_needs_authentication_and_manifest() {
    let only = |key: i64| {
        encoded(|w| {
            w.map(1).int(key).bytes(b"");
        })
    };

    assert_eq!(Envelope::decode(&only(2)), Err(Malformed::Absent("manifest").into()));
    assert_eq!(Envelope::decode(&only(3)), Err(Malformed::Absent("authentication-wrapper").into()));
}

//= suit 13.3 (M): Wrapper without any authentication block refused. M 8.3
#[test]
fn a_digest_without_a_signature_is_not_enough() {
    let unsigned = with_blocks(&[]);

    assert_eq!(authenticate(&unsigned).err(), Some(Untrusted::Unsigned.into()));
}

//= suit 13.4 (M): Digest mismatch refused, no command run. M 8.3
#[test]
fn a_manifest_with_another_digest_is_refused_and_none_of_it_runs() {
    let mut bench = Bench::new();
    let one = bench.sign(installing(writing(b"one")));
    let other = bench.sign(installing(writing(b"two")));
    let mut forged = Envelope::decode(&one).unwrap();
    forged.manifest = Envelope::decode(&other).unwrap().manifest;

    let verdict = bench.try_run_envelope(&forged.encode(), Procedure::Update);

    assert_eq!(verdict, Err(Untrusted::ManifestDigest.into()));
    assert!(bench.shell.trace.is_empty());
}

//= suit 13.5 (M): Signature checked before manifest members are parsed (spy parser sees
//= nothing). M 6.2
#[test]
fn a_manifest_that_is_rubbish_is_not_looked_at_before_its_signature() {
    let key = new_key();
    let rubbish = b"\xff\xff not CBOR";
    let asked = Cell::new(0);
    let anchors = |_: &Hint<'_>| -> Option<Key> {
        asked.set(asked.get() + 1);
        None
    };

    let envelope = envelope_of(rubbish, &[sign_digest(&digest(rubbish), &key).unwrap()]);
    let stranger = Envelope::decode(&envelope).unwrap().authenticate(&anchors, &Accept::CURRENT);
    let known = authenticate_by(&envelope, &Anchors::none().with_key(public(&key)));

    assert_eq!(stranger.err(), Some(Untrusted::UnknownKey.into()));
    assert_eq!(asked.get(), 1);
    // With a signature the rubbish is looked at, and only then.
    assert!(matches!(known.err(), Some(Error::Malformed(_))));
}

//= suit 13.6 (M): Several blocks: all over the same digest; one trusted and valid suffices;
//= invalid trusted-looking extra block is not ignored silently (log). M 8.3
#[test]
fn one_good_block_suffices_and_the_others_are_told() {
    let (good, other) = (new_key(), new_key());
    let manifest = sample_manifest();
    let digest = digest(&manifest);
    let mut torn = sign_digest(&digest, &good).unwrap();
    *torn.last_mut().unwrap() ^= 1;
    let blocks =
        [torn, sign_digest(&digest, &other).unwrap(), sign_digest(&digest, &good).unwrap()];
    let envelope = envelope_of(&manifest, &blocks);

    let verified = authenticate_by(&envelope, &Anchors::none().with_key(public(&good))).unwrap();

    assert_eq!(verified.signer_thumbprint(), Some(good.key().thumbprint()));
    assert_eq!(
        verified.rejected_blocks(),
        [(0, Untrusted::Signature.into()), (1, Untrusted::UnknownKey.into())]
    );
}

//= suit 13.6 (M): Several blocks: all over the same digest; one trusted and valid suffices;
//= invalid trusted-looking extra block is not ignored silently (log). M 8.3
#[test]
fn a_block_over_another_digest_does_not_count() {
    let key = new_key();
    let manifest = sample_manifest();
    let envelope = envelope_of(&manifest, &[sign_digest(&digest(b"other"), &key).unwrap()]);

    let verdict = authenticate_by(&envelope, &Anchors::none().with_key(public(&key)));

    assert_eq!(verdict.err(), Some(Untrusted::Signature.into()));
}

//= suit 13.7 (M): Block with attached payload refused. M 8.3
#[test]
fn a_block_with_a_payload_of_its_own_is_malformed() {
    let key = new_key();
    let manifest = sample_manifest();
    let digest = digest(&manifest).encode();
    let block =
        cose::sign1(&key, Header::default(), Header::default(), &[], Payload::Attached(&digest));
    let envelope = envelope_of(&manifest, &[block.unwrap()]);

    let verdict = authenticate_by(&envelope, &Anchors::none().with_key(public(&key)));

    assert_eq!(verdict.err(), Some(Malformed::Authentication(0).into()));
}

//= suit 13.8 (M): Sign1, Sign, Mac0, Mac parsed; unsupported kind gives reason 2 and not a
//= crash. M 8.3, R 4.2
#[test]
fn each_kind_of_block_authenticates_and_another_kind_is_an_unsupported_structure() {
    let (key, other) = (new_key(), new_key());
    let secret = [7; 32];
    let shared = cose::Secret::new(secret.to_vec());
    let manifest = sample_manifest();
    let digest = digest(&manifest).encode();
    let payload = Payload::Detached(&digest);
    let sign = cose::sign(&[&other, &key], &[], payload).unwrap();
    let mac0 =
        cose::mac::mac0(&shared, Header::default(), Header::default(), &[], payload).unwrap();
    let recipient = cose::encrypt::Recipient::KeyWrap { key: &shared, kid: None };
    let inner = cose::Secret::new(vec![9; 32]);
    let mac = cose::mac::mac(inner, &[recipient], "", &[], payload).unwrap();
    let unsupported = encoded(|w| {
        w.tag(16).array(0);
    });
    let anchors = Anchors::none().with_key(public(&key)).with_secret(Secret::new(&secret));
    let verdict = |block: Vec<u8>| {
        let envelope = envelope_of(&manifest, &[block]);
        authenticate_by(&envelope, &anchors).map(|verified| verified.signer().clone())
    };

    assert_eq!(verdict(sign), Ok(By::Key(key.key().thumbprint())));
    assert_eq!(verdict(mac0), Ok(By::Secret(cose::sha256(&secret))));
    assert_eq!(verdict(mac), Ok(By::Secret(cose::sha256(&secret))));
    let refused = verdict(unsupported).unwrap_err();
    assert_eq!(refused, Unsupported::AuthenticationKind(16).into());
    assert_eq!(refused.reason(), Reason::CosePart);
}

//= suit 13.9 (M): Unknown alg gives reason 3; unknown key or bad signature reason 4. R 4.2
#[test]
fn an_unknown_algorithm_and_a_bad_signature_have_different_reasons() {
    let key = new_key();
    let manifest = sample_manifest();
    let good = sign_digest(&digest(&manifest), &key).unwrap();
    // The protected header is h'a10128', ESP256; -10 is another algorithm.
    let at = good.windows(4).position(|w| w == [0x43, 0xa1, 0x01, 0x28]).unwrap();
    let mut foreign = good.clone();
    foreign[at + 3] = 0x29;
    let mut torn = good.clone();
    *torn.last_mut().unwrap() ^= 1;
    let anchors = Anchors::none().with_key(public(&key));
    let error = |block: &Vec<u8>, anchors: &Anchors| {
        let envelope = envelope_of(&manifest, std::slice::from_ref(block));
        authenticate_by(&envelope, anchors).err().unwrap()
    };

    assert_eq!(error(&foreign, &anchors), Unsupported::Algorithm(-10).into());
    assert_eq!(error(&foreign, &anchors).reason(), Reason::Algorithm);
    assert_eq!(error(&torn, &anchors).reason(), Reason::Signature);
    assert_eq!(error(&good, &Anchors::none()).reason(), Reason::Signature);
}

//= suit 13.10 (M): Map keys of envelope and manifest in canonical order when encoding; wrapper
//= before manifest. M 8.1, 8.3
#[test]
fn what_is_built_is_deterministic_cbor_with_the_wrapper_first() {
    let mut draft = installing(writing(b"content"));
    draft.payloads.insert("#long".to_owned(), b"1".to_vec());
    draft.payloads.insert("#z".to_owned(), b"2".to_vec());
    draft.severable.push(Section::Install);
    let envelope = Bench::new().sign(draft);
    let limits = cose::cbor::Limits::DEFAULT;

    assert_eq!(cose::cbor::check_deterministic(&envelope, limits), Ok(()));
    let manifest = Envelope::decode(&envelope).unwrap().manifest_bytes().to_vec();
    assert_eq!(cose::cbor::check_deterministic(&manifest, limits), Ok(()));
    // A map of five members, the first of which is key 2.
    assert_eq!(envelope[..2], [0xa5, 0x02]);
}

//= suit 13.11 (R): Decoder refuses unordered or duplicate keys in manifest and envelope maps.
#[test]
fn unordered_and_double_keys_are_malformed() {
    let unordered = encoded(|w| {
        w.map(2).int(3).bytes(b"").int(2).bytes(b"");
    });
    let double = encoded(|w| {
        w.map(2).int(3).bytes(b"").int(3).bytes(b"");
    });
    let manifest = encoded(|w| {
        w.map(3).int(1).uint(1).int(3).bytes(b"").int(2).uint(1);
    });

    assert_eq!(Envelope::decode(&unordered), Err(cose::cbor::Malformed::Order.into()));
    assert_eq!(Envelope::decode(&double), Err(cose::cbor::Malformed::DuplicateKey.into()));
    assert_eq!(manifest_verdict(&manifest), Err(cose::cbor::Malformed::Order.into()));
}

//= suit 13.12 (M): Severed member absent: section cannot run and says so; present: digest
//= checked first. M 8.4.12
//= suit 13.15 (S): Removing text (23) or other severed parts keeps the signature valid. M 8.6
#[test]
fn a_severed_member_may_be_cut_off_and_is_then_missing() {
    let mut bench = Bench::new();
    let mut draft = installing(writing(b"content"));
    draft.severable.push(Section::Install);
    draft.text = Some(sample_text());
    let full = bench.sign(draft);

    let cut = Envelope::decode(&full).unwrap().sever(20).sever(23).encode();

    let verified = authentic(&cut);
    assert!(matches!(verified.manifest().text, Some(Severable::Severed(_))));
    assert!(authentic(&full).manifest().text.as_ref().unwrap().content().is_some());
    assert_eq!(bench.try_run_envelope(&full, Procedure::Update).unwrap().failure, None);
    let failure = bench.try_run_envelope(&cut, Procedure::Update).unwrap().failure.unwrap();
    assert_eq!(failure.reason(), Reason::SeveringUnsupported);
}

//= suit 13.13 (M): Replaced severable member (other bytes, other valid signature inside)
//= refused. M 5.4
#[test]
fn a_replaced_or_foreign_severable_member_is_refused() {
    let bench = Bench::new();
    let severable = |content: &[u8]| {
        let mut draft = installing(writing(content));
        draft.severable.push(Section::Install);
        bench.sign(draft)
    };
    let (one, two) = (severable(b"one"), severable(b"two"));
    let inline = bench.sign(installing(writing(b"one")));
    let stranger = Envelope::decode(&two).unwrap().members[&20];

    let replace = |envelope: &[u8]| {
        let mut replaced = Envelope::decode(envelope).unwrap();
        replaced.members.insert(20, stranger);
        replaced.encode()
    };

    assert_eq!(authenticate(&replace(&one)).err(), Some(Untrusted::SeveredDigest(20).into()));
    assert_eq!(authenticate(&replace(&inline)).err(), Some(Untrusted::Unbound(20).into()));
}

#[test]
fn a_wrapper_with_too_many_blocks_is_not_verified_block_by_block() {
    let key = new_key();
    let manifest = sample_manifest();
    let block = sign_digest(&digest(&manifest), &key).unwrap();
    let anchors = Anchors::none().with_key(public(&key));

    let envelope = envelope_of(&manifest, &vec![block; 9]);

    assert_eq!(authenticate_by(&envelope, &anchors).err(), Some(Unsupported::Blocks(9).into()));
}

#[test]
fn an_integrated_payload_may_be_cut_off_too() {
    let mut draft = installing(writing(b"content"));
    draft.payloads.insert("#x".to_owned(), b"payload".to_vec());
    let full = Bench::new().sign(draft);

    let cut = Envelope::decode(&full).unwrap().without_payload("#x").encode();

    assert!(Envelope::decode(&cut).unwrap().payloads().is_empty());
    assert!(authenticate(&cut).is_ok());
}

//= suit 13.14 (M): Text key in envelope not referenced by any uri: ignored. M 7.5
#[test]
fn a_payload_that_nobody_asks_for_is_ignored() {
    let mut bench = Bench::new();
    let mut draft = installing(writing(b"content"));
    draft.payloads.insert("#unused".to_owned(), b"rubbish".to_vec());

    let ending = bench.run(draft, Procedure::Update);

    assert_eq!(ending.failure, None);
    assert_eq!(bench.shell.store.len(), 1);
}

#[test]
fn an_unknown_member_of_the_envelope_is_unsupported() {
    let mut envelope = Envelope::decode(signed().leak()).unwrap();
    envelope.members.insert(17, b"");

    assert_eq!(Envelope::decode(&envelope.encode()), Err(Unsupported::EnvelopeMember(17).into()));
}

//= suit 13.18 (M): manifest-version other than 1 refused before anything else. M 6.1
#[test]
fn another_manifest_version_is_refused_before_its_rubbish_is_read() {
    let manifest = encoded(|w| {
        w.map(3).int(1).uint(2).int(2).text("rubbish").int(3).text("rubbish");
    });
    let without = encoded(|w| {
        w.map(1).int(2).uint(2);
    });

    assert_eq!(manifest_verdict(&manifest), Err(Unsupported::ManifestVersion(2).into()));
    assert_eq!(manifest_verdict(&without), Err(Malformed::Absent("manifest-version").into()));
}

//= suit 13.28 (M): validate, load, invoke not severable; uninstall not severable. M 8.4, D 6
#[test]
fn sections_that_have_to_stay_are_never_severed() {
    for section in [Section::Validate, Section::Load, Section::Invoke, Section::Uninstall] {
        let mut draft = draft(1);
        draft.sections.insert(section, sequence().condition(Condition::ImageMatch));
        draft.severable.push(section);

        let envelope = Bench::new().sign(draft);

        // The member in the envelope is refused, and so is the digest in the manifest.
        assert_eq!(
            authenticate(&envelope).err(),
            Some(Unsupported::EnvelopeMember(section.key()).into())
        );
        let cut = envelope_without(&envelope, section.key());
        assert_eq!(authenticate(&cut).err(), Some(Malformed::NeverSevered(section.key()).into()));
    }
}

//= suit 13.24 (M): Custom command or custom parameter in the shared sequence refused. M 6.2,
//= 8.4.8
//= suit 13.25 (M): Only allowed commands in shared: conditions, 12, 15, 20, 32 (M App. A), plus
//= 19 because the dependency template of D 8.1 puts set-parameters there although no CDDL allows
//= it.
#[test]
fn the_shared_sequence_holds_what_is_allowed_there_and_nothing_else() {
    let custom = Parameter::Custom(-300, crate::parameter::CustomValue::Int(1));
    let size = Parameter::ImageSize(1);
    let nested = sequence().directive(Directive::Write);
    let allowed = sequence()
        .select(0)
        .override_parameters(std::slice::from_ref(&size))
        .set_parameters(std::slice::from_ref(&size))
        .condition(Condition::VendorIdentifier)
        .try_each(&[sequence().abort(), sequence().abort()], true)
        .run_sequence(&sequence().abort());
    let nothing = |label: i64| {
        sequence().command(label, |w| {
            w.null();
        })
    };
    for (shared, verdict) in [
        (allowed, None),
        (nothing(-257), Some(Malformed::SharedCommand(-257))),
        (sequence().override_parameters(&[custom]), Some(Malformed::SharedParameter(-300))),
        (sequence().directive(Directive::Fetch), Some(Malformed::SharedCommand(21))),
        (sequence().directive(Directive::ProcessDependency), Some(Malformed::SharedCommand(11))),
        (sequence().run_sequence(&nested), Some(Malformed::SharedCommand(18))),
        (nothing(99), Some(Malformed::SharedCommand(99))),
    ] {
        let mut draft = draft(1);
        draft.shared = shared;

        let envelope = Bench::new().sign(draft);

        assert_eq!(authenticate(&envelope).err(), verdict.map(Error::from));
    }
}

//= suit 13.38 (M): try-each: first success ends; all fail: error; final nil: success; fewer
//= than two sequences malformed. M 8.4.10.2
//= suit 13.51 (M): Nesting depth of try-each and run-sequence bounded (R: 8).
//= suit 13.52 (M): Reporting policy bits above 3 or of wrong type: malformed.
#[test]
fn malformed_and_too_deep_sequences_are_refused_before_anything_runs() {
    let argument = |label: i64, encoded: &'static [u8]| {
        sequence().command(label, |w| {
            w.raw(encoded);
        })
    };
    let deep =
        |depth: usize| (0..depth).fold(writing(b"x"), |inner, _| sequence().run_sequence(&inner));
    let one = sequence().try_each(&[sequence().abort()], true);
    let expected = |label: i64| Error::from(Malformed::Argument(label));
    for (commands, verdict) in [
        (argument(21, &[0x10]), Some(Malformed::ReportingPolicy(16).into())),
        (argument(21, &[0xf5]), Some(expected(21))),
        (argument(3, &[0x20]), Some(expected(3))),
        (argument(12, &[0xf4]), Some(expected(12))),
        (argument(12, &[0x80]), Some(expected(12))),
        (argument(20, &[0xa0]), Some(expected(20))),
        (argument(20, &[0xa1, 0x0e, 0xf5]), Some(Malformed::Parameter(14).into())),
        (argument(20, &[0xa1, 0x18, 0x63, 0x00]), Some(Unsupported::Parameter(99).into())),
        (argument(-257, &[0x80]), Some(expected(-257))),
        (one, Some(expected(15))),
        (deep(8), None),
        (deep(9), Some(Unsupported::Nesting(8).into())),
        (sequence().run_sequence(&sequence()), Some(Malformed::Expected(PAIRS).into())),
    ] {
        let envelope = Bench::new().sign(installing(commands));

        assert_eq!(authenticate(&envelope).err(), verdict);
    }
}

//= suit 13.105 (M): Well-formed non-severed coswid does not cause failure. U 3.2
//= suit 13.106 (M): set-version carries no operator and no build metadata; text versions never
//= used for decisions. U 3.1, 3.4
#[test]
fn a_software_identity_is_kept_and_a_set_version_is_only_numbers() {
    let with = |key: i64, value: &[u8]| {
        let mut manifest = encoded(|w| {
            w.map(4).int(1).uint(1).int(2).uint(1);
            w.int(3).raw(&sample_common()).int(key);
        });
        manifest.extend_from_slice(value);
        manifest
    };

    assert_eq!(manifest_verdict(&with(14, &[0x41, 0xa0])), Ok(()));
    assert_eq!(manifest_verdict(&with(6, &[0x44, 0x83, 0x01, 0x02, 0x22])), Ok(()));
    assert_eq!(
        manifest_verdict(&with(6, &[0x44, 0x82, 0x01, 0x61, 0x61])),
        Err(Malformed::Expected("an integer").into())
    );
    assert_eq!(manifest_verdict(&with(25, &[0x01])), Err(Unsupported::ManifestMember(25).into()));
}

#[test]
fn components_are_listed_once_and_dependencies_have_a_place() {
    let common = |write: &dyn Fn(&mut Writer)| {
        encoded(|w| {
            w.map(3).int(1).uint(1).int(2).uint(1).int(3).wrapped(write);
        })
    };
    let twice = common(&|w| {
        w.map(1).int(2).array(2).array(1).bytes(b"a").array(1).bytes(b"a");
    });
    let nowhere = common(&|w| {
        w.map(2).int(1).map(1).uint(1).map(0);
        w.int(2).array(1).array(1).bytes(b"a");
    });
    let empty = common(&|w| {
        w.map(0);
    });

    assert_eq!(manifest_verdict(&twice), Err(Malformed::ComponentTwice(id("a")).into()));
    assert_eq!(manifest_verdict(&nowhere), Err(Malformed::DependencyPlace(1).into()));
    assert_eq!(manifest_verdict(&empty), Err(Malformed::Absent("a component").into()));
}

fn signed() -> Vec<u8> {
    Bench::new().sign(installing(writing(b"content")))
}

fn sample_manifest() -> Vec<u8> {
    installing(writing(b"content")).manifest(&mut BTreeMap::new())
}

fn sample_common() -> Vec<u8> {
    encoded(|w| {
        w.wrapped(|w| {
            w.map(1).int(2).array(1).array(1).bytes(b"a");
        });
    })
}

fn sample_text() -> Vec<u8> {
    encoded(|w| {
        w.map(1).text("en").map(1).int(1).text("words");
    })
}

fn digest(manifest: &[u8]) -> Digest {
    let wrapped = encoded(|w| {
        w.bytes(manifest);
    });
    digest_of(&wrapped)
}

fn envelope_of(manifest: &[u8], blocks: &[Vec<u8>]) -> Vec<u8> {
    let severed = BTreeMap::new();
    draft(1).envelope(&digest(manifest), blocks, manifest, &severed)
}

fn envelope_without(envelope: &[u8], key: i64) -> Vec<u8> {
    // The decoder refuses the envelope, so the member is cut out by its bytes.
    let mut reader = Reader::open(envelope).unwrap();
    let count = reader.map().unwrap();
    encoded(|w| {
        w.map(count as usize - 1);
        for _ in 0..count {
            let own = reader.int().unwrap();
            let value = reader.bytes().unwrap();
            if own != key {
                w.int(own).bytes(value);
            }
        }
    })
}

fn with_blocks(blocks: &[Vec<u8>]) -> Vec<u8> {
    envelope_of(&sample_manifest(), blocks)
}

/// What becomes of a manifest whose signature is good.
fn manifest_verdict(manifest: &[u8]) -> Result<(), Error> {
    let key = new_key();
    let envelope = envelope_of(manifest, &[sign_digest(&digest(manifest), &key).unwrap()]);
    authenticate_by(&envelope, &Anchors::none().with_key(public(&key))).map(drop)
}

fn authenticate(envelope: &[u8]) -> Result<Verified<'_>, Error> {
    authenticate_by(envelope, &Anchors::none().with_self_certified())
}

fn authenticate_by<'b>(envelope: &'b [u8], anchors: &Anchors) -> Result<Verified<'b>, Error> {
    Envelope::decode(envelope)?.authenticate(anchors, &Accept::CURRENT)
}

const PAIRS: &str = "pairs of command and argument";
