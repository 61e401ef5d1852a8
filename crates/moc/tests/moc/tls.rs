//! HTTPS: who is let in, who is not, and what a client is told about the server's identity.

use std::{io, sync::Arc};

use moc::{
    config::Limits,
    http::{Identity, Unusable},
};
use reqwest::{Client, Method, Version};
use rustls::{
    ClientConfig, NamedGroup, ProtocolVersion, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use sdk::{CallFailed, MocClient, identity::Unidentified};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    bench::Bench,
    certificate::{Authority, EARLY, EXPIRED, Name, VALID, Validity, pem},
};

#[tokio::test]
async fn http_1_1_and_http_2_are_served_over_tls() {
    let bench = Bench::start_tls("").await;
    let health = format!("{}/healthz", bench.url);

    let first = client(&bench).http1_only().build().unwrap().get(&health).send().await.unwrap();
    let second = client(&bench).build().unwrap().get(&health).send().await.unwrap();

    assert_eq!((first.status().as_u16(), first.version()), (204, Version::HTTP_11));
    assert_eq!((second.status().as_u16(), second.version()), (204, Version::HTTP_2));
}

#[tokio::test]
async fn the_first_choice_is_tls_1_3_with_a_hybrid_key_exchange() {
    let bench = Bench::start_tls("").await;

    let stream = connect(&bench, &[b"h2", b"http/1.1"]).await.unwrap();

    let (_, session) = stream.get_ref();
    assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
    let group = session.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let bench = Bench::start_tls("").await;
    let old = client(&bench).tls_version_max(reqwest::tls::Version::TLS_1_2).build().unwrap();

    let refused = old.get(format!("{}/healthz", bench.url)).send().await.unwrap_err();

    assert!(refused.is_connect(), "{refused:?}");
    assert!(format!("{refused:?}").contains("ProtocolVersion"), "{refused:?}");
}

#[tokio::test]
async fn http_2_is_what_alpn_names_and_other_protocols_are_refused() {
    let bench = Bench::start_tls("").await;

    let mut silent = connect(&bench, &[]).await.unwrap();
    silent.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut head = [0; 12];
    silent.read_exact(&mut head).await.unwrap();
    let refused = connect(&bench, &[b"spdy/3"]).await;

    assert_eq!(&head, b"HTTP/1.1 204");
    assert!(format!("{refused:?}").contains("NoApplicationProtocol"), "{refused:?}");
}

#[tokio::test]
async fn plain_http_gets_an_alert_and_an_end_and_others_are_served_on() {
    let bench = Bench::start_tls("").await;
    let mut plain = TcpStream::connect(address(&bench)).await.unwrap();

    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _end = plain.read_to_end(&mut answer).await;

    assert!(answer.len() < 16 && !answer.starts_with(b"HTTP"), "{answer:?}");
    assert_eq!(bench.operator.get("/healthz").await.status, 204);
}

#[tokio::test]
async fn a_client_that_stalls_in_the_handshake_is_dropped() {
    let bench = Bench::start_tls("handshake_ms_max = 1\n").await;
    // The beginning of a record that never comes.
    for beginning in [&b""[..], &[0x16, 3, 1, 1, 0]] {
        let mut stream = TcpStream::connect(address(&bench)).await.unwrap();
        stream.write_all(beginning).await.unwrap();

        assert_eq!(ended(&mut stream).await, 0);
    }
}

#[tokio::test]
async fn a_client_that_asks_for_nothing_after_the_handshake_is_dropped() {
    let bench = Bench::start_tls("headers_ms_max = 1\n").await;

    for protocols in [&[][..], &[&b"http/1.1"[..]], &[&b"h2"[..]]] {
        let mut stream = connect(&bench, protocols).await.unwrap();

        ended(&mut stream).await;
    }
}

#[tokio::test]
async fn a_client_that_asks_for_nothing_by_plain_http_is_dropped_too() {
    let bench = Bench::start_with("headers_ms_max = 1\n").await;
    for beginning in ["", "PRI * HT"] {
        let mut stream =
            TcpStream::connect(bench.url.strip_prefix("http://").unwrap()).await.unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();

        assert_eq!(ended(&mut stream).await, 0);
    }
}

