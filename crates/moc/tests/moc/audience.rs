//! Somebody with a bearer token.

use reqwest::{Certificate, Client, Method, RequestBuilder};
use serde::{Serialize, de::DeserializeOwned};

#[derive(Clone, Debug)]
pub(crate) struct Caller {
    client: Client,
    url: String,
    token: String,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Caller {
    pub(crate) fn new(url: &str, token: &str) -> Self {
        Self::trusting(None, url, token)
    }

    /// Trusts one root for TLS, PEM.
    pub(crate) fn trusting(root: Option<&str>, url: &str, token: &str) -> Self {
        let root = root.map(|pem| Certificate::from_pem(pem.as_bytes()).unwrap());
        let builder = Client::builder().tls_certs_only(root).pool_max_idle_per_host(0);
        let client = builder.build().unwrap();
        Self { client, url: url.to_owned(), token: token.to_owned() }
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) fn at(self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match self.token.is_empty() {
            true => request,
            false => request.bearer_auth(&self.token),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post<T: Serialize + ?Sized>(&self, path: &str, body: &T) -> Answer {
        let body = serde_json::to_vec(body).unwrap();
        let request = self.request(Method::POST, path).header("content-type", "application/json");
        send(request.body(body)).await
    }

    pub(crate) async fn put(&self, path: &str, media_type: &str, body: Vec<u8>) -> Answer {
        let request = self.request(Method::PUT, path).header("content-type", media_type);
        send(request.body(body)).await
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, body: response.bytes().await.unwrap().to_vec() }
}

impl Answer {
    pub(crate) fn expect<T: DeserializeOwned>(&self, status: u16) -> T {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{text}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// A refusal, which has to be explained.
    pub(crate) fn refused(&self, status: u16, kind: &str) -> api::Problem {
        let problem: api::Problem = self.expect(status);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!((problem.name(), problem.status), (kind, status));
        problem
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}
