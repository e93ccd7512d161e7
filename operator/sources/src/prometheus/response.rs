//! From the bytes of Prometheus' answer to samples, or to the reason why there are none. Pure: no connection, no
//! clock.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use prometheus_http_query::response::{Data, PromqlResult, RangeVector};
use serde::Deserialize;
use series::{Absence, AbsenceReason, Sample};

#[derive(Deserialize)]
struct Envelope {
    status: Option<String>,
    data: Option<serde_json::Value>,
    #[serde(rename = "errorType")]
    error_type: Option<String>,
    error: Option<String>,
}

/// Opens the answer. Everything that isn't a successful result becomes an absence that says whose fault it is.
pub(super) fn envelope(server: &str, query: &str, status: u16, body: &[u8]) -> Result<Data, Absence> {
    let envelope: Option<Envelope> = serde_json::from_slice(body).ok();
    match (status, envelope) {
        (401 | 403, _) => Err(absent(
            AbsenceReason::Unauthorized,
            format!(
                "{server} refused the credentials (HTTP {status}); check the Secret and the tenant header"
            ),
        )),
        (200..=299, Some(Envelope { status: Some(word), data: Some(data), .. })) if word == "success" => {
            data_of(server, data)
        }
        (_, Some(Envelope { status: Some(word), error_type, error, .. })) if word == "error" => Err(refusal(
            server,
            query,
            status,
            error_type.as_deref().unwrap_or_default(),
            error.as_deref().unwrap_or("no further words"),
        )),
        (429 | 500..=599, _) => {
            Err(absent(AbsenceReason::ServerError, format!("{server} failed with HTTP {status}")))
        }
        _ => Err(absent(
            AbsenceReason::InvalidAnswer,
            format!(
                "{server} didn't answer as Prometheus does (HTTP {status}); check the address and its path"
            ),
        )),
    }
}

/// The one value an instant query must give.
pub(super) fn single(data: Data) -> Result<Sample, Absence> {
    let sample = match data {
        Data::Scalar(sample) => sample,
        Data::Vector(vector) => {
            let mut series = vector.iter();
            match (series.next(), series.next()) {
                (None, _) => {
                    return Err(absent(
                        AbsenceReason::Empty,
                        "the query matched nothing; is the metric scraped, and are the labels right?",
                    ));
                }
                (Some(one), None) => *one.sample(),
                (Some(one), Some(two)) => {
                    return Err(several(vector.len(), one.metric(), two.metric()));
                }
            }
        }
        Data::Matrix(_) => {
            return Err(absent(
                AbsenceReason::InvalidQuery,
                "the query gives a range of samples; put a function such as rate() around it",
            ));
        }
    };
    checked(sample.timestamp(), sample.value())
}

/// Every series of an instant query.
pub(super) fn vector(data: Data) -> Result<Vec<(String, f64)>, Absence> {
    match data {
        Data::Scalar(sample) => Ok(vec![(String::new(), sample.value())]),
        Data::Vector(vector) => Ok(vector.iter().map(|v| (labels(v.metric()), v.sample().value())).collect()),
        Data::Matrix(_) => Err(absent(AbsenceReason::InvalidQuery, "the query gives a range of samples")),
    }
}

/// Every series of an instant query, by the value of one label.
pub(super) fn by_label(data: Data, label: &str) -> Result<BTreeMap<String, f64>, Absence> {
    let Data::Vector(vector) = data else {
        let message = format!("the query gives no series; write one whose answer has the label {label}");
        return Err(absent(AbsenceReason::InvalidQuery, message));
    };
    let mut found = BTreeMap::new();
    for series in &vector {
        let Some(name) = series.metric().get(label) else {
            let message = format!("a series has no label {label}: {}", labels(series.metric()));
            return Err(absent(AbsenceReason::InvalidQuery, message));
        };
        let value = checked(series.sample().timestamp(), series.sample().value())?.value();
        if found.insert(name.clone(), value).is_some() {
            let message = format!("several series have {label}=\"{name}\"; put sum by ({label}) around them");
            return Err(absent(AbsenceReason::InvalidQuery, message));
        }
    }
    Ok(found)
}

/// The one series a range query must give. Points that are no load (NaN, infinite, negative) are left out as gaps; no
/// series at all is an empty row.
pub(super) fn row(data: Data) -> Result<Vec<Sample>, Absence> {
    let mut series = matrix(data)?.into_iter();
    let samples = match (series.next(), series.next()) {
        (None, _) => Vec::new(),
        (Some(one), None) => one.into_inner().1,
        (Some(one), Some(two)) => {
            return Err(several(2 + series.len(), one.metric(), two.metric()));
        }
    };
    Ok(samples.iter().filter_map(|s| checked(s.timestamp(), s.value()).ok()).collect())
}

