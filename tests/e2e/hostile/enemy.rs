//! A server behind the balancer that follows a script of raw frames.
//!
//! It answers health checks as a server that is well, on the connections they come on; any other
//! connection is the script's, from its first request on.

use std::{io, net::SocketAddr, sync::Arc};

use futures_util::future::BoxFuture;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};

use super::{
    frames::{self, Frame, flag, kind},
    header,
    peer::{Ending, PATIENCE, Peer},
};

/// gRPC's UNIMPLEMENTED: a server without health checks is well.
const UNIMPLEMENTED: u32 = 12;
/// Endings that nobody asked for; further ones are forgotten.
const MOST_ENDINGS: usize = 16;

type Script = Arc<dyn Fn(Peer, u32) -> BoxFuture<'static, Ending> + Send + Sync>;

/// A running enemy; ends, connections and all, when dropped.
pub(crate) struct Enemy {
    pub(crate) address: SocketAddr,
    endings: mpsc::Receiver<Ending>,
    task: JoinHandle<()>,
}

/// What an enemy says before the first request.
#[derive(Clone)]
enum Greeting {
    Settings(Vec<(u16, u32)>),
    /// Not even settings, except to health checks.
    Nothing,
}

impl Enemy {
    /// `script` gets a connection and the stream of the first request on it, and tells how the
    /// connection ended.
    pub(crate) async fn start<Scripted>(
        settings: &[(u16, u32)],
        script: impl Fn(Peer, u32) -> Scripted + Send + Sync + 'static,
    ) -> Self
    where
        Scripted: Future<Output = Ending> + Send + 'static,
    {
        let script: Script = Arc::new(move |peer, stream| Box::pin(script(peer, stream)));
        Self::listen(Greeting::Settings(settings.to_vec()), script).await
    }

    /// Floods with what `bytes` makes for the stream of the first request.
    pub(crate) async fn flooding(bytes: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let bytes = Arc::new(bytes);
        Self::start(&[], move |mut peer, stream| {
            let bytes = bytes.clone();
            async move { peer.flood(&bytes(stream)).await }
        })
        .await
    }

    /// Accepts connections, reads them and never says a word.
    pub(crate) async fn silent() -> Self {
        Self::listen(Greeting::Nothing, Arc::new(|_, _| Box::pin(std::future::pending()))).await
    }

    async fn listen(greeting: Greeting, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, endings) = mpsc::channel(MOST_ENDINGS);
        let task = tokio::spawn(async move {
            // The connections end with their set.
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (greeting, script, tell) = (greeting.clone(), script.clone(), tell.clone());
                connections.spawn(async move {
                    if let Some(ending) = serve(stream, greeting, script).await {
                        // Full: the test has seen enough.
                        let _ = tell.try_send(ending);
                    }
                });
            }
        });
        Self { address, endings, task }
    }

    /// How the next scripted connection ended.
    pub(crate) async fn ending(&mut self) -> Ending {
        let ending = timeout(PATIENCE, self.endings.recv()).await;
        ending.expect("the connection ends").expect("the enemy runs")
    }
}

impl Drop for Enemy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// `None`: health checks, or a connection without a request.
async fn serve(stream: TcpStream, greeting: Greeting, script: Script) -> Option<Ending> {
    let mut peer = Peer::new(stream);
    if let Greeting::Settings(settings) = &greeting {
        peer.send(&frames::settings(settings)).await.ok()?;
    }
    peer.read_preface().await.ok()?;
    let request = first_request(&mut peer, &greeting).await?;
    if header::is_health_check(&request.payload) {
        if matches!(greeting, Greeting::Nothing) {
            peer.send(&frames::settings(&[])).await.ok()?;
        }
        // Ends with the connection.
        let _ = answer_health_checks(&mut peer).await;
        return None;
    }
    Some(script(peer, request.stream).await)
}

async fn first_request(peer: &mut Peer, greeting: &Greeting) -> Option<Frame> {
    loop {
        let frame = match greeting {
            Greeting::Settings(_) => peer.next_for_ever().await?,
            Greeting::Nothing => peer.next_unanswered().await?,
        };
        if frame.kind == kind::HEADERS {
            return Some(frame);
        }
    }
}

/// From the first one, whose headers are read.
async fn answer_health_checks(peer: &mut Peer) -> io::Result<()> {
    let block = [header::response(), header::trailers(UNIMPLEMENTED)].concat();
    loop {
        let Some(frame) = peer.next_for_ever().await else { return Ok(()) };
        let ends = matches!(frame.kind, kind::HEADERS | kind::DATA) && frame.has(flag::END_STREAM);
        if ends {
            peer.send(&frames::headers(frame.stream, flag::END_STREAM, &block)).await?;
        }
    }
}
