//! Reading iCalendar (RFC 5545): text comes in, events go out. It reads what calendars that people keep contain:
//! folded lines, time zones by IANA name, whole days, durations, recurrence rules with exceptions and moved
//! occurrences, cancelled events. A zone that isn't IANA's is an error that names it; what isn't an event is skipped.

use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, ToSpan};

use super::recur::{Rule, RuleError};

/// One event as it stands in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its `UID`.
    pub uid: String,
    /// Its `SUMMARY`.
    pub summary: String,
    /// Its `CATEGORIES`.
    pub categories: Vec<String>,
    /// When it begins, in the zone below.
    pub start: DateTime,
    /// The zone of its times.
    pub zone: TimeZone,
    /// How long it lasts.
    pub duration: SignedDuration,
    /// Whether it is of whole days.
    pub all_day: bool,
    /// How it recurs.
    pub rule: Option<Rule>,
    /// Occurrences that don't take place, in the zone above.
    pub except: Vec<DateTime>,
    /// Occurrences beyond the rule, in the zone above.
    pub also: Vec<DateTime>,
}

/// Why a file can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IcalError {
    /// It isn't iCalendar.
    #[error("this is not iCalendar: there is no BEGIN:VCALENDAR")]
    NotACalendar,
    /// An event without a start.
    #[error("event {0:?} has no DTSTART")]
    NoStart(String),
    /// A date that can't be read.
    #[error("event {0:?}: {1:?} is not a date or time")]
    Time(String, String),
    /// A zone that isn't IANA's.
    #[error("event {0:?}: {1:?} is not an IANA time zone such as Asia/Shanghai")]
    Zone(String, String),
    /// A duration that can't be read.
    #[error("event {0:?}: {1:?} is not a duration")]
    Duration(String, String),
    /// A rule that can't be used.
    #[error("event {0:?}: {1}")]
    Rule(String, RuleError),
    /// Too much of it.
    #[error("the calendar has more than {0} events")]
    TooMany(usize),
}

/// So many events are read from one file at most.
pub(super) const EVENTS_MAX: usize = 2_000;

/// Names that Microsoft's calendars use, for the zones most met.
const MICROSOFT: [(&str, &str); 14] = [
    ("China Standard Time", "Asia/Shanghai"),
    ("Tokyo Standard Time", "Asia/Tokyo"),
    ("Korea Standard Time", "Asia/Seoul"),
    ("Singapore Standard Time", "Asia/Singapore"),
    ("India Standard Time", "Asia/Kolkata"),
    ("AUS Eastern Standard Time", "Australia/Sydney"),
    ("GMT Standard Time", "Europe/London"),
    ("W. Europe Standard Time", "Europe/Berlin"),
    ("Romance Standard Time", "Europe/Paris"),
    ("Central Europe Standard Time", "Europe/Budapest"),
    ("Russian Standard Time", "Europe/Moscow"),
    ("Eastern Standard Time", "America/New_York"),
    ("Central Standard Time", "America/Chicago"),
    ("Pacific Standard Time", "America/Los_Angeles"),
];

/// Reads the events of a file. `local` is the zone of times that name none.
pub fn parse(text: &str, local: &TimeZone) -> Result<Vec<Event>, IcalError> {
    let lines = unfold(text);
    if !lines.iter().any(|l| l.trim().eq_ignore_ascii_case("BEGIN:VCALENDAR")) {
        return Err(IcalError::NotACalendar);
    }
    let mut events: Vec<Event> = Vec::new();
    let mut moved: Vec<(String, DateTime)> = Vec::new();
    let mut open: Option<Vec<Line>> = None;
    let mut inner = 0_usize;
    for line in lines.iter().filter_map(|l| Line::parse(l)) {
        let component = line.value.to_ascii_uppercase();
        match (line.name.as_str(), component.as_str()) {
            ("BEGIN", "VEVENT") => open = Some(Vec::new()),
            ("END", "VEVENT") => {
                if let Some(lines) = open.take() {
                    let read = read_event(&lines, local)?;
                    if let Some(instead_of) = read.1 {
                        moved.push((read.0.uid.clone(), instead_of));
                    }
                    if !read.2 {
                        events.push(read.0);
                    }
                    if events.len() > EVENTS_MAX {
                        return Err(IcalError::TooMany(EVENTS_MAX));
                    }
                }
            }
            // Alarms inside an event have a description of their own.
            ("BEGIN", _) if open.is_some() => inner += 1,
            ("END", _) if open.is_some() => inner = inner.saturating_sub(1),
            _ if inner == 0 => {
                if let Some(lines) = &mut open {
                    lines.push(line);
                }
            }
            _ => {}
        }
    }
    for (uid, instead_of) in moved {
        for event in events.iter_mut().filter(|e| e.uid == uid && e.rule.is_some()) {
            event.except.push(instead_of);
        }
    }
    Ok(events)
}

