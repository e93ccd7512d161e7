//! The recurrence rules of iCalendar (RFC 5545, 3.3.10) as far as people write them: a rule and its first date come
//! in, dates go out. Left out: seconds to hours, week numbers, year days, BYSETPOS; such a rule is refused by name
//! rather than misread.

use std::str::FromStr;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::{Span, ToSpan};
use serde::{Deserialize, Serialize};

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Frequency {
    /// Every day.
    Daily,
    /// Every week.
    Weekly,
    /// Every month.
    Monthly,
    /// Every year.
    Yearly,
}

/// A weekday, or the nth (from the end, if negative) of the month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ByDay {
    /// `None` is each of them.
    pub nth: Option<i8>,
    /// The day of the week.
    pub weekday: Weekday,
}

/// A recurrence rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    frequency: Frequency,
    interval: i32,
    count: Option<usize>,
    until: Option<DateTime>,
    by_day: Vec<ByDay>,
    by_month_day: Vec<i8>,
    by_month: Vec<i8>,
}

/// Why a rule can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// No `FREQ`, or one below a day.
    #[error("the rule needs FREQ=DAILY, WEEKLY, MONTHLY or YEARLY")]
    Frequency,
    /// A part that isn't supported.
    #[error(
        "{0} isn't supported in a recurrence rule; supported are FREQ, INTERVAL, COUNT, UNTIL, BYDAY, BYMONTHDAY, BYMONTH and WKST=MO"
    )]
    Unsupported(String),
    /// A part whose value isn't right.
    #[error("{0}={1} isn't a valid value in a recurrence rule")]
    Value(String, String),
}

/// A rule that yields nothing for so many periods is given up.
const EMPTY_PERIODS_MAX: usize = 4_000;

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let mut frequency = None;
        let mut rule = Self {
            frequency: Frequency::Daily,
            interval: 1,
            count: None,
            until: None,
            by_day: Vec::new(),
            by_month_day: Vec::new(),
            by_month: Vec::new(),
        };
        for part in text.trim().split(';').filter(|p| !p.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let key = key.to_ascii_uppercase();
            let wrong = || RuleError::Value(key.clone(), value.to_owned());
            match key.as_str() {
                "FREQ" => {
                    frequency = match value.to_ascii_uppercase().as_str() {
                        "DAILY" => Some(Frequency::Daily),
                        "WEEKLY" => Some(Frequency::Weekly),
                        "MONTHLY" => Some(Frequency::Monthly),
                        "YEARLY" => Some(Frequency::Yearly),
                        _ => return Err(RuleError::Frequency),
                    }
                }
                "INTERVAL" => {
                    rule.interval =
                        value.parse().ok().filter(|i| (1..=1_000).contains(i)).ok_or_else(wrong)?;
                }
                "COUNT" => rule.count = Some(value.parse().ok().filter(|c| *c > 0).ok_or_else(wrong)?),
                "UNTIL" => rule.until = Some(until(value).ok_or_else(wrong)?),
                "BYDAY" => rule.by_day = list(value, by_day).ok_or_else(wrong)?,
                "BYMONTHDAY" => {
                    rule.by_month_day = list(value, |d| number(d, 31)).ok_or_else(wrong)?;
                }
                "BYMONTH" => {
                    rule.by_month = list(value, |m| number(m, 12).filter(|m| *m > 0)).ok_or_else(wrong)?;
                }
                // Weeks that begin elsewhere matter only with INTERVAL above 1.
                "WKST" if value.eq_ignore_ascii_case("MO") || rule.interval == 1 => {}
                _ => return Err(RuleError::Unsupported(part.to_owned())),
            }
        }
        rule.frequency = frequency.ok_or(RuleError::Frequency)?;
        Ok(rule)
    }
}

