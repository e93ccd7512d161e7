//! The six dashboards and what their panels ask.
//!
//! Two replicas of Foresail may both be scraped, so series of a policy are taken by `max by`, never summed twice.

use crate::grafana::{Board, Look, Panel, Row};

const NAMESPACE: (&str, &str, bool) =
    ("namespace", "label_values(foresail_policy_info{job=~\"$job\"}, namespace)", true);
const POLICIES: (&str, &str, bool) =
    ("policy", "label_values(foresail_policy_info{job=~\"$job\", namespace=~\"$namespace\"}, policy)", true);
const POLICY: (&str, &str, bool) =
    ("policy", "label_values(foresail_policy_info{job=~\"$job\", namespace=~\"$namespace\"}, policy)", false);
/// The series of the chosen policies.
const P: &str = "job=~\"$job\", namespace=~\"$namespace\", policy=~\"$policy\"";
/// The series of the chosen replicas of Foresail.
const J: &str = "job=~\"$job\"";

pub(crate) fn all() -> Vec<Board> {
    vec![overview(), policy(), forecast(), queues(), health(), operator()]
}

/// The greatest over replicas of Foresail, for each policy.
fn each(metric: &str) -> String {
    format!("max by (namespace, policy) ({metric}{{{P}}})")
}

/// The greatest over replicas of Foresail, for each metric of each policy.
fn signal(metric: &str) -> String {
    format!("max by (namespace, policy, metric) ({metric}{{{P}}})")
}

fn p99(metric: &str, by: &str) -> String {
    quantile(0.99, metric, by)
}

fn quantile(share: f64, metric: &str, by: &str) -> String {
    let by = if by.is_empty() { "le".to_owned() } else { format!("le, {by}") };
    format!("histogram_quantile({share}, sum by ({by}) (rate({metric}_bucket{{{J}}}[$__rate_interval])))")
}

fn overview() -> Board {
    Board {
        uid: "foresail-overview",
        title: "Foresail / Overview",
        says: "All policies: what runs, what is wanted, what needs a look.",
        variables: vec![NAMESPACE, POLICIES],
        rows: vec![
            Row {
                title: "Now",
                panels: vec![
                    Panel::new(Look::Stat, "Policies", "Policies that Foresail decides for.")
                        .ask(format!("count({})", each("foresail_policy_info")), ""),
                    Panel::new(Look::Stat, "Not ready", "Policies whose condition Ready isn't True.")
                        .ask(format!("count(max by (namespace, policy) (foresail_policy_condition{{{P}, type=\"Ready\", status!=\"True\"}})) or vector(0)"), "")
                        .steps(&[(1.0, "red")]),
                    Panel::new(Look::Stat, "At their maximum", "Policies that would want more replicas than they may have.")
                        .ask(format!("count({} > {}) or vector(0)", each("foresail_policy_unlimited_replicas"), each("foresail_policy_max_replicas")), "")
                        .steps(&[(1.0, "orange")]),
                    Panel::new(Look::Stat, "Replicas", "Replicas of all targets, as their scale says.")
                        .ask(format!("sum({})", each("foresail_policy_current_replicas")), ""),
                    Panel::new(Look::Stat, "Forecasts in use", "Share of metrics whose forecast is trusted and in use.")
                        .ask(format!("avg({})", signal("foresail_forecast_active")), "").unit("percentunit").max(1.0),
                    Panel::new(Look::Stat, "Saved", "Replica-hours not spent so far, against running the peak number all day.")
                        .ask(format!("sum({}) / 3600", each("foresail_policy_saved_replica_seconds")), "").unit("h"),
                ],
            },
            Row {
                title: "Over time",
                panels: vec![
                    Panel::new(Look::Stack, "Replicas by policy", "Replicas of each target, as its scale says.")
                        .ask(each("foresail_policy_current_replicas"), "{{namespace}}/{{policy}}"),
                    Panel::new(Look::Steps, "Wanted against running", "Sum of what decisions want, of what runs, and of what is ready.")
                        .ask(format!("sum({})", each("foresail_policy_desired_replicas")), "wanted")
                        .ask(format!("sum({})", each("foresail_policy_current_replicas")), "running")
                        .ask(format!("sum({})", each("foresail_policy_ready_replicas")), "ready")
                        .dashed(&["wanted"]),
                    Panel::new(Look::Lines, "Changes of replicas", "Changes carried out, by direction and what they followed.")
                        .ask(format!("sum by (direction, candidate) (increase(foresail_policy_scales_total{{{P}}}[$__rate_interval]))"), "{{direction}}, {{candidate}}"),
                    Panel::new(Look::Lines, "Limits that changed decisions", "How often each limit changed what a decision wanted.")
                        .ask(format!("sum by (reason) (rate(foresail_policy_limits_total{{{P}}}[$__rate_interval]))"), "{{reason}}").unit("ops"),
                ],
            },
            Row {
                title: "Each policy",
                panels: vec![Panel::new(Look::Table, "Policies", "Replicas running, wanted, and allowed, and what would be wanted without limits.")
                    .ask(each("foresail_policy_current_replicas"), "running")
                    .ask(each("foresail_policy_desired_replicas"), "wanted")
                    .ask(each("foresail_policy_unlimited_replicas"), "without limits")
                    .ask(each("foresail_policy_max_replicas"), "maximum")],
            },
        ],
    }
}

