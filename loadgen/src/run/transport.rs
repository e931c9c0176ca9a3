//! The one module that knows how a call gets onto the wire: HTTP/2 by the `h2` crate.
//!
//! A [`Connection`] is made once, mends itself in the background with growing pauses, and takes calls
//! at any time: in hand it sends at once, without waiting; while it is being mended a call waits; when
//! mending has failed calls fail until it succeeds, as gRPC's channels do.

use std::{future::Future, io, rc::Rc, time::Duration};

use bytes::Bytes;
use h2::{
    Ping,
    client::{Connection as H2Connection, ResponseFuture, SendRequest},
};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use strife_runtime::{
    Security,
    connect::CONNECT_TIMEOUT,
    tls::{Expected, Stream},
};
use tokio::sync::watch;

use super::{RunConfig, RunError};
use crate::{samples::ErrorKind, workload::MethodName};

mod reply;

pub(super) use reply::Reply;
use reply::read;

/// Flow control windows: a response never waits for one.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 1 << 24;
/// Streams that timed out, whose late frames are still expected.
const MAX_RESET_STREAMS: usize = 16_384;
/// Pauses between tries to connect again.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// Everything of a request but its body; the same for all calls of a method to an authority.
#[derive(Debug, Clone)]
pub(super) struct RequestHead {
    uri: Uri,
    headers: HeaderMap,
}

impl RequestHead {
    pub(super) fn new(
        config: &RunConfig,
        method: &MethodName,
        authority: &str,
    ) -> Result<Self, RunError> {
        let uri = Uri::builder()
            .scheme(config.security.scheme())
            .authority(authority)
            .path_and_query(method.path())
            .build()
            .map_err(|_| RunError::BadRequest(format!("{authority}{}", method.path())))?;
        let mut headers = HeaderMap::new();
        let timeout = HeaderValue::from_str(&grpc_timeout(config.timeout));
        headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(http::header::USER_AGENT, HeaderValue::from_static("strife-load"));
        headers.insert("grpc-timeout", timeout.expect("digits and a letter"));
        headers.extend(config.metadata.iter().cloned());
        Ok(Self { uri, headers })
    }

    fn to_request(&self) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// At most eight digits and a unit, as gRPC over HTTP/2 has it.
fn grpc_timeout(timeout: Duration) -> String {
    let us = timeout.as_micros();
    if us < 100_000_000 { format!("{us}u") } else { format!("{}m", timeout.as_millis()) }
}

#[derive(Clone)]
enum State {
    Up(SendRequest<Bytes>),
    /// The first try since the last connection ended.
    Mending,
    /// The last try failed.
    Down,
}

/// A connection to the target, mended in the background for as long as the runtime lives.
pub(super) struct Connection {
    state: watch::Sender<State>,
}

impl Connection {
    /// Connects, and makes sure that the peer speaks HTTP/2. Must run on a local runtime.
    pub(super) async fn open(config: &RunConfig) -> Result<Rc<Self>, RunError> {
        let unreachable = |error: io::Error| RunError::Unreachable {
            target: config.target.clone(),
            reason: advice(&error, &config.security),
        };
        let dialled = dial(&config.target, &config.security).await.map_err(unreachable)?;
        let (state, _) = watch::channel(State::Up(dialled.sender));
        let connection = Rc::new(Self { state });
        let (target, security) = (config.target.clone(), config.security.clone());
        let mended = connection.clone();
        tokio::task::spawn_local(
            async move { mended.mend(dialled.driver, target, security).await },
        );
        Ok(connection)
    }

    /// Sends a call now if the connection is up; what is returned ends with the call.
    pub(super) fn call(
        self: &Rc<Self>,
        head: &Rc<RequestHead>,
        body: Bytes,
    ) -> impl Future<Output = Reply> + use<> {
        let started = self.start(head, &body);
        let (connection, head) = (self.clone(), head.clone());
        async move {
            let response = match started {
                Ok(response) => response,
                Err(kind) => match connection.start_when_mended(&head, &body, kind).await {
                    Ok(response) => response,
                    Err(kind) => return Reply { server: None, result: Err(kind) },
                },
            };
            read(response).await
        }
    }

    /// Resolves when calls can be sent.
    pub(super) async fn up(&self) {
        // Cannot fail: `self` holds the sender.
        let _ = self.state.subscribe().wait_for(|state| matches!(state, State::Up(_))).await;
    }

