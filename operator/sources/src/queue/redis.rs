//! Redis: the length of a list, or what a consumer group of a stream has not read or not acknowledged. Asks with
//! `LLEN`, or with `XINFO GROUPS`, `XINFO STREAM`, `XPENDING` and `XRANGE`; changes nothing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamInfoGroup, StreamInfoGroupsReply, StreamRangeReply};
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, RedisConnectionInfo, RedisError, ServerErrorKind, cmd};
use rustls::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use series::{Absence, AbsenceReason, time};

use super::dial::dial;
use super::link::Link;
use super::{Count, DEADLINE, QueueReading, QueueSource};
use crate::Tls;
use crate::fingerprint::Fingerprint;
use crate::http::Pool;

/// Entries counted at a time, and at most, where Redis doesn't know the lag (before 7, or after deletions).
const PAGE: usize = 1_000;
const MOST_PAGES: usize = 100;

/// Which queue on which server.
#[derive(Clone, Debug)]
pub struct Config {
    /// `host:port`.
    pub address: String,
    /// Number of the database.
    pub database: i64,
    /// The user; without it the password is the default user's.
    pub username: Option<String>,
    /// The password.
    pub password: Option<SecretString>,
    /// TLS, where wanted.
    pub tls: Option<Tls>,
    /// The queue.
    pub queue: Queue,
}

/// What holds the messages: a list, or a stream that a consumer group reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Queue {
    /// The elements of a list.
    List(String),
    /// The entries of a stream that a consumer group hasn't acknowledged.
    Stream {
        /// The stream.
        key: String,
        /// The consumer group.
        group: String,
    },
}

/// One queue on a connection that all queues of that server, database and user share.
pub struct Redis {
    pool: Pool,
    server: Arc<Server>,
    queue: Queue,
}

struct Server {
    name: String,
    address: String,
    tls: Option<Arc<ClientConfig>>,
    login: Login,
    link: Link<MultiplexedConnection>,
}

struct Login {
    database: i64,
    username: Option<String>,
    password: Option<SecretString>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("server", &self.server.name)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

impl Redis {
    /// Makes the source; nothing is asked yet. Refused where a certificate can't be used.
    pub fn new(pool: &Pool, config: Config) -> Result<Self, Absence> {
        let mut fingerprint = Fingerprint::new("redis");
        fingerprint.add(&config.address);
        fingerprint.add(&config.database.to_string());
        fingerprint.add(config.username.as_deref().unwrap_or_default());
        fingerprint.add(config.password.as_ref().map_or("", |p| p.expose_secret()));
        let tls = match &config.tls {
            None => None,
            Some(tls) => {
                tls.feed(&mut fingerprint);
                Some(Arc::new(tls.client_config()?))
            }
        };
        let server = pool.shared(fingerprint.key(), || Server {
            name: format!("redis://{}", config.address),
            address: config.address,
            tls,
            login: Login { database: config.database, username: config.username, password: config.password },
            link: Link::default(),
        });
        Ok(Self { pool: pool.clone(), server, queue: config.queue })
    }

    async fn once(&self, now: Timestamp) -> Result<QueueReading, Absence> {
        let connection = self.server.link.get(|_| true, self.server.connect()).await?;
        let answer = match &self.queue {
            Queue::List(key) => self.list(connection, key, now).await,
            Queue::Stream { key, group } => self.stream(connection, key, group, now).await,
        };
        match answer {
            Err(Refusal::Absent(absence)) => Err(absence),
            Err(Refusal::Redis(error)) => {
                let absence = self.server.meaning(&error);
                if absence.reason == AbsenceReason::Unreachable {
                    self.server.link.forget().await;
                }
                Err(absence)
            }
            Ok(reading) => Ok(reading),
        }
    }

    async fn list(
        &self,
        mut connection: MultiplexedConnection,
        key: &str,
        now: Timestamp,
    ) -> Result<QueueReading, Refusal> {
        let length: u64 = cmd("LLEN").arg(key).query_async(&mut connection).await?;
        Ok(QueueReading::of_waiting(now, length))
    }

