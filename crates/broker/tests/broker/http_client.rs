//! The rules of draft-ietf-teep-otrp-over-http for a client (teep 14.76 to 14.88), as the Broker
//! keeps them. TLS is in `tls`, what sessions make of it in `sessions`.

use std::{future::pending, time::Duration};

use axum::response::IntoResponse as _;
use broker::{
    refusal::TamFailed,
    tam::{ANSWER_BYTES_MAX, TamClient},
};
use device::broker::Cause;
use tokio::net::TcpListener;

use crate::support::server::{Server, status, teep, typed};

//= teep 14.76 (M): empty POST with Accept for a URI-only answer
#[tokio::test]
async fn a_session_begins_with_an_empty_post_that_says_what_it_accepts() {
    let server = Server::start(|_| teep("question")).await;

    let answer = client().connect(&uri(&server)).await;

    assert_eq!(answer, Ok(Some(b"question".to_vec())));
    let [seen] = server.seen().try_into().unwrap();
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/tam"));
    assert_eq!(seen.header("accept"), Some("application/teep+cbor"));
    assert_eq!(seen.header("content-length"), Some("0"));
    assert_eq!(seen.header("content-type"), None);
    assert!(seen.body.is_empty());
}

//= teep 14.77 (M): POST with both headers for a message
#[tokio::test]
async fn a_message_is_a_post_with_both_headers_and_exactly_its_bytes() {
    let server = Server::start(|_| status(204)).await;
    let message: Vec<u8> = (0..=255).collect();

    let answer = client().send(&uri(&server), message.clone()).await;

    assert_eq!(answer, Ok(None));
    let [seen] = server.seen().try_into().unwrap();
    assert_eq!(seen.method, "POST");
    assert_eq!(seen.header("accept"), Some("application/teep+cbor"));
    assert_eq!(seen.header("content-type"), Some("application/teep+cbor"));
    assert_eq!(seen.header("cache-control"), None);
    assert_eq!(seen.body, message);
}

//= teep 14.78 (M): 204 or any 2xx with an empty body ends the session with success
#[tokio::test]
async fn every_success_without_a_body_says_that_there_is_nothing_more() {
    for code in [200, 201, 202, 204, 299] {
        let server = Server::start(move |_| status(code)).await;

        assert_eq!(client().connect(&uri(&server)).await, Ok(None), "{code}");
    }
    let server = Server::start(|_| typed("text/html", "")).await;

    assert_eq!(client().connect(&uri(&server)).await, Ok(None));
}

//= teep 14.80 (M): 3xx is an error, target not contacted
#[tokio::test]
async fn a_redirect_is_an_error_and_its_target_is_left_alone() {
    let target = Server::start(|_| teep("elsewhere")).await;
    for code in [301, 302, 303, 307, 308] {
        let location = target.base.clone();
        let server = Server::start(move |_| {
            (status(code).status(), [("location", location.clone())]).into_response()
        })
        .await;

        let answer = client().send(&uri(&server), vec![1]).await;

        assert_eq!(answer, Err(TamFailed::Status(code)));
        assert_eq!(TamFailed::Status(code).cause(), Cause::Refused);
        assert_eq!(server.seen().len(), 1);
    }
    assert!(target.seen().is_empty());
}

//= teep 14.81 (M): 4xx, 5xx, refused connection, TLS failure are errors
#[tokio::test]
async fn a_status_that_is_no_success_is_an_error_even_with_a_message() {
    for code in [400, 404, 415, 429, 500, 503] {
        let server = Server::start(move |_| {
            let mut response = teep("message");
            *response.status_mut() = status(code).status();
            response
        })
        .await;

        assert_eq!(client().connect(&uri(&server)).await, Err(TamFailed::Status(code)));
    }
}

