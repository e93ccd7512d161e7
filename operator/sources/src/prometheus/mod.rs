//! Prometheus and what speaks its API (Thanos, Mimir, VictoriaMetrics). A query and a window go in, samples or a
//! reasoned absence come out. Beside the user's query it asks how fresh and how complete the series under it are,
//! because the query's own answer carries the time of asking, not of measuring.

mod response;
mod staleness;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use prometheus_http_query::Client;
use prometheus_http_query::response::Data;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use series::{Absence, AbsenceReason, Sample, time};

use crate::http::{self, Pool, lock};
use crate::{Freshness, Measured, Source, Tls};
use staleness::{Findings, SelectorProbe};

/// Answers above this are refused; 11,000 points take about 300 KiB.
const LARGEST_ANSWER: usize = 32 << 20;
/// Points asked for at a time in back-fills. Prometheus refuses more than 11,000.
const POINTS_PER_QUERY: u64 = 10_000;
/// How often the completeness of the window is looked at while nothing is suspicious.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// A value below this share of the last verified one is looked at again at once.
const SUSPICIOUS_FALL: f64 = 0.9;

/// Where to ask what, and as whom.
#[derive(Clone, Debug)]
pub struct Config {
    /// Base address, such as `http://prometheus.monitoring:9090` or one with a path prefix.
    pub address: String,
    /// The PromQL query. It must give one number.
    pub query: String,
    /// Who is asking.
    pub auth: Auth,
    /// Trust and client certificate.
    pub tls: Tls,
    /// Further headers, for tenants for example.
    pub headers: Vec<(String, SecretString)>,
    /// The longest a reading may take, retries included.
    pub deadline: Duration,
    /// How old the series under the query may be.
    pub freshness: Freshness,
}

impl Config {
    /// A query without credentials, on defaults: 10 s deadline.
    pub fn new(address: impl Into<String>, query: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            query: query.into(),
            auth: Auth::None,
            tls: Tls::default(),
            headers: Vec::new(),
            deadline: Duration::from_secs(10),
            freshness: Freshness::default(),
        }
    }
}

/// Credentials of a request. Never printed.
#[derive(Clone, Debug)]
pub enum Auth {
    /// None.
    None,
    /// `Authorization: Bearer`.
    Bearer(SecretString),
    /// `Authorization: Basic`.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: SecretString,
    },
}

impl Auth {
    /// The header, marked sensitive; nothing for [`Auth::None`].
    pub(crate) fn header(&self) -> Result<Option<HeaderValue>, Absence> {
        use base64::Engine as _;
        let value = match self {
            Self::None => return Ok(None),
            Self::Bearer(token) => format!("Bearer {}", token.expose_secret().trim()),
            Self::Basic { username, password } => {
                let pair = format!("{username}:{}", password.expose_secret());
                format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
            }
        };
        sensitive(&value, "the credentials").map(Some)
    }
}

/// One query against one Prometheus.
pub struct Prometheus {
    pool: Pool,
    client: Client,
    server: String,
    headers: HeaderMap,
    query: String,
    deadline: Duration,
    freshness: Freshness,
    probe: Option<SelectorProbe>,
    last_verified: Mutex<Option<Verified>>,
}

/// What the last look at the window found, while it found nothing wrong.
#[derive(Clone, Debug)]
struct Verified {
    at: Timestamp,
    value: f64,
    findings: Arc<Findings>,
}

impl fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prometheus")
            .field("server", &self.server)
            .field("query", &self.query)
            .finish_non_exhaustive()
    }
}