fn policy() -> Board {
    Board {
        uid: "foresail-policy",
        title: "Foresail / Policy",
        says: "One policy: load, forecast and capacity, who asked for how many replicas, and what was decided.",
        variables: vec![NAMESPACE, POLICY],
        rows: vec![
            Row {
                title: "Now",
                panels: vec![
                    Panel::new(Look::Stat, "Running", "Replicas as the target's scale says.").ask(each("foresail_policy_current_replicas"), "").size(3, 4),
                    Panel::new(Look::Stat, "Wanted", "Replicas the last decision wants.")
                        .ask(each("foresail_policy_desired_replicas"), "").size(3, 4),
                    Panel::new(Look::Stat, "Looks ahead", "How far ahead decisions look.")
                        .ask(each("foresail_policy_lead_time_seconds"), "").unit("s").size(3, 4),
                    Panel::new(Look::Stat, "Selected on", "Days of the workload's own past on which its strategy was selected; 0 until then.")
                        .ask(each("foresail_policy_simulated_days"), "").unit("d").size(3, 4),
                    Panel::new(Look::Stat, "Pods ready within", "Within this time 95 % of the target's pods became ready.")
                        .ask(each("foresail_policy_startup_seconds"), "").unit("s"),
                    Panel::new(Look::Stat, "Forecast", "Whether the forecast is trusted and in use.")
                        .ask(format!("min({})", signal("foresail_forecast_active")), "")
                        .words(&[("0", "not in use", "orange"), ("1", "in use", "green")]),
                    Panel::new(Look::Stat, "Paused", "Whether scaling is paused by hand.")
                        .ask(each("foresail_policy_paused"), "").words(&[("0", "no", "green"), ("1", "paused", "orange")]),
                ],
            },
            Row {
                title: "Load and capacity",
                panels: vec![
                    Panel::new(Look::Lines, "Load, what was expected, and capacity", "The metric's value, what had been expected for this moment one lead time before and the bound it should stay below, and what the ready replicas can carry.")
                        .ask(signal("foresail_metric_value"), "{{metric}}")
                        .ask(format!("max by (namespace, policy, metric) (foresail_forecast_hindcast_value{{{P}, bound=\"mid\"}})"), "{{metric}}, as expected")
                        .ask(format!("max by (namespace, policy, metric) (foresail_forecast_hindcast_value{{{P}, bound=\"upper\"}})"), "{{metric}}, upper bound as expected")
                        .ask(signal("foresail_metric_capacity"), "{{metric}}, capacity")
                        .size(24, 9),
                    Panel::new(Look::Lines, "Expected one lead time from now", "The median and the protected upper bound of the forecast.")
                        .ask(format!("max by (namespace, policy, metric) (foresail_forecast_value{{{P}, bound=\"mid\"}})"), "median")
                        .ask(format!("max by (namespace, policy, metric) (foresail_forecast_value{{{P}, bound=\"upper\"}})"), "upper bound")
                        .dashed(&["median"])
                        .band("upper bound", "median"),
                    Panel::new(Look::Lines, "Age of the data", "How old the newest value was when it was last looked at. Only fresh values may lower replicas.")
                        .ask(signal("foresail_metric_age_seconds"), "{{metric}}").unit("s"),
                ],
            },
            Row {
                title: "Replicas",
                panels: vec![
                    Panel::new(Look::Steps, "Replicas", "Running, ready and wanted, between the limits in force.")
                        .ask(each("foresail_policy_max_replicas"), "maximum")
                        .ask(each("foresail_policy_desired_replicas"), "wanted")
                        .ask(each("foresail_policy_current_replicas"), "running")
                        .ask(each("foresail_policy_ready_replicas"), "ready")
                        .ask(each("foresail_policy_min_replicas"), "minimum")
                        .dashed(&["maximum", "minimum"]),
                    Panel::new(Look::Steps, "Who asks for how many", "Replicas each way of reckoning asks for; the largest leads.")
                        .ask(format!("max by (metric, candidate) (foresail_policy_candidate_replicas{{{P}}})"), "{{candidate}}, {{metric}}"),
                    Panel::new(Look::Lines, "Decisions", "Decisions each second, by what came of them.")
                        .ask(format!("sum by (outcome) (rate(foresail_policy_decisions_total{{{P}}}[$__rate_interval]))"), "{{outcome}}").unit("ops"),
                    Panel::new(Look::Lines, "Limits that changed decisions", "How often each limit changed what a decision wanted.")
                        .ask(format!("sum by (reason) (rate(foresail_policy_limits_total{{{P}}}[$__rate_interval]))"), "{{reason}}").unit("ops"),
                ],
            },
            Row {
                title: "Conditions",
                panels: vec![Panel::new(Look::States, "Conditions", "Each condition of the policy and its status over time.")
                    .ask(format!("max by (type) ((foresail_policy_condition{{{P}, status=\"True\"}} * 1) or (foresail_policy_condition{{{P}, status!=\"True\"}} * 0))"), "{{type}}")
                    .words(&[("0", "not True", "orange"), ("1", "True", "green")])],
            },
        ],
    }
}

