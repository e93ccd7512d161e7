//! ScalingCalendars: the resource and its iCalendar imports become a [`Calendar`], for decisions, checks and the page.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use api::units;
use api::v1alpha1::{
    CalendarImport, CalendarWindow, ImportKind, NextWindow, OnHolidays, ScalingCalendar,
    ScalingCalendarStatus, WindowKind,
};
use croner::Cron;
use health::calendar::{self, Calendar, CalendarKind, Holiday, When, Window};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, ResourceExt as _};
use series::time::{after, before};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Shared;
use crate::status::{condition, write};
use crate::store::{Kept, id};

/// Imports are read again so often.
const REREAD: Duration = Duration::from_secs(30);
/// Imported holidays lie within this time around now.
const HORIZON: Duration = Duration::from_secs(400 * 86_400);
/// The page shows so much of the past and of the future.
const SHOWN: Duration = Duration::from_secs(14 * 86_400);

pub(crate) async fn run(shared: Shared, out: watch::Sender<Arc<Vec<Calendar>>>, stop: CancellationToken) {
    let kept: Kept<ScalingCalendar> = Kept::follow(&shared.client, &shared.settings.namespaces);
    loop {
        let now = Timestamp::now();
        let (objects, unreadable) = kept.all();
        for name in unreadable {
            tracing::warn!(calendar = name, "a ScalingCalendar can't be read");
        }
        let mut calendars = Vec::new();
        for object in &objects {
            let imports = imports(&shared, object).await;
            let (calendar, problems) = translate(object, &imports, now);
            if shared.leads() {
                let next = status(object, &calendar, &problems, now);
                write(&shared.client, &**object, object.status.as_ref(), &next).await;
            }
            calendars.push(calendar);
        }
        let mut shown: Vec<health::snapshot::CalendarWindow> =
            calendars.iter().flat_map(|c| c.between(before(now, SHOWN), after(now, SHOWN))).collect();
        shown.sort_by_key(|w| w.start);
        shared.snapshot.send_if_modified(|s| {
            let changed = *s.calendar != shown;
            if changed {
                s.calendar = Arc::new(shown);
            }
            changed
        });
        out.send_if_modified(|last| {
            let changed = **last != calendars;
            if changed {
                *last = Arc::new(calendars);
            }
            changed
        });
        tokio::select! {
            () = stop.cancelled() => return,
            () = kept.changed.notified() => tokio::time::sleep(Duration::from_millis(50)).await,
            () = tokio::time::sleep(REREAD) => {}
        }
    }
}

/// The text of each import, or why it can't be had.
async fn imports(shared: &Shared, object: &ScalingCalendar) -> BTreeMap<usize, Result<String, String>> {
    let namespace = object.namespace().unwrap_or_default();
    let api: Api<ConfigMap> = Api::namespaced(shared.client.clone(), &namespace);
    let mut read = BTreeMap::new();
    for (i, import) in object.spec.imports.iter().enumerate() {
        let key = import.key.as_deref().unwrap_or("calendar.ics");
        let text = match api.get_opt(&import.config_map).await {
            Ok(Some(map)) => map
                .data
                .and_then(|mut d| d.remove(key))
                .ok_or_else(|| format!("ConfigMap {} has no key {key}; add it", import.config_map)),
            Ok(None) => {
                Err(format!("there is no ConfigMap {}; create it, or correct the name", import.config_map))
            }
            Err(error) => Err(format!("can't read ConfigMap {}: {error}", import.config_map)),
        };
        read.insert(i, text);
    }
    read
}

