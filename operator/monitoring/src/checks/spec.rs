//! What a HealthCheck says beside its probe: kind, thresholds, place in the graph. Pure: words in, settings out, or a
//! sentence on what is wrong.

use std::time::Duration;

use api::units;
use api::v1alpha1::{Criticality, HealthCheck, HealthCheckSpec};
use health::check::Settings;
use health::graph::Dependency;
use health::{Component, ComponentId};
use kube::ResourceExt as _;
use probes::StatusRange;

pub(super) fn kind(spec: &HealthCheckSpec) -> &'static str {
    let kinds = present(spec);
    kinds.into_iter().find(|(there, _)| *there).map_or("invalid", |(_, kind)| kind)
}

pub(super) fn count(spec: &HealthCheckSpec) -> usize {
    present(spec).into_iter().filter(|(there, _)| *there).count()
}

fn present(spec: &HealthCheckSpec) -> [(bool, &'static str); 10] {
    [
        (spec.http.is_some(), "http"),
        (spec.tcp.is_some(), "tcp"),
        (spec.grpc.is_some(), "grpc"),
        (spec.promql.is_some(), "promql"),
        (spec.workload.is_some(), "workload"),
        (spec.redis.is_some(), "redis"),
        (spec.postgres.is_some(), "postgres"),
        (spec.rabbitmq.is_some(), "rabbitmq"),
        (spec.kafka.is_some(), "kafka"),
        (spec.nats.is_some(), "nats"),
    ]
}

pub(super) fn uses_secrets(spec: &HealthCheckSpec) -> bool {
    serde_json::to_string(spec).is_ok_and(|text| text.contains("SecretRef"))
}

pub(super) fn settings(spec: &HealthCheckSpec) -> Result<Settings, String> {
    let defaults = Settings::default();
    let duration = |text: &Option<String>, default: Duration| match text {
        Some(text) => units::duration(text).map_err(|e| e.to_string()),
        None => Ok(default),
    };
    let threshold =
        |n: Option<i32>, default: u32| n.and_then(|n| u32::try_from(n).ok()).unwrap_or(default).max(1);
    let interval = duration(&spec.interval, defaults.interval)?;
    if interval < Duration::from_secs(1) {
        return Err("interval must be at least 1s".into());
    }
    let timeout = duration(&spec.timeout, defaults.timeout.min(interval))?;
    if timeout > interval || timeout.is_zero() {
        return Err("timeout must be above 0s and not longer than interval".into());
    }
    Ok(Settings {
        interval,
        timeout,
        failure_threshold: threshold(spec.failure_threshold, defaults.failure_threshold),
        success_threshold: threshold(spec.success_threshold, defaults.success_threshold),
        start_up_grace: duration(&spec.start_up_grace, defaults.start_up_grace)?,
        flapping: defaults.flapping,
    })
}

pub(super) fn component(object: &HealthCheck, kind: &str, settings: Settings) -> Component {
    let spec = &object.spec;
    let namespace = object.namespace().unwrap_or_default();
    let groups = if spec.groups.is_empty() { vec![namespace.clone()] } else { spec.groups.clone() };
    // Labels with a prefix are for machines.
    let labels =
        object.labels().iter().filter(|(k, _)| !k.contains('/')).map(|(k, v)| (k.clone(), v.clone()));
    Component {
        id: ComponentId::new(&namespace, &object.name_any()),
        kind: kind.to_owned(),
        settings,
        criticality: match spec.criticality {
            Criticality::Critical => health::Criticality::Critical,
            Criticality::Optional => health::Criticality::Optional,
        },
        depends_on: spec
            .depends_on
            .iter()
            .map(|d| Dependency {
                on: ComponentId::new(d.namespace.as_deref().unwrap_or(&namespace), &d.name),
                required: !d.optional,
            })
            .collect(),
        groups,
        labels: labels.collect(),
    }
}

pub(super) fn range(text: &str) -> Result<StatusRange, String> {
    let wrong = || format!("{text:?} is no status code or range");
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    Ok(StatusRange(from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?))
}

pub(super) fn millis(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no latency such as 500ms or 2s");
    let number = |t: &str| t.parse::<u64>().map_err(|_| wrong());
    match text.strip_suffix("ms") {
        Some(ms) => number(ms).map(Duration::from_millis),
        None => number(text.strip_suffix('s').ok_or_else(wrong)?).map(Duration::from_secs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_of_three_lines_has_every_default() {
        let object: HealthCheck = serde_saphyr::from_str(
            "{apiVersion: foresail.dev/v1alpha1, kind: HealthCheck, metadata: {name: db, namespace: shop, labels: {team: orders, app.kubernetes.io/name: db}}, spec: {redis: {address: 'db:6379'}, dependsOn: [{name: net, optional: true}]}}",
        )
        .unwrap();
        assert_eq!((kind(&object.spec), count(&object.spec)), ("redis", 1));
        let settings = settings(&object.spec).unwrap();
        assert_eq!(settings, Settings::default());
        let component = component(&object, "redis", settings);
        assert_eq!(component.groups, ["shop"]);
        assert_eq!(component.labels.len(), 1);
        assert_eq!(component.depends_on[0].on.as_str(), "shop/net");
    }

    #[test]
    fn what_is_wrong_is_a_sentence() {
        let spec = |text: &str| serde_saphyr::from_str::<HealthCheckSpec>(text).unwrap();
        assert!(settings(&spec("{interval: 5s, timeout: 10s}")).unwrap_err().contains("timeout"));
        assert!(settings(&spec("{interval: soon}")).unwrap_err().contains("soon"));
        assert_eq!(count(&spec("{tcp: {address: 'a:1'}, redis: {address: 'a:1'}}")), 2);
        assert_eq!(range("200-204"), Ok(StatusRange(200, 204)));
        assert_eq!(millis("500ms"), Ok(Duration::from_millis(500)));
        assert!(range("abc").is_err() && millis("5m").is_err());
    }
}
