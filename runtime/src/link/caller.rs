//! Who shows up at the port, once TLS has told.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use genii_protocols::NodeName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::STRANGER_STAY;
use super::crowd::{Crowd, Place};
use super::network::Certificate;
use crate::trust::credentials::Credentials;
use crate::trust::{TurnedAway, tls};

/// A connection from a caller.
pub(super) struct Caller {
    stream: TlsStream<TcpStream>,
    name: CallerName,
    credentials: Arc<Credentials>,
    /// How long a stranger may stay.
    stay: Option<Pin<Box<Sleep>>>,
    _place: Place,
    /// Somebody else needs the place.
    is_needed: oneshot::Receiver<()>,
}

/// Who calls, for those who serve it.
#[derive(Debug, Clone)]
pub(super) struct CallerName {
    /// The node, by its certificate; `None` for a stranger, who has shown none.
    pub(super) node: Option<(NodeName, Certificate)>,
    has_asked: Arc<AtomicBool>,
}

impl CallerName {
    /// It has asked for something that there is.
    pub(super) fn asks(&self) {
        self.has_asked.store(true, Ordering::Relaxed);
    }
}

impl Caller {
    /// Whether it has shown no certificate.
    pub(super) fn is_stranger(&self) -> bool {
        self.name.node.is_none()
    }

    /// Who has come through the handshake.
    pub(super) fn new(
        stream: TlsStream<TcpStream>,
        credentials: Arc<Credentials>,
        crowd: &Crowd,
    ) -> Self {
        let shown = stream.get_ref().1.peer_certificates();
        let certificate = shown.and_then(|shown| shown.first()).cloned();
        let node = tls::peer(shown).zip(certificate.map(Certificate::into_owned));
        let own = node.as_ref().map(|(node, _)| node.clone());
        if let Some(node) = &own {
            credentials.tally().welcome(node);
        }
        let stay = own.is_none().then(|| Box::pin(tokio::time::sleep(STRANGER_STAY)));
        let too_many = if stay.is_some() { TurnedAway::Strangers } else { TurnedAway::TooMany };
        let (_place, is_needed, one_had_to_go) = crowd.enter(own);
        if one_had_to_go {
            credentials.tally().count(too_many);
        }
        let name = CallerName { node, has_asked: Arc::default() };
        Self { stream, name, credentials, stay, _place, is_needed }
    }

    /// Whether it must go.
    fn poll_stay(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if Pin::new(&mut self.is_needed).poll(context).is_ready() {
            return Err(io::Error::other("a later connection has taken its place"));
        }
        let stay = self.stay.as_mut().map(|stay| stay.as_mut().poll(context));
        match stay {
            Some(Poll::Ready(())) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "a stranger has stayed too long"))
            }
            Some(Poll::Pending) | None => Ok(()),
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if !self.name.has_asked.load(Ordering::Relaxed) {
            self.credentials.tally().count(TurnedAway::Idle);
        }
    }
}

impl Connected for Caller {
    type ConnectInfo = CallerName;

    fn connect_info(&self) -> CallerName {
        self.name.clone()
    }
}

impl AsyncRead for Caller {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_stay(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Caller {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