/// The series of a range query.
pub(super) fn matrix(data: Data) -> Result<Vec<RangeVector>, Absence> {
    match data {
        Data::Matrix(matrix) => Ok(matrix),
        _ => Err(absent(AbsenceReason::InvalidAnswer, "the range query wasn't answered with a range")),
    }
}

/// Seconds as Prometheus writes them, to a timestamp.
pub(super) fn timestamp(seconds: f64) -> Option<Timestamp> {
    Timestamp::from_millisecond((seconds * 1_000.0).round() as i64).ok().filter(|_| seconds.is_finite())
}

fn checked(seconds: f64, value: f64) -> Result<Sample, Absence> {
    let time = timestamp(seconds)
        .ok_or_else(|| absent(AbsenceReason::InvalidAnswer, format!("{seconds} is no timestamp")))?;
    if value.is_nan() {
        return Err(absent(
            AbsenceReason::NotANumber,
            "the query gives NaN, most often from 0 / 0; divide by something that can't be 0",
        ));
    }
    if value < 0.0 {
        let shown = if value.is_finite() { format!("{value}") } else { "-Inf".to_owned() };
        return Err(absent(
            AbsenceReason::Negative,
            format!("the query gives {shown}; load can't be negative"),
        ));
    }
    Sample::new(time, value).ok_or_else(|| {
        absent(AbsenceReason::Infinite, "the query gives +Inf, most often from a division by 0")
    })
}

fn data_of(server: &str, data: serde_json::Value) -> Result<Data, Absence> {
    if data.get("resultType").and_then(|kind| kind.as_str()) == Some("string") {
        return Err(absent(AbsenceReason::InvalidQuery, "the query gives a text, not a number"));
    }
    serde_json::from_value::<PromqlResult>(data).map(|result| result.into_inner().0).map_err(|e| {
        absent(
            AbsenceReason::InvalidAnswer,
            format!(
                "{server} answered with something that is no plain number ({e}); histograms need a function"
            ),
        )
    })
}

fn refusal(server: &str, query: &str, status: u16, kind: &str, message: &str) -> Absence {
    let message: String = message.chars().take(300).collect();
    let reason = match kind {
        "bad_data" | "execution" => AbsenceReason::InvalidQuery,
        "timeout" | "canceled" => AbsenceReason::Timeout,
        _ if status == 429 || status >= 500 => AbsenceReason::ServerError,
        _ => AbsenceReason::InvalidAnswer,
    };
    if reason != AbsenceReason::InvalidQuery {
        return absent(reason, format!("{server} failed: {message}"));
    }
    let query: String = query.chars().take(300).collect();
    absent(reason, format!("{server} refused the query '{query}': {message}; correct the query"))
}

fn several(count: usize, one: &HashMap<String, String>, two: &HashMap<String, String>) -> Absence {
    absent(
        AbsenceReason::SeveralSeries,
        format!(
            "the query gives {count} series where one is wanted, for example {} and {}; put sum(...) around it",
            labels(one),
            labels(two)
        ),
    )
}

fn labels(metric: &HashMap<String, String>) -> String {
    let mut pairs: Vec<_> = metric.iter().map(|(k, v)| format!("{k}=\"{v}\"")).collect();
    pairs.sort();
    format!("{{{}}}", pairs.join(", "))
}