impl Prometheus {
    /// Makes the source; nothing is asked yet. Refused where the address is no URL, a header can't be sent, or a
    /// certificate can't be used.
    pub fn new(pool: &Pool, config: Config) -> Result<Self, Absence> {
        let server = server_name(&config.address)?;
        let client = Client::from(pool.client(&config.tls)?, &config.address)
            .map_err(|e| invalid(format!("the address '{server}' can't be used: {e}")))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let name = HeaderName::try_from(name.as_str())
                .map_err(|_| invalid(format!("'{name}' is no name for an HTTP header")))?;
            headers.insert(name.clone(), sensitive(value.expose_secret(), name.as_str())?);
        }
        if let Some(value) = config.auth.header()? {
            headers.insert(AUTHORIZATION, value);
        }
        Ok(Self {
            pool: pool.clone(),
            client,
            server,
            headers,
            probe: SelectorProbe::over(&config.query),
            query: config.query,
            deadline: config.deadline,
            freshness: config.freshness,
            last_verified: Mutex::new(None),
        })
    }

    /// Scheme, host and port of the server, without anything secret.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Every series the query gives now, with its labels as text: for `doctor` and for messages.
    pub async fn vector(&self, now: Timestamp) -> Result<Vec<(String, f64)>, Absence> {
        response::vector(self.instant(&self.query, None, now).await?)
    }

    /// The value of each series the query gives now, by the value of `label`: one number for each pod, for example. Values
    /// that are no numbers, and two series of the same name, make all of it absent; no series at all is an empty map.
    pub async fn by_label(&self, label: &str, now: Timestamp) -> Result<BTreeMap<String, f64>, Absence> {
        response::by_label(self.instant(&self.query, None, now).await?, label)
    }

    async fn instant(&self, query: &str, at: Option<Timestamp>, now: Timestamp) -> Result<Data, Absence> {
        self.pool
            .ask("prometheus", &self.server, now, self.deadline, || async {
                let mut request = self.client.query(query);
                if let Some(at) = at {
                    request = request.at(at.as_second());
                }
                for (name, value) in &self.all_headers() {
                    request = request.header(name.clone(), value.clone());
                }
                self.finish(request.post_raw().await).await
            })
            .await
    }

    async fn range(
        &self,
        query: &str,
        from: Timestamp,
        to: Timestamp,
        step: Duration,
        now: Timestamp,
    ) -> Result<Data, Absence> {
        self.pool
            .ask("prometheus", &self.server, now, self.deadline, || async {
                let mut request =
                    self.client.query_range(query, from.as_second(), to.as_second(), step.as_secs_f64());
                for (name, value) in &self.all_headers() {
                    request = request.header(name.clone(), value.clone());
                }
                self.finish(request.post_raw().await).await
            })
            .await
    }

    fn all_headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers.extend(self.pool.trace_headers());
        headers
    }

    async fn finish(
        &self,
        response: Result<reqwest::Response, prometheus_http_query::Error>,
    ) -> Result<Data, Absence> {
        let response = response.map_err(|error| match &error {
            prometheus_http_query::Error::Client(client) => client.inner().map_or_else(
                || Absence::new(AbsenceReason::Unreachable, format!("{}: {error}", self.server)),
                |inner| http::failure(&self.server, inner),
            ),
            _ => invalid(format!("{}: {error}", self.server)),
        })?;
        let status = response.status().as_u16();
        let body = http::body(&self.server, response, LARGEST_ANSWER).await?;
        response::envelope(&self.server, &self.query, status, &body)
    }

    /// The value now, and the newest measurement of each selector, in two requests at once.
    async fn value_and_newest(&self, now: Timestamp) -> Result<(Sample, Vec<staleness::Newest>), Absence> {
        let value = async { response::single(self.instant(&self.query, None, now).await?) };
        let newest = async {
            let Some(probe) = &self.probe else { return Ok(Vec::new()) };
            staleness::newest(probe, self.instant(&probe.newest_query(), None, now).await?)
        };
        futures::try_join!(value, newest)
    }

    /// Looks at the whole window where it is due, and remembers what was found. A window with holes is looked at each
    /// time, until it is full again.
    async fn findings(&self, value: f64, now: Timestamp) -> Result<Arc<Findings>, Absence> {
        let Some(probe) = &self.probe else { return Ok(Arc::default()) };
        let known = lock(&self.last_verified).clone();
        if let Some(known) = known
            && time::since(now, known.at) < LOOK_EVERY
            && value >= known.value * SUSPICIOUS_FALL
            && known.findings.coverage >= 1.0
        {
            return Ok(known.findings);
        }
        *lock(&self.last_verified) = None;
        let span = probe.span();
        let data = self
            .range(&probe.coverage_query(), time::before(now, span), now, probe.resolution(), now)
            .await?;
        let findings = staleness::judge(probe, data, now)?;
        if let Some(drop) = &findings.vanished {
            // A scaled-down workload also has fewer series, but then the rest carries its load: only where the value
            // fell with the number of series has measurement been lost.
            let before = response::single(self.instant(&self.query, Some(drop.peak_at), now).await?);
            if before.is_ok_and(|before| value < before.value() * staleness::FALLEN_WITH_SERIES) {
                return Err(drop.absence());
            }
        }
        let findings = Arc::new(findings);
        *lock(&self.last_verified) = Some(Verified { at: now, value, findings: Arc::clone(&findings) });
        Ok(findings)
    }

    async fn look(&self, now: Timestamp) -> Result<Measured, Absence> {
        let (value, newest) = self.value_and_newest(now).await?;
        let findings = self.findings(value.value(), now).await?;
        let reading = staleness::date(value, &newest, &findings.spacings, now, self.freshness);
        Ok(Measured { reading, coverage: findings.coverage })
    }
}

