//! The Prometheus source against a small server of our own: what is sent, what is tried again, what isn't.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use series::{AbsenceReason, time};
use sources::breaker::Limits;
use sources::prometheus::{Auth, Config, Prometheus};
use sources::{Pool, Source};

type Answer = Arc<dyn Fn(u32, &HeaderMap) -> Response + Send + Sync>;

/// A server that answers its nth request as told.
async fn serve(
    answer: impl Fn(u32, &HeaderMap) -> Response + Send + Sync + 'static,
) -> (String, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let (counter, answer): (_, Answer) = (Arc::clone(&calls), Arc::new(answer));
    let app = Router::new().fallback(move |request: Request| {
        let (counter, answer) = (Arc::clone(&counter), Arc::clone(&answer));
        async move { answer(counter.fetch_add(1, Ordering::SeqCst), request.headers()) }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, calls)
}

fn seven() -> Response {
    let now = Timestamp::now().as_second();
    let body = format!(r#"{{"status":"success","data":{{"resultType":"scalar","result":[{now},"7"]}}}}"#);
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[tokio::test]
async fn credentials_tenants_and_the_trace_are_sent() {
    let seen = Arc::new(Mutex::new(HeaderMap::new()));
    let keep = Arc::clone(&seen);
    let (address, _) = serve(move |_, headers| {
        keep.lock().unwrap().clone_from(headers);
        seven()
    })
    .await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let inject =
        Box::new(move |headers: &mut HeaderMap| drop(headers.insert("traceparent", trace.parse().unwrap())));
    let pool = Pool::with_trace(Limits::default(), inject);
    let mut config = Config::new(address, "vector(7)");
    config.auth = Auth::Bearer("token-1".to_owned().into());
    config.headers = vec![("X-Scope-OrgID".into(), "shop".to_owned().into())];
    let source = Prometheus::new(&pool, config).unwrap();
    assert_eq!(source.read(Timestamp::now()).await.unwrap().value(), 7.0);
    let seen = seen.lock().unwrap();
    assert_eq!(seen["authorization"], "Bearer token-1");
    assert_eq!(seen["x-scope-orgid"], "shop");
    assert_eq!(seen["traceparent"], trace);
}

#[tokio::test]
async fn a_failure_that_passes_is_not_noticed_and_one_that_stays_opens_the_circuit() {
    let (address, calls) = serve(|n, _| match n {
        0 | 1 => StatusCode::BAD_GATEWAY.into_response(),
        2 => seven(),
        _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    })
    .await;
    let pool = Pool::new(Limits { failures: 2, ..Limits::default() });
    let source = Prometheus::new(&pool, Config::new(address, "vector(7)")).unwrap();
    let now = Timestamp::now();
    assert_eq!(source.read(now).await.unwrap().value(), 7.0);
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    for _ in 0..2 {
        assert_eq!(source.read(now).await.unwrap_err().reason, AbsenceReason::ServerError);
    }
    let asked = calls.load(Ordering::SeqCst);
    let open = source.read(now).await.unwrap_err();
    assert_eq!(open.reason, AbsenceReason::CircuitOpen);
    assert_eq!(calls.load(Ordering::SeqCst), asked, "an open circuit asks nobody");
    let later = time::after(now, Duration::from_mins(1));
    assert_eq!(source.read(later).await.unwrap_err().reason, AbsenceReason::ServerError, "a probe");
}

#[tokio::test]
async fn a_server_that_hangs_costs_the_deadline_and_no_more() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = Config::new(format!("http://{}", listener.local_addr().unwrap()), "up");
    config.deadline = Duration::from_millis(300);
    let source = Prometheus::new(&Pool::default(), config).unwrap();
    let began = Instant::now();
    assert_eq!(source.read(Timestamp::now()).await.unwrap_err().reason, AbsenceReason::Timeout);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (elsewhere, calls) = serve(|_, _| seven()).await;
    let (address, _) =
        serve(move |_, _| (StatusCode::FOUND, [(header::LOCATION, elsewhere.clone())]).into_response()).await;
    let mut config = Config::new(address, "vector(7)");
    config.auth = Auth::Bearer("token-1".to_owned().into());
    let source = Prometheus::new(&Pool::default(), config).unwrap();
    assert_eq!(source.read(Timestamp::now()).await.unwrap_err().reason, AbsenceReason::InvalidAnswer);
    assert_eq!(calls.load(Ordering::SeqCst), 0, "the token went nowhere else");
}

#[tokio::test]
async fn a_thousand_policies_share_one_client() {
    let (address, calls) = serve(|_, _| seven()).await;
    let pool = Pool::default();
    let sources: Vec<_> = (0..1_000)
        .map(|i| Prometheus::new(&pool, Config::new(address.clone(), format!("vector({i})"))).unwrap())
        .collect();
    let now = Timestamp::now();
    let began = Instant::now();
    let samples = futures::future::join_all(sources.iter().map(|source| source.read(now))).await;
    println!("1,000 readings in {:?}", began.elapsed());
    assert!(samples.iter().all(Result::is_ok));
    assert_eq!(calls.load(Ordering::SeqCst), 1_000);
    assert_eq!((pool.census().http_clients, pool.census().servers), (1, 1));
}
