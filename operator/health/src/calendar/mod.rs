//! What is planned: windows once or again and again, in a zone's own time, around holidays; and what they mean at a
//! moment: a floor, a ceiling, scale-downs held, alerts muted. Definitions and a time come in; who asks is unknown.

mod ical;
mod recur;

use std::collections::BTreeSet;
use std::time::Duration;

use croner::Cron;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use series::time::{after, before};

use crate::maintenance::Announcement;
pub use crate::snapshot::{CalendarKind, CalendarWindow};
pub use ical::{Event, IcalError, parse as parse_ical};
pub use recur::{Rule, RuleError};

/// When a window takes place.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// Once.
    Once {
        /// Its beginning.
        start: Timestamp,
        /// Its end, exclusive.
        end: Timestamp,
    },
    /// At each time that a cron expression names, in the calendar's zone.
    Cron {
        /// The expression.
        cron: Box<Cron>,
        /// How long it lasts.
        duration: Duration,
    },
    /// As an event of an iCalendar file says.
    Ical(Box<Event>),
}

/// What to do about holidays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnHolidays {
    /// The window doesn't care.
    #[default]
    Same,
    /// It doesn't take place on a holiday.
    Skip,
    /// It takes place on holidays only.
    Only,
}

/// One window.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Its name.
    pub name: String,
    /// What it is: scaling, maintenance or holiday.
    pub kind: CalendarKind,
    /// When it takes place.
    pub when: When,
    /// What to do about holidays.
    pub on_holidays: OnHolidays,
    /// At least so many replicas.
    pub floor: Option<u32>,
    /// At most so many replicas.
    pub ceiling: Option<u32>,
    /// The names of policies and components (`namespace/name`) and groups it concerns; empty is all of the calendar's
    /// namespace.
    pub scope: Vec<String>,
    /// How long work in flight may take once it begins; announced.
    pub grace: Duration,
}

/// A named day on which load differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holiday {
    /// The day, in the calendar's zone.
    pub date: Date,
    /// Its name.
    pub name: String,
}

/// A calendar.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    /// `namespace/name`.
    pub id: String,
    /// The zone of its times and days.
    pub zone: TimeZone,
    /// The windows, in the order of the resource.
    pub windows: Vec<Window>,
    /// Its holidays.
    pub holidays: Vec<Holiday>,
}

/// What a calendar asks for at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Effect {
    /// At least so many replicas, and which window says so.
    pub floor: Option<(u32, String)>,
    /// At most so many replicas, and which window says so.
    pub ceiling: Option<(u32, String)>,
    /// The maintenance window that holds scale-downs and mutes alerts.
    pub maintenance: Option<String>,
    /// The holiday it is.
    pub holiday: Option<String>,
}

impl Effect {
    /// Both effects together: the highest floor and the lowest ceiling. Where a ceiling lies below a floor, limits are
    /// the reader's business; nothing is lost here.
    pub fn and(mut self, other: Self) -> Self {
        if let Some(theirs) = other.floor
            && self.floor.as_ref().is_none_or(|mine| mine.0 < theirs.0)
        {
            self.floor = Some(theirs);
        }
        if let Some(theirs) = other.ceiling
            && self.ceiling.as_ref().is_none_or(|mine| mine.0 > theirs.0)
        {
            self.ceiling = Some(theirs);
        }
        self.maintenance = self.maintenance.or(other.maintenance);
        self.holiday = self.holiday.or(other.holiday);
        self
    }
}

/// A cron window that overlaps itself so often is cut off.
const OCCURRENCES_MAX: usize = 2_000;

impl Window {
    /// When it takes place, in order, as far as it overlaps `[from, to)`: start and end of each.
    pub fn between(
        &self,
        calendar: &Calendar,
        from: Timestamp,
        to: Timestamp,
    ) -> Vec<(Timestamp, Timestamp)> {
        let mut found = match &self.when {
            When::Once { start, end } => vec![(*start, *end)],
            When::Cron { cron, duration } => cron_between(cron, *duration, &calendar.zone, from, to),
            When::Ical(event) => event.between(from, to),
        };
        found
            .retain(|(start, end)| *start < to && *end > from && start < end && self.suits(calendar, *start));
        found
    }

