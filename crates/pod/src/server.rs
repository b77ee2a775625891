//! The listening side: TLS, HTTP/1.1 and HTTP/2, bounded in connections, in header time and in
//! idleness.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// Connections open at once; more wait in the system's queue. One costs about 100 KiB.
const CONNECTIONS_MAX: usize = 1_024;

/// The handshake, and after it the first request's headers, must each come within this time.
const HEADERS_TIME: Duration = Duration::from_secs(10);

/// A connection without a request in flight is closed after this time.
const IDLE_TIME: Duration = Duration::from_secs(60);

/// How often a connection's idleness is looked at.
const WATCH_TIME: Duration = Duration::from_secs(5);

/// Requests in flight on one HTTP/2 connection.
const STREAMS_MAX: u32 = 64;

/// All headers of one request together. The outer request has few: the inner ones are sealed.
const HEADERS_BYTES_MAX: u32 = 16 * 1024;

/// After the pod stops accepting, connections get this long to end what is in flight.
const DRAIN_TIME: Duration = Duration::from_secs(30);

/// After an error of `accept` (no file descriptors left, say) the loop waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until it is stopped.
pub(crate) struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Serves `router` on `listener`.
    pub(crate) fn start(
        listener: TcpListener,
        tls: Arc<rustls::ServerConfig>,
        router: Router,
    ) -> std::io::Result<Server> {
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let acceptor = Acceptor {
            tls: TlsAcceptor::from(tls),
            router,
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            stop: stop.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(acceptor.run(listener));
        Ok(Server { address, stop, tasks })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting at once, lets what is in flight end, and returns when every connection is
    /// closed or the drain time is over.
    pub(crate) async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(DRAIN_TIME, self.tasks.wait()).await.is_err() {
            tracing::warn!("connections were still open after the drain time");
        }
    }
}

struct Acceptor {
    tls: TlsAcceptor,
    router: Router,
    places: Arc<Semaphore>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Acceptor {
    async fn run(self, listener: TcpListener) {
        loop {
            let place = Arc::clone(&self.places).acquire_owned();
            let place = tokio::select! {
                () = self.stop.cancelled() => return,
                place = place => place.expect("the semaphore is never closed"),
            };
            let stream = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "accepting a connection failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            let (tls, router, stop) = (self.tls.clone(), self.router.clone(), self.stop.clone());
            self.tasks.spawn(async move {
                serve(stream, tls, router, stop).await;
                drop(place);
            });
        }
    }
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, router: Router, stop: CancellationToken) {
    // Frames are paced; the system must not hold one back to join it with the next.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let handshake = tokio::time::timeout(HEADERS_TIME, tls.accept(stream));
    let stream = tokio::select! {
        () = stop.cancelled() => return,
        stream = handshake => match stream {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) | Err(_) => {
                tracing::debug!("a TLS handshake failed or took too long");
                return;
            }
        },
    };
    let activity = Arc::new(Activity::new());
    let service = {
        let activity = Arc::clone(&activity);
        hyper::service::service_fn(move |request: Request<Incoming>| {
            let busy = Busy::new(Arc::clone(&activity));
            let router = router.clone();
            async move {
                let response = router.oneshot(request.map(Body::new)).await;
                response.map(|response| {
                    response.map(|body| {
                        Body::new(body.map_frame(move |frame| {
                            let _busy = &busy;
                            frame
                        }))
                    })
                })
            }
        })
    };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        let mut http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .keep_alive_interval(Some(IDLE_TIME))
            .keep_alive_timeout(HEADERS_TIME)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADERS_BYTES_MAX);
        let connection = http.serve_connection(TokioIo::new(stream), service);
        watch(connection, |connection| connection.graceful_shutdown(), &activity, &stop).await;
    } else {
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEADERS_TIME)
            .max_buf_size(HEADERS_BYTES_MAX as usize);
        let connection = http.serve_connection(TokioIo::new(stream), service);
        watch(connection, |connection| connection.graceful_shutdown(), &activity, &stop).await;
    }
}

/// Runs a connection to its end, and ends it when it is idle or the server stops.
///
/// HTTP/1's own header timer does not see a silent HTTP/2 peer, hence a watch that knows only requests.
async fn watch<C, E>(
    connection: C,
    mut end: impl FnMut(std::pin::Pin<&mut C>),
    activity: &Activity,
    stop: &CancellationToken,
) where
    C: Future<Output = Result<(), E>>,
{
    let mut connection = std::pin::pin!(connection);
    let mut ending: Option<Instant> = None;
    loop {
        tokio::select! {
            _ = connection.as_mut() => return,
            () = stop.cancelled(), if ending.is_none() => {
                end(connection.as_mut());
                ending = Some(Instant::now() + DRAIN_TIME);
            }
            () = tokio::time::sleep(WATCH_TIME) => match ending {
                Some(until) if Instant::now() >= until => return,
                Some(_) => {}
                None if activity.is_idle() => {
                    end(connection.as_mut());
                    ending = Some(Instant::now() + WATCH_TIME);
                }
                None => {}
            },
        }
    }
}

/// What a connection has done so far.
struct Activity {
    start: Instant,
    in_flight: AtomicUsize,
    requests: AtomicUsize,
    /// Milliseconds after `start` at which the last request ended.
    ended_ms: AtomicU64,
}

impl Activity {
    fn new() -> Activity {
        Activity {
            start: Instant::now(),
            in_flight: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            ended_ms: AtomicU64::new(0),
        }
    }

    fn is_idle(&self) -> bool {
        let allowed =
            if self.requests.load(Ordering::Relaxed) == 0 { HEADERS_TIME } else { IDLE_TIME };
        let since = Duration::from_millis(self.ended_ms.load(Ordering::Relaxed));
        self.in_flight.load(Ordering::Relaxed) == 0 && self.start.elapsed() - since >= allowed
    }
}

/// A request in flight, from its headers to the last byte of its answer.
struct Busy(Arc<Activity>);

impl Busy {
    fn new(activity: Arc<Activity>) -> Busy {
        activity.requests.fetch_add(1, Ordering::Relaxed);
        activity.in_flight.fetch_add(1, Ordering::Relaxed);
        Busy(activity)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let now = u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.ended_ms.store(now, Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