fn absent(reason: AbsenceReason, message: impl Into<String>) -> Absence {
    Absence::new(reason, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(result: &str) -> Result<Sample, Absence> {
        let body = format!(r#"{{"status":"success","data":{result}}}"#);
        envelope("http://p:9090", "q", 200, body.as_bytes()).and_then(single)
    }

    fn vector_of(values: &[&str]) -> String {
        let series: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(i, v)| format!(r#"{{"metric":{{"pod":"{i}"}},"value":[1000.5,"{v}"]}}"#))
            .collect();
        format!(r#"{{"resultType":"vector","result":[{}]}}"#, series.join(","))
    }

    fn reason(result: Result<Sample, Absence>) -> AbsenceReason {
        result.unwrap_err().reason
    }

    #[test]
    fn one_series_and_a_scalar_are_a_sample() {
        let sample = answer(&vector_of(&["42.5"])).unwrap();
        assert_eq!((sample.value(), sample.time().as_millisecond()), (42.5, 1_000_500));
        assert_eq!(answer(r#"{"resultType":"scalar","result":[7,"3"]}"#).unwrap().value(), 3.0);
        assert_eq!(answer(&vector_of(&["0"])).unwrap().value(), 0.0);
    }

    #[test]
    fn each_unusable_value_has_its_own_reason() {
        assert_eq!(reason(answer(&vector_of(&[]))), AbsenceReason::Empty);
        assert_eq!(reason(answer(&vector_of(&["NaN"]))), AbsenceReason::NotANumber);
        assert_eq!(reason(answer(&vector_of(&["+Inf"]))), AbsenceReason::Infinite);
        assert_eq!(reason(answer(&vector_of(&["-Inf"]))), AbsenceReason::Negative);
        assert_eq!(reason(answer(&vector_of(&["-0.1"]))), AbsenceReason::Negative);
        assert_eq!(reason(answer(&vector_of(&["1", "2"]))), AbsenceReason::SeveralSeries);
        let matrix = r#"{"resultType":"matrix","result":[]}"#;
        assert_eq!(reason(answer(matrix)), AbsenceReason::InvalidQuery);
        assert_eq!(
            reason(answer(r#"{"resultType":"string","result":[1,"x"]}"#)),
            AbsenceReason::InvalidQuery
        );
    }

    #[test]
    fn several_series_are_named_with_the_remedy() {
        let message = answer(&vector_of(&["1", "2", "3"])).unwrap_err().message;
        assert!(message.contains("3 series") && message.contains(r#"{pod="0"}"#) && message.contains("sum("));
    }

    #[test]
    fn series_are_told_apart_by_one_label_and_anything_unclear_is_refused() {
        let by = |label: &str, result: &str| {
            let body = format!(r#"{{"status":"success","data":{result}}}"#);
            envelope("p", "q", 200, body.as_bytes()).and_then(|data| by_label(data, label))
        };
        let found = by("pod", &vector_of(&["2", "0"])).unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("0".to_owned(), 2.0), ("1".to_owned(), 0.0)]);
        assert!(by("pod", &vector_of(&[])).unwrap().is_empty());
        assert_eq!(by("pod", &vector_of(&["NaN"])).unwrap_err().reason, AbsenceReason::NotANumber);
        let unlabeled = by("instance", &vector_of(&["1"])).unwrap_err();
        assert_eq!(unlabeled.reason, AbsenceReason::InvalidQuery);
        assert!(unlabeled.message.contains("no label instance"), "{unlabeled}");
        let series = r#"{"metric":{"pod":"a"},"value":[1,"1"]}"#;
        let twice = by("pod", &format!(r#"{{"resultType":"vector","result":[{series},{series}]}}"#));
        assert!(twice.unwrap_err().message.contains("sum by (pod)"));
    }

    #[test]
    fn failures_are_sorted_by_whose_fault_they_are() {
        let reason = |status, body: &str| envelope("p", "q", status, body.as_bytes()).unwrap_err().reason;
        let error = |kind: &str| format!(r#"{{"status":"error","errorType":"{kind}","error":"e"}}"#);
        assert_eq!(reason(400, &error("bad_data")), AbsenceReason::InvalidQuery);
        let refused = envelope("p", "sum(", 400, error("bad_data").as_bytes()).unwrap_err();
        assert_eq!(refused.message, "p refused the query 'sum(': e; correct the query");
        assert_eq!(reason(422, &error("execution")), AbsenceReason::InvalidQuery);
        assert_eq!(reason(503, &error("timeout")), AbsenceReason::Timeout);
        assert_eq!(reason(503, &error("unavailable")), AbsenceReason::ServerError);
        assert_eq!(reason(500, "oops"), AbsenceReason::ServerError);
        assert_eq!(reason(429, "slow down"), AbsenceReason::ServerError);
        assert_eq!(reason(401, "who"), AbsenceReason::Unauthorized);
        assert_eq!(reason(403, &error("forbidden")), AbsenceReason::Unauthorized);
        assert_eq!(reason(404, "not here"), AbsenceReason::InvalidAnswer);
        assert_eq!(reason(302, ""), AbsenceReason::InvalidAnswer);
        assert_eq!(reason(200, "<html>"), AbsenceReason::InvalidAnswer);
        assert_eq!(reason(200, r#"{"status":"success"}"#), AbsenceReason::InvalidAnswer);
    }

    #[test]
    fn a_row_keeps_its_gaps_and_refuses_two_series() {
        let matrix = |series: &str| {
            let body =
                format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{series}]}}}}"#);
            envelope("p", "q", 200, body.as_bytes()).and_then(row)
        };
        let one = r#"{"metric":{},"values":[[60,"1"],[120,"NaN"],[180,"-2"],[240,"4"]]}"#;
        let values: Vec<_> = matrix(one).unwrap().iter().map(Sample::value).collect();
        assert_eq!(values, [1.0, 4.0]);
        assert_eq!(matrix("").unwrap(), []);
        assert_eq!(matrix(&format!("{one},{one}")).unwrap_err().reason, AbsenceReason::SeveralSeries);
    }
}
