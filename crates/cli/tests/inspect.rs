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
    assert_eq!(explain(&[0xff, 0, 1, 2], &Keyring::default()), None);
    assert_eq!(explain(&[], &Keyring::default()), None);
}

/// What every kind of file is called; none is left out.
#[test]
fn every_vector_is_explained_by_its_name() {
    let Some(vectors) = vectors("every_vector_is_explained_by_its_name") else { return };
    let mut seen = 0;
    for folder in ["teep", "suit", "evidence"] {
        for file in tree(&vectors.join(folder)) {
            let bytes = fs::read(&file).unwrap();
            let name = explain(&bytes, &Keyring::default()).map_or_else(String::new, |p| p.name);
            let wanted = expected(&file);
            let shown = file.display();
            assert!(wanted.iter().any(|one| name == *one), "{shown}: {name}, not {wanted:?}");
            seen += 1;
        }
    }
    assert!(seen > 500, "{seen} vectors");
}

/// A refused message says what is wrong with it; the others are wrong for who reads them only.
#[test]
fn every_negative_message_is_shown_with_its_fault() {
    let Some(vectors) = vectors("every_negative_message_is_shown_with_its_fault") else { return };
    for (file, fault) in [
        ("challenge_7_bytes.cbor", "challenge has 7 bytes"),
        ("challenge_without_attestation_bit.cbor", "challenge must be absent here"),
        ("depth_bomb_2000.cbor.bin", "nested too deeply"),
        ("duplicate_option_label.cbor", "a map key occurs twice"),
        ("err_msg_129_bytes.cbor", "err-msg has 129 bytes"),
        ("error_code_0.cbor", "err-code is 0"),
        ("freshness_without_attestation_bit.cbor", "must be absent here"),
        ("map_instead_of_array.cbor", "CBOR: {"),
        ("no_token_no_attestation.cbor", "token is missing"),
        ("token_65_bytes.cbor", "token has 65 bytes"),
        ("token_7_bytes.cbor", "token has 7 bytes"),
        ("unknown_crit_header.cbor", "critical"),
        ("unknown_type_99.cbor", "message type 99 is unknown"),
        ("bad_signature.cbor", "NOT verified with K2.public.cosekey.cbor"),
        ("alg_in_unprotected_only.cbor", "NOT verified with K2.public.cosekey.cbor"),
        ("only_version_5.cbor", "versions: [5]"),
    ] {
        let keys = Keyring::read(&vectors.join("teep/keys")).unwrap();
        let bytes = fs::read(vectors.join("teep/negative").join(file)).unwrap();
        let text = explain(&bytes, &keys).unwrap().lines(0).join("\n");

        assert!(text.contains(fault), "{file}: {text}");
    }
}

#[test]
fn a_map_of_integers_is_no_eat() {
    let part = explain(b"\xa1\x01\x02", &Keyring::default()).unwrap();

    assert_eq!((part.name.as_str(), part.value.as_str()), ("CBOR", "{1: 2}"));
}

#[test]
fn a_receipt_is_shown_by_its_fields() {
    let signer = keys::SigningKey::generate(cose::Algorithm::Ed25519).unwrap();
    let digests = channel::release::Digests { enc: [2; 32], ciphertext: [3; 32] };
    let receipt = channel::receipt::Receipt {
        deployment: "edge-7".to_owned(),
        eat_digest: [1; 32],
        digests,
        service_key: None,
    };

    let part = explain(&receipt.sign(&signer).unwrap(), &Keyring::default()).unwrap();

    let text = part.lines(0).join("\n");
    assert!(text.contains("receipt: of Personalization Data"), "{text}");
    assert!(text.contains("deployment: edge-7") && text.contains("pd-received"), "{text}");
}

#[test]
fn a_call_ticket_names_the_key_of_the_service() {
    let signer = keys::SigningKey::generate(cose::Algorithm::Esp256).unwrap();
    let key = cose::Signer::key(&signer);
    let ticket = serde_json::json!({
        "address": null,
        "service_key": hex::encode(key.encode()),
        "manifest_digest": hex::encode([7; 32]),
    });

    let part = explain(ticket.to_string().as_bytes(), &Keyring::default()).unwrap();

    assert_eq!(part.name, "call ticket");
    let text = part.lines(0).join("\n");
    assert!(text.contains(&key.thumbprint().to_string()), "{text}");
}

#[test]
fn a_private_key_is_named_and_not_shown() {
    let signer = keys::SigningKey::generate(cose::Algorithm::Ed25519).unwrap();
    let secret = hex::encode(signer.to_pkcs8().unwrap().expose());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pem");
    let key = keys::file::load_or_create(&path, cose::Algorithm::Ed25519).unwrap();

    let part = explain(&fs::read(&path).unwrap(), &Keyring::default()).unwrap();

    assert_eq!(part.name, "private key");
    let text = part.lines(0).join("\n");
    assert!(text.contains(&cose::Signer::key(&key).thumbprint().to_string()), "{text}");
    assert!(!text.contains(&secret[secret.len() - 64..]), "{text}");
}

