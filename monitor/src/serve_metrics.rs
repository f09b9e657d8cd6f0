//! `/metrics`, and nothing else, on an address of the operator's.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::Failure;

/// Serves the metrics on a thread of their own until the process ends.
pub(crate) fn start(address: SocketAddr, metrics: PrometheusHandle) -> Result<(), Failure> {
    let cannot = |e: std::io::Error| Failure::new(format!("cannot serve metrics on {address}")).caused_by(e);
    let listener = std::net::TcpListener::bind(address).map_err(cannot)?;
    listener.set_nonblocking(true).map_err(cannot)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    let serve = async move {
        let upkeep = metrics.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(5));
            loop {
                ticks.tick().await;
                upkeep.run_upkeep();
            }
        });
        let router = Router::new().route("/metrics", get(move || async move { metrics.render() }));
        let listener = tokio::net::TcpListener::from_std(listener)?;
        axum::serve(listener, router).await
    };
    let run = move || {
        if let Err(error) = runtime.block_on(serve) {
            tracing::error!(%error, "metrics are no longer served");
        }
    };
    std::thread::Builder::new().name("metrics".into()).spawn(run).map(|_| ()).map_err(cannot)
}