    fn suits(&self, calendar: &Calendar, start: Timestamp) -> bool {
        match self.on_holidays {
            OnHolidays::Same => true,
            OnHolidays::Skip => calendar.holiday(start).is_none(),
            OnHolidays::Only => calendar.holiday(start).is_some(),
        }
    }

    /// A window without a scope concerns all of its calendar's namespace.
    fn concerns(&self, calendar: &Calendar, id: &str, groups: &[String]) -> bool {
        let namespace = |id: &str| id.split_once('/').map_or("", |(n, _)| n).to_owned();
        if self.scope.is_empty() {
            return namespace(&calendar.id) == namespace(id);
        }
        self.scope.iter().any(|s| s == id || groups.contains(s))
    }

    fn words(&self) -> String {
        match (self.kind, self.floor, self.ceiling) {
            (CalendarKind::Maintenance, _, _) => "alerts muted, scale-downs held".into(),
            (_, Some(floor), Some(ceiling)) => format!("{floor} to {ceiling} replicas"),
            (_, Some(floor), None) => format!("at least {floor} replicas"),
            (_, None, Some(ceiling)) => format!("at most {ceiling} replicas"),
            (_, None, None) => "a day on which load differs".into(),
        }
    }
}

fn cron_between(
    cron: &Cron,
    duration: Duration,
    zone: &TimeZone,
    from: Timestamp,
    to: Timestamp,
) -> Vec<(Timestamp, Timestamp)> {
    let begin = before(from, duration).to_zoned(zone.clone());
    let mut found = Vec::new();
    let mut next = cron.find_next_occurrence(&begin, true).ok();
    while let Some(start) = next {
        if start.timestamp() >= to || found.len() >= OCCURRENCES_MAX {
            break;
        }
        found.push((start.timestamp(), after(start.timestamp(), duration)));
        next = cron.find_next_occurrence(&start, false).ok();
    }
    found
}

impl Calendar {
    /// The holiday that `at` falls on.
    pub fn holiday(&self, at: Timestamp) -> Option<&Holiday> {
        let date = at.to_zoned(self.zone.clone()).date();
        self.holidays.iter().find(|h| h.date == date)
    }

    /// What it asks of a workload between `now` and `now + lead`: a floor is in force as long before its window as new
    /// pods need, a ceiling and maintenance exactly within theirs. `target` is the policy as `namespace/name`.
    pub fn effect(&self, target: &str, now: Timestamp, lead: Duration) -> Effect {
        let mut effect = Effect { holiday: self.holiday(now).map(|h| h.name.clone()), ..Effect::default() };
        let soon = after(now, lead.max(Duration::from_secs(1)));
        for window in self.windows.iter().filter(|w| w.concerns(self, target, &[])) {
            let open = window.between(self, now, soon);
            if open.is_empty() {
                continue;
            }
            let inside = open.iter().any(|(start, end)| *start <= now && now < *end);
            let name = || format!("{} ({})", window.name, self.id);
            let mine = Effect {
                floor: window.floor.map(|f| (f, name())),
                ceiling: window.ceiling.filter(|_| inside).map(|c| (c, name())),
                maintenance: (inside && window.kind == CalendarKind::Maintenance).then(name),
                holiday: None,
            };
            effect = effect.and(mine);
        }
        effect
    }

    /// The maintenance that is on or next for a component within `ahead`: what is announced.
    pub fn announcement(
        &self,
        component: &str,
        groups: &[String],
        now: Timestamp,
        ahead: Duration,
    ) -> Option<Announcement> {
        self.windows
            .iter()
            .filter(|w| w.kind == CalendarKind::Maintenance && w.concerns(self, component, groups))
            .filter_map(|w| {
                let (start, end) = w.between(self, now, after(now, ahead)).into_iter().next()?;
                let grace = u32::try_from(w.grace.as_secs()).unwrap_or(u32::MAX);
                Some(Announcement::window(start, end, grace, w.name.clone()))
            })
            .min_by_key(|a| a.shutdown_time)
    }