#[tokio::test]
async fn a_stalled_handshake_does_not_hold_up_the_end() {
    let bench = Bench::start_tls("handshake_ms_max = 60000\n").await;
    let (identity, _dir) = identity(Name::Loopback, VALID);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Limits { connections_max: 1, ..*bench.moc.limits() };
    let (end, ends) = tokio::sync::oneshot::channel::<()>();
    let router = moc::http::router(bench.moc.clone());
    let serving = tokio::spawn(async move {
        let end = async { drop(ends.await) };
        moc::http::serve(listener, Some(identity), router, &limits, end).await
    });

    let mut stalled = TcpStream::connect(address).await.unwrap();
    end.send(()).unwrap();

    let soon = tokio::time::timeout(std::time::Duration::from_secs(5), serving);
    soon.await.unwrap().unwrap().unwrap();
    assert_eq!(ended(&mut stalled).await, 0);
}

#[tokio::test]
async fn with_an_identity_any_address_is_served() {
    let bench = Bench::start().await;
    let (identity, _dir) = identity(Name::Loopback, VALID);
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();

    let router = moc::http::router(bench.moc.clone());
    let limits = Limits::default();
    let at_once = std::future::ready(());
    let served = moc::http::serve(listener, Some(identity), router, &limits, at_once).await;

    assert!(served.is_ok());
}

#[tokio::test]
async fn a_new_certificate_counts_for_new_connections_and_open_ones_go_on() {
    let bench = Bench::start_tls("").await;
    let mut open = connect(&bench, &[]).await.unwrap();
    let before = presented(&open);
    let identity = bench.identity.clone().unwrap();

    bench.authority.issue(Name::Loopback, VALID).write(bench.dir.path());
    identity.reload().unwrap();

    let after = presented(&connect(&bench, &[]).await.unwrap());
    assert!(after != before);
    open.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut head = [0; 12];
    open.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 204");

    std::fs::write(bench.dir.path().join("moc.pem"), "nothing").unwrap();
    assert!(matches!(identity.reload(), Err(Unusable::NoCertificate(_))));
    assert!(presented(&connect(&bench, &[]).await.unwrap()) == after);
}

#[test]
fn an_identity_that_cannot_be_used_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let issued = authority.issue(Name::Loopback, VALID);
    let files = issued.write(dir.path());
    let open = |certificate: &str, key: &str| {
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        Identity::open(&files)
    };
    let (certificate, key) = (&*issued.certificate, &*issued.key);
    let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    let other = authority.issue(Name::Loopback, VALID);

    assert!(open(&(certificate.to_owned() + &authority.root()), key).is_ok());
    assert!(matches!(open("", key), Err(Unusable::NoCertificate(_))));
    assert!(matches!(open(broken, key), Err(Unusable::Pem { .. })));
    let no_certificate = pem("CERTIFICATE", b"none");
    assert!(matches!(open(&no_certificate, key), Err(Unusable::Certificate { .. })));
    let sec1 = key.replace("PRIVATE KEY", "EC PRIVATE KEY");
    let refused = open(certificate, &sec1).unwrap_err();
    assert!(matches!(refused, Unusable::NoKey(_)));
    assert!(refused.to_string().contains("openssl pkcs8"));
    assert!(matches!(open(certificate, &pem("PRIVATE KEY", b"x")), Err(Unusable::Key { .. })));
    assert!(matches!(open(certificate, &other.key), Err(Unusable::Mismatch { .. })));
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o604);
    std::fs::set_permissions(&files.key, mode).unwrap();
    assert!(matches!(open(certificate, key), Err(Unusable::Open { mode: 0o604, .. })));
    std::fs::remove_file(&files.key).unwrap();
    assert!(matches!(Identity::open(&files), Err(Unusable::Unreadable { .. })));
}

#[tokio::test]
async fn the_network_users_client_knows_the_moc_by_name_and_chain() {
    let bench = Bench::start_tls("").await;

    let known = moc_client(&bench, &bench.authority).devices().await;
    let stranger = moc_client(&bench, &Authority::new()).devices().await;
    let platform = MocClient::new(&bench.url, "", None).unwrap().devices().await;

    assert!(matches!(known, Err(CallFailed::Refused(problem)) if problem.status == 401));
    assert_eq!(unidentified(stranger), Unidentified::UnknownRoot);
    assert_eq!(unidentified(platform), Unidentified::UnknownRoot);
}

