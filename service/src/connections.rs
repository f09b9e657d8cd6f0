//! The accept loop: how many connections there are, of whom, and how long each may be slow.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower::Service as _;

use crate::addresses::{Proxies, network};

/// How many connections there are, and how long each may be slow.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// The most connections at a time; further ones wait to be accepted.
    pub connections: usize,
    /// The most of one address, trusted proxies apart; further ones are closed. 0: no limit.
    pub of_one_address: usize,
    /// How long a request head may take.
    pub header_timeout: Duration,
    /// How long an answer may wait for its client to read on.
    pub answer_timeout: Duration,
}

/// Listens on an address, with room for many who come at once. A connection that finds none waits a second or more
/// before it tries again.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart does not wait for connections of the process before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `stop` says so, then finishes what is under way.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    proxies: Proxies,
    limits: ConnectionLimits,
    mut stop: watch::Receiver<bool>,
) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS);
    let router = router.into_make_service_with_connect_info::<SocketAddr>();
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(limits.connections));
    let open = Arc::new(Open::new(limits.of_one_address, proxies));
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
                // Out of descriptors, or a connection that died in the queue: neither is the server's end.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(place) = open.take(address.ip()) else {
            tracing::debug!(address = %address.ip(), "an address has as many connections as it may: closed");
            continue;
        };
        let _ = stream.set_nodelay(true);
        limit_unread(&stream, limits.answer_timeout);
        let service = match router.clone().call(address).await {
            Ok(service) => TowerToHyperService::new(service),
            Err(never) => match never {},
        };
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop((slot, place));
        });
    }
    drop(listener);
    if tokio::time::timeout(STOP_PATIENCE, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections were still open when the server stopped");
    }
}

/// The connections that are open, by address: one that opens them all keeps nobody else out.
#[derive(Debug)]
struct Open {
    most: usize,
    proxies: Proxies,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

impl Open {
    fn new(most: usize, proxies: Proxies) -> Self {
        Self { most, proxies, by_address: Mutex::default() }
    }

    /// A place for a connection of this peer, until it is dropped; `None` if it has as many as it may.
    fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let peer = peer.to_canonical();
        if self.most == 0 || self.proxies.contain(peer) {
            return Some(Place { of: None });
        }
        let address = network(peer);
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let open = by_address.entry(address).or_insert(0);
        if *open >= self.most {
            return None;
        }
        *open += 1;
        Some(Place { of: Some((self.clone(), address)) })
    }
}

#[derive(Debug)]
struct Place {
    of: Option<(Arc<Open>, IpAddr)>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((open, address)) = &self.of else { return };
        let mut by_address = open.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = by_address.get_mut(address) {
            *left -= 1;
            if *left == 0 {
                by_address.remove(address);
            }
        }
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

/// How many files the process may have open. Raises the lower of its two limits, which is there for programs that use
/// select(2).
pub fn allowed_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let allowed = setrlimit(Resource::Nofile, raised).map_or(limit.current, |()| limit.maximum);
    allowed.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

/// How many of `wanted` connections fit beside `files` that the rest of the process may have open. A store opens files
/// when it writes: if there were none left, the write would fail, and with it the server.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_places_and_gets_them_back() {
        let proxies = Proxies::new(vec!["10.0.0.0/8".parse().expect("a network")]);
        let open = Arc::new(Open::new(2, proxies.clone()));
        let take = |address: &str| open.take(address.parse().expect("an address"));
        let first = take("192.0.2.1").expect("a place");
        let _second = take("::ffff:192.0.2.1").expect("the same address, a second place");
        assert!(take("192.0.2.1").is_none());
        let _other = take("192.0.2.2").expect("another's place");
        let _proxies: Vec<_> =
            (0..9).map(|_| take("10.1.2.3").expect("proxies bring many clients")).collect();
        drop(first);
        let again = take("192.0.2.1").expect("what was given back");
        drop((again, _second, _other));
        assert!(open.by_address.lock().expect("no panic").is_empty(), "nothing is kept of who has left");
        let open = Arc::new(Open::new(0, proxies));
        let all: Vec<_> = (0..9).map(|_| open.take("192.0.2.1".parse().expect("an address"))).collect();
        assert!(all.iter().all(Option::is_some), "no limit");
    }
}