/// The calendar that the resource describes, and what in it can't be understood. What can is in force all the same.
pub(crate) fn translate(
    object: &ScalingCalendar,
    imports: &BTreeMap<usize, Result<String, String>>,
    now: Timestamp,
) -> (Calendar, Vec<String>) {
    let spec = &object.spec;
    let mut problems = Vec::new();
    let zone = TimeZone::get(&spec.time_zone).unwrap_or_else(|_| {
        problems.push(format!(
            "timeZone {:?} is not an IANA zone such as Asia/Shanghai; UTC is used",
            spec.time_zone
        ));
        TimeZone::UTC
    });
    let namespace = object.namespace().unwrap_or_default();
    let mut calendar =
        Calendar { id: id(object), zone: zone.clone(), windows: Vec::new(), holidays: Vec::new() };
    for window in &spec.windows {
        match translate_window(window, &zone, &namespace) {
            Ok(window) => calendar.windows.push(window),
            Err(problem) => problems.push(format!("window {:?}: {problem}", window.name)),
        }
    }
    for holiday in &spec.holidays {
        match holiday.date.parse::<Date>() {
            Ok(date) => calendar.holidays.push(Holiday { date, name: holiday.name.clone() }),
            Err(_) => problems.push(format!("holiday {:?}: {:?} is no date", holiday.name, holiday.date)),
        }
    }
    for (i, import) in spec.imports.iter().enumerate() {
        match imports.get(&i) {
            Some(Ok(text)) => {
                if let Err(problem) = take_import(&mut calendar, import, text, now) {
                    problems.push(format!("ConfigMap {}: {problem}", import.config_map));
                }
            }
            Some(Err(problem)) => problems.push(problem.clone()),
            None => {}
        }
    }
    calendar.holidays.sort_by(|a, b| (a.date, &a.name).cmp(&(b.date, &b.name)));
    calendar.holidays.dedup();
    (calendar, problems)
}

fn translate_window(window: &CalendarWindow, zone: &TimeZone, namespace: &str) -> Result<Window, String> {
    let duration = window.duration.as_deref().map(units::duration).transpose().map_err(|e| e.to_string())?;
    let when = match (&window.cron, &window.start) {
        (Some(cron), None) => When::Cron {
            cron: Box::new(Cron::from_str(cron).map_err(|e| format!("cron {cron:?} is not valid: {e}"))?),
            duration: duration.filter(|d| !d.is_zero()).ok_or("a cron window needs a duration")?,
        },
        (None, Some(start)) => {
            let start = moment(start, zone)?;
            let end = match (&window.end, duration) {
                (Some(end), None) => moment(end, zone)?,
                (None, Some(duration)) => after(start, duration),
                _ => return Err("set end or duration, and not both".into()),
            };
            if end <= start {
                return Err("its end isn't after its start".into());
            }
            When::Once { start, end }
        }
        _ => return Err("set either cron and duration, or start and end".into()),
    };
    let grace = window.grace_period.as_deref().map(units::duration).transpose().map_err(|e| e.to_string())?;
    Ok(Window {
        name: window.name.clone(),
        kind: match window.kind {
            WindowKind::Scaling => CalendarKind::Scaling,
            WindowKind::Maintenance => CalendarKind::Maintenance,
        },
        when,
        on_holidays: match window.on_holidays {
            OnHolidays::Same => calendar::OnHolidays::Same,
            OnHolidays::Skip => calendar::OnHolidays::Skip,
            OnHolidays::Only => calendar::OnHolidays::Only,
        },
        floor: window.min_replicas.and_then(|n| u32::try_from(n).ok()),
        ceiling: window.max_replicas.and_then(|n| u32::try_from(n).ok()),
        // A bare name may be a component's, a policy's or a group's.
        scope: window.scope.iter().flat_map(|s| scope(s, namespace)).collect(),
        grace: grace.unwrap_or(Duration::from_secs(30)),
    })
}

fn scope(name: &str, namespace: &str) -> Vec<String> {
    if name.contains('/') {
        vec![name.to_owned()]
    } else {
        vec![format!("{namespace}/{name}"), name.to_owned()]
    }
}

/// RFC 3339, or local time of the zone.
fn moment(text: &str, zone: &TimeZone) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let local: DateTime =
        text.parse().map_err(|_| format!("{text:?} is no time such as 2026-11-11T00:00:00"))?;
    local.to_zoned(zone.clone()).map(|z| z.timestamp()).map_err(|e| format!("{text:?}: {e}"))
}

