//! `tamarack inspect` over every vector of the specifications.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "lets a test fail or be skipped")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use cli::inspect::{Keyring, Part, explain};

#[test]
fn every_message_of_draft_26_is_recognised() {
    let Some(vectors) = vectors("every_message_of_draft_26_is_recognised") else { return };
    for (file, name) in [
        ("query_request", "QueryRequest"),
        ("query_response", "QueryResponse"),
        ("update", "Update"),
        ("teep_success", "Success"),
        ("teep_error", "Error"),
        ("suit_uri", "SUIT_Envelope"),
        ("suit_integrated", "SUIT_Envelope"),
        ("suit_personalization", "SUIT_Envelope"),
    ] {
        let part = explained(&vectors.join("teep/draft-26").join(file).with_extension("cbor"));

        assert_eq!(part.name, name, "{file}");
    }
}

#[test]
fn the_older_numbering_is_told_apart() {
    let Some(vectors) = vectors("the_older_numbering_is_told_apart") else { return };
    for file in ["query_request", "query_response", "teep_success", "teep_error"] {
        let part = explained(&vectors.join("teep/draft-18").join(file).with_extension("cbor"));

        assert_eq!(part.value, "numbers of drafts -18 to -25", "{file}");
    }
}

#[test]
fn a_signature_is_checked_with_the_key_that_is_given() {
    let Some(vectors) = vectors("a_signature_is_checked_with_the_key_that_is_given") else {
        return;
    };
    let message = fs::read(vectors.join("teep/derived/update.sign1.esp256.cbor")).unwrap();
    let keys = Keyring::read(&vectors.join("teep/keys")).unwrap();

    let text = explain(&message, &keys).unwrap().lines(0).join("\n");
    assert!(text.contains("signature: verified with K2.public.cosekey.cbor"), "{text}");
    assert!(text.contains("signature: verified with K1.public.cosekey.cbor"), "{text}");
    let mut damaged = message;
    *damaged.last_mut().unwrap() ^= 1;
    let text = explain(&damaged, &keys).unwrap().lines(0).join("\n");
    assert!(text.contains("signature: NOT verified with K2.public.cosekey.cbor"), "{text}");
}

#[test]
fn an_opening_shows_both_signatures() {
    let Some(vectors) = vectors("an_opening_shows_both_signatures") else { return };
    let opening = vectors.join("teep/derived/query_request.cose_sign.esp256+ed25519.cbor");
    let keys = Keyring::read(&vectors.join("teep/keys")).unwrap();

    let part = explain(&fs::read(opening).unwrap(), &keys).unwrap();

    assert_eq!((part.name.as_str(), part.value.as_str()), ("COSE_Sign", "2 signatures"));
    let text = part.lines(0).join("\n");
    assert!(text.contains("verified with K2") && text.contains("verified with ED-TAM"), "{text}");
}

#[test]
fn every_signed_suit_example_is_explained_to_its_commands() {
    let name = "every_signed_suit_example_is_explained_to_its_commands";
    let Some(vectors) = vectors(name) else { return };
    for folder in ["manifest-37", "manifest-pr188", "trust-domains-12"] {
        for file in files(&vectors.join("suit").join(folder)) {
            let part = explained(&file);
            let text = part.lines(0).join("\n");

            assert_eq!(part.name, "SUIT_Envelope", "{}", file.display());
            assert!(text.contains("sequence-number") && text.contains("component 0"), "{text}");
            assert!(!text.contains("does not decode"), "{}: {text}", file.display());
        }
    }
}

#[test]
fn a_quote_is_shown_with_its_fields() {
    let Some(vectors) = vectors("a_quote_is_shown_with_its_fields") else { return };
    for (kind, folder) in [("SGX", "sgx"), ("TDX", "tdx")] {
        let vector = vectors.join("evidence").join(folder);
        let quote = fs::read_dir(vector).unwrap().flatten().map(|entry| entry.path());
        let quote = quote.map(|path| path.join("quote.bin")).find(|path| path.exists()).unwrap();

        let part = explained(&quote);

        assert!(part.name.contains(kind), "{}", part.name);
        assert!(part.parts.len() > 10);
    }
}

#[test]
fn no_bytes_of_any_vector_make_it_panic_when_cut_or_flipped() {
    let name = "no_bytes_of_any_vector_make_it_panic_when_cut_or_flipped";
    let Some(vectors) = vectors(name) else { return };
    let keys = Keyring::default();
    for file in files(&vectors.join("teep/derived"))
        .into_iter()
        .chain(files(&vectors.join("suit/manifest-37")))
    {
        let bytes = fs::read(&file).unwrap();
        for at in (0..bytes.len()).step_by(7) {
            // Whatever it says, it says it without a panic.
            let _cut = explain(&bytes[..at], &keys);
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x55;
            let _flipped = explain(&flipped, &keys);
        }
    }
}

#[test]
fn what_is_nothing_known_is_not_explained() {
    assert_eq!(explain(b"plain text", &Keyring::default()), None);
    assert_eq!(explain(&[], &Keyring::default()), None);
}

fn explained(file: &Path) -> Part {
    let bytes = fs::read(file).unwrap();
    explain(&bytes, &Keyring::default()).unwrap_or_else(|| panic!("{}", file.display()))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|ending| ending == "cbor")).collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds no vectors", folder.display());
    files
}

fn vectors(test: &str) -> Option<PathBuf> {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    if vectors.is_dir() {
        return Some(vectors);
    }
    println!("skipped: {test}: ../shared/vectors is absent");
    None
}
