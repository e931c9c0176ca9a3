//! Stands between gateways and banks on one side and the balancer on the other, reads whole messages, and
//! loses, delays (and so reorders) and doubles them. Unary calls only. It has everybody's certificate: to
//! those who call it is the balancer, to the balancer it is whoever called.

use std::{
    collections::HashMap,
    fmt, io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Reason, RecvStream,
    client::SendRequest,
    server::{SendResponse, handshake},
};
use http::{HeaderMap, Request, Response};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use strife_runtime::{
    Identity, Role, Security, TlsArgs,
    tls::{Expected, Stream},
};
use tokio::net::{TcpListener, TcpStream};

/// In thousandths of all messages.
const REQUESTS_LOST: u32 = 20;
const ANSWERS_LOST: u32 = 20;
const DELAYED: u32 = 100;
const DOUBLED: u32 = 50;
const DELAY_MS: std::ops::Range<u64> = 1..500;

/// A message's fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passed,
    RequestLost,
    AnswerLost,
    Delayed(Duration),
    Doubled(Duration),
}

/// The proxy. Ends with the test.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    address: String,
}

struct Shared {
    target: String,
    tls: TlsArgs,
    security: Security,
    /// For each who calls.
    upstreams: tokio::sync::Mutex<HashMap<Identity, SendRequest<Bytes>>>,
    random: Mutex<StdRng>,
    calm: AtomicBool,
    lost: AtomicU32,
    delayed: AtomicU32,
    doubled: AtomicU32,
    passed: AtomicU32,
}

/// A whole message: what is said before, the bytes, what is said behind.
struct Answer {
    head: Response<()>,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { lost, delayed, doubled, passed, .. } = &*self.shared;
        let [lost, delayed, doubled, passed] =
            [lost, delayed, doubled, passed].map(|count| count.load(Relaxed));
        write!(f, "messages: {passed} passed, {lost} lost, {delayed} delayed, {doubled} doubled")
    }
}

impl Proxy {
    /// Passes on to `target` what comes in at its own address. `tls`: where all the certificates are.
    pub(crate) async fn start(target: &str, tls: TlsArgs, random: &mut StdRng) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            target: target.to_owned(),
            security: Security::load(&tls, Role::Lb, "1").unwrap(),
            tls,
            upstreams: tokio::sync::Mutex::default(),
            random: Mutex::new(StdRng::seed_from_u64(random.random())),
            calm: AtomicBool::new(false),
            lost: AtomicU32::new(0),
            delayed: AtomicU32::new(0),
            doubled: AtomicU32::new(0),
            passed: AtomicU32::new(0),
        });
        let serving = shared.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(socket));
            }
        });
        Self { shared, address }
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// From now on every message arrives.
    pub(crate) fn behave(&self) {
        self.shared.calm.store(true, Relaxed);
    }
}

impl Shared {
    async fn serve(self: Arc<Self>, socket: TcpStream) {
        let Ok((stream, caller)) = self.security.accept(socket).await else { return };
        let caller = caller.expect("everybody has a certificate");
        let Ok(mut connection) = handshake(stream).await else { return };
        while let Some(Ok((request, respond))) = connection.accept().await {
            let (shared, caller) = (self.clone(), caller.clone());
            tokio::spawn(async move {
                // Whoever has gone needs no answer.
                let _ = shared.handle(caller, request, respond).await;
            });
        }
    }

    async fn handle(
        self: Arc<Self>,
        caller: Identity,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) -> Result<(), h2::Error> {
        let (head, body) = request.into_parts();
        let (body, _) = collect(body).await?;
        let message = (Request::from_parts(head, ()), body);
        let answer = match self.fate() {
            Fate::RequestLost => None,
            Fate::AnswerLost => {
                let _ = self.pass(&caller, message).await;
                None
            }
            Fate::Passed => Some(self.pass(&caller, message).await),
            Fate::Delayed(delay) => {
                tokio::time::sleep(delay).await;
                Some(self.pass(&caller, message).await)
            }
            Fate::Doubled(delay) => {
                let (shared, doubled, twin) = (self.clone(), caller.clone(), message.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    let _ = shared.pass(&doubled, twin).await;
                });
                Some(self.pass(&caller, message).await)
            }
        };
        match answer {
            Some(Ok(answer)) => send(&mut respond, answer),
            Some(Err(_)) => {
                // Whether it was carried out is not known.
                respond.send_reset(Reason::INTERNAL_ERROR);
                Ok(())
            }
            // Nothing comes until the caller gives up.
            None => std::future::poll_fn(|context| respond.poll_reset(context)).await.map(drop),
        }
    }

    fn fate(&self) -> Fate {
        let mut random = self.random.lock().unwrap();
        let delay = Duration::from_millis(random.random_range(DELAY_MS));
        let mut drawn = random.random_range(0..1_000_u32);
        if self.calm.load(Relaxed) {
            drawn = u32::MAX;
        }
        let fates = [
            (REQUESTS_LOST, Fate::RequestLost, &self.lost),
            (ANSWERS_LOST, Fate::AnswerLost, &self.lost),
            (DELAYED, Fate::Delayed(delay), &self.delayed),
            (DOUBLED, Fate::Doubled(delay), &self.doubled),
        ];
        for (share, fate, count) in fates {
            if drawn < share {
                count.fetch_add(1, Relaxed);
                return fate;
            }
            drawn -= share;
        }
        self.passed.fetch_add(1, Relaxed);
        Fate::Passed
    }

    async fn pass(
        &self,
        caller: &Identity,
        (head, body): (Request<()>, Bytes),
    ) -> Result<Answer, h2::Error> {
        let mut upstream = self.upstream(caller).await?;
        let (answer, mut stream) = upstream.send_request(head, false)?;
        stream.send_data(body, true)?;
        let (head, body) = answer.await?.into_parts();
        let (body, trailers) = collect(body).await?;
        Ok(Answer { head: Response::from_parts(head, ()), body, trailers })
    }

    /// The connection to the target as the caller, or a new one.
    async fn upstream(&self, caller: &Identity) -> Result<SendRequest<Bytes>, h2::Error> {
        let mut upstreams = self.upstreams.lock().await;
        if let Some(open) = upstreams.get(caller).cloned()
            && let Ok(ready) = open.ready().await
        {
            return Ok(ready);
        }
        let stream = self.connect(caller).await.map_err(|_| Reason::REFUSED_STREAM)?;
        let (open, connection) = h2::client::handshake(stream).await?;
        tokio::spawn(async move {
            // Its callers see how it ends.
            let _ = connection.await;
        });
        upstreams.insert(caller.clone(), open.clone());
        open.ready().await
    }

    async fn connect(&self, caller: &Identity) -> io::Result<Stream> {
        let as_caller = Security::load(&self.tls, caller.role, &caller.name).unwrap();
        as_caller.connect(&self.target, &Expected::LB).await
    }
}

async fn collect(mut body: RecvStream) -> Result<(Bytes, Option<HeaderMap>), h2::Error> {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        all.extend_from_slice(&piece);
    }
    Ok((all.into(), body.trailers().await?))
}

fn send(respond: &mut SendResponse<Bytes>, answer: Answer) -> Result<(), h2::Error> {
    let Answer { head, body, trailers } = answer;
    // The answer of a call that failed is a head and nothing else.
    if body.is_empty() && trailers.is_none() {
        return respond.send_response(head, true).map(drop);
    }
    let mut stream = respond.send_response(head, false)?;
    stream.send_data(body, trailers.is_none())?;
    trailers.map_or(Ok(()), |trailers| stream.send_trailers(trailers))
}
