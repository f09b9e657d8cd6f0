//! The accept loop: how many connections there are, how many of one client, and how long each may be slow.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::ConnectInfo;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower::Service as _;

use crate::addresses::Proxies;
use crate::shares::{Bounds, QUARTER, Shares};

/// How many connections there are, and how long each may be slow.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// The most connections at a time; further ones wait to be accepted.
    pub connections: usize,
    /// The most of one client, and never more than a quarter of those that are left; further ones are closed. Trusted proxies have no limit. 0:
    /// nobody has one.
    pub of_one_address: usize,
    /// How long a request head may take.
    pub header_timeout: Duration,
    /// How long an answer may wait for its client to read on.
    pub answer_timeout: Duration,
}

/// Listens on an address, with room for many connections at once. A client that finds no room tries again only after a
/// second or more.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart does not wait for connections of the process before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl ConnectionLimits {
    /// The connections within these limits, none of which is open.
    pub fn shares(&self) -> Shares {
        let each = (self.of_one_address > 0).then_some(self.of_one_address as u64);
        Shares::new(Bounds { whole: self.connections as u64, each, part: QUARTER })
    }
}

/// What answers the requests of connections.
pub trait Routes: Send + Sync + 'static {
    /// Answers a request that came from this address.
    fn answer(
        &self,
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

impl Routes for Router {
    async fn answer(&self, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        match self.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// Serves until `stop` says so, then finishes what is under way. `open` are the connections of these limits.
pub async fn serve(
    listener: TcpListener,
    routes: impl Routes,
    proxies: Proxies,
    limits: ConnectionLimits,
    open: Shares,
    mut stop: watch::Receiver<bool>,
) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS);
    let routes = Arc::new(routes);
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(limits.connections));
    loop {
        let slot = tokio::select! {
            slot = slots.clone().acquire_owned() => slot.expect("the semaphore is never closed"),
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or a connection that died in the queue: the server goes on.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let peer = address.ip().to_canonical();
        let Ok(share) = open.take((!proxies.contain(peer)).then_some(peer), 1) else {
            tracing::debug!(%peer, "an address has as many connections as it may: closed");
            continue;
        };
        let _ = stream.set_nodelay(true);
        limit_unread(&stream, limits.answer_timeout);
        let routes = routes.clone();
        let service = service_fn(move |request| {
            let routes = routes.clone();
            async move { Ok::<_, Infallible>(routes.answer(address, request).await) }
        });
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop((slot, share));
        });
    }
    drop(listener);
    if tokio::time::timeout(STOP_PATIENCE, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections were still open when the server stopped");
    }
}

/// A client that asks and does not read the answer would hold its connection, and the answer, for ever.
#[cfg(target_os = "linux")]
fn limit_unread(stream: &TcpStream, answer_timeout: Duration) {
    let milliseconds = u32::try_from(answer_timeout.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, milliseconds) {
        tracing::debug!(%error, "a connection that cannot be limited");
    }
}

#[cfg(not(target_os = "linux"))]
fn limit_unread(_: &TcpStream, _: Duration) {}

/// How many files the process may have open. Raises the soft limit, which is there for programs that use select(2).
pub fn allowed_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let allowed = setrlimit(Resource::Nofile, raised).map_or(limit.current, |()| limit.maximum);
    allowed.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

/// How many of `wanted` connections fit beside the `files` that the rest of the process may have open. A store opens
/// files when it writes. If connections took them all, the write would fail, and the server would end.
pub fn that_fit(wanted: usize, files: usize) -> usize {
    let allowed = allowed_files();
    let fit = allowed.saturating_sub(files).max(1);
    if fit < wanted {
        let connections = fit;
        tracing::warn!(allowed, connections, wanted, "few open files are allowed, so fewer connections are");
    }
    wanted.min(fit)
}

/// Connections that wait to be accepted; the system may allow fewer.
const BACKLOG: u32 = 1_024;

/// The longest request head: above it 431.
const MAX_HEAD_BYTES: usize = 16 << 10;

const MAX_HEADERS: usize = 64;

/// How long requests under way may take once the server stops: longer than a submission's deadline. A body that takes
/// longer to come is sent again.
const STOP_PATIENCE: Duration = Duration::from_secs(15);