#[test]
fn a_report_without_reference_uri_shows_none() {
    let Some(vectors) = vectors("a_report_without_reference_uri_shows_none") else { return };
    let bytes = fs::read(vectors.join("teep/derived/report_success_current.cbor")).unwrap();
    let report = suit::Report::decode(&bytes).unwrap();
    let reference = suit::report::Reference { uri: String::new(), ..report.reference.clone() };
    let bare = suit::Report { reference, ..report };

    let with = explain(&bytes, &Keyring::default()).unwrap().lines(0).join("\n");
    let without = explain(&bare.encode(), &Keyring::default()).unwrap().lines(0).join("\n");

    assert!(with.contains("reference-uri: "), "{with}");
    assert!(!without.contains("reference-uri"), "{without}");
}

/// The name under which a file has to be explained.
fn expected(file: &Path) -> &'static [&'static str] {
    let path = file.to_str().unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    let has = |part: &str| path.contains(part);
    match name {
        "README.md" | "LICENSE.txt" => &["text"],
        "expected.json"
        | "index.json"
        | "rv.json"
        | "ta-tfa.json"
        | "app_compose.json"
        | "dstack_event_log.json"
        | "csv_evidence.json"
        | "personalization.plaintext.bin" => &["JSON"],
        "cpak.jwk.json" => &["JSON Web Key"],
        "tcb_info.json" => &["Intel TCB info"],
        "qe_identity.json" => &["Intel QE identity"],
        "akcert.json" | "report.json" => &["Arm TrustZone evidence"],
        "report.bin" | "hcl-report.bin" => &["AMD SEV-SNP evidence"],
        "ccel_data.bin" => &["TCG event log"],
        "quote.bin" if has("/sgx/") => &["Intel SGX quote, version 3"],
        "quote.bin" => &["Intel TDX quote, version 4", "Intel TDX quote, version 5"],
        "token.cbor" if has("/cca/") => &["Arm CCA evidence"],
        "token.cbor" => &["Arm TrustZone evidence"],
        "platform-claims.cbor" => &["CCA platform claims"],
        // It lacks the challenge, and nothing but that makes claims a realm's.
        "realm-claims-missing-challenge.cbor" => &["CBOR"],
        _ if has("claims-only/realm-claims") => &["CCA realm claims"],
        "psa-2_0_0_mac0.bin" | "psa-iot-1_mac0.bin" => &["COSE_Mac0"],
        _ if name.starts_with("psa") => &["Arm TrustZone evidence"],
        "public.pem" => &["public key"],
        _ if name.ends_with(".private.pem") => &["private key"],
        _ if name.ends_with(".public.pem") => &["public key"],
        _ if name.ends_with(".cosekey.cbor") => &["COSE_Key"],
        _ if name.contains("chain.pem") => &["PEM"],
        "cert.pem" if has("ratls-intel-sdk") => {
            &["Intel SGX quote, version 3 in an RA-TLS certificate"]
        }
        _ if name.ends_with(".pem") => &["X.509 certificate"],
        _ if name.ends_with(".sig.hex") => &["hexadecimal digits"],
        _ if name.contains("crl") => &["X.509 certificate revocation list"],
        _ if name.ends_with(".der") => &["X.509 certificate"],
        // Hygon's own formats, and one certificate that is cut short.
        _ if name.starts_with("csvrs") || name == "hrk.cert" || has("known-bad") => &[""],
        _ if name.ends_with(".cert") => &["AMD authority certificate", "AMD platform certificate"],
        _ if name.starts_with("encryption-info") => &["COSE_Encrypt"],
        // Payloads, ciphertexts and raw keys say nothing of themselves.
        _ if name.ends_with(".bin") && !has("/negative/depth_bomb_2000") => &["", "text"],
        _ => cbor(name, path),
    }
}

fn cbor(name: &str, path: &str) -> &'static [&'static str] {
    if path.contains("/suit/") || name.starts_with("suit_") || name.contains("embedded-manifest") {
        return &["SUIT_Envelope"];
    }
    match name {
        "query_request.cose_sign.esp256+ed25519.cbor" => &["COSE_Sign"],
        "bare_payload_unsigned.cbor" | "query_request.cbor" => &["QueryRequest"],
        "query_response.cbor" => &["QueryResponse"],
        "update.cbor" => &["Update"],
        "teep_success.cbor" => &["Success"],
        "teep_error.cbor" => &["Error"],
        "eat_d2_as_printed.cbor" => &["EAT claims, refused"],
        "eat_d2_corrected.cbor" => &["EAT claims"],
        "report_f1_as_printed.cbor" | "report_f2_as_printed.cbor" => &["SUIT_Report, refused"],
        _ if name.starts_with("report_") => &["SUIT_Report"],
        _ => &["COSE_Sign1"],
    }
}

fn tree(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    files.into_iter().chain(folders.iter().flat_map(|folder| tree(folder))).collect()
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
