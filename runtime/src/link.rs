//! Between machines: mutual TLS on every link, and nothing in the clear.
//!
//! One port serves it all. Whoever shows a certificate of the household is a node of it; whoever
//! shows none may only ask to [join].

mod caller;
pub(crate) mod control_thread;
pub(crate) mod crowd;
pub(crate) mod flowing;
mod heard;
pub mod join;
pub(crate) mod lane;
mod lanes;
pub mod listener;
mod names;
pub mod network;
pub(crate) mod outbox;
pub(crate) mod peers;
mod pings;
pub(crate) mod questions;
mod raw;
pub(crate) mod receiving;
pub mod renewal;
pub(crate) mod sending;
pub mod simulated;
pub mod tls_network;
mod watching;

use std::io;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Error, Uri};

pub(crate) use receiving::{FarReply, Parcel, Ticket};

/// How long a handshake may take, from the first byte to the last.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(5);

/// How much of one lane may be on its way unread, in bytes; and of one connection.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// How many callers may be in their handshake at once. With one more, the one that has been at it for
/// longest is turned away: who means it takes some milliseconds.
const HANDSHAKES_MAX: usize = 64;

/// How long a stranger may stay connected.
const STRANGER_STAY: Duration = Duration::from_secs(30);

/// How long what was sent on a connection may stay without a sign that it has come; then the connection
/// is lost. Silence of a node is noticed on its control lane, and sooner; this is for a data lane that
/// is cut alone.
const UNHEARD_MAX: Duration = Duration::from_secs(3);

/// What connections have in common: nothing waits to be sent, and what is not heard is noticed.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let millis = u32::try_from(UNHEARD_MAX.as_millis()).unwrap_or(u32::MAX);
    rustix::net::sockopt::set_tcp_user_timeout(stream, millis)?;
    Ok(())
}

/// What calls go over, on a connection that is there already.
async fn channel_over<S>(stream: S) -> Result<Channel, Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut stream = Some(TokioIo::new(stream));
    let connect = tower::service_fn(move |_: Uri| {
        let stream = stream.take();
        async move { stream.ok_or_else(|| std::io::Error::other("it was used already")) }
    });
    Endpoint::from_static("http://genii.invalid")
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .connect_with_connector(connect)
        .await
}
