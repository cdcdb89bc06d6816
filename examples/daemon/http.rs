//! Health and metrics over HTTP, for a supervisor, a load balancer and Prometheus.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State as Extract;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use everbearer::{State, TokenProvider};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::in_keys;
use crate::duration::show;
use crate::failure::{Failure, one_line};

/// The limits of the histogram's buckets, in seconds.
const BUCKETS: [f64; 9] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0];
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the recorder of all metrics of the process, before the provider is built.
pub(crate) fn recorder() -> Result<PrometheusHandle, Failure> {
    let durations = Matcher::Suffix("_duration_seconds".to_owned());
    PrometheusBuilder::new()
        .set_buckets_for_metric(durations, &BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| Failure::Start(one_line(&error)))
}

pub(crate) async fn bind(listen: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(listen).await.map_err(|error| {
        Failure::Start(format!(
            "http.listen: cannot listen on {listen}: {error}; stop the process that listens there, or choose \
             another address"
        ))
    })
}

#[derive(Clone)]
struct Shown {
    provider: TokenProvider,
    metrics: PrometheusHandle,
    stop: watch::Receiver<bool>,
}

/// Serves requests until `over` is set. After `stop`, the daemon is not ready.
pub(crate) async fn serve(
    listener: TcpListener,
    provider: TokenProvider,
    metrics: PrometheusHandle,
    stop: watch::Receiver<bool>,
    mut over: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let upkeep = metrics.clone();
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render))
        .with_state(Shown {
            provider,
            metrics,
            stop,
        });
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        let _ = over.wait_for(|over| *over).await;
    });
    let upkeep = async {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    };
    tokio::select! {
        ended = server.into_future() => ended,
        () = upkeep => Ok(()),
    }
}

/// Reports whether a restart would help: only if the provider has been shut down.
async fn healthz(Extract(shown): Extract<Shown>) -> (StatusCode, String) {
    match shown.provider.status().state {
        State::ShutDown => (StatusCode::SERVICE_UNAVAILABLE, "stopped\n".into()),
        state => (StatusCode::OK, format!("alive: {}\n", state.as_str())),
    }
}

/// Reports whether the daemon can work: only with a valid token.
async fn readyz(Extract(shown): Extract<Shown>) -> (StatusCode, String) {
    let status = shown.provider.status();
    let state = status.state.as_str();
    if *shown.stop.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".into());
    }
    if !status.usable_for.is_zero() {
        let left = show(status.usable_for);
        return (
            StatusCode::OK,
            format!("ready: {state}, token valid for {left}\n"),
        );
    }
    let reason = status
        .last_error
        .as_ref()
        .map(|error| in_keys(&one_line(error)));
    let reason = reason.unwrap_or_else(|| "no token yet".to_owned());
    (
        StatusCode::SERVICE_UNAVAILABLE,
        format!("not ready: {state}: {reason}\n"),
    )
}

async fn render(Extract(shown): Extract<Shown>) -> impl IntoResponse {
    let format = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, format)], shown.metrics.render())
}
