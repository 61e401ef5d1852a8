//! The identity of an HTTPS server is checked.

use std::{sync::Arc, time::Duration};

use broker::{refusal::TamFailed, tam::TamClient};
use device::broker::Cause;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig, SupportedProtocolVersion,
        crypto::aws_lc_rs,
        pki_types::PrivatePkcs8KeyDer,
        version::{TLS12, TLS13},
    },
};

use crate::support::certificate::{Issued, Name, issue};

//= teep 14.88 (M): HTTPS identity verified; invalid name or chain fails
#[tokio::test]
async fn a_server_with_the_right_name_and_chain_is_talked_to() {
    let issued = issue(Name::Loopback);
    let uri = serve(&issued).await;

    let answer = client(Some(&issued.root)).connect(&uri).await;

    assert_eq!(answer, Ok(Some(b"hello".to_vec())));
}

//= teep 14.88 (M): HTTPS identity verified; invalid name or chain fails
#[tokio::test]
async fn a_server_with_another_name_is_not_talked_to() {
    let issued = issue(Name::Other("moc.example"));
    let uri = serve(&issued).await;

    let answer = client(Some(&issued.root)).connect(&uri).await;

    refused(answer);
}

//= teep 14.88 (M): HTTPS identity verified; invalid name or chain fails
#[tokio::test]
async fn a_server_whose_chain_ends_nowhere_is_not_talked_to() {
    let issued = issue(Name::Loopback);
    let uri = serve(&issued).await;

    refused(client(None).connect(&uri).await);
    refused(client(Some(&issue(Name::Loopback).root)).send(&uri, vec![1]).await);
}

#[tokio::test]
async fn a_server_without_tls_1_3_is_not_talked_to() {
    let issued = issue(Name::Loopback);
    let uri = serve_with(&issued, &[&TLS12], Vec::new()).await;

    refused(client(Some(&issued.root)).connect(&uri).await);
}

#[tokio::test]
async fn http_2_is_offered_to_a_server_that_speaks_it() {
    let issued = issue(Name::Loopback);
    let uri = serve_with(&issued, &[&TLS13], vec![b"h2".to_vec()]).await;

    let answer = client(Some(&issued.root)).connect(&uri).await;

    // The server of this test answers in HTTP/1.1, and only to the preface of HTTP/2.
    let failed = answer.unwrap_err();
    assert!(failed.to_string().contains("http2"), "{failed}");
}

#[test]
fn roots_that_are_no_certificates_are_refused_at_the_start() {
    let roots = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

    let client = TamClient::new(Some(roots));

    assert!(matches!(client, Err(TamFailed::Setup(_))));
}

//= teep 14.81 (M): a TLS failure is an error of the TAM
fn refused(answer: Result<Option<Vec<u8>>, TamFailed>) {
    let failed = answer.unwrap_err();
    assert!(matches!(failed, TamFailed::Unreachable(_)), "{failed:?}");
    assert_eq!(failed.cause(), Cause::Unreachable);
}

fn client(roots: Option<&str>) -> TamClient {
    TamClient::answering_within(roots, Duration::from_secs(5)).unwrap()
}

/// An HTTPS server that says hello.
async fn serve(issued: &Issued) -> String {
    serve_with(issued, &[&TLS13], Vec::new()).await
}

async fn serve_with(
    issued: &Issued,
    versions: &[&'static SupportedProtocolVersion],
    protocols: Vec<Vec<u8>>,
) -> String {
    let key = PrivatePkcs8KeyDer::from(issued.key.clone());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.certificate.clone().into()], key.into())
        .unwrap();
    config.alpn_protocols = protocols;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("https://{}/tam", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            let _asked = stream.read(&mut request).await.unwrap();
            let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/teep+cbor\r\n\
                          content-length: 5\r\n\r\nhello";
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
        }
    });
    uri
}