fn forecast() -> Board {
    Board {
        uid: "foresail-forecast",
        title: "Foresail / Forecast quality",
        says: "Whether forecasts keep their promises: error against naive, coverage, trust, refits.",
        variables: vec![NAMESPACE, POLICIES],
        rows: vec![
            Row {
                title: "Now",
                panels: vec![
                    Panel::new(Look::Stat, "In use", "Share of metrics whose forecast is trusted and in use.")
                        .ask(format!("avg({})", signal("foresail_forecast_active")), "").unit("percentunit").size(6, 4),
                    Panel::new(Look::Stat, "Median loss", "Median over metrics of the loss of the .95 quantile against the better of last value and yesterday; below 1 is better than those.")
                        .ask(format!("quantile(0.5, {})", signal("foresail_forecast_error_ratio")), "").unit("percentunit").steps(&[(1.0, "red")]).size(6, 4),
                    Panel::new(Look::Stat, "Mean coverage", "Mean share of values within the band that the forecast promised.")
                        .ask(format!("avg({})", signal("foresail_forecast_coverage_ratio")), "").unit("percentunit").size(6, 4),
                    Panel::new(Look::Stat, "Worse than naive", "Metrics whose forecast is no better than last value or yesterday; those scale reactively.")
                        .ask(format!("count({} >= 1) or vector(0)", signal("foresail_forecast_error_ratio")), "").size(6, 4),
                ],
            },
            Row {
                title: "Each metric",
                panels: vec![
                    Panel::new(Look::Lines, "Loss against naive", "Loss of the .95 quantile against the better of last value and yesterday, each with its own. Above 1 the forecast isn't used.")
                        .ask(signal("foresail_forecast_error_ratio"), "{{namespace}}/{{policy}} {{metric}}").unit("percentunit"),
                    Panel::new(Look::Lines, "Coverage against its target", "Share of values within the promised band, minus what it should be; below 0 too many escape it.")
                        .ask(format!("{} - {}", signal("foresail_forecast_coverage_ratio"), signal("foresail_forecast_coverage_target_ratio")), "{{namespace}}/{{policy}} {{metric}}").unit("percentunit"),
                    Panel::new(Look::Lines, "Miss", "How far the value is from what had been expected for it one lead time before, as a share of the value.")
                        .ask(format!("abs({} - max by (namespace, policy, metric) (foresail_forecast_hindcast_value{{{P}, bound=\"mid\"}})) / {}", signal("foresail_metric_value"), signal("foresail_metric_value")), "{{namespace}}/{{policy}} {{metric}}").unit("percentunit"),
                    Panel::new(Look::States, "Trust", "When each forecast was in use.")
                        .ask(signal("foresail_forecast_active"), "{{namespace}}/{{policy}} {{metric}}")
                        .words(&[("0", "not in use", "orange"), ("1", "in use", "green")]).size(12, 8),
                ],
            },
            Row {
                title: "Learning",
                panels: vec![
                    Panel::new(Look::Bars, "History learned from", "How much history each forecast has.")
                        .ask(signal("foresail_forecast_history_seconds"), "{{namespace}}/{{policy}} {{metric}}").unit("s"),
                    Panel::new(Look::Lines, "Refits", "Models fitted anew each second, by result, and the slowest hundredth of their times.")
                        .ask(format!("sum by (result) (rate(foresail_forecast_refits_total{{{J}}}[$__rate_interval]))"), "{{result}}").unit("ops").size(6, 8),
                    Panel::new(Look::Lines, "Time to fit", "The slowest hundredth of fits.")
                        .ask(p99("foresail_forecast_fit_duration_seconds", ""), "99 %").unit("s").size(6, 8),
                ],
            },
        ],
    }
}

