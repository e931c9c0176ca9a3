//! Runs tables: every row with a balancer and a server of its own; all rows that fail are reported.

mod content;
mod want;

use futures_util::{StreamExt, stream};
use tokio::net::TcpStream;

use crate::{
    balancer::Balancer,
    case::{Act, Case, Step},
    connection::{Connection, Event, Manner, PATIENCE},
    frames::{ACK, NONE, PING, PREFACE, SETTINGS, ping, settings},
    judge::Role,
    server::{Record, Server},
};

/// Rows that run at once.
const ROWS_AT_ONCE: usize = 8;
/// What the PING of a row's end says.
const FAREWELL: [u8; 8] = *b"farewell";

/// Runs every row twice, its bytes written at once and in pieces, and panics with all that failed.
pub(crate) async fn check(table: fn() -> Vec<Case>) {
    let manners = [Manner::AtOnce, Manner::InPieces];
    let rows: Vec<_> = manners
        .into_iter()
        .flat_map(|manner| table().into_iter().map(move |case| (case, manner)))
        .collect();
    let count = rows.len();
    let failures: Vec<String> = stream::iter(rows)
        .map(|(case, manner)| async move {
            let name = format!("{} {}, {manner:?}", case.section, case.name);
            run(case, manner).await.err().map(|why| format!("{name}\n    {why}"))
        })
        .buffered(ROWS_AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    let failed = failures.len();
    assert!(failures.is_empty(), "{failed} of {count} rows failed:\n{}", failures.join("\n"));
}

/// Both sides of one balancer.
struct World {
    balancer: Balancer,
    server: Server,
    client: Connection,
    /// The connection that the row speaks for, once the balancer has opened it.
    upstream: Option<Connection>,
    /// Earlier connections of either side, kept open.
    former: Vec<Connection>,
    case: Settings,
}

/// What every new connection begins with.
struct Settings {
    client: Option<Vec<u8>>,
    server: Option<Vec<u8>>,
    manner: Manner,
}

async fn run(case: Case, manner: Manner) -> Result<(), String> {
    let is_scripted = case.steps.iter().any(|step| matches!(step, Step::Server(_)));
    let server = Server::start(is_scripted, manner).await;
    let balancer = Balancer::start(server.address, case.flags).await;
    let client = case.has_client_preface.then(|| settings(&case.client_settings));
    let upstream = case.has_server_preface.then(|| settings(&case.server_settings));
    let settings = Settings { client, server: upstream, manner };
    let client = connect(&balancer, &settings).await?;
    let mut world =
        World { balancer, server, client, upstream: None, former: Vec::new(), case: settings };
    for (number, step) in case.steps.iter().enumerate() {
        if let Err(why) = world.step(step).await {
            let violations = world.violations().join("; ");
            return Err(format!("step {}: {why}; {violations}{}", number + 1, world.seen()));
        }
    }
    world.end(case.has_client_preface && case.has_server_preface).await;
    let violations = world.violations();
    if violations.is_empty() {
        return Ok(());
    }
    Err(format!("the balancer sent {}{}", violations.join("; "), world.seen()))
}

/// A client whose settings are acknowledged, or one that has said nothing.
async fn connect(balancer: &Balancer, begin: &Settings) -> Result<Connection, String> {
    let socket = TcpStream::connect(balancer.listen).await.map_err(|error| error.to_string())?;
    let mut connection = Connection::new(socket, Role::Server, begin.manner);
    let Some(settings) = &begin.client else { return Ok(connection) };
    connection.send(&[PREFACE, settings].concat()).await;
    let (mut has_settings, mut has_ack) = (false, false);
    while !(has_settings && has_ack) {
        match connection.next().await {
            Event::Frame(frame, _) if frame.kind == SETTINGS && frame.has(ACK) => has_ack = true,
            Event::Frame(frame, _) if frame.kind == SETTINGS => has_settings = true,
            Event::Frame(..) => {}
            other => return Err(format!("no handshake: {other:?}, {:?}", connection.seen)),
        }
    }
    Ok(connection)
}

impl World {
    async fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Client(Act::Reconnect) => {
                let next = connect(&self.balancer, &self.case).await?;
                self.former.push(std::mem::replace(&mut self.client, next));
                Ok(())
            }
            Step::Client(Act::Switch) => {
                let former = self.former.pop().ok_or("there was no connection before")?;
                self.former.push(std::mem::replace(&mut self.client, former));
                Ok(())
            }
            Step::Client(act) => perform(&mut self.client, act).await,
            Step::Server(act) => {
                if self.upstream.is_none() || matches!(act, Act::Reconnect) {
                    let next = self.accept().await?;
                    self.former.extend(self.upstream.replace(next));
                }
                perform(self.upstream.as_mut().expect("just accepted"), act).await
            }
            Step::Shutdown => {
                self.balancer.shut_down();
                Ok(())
            }
            Step::Recorded(what, test) => self.recorded(what, test).await,
        }
    }

    async fn recorded(&mut self, what: &str, test: impl Fn(&Record) -> bool) -> Result<(), String> {
        let waiting = self.server.record.wait_for(|record| test(record));
        if let Ok(Ok(_)) = tokio::time::timeout(PATIENCE, waiting).await {
            return Ok(());
        }
        let requests = self.server.record.borrow().requests.clone();
        Err(format!("the server has not seen {what}, but {requests:?}"))
    }

    async fn accept(&mut self) -> Result<Connection, String> {
        let accepting = tokio::time::timeout(PATIENCE, self.server.connections.recv()).await;
        let accepted = accepting.ok().flatten();
        let mut connection = accepted.ok_or("the balancer opens no connection to the server")?;
        if !connection.preface().await {
            return Err("the balancer closes its connection at once".to_owned());
        }
        if let Some(settings) = &self.case.server {
            connection.send(settings).await;
        }
        Ok(connection)
    }

    /// Lets what is on its way be judged.
    async fn end(&mut self, is_sound: bool) {
        let connections = std::iter::once(&mut self.client).chain(&mut self.upstream);
        for connection in connections.filter(|_| is_sound) {
            connection.send(&ping(NONE, &FAREWELL)).await;
            while let Event::Frame(frame, _) = connection.next().await {
                if frame.kind == PING && frame.has(ACK) && frame.payload == FAREWELL {
                    break;
                }
            }
        }
    }

    fn violations(&self) -> Vec<String> {
        let connections = self.former.iter().chain([&self.client]).chain(&self.upstream);
        let mut violations: Vec<_> =
            connections.flat_map(|connection| connection.violations()).cloned().collect();
        violations.extend(self.server.record.borrow().violations.iter().cloned());
        violations
    }

    fn seen(&self) -> String {
        let upstream = self.upstream.as_ref().map(|upstream| upstream.seen.join(", "));
        let client = self.client.seen.join(", ");
        let upstream = upstream.map(|seen| format!("\n    server saw: {seen}"));
        format!("\n    client saw: {client}{}", upstream.unwrap_or_default())
    }
}

async fn perform(connection: &mut Connection, act: &Act) -> Result<(), String> {
    match act {
        Act::Send(bytes) => connection.send(bytes).await,
        Act::See(wanted) => return want::see(connection, wanted).await,
        Act::Overrun(stream) => content::overrun(connection, *stream).await,
        Act::Upload { stream, octets, is_padded } => {
            return content::upload(connection, *stream, *octets, *is_padded).await;
        }
        Act::Waste { head, is_reset } => return content::waste(connection, head, *is_reset).await,
        Act::GiveBack => connection.give_back().await,
        Act::Close => connection.finish().await,
        Act::Reconnect | Act::Switch => {}
    }
    Ok(())
}