#[derive(Debug)]
struct Line {
    name: String,
    params: BTreeMap<String, String>,
    value: String,
}

impl Line {
    fn parse(text: &str) -> Option<Self> {
        let mut quoted = false;
        let colon = text.char_indices().find(|(_, c)| {
            quoted ^= *c == '"';
            *c == ':' && !quoted
        })?;
        let (head, value) = (&text[..colon.0], &text[colon.0 + 1..]);
        let mut parts = head.split(';');
        let name = parts.next()?.trim().to_ascii_uppercase();
        let params = parts
            .filter_map(|p| p.split_once('='))
            .map(|(k, v)| (k.to_ascii_uppercase(), v.trim_matches('"').to_owned()))
            .collect();
        Some(Self { name, params, value: value.trim().to_owned() })
    }
}

fn unfold(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for raw in text.trim_start_matches('\u{feff}').split('\n') {
        let raw = raw.trim_end_matches('\r');
        match (raw.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(rest), Some(last)) => last.push_str(rest),
            _ => lines.push(raw.to_owned()),
        }
    }
    lines
}

/// The event, the occurrence it stands for if it is a moved one, and whether it was cancelled.
fn read_event(lines: &[Line], local: &TimeZone) -> Result<(Event, Option<DateTime>, bool), IcalError> {
    let find = |name: &str| lines.iter().find(|l| l.name == name);
    let summary = find("SUMMARY").map(|l| unescape(&l.value)).unwrap_or_default();
    let start_line = find("DTSTART").ok_or_else(|| IcalError::NoStart(summary.clone()))?;
    let (start, zone, all_day) = time(start_line, &start_line.value, local, &summary)?;
    let in_zone = |line: &Line, text: &str| -> Result<DateTime, IcalError> {
        let (at, other, _) = time(line, text, local, &summary)?;
        Ok(shift(at, &other, &zone))
    };
    let duration = match (find("DTEND"), find("DURATION")) {
        (Some(end), _) => {
            let end = in_zone(end, &end.value)?;
            elapsed(start, end, &zone)
        }
        (None, Some(line)) => {
            duration(&line.value).ok_or_else(|| IcalError::Duration(summary.clone(), line.value.clone()))?
        }
        (None, None) if all_day => SignedDuration::from_hours(24),
        (None, None) => SignedDuration::ZERO,
    };
    let rule = match find("RRULE") {
        Some(line) => Some(line.value.parse().map_err(|e| IcalError::Rule(summary.clone(), e))?),
        None => None,
    };
    let dates = |name: &str| -> Result<Vec<DateTime>, IcalError> {
        let lines = lines.iter().filter(|l| l.name == name);
        lines.flat_map(|l| l.value.split(',').map(move |t| (l, t))).map(|(l, t)| in_zone(l, t)).collect()
    };
    let (except, also) = (dates("EXDATE")?, dates("RDATE")?);
    let instead_of = match find("RECURRENCE-ID") {
        Some(line) => Some(in_zone(line, &line.value)?),
        None => None,
    };
    let cancelled = find("STATUS").is_some_and(|l| l.value.eq_ignore_ascii_case("CANCELLED"));
    let uid = find("UID").map(|l| l.value.clone()).unwrap_or_default();
    let categories = find("CATEGORIES")
        .map(|l| l.value.split(',').map(|c| c.trim().to_owned()).collect())
        .unwrap_or_default();
    let event = Event { uid, summary, categories, start, zone, duration, all_day, rule, except, also };
    Ok((event, instead_of, cancelled))
}

