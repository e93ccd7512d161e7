//! The calendar: promotions, maintenance windows and holidays, shared by policies, checks and alerts.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::DURATION_PATTERN;

/// Windows in which replicas have a floor or a ceiling, or maintenance is announced; holidays besides.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "foresail.dev",
    version = "v1alpha1",
    kind = "ScalingCalendar",
    plural = "scalingcalendars",
    namespaced,
    status = "ScalingCalendarStatus",
    derive = "PartialEq",
    shortname = "scal",
    category = "scaling",
    doc = "ScalingCalendar holds promotions, maintenance windows and holidays.",
    printcolumn(name = "Zone", type_ = "string", json_path = ".spec.timeZone"),
    printcolumn(name = "Now", type_ = "string", json_path = ".status.now"),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.next.name"),
    printcolumn(name = "Starts", type_ = "string", json_path = ".status.next.start"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.windows) || self.windows.all(w, self.windows.exists_one(o, o.name == w.name))")
        .message("window names must be unique")
)]
pub struct ScalingCalendarSpec {
    /// The IANA time zone of every local time here, such as Asia/Shanghai. Default: Etc/UTC.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
    /// Windows, once or again and again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub windows: Vec<CalendarWindow>,
    /// Days on which load differs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 400))]
    pub holidays: Vec<CalendarHoliday>,
    /// iCalendar files in ConfigMaps of this namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub imports: Vec<CalendarImport>,
}

fn utc() -> String {
    "Etc/UTC".into()
}

/// One window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.cron) ? (has(self.duration) && !has(self.start) && !has(self.end)) : (has(self.start) && has(self.end) != has(self.duration))")
        .message("set either cron and duration, or start and one of end and duration"),
    validation = Rule::new("!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas")
        .message("minReplicas must not exceed maxReplicas")
)]
pub struct CalendarWindow {
    /// Its name, told in announcements and decisions.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// Scaling (default): floors and ceilings. Maintenance: alerts are muted, replicas don't go down, and the end of
    /// service is announced.
    #[serde(default)]
    pub kind: WindowKind,
    /// When it begins, once: RFC 3339 (2026-11-11T00:00:00+08:00), or local time without an offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(
        pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?$"
    ))]
    pub start: Option<String>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(
        pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?$"
    ))]
    pub end: Option<String>,
    /// When it begins, again and again: minute, hour, day of month, month, day of week, in local time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 100))]
    pub cron: Option<String>,
    /// How long it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION_PATTERN))]
    pub duration: Option<String>,
    /// Same (default): holidays don't matter. Skip: not on holidays. Only: on holidays only.
    #[serde(default)]
    pub on_holidays: OnHolidays,
    /// At least so many replicas, from as long before the window as new pods need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub min_replicas: Option<i32>,
    /// At most so many replicas, within the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_replicas: Option<i32>,
    /// Names of policies, HealthChecks and groups it concerns. Default: all that refer to this calendar, and all
    /// HealthChecks of the namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)))]
    pub scope: Vec<String>,
    /// How long work in flight may take once a maintenance window begins; announced. Default: 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION_PATTERN))]
    pub grace_period: Option<String>,
}

/// What a window does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WindowKind {
    /// Floors and ceilings on replicas.
    #[default]
    Scaling,
    /// Alerts muted, scale-downs held, announced.
    Maintenance,
}

/// What a window does about holidays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnHolidays {
    /// Holidays don't matter.
    #[default]
    Same,
    /// Not on holidays.
    Skip,
    /// On holidays only.
    Only,
}

/// A day on which load differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CalendarHoliday {
    /// The day, in the calendar's time zone, as 2026-10-01.
    #[schemars(regex(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))]
    pub date: String,
    /// Its name.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
}

/// An iCalendar file in a ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CalendarImport {
    /// The ConfigMap's name.
    #[schemars(length(min = 1, max = 253))]
    pub config_map: String,
    /// The key that holds the file. Default: calendar.ics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub key: Option<String>,
    /// What its events are. Holidays takes whole days only.
    #[serde(default)]
    pub kind: ImportKind,
    /// Only events whose summary or category contains this text, whatever its case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub contains: Option<String>,
    /// At least so many replicas during each event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub min_replicas: Option<i32>,
    /// At most so many replicas during each event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_replicas: Option<i32>,
}

/// What imported events are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ImportKind {
    /// Windows with floors and ceilings.
    #[default]
    Scaling,
    /// Maintenance windows.
    Maintenance,
    /// Holidays.
    Holidays,
}

/// What the calendar says now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingCalendarStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The windows that are on, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
    /// The next window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextWindow>,
    /// How many windows and holidays were read, imports included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<i32>,
    /// How many holidays were read, imports included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holidays: Option<i32>,
    /// Ready: everything here was understood.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A window to come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NextWindow {
    /// Its name.
    pub name: String,
    /// Its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Time>,
    /// Its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Time>,
    /// What it does, in words: such as `at least 40 replicas`.
    #[serde(default)]
    pub effect: String,
}