impl Rule {
    /// The dates of the rule in order, beginning with `start` itself, as RFC 5545 counts it; local time throughout.
    pub fn dates(&self, start: DateTime) -> impl Iterator<Item = DateTime> + '_ {
        let mut period = 0_i32;
        let mut ready: std::collections::VecDeque<DateTime> = std::collections::VecDeque::new();
        let mut given = 0_usize;
        let mut done = false;
        std::iter::from_fn(move || {
            if done || self.count.is_some_and(|c| given >= c) {
                return None;
            }
            let mut empty = 0;
            while ready.is_empty() {
                let Some(dates) = self.period(start, period) else {
                    done = true;
                    return None;
                };
                ready.extend(dates.into_iter().filter(|d| *d > start));
                if period == 0 {
                    ready.push_front(start);
                }
                period = period.saturating_add(1);
                empty += 1;
                if empty > EMPTY_PERIODS_MAX {
                    done = true;
                    return None;
                }
            }
            let next = ready.pop_front()?;
            if self.until.is_some_and(|u| next > u) {
                done = true;
                return None;
            }
            given += 1;
            Some(next)
        })
    }

    /// The dates of the `index`th period after the one that holds `start`, in order; `None` at the end of time.
    fn period(&self, start: DateTime, index: i32) -> Option<Vec<DateTime>> {
        let steps = i64::from(index) * i64::from(self.interval);
        let at = |date: Date| date.to_datetime(start.time());
        let mut dates: Vec<Date> = match self.frequency {
            Frequency::Daily => vec![start.date().checked_add(Span::new().try_days(steps).ok()?).ok()?],
            Frequency::Weekly => {
                let monday = start
                    .date()
                    .checked_sub(i64::from(start.date().weekday().to_monday_zero_offset()).days())
                    .ok()?;
                let monday = monday.checked_add(Span::new().try_weeks(steps).ok()?).ok()?;
                let days: Vec<i8> = if self.by_day.is_empty() {
                    vec![start.date().weekday().to_monday_zero_offset()]
                } else {
                    self.by_day.iter().map(|d| d.weekday.to_monday_zero_offset()).collect()
                };
                days.iter().filter_map(|d| monday.checked_add(i64::from(*d).days()).ok()).collect()
            }
            Frequency::Monthly => {
                let first = start.date().first_of_month();
                let first = first.checked_add(Span::new().try_months(steps).ok()?).ok()?;
                self.in_month(first, start.day())
            }
            Frequency::Yearly => {
                let year = i16::try_from(i64::from(start.year()) + steps).ok()?;
                let months =
                    if self.by_month.is_empty() { vec![start.month()] } else { self.by_month.clone() };
                let firsts = months.into_iter().filter_map(|m| Date::new(year, m, 1).ok());
                let found: Vec<Date> = firsts.flat_map(|f| self.in_month(f, start.day())).collect();
                Date::new(year, 1, 1).ok()?;
                found
            }
        };
        dates.retain(|d| self.by_month.is_empty() || self.by_month.contains(&d.month()));
        if self.frequency == Frequency::Daily {
            let weekday = |d: &Date| self.by_day.iter().any(|b| b.weekday == d.weekday());
            dates.retain(|d| self.by_day.is_empty() || weekday(d));
            dates.retain(|d| self.by_month_day.is_empty() || month_days(*d, &self.by_month_day).contains(d));
        }
        dates.sort_unstable();
        dates.dedup();
        Some(dates.into_iter().map(at).collect())
    }

    fn in_month(&self, first: Date, day: i8) -> Vec<Date> {
        match (self.by_month_day.is_empty(), self.by_day.is_empty()) {
            (true, true) => first.with().day(day).build().ok().into_iter().collect(),
            (false, true) => month_days(first, &self.by_month_day),
            (true, false) => weekdays(first, &self.by_day),
            (false, false) => {
                let days = month_days(first, &self.by_month_day);
                weekdays(first, &self.by_day).into_iter().filter(|d| days.contains(d)).collect()
            }
        }
    }
}

fn month_days(first: Date, days: &[i8]) -> Vec<Date> {
    let last = first.days_in_month();
    days.iter()
        .map(|d| if *d < 0 { last + 1 + *d } else { *d })
        .filter(|d| (1..=last).contains(d))
        .filter_map(|d| first.with().day(d).build().ok())
        .collect()
}

fn weekdays(first: Date, days: &[ByDay]) -> Vec<Date> {
    let mut found = Vec::new();
    for by_day in days {
        match by_day.nth {
            Some(nth) => found.extend(first.nth_weekday_of_month(nth, by_day.weekday).ok()),
            None => found.extend(
                (1..=5)
                    .filter_map(|n| first.nth_weekday_of_month(n, by_day.weekday).ok())
                    .filter(|d| d.month() == first.month()),
            ),
        }
    }
    found
}

fn list<T>(text: &str, one: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    text.split(',').map(|part| one(part.trim())).collect()
}

fn number(text: &str, max: i8) -> Option<i8> {
    text.parse().ok().filter(|n: &i8| *n != 0 && n.unsigned_abs() <= max.unsigned_abs())
}

