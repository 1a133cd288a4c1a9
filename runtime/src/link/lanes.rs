//! The service by which nodes open lanes to each other.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tonic::body::Body;
use tonic::codegen::http;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};

use super::caller::CallerName;
use super::network::{Broken, Incoming, Lane, Opened};
use super::raw::Raw;
use crate::trust::credentials::Credentials;

/// The largest batch, in bytes.
pub(super) const BATCH_MAX_LEN: usize = 1 << 20;

const CONTROL: &str = "/genii.link.v1.Link/Control";
const DATA: &str = "/genii.link.v1.Link/Data";

/// The path of a lane.
pub(super) fn path(lane: Lane) -> PathAndQuery {
    PathAndQuery::from_static(match lane {
        Lane::Control => CONTROL,
        Lane::Data => DATA,
    })
}

/// What comes in on a lane.
pub(super) fn incoming(batches: Streaming<Bytes>) -> Incoming {
    batches.map(|batch| batch.map_err(|status| broken(&status))).boxed()
}

/// How a lane broke, by the last word of gRPC.
pub(super) fn broken(status: &Status) -> Broken {
    match status.code() {
        tonic::Code::Unauthenticated | tonic::Code::PermissionDenied => {
            Broken::Refused(status.message().to_owned())
        }
        // What HTTP/2 says of it helps nobody but who looks into genii.
        _ if status.message().starts_with("h2 protocol error") => {
            tracing::debug!("a connection broke off: {}", status.message());
            Broken::Other("the connection broke off".to_owned())
        }
        _ => Broken::Other(format!("the connection is lost: {}", status.message())),
    }
}

/// The service. What is opened goes to who asked for it first.
#[derive(Clone)]
pub(super) struct Lanes {
    pub(super) opened: mpsc::Sender<Opened>,
    pub(super) credentials: Arc<Credentials>,
    /// Whether data lanes are taken here, too.
    pub(super) takes_data: bool,
}

impl NamedService for Lanes {
    const NAME: &'static str = "genii.link.v1.Link";
}

impl tower::Service<http::Request<Body>> for Lanes {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let lane = match request.uri().path() {
            CONTROL => Lane::Control,
            DATA if self.takes_data => Lane::Data,
            _ => {
                let unknown = Status::unimplemented("there is no such lane").into_http();
                return std::future::ready(Ok(unknown)).boxed();
            }
        };
        let (opened, credentials) = (self.opened.clone(), self.credentials.clone());
        let opening = Opening { opened, credentials, lane };
        async move {
            let mut grpc = Grpc::new(Raw).max_decoding_message_size(BATCH_MAX_LEN);
            Ok(grpc.streaming(opening, request).await)
        }
        .boxed()
    }
}

struct Opening {
    opened: mpsc::Sender<Opened>,
    credentials: Arc<Credentials>,
    lane: Lane,
}

impl StreamingService<Bytes> for Opening {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let (opened, lane) = (self.opened.clone(), self.lane);
        let credentials = self.credentials.clone();
        async move {
            let name = request.extensions().get::<CallerName>().cloned();
            let known = name.and_then(|name| {
                name.asks();
                name.node
            });
            let (from, certificate) =
                known.ok_or_else(|| Status::unauthenticated("it has no certificate"))?;
            // The connection may be older than what is known of its certificate.
            if let Err(verdict) = credentials.still_counts(&certificate) {
                credentials.tally().refuse(&verdict);
                return Err(Status::permission_denied(verdict.to_string()));
            }
            let certificate = Some(certificate);
            let (outgoing, answer) = oneshot::channel();
            let incoming = incoming(request.into_inner());
            let gone = |_| Status::unavailable("this node links with nobody");
            let lane = Opened { from, lane, certificate, incoming, outgoing };
            opened.send(lane).await.map_err(gone)?;
            let refused = |_| Status::aborted("the lane is not taken");
            let outgoing = answer.await.map_err(refused)?;
            Ok(Response::new(outgoing.map(Ok).boxed()))
        }
        .boxed()
    }
}
