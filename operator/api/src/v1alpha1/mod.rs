//! Version v1alpha1 of the kinds. One file per kind, and one per part that several kinds share.

#![allow(unreachable_pub, reason = "the KubeSchema derive writes a copy of each type into a function body")]
#![allow(
    clippy::duplicated_attributes,
    reason = "one printer column or rule after the other, each with its own name"
)]

mod alert_receiver;
mod autoscale_policy;
mod behavior;
mod health_check;
mod metric;
mod prometheus;
mod queue;
mod scaling_calendar;
mod status;

pub use alert_receiver::{
    AlertFilter, AlertGrouping, AlertReceiver, AlertReceiverSpec, AlertReceiverStatus, Alertmanager, Hook,
    Language, MessageTemplate, MinSeverity, Pagerduty, SignedRobot, Telegram, Webhook,
};
pub use autoscale_policy::{
    AutoscalePolicy, AutoscalePolicySpec, CalendarRef, ForecastSpec, HealthGate, Mode, Paused, SAME_COST,
    ScaleTargetRef, TimeWindow,
};
pub use behavior::{Behavior, PolicyType, ScalingPolicy, ScalingRules, SelectPolicy};
pub use health_check::{
    BrokerCheck, Criticality, DependencyRef, GrpcCheck, HealthCheck, HealthCheckSpec, HealthCheckStatus,
    HttpCheck, JsonExpectation, KafkaCheck, PostgresCheck, PromqlCheck, RabbitmqCheck, TcpCheck,
    WorkloadCheck,
};
pub use metric::{Fallback, LearnedCapacity, Metric, PrometheusQuery, Switch, TargetType};
pub use prometheus::{BasicAuth, Header, PrometheusServer, SecretKeyRef, Tls};
pub use queue::{
    BusyConsumers, KafkaQueue, NatsQueue, OffsetReset, PrometheusQueue, Queue, RabbitMqQueue, RedisQueue,
    RedisStream, Sasl, SaslMechanism, SqsQueue,
};
pub use scaling_calendar::{
    CalendarHoliday, CalendarImport, CalendarWindow, ImportKind, NextWindow, OnHolidays, ScalingCalendar,
    ScalingCalendarSpec, ScalingCalendarStatus, WindowKind,
};
pub use status::{
    AutoscalePolicyStatus, Candidate, CapacityStatus, Decision, ForecastStatus, Limit, NextChange, Saved,
    SelectionStatus, Startup,
};
