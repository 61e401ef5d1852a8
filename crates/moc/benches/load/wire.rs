//! TEEP over HTTPS as a device's Broker speaks it: one connection for each session.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where the M/OC is and whom to trust for that.
#[derive(Clone)]
pub(crate) struct Wire {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
}

/// A connection.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(address: SocketAddr, root: &str) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root.as_bytes())?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Every session is a handshake in full.
        tls.resumption = rustls::client::Resumption::disabled();
        Ok(Self { address, tls: Arc::new(tls) })
    }

    pub(crate) async fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(self.address.ip().into());
        let stream = TlsConnector::from(self.tls.clone()).connect(name, stream).await?;
        Ok(Connection { stream, buffer: Vec::with_capacity(8192) })
    }
}

impl Connection {
    /// A TEEP message, or none, to this path; the answer, or none.
    pub(crate) async fn post(&mut self, path: &str, message: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nhost: moc\r\naccept: {TEEP}\r\ncontent-type: {TEEP}\r\n\
             content-length: {}\r\n\r\n",
            message.len()
        )
        .into_bytes();
        request.extend_from_slice(message);
        match self.exchange(&request).await? {
            (200, body) => Ok(Some(body)),
            (204, _) => Ok(None),
            (status, _) => bail!("the M/OC answered {status} to a TEEP message"),
        }
    }

    /// A request as it stands; status and body.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<(u16, Vec<u8>)> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.buffer.clear();
        let head = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let text = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
        let status = text.get(9..12).context("a status")?.parse()?;
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(Ok(0), str::parse)?;
        while self.buffer.len() < head + length {
            self.more().await?;
        }
        Ok((status, self.buffer.split_off(head)))
    }

    async fn more(&mut self) -> Result<()> {
        ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the connection ended");
        Ok(())
    }
}

const TEEP: &str = "application/teep+cbor";