    /// Gives the call to the connection in hand. A connection that takes no more calls (it ended, it
    /// was told to go away) is given up and will be mended; its calls under way go on.
    fn start(&self, head: &RequestHead, body: &Bytes) -> Result<ResponseFuture, ErrorKind> {
        let mut sender = match &*self.state.borrow() {
            State::Up(sender) => sender.clone(),
            State::Mending => return Err(ErrorKind::ConnectionLost),
            State::Down => return Err(ErrorKind::NotConnected),
        };
        let sent = sender.send_request(head.to_request(), false).and_then(|(response, mut out)| {
            out.send_data(body.clone(), true)?;
            Ok(response)
        });
        sent.map_err(|_| {
            self.state.send_replace(State::Mending);
            ErrorKind::ConnectionLost
        })
    }

    async fn start_when_mended(
        &self,
        head: &RequestHead,
        body: &Bytes,
        mut kind: ErrorKind,
    ) -> Result<ResponseFuture, ErrorKind> {
        // Ends: the caller gives up at the call's deadline.
        while kind == ErrorKind::ConnectionLost {
            let mut state = self.state.subscribe();
            // Cannot fail: `self` holds the sender.
            let _ = state.wait_for(|state| !matches!(state, State::Mending)).await;
            match self.start(head, body) {
                Ok(response) => return Ok(response),
                Err(next) => kind = next,
            }
        }
        Err(kind)
    }

    async fn mend(&self, mut driver: Driver, target: String, security: Security) {
        let mut state = self.state.subscribe();
        loop {
            let given_up = tokio::select! {
                _ = &mut driver => false,
                _ = state.wait_for(|state| !matches!(state, State::Up(_))) => true,
            };
            if given_up {
                // Its calls under way may still end well.
                tokio::task::spawn_local(driver);
            }
            self.state.send_replace(State::Mending);
            let mut backoff = FIRST_BACKOFF;
            driver = loop {
                match dial(&target, &security).await {
                    Ok(dialled) => {
                        self.state.send_replace(State::Up(dialled.sender));
                        break dialled.driver;
                    }
                    Err(error) => {
                        tracing::debug!(target, %error, "cannot connect again");
                        self.state.send_replace(State::Down);
                        tokio::time::sleep(backoff).await;
                        backoff = (backoff * 2).min(MAX_BACKOFF);
                    }
                }
            };
        }
    }
}

type Driver = std::pin::Pin<Box<dyn Future<Output = ()>>>;

struct Dialled {
    sender: SendRequest<Bytes>,
    driver: Driver,
}

/// TCP, TLS, HTTP/2, and one ping to see that the peer takes part.
async fn dial(target: &str, security: &Security) -> io::Result<Dialled> {
    let dialling = async {
        let stream = security.connect(target, &Expected::AnyServer).await?;
        let (sender, mut connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_reset_streams(MAX_RESET_STREAMS)
            .enable_push(false)
            .handshake::<Stream, Bytes>(stream)
            .await
            .map_err(to_io)?;
        ping(&mut connection).await?;
        let driver = async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection lost");
            }
        };
        Ok(Dialled { sender, driver: Box::pin(driver) })
    };
    let dialled = tokio::time::timeout(CONNECT_TIMEOUT, dialling).await;
    dialled.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn ping(connection: &mut H2Connection<Stream, Bytes>) -> io::Result<()> {
    let mut pings = connection.ping_pong().expect("taken once per connection");
    tokio::select! {
        pong = pings.ping(Ping::opaque()) => pong.map(drop).map_err(to_io),
        ended = connection => match ended {
            Ok(()) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) => Err(to_io(error)),
        }
    }
}

fn to_io(error: h2::Error) -> io::Error {
    if error.is_io() {
        error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())
    } else {
        io::Error::other(error)
    }
}

/// Why there is no connection, and what to do.
fn advice(error: &io::Error, security: &Security) -> String {
    use io::ErrorKind::{ConnectionRefused, InvalidInput, TimedOut};

    let plaintext = matches!(security, Security::Plaintext);
    match error.kind() {
        ConnectionRefused => "nobody listens there; start the server or correct the address".into(),
        TimedOut => "no answer in time; check the address and that the server speaks gRPC".into(),
        InvalidInput => format!("{error}; write host:port"),
        _ if plaintext => format!(
            "{error}; if the server wants TLS, leave out --plaintext and name certificates with --certs"
        ),
        _ => format!(
            "{error}; check the certificates in --certs, or use --plaintext if the server has no TLS"
        ),
    }
}
