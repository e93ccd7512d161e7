//! What the calendars that a policy names say about it: windows for the decision, and what of them holds
//! the way down.

use std::time::Duration;

use health::calendar::Calendar;
use jiff::Timestamp;
use series::time;

/// How far ahead windows are handed to the decision: longer than any lead time.
const AHEAD: Duration = Duration::from_hours(12);

/// What calendars say about one policy.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Windows that are open or open soon.
    pub(crate) windows: Vec<decide::CalendarWindow>,
    /// Why nothing may be removed now: a maintenance window is open, or it isn't known what is planned, as in the
    /// moment after a start.
    pub(crate) hold: Option<String>,
    /// Calendars that the policy names and that aren't there.
    pub(crate) missing: Vec<String>,
}

/// Asks the calendars called `names` about the policy `namespace/policy`.
pub(crate) fn ask(all: &[Calendar], namespace: &str, policy: &str, names: &[String], now: Timestamp) -> Said {
    let mut said = Said::default();
    let subject = format!("{namespace}/{policy}");
    for name in names {
        let id = format!("{namespace}/{name}");
        let Some(calendar) = all.iter().find(|c| c.id == id) else {
            said.missing.push(name.clone());
            said.hold.get_or_insert_with(|| {
                format!("there is no ScalingCalendar {name}, so what it plans isn't known")
            });
            continue;
        };
        if let Some(window) = calendar.effect(&subject, now, Duration::ZERO).maintenance {
            said.hold = Some(format!("maintenance window {window} is open"));
        }
        let concerned = calendar.windows.iter().filter(|w| w.scope.is_empty() || w.scope.contains(&subject));
        for window in concerned.filter(|w| w.floor.is_some() || w.ceiling.is_some()) {
            for (from, to) in window.between(calendar, now, time::after(now, AHEAD)) {
                said.windows.push(decide::CalendarWindow {
                    name: format!("{} ({name})", window.name),
                    from,
                    to,
                    min_replicas: window.floor,
                    max_replicas: window.ceiling,
                });
            }
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use health::calendar::{OnHolidays, When, Window};
    use health::snapshot::CalendarKind;
    use jiff::tz::TimeZone;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn window(name: &str, kind: CalendarKind, floor: Option<u32>, scope: &[&str]) -> Window {
        Window {
            name: name.into(),
            kind,
            when: When::Once { start: at(1_000), end: at(2_000) },
            on_holidays: OnHolidays::Same,
            floor,
            ceiling: None,
            scope: scope.iter().map(|s| (*s).to_owned()).collect(),
            grace: Duration::ZERO,
        }
    }

    fn calendar(windows: Vec<Window>) -> Calendar {
        Calendar { id: "shop/plans".into(), zone: TimeZone::UTC, windows, holidays: Vec::new() }
    }

    #[test]
    fn floors_that_open_soon_are_handed_on_and_others_are_not() {
        let all = [calendar(vec![
            window("launch", CalendarKind::Scaling, Some(9), &[]),
            window("theirs", CalendarKind::Scaling, Some(7), &["shop/other"]),
        ])];
        let said = ask(&all, "shop", "web", &["plans".into()], at(0));
        assert_eq!(said.windows.len(), 1);
        assert_eq!((said.windows[0].min_replicas, said.windows[0].from), (Some(9), at(1_000)));
        assert!(ask(&all, "shop", "web", &["plans".into()], at(3_000)).windows.is_empty());
        assert!(ask(&all, "shop", "web", &[], at(0)).windows.is_empty());
    }

    #[test]
    fn maintenance_holds_only_while_it_is_open() {
        let all = [calendar(vec![window("patching", CalendarKind::Maintenance, None, &[])])];
        let asked = |second| ask(&all, "shop", "web", &["plans".into()], at(second)).hold;
        assert_eq!(asked(500), None);
        assert!(asked(1_500).unwrap().contains("patching"));
    }

    #[test]
    fn a_calendar_that_is_not_there_is_named() {
        let said = ask(&[], "shop", "web", &["plans".into()], at(0));
        assert_eq!(said.missing, ["plans"]);
        assert!(
            said.hold.is_some_and(|why| why.contains("ScalingCalendar plans")),
            "a plan that isn't known holds"
        );
    }
}