fn time(
    line: &Line,
    text: &str,
    local: &TimeZone,
    summary: &str,
) -> Result<(DateTime, TimeZone, bool), IcalError> {
    let wrong = || IcalError::Time(summary.to_owned(), text.to_owned());
    if text.len() == 8 {
        let date = Date::strptime("%Y%m%d", text).map_err(|_| wrong())?;
        return Ok((date.at(0, 0, 0, 0), local.clone(), true));
    }
    let at = DateTime::strptime("%Y%m%dT%H%M%S", text.trim_end_matches('Z')).map_err(|_| wrong())?;
    let zone = if text.ends_with('Z') {
        TimeZone::UTC
    } else if let Some(name) = line.params.get("TZID") {
        let known = MICROSOFT.iter().find(|(n, _)| n == name).map_or(name.as_str(), |(_, iana)| iana);
        TimeZone::get(known.trim_start_matches('/'))
            .map_err(|_| IcalError::Zone(summary.to_owned(), name.clone()))?
    } else {
        local.clone()
    };
    Ok((at, zone, false))
}

fn shift(at: DateTime, from: &TimeZone, to: &TimeZone) -> DateTime {
    if from == to {
        return at;
    }
    at.to_zoned(from.clone()).map_or(at, |z| z.with_time_zone(to.clone()).datetime())
}

fn elapsed(start: DateTime, end: DateTime, zone: &TimeZone) -> SignedDuration {
    let stamp = |at: DateTime| at.to_zoned(zone.clone()).map_or(Timestamp::UNIX_EPOCH, |z| z.timestamp());
    stamp(end).duration_since(stamp(start)).max(SignedDuration::ZERO)
}

/// `P1W`, `P1DT2H30M`; a day has 24 hours.
fn duration(text: &str) -> Option<SignedDuration> {
    let span: Span = text.trim_start_matches('+').parse().ok()?;
    let hours = i64::from(span.get_weeks()) * 168 + i64::from(span.get_days()) * 24;
    let rest = span.weeks(0).days(0);
    let rest = SignedDuration::try_from(rest).ok()?;
    let total = SignedDuration::from_hours(hours) + rest;
    (total >= SignedDuration::ZERO).then_some(total)
}

fn unescape(text: &str) -> String {
    text.replace("\\n", " ").replace("\\N", " ").replace("\\,", ",").replace("\\;", ";").replace("\\\\", "\\")
}