fn by_day(text: &str) -> Option<ByDay> {
    let split = text.len().checked_sub(2).filter(|i| text.is_char_boundary(*i))?;
    let (nth, day) = text.split_at(split);
    let weekday = match day.to_ascii_uppercase().as_str() {
        "MO" => Weekday::Monday,
        "TU" => Weekday::Tuesday,
        "WE" => Weekday::Wednesday,
        "TH" => Weekday::Thursday,
        "FR" => Weekday::Friday,
        "SA" => Weekday::Saturday,
        "SU" => Weekday::Sunday,
        _ => return None,
    };
    let nth = if nth.is_empty() { None } else { Some(number(nth, 5)?) };
    Some(ByDay { nth, weekday })
}

/// `UNTIL` in local time: a date counts to its end, and a time in UTC is taken as it stands, which is right to within
/// the zone's offset from UTC and so for every rule whose next date lies further away than that.
fn until(text: &str) -> Option<DateTime> {
    let text = text.trim_end_matches('Z');
    match text.len() {
        8 => Some(Date::strptime("%Y%m%d", text).ok()?.at(23, 59, 59, 0)),
        _ => DateTime::strptime("%Y%m%dT%H%M%S", text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dates(rule: &str, start: &str, n: usize) -> Vec<String> {
        let rule: Rule = rule.parse().unwrap();
        rule.dates(start.parse().unwrap()).take(n).map(|d| d.strftime("%Y-%m-%d %H").to_string()).collect()
    }

    #[test]
    fn the_rules_that_people_write() {
        // Every weekday at nine.
        assert_eq!(
            dates("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "2026-11-19T09:00", 4),
            ["2026-11-19 09", "2026-11-20 09", "2026-11-23 09", "2026-11-24 09"]
        );
        // The last Friday of the month.
        assert_eq!(
            dates("FREQ=MONTHLY;BYDAY=-1FR", "2026-11-27T20:00", 3),
            ["2026-11-27 20", "2026-12-25 20", "2027-01-29 20"]
        );
        // The last day of the month.
        assert_eq!(
            dates("FREQ=MONTHLY;BYMONTHDAY=-1", "2026-01-31T00:00", 3),
            ["2026-01-31 00", "2026-02-28 00", "2026-03-31 00"]
        );
        // The 31st, where there is one.
        assert_eq!(
            dates("FREQ=MONTHLY", "2026-01-31T00:00", 3),
            ["2026-01-31 00", "2026-03-31 00", "2026-05-31 00"]
        );
        // Thanksgiving.
        assert_eq!(
            dates("FREQ=YEARLY;BYMONTH=11;BYDAY=4TH", "2026-11-26T00:00", 2),
            ["2026-11-26 00", "2027-11-25 00"]
        );
        // The 29th of February.
        assert_eq!(dates("FREQ=YEARLY", "2024-02-29T00:00", 2), ["2024-02-29 00", "2028-02-29 00"]);
        // Every second week.
        assert_eq!(
            dates("FREQ=WEEKLY;INTERVAL=2;WKST=MO", "2026-11-17T02:00", 3),
            ["2026-11-17 02", "2026-12-01 02", "2026-12-15 02"]
        );
    }

    #[test]
    fn count_and_until_end_it() {
        assert_eq!(dates("FREQ=DAILY;COUNT=3", "2026-01-01T00:00", 9).len(), 3);
        assert_eq!(dates("FREQ=DAILY;UNTIL=20260104", "2026-01-01T00:00", 9).len(), 4);
        assert_eq!(dates("FREQ=DAILY;UNTIL=20260103T120000Z", "2026-01-01T00:00", 9).len(), 3);
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        assert_eq!("FREQ=HOURLY".parse::<Rule>(), Err(RuleError::Frequency));
        assert!(
            matches!("FREQ=MONTHLY;BYSETPOS=2".parse::<Rule>(), Err(RuleError::Unsupported(p)) if p == "BYSETPOS=2")
        );
        assert!(matches!("FREQ=DAILY;INTERVAL=0".parse::<Rule>(), Err(RuleError::Value(..))));
        assert!(matches!("FREQ=WEEKLY;BYDAY=XX".parse::<Rule>(), Err(RuleError::Value(..))));
    }

    #[test]
    fn a_rule_that_never_comes_true_ends() {
        assert_eq!(dates("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "2026-02-28T00:00", 3).len(), 1);
    }
}
