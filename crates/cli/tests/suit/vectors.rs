//! The drafts' own envelopes.

use std::{fs, path::Path};

use crate::support::{Desk, Ended, vectors};

#[test]
fn every_signed_example_verifies_with_its_keys() {
    let name = "every_signed_example_verifies_with_its_keys";
    let Some(vectors) = vectors(name) else { return };
    let desk = Desk::new();
    let mut verified = 0;
    for file in envelopes(&vectors) {
        if file.contains("unsigned") || BROKEN.iter().any(|(broken, ..)| file.ends_with(broken)) {
            continue;
        }
        let found = verify(&desk, &vectors, &file, "--legacy --json").succeeded().json();

        assert_eq!(found["verified"], true, "{file}");
        assert!(found["envelope"]["signer"].as_str().unwrap().len() > 64, "{file}");
        verified += 1;
    }
    assert_eq!(verified, 26);
}

#[test]
fn every_unsigned_or_broken_example_is_refused() {
    let name = "every_unsigned_or_broken_example_is_refused";
    let Some(vectors) = vectors(name) else { return };
    let desk = Desk::new();
    for file in envelopes(&vectors).iter().filter(|file| file.contains("unsigned")) {
        verify(&desk, &vectors, file, "--legacy").refused("suit.signature", "no authentication");
    }
    for (file, check, words) in BROKEN {
        verify(&desk, &vectors, file, "--legacy").refused(check, words);
    }
    verify(&desk, &vectors, "suit/manifest-37/example0-secure-boot-signed.cbor", "")
        .refused("suit.support", "--legacy");
}

#[test]
fn an_unsigned_example_is_signed_and_then_verifies() {
    let Some(vectors) = vectors("an_unsigned_example_is_signed_and_then_verifies") else {
        return;
    };
    let desk = Desk::new();
    desk.private(&vectors, "K1");
    for file in envelopes(&vectors).iter().filter(|file| file.contains("unsigned")) {
        let file = vectors.join(file);
        let sign = "suit sign --key K1.pem --out signed.suit --envelope";
        desk.run(&format!("{sign} {}", file.display())).succeeded();

        let keys = vectors.join("suit/keys");
        let verify = format!("suit verify --envelope signed.suit --keys {}", keys.display());
        let found = desk.run(&verify).succeeded().out;
        assert!(found.contains("(K1.public.cosekey.cbor)"), "{found}");
    }
}

#[test]
fn severed_members_and_what_binds_payloads_are_told() {
    let Some(vectors) = vectors("severed_members_and_what_binds_payloads_are_told") else {
        return;
    };
    let desk = Desk::new();
    let of = |file: &str| verify(&desk, &vectors, file, "--legacy").succeeded().out;

    let full = of("suit/manifest-37/example2-severed-fields-signed-full.cbor");
    let severed = of("suit/manifest-37/example2-severed-fields-signed-severed.cbor");
    let digest = "sha-256:cfa90c5c58595e7f5119a72f803fd0370b3e6abbec6315cd38f63135281bc498";
    assert!(full.contains(&format!("install: severable, present, digest checked {digest}")));
    assert!(severed.contains(&format!("install: severed {digest}")), "{severed}");
    let integrated = of("teep/draft-26/suit_integrated.cbor");
    assert!(integrated.contains("#tc: digest checked\n    20 bytes, SHA-256 8cf71ac8"));
    let dependency = of("suit/trust-domains-12/example2_integrated.cbor");
    assert!(dependency.contains("#dependent.suit: a dependency, digest of its manifest checked"));
    let uri = of("teep/draft-26/suit_uri.cbor");
    let elsewhere =
        "https://example.org/8d82573a-926d-4754-9353-32dc29997f74.ta: fetched, sha-256:";
    assert!(uri.contains(elsewhere), "{uri}");
}

#[test]
fn the_teep_examples_are_installed_and_removed() {
    let Some(vectors) = vectors("the_teep_examples_are_installed_and_removed") else { return };
    let desk = network(&vectors);
    for file in ["suit_uri", "suit_integrated"] {
        let run = |procedure: &str| {
            let device = format!("--device {TEEP} --store {file} --procedure {procedure}");
            run(&desk, &vectors, &format!("teep/draft-26/{file}.cbor"), &device).succeeded().out
        };

        assert!(run("update").contains("20 bytes"), "{file}");
        assert!(run("uninstall").contains("removed"), "{file}");
    }
    let embedded = "teep/draft-26/update.embedded-manifest.cbor";
    run(&desk, &vectors, embedded, &format!("--device {TEEP}")).succeeded();
}

#[test]
fn the_examples_with_dependencies_run_where_they_check_them() {
    let name = "the_examples_with_dependencies_run_where_they_check_them";
    let Some(vectors) = vectors(name) else { return };
    let desk = network(&vectors);
    let arm = format!("--device {ARM}");

    let told = run(&desk, &vectors, "suit/trust-domains-12/example1_process.cbor", &arm);
    let told = told.succeeded().out;
    assert!(told.contains("fetched network/dependent.suit: 190 bytes"), "{told}");
    assert!(told.contains("install of dependent.suit"), "{told}");
    let unchecked = "dependency-integrity did not come first";
    run(&desk, &vectors, "suit/trust-domains-12/example2_integrated.cbor", &arm)
        .refused("suit.process-dependency", unchecked);
    let teep = format!("--device {TEEP}");
    run(&desk, &vectors, "teep/draft-26/suit_personalization.cbor", &teep)
        .refused("suit.process-dependency", unchecked);
}

