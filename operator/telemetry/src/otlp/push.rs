//! Sends the registry as OTLP metrics at an interval, from a task of its own. Values are cumulative, so a request that
//! fails is not repeated: the next one says it all.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use prost::Message as _;
use tokio::sync::oneshot;
use tonic::metadata::{MetadataKey, MetadataMap, MetadataValue};

use super::{Protocol, Settings, points};
use crate::metrics::{Metrics, Signal, SignalLabels};

/// The running task.
#[derive(Debug)]
pub(super) struct Push {
    stop: Option<oneshot::Sender<()>>,
    done: std::sync::mpsc::Receiver<()>,
}

enum Wire {
    Grpc(MetricsServiceClient<tonic::transport::Channel>),
    Http { client: reqwest::Client, url: String },
}

impl Push {
    pub(super) fn start(settings: &Settings, metrics: &Metrics) -> Result<Self, String> {
        let wire = match settings.protocol {
            Protocol::Grpc => {
                let endpoint = tonic::transport::Endpoint::from_shared(settings.url("metrics"))
                    .map_err(|e| e.to_string())?
                    .timeout(settings.timeout)
                    .connect_timeout(settings.timeout);
                Wire::Grpc(MetricsServiceClient::new(endpoint.connect_lazy()))
            }
            Protocol::Http => Wire::Http {
                client: reqwest::Client::builder()
                    .timeout(settings.timeout)
                    .build()
                    .map_err(|e| e.to_string())?,
                url: settings.url("metrics"),
            },
        };
        let headers = settings.headers.clone();
        let metadata = metadata(&headers)?;
        let (stop, mut stopped) = oneshot::channel();
        let (finished, done) = std::sync::mpsc::channel();
        let (interval, metrics, resource) = (settings.metrics_interval, metrics.clone(), settings.resource());
        let started = std::time::SystemTime::now();
        tokio::spawn(async move {
            loop {
                let last = tokio::select! {
                    () = tokio::time::sleep(interval) => false,
                    _ = &mut stopped => true,
                };
                let request = points::request(&metrics, &resource, started, std::time::SystemTime::now());
                let count = points::count(&request) as u64;
                let sent = match &wire {
                    Wire::Grpc(client) => {
                        let mut message = tonic::Request::new(request);
                        *message.metadata_mut() = metadata.clone();
                        client.clone().export(message).await.is_ok()
                    }
                    Wire::Http { client, url } => {
                        let call = headers.iter().fold(client.post(url), |c, (k, v)| c.header(k, v));
                        let call = call.header("content-type", "application/x-protobuf");
                        call.body(request.encode_to_vec()).send().await.is_ok_and(|r| r.status().is_success())
                    }
                };
                let labels = SignalLabels { signal: Signal::Metrics };
                let counter = if sent { &metrics.telemetry_exports } else { &metrics.telemetry_dropped };
                counter.get_or_create(&labels).inc_by(count);
                if last {
                    let _ = finished.send(());
                    return;
                }
            }
        });
        Ok(Self { stop: Some(stop), done })
    }

    /// Sends once more, and waits for that at most `deadline`.
    pub(super) fn shutdown(mut self, deadline: Duration) {
        if let Some(stop) = self.stop.take()
            && stop.send(()).is_ok()
            && self.done.recv_timeout(deadline).is_err()
        {
            tracing::warn!("the last metrics weren't sent in time");
        }
    }
}

/// Headers as gRPC metadata.
pub(super) fn metadata(headers: &[(String, String)]) -> Result<MetadataMap, String> {
    let mut map = MetadataMap::new();
    for (name, value) in headers {
        let name = name
            .to_ascii_lowercase()
            .parse::<MetadataKey<tonic::metadata::Ascii>>()
            .map_err(|_| format!("the header name {name:?} isn't one"))?;
        // The value may be a secret, so the error doesn't show it.
        let value = MetadataValue::try_from(value.as_str())
            .map_err(|_| format!("the value of header {name:?} has characters that headers can't"))?;
        map.insert(name, value);
    }
    Ok(map)
}
