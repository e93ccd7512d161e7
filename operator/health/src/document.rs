//! Health JSON (`application/health+json`, draft-inadarei-api-health-check-06, plus the keys named here): an overview
//! comes in, a document and the HTTP status to send it with go out. It knows nothing of HTTP beyond that number.
//!
//! Added keys: `since`, `summary`, `groups`, `cause`, `flapping`, `pending`, `maintenance {scheduled, shutdownTime,
//! gracePeriodSeconds}`. `pass`, `warn` and `maintenance` answer 200, `fail` and `unknown` 503.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::maintenance::Announcement;
use crate::rollup::{self, Summary};
use crate::{ComponentView, Overview, Status};

/// The media type of the document.
pub const MEDIA_TYPE: &str = "application/health+json";

/// What the caller asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<'a> {
    /// Only this group; all without.
    pub group: Option<&'a str>,
    /// With outputs, causes and times; without, statuses only.
    pub verbose: bool,
}

/// A document and the HTTP status to send it with.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// 200, 503, or 404 for a group that doesn't exist.
    pub code: u16,
    /// The body.
    pub body: Value,
}

/// Writes the document. `announced` is a planned end of this replica of Foresail itself.
pub fn document(
    overview: &Overview,
    query: Query<'_>,
    announced: Option<&Announcement>,
    version: &str,
) -> Document {
    let members: Vec<&ComponentView> = match query.group {
        None => overview.components.iter().collect(),
        Some(group) => match overview.members(group) {
            Some(members) => members,
            None => return unknown_group(overview, group),
        },
    };
    let mut status = rollup::worst(members.iter().map(|m| (m.status, m.component.criticality)));
    if announced.is_some() && status == Status::Pass {
        status = Status::Maintenance;
    }
    let mut body = Map::new();
    body.insert("status".into(), json!(status));
    body.insert("serviceId".into(), json!(query.group.unwrap_or("system")));
    body.insert("version".into(), json!(version));
    body.insert("time".into(), json!(overview.at));
    body.insert("summary".into(), json!(Summary::of(members.iter().map(|m| m.status))));
    let planned = announced.cloned().or_else(|| soonest(&members, overview.at));
    if let Some(planned) = planned {
        body.insert("maintenance".into(), json!(planned));
    }
    if query.group.is_none() {
        let groups: Map<String, Value> =
            overview.groups.iter().map(|g| (g.name.clone(), json!(g.status))).collect();
        body.insert("groups".into(), Value::Object(groups));
    }
    if query.verbose {
        verbose(&mut body, overview, &members);
    }
    let checks: Map<String, Value> = members.iter().map(|m| entry(m, query.verbose)).collect();
    body.insert("checks".into(), Value::Object(checks));
    Document { code: if status.is_serving() { 200 } else { 503 }, body: Value::Object(body) }
}

fn unknown_group(overview: &Overview, group: &str) -> Document {
    let names: Vec<&str> = overview.groups.iter().map(|g| g.name.as_str()).take(50).collect();
    Document {
        code: 404,
        body: json!({
            "status": Status::Unknown,
            "output": format!("there is no group {group:?}; groups are: {}", names.join(", ")),
        }),
    }
}

fn soonest(members: &[&ComponentView], now: Timestamp) -> Option<Announcement> {
    let open = |a: &&Announcement| a.end_time.is_none_or(|end| now < end);
    members
        .iter()
        .filter_map(|m| m.maintenance.as_ref())
        .filter(open)
        .min_by_key(|a| a.shutdown_time)
        .cloned()
}

fn verbose(body: &mut Map<String, Value>, overview: &Overview, members: &[&ComponentView]) {
    let roots: Vec<Value> = members
        .iter()
        .filter(|m| m.root)
        .map(|m| {
            json!({
                "componentId": m.component.id,
                "status": m.status,
                "since": m.since,
                "output": output(m),
                "consequences": m.consequences,
            })
        })
        .collect();
    if let Some(first) = members.iter().find(|m| m.root) {
        body.insert("output".into(), json!(format!("{}: {}", first.component.id, output(first))));
    }
    body.insert("cause".into(), Value::Array(roots));
    let mut notes: Vec<String> = overview
        .cycles
        .iter()
        .map(|c| {
            let names: Vec<&str> = c.iter().map(crate::ComponentId::as_str).collect();
            format!("dependencies run in a circle, the last one is ignored: {}", names.join(" → "))
        })
        .collect();
    notes.extend(
        overview
            .missing
            .iter()
            .map(|m| format!("{} depends on {}, which no check watches", m.component, m.on)),
    );
    notes.extend(overview.isolated.iter().map(|i| {
        format!(
            "prober {} alone sees {} components down: its own network is suspected",
            i.prober, i.alone_with
        )
    }));
    if !notes.is_empty() {
        body.insert("notes".into(), json!(notes));
    }
}

fn output(view: &ComponentView) -> &str {
    view.view.last.as_ref().map_or("", |o| o.output.as_str())
}