#[async_trait]
impl Source for Prometheus {
    async fn measure(&self, now: Timestamp) -> Measured {
        self.look(now).await.unwrap_or_else(Measured::absent)
    }

    async fn history(&self, from: Timestamp, to: Timestamp, step: Duration) -> Result<Vec<Sample>, Absence> {
        let mut samples = Vec::new();
        for (from, to) in chunks(from, to, step) {
            samples.extend(response::row(self.range(&self.query, from, to, step, to).await?)?);
        }
        if samples.is_empty() {
            return Err(Absence::new(
                AbsenceReason::Empty,
                format!("the query matched nothing between {from} and {to}"),
            ));
        }
        Ok(samples)
    }
}

/// Cuts `[from, to]` into windows of at most [`POINTS_PER_QUERY`] steps that share no step. A step below one second
/// counts as one second.
fn chunks(from: Timestamp, to: Timestamp, step: Duration) -> Vec<(Timestamp, Timestamp)> {
    let step = Duration::from_secs(step.as_secs().max(1));
    let reach = step * (POINTS_PER_QUERY - 1) as u32;
    let mut windows = Vec::new();
    let mut begin = from;
    while begin <= to {
        let end = time::after(begin, reach).min(to);
        windows.push((begin, end));
        begin = time::after(end, step);
        if end == to {
            break;
        }
    }
    windows
}

/// `scheme://host:port` of an address: what messages and circuit breakers go by.
fn server_name(address: &str) -> Result<String, Absence> {
    let url = url::Url::parse(address).map_err(|e| {
        invalid(format!("the address isn't a URL ({e}); write it like http://prometheus:9090"))
    })?;
    let host = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https"));
    let (Some(host), Some(port)) = (host, url.port_or_known_default()) else {
        return Err(invalid("the address needs http:// or https:// and a host".to_owned()));
    };
    Ok(format!("{}://{host}:{port}", url.scheme()))
}

fn sensitive(value: &str, what: &str) -> Result<HeaderValue, Absence> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| invalid(format!("{what} holds characters that an HTTP header can't carry")))?;
    value.set_sensitive(true);
    Ok(value)
}

fn invalid(message: String) -> Absence {
    Absence::new(AbsenceReason::InvalidQuery, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_long_back_fill_is_cut_into_windows_without_overlap_or_hole() {
        let minute = Duration::from_mins(1);
        let two_weeks = 14 * 24 * 3_600;
        let windows = chunks(at(0), at(two_weeks), minute);
        assert_eq!(windows.len(), 3);
        assert_eq!(windows[0].0, at(0));
        assert_eq!(windows[2].1, at(two_weeks));
        for pair in windows.windows(2) {
            assert_eq!(time::since(pair[1].0, pair[0].1), minute);
        }
        let points: u64 = windows.iter().map(|(a, b)| time::since(*b, *a).as_secs() / 60 + 1).sum();
        assert_eq!(points, 14 * 24 * 60 + 1);
        assert!(windows.iter().all(|(a, b)| time::since(*b, *a).as_secs() / 60 < 11_000));
    }

    #[test]
    fn a_window_of_one_instant_is_one_chunk() {
        assert_eq!(chunks(at(7), at(7), Duration::from_mins(1)), [(at(7), at(7))]);
        assert_eq!(chunks(at(8), at(7), Duration::from_mins(1)), []);
    }

    #[test]
    fn messages_name_the_server_without_path_or_credentials() {
        assert_eq!(server_name("https://u:p@prom.example/tenant/x").unwrap(), "https://prom.example:443");
        assert_eq!(server_name("prometheus:9090").unwrap_err().reason, AbsenceReason::InvalidQuery);
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let mut config = Config::new("http://p:9090", "up");
        config.auth = Auth::Basic { username: "u".into(), password: "hunter2".to_owned().into() };
        config.headers = vec![("X-Key".into(), "hunter3".to_owned().into())];
        let source = Prometheus::new(&Pool::default(), config.clone()).unwrap();
        let shown = format!("{config:?}{source:?}{:?}", source.headers);
        assert!(!shown.contains("hunter"), "{shown}");
    }
}