    async fn stream(
        &self,
        mut connection: MultiplexedConnection,
        key: &str,
        group: &str,
        now: Timestamp,
    ) -> Result<QueueReading, Refusal> {
        let missing =
            |what: String| Absence::new(AbsenceReason::NotFound, format!("{}: {what}", self.server.name));
        let groups: StreamInfoGroupsReply =
            match cmd("XINFO").arg("GROUPS").arg(key).query_async(&mut connection).await {
                Err(error) if error.detail().is_some_and(|d| d.contains("no such key")) => {
                    return Err(missing(format!("there is no stream {key}")).into());
                }
                other => other?,
            };
        let info = groups
            .groups
            .into_iter()
            .find(|info| info.name == group)
            .ok_or_else(|| missing(format!("stream {key} has no consumer group {group}")))?;
        let waiting = match info.lag {
            Some(lag) => lag as u64,
            None => count_after(&mut connection, key, &info.last_delivered_id).await?,
        };
        let pending = info.pending as u64;
        let added = self.entries_added(&mut connection, key).await?;
        Ok(QueueReading {
            in_flight: Some(pending),
            arrivals: added.map(Count::Total),
            served: added.map(|added| Count::Total(added.saturating_sub(waiting).saturating_sub(pending))),
            oldest_age: oldest(&mut connection, key, &info, waiting, now).await?,
            consumers: u32::try_from(info.consumers).ok(),
            ..QueueReading::of_waiting(now, waiting)
        })
    }

    /// Entries ever added; known since Redis 7.
    async fn entries_added(
        &self,
        connection: &mut MultiplexedConnection,
        key: &str,
    ) -> Result<Option<u64>, Refusal> {
        let info: std::collections::HashMap<String, redis::Value> =
            cmd("XINFO").arg("STREAM").arg(key).query_async(connection).await?;
        Ok(info.get("entries-added").and_then(|value| redis::from_redis_value(value.clone()).ok()))
    }
}

#[async_trait]
impl QueueSource for Redis {
    async fn read(&self, now: Timestamp) -> Result<QueueReading, Absence> {
        self.pool.ask("redis", &self.server.name, now, DEADLINE, || self.once(now)).await
    }
}

impl Server {
    async fn connect(&self) -> Result<MultiplexedConnection, Absence> {
        let stream = dial(&self.address, self.tls.as_ref()).await?;
        let mut info = RedisConnectionInfo::default().set_db(self.login.database);
        if let Some(username) = &self.login.username {
            info = info.set_username(username);
        }
        if let Some(password) = &self.login.password {
            info = info.set_password(password.expose_secret());
        }
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(5)));
        let greeting = MultiplexedConnection::new_with_config(&info, stream, config);
        let (connection, driver) = greeting.await.map_err(|e| self.meaning(&e))?;
        // Ends by itself when the last clone of the connection is dropped.
        tokio::spawn(driver);
        Ok(connection)
    }

    fn meaning(&self, error: &RedisError) -> Absence {
        let text = error.detail().map_or_else(|| error.to_string(), ToOwned::to_owned);
        let code = error.code().unwrap_or_default();
        let reason = match error.kind() {
            ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm) => {
                AbsenceReason::Unauthorized
            }
            _ if matches!(code, "NOAUTH" | "WRONGPASS" | "NOPERM") => AbsenceReason::Unauthorized,
            _ if code == "WRONGTYPE" => AbsenceReason::InvalidQuery,
            ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask) => AbsenceReason::InvalidQuery,
            ErrorKind::Server(_) => AbsenceReason::ServerError,
            ErrorKind::Io if error.is_timeout() => AbsenceReason::Timeout,
            ErrorKind::Io => AbsenceReason::Unreachable,
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => AbsenceReason::InvalidAnswer,
            _ if error.is_io_error() || error.is_connection_dropped() => AbsenceReason::Unreachable,
            _ => AbsenceReason::ServerError,
        };
        let remedy = match (reason, code) {
            (AbsenceReason::Unauthorized, _) => "; check user, password and ACL",
            (AbsenceReason::InvalidQuery, "WRONGTYPE") => "; the key isn't of the kind the policy names",
            (AbsenceReason::InvalidQuery, _) => "; name the cluster node that holds the key",
            _ => "",
        };
        Absence::new(reason, format!("{}: {text}{remedy}", self.name))
    }
}