fn queues() -> Board {
    Board {
        uid: "foresail-queues",
        title: "Foresail / Queues",
        says: "Backlogs, arrivals, what a consumer works off, and how long the rest takes.",
        variables: vec![NAMESPACE, POLICIES],
        rows: vec![Row {
            title: "Queues",
            panels: vec![
                Panel::new(Look::Lines, "Backlog", "Messages waiting.").ask(signal("foresail_queue_backlog_messages"), "{{namespace}}/{{policy}} {{metric}}"),
                Panel::new(Look::Lines, "Time to drain", "Time until the backlog is worked off by the present consumers.")
                    .ask(format!("{} < Inf", signal("foresail_queue_drain_seconds")), "{{namespace}}/{{policy}} {{metric}}").unit("s"),
                Panel::new(Look::Lines, "Arrivals", "Messages arriving each second.").ask(signal("foresail_queue_arrivals_per_second"), "{{namespace}}/{{policy}} {{metric}}").unit("cps"),
                Panel::new(Look::Lines, "Throughput of one consumer", "Messages one consumer works off each second, as measured.")
                    .ask(signal("foresail_queue_throughput_per_second"), "{{namespace}}/{{policy}} {{metric}}").unit("cps"),
                Panel::new(Look::Steps, "Consumers", "Consumers running, and asked for by the backlog.")
                    .ask(format!("{} and on (namespace, policy) {}", each("foresail_policy_ready_replicas"), each("foresail_queue_backlog_messages")), "{{namespace}}/{{policy}} ready")
                    .ask(format!("max by (namespace, policy) (foresail_policy_candidate_replicas{{{P}, candidate=\"backlog\"}})"), "{{namespace}}/{{policy}} by backlog")
                    .size(24, 8),
            ],
        }],
    }
}