#[test]
fn an_encrypted_payload_needs_the_receivers_key() {
    let Some(vectors) = vectors("an_encrypted_payload_needs_the_receivers_key") else { return };
    let desk = network(&vectors);
    desk.private(&vectors, "RX");
    desk.private(&vectors, "K1");
    let file = "suit/firmware-encryption-24/suit-manifest-es-ecdh-content.cbor";
    let arm = format!("--device {ARM}");

    run(&desk, &vectors, file, &arm).refused("suit.write", "--receiver FILE");
    run(&desk, &vectors, file, &format!("{arm} --receiver K1.pem"))
        .refused("suit.write", "the payload does not decrypt");
    let told = run(&desk, &vectors, file, &format!("{arm} --receiver RX.pem --store device"));
    assert!(told.succeeded().out.contains("wrote 30 bytes"));
    let stored = fs::read_dir(desk.path("device/components")).unwrap().next().unwrap().unwrap();
    let plaintext = vectors.join("suit/firmware-encryption-24/plaintext.bin");
    assert_eq!(fs::read(stored.path()).unwrap(), fs::read(plaintext).unwrap());
}

#[test]
fn examples_that_cannot_run_here_say_why() {
    let Some(vectors) = vectors("examples_that_cannot_run_here_say_why") else { return };
    let desk = network(&vectors);
    let arm = format!("--device {ARM}");
    for (file, check, words) in [
        ("manifest-37/example0-secure-boot-signed.cbor", "suit.image-match", "saw nothing"),
        ("manifest-37/example1-download-install-signed.cbor", "suit.fetch", "nobody answered"),
        ("manifest-37/example2-severed-fields-signed-full.cbor", "suit.fetch", "nobody answered"),
        ("manifest-37/example2-severed-fields-signed-severed.cbor", "suit.severed", "was severed"),
        ("manifest-37/example3-ab-images-signed.cbor", "suit.try-each", "every alternative"),
        ("manifest-37/example4-load-external-signed.cbor", "suit.fetch", "nobody answered"),
        ("manifest-37/example5-two-images-signed.cbor", "suit.fetch", "nobody answered"),
        ("firmware-encryption-24/suit-manifest-aes-kw.cbor", "suit.fetch", "scheme `coaps`"),
        (
            "firmware-encryption-24/suit-manifest-es-ecdh-dependency.cbor",
            "suit.dependency-integrity",
            "has section validate and its dependent has not",
        ),
    ] {
        run(&desk, &vectors, &format!("suit/{file}"), &arm).refused(check, words);
    }
    let plain = "suit/trust-domains-12/example0_dependent.cbor";
    run(&desk, &vectors, plain, "").succeeded();
    run(&desk, &vectors, "teep/draft-26/suit_uri.cbor", "")
        .refused("suit.vendor-identifier", "--device vendor=");
}

fn verify(desk: &Desk, vectors: &Path, file: &str, more: &str) -> Ended {
    let (file, keys) = (vectors.join(file), vectors.join("suit/keys"));
    let words = format!("suit verify --envelope {} --keys {}", file.display(), keys.display());
    desk.run(&format!("{words} {more}"))
}

fn run(desk: &Desk, vectors: &Path, file: &str, more: &str) -> Ended {
    let (file, keys) = (vectors.join(file), vectors.join("suit/keys"));
    let words = format!("suit run --envelope {} --keys {}", file.display(), keys.display());
    desk.run(&format!("{words} --legacy --payloads network {more}"))
}

/// A desk with the files that the examples fetch.
fn network(vectors: &Path) -> Desk {
    let desk = Desk::new();
    fs::create_dir(desk.path("network")).unwrap();
    let ta = "8d82573a-926d-4754-9353-32dc29997f74";
    for (file, name) in [
        (format!("teep/draft-26/{ta}.ta.bin"), format!("{ta}.ta")),
        ("teep/draft-26/suit_uri.cbor".to_owned(), format!("{ta}.suit")),
        ("suit/trust-domains-12/example0_dependent.cbor".to_owned(), "dependent.suit".to_owned()),
    ] {
        desk.put(&format!("network/{name}"), fs::read(vectors.join(file)).unwrap());
    }
    desk
}

/// Every envelope of the newest drafts, below the vectors.
fn envelopes(vectors: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for folder in [
        "suit/manifest-37",
        "suit/manifest-pr188",
        "suit/trust-domains-12",
        "suit/firmware-encryption-24",
        "teep/draft-26",
    ] {
        for entry in fs::read_dir(vectors.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let envelope = ["example", "suit-manifest", "suit_", "update.embedded"];
            if name.ends_with(".cbor") && envelope.iter().any(|start| name.starts_with(start)) {
                found.push(format!("{folder}/{name}"));
            }
        }
    }
    found.sort();
    found
}

/// Examples that must not verify, with why.
const BROKEN: [(&str, &str, &str); 4] = [
    (
        "suit/manifest-pr188/example0-secure-boot-signed.cbor",
        "suit.signature",
        "the signature or MAC of a trust anchor is wrong",
    ),
    ("teep/draft-18/suit_uri.cbor", "suit.support", "manifest member 17"),
    ("teep/draft-18/suit_integrated.cbor", "suit.support", "manifest member 17"),
    ("teep/draft-18/suit_personalization.cbor", "suit.support", "manifest member 17"),
];
const TEEP: &str =
    "vendor=c0ddd5f1-5243-5660-87db-4f5b0aa26c2f,class=db42f709-3d8c-55ba-a8c5-265fc5820f4e";
const ARM: &str =
    "vendor=fa6b4a53-d5ad-5fdf-be9d-e663e4d41ffe,class=1492af14-2569-5e48-bf42-9b2d51f2ab45";