enum Refusal {
    Absent(Absence),
    Redis(RedisError),
}

impl From<Absence> for Refusal {
    fn from(absence: Absence) -> Self {
        Self::Absent(absence)
    }
}

impl From<RedisError> for Refusal {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

fn range(key: &str, after: &str, count: usize) -> Cmd {
    let mut range = cmd("XRANGE");
    range.arg(key).arg(format!("({after}")).arg("+").arg("COUNT").arg(count);
    range
}

/// Counts the entries after an id, page by page. Beyond 100,000 it stops: "at least" is enough to scale on.
async fn count_after(
    connection: &mut MultiplexedConnection,
    key: &str,
    last_delivered: &str,
) -> Result<u64, Refusal> {
    let mut after = last_delivered.to_owned();
    let mut count = 0;
    for _ in 0..MOST_PAGES {
        let page: StreamRangeReply = range(key, &after, PAGE).query_async(connection).await?;
        count += page.ids.len() as u64;
        match page.ids.last() {
            Some(last) if page.ids.len() == PAGE => after.clone_from(&last.id),
            _ => break,
        }
    }
    Ok(count)
}

/// The age of the oldest entry not acknowledged: the first pending one, or else the first not yet delivered.
async fn oldest(
    connection: &mut MultiplexedConnection,
    key: &str,
    info: &StreamInfoGroup,
    waiting: u64,
    now: Timestamp,
) -> Result<Option<Duration>, Refusal> {
    let id = if info.pending > 0 {
        let (_, first, _, _): (u64, String, String, redis::Value) =
            cmd("XPENDING").arg(key).arg(&info.name).query_async(connection).await?;
        Some(first)
    } else if waiting > 0 {
        let page: StreamRangeReply = range(key, &info.last_delivered_id, 1).query_async(connection).await?;
        page.ids.into_iter().next().map(|entry| entry.id)
    } else {
        return Ok(Some(Duration::ZERO));
    };
    Ok(id.and_then(|id| age_of(&id, now)))
}

/// Entry ids begin with the time they were added, in milliseconds, unless their producer chose them: what isn't a
/// time of the last year or so tells no age.
fn age_of(id: &str, now: Timestamp) -> Option<Duration> {
    let millisecond: i64 = id.split('-').next()?.parse().ok()?;
    let added = Timestamp::from_millisecond(millisecond).ok()?;
    Some(time::since(now, added)).filter(|age| age.as_secs() < 400 * 24 * 3_600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_id_tells_its_age_unless_it_was_chosen() {
        let now = Timestamp::from_millisecond(1_700_000_060_000).unwrap();
        assert_eq!(age_of("1700000000000-3", now), Some(Duration::from_mins(1)));
        assert_eq!(age_of("42-0", now), None);
        assert_eq!(age_of("x", now), None);
    }

    #[test]
    fn policies_on_one_server_share_a_connection_and_other_users_do_not() {
        let pool = Pool::default();
        let config = |list: &str, password: Option<&str>| Config {
            address: "redis:6379".into(),
            database: 0,
            username: None,
            password: password.map(|p| p.to_owned().into()),
            tls: None,
            queue: Queue::List(list.into()),
        };
        let a = Redis::new(&pool, config("a", None)).unwrap();
        let b = Redis::new(&pool, config("b", None)).unwrap();
        let c = Redis::new(&pool, config("a", Some("other"))).unwrap();
        assert!(Arc::ptr_eq(&a.server, &b.server));
        assert!(!Arc::ptr_eq(&a.server, &c.server));
        assert_eq!(pool.census().brokers, 2);
        assert!(!format!("{c:?}").contains("other"));
    }
}
