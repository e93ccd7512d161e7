//! Durations, quantities and percentages as strings, and what they mean. No floats travel in the API: `5m`, `250m`,
//! `1.5k` and `99%` do.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The pattern of a duration in the schema.
pub const DURATION_PATTERN: &str = r"^([0-9]{1,6}(d|h|m|s)){1,4}$";
/// The pattern of a quantity in the schema: what Kubernetes accepts, above or equal to zero.
pub const QUANTITY_PATTERN: &str = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$";

/// Why a string isn't a duration, quantity or percentage. The message says what would be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a duration.
    #[error("{0:?} is not a duration; write a number and d, h, m or s, such as 90s, 5m or 1h30m")]
    Duration(String),
    /// Not a quantity.
    #[error(
        "{0:?} is not a quantity; write a number with an optional suffix, such as 200, 0.5, 250m or 1.5k"
    )]
    Quantity(String),
    /// Not a percentage.
    #[error(
        "{0:?} is not a percentage; write a number from 0 to 100 and a percent sign, such as 99% or 99.5%"
    )]
    Percent(String),
}

/// A duration such as `90s`, `5m`, `1h30m` or `14d`. A day has 24 hours.
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    let wrong = || UnitError::Duration(text.to_owned());
    let mut rest = text;
    let mut seconds = 0u64;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit = match rest.as_bytes()[digits] {
            b'd' => 86_400,
            b'h' => 3_600,
            b'm' => 60,
            b's' => 1,
            _ => return Err(wrong()),
        };
        seconds = number.checked_mul(unit).and_then(|s| s.checked_add(seconds)).ok_or_else(wrong)?;
        rest = &rest[digits + 1..];
    }
    Ok(Duration::from_secs(seconds))
}

/// The number that a Kubernetes quantity at or above zero stands for: `250m` is 0.25, `1.5k` is 1500, `1Ki` is 1024.
pub fn quantity(text: &str) -> Result<f64, UnitError> {
    let wrong = || UnitError::Quantity(text.to_owned());
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let factor = match suffix {
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "Ki" => 1024.0,
        "Mi" => 1024f64.powi(2),
        "Gi" => 1024f64.powi(3),
        "Ti" => 1024f64.powi(4),
        "Pi" => 1024f64.powi(5),
        _ => return Err(wrong()),
    };
    let starts_with_digit = number.starts_with(|c: char| c.is_ascii_digit());
    let value: f64 = number.parse().map_err(|_| wrong())?;
    if starts_with_digit { Ok(value * factor) } else { Err(wrong()) }
}

/// The fraction that a percentage stands for: `99%` is 0.99. From 0 % to 100 %.
pub fn percent(text: &str) -> Result<f64, UnitError> {
    let wrong = || UnitError::Percent(text.to_owned());
    let number = text.strip_suffix('%').ok_or_else(wrong)?;
    let plain = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let value: f64 = number.parse().map_err(|_| wrong())?;
    if plain && value <= 100.0 { Ok(value / 100.0) } else { Err(wrong()) }
}

/// The shortest way to write a whole number of seconds: 5400 is `1h30m`.
pub fn write_duration(duration: Duration) -> String {
    let mut seconds = duration.as_secs();
    if seconds == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, name) in [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")] {
        if seconds >= unit {
            // Writing to a String can't fail.
            let _ = write!(text, "{}{name}", seconds / unit);
            seconds %= unit;
        }
    }
    text
}

/// A Kubernetes quantity at or above zero as it was written: an integer such as `200` or a string such as `250m`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Quantity(String);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Integer(i64),
    Text(String),
}

impl Quantity {
    /// A quantity as written.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text as it was written, unchecked: `500m`, `2k`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number it stands for.
    pub fn value(&self) -> Result<f64, UnitError> {
        quantity(&self.0)
    }
}

impl From<Written> for Quantity {
    fn from(written: Written) -> Self {
        match written {
            Written::Integer(number) => Self(number.to_string()),
            Written::Text(text) => Self(text),
        }
    }
}

impl From<Quantity> for Written {
    fn from(quantity: Quantity) -> Self {
        quantity.0.parse().map_or(Self::Text(quantity.0), Self::Integer)
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": 32,
            "pattern": QUANTITY_PATTERN,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(duration("14d"), Ok(Duration::from_secs(14 * 86_400)));
        for wrong in ["", "5 minutes", "5", "m", "-5m", "1.5h", "5m ", "99999999999999999999s"] {
            assert_eq!(duration(wrong), Err(UnitError::Duration(wrong.to_owned())), "{wrong}");
        }
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["0s", "45s", "5m", "1h30m", "14d", "1d1h1m1s"] {
            assert_eq!(write_duration(duration(text).unwrap()), text);
        }
    }

    #[test]
    fn quantities_are_those_of_kubernetes() {
        for (text, value) in
            [("200", 200.0), ("250m", 0.25), ("1.5k", 1_500.0), ("1Ki", 1_024.0), ("0.5", 0.5), ("0", 0.0)]
        {
            assert!((quantity(text).unwrap() - value).abs() < 1e-9, "{text}");
        }
        for wrong in ["", "k", "-1", "1e3", "1 k", "NaN", "inf", "1kk", ".5", "1.2.3"] {
            assert!(quantity(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn percentages_lie_between_nothing_and_everything() {
        assert_eq!(percent("99%"), Ok(0.99));
        assert!((percent("99.5%").unwrap() - 0.995).abs() < 1e-12);
        for wrong in ["99", "101%", "-1%", "%", "NaN%", "1e1%"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_quantity_keeps_the_form_it_was_written_in() {
        let integer: Quantity = serde_json::from_str("200").unwrap();
        assert_eq!((integer.as_str(), serde_json::to_string(&integer).unwrap()), ("200", "200".to_owned()));
        let text: Quantity = serde_json::from_str("\"250m\"").unwrap();
        assert_eq!(serde_json::to_string(&text).unwrap(), "\"250m\"");
    }
}
