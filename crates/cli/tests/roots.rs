//! `--roots`: which server is taken for the Network M/OC.
#![expect(clippy::unwrap_used, reason = "lets a test fail")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::{Command, Output},
    thread,
};

#[test]
fn the_trust_anchors_are_kept_with_the_account() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("roots.pem"), ROOT).unwrap();

    let done = init(dir.path(), "https://moc.example", &["--roots", "roots.pem"]);

    assert!(done.status.success(), "{done:?}");
    let account = fs::read_to_string(dir.path().join("home/account.toml")).unwrap();
    let account: toml::Table = toml::from_str(&account).unwrap();
    let kept = Path::new(account["roots"].as_str().unwrap());
    assert!(kept.is_absolute() && kept.ends_with("roots.pem"), "{kept:?}");
}

#[test]
fn what_could_not_work_later_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("roots.pem"), "no certificate").unwrap();

    let no_roots = init(dir.path(), "https://moc.example", &["--roots", "roots.pem"]);
    let no_file = init(dir.path(), "https://moc.example", &["--roots", "none.pem"]);
    let plain = init(dir.path(), "http://moc.example", &[]);

    assert_eq!(no_roots.status.code(), Some(2));
    assert!(errors(&no_roots).contains("no certificate"), "{no_roots:?}");
    assert_eq!(no_file.status.code(), Some(2));
    assert!(errors(&no_file).contains("none.pem"), "{no_file:?}");
    assert_eq!(plain.status.code(), Some(2));
    assert!(errors(&plain).contains("https"), "{plain:?}");
    assert!(!dir.path().join("home").exists());
}

#[test]
fn a_server_that_is_not_known_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("token"), "token").unwrap();
    fs::write(dir.path().join("roots.pem"), ROOT).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _hello = stream.read(&mut [0; 4096]);
        let _answer = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    });

    let given = ["--moc", &url, "--token-file", "token", "--roots", "roots.pem", "--json"];
    let refused = tamarack(dir.path(), "operator", &given, &["device", "list"]);

    server.join().unwrap();
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let report: serde_json::Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(report["refused"]["check"], "moc.tls.version");
    assert_eq!(report["refused"]["seen"], "it does not speak TLS");
}

fn init(dir: &Path, url: &str, more: &[&str]) -> Output {
    tamarack(dir, "init", &["--moc", url, "--token-file", "token", "--home", "home"], more)
}

fn tamarack(dir: &Path, command: &str, arguments: &[&str], more: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_tamarack"));
    program.current_dir(dir).arg(command).args(arguments).args(more).output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const ROOT: &str = "-----BEGIN CERTIFICATE-----
MIIBjTCCATOgAwIBAgIULiA+5Wcs1J/CWIgq5+JAxImnXn0wCgYIKoZIzj0EAwIw
GzEZMBcGA1UEAwwQRXhhbXBsZSBvcGVyYXRvcjAgFw0yNjExMjMxMzUzNTFaGA8y
MDUxMDcxNTEzNTM1MVowGzEZMBcGA1UEAwwQRXhhbXBsZSBvcGVyYXRvcjBZMBMG
ByqGSM49AgEGCCqGSM49AwEHA0IABBMHc7kdTuqkAEgWIR/OGH0HDqKxjixdob+F
uMVTUyvdgW7ixDfxVjwOa1SjOshi0k9rUW4J2xXj4RtbvZzgijKjUzBRMB0GA1Ud
DgQWBBTRfnR8mbm1281jtzI5B4nzbW4hDjAfBgNVHSMEGDAWgBTRfnR8mbm1281j
tzI5B4nzbW4hDjAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQCY
81rcHKE5RGgngbZhIDCJjEfBZ1GMi54eYrOXYM8rIAIgYcVn0bxNinse/ehrewZz
yhY60+4kO5cTXJPWOPvvhUg=
-----END CERTIFICATE-----
";