    /// Everything that overlaps `[from, to)`, by start, for pages and for forecasts that learn from it.
    pub fn between(&self, from: Timestamp, to: Timestamp) -> Vec<CalendarWindow> {
        let mut found: Vec<CalendarWindow> = self
            .windows
            .iter()
            .flat_map(|w| {
                w.between(self, from, to).into_iter().map(|(start, end)| CalendarWindow {
                    calendar: self.id.clone(),
                    name: w.name.clone(),
                    kind: w.kind,
                    start,
                    end,
                    effect: w.words(),
                })
            })
            .chain(
                self.holidays
                    .iter()
                    .filter_map(|h| self.whole_day(h))
                    .filter(|w| w.start < to && w.end > from),
            )
            .collect();
        found.sort_by_key(|w| (w.start, w.end));
        found
    }

    /// Days and their names from events of whole days.
    pub fn holidays_of(events: &[Event], from: Timestamp, to: Timestamp) -> Vec<Holiday> {
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        for event in events.iter().filter(|e| e.all_day) {
            for (start, end) in event.between(from, to) {
                let mut day = start.to_zoned(event.zone.clone()).date();
                while day.at(0, 0, 0, 0).to_zoned(event.zone.clone()).is_ok_and(|z| z.timestamp() < end) {
                    if seen.insert(day) {
                        found.push(Holiday { date: day, name: event.summary.clone() });
                    }
                    match day.tomorrow() {
                        Ok(next) => day = next,
                        Err(_) => break,
                    }
                }
            }
        }
        found.sort_by_key(|h| h.date);
        found
    }