fn health() -> Board {
    let component =
        |metric: &str| format!("max by (namespace, component) ({metric}{{{J}, namespace=~\"$namespace\"}})");
    Board {
        uid: "foresail-health",
        title: "Foresail / Health",
        says: "Components that Foresail probes, alerts, and their delivery.",
        variables: vec![("namespace", "label_values(foresail_health_status{job=~\"$job\"}, namespace)", true)],
        rows: vec![
            Row {
                title: "Components",
                panels: vec![
                    Panel::new(Look::Stat, "Down", "Components that are down, consequences included.")
                        .ask(format!("count(max by (namespace, component) (foresail_health_status{{{J}, namespace=~\"$namespace\", status=\"fail\"}})) or vector(0)"), "").steps(&[(1.0, "red")]).size(6, 4),
                    Panel::new(Look::Stat, "Degraded", "Components that serve, but not as they should.")
                        .ask(format!("count(max by (namespace, component) (foresail_health_status{{{J}, namespace=~\"$namespace\", status=\"warn\"}})) or vector(0)"), "").steps(&[(1.0, "orange")]).size(6, 4),
                    Panel::new(Look::Stat, "Flapping", "Components that change so often that messages are held.")
                        .ask(format!("sum({})", component("foresail_health_flapping")), "").steps(&[(1.0, "orange")]).size(6, 4),
                    Panel::new(Look::Stat, "Alerts firing", "Alerts of Foresail's own that fire.")
                        .ask(format!("sum(max by (alert, severity) (foresail_alerts_firing{{{J}}})) or vector(0)"), "").steps(&[(1.0, "red")]).size(6, 4),
                    Panel::new(Look::States, "Status", "Each component over time.")
                        .ask(format!("max by (namespace, component) ((foresail_health_status{{{J}, namespace=~\"$namespace\", status=\"pass\"}} * 0) or (foresail_health_status{{{J}, namespace=~\"$namespace\", status=~\"maintenance|unknown\"}} * 1) or (foresail_health_status{{{J}, namespace=~\"$namespace\", status=\"warn\"}} * 2) or (foresail_health_status{{{J}, namespace=~\"$namespace\", status=\"fail\"}} * 3))"), "{{namespace}}/{{component}}")
                        .words(&[("0", "well", "green"), ("1", "not judged", "blue"), ("2", "degraded", "orange"), ("3", "down", "red")]).size(24, 9),
                    Panel::new(Look::Lines, "Failed probes", "Share of probes that failed.")
                        .ask(format!("sum by (namespace, component) (rate(foresail_health_checks_total{{{J}, namespace=~\"$namespace\", result=\"failure\"}}[$__rate_interval])) / sum by (namespace, component) (rate(foresail_health_checks_total{{{J}, namespace=~\"$namespace\"}}[$__rate_interval]))"), "{{namespace}}/{{component}}").unit("percentunit"),
                    Panel::new(Look::Lines, "Time of probes", "The slowest hundredth of probes, by kind.")
                        .ask(p99("foresail_health_check_duration_seconds", "kind"), "{{kind}}").unit("s"),
                    Panel::new(Look::Lines, "Changes of status", "Changes within the interval, by the status changed to.")
                        .ask(format!("sum by (status) (increase(foresail_health_transitions_total{{{J}, namespace=~\"$namespace\"}}[$__rate_interval]))"), "to {{status}}"),
                    Panel::new(Look::Lines, "Lateness of probes", "How much later than planned the latest hundredth of probes began.")
                        .ask(p99("foresail_health_check_delay_seconds", ""), "99 %").unit("s"),
                ],
            },
            Row {
                title: "Messages",
                panels: vec![
                    Panel::new(Look::Lines, "Delivered", "Messages taken by the receivers' services.")
                        .ask(format!("sum by (receiver, type) (increase(foresail_notifications_total{{{J}}}[$__rate_interval]))"), "{{receiver}} ({{type}})").size(8, 8),
                    Panel::new(Look::Lines, "Failed attempts", "Attempts that failed, by reason; most are tried again.")
                        .ask(format!("sum by (receiver, reason) (increase(foresail_notifications_failed_total{{{J}}}[$__rate_interval]))"), "{{receiver}}: {{reason}}").size(8, 8),
                    Panel::new(Look::Lines, "Waiting and given up", "Messages waiting, and those given up on within the interval.")
                        .ask(format!("sum by (receiver) (foresail_notification_queue_length{{{J}}})"), "{{receiver}} waiting")
                        .ask(format!("sum by (receiver) (increase(foresail_notifications_dead_total{{{J}}}[$__rate_interval]))"), "{{receiver}} given up").size(8, 8),
                ],
            },
        ],
    }
}

