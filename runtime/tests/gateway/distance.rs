//! A wire between a client and a gateway on which everything takes its time.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How much is carried at a time, in bytes.
const CARRIED_LEN: usize = 64 << 10;

/// A place from which all bytes reach another so much later, and back again.
pub async fn far_from(to: SocketAddr, by: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(join(near, to, by));
        }
    });
    at
}

async fn join(near: TcpStream, to: SocketAddr, by: Duration) {
    let Ok(far) = TcpStream::connect(to).await else { return };
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    let (from_near, to_near) = near.into_split();
    let (from_far, to_far) = far.into_split();
    tokio::join!(carry(from_near, to_far, by), carry(from_far, to_near, by));
}

/// Carries bytes, each batch after its time, and then the end of them.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin + Send + 'static,
    by: Duration,
) {
    let (on_the_way, mut arriving) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((at, bytes)) = arriving.recv().await {
            tokio::time::sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _has_gone = to.shutdown().await;
    });
    let mut bytes = vec![0; CARRIED_LEN];
    while let Ok(len @ 1..) = from.read(&mut bytes).await {
        if on_the_way.send((Instant::now() + by, bytes[..len].to_vec())).is_err() {
            return;
        }
    }
}