    fn whole_day(&self, holiday: &Holiday) -> Option<CalendarWindow> {
        let start = holiday.date.at(0, 0, 0, 0).to_zoned(self.zone.clone()).ok()?;
        let end = start.checked_add(Span::new().days(1)).ok()?;
        Some(CalendarWindow {
            calendar: self.id.clone(),
            name: holiday.name.clone(),
            kind: CalendarKind::Holiday,
            start: start.timestamp(),
            end: end.timestamp(),
            effect: "a day on which load differs".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn window(name: &str, when: When) -> Window {
        Window {
            name: name.into(),
            kind: CalendarKind::Scaling,
            when,
            on_holidays: OnHolidays::Same,
            floor: None,
            ceiling: None,
            scope: vec![],
            grace: Duration::from_secs(30),
        }
    }

    fn cron(expression: &str, hours: u64) -> When {
        When::Cron {
            cron: Box::new(Cron::from_str(expression).unwrap()),
            duration: Duration::from_secs(hours * 3_600),
        }
    }

    fn calendar(zone: &str, windows: Vec<Window>) -> Calendar {
        Calendar { id: "shop/main".into(), zone: TimeZone::get(zone).unwrap(), windows, holidays: vec![] }
    }

    #[test]
    fn a_floor_is_in_force_before_its_window_by_the_lead_time() {
        let sale = Window { floor: Some(40), ceiling: Some(80), ..window("sale", cron("0 20 * * 5", 4)) };
        let calendar = calendar("Asia/Shanghai", vec![sale]);
        let lead = Duration::from_secs(300);
        // Friday 20:00 in Shanghai is 12:00 UTC.
        assert_eq!(calendar.effect("shop/web", at("2026-11-20T11:54:00Z"), lead), Effect::default());
        let early = calendar.effect("shop/web", at("2026-11-20T11:55:30Z"), lead);
        assert_eq!((early.floor.map(|f| f.0), early.ceiling), (Some(40), None));
        let inside = calendar.effect("shop/web", at("2026-11-20T15:59:59Z"), lead);
        assert_eq!(inside.ceiling.map(|c| c.0), Some(80));
        assert_eq!(calendar.effect("shop/web", at("2026-11-20T16:00:00Z"), lead), Effect::default());
    }

    #[test]
    fn nine_in_the_morning_is_nine_in_the_morning_in_summer_and_winter() {
        let open = window("open", cron("0 9 * * *", 1));
        let calendar = calendar("Europe/Berlin", vec![open]);
        let days = calendar.between(at("2026-10-24T00:00:00Z"), at("2026-10-27T00:00:00Z"));
        let starts: Vec<String> = days.iter().map(|w| w.start.to_string()).collect();
        assert_eq!(starts, ["2026-10-24T07:00:00Z", "2026-10-25T08:00:00Z", "2026-10-26T08:00:00Z"]);
    }

    #[test]
    fn holidays_are_skipped_or_sought() {
        let mut c = calendar(
            "Asia/Shanghai",
            vec![
                Window {
                    on_holidays: OnHolidays::Skip,
                    floor: Some(9),
                    ..window("work", cron("0 9 * * 1-5", 8))
                },
                Window {
                    on_holidays: OnHolidays::Only,
                    floor: Some(2),
                    ..window("rest", cron("0 9 * * *", 8))
                },
            ],
        );
        c.holidays.push(Holiday { date: Date::constant(2026, 10, 1), name: "National Day".into() });
        let effect = c.effect("shop/web", at("2026-10-01T02:00:00Z"), Duration::ZERO);
        assert_eq!((effect.floor.map(|f| f.0), effect.holiday.as_deref()), (Some(2), Some("National Day")));
        assert_eq!(
            c.effect("shop/web", at("2026-10-02T02:00:00Z"), Duration::ZERO).floor.map(|f| f.0),
            Some(9)
        );
        assert_eq!(c.between(at("2026-09-30T16:00:00Z"), at("2026-10-01T16:00:00Z")).len(), 2);
    }

    #[test]
    fn maintenance_is_announced_before_it_begins_and_only_to_whom_it_concerns() {
        let (start, end) = (at("2026-11-20T22:00:00Z"), at("2026-11-20T23:00:00Z"));
        let patch = Window {
            kind: CalendarKind::Maintenance,
            scope: vec!["data/db".into(), "search".into()],
            ..window("kernel patch", When::Once { start, end })
        };
        let c = calendar("UTC", vec![patch]);
        let ahead = Duration::from_secs(86_400);
        let told = c.announcement("data/db", &[], at("2026-11-20T10:00:00Z"), ahead).unwrap();
        assert_eq!((told.shutdown_time, told.end_time, told.grace_period_seconds), (start, Some(end), 30));
        assert!(c.announcement("shop/solr", &["search".into()], at("2026-11-20T10:00:00Z"), ahead).is_some());
        assert!(c.announcement("shop/web", &[], at("2026-11-20T10:00:00Z"), ahead).is_none());
        assert!(c.effect("data/db", at("2026-11-20T22:30:00Z"), Duration::ZERO).maintenance.is_some());
        assert!(
            c.effect("data/db", at("2026-11-20T21:59:59Z"), Duration::from_secs(60)).maintenance.is_none()
        );
    }

    #[test]
    fn the_highest_floor_and_the_lowest_ceiling_win() {
        let of = |floor, ceiling| Effect {
            floor: Some((floor, floor.to_string())),
            ceiling: Some((ceiling, ceiling.to_string())),
            ..Effect::default()
        };
        let both = of(3, 9).and(of(5, 12));
        assert_eq!((both.floor.unwrap().0, both.ceiling.unwrap().0), (5, 9));
    }

    #[test]
    fn holidays_come_from_whole_days_of_an_ical_file() {
        let text = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:National Day\nDTSTART;VALUE=DATE:20261001\nDTEND;VALUE=DATE:20261004\nEND:VEVENT\nEND:VCALENDAR";
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let events = parse_ical(text, &zone).unwrap();
        let days = Calendar::holidays_of(&events, at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
        assert_eq!(days.iter().map(|d| d.date.day()).collect::<Vec<_>>(), [1, 2, 3]);
    }
}