#[tokio::test]
async fn the_network_users_client_is_told_what_is_wrong_with_a_certificate() {
    let bench = Bench::start_tls("").await;
    let present = async |name, validity| {
        bench.authority.issue(name, validity).write(bench.dir.path());
        bench.identity.as_ref().unwrap().reload().unwrap();
        unidentified(moc_client(&bench, &bench.authority).devices().await)
    };

    let other = present(Name::Other("moc.example"), VALID).await;
    let expired = present(Name::Loopback, EXPIRED).await;
    let early = present(Name::Loopback, EARLY).await;

    assert_eq!(other, Unidentified::OtherName { names: vec!["moc.example".to_owned()] });
    let refusal = other.refusal(&bench.url);
    assert_eq!((&*refusal.check, &*refusal.owner), ("moc.tls.name", "operator"));
    assert!(refusal.seen.contains("moc.example"), "{refusal:?}");
    assert!(matches!(expired, Unidentified::Expired { ago_s } if ago_s > 86_400));
    assert!(matches!(early, Unidentified::NotYetValid { in_s } if in_s > 86_400));
}

#[tokio::test]
async fn the_network_users_client_speaks_tls_1_3_alone() {
    let plain = Bench::start().await;
    let url = plain.url.replace("http:", "https:");
    let at_plain = MocClient::new(&url, "", None).unwrap().devices().await;
    let authority = Authority::new();
    let url = serve_tls_1_2(&authority).await;
    let at_old = MocClient::new(&url, "", Some(&authority.root())).unwrap().devices().await;

    assert_eq!(unidentified(at_plain), Unidentified::Plain);
    assert_eq!(unidentified(at_old), Unidentified::Version);
}

#[test]
fn the_network_users_client_takes_no_bad_roots_and_no_plain_http_beyond_loopback() {
    let new = |base: &str, roots: &str| MocClient::new(base, "", Some(roots)).map(drop);
    let root = Authority::new().root();

    assert!(matches!(new("https://moc.example", "nothing"), Err(CallFailed::Roots(_))));
    let no_certificate = pem("CERTIFICATE", b"none");
    assert!(matches!(new("https://moc.example", &no_certificate), Err(CallFailed::Roots(_))));
    assert!(matches!(new("http://moc.example", &root), Err(CallFailed::Address(_))));
    assert!(new("https://moc.example", &root).is_ok());
}

#[tokio::test]
async fn the_binding_of_teep_is_served_over_tls() {
    let bench = Bench::start_tls("").await;

    let request = bench.operator.request(Method::POST, api::path::TAM);
    let answer = crate::audience::send(request.header("accept", "application/teep+cbor")).await;

    assert_eq!(answer.status, 200);
    assert_eq!(answer.body[..2], crate::http_server::COSE_SIGN);
}

fn identity(name: Name, validity: Validity) -> (Arc<Identity>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let files = Authority::new().issue(name, validity).write(dir.path());
    (Arc::new(Identity::open(&files).unwrap()), dir)
}

fn moc_client(bench: &Bench, authority: &Authority) -> MocClient {
    MocClient::new(&bench.url, "", Some(&authority.root())).unwrap()
}

fn unidentified<T: std::fmt::Debug>(outcome: Result<T, CallFailed>) -> Unidentified {
    match outcome {
        Err(CallFailed::Unidentified { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

fn client(bench: &Bench) -> reqwest::ClientBuilder {
    let root = bench.authority.root();
    let root = reqwest::Certificate::from_pem(root.as_bytes()).unwrap();
    Client::builder().tls_certs_only([root])
}

fn address(bench: &Bench) -> &str {
    bench.url.strip_prefix("https://").unwrap()
}

/// A TLS connection of its own, offering these protocols.
async fn connect(bench: &Bench, protocols: &[&[u8]]) -> io::Result<TlsStream<TcpStream>> {
    connect_to(address(bench), &bench.authority, protocols).await
}

pub(crate) async fn connect_to(
    address: &str,
    authority: &Authority,
    protocols: &[&[u8]],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.root().as_bytes()).unwrap();
    roots.add(root).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    // In TLS 1.3 the client is done before the server has read its last message.
    stream.flush().await?;
    Ok(stream)
}

pub(crate) fn presented(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// Waits for the end of a connection, in order or not, and counts what came before it.
async fn ended(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> usize {
    let mut before = Vec::new();
    let _end = stream.read_to_end(&mut before).await;
    before.len()
}

/// A server that is too old.
async fn serve_tls_1_2(authority: &Authority) -> String {
    let issued = authority.issue(Name::Loopback, VALID);
    let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _refused = acceptor.accept(stream).await;
        }
    });
    url
}
