//! The server behind the balancer: one that answers by itself and remembers what it was asked, or
//! one whose connections a row speaks for.
//!
//! The balancer's health checks have a connection of their own, which is the first.

mod automat;

use std::net::SocketAddr;

use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};

use crate::{
    connection::{Connection, Manner},
    hpack::Field,
    judge::Role,
};

/// Connections that may wait for a row to speak for them.
const WAITING_CONNECTIONS: usize = 64;

/// A request as it reached the server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) fields: Vec<Field>,
    pub(crate) content: Vec<u8>,
    pub(crate) trailers: Vec<Field>,
    pub(crate) is_complete: bool,
    /// The code it was reset with.
    pub(crate) reset: Option<u32>,
}

impl Request {
    /// The first field of this name, as text.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|field| field.name == name.as_bytes());
        found.and_then(|field| std::str::from_utf8(&field.value).ok())
    }
}

/// What a server that answers by itself has seen, in the order of arrival.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    pub(crate) requests: Vec<Request>,
    pub(crate) violations: Vec<String>,
}

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// What it has seen if it answers by itself.
    pub(crate) record: watch::Receiver<Record>,
    /// Its connections if a row speaks for them.
    pub(crate) connections: mpsc::Receiver<Connection>,
}

impl Server {
    pub(crate) async fn start(is_scripted: bool, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (waiting, connections) = mpsc::channel(WAITING_CONNECTIONS);
        let (recorder, record) = watch::channel(Record::default());
        tokio::spawn(async move {
            let mut accepted = 0;
            while let Ok((socket, _)) = listener.accept().await {
                let connection = Connection::new(socket, Role::Client, manner);
                accepted += 1;
                if accepted == 1 {
                    tokio::spawn(automat::answer_health_checks(connection));
                } else if is_scripted {
                    // Rows may be over before a late connection comes.
                    let _ = waiting.send(connection).await;
                } else {
                    tokio::spawn(automat::answer(connection, recorder.clone()));
                }
            }
        });
        Self { address, record, connections }
    }
}