fn entry(view: &ComponentView, verbose: bool) -> (String, Value) {
    let key = format!("{}:{}", view.component.id, view.component.kind);
    let mut one = Map::new();
    one.insert("componentId".into(), json!(view.component.id));
    one.insert("status".into(), json!(view.status));
    if verbose {
        one.insert("componentType".into(), json!(component_type(&view.component.kind)));
        one.insert("since".into(), json!(view.since));
        one.insert("time".into(), json!(view.view.last_probe));
        one.insert("flapping".into(), json!(view.view.flapping));
        one.insert("pending".into(), json!(view.view.pending.is_some()));
        one.insert("consecutiveFailures".into(), json!(view.view.consecutive_failures));
        one.insert("uptime".into(), json!(view.uptime));
        one.insert("agreement".into(), json!(view.agreement));
        if let Some(last) = &view.view.last {
            one.insert("output".into(), json!(last.output));
            let (value, unit) = last
                .observed
                .as_ref()
                .map_or((last.latency.as_secs_f64(), "s"), |o| (o.value, o.unit.as_str()));
            one.insert("observedValue".into(), json!(value));
            one.insert("observedUnit".into(), json!(unit));
        }
        if !view.causes.is_empty() {
            one.insert("cause".into(), json!(view.causes));
        }
        if let Some(planned) = &view.maintenance {
            one.insert("maintenance".into(), json!(planned));
        }
    }
    (key, Value::Array(vec![Value::Object(one)]))
}

fn component_type(kind: &str) -> &'static str {
    match kind {
        "redis" | "postgres" | "kafka" | "rabbitmq" | "nats" => "datastore",
        "workload" => "system",
        _ => "component",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::check::{Outcome, Settings};
    use crate::graph::Dependency;
    use crate::{Component, ComponentId, Criticality, Reason, System};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn overview(db_is_up: bool) -> Overview {
        let component = |name: &str, kind: &str, on: Vec<Dependency>, group: &str| Component {
            id: ComponentId::new("shop", name),
            kind: kind.into(),
            settings: Settings::default(),
            criticality: Criticality::Critical,
            depends_on: on,
            groups: vec![group.into()],
            labels: BTreeMap::new(),
        };
        let db = ComponentId::new("shop", "db");
        let needs_db = vec![Dependency { on: db.clone(), required: true }];
        let mut system = System::new();
        system.define(
            [component("web", "http", needs_db, "front"), component("db", "postgres", vec![], "back")],
            at(0),
        );
        for s in 1..3 {
            system.observe(
                &ComponentId::new("shop", "web"),
                Outcome::pass(Duration::from_millis(43)),
                at(s),
                false,
            );
            let outcome = if db_is_up {
                Outcome::pass(Duration::from_millis(1))
            } else {
                Outcome::fail(Reason::Refused, "connection refused", Duration::from_millis(1))
            };
            system.observe(&db, outcome, at(s), false);
        }
        system.overview("a", &[], |_| None, at(9)).0
    }

    #[test]
    fn a_system_that_fails_answers_503_and_names_the_cause() {
        let doc = document(&overview(false), Query { group: None, verbose: true }, None, "1.0.0");
        assert_eq!(doc.code, 503);
        assert_eq!(doc.body["status"], "fail");
        assert_eq!(doc.body["cause"][0]["componentId"], "shop/db");
        assert_eq!(doc.body["cause"][0]["consequences"][0], "shop/web");
        let web = &doc.body["checks"]["shop/web:http"][0];
        assert_eq!(web["cause"][0]["id"], "shop/db");
        assert_eq!(web["observedUnit"], "s");
        assert_eq!(doc.body["checks"]["shop/db:postgres"][0]["componentType"], "datastore");
    }

    #[test]
    fn without_verbose_nothing_but_statuses_is_told() {
        let doc = document(&overview(false), Query::default(), None, "1.0.0");
        assert!(!doc.body.to_string().contains("refused"));
        assert_eq!(doc.body["groups"]["back"], "fail");
    }

    #[test]
    fn a_group_answers_for_itself_and_a_wrong_name_is_told() {
        let overview = overview(true);
        let doc = document(&overview, Query { group: Some("front"), verbose: false }, None, "1.0.0");
        assert_eq!((doc.code, &doc.body["serviceId"]), (200, &json!("front")));
        assert_eq!(document(&overview, Query { group: Some("x"), verbose: false }, None, "1").code, 404);
    }

    #[test]
    fn an_announced_end_is_in_the_document() {
        let announced = Announcement::signal(at(9), Duration::from_secs(15));
        let doc = document(&overview(true), Query::default(), Some(&announced), "1.0.0");
        assert_eq!((doc.code, &doc.body["status"]), (200, &json!("maintenance")));
        assert_eq!(doc.body["maintenance"]["gracePeriodSeconds"], 15);
        assert_eq!(doc.body["maintenance"]["scheduled"], false);
        assert!(doc.body["maintenance"]["shutdownTime"].is_string());
    }
}
