//! The HTTP side: `/metrics`, `/healthz`, `/readyz`.

use crate::daemon::Daemon;
use axum::{
    Router,
    extract::State,
    http::{
        HeaderValue, StatusCode,
        header::{CONNECTION, CONTENT_TYPE},
    },
    response::{IntoResponse as _, Response},
    routing::get,
};
use piperoll_store::Refusing;
use std::sync::Arc;
use tower::util::MapResponseLayer;

/// What Prometheus expects of the `OpenMetrics` text form.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The routes.
pub(crate) fn routes(daemon: Arc<Daemon>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        // A scrape is one request, and there are few places.
        .layer(MapResponseLayer::new(|mut response: Response| {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }))
        .with_state(daemon)
}

async fn metrics(State(daemon): State<Arc<Daemon>>) -> Response {
    let text = match daemon.reading().await {
        Ok(reading) => daemon.metrics.text(reading).map_err(|error| error.to_string()),
        Err(refusal) => Err(refusal.to_string()),
    };
    match text {
        Ok(text) => ([(CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(problem) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{problem}\n")).into_response(),
    }
}

/// 200 while requests are taken, with a line for each log that takes no appends; 503 while it ends.
async fn ready(State(daemon): State<Arc<Daemon>>) -> Response {
    if daemon.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    let refusing = daemon.reader.refusing();
    let line = |log: &Refusing| format!("{}/{} takes no appends: {}\n", log.tenant, log.class, log.reason);
    let clock = daemon.appender.clock_refusal().map(|error| format!("no log takes appends: {error}\n"));
    format!("ready\n{}{}", clock.unwrap_or_default(), refusing.iter().map(line).collect::<String>())
        .into_response()
}
