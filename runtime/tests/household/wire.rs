//! Connections to a port by hand, below what nodes do on them.

use std::net::SocketAddr;
use std::sync::Arc;

use genii_runtime::trust::{Identity, certified, tls};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Status;
use tonic::codegen::http;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::{Service, ServiceExt};

use crate::nodes::{Household, Running};

pub type Tls = TlsStream<TcpStream>;

async fn connect(at: SocketAddr, config: ClientConfig, name: ServerName<'static>) -> Tls {
    let stream = TcpStream::connect(at).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// Connects as somebody without a certificate.
pub async fn stranger(household: &Household, to: &Running) -> Tls {
    let config = tls::joiner(household.authority.household(), &to.name).unwrap();
    connect(to.listener.at(), config, tls::ANY_NODE.clone()).await
}

/// Connects as a node.
pub async fn node(identity: &Identity, to: &Running) -> Tls {
    let name = ServerName::try_from(certified(&to.name)).unwrap();
    connect(to.listener.at(), tls::client(identity).unwrap(), name).await
}

/// The certificate that a node shows to who calls it now.
pub async fn shown(household: &Household, node: &Running) -> Vec<u8> {
    let stream = stranger(household, node).await;
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// What calls go over.
pub async fn channel(stream: Tls) -> Channel {
    let mut stream = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_: Uri| {
        let stream = stream.take();
        async move { stream.ok_or_else(|| std::io::Error::other("it was used already")) }
    });
    let endpoint = Endpoint::from_static("http://genii.invalid");
    endpoint.connect_with_connector(connector).await.unwrap()
}

/// How a node refuses a lane that is opened and on which nothing is said.
pub async fn refusal_of_lane(channel: &mut Channel) -> Status {
    let request = http::Request::post("http://genii.invalid/genii.link.v1.Link/Control")
        .header(http::header::CONTENT_TYPE, "application/grpc")
        .body(tonic::body::Body::empty())
        .unwrap();
    let channel = channel.ready().await.unwrap();
    let answer = channel.call(request).await.unwrap();
    Status::from_header_map(answer.headers()).unwrap()
}