impl Event {
    /// When it takes place, in order, as far as it overlaps `[from, to)`: start and end of each.
    pub fn between(&self, from: Timestamp, to: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let dates: Box<dyn Iterator<Item = DateTime> + '_> = match &self.rule {
            Some(rule) => Box::new(rule.dates(self.start)),
            None => Box::new(std::iter::once(self.start)),
        };
        // Local times are up to a day away from UTC either way.
        let last = to.to_zoned(self.zone.clone()).datetime().checked_add(1.day()).unwrap_or(DateTime::MAX);
        let ruled = dates.take_while(|d| *d <= last).filter(|d| !self.except.contains(d));
        let mut found: Vec<(Timestamp, Timestamp)> = ruled
            .chain(self.also.iter().copied())
            .filter_map(|d| self.occurrence(d))
            .filter(|(start, end)| *start < to && *end > from)
            .collect();
        found.sort_unstable();
        found
    }

    /// Whole days last as long as the local days do, also where the clocks change.
    fn occurrence(&self, at: DateTime) -> Option<(Timestamp, Timestamp)> {
        let start = at.to_zoned(self.zone.clone()).ok()?;
        let end = if self.all_day {
            let days = (self.duration.as_hours() + 12) / 24;
            start.checked_add(Span::new().try_days(days.max(1)).ok()?).ok()?.timestamp()
        } else {
            start.timestamp().checked_add(self.duration).ok()?
        };
        Some((start.timestamp(), end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shanghai() -> TimeZone {
        TimeZone::get("Asia/Shanghai").unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const SALE: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Singles\r\n  Day\\, the sale\r\nDTSTART;TZID=Asia/Shanghai:20261111T000000\r\nDTEND;TZID=Asia/Shanghai:20261112T000000\r\nRRULE:FREQ=YEARLY\r\nBEGIN:VALARM\r\nSUMMARY:x\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

    #[test]
    fn folded_lines_zones_and_recurrence() {
        let events = parse(SALE, &TimeZone::UTC).unwrap();
        assert_eq!(events[0].summary, "Singles Day, the sale");
        let found = events[0].between(at("2027-01-01T00:00:00Z"), at("2028-01-01T00:00:00Z"));
        assert_eq!(found, [(at("2027-11-10T16:00:00Z"), at("2027-11-11T16:00:00Z"))]);
    }

    #[test]
    fn whole_days_are_local_days_also_where_clocks_change() {
        let text = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:d\nDTSTART;VALUE=DATE:20261025\nEND:VEVENT\nEND:VCALENDAR";
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let found = parse(text, &berlin).unwrap()[0].between(Timestamp::MIN, Timestamp::MAX);
        let (start, end) = found[0];
        assert_eq!(end.duration_since(start), SignedDuration::from_hours(25));
    }

    #[test]
    fn exceptions_moved_and_cancelled_occurrences() {
        let text = "BEGIN:VCALENDAR\n\
            BEGIN:VEVENT\nUID:a\nDTSTART:20260105T020000Z\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;COUNT=4\nEXDATE:20260112T020000Z\nEND:VEVENT\n\
            BEGIN:VEVENT\nUID:a\nRECURRENCE-ID:20260119T020000Z\nDTSTART:20260120T050000Z\nDURATION:PT1H\nEND:VEVENT\n\
            BEGIN:VEVENT\nUID:b\nSTATUS:CANCELLED\nDTSTART:20260105T020000Z\nEND:VEVENT\n\
            END:VCALENDAR";
        let events = parse(text, &shanghai()).unwrap();
        let all: Vec<_> =
            events.iter().flat_map(|e| e.between(Timestamp::MIN, Timestamp::MAX)).map(|(s, _)| s).collect();
        assert_eq!(all, [at("2026-01-05T02:00:00Z"), at("2026-01-26T02:00:00Z"), at("2026-01-20T05:00:00Z")]);
    }

    #[test]
    fn microsoft_names_are_understood_and_others_named_in_the_error() {
        let text = |zone: &str| {
            format!(
                "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:m\nDTSTART;TZID={zone}:20260105T100000\nEND:VEVENT\nEND:VCALENDAR"
            )
        };
        let event = &parse(&text("China Standard Time"), &TimeZone::UTC).unwrap()[0];
        assert_eq!(event.zone.iana_name(), Some("Asia/Shanghai"));
        let error = parse(&text("Mars/Olympus"), &TimeZone::UTC).unwrap_err();
        assert!(error.to_string().contains("Mars/Olympus"));
        assert_eq!(parse("hello", &TimeZone::UTC), Err(IcalError::NotACalendar));
    }

    #[test]
    fn durations_with_weeks_and_days() {
        assert_eq!(duration("P1W"), Some(SignedDuration::from_hours(168)));
        assert_eq!(duration("P1DT2H30M"), Some(SignedDuration::from_mins(26 * 60 + 30)));
        assert_eq!(duration("soon"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(BEGIN:VCALENDAR\n)?(BEGIN:VEVENT\n|DTSTART[;:=A-Z0-9a-z/]{0,20}\n|RRULE:FREQ=[A-Z]{3,7}\n|END:VEVENT\n|\\PC{0,20}\n){0,12}") {
            let _ = parse(&text, &TimeZone::UTC);
        }
    }
}
