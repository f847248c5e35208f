//! Connections: accepting them, bounding their number and their time, and letting them end well.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};

use super::{Patience, stalled::Unstalled};
use crate::house::Front;

/// Connections beyond the limit that are told so; further ones wait in the system's backlog.
const BUSY_CONNECTIONS: usize = 64;
/// Bound of a request's line and headers, and of one read of a body.
const READ_BUFFER: usize = 64 * 1024;

/// The end of the time to drain that is kept for telling callers so.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A listening socket with its connections.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    protocol: http1::Builder,
    open: Arc<Semaphore>,
    busy: Arc<Semaphore>,
    patience: Patience,
}

/// The place of one connection; free again when it is dropped.
struct Place {
    /// True for one beyond the limit: it is told to come again.
    is_busy: bool,
    _permit: OwnedSemaphorePermit,
}

impl Listener {
    /// Binds the address; port 0 takes a free one. At most `connections` are served at once.
    pub async fn bind(address: SocketAddr, connections: usize, patience: Patience) -> std::io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        let mut protocol = http1::Builder::new();
        // Old clients (gSOAP 2.7 among them) close their sending side behind the request and then wait for the reply.
        protocol.half_close(true);
        protocol.timer(TokioTimer::new()).header_read_timeout(patience.header).max_buf_size(READ_BUFFER);
        let open = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
        let busy = Arc::new(Semaphore::new(BUSY_CONNECTIONS));
        Ok(Self { socket, address, protocol, open, busy, patience })
    }

    /// The address that was bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` ends, then takes no more connections and waits for those under way. False: some were
    /// still under way when the time to drain was over. Also says when draining began.
    pub async fn serve(self, front: Arc<Front>, stop: impl Future<Output = ()>) -> (bool, Instant) {
        let ending = GracefulShutdown::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            // A connection that was accepted while `stop` ended is dropped unread: its caller sees it close and may try elsewhere.
            let (stream, place) = tokio::select! {
                () = &mut stop => break,
                next = self.next() => next,
            };
            // A reply is written whole; waiting to fill a packet only delays it.
            let _ = stream.set_nodelay(true);
            let front_of_connection = Arc::clone(&front);
            let is_busy = place.is_busy;
            let service = service_fn(move |request: Request<Incoming>| {
                let front = Arc::clone(&front_of_connection);
                async move {
                    let answer = if is_busy {
                        super::busy(&front, request)
                    } else {
                        super::answer(&front, request).await
                    };
                    Ok::<_, Infallible>(answer)
                }
            });
            let stream = TokioIo::new(Unstalled::new(stream, self.patience.header));
            let connection = ending.watch(self.protocol.serve_connection(stream, service));
            front.runner.serve_connection(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended early");
                }
                drop(place);
            });
        }
        front.start_draining();
        drop(self.socket);
        let began = Instant::now();
        let patience = self.patience.drain;
        let last_words = LAST_WORDS.min(patience / 4);
        let mut ended = std::pin::pin!(ending.shutdown());
        if timeout(patience.saturating_sub(last_words), ended.as_mut()).await.is_ok() {
            return (true, began);
        }
        tracing::warn!("the time to drain is over: callers are told to come again");
        front.stop_waiting();
        let _ = timeout(last_words, ended).await;
        (false, began)
    }

    /// The next connection, with a place for it.
    async fn next(&self) -> (TcpStream, Place) {
        loop {
            match self.socket.accept().await {
                Ok((stream, _)) => return (stream, self.place().await),
                Err(error) => {
                    // Mostly no file descriptors are left; trying again at once would only burn the processor.
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn place(&self) -> Place {
        if let Ok(permit) = Arc::clone(&self.open).try_acquire_owned() {
            return Place { is_busy: false, _permit: permit };
        }
        loop {
            tokio::select! {
                Ok(permit) = Arc::clone(&self.open).acquire_owned() => return Place { is_busy: false, _permit: permit },
                Ok(permit) = Arc::clone(&self.busy).acquire_owned() => return Place { is_busy: true, _permit: permit },
                // Neither semaphore is ever closed.
                else => sleep(Duration::from_millis(100)).await,
            }
        }
    }
}
