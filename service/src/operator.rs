//! The operator's port for health and metrics. It has connections and threads of its own, which no client can take up.

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use tokio::sync::watch;

use crate::Failure;
use crate::addresses::Proxies;
use crate::connections::{self, ConnectionLimits};

/// Serves these routes on a port, a thread and a runtime of their own, until `stop` says so.
pub fn start(
    address: SocketAddr,
    router: Router,
    stop: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, Failure> {
    let cannot = |e| Failure::new(format!("cannot listen on {address} for the operator")).caused_by(e);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    let listener = {
        let _entered = runtime.enter();
        connections::listen(address).map_err(cannot)?
    };
    let bound = listener.local_addr().unwrap_or(address);
    tracing::info!(address = %bound, "health and metrics are served to the operator");
    let serve = connections::serve(listener, router, Proxies::default(), LIMITS, LIMITS.shares(), stop);
    let thread = thread::Builder::new().name("operator".into()).spawn(move || runtime.block_on(serve));
    thread.map_err(|e| Failure::new("cannot start the operator's thread").caused_by(e))
}

/// Connections of the operator's port.
pub const CONNECTIONS: usize = 64;

const LIMITS: ConnectionLimits = ConnectionLimits {
    connections: CONNECTIONS,
    of_one_address: 0,
    header_timeout: Duration::from_secs(10),
    answer_timeout: Duration::from_secs(30),
};