//= teep 14.81 (M): 4xx, 5xx, refused connection, TLS failure are errors
#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let nobody = nobody().await;

    let failed = client().connect(&nobody).await.unwrap_err();

    assert_eq!(failed.cause(), Cause::Unreachable);
    assert!(matches!(failed, TamFailed::Unreachable(_)), "{failed:?}");
    let plain = nobody.replace("http:", "https:");
    assert_eq!(client().connect(&plain).await.unwrap_err().cause(), Cause::Unreachable);
}

#[tokio::test]
async fn an_error_never_shows_the_address_with_its_ticket() {
    let nobody = nobody().await + "/secret-ticket";

    let failed = client().connect(&nobody).await.unwrap_err();

    assert!(!format!("{failed} {failed:?}").contains("secret-ticket"));
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let server = Server::answering(|_| Box::pin(pending())).await;
    let client = TamClient::answering_within(None, Duration::from_millis(50)).unwrap();

    let answer = client.connect(&uri(&server)).await;

    assert_eq!(answer, Err(TamFailed::TimedOut));
    assert_eq!(TamFailed::TimedOut.cause(), Cause::TimedOut);
}

//= teep 14.84 (M): no cookies stored or sent
#[tokio::test]
async fn a_cookie_is_neither_kept_nor_sent() {
    let server =
        Server::start(|_| ([("set-cookie", "session=1; Path=/")], status(204)).into_response())
            .await;
    let client = client();

    client.connect(&uri(&server)).await.unwrap();
    client.send(&uri(&server), vec![1]).await.unwrap();

    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|seen| seen.header("cookie").is_none()));
}

//= teep 14.86 (R): response with a body and another Content-Type is an error
#[tokio::test]
async fn a_body_of_another_media_type_is_an_error() {
    for media_type in ["application/cbor", "text/html", "application/teep+cborx", ""] {
        let server = Server::start(move |_| typed(media_type, "message")).await;

        let answer = client().connect(&uri(&server)).await;

        assert_eq!(answer, Err(TamFailed::MediaType(media_type.to_owned())));
        assert_eq!(answer.unwrap_err().cause(), Cause::Unusable);
    }
}

//= teep 14.86 (R): parameters and case of the type do not matter
#[tokio::test]
async fn parameters_of_the_media_type_are_ignored() {
    let server = Server::start(|_| typed("Application/TEEP+cbor; v=1", "message")).await;

    assert_eq!(client().connect(&uri(&server)).await, Ok(Some(b"message".to_vec())));
}

//= teep 14.87 (R): response size limit; a longer body aborts
#[tokio::test]
async fn a_body_beyond_the_limit_is_an_error_and_one_at_the_limit_is_not() {
    let server = Server::start(|_| teep(vec![7; ANSWER_BYTES_MAX + 1])).await;
    let answer = client().connect(&uri(&server)).await;

    assert_eq!(answer, Err(TamFailed::TooLarge { limit: ANSWER_BYTES_MAX }));
    assert_eq!(answer.unwrap_err().cause(), Cause::Unusable);

    let server = Server::start(|_| teep(vec![7; ANSWER_BYTES_MAX])).await;
    let answer = client().connect(&uri(&server)).await;

    assert_eq!(answer.unwrap().unwrap().len(), ANSWER_BYTES_MAX);
}

#[tokio::test]
async fn plain_http_leaves_this_machine_for_nobody() {
    for host in ["tam.example", "192.0.2.1", "[2001:db8::1]", "127.0.0.1.example"] {
        let answer = client().connect(&format!("http://{host}/tam")).await;

        assert_eq!(answer, Err(TamFailed::PlainHttp), "{host}");
    }
    for uri in ["ftp://127.0.0.1/", "no address", "file:///etc/passwd"] {
        let answer = client().connect(uri).await;

        assert_eq!(answer, Err(TamFailed::Address(uri.to_owned())));
    }
}

fn client() -> TamClient {
    TamClient::answering_within(None, Duration::from_secs(5)).unwrap()
}

fn uri(server: &Server) -> String {
    format!("{}/tam", server.base)
}

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/tam", listener.local_addr().unwrap())
}
