//! Who shows up at the port, once TLS has told.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use genii_protocols::NodeName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::STRANGER_STAY;
use super::network::Certificate;
use crate::trust::tls;

/// A connection from a caller.
pub(super) struct Caller {
    stream: TlsStream<TcpStream>,
    name: CallerName,
    /// A stranger may stay so long, and takes one of the places for strangers meanwhile.
    stay: Option<(Pin<Box<Sleep>>, OwnedSemaphorePermit)>,
}

/// The node that calls, by its certificate; `None` for a stranger, who has shown none.
#[derive(Debug, Clone)]
pub(super) struct CallerName(pub(super) Option<(NodeName, Certificate)>);

impl Caller {
    /// Whether it has shown no certificate.
    pub(super) fn is_stranger(&self) -> bool {
        self.name.0.is_none()
    }

    /// Who has come through the handshake.
    ///
    /// # Errors
    /// When it is a stranger, and there is no place for another.
    pub(super) fn new(
        stream: TlsStream<TcpStream>,
        strangers: &Arc<Semaphore>,
    ) -> io::Result<Self> {
        let shown = stream.get_ref().1.peer_certificates();
        let certificate = shown.and_then(|shown| shown.first()).cloned();
        let name = CallerName(tls::peer(shown).zip(certificate.map(Certificate::into_owned)));
        let stay = match &name.0 {
            Some(_) => None,
            None => {
                let place = strangers.clone().try_acquire_owned();
                let place = place.map_err(|_| io::Error::other("too many strangers are here"))?;
                Some((Box::pin(tokio::time::sleep(STRANGER_STAY)), place))
            }
        };
        Ok(Self { stream, name, stay })
    }

    fn poll_stay(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let stay = self.stay.as_mut().map(|(stay, _)| stay.as_mut().poll(context));
        match stay {
            Some(Poll::Ready(())) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "a stranger has stayed too long"))
            }
            Some(Poll::Pending) | None => Ok(()),
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