fn take_import(
    calendar: &mut Calendar,
    import: &CalendarImport,
    text: &str,
    now: Timestamp,
) -> Result<(), String> {
    let events = calendar::parse_ical(text, &calendar.zone).map_err(|e| e.to_string())?;
    let wanted = |e: &calendar::Event| {
        let Some(text) = import.contains.as_ref().map(|t| t.to_lowercase()) else { return true };
        e.summary.to_lowercase().contains(&text)
            || e.categories.iter().any(|c| c.to_lowercase().contains(&text))
    };
    let events: Vec<calendar::Event> = events.into_iter().filter(wanted).collect();
    if import.kind == ImportKind::Holidays {
        calendar.holidays.extend(Calendar::holidays_of(&events, before(now, HORIZON), after(now, HORIZON)));
        return Ok(());
    }
    let maintenance = import.kind == ImportKind::Maintenance;
    calendar.windows.extend(events.into_iter().map(|event| Window {
        name: event.summary.clone(),
        kind: if maintenance { CalendarKind::Maintenance } else { CalendarKind::Scaling },
        when: When::Ical(Box::new(event)),
        on_holidays: calendar::OnHolidays::Same,
        floor: import.min_replicas.and_then(|n| u32::try_from(n).ok()),
        ceiling: import.max_replicas.and_then(|n| u32::try_from(n).ok()),
        scope: Vec::new(),
        grace: Duration::from_secs(30),
    }));
    Ok(())
}

fn status(
    object: &ScalingCalendar,
    calendar: &Calendar,
    problems: &[String],
    now: Timestamp,
) -> ScalingCalendarStatus {
    let previous = object.status.clone().unwrap_or_default();
    let coming = calendar.between(now, after(now, Duration::from_secs(90 * 86_400)));
    let on: Vec<&str> = coming.iter().filter(|w| w.start <= now).map(|w| w.name.as_str()).collect();
    let next = coming.iter().find(|w| w.start > now).map(|w| NextWindow {
        name: w.name.clone(),
        start: Some(Time(w.start)),
        end: Some(Time(w.end)),
        effect: w.effect.clone(),
    });
    let (reason, message) = match problems.first() {
        None => ("Read", "everything was understood".to_owned()),
        Some(_) => ("NotUnderstood", problems.join("; ")),
    };
    let generation = object.metadata.generation;
    let ready =
        condition(&previous.conditions, "Ready", problems.is_empty(), reason, &message, generation, now);
    ScalingCalendarStatus {
        observed_generation: generation,
        now: (!on.is_empty()).then(|| on.join(", ")),
        next,
        windows: i32::try_from(calendar.windows.len()).ok(),
        holidays: i32::try_from(calendar.holidays.len()).ok(),
        conditions: vec![ready],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str, imports: &[&str]) -> (Calendar, Vec<String>) {
        let object: ScalingCalendar = serde_saphyr::from_str(yaml).unwrap();
        let imports = imports.iter().enumerate().map(|(i, t)| (i, Ok((*t).to_owned()))).collect();
        translate(&object, &imports, "2026-11-01T00:00:00Z".parse().unwrap())
    }

    const SHOP: &str = "
apiVersion: foresail.dev/v1alpha1
kind: ScalingCalendar
metadata: {name: shop, namespace: shop}
spec:
  timeZone: Asia/Shanghai
  windows:
  - {name: double eleven, start: '2026-11-11T00:00:00', duration: 24h, minReplicas: 40}
  - {name: patch night, kind: Maintenance, cron: '0 3 * * 2', duration: 1h, scope: [db], gracePeriod: 60s}
  holidays: [{date: '2026-10-01', name: National Day}]
  imports: [{configMap: ops, kind: Holidays}]
";

    #[test]
    fn local_times_crons_and_imports_are_read() {
        let ics = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:New Year\nDTSTART;VALUE=DATE:20270101\nEND:VEVENT\nEND:VCALENDAR";
        let (calendar, problems) = read(SHOP, &[ics]);
        assert_eq!(problems, Vec::<String>::new());
        let at: Timestamp = "2026-11-10T16:00:00Z".parse().unwrap();
        assert_eq!(calendar.effect("shop/web", at, Duration::ZERO).floor.map(|f| f.0), Some(40));
        assert_eq!(calendar.holidays.len(), 2);
        let told = calendar.announcement("shop/db", &[], at, Duration::from_secs(86_400 * 8)).unwrap();
        assert_eq!(told.grace_period_seconds, 60);
        assert!(calendar.announcement("shop/web", &[], at, Duration::from_secs(86_400 * 8)).is_none());
    }

    #[test]
    fn what_is_wrong_is_named_and_the_rest_is_in_force() {
        let wrong = SHOP
            .replace("0 3 * * 2", "never")
            .replace("2026-10-01", "2026-13-01")
            .replace("Asia/Shanghai", "Moon/Base");
        let (calendar, problems) = read(&wrong, &["no calendar"]);
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert_eq!(calendar.windows.len(), 1);
    }
}