fn operator() -> Board {
    Board {
        uid: "foresail-operator",
        title: "Foresail / Operator",
        says: "Foresail itself: leadership, latency of decisions, calls to the API server and to sources, resources.",
        variables: vec![],
        rows: vec![
            Row {
                title: "Now",
                panels: vec![
                    Panel::new(Look::Stat, "Version", "The build that runs.").ask(format!("max by (version, revision) (foresail_build_info{{{J}}})"), "{{version}}"),
                    Panel::new(Look::Stat, "Leaders", "Replicas that act; always 1 but for the moment of a handover.")
                        .ask(format!("sum(foresail_leader{{{J}}})"), "").words(&[("0", "none", "red"), ("1", "one", "green")]),
                    Panel::new(Look::Stat, "Decision, 99 %", "The slowest hundredth of decisions, from the first read to the report.")
                        .ask(p99("foresail_decision_duration_seconds", ""), "").unit("s").steps(&[(2.0, "orange"), (10.0, "red")]),
                    Panel::new(Look::Stat, "Open circuits", "Servers that aren't asked for a while because they kept failing.")
                        .ask(format!("sum(foresail_source_open_circuits{{{J}}}) or vector(0)"), "").steps(&[(1.0, "orange")]),
                    Panel::new(Look::Stat, "Readers", "Open event streams.").ask(format!("sum(foresail_event_streams{{{J}}})"), ""),
                    Panel::new(Look::Stat, "Telemetry dropped", "Spans, points and records thrown away each second.")
                        .ask(format!("sum(rate(foresail_telemetry_dropped_total{{{J}}}[$__rate_interval]))"), "").unit("cps").steps(&[(0.001, "orange")]),
                ],
            },
            Row {
                title: "Decisions",
                panels: vec![
                    Panel::new(Look::Heatmap, "Time of decisions", "How many decisions took how long; exemplars name traces.")
                        .ask(format!("sum by (le) (increase(foresail_decision_duration_seconds_bucket{{{J}}}[$__rate_interval]))"), "{{le}}").unit("s"),
                    Panel::new(Look::Lines, "Time of each step", "The slowest hundredth of each step.").ask(p99("foresail_decision_step_duration_seconds", "step"), "{{step}}").unit("s"),
                    Panel::new(Look::Lines, "Delay of decisions", "How much later than planned policies are looked at: half of them, and the latest hundredth.")
                        .ask(quantile(0.5, "foresail_decision_delay_seconds", ""), "half")
                        .ask(p99("foresail_decision_delay_seconds", ""), "99 %").unit("s"),
                    Panel::new(Look::Lines, "Decisions each second", "By replica of Foresail.")
                        .ask(format!("sum by (instance) (rate(foresail_decision_duration_seconds_count{{{J}}}[$__rate_interval]))"), "{{instance}}").unit("ops"),
                    Panel::new(Look::Lines, "Errors", "Failures while deciding or acting, by reason.")
                        .ask(format!("sum by (reason) (rate(foresail_policy_errors_total{{{J}}}[$__rate_interval]))"), "{{reason}}").unit("ops"),
                ],
            },
            Row {
                title: "Calls",
                panels: vec![
                    Panel::new(Look::Lines, "Kubernetes API", "Calls each second, by verb and class of answer.")
                        .ask(format!("sum by (verb, code) (rate(foresail_api_requests_total{{{J}}}[$__rate_interval]))"), "{{verb}} {{code}}").unit("reqps"),
                    Panel::new(Look::Lines, "Time of Kubernetes API calls", "The slowest hundredth, by verb.").ask(p99("foresail_api_request_duration_seconds", "verb"), "{{verb}}").unit("s"),
                    Panel::new(Look::Lines, "Sources", "Calls to sources each second, by how they ended.")
                        .ask(format!("sum by (source, result) (rate(foresail_source_requests_total{{{J}}}[$__rate_interval]))"), "{{source}} {{result}}").unit("reqps"),
                    Panel::new(Look::Lines, "Time of calls to sources", "The slowest hundredth, by source.").ask(p99("foresail_source_request_duration_seconds", "source"), "{{source}}").unit("s"),
                    Panel::new(Look::Lines, "Web server", "Answers each second, by route and class.")
                        .ask(format!("sum by (route, code) (rate(foresail_http_requests_total{{{J}}}[$__rate_interval]))"), "{{route}} {{code}}").unit("reqps"),
                    Panel::new(Look::Lines, "Resources looked at", "Each second, by kind and result.")
                        .ask(format!("sum by (kind, result) (rate(foresail_reconciles_total{{{J}}}[$__rate_interval]))"), "{{kind}} {{result}}").unit("ops"),
                ],
            },
            Row {
                title: "Process",
                panels: vec![
                    Panel::new(Look::Lines, "CPU", "Cores in use.").ask(format!("rate(process_cpu_seconds_total{{{J}}}[$__rate_interval])"), "{{instance}}").size(8, 7),
                    Panel::new(Look::Lines, "Memory", "Resident memory.").ask(format!("process_resident_memory_bytes{{{J}}}"), "{{instance}}").unit("bytes").size(8, 7),
                    Panel::new(Look::Lines, "File descriptors", "Open, of those allowed.")
                        .ask(format!("process_open_fds{{{J}}} / process_max_fds{{{J}}}"), "{{instance}}").unit("percentunit").size(8, 7),
                ],
            },
        ],
    }
}
