//! Calls as no client of ours would make them.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tonic::Status;

use crate::place::*;

/// What a call sends; it may never come to an end.
pub struct Sent {
    pub bytes: Option<Bytes>,
    pub has_end: bool,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.bytes.take() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None if self.has_end => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

/// A connection for calls made by hand.
pub struct Raw {
    sender: SendRequest<Sent>,
    driving: tokio::task::JoinHandle<hyper::Result<()>>,
}

impl Raw {
    /// To the Unix socket.
    pub async fn connect(place: &Place) -> Self {
        Self::over(UnixStream::connect(place.socket()).await.unwrap()).await
    }

    /// To the port, over TLS.
    pub async fn connect_tls(place: &Place) -> Self {
        let stream = TcpStream::connect(place.at).await.unwrap();
        let certificate = place.file("household.crt");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider);
        let config = config.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("main.genii.internal").unwrap();
        Self::over(connector.connect(name, stream).await.unwrap()).await
    }

    async fn over(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let io = TokioIo::new(io);
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
        let (sender, connection) = handshake.await.unwrap();
        Self { sender, driving: tokio::spawn(async move { connection.await.map(drop) }) }
    }

    /// Makes a call, and says how it ended; nothing if it broke off, or could not even be made.
    pub async fn call(&self, path: &str, headers: &[(&str, &[u8])], sent: Sent) -> Option<Status> {
        ended(self.begin(path, headers, sent).await?).await
    }

    /// Makes a call, up to where its answer begins.
    pub async fn begin(
        &self,
        path: &str,
        headers: &[(&str, &[u8])],
        sent: Sent,
    ) -> Option<Response<Incoming>> {
        let mut request = Request::post(format!("http://localhost{path}"));
        request = request.header("content-type", "application/grpc").header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.sender.clone().send_request(request.body(sent).ok()?).await.ok()
    }
}

/// How a call ended, once it has; nothing if it broke off.
pub async fn ended(response: Response<Incoming>) -> Option<Status> {
    let (parts, body) = response.into_parts();
    if let Some(status) = Status::from_header_map(&parts.headers) {
        return Some(status);
    }
    let trailers: HeaderMap = body.collect().await.ok()?.trailers()?.clone();
    Status::from_header_map(&trailers)
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.driving.abort();
    }
}

/// A message of gRPC, with a length that may lie.
pub fn framed(flag: u8, len: Option<u32>, message: &[u8]) -> Bytes {
    let mut framed = BytesMut::new();
    framed.put_u8(flag);
    framed.put_u32(len.unwrap_or(message.len() as u32));
    framed.put_slice(message);
    framed.freeze()
}
