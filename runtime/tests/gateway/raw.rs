//! Calls as no client of ours would make them.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use hyper::client::conn::http2::SendRequest;
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
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

/// A connection to the Unix socket, for calls made by hand.
pub struct Raw {
    sender: SendRequest<Sent>,
    driving: tokio::task::JoinHandle<hyper::Result<()>>,
}

impl Raw {
    pub async fn connect(place: &Place) -> Self {
        let stream = UnixStream::connect(place.socket()).await.unwrap();
        let io = TokioIo::new(stream);
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
        let (sender, connection) = handshake.await.unwrap();
        Self { sender, driving: tokio::spawn(connection) }
    }

    /// Makes a call, and says how it ended; nothing if it broke off, or could not even be made.
    pub async fn call(&self, path: &str, headers: &[(&str, &[u8])], sent: Sent) -> Option<Status> {
        let mut request = Request::post(format!("http://localhost{path}"));
        request = request.header("content-type", "application/grpc").header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.sender.clone().send_request(request.body(sent).ok()?).await.ok()?;
        let (parts, body) = response.into_parts();
        if let Some(status) = Status::from_header_map(&parts.headers) {
            return Some(status);
        }
        let trailers: HeaderMap = body.collect().await.ok()?.trailers()?.clone();
        Status::from_header_map(&trailers)
    }
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
