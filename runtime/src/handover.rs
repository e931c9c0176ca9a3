//! A new process takes over the listening sockets of an old one, and no connection is lost.
//!
//! Both know a path. The old process ([`Offer`]) listens there on a Unix socket; the new one
//! ([`Predecessor`]) connects, is given the sockets (`SCM_RIGHTS`), and gets ready while the old one
//! serves on. It says `ready`; the old one answers `yielded`, with what it leaves, and accepts no
//! more; the new one accepts from then on. The sockets never close, so that whoever connects in
//! between waits in their queue. If either is lost before `yielded`, the old one goes on.
//!
//! | from | text of the message | beside it |
//! |---|---|---|
//! | old | `strife-handover 1 NAME NAME…` | a listening TCP socket per name |
//! | new | `ready` | |
//! | old | `yielded` and, on the lines after it, what it leaves | |
//!
//! Both sides refuse a peer of another user; the socket is its owner's only (0600).

mod message;

use std::{
    fs, io,
    net::SocketAddr,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{FileTypeExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{net::sockopt, process::geteuid};
use tokio::net::{TcpListener, UnixListener, UnixStream, lookup_host};
use tracing::{info, warn};

use crate::Failure;

/// How long a message may take that needs no preparation.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a new process may take to get ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long accepting pauses when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What the old process says first; a change to the protocol is another number.
const GREETING: &str = "strife-handover 1";
const READY: &str = "ready";
const YIELDED: &str = "yielded";

/// The process that serves now, as its successor sees it.
pub struct Predecessor {
    path: PathBuf,
    stream: UnixStream,
    sockets: Vec<(String, std::net::TcpListener)>,
}

impl Predecessor {
    /// Asks whoever answers at `path` for its sockets; `None` when nobody does.
    pub async fn find(path: &Path) -> Result<Option<Self>, Failure> {
        let refused = |error: io::Error| {
            Failure::new(format!(
                "cannot take over from the process at {} ({error}); stop it first, or start \
                 without --handover",
                path.display()
            ))
        };
        check_is_no_other_file(path)?;
        let stream = match UnixStream::connect(path).await {
            Ok(stream) => stream,
            Err(error) if is_nobody(&error) => return Ok(None),
            Err(error) => return Err(refused(error)),
        };
        let sockets = receive_sockets(&stream).await.map_err(refused)?;
        Ok(Some(Self { path: path.into(), stream, sockets }))
    }

    /// The socket it calls `name`, if it listens on `address` (`host:port`; port 0 is any port).
    pub async fn take(&mut self, name: &str, address: &str) -> io::Result<Option<TcpListener>> {
        let Some(index) = self.sockets.iter().position(|(other, _)| other == name) else {
            return Ok(None);
        };
        let listens = self.sockets[index].1.local_addr()?;
        let is_it = |wanted: SocketAddr| {
            wanted.ip() == listens.ip() && [0, listens.port()].contains(&wanted.port())
        };
        if !lookup_host(address).await?.any(is_it) {
            info!(%listens, wanted = address, name, "the socket handed over is another; binding");
            return Ok(None);
        }
        let (_, socket) = self.sockets.swap_remove(index);
        TcpListener::from_std(socket).map(Some)
    }

    /// Tells it that its successor is ready: from then on it accepts no more. What it leaves.
    pub async fn release(self) -> Result<String, Failure> {
        match self.exchange_ready().await {
            Ok(left) => Ok(left),
            Err(error) if UnixStream::connect(&self.path).await.is_err() => {
                warn!(%error, "the process before this one ended by itself");
                Ok(String::new())
            }
            Err(error) => Err(Failure::new(format!(
                "the process at {} goes on serving ({error}); start this one again",
                self.path.display()
            ))),
        }
    }

    async fn exchange_ready(&self) -> io::Result<String> {
        message::send(&self.stream, READY, &[], EXCHANGE_TIMEOUT).await?;
        let (text, _) = message::receive(&self.stream, EXCHANGE_TIMEOUT).await?;
        let (word, left) = text.split_once('\n').unwrap_or((&text, ""));
        if word != YIELDED {
            return Err(unexpected(word));
        }
        Ok(left.to_owned())
    }
}

async fn receive_sockets(stream: &UnixStream) -> io::Result<Vec<(String, std::net::TcpListener)>> {
    check_is_same_user(stream)?;
    let (text, descriptors) = message::receive(stream, EXCHANGE_TIMEOUT).await?;
    let names = text.strip_prefix(GREETING).ok_or_else(|| unexpected(&text))?;
    let names: Vec<_> = names.split_whitespace().collect();
    if names.len() != descriptors.len() {
        return Err(unexpected(&text));
    }
    let named = names.into_iter().zip(descriptors).map(|(name, descriptor)| {
        if !sockopt::socket_acceptconn(&descriptor)? {
            return Err(unexpected("a socket that does not listen"));
        }
        let socket = std::net::TcpListener::from(descriptor);
        socket.set_nonblocking(true)?;
        Ok((name.to_owned(), socket))
    });
    named.collect()
}

/// Where a successor can ask for the sockets of this process.
pub struct Offer {
    path: PathBuf,
    /// Where it stands until it is published.
    temporary: Option<PathBuf>,
    listener: UnixListener,
}

impl Offer {
    /// Listens beside `path`, whoever stands there now.
    pub fn bind(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure::usage(format!(
                "cannot listen at {} ({error}); name a path in a directory of your own with \
                 --handover",
                path.display()
            ))
        };
        check_is_no_other_file(path)?;
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}", std::process::id()));
        let temporary = PathBuf::from(temporary);
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&temporary).map_err(failed)?;
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { path: path.into(), temporary: Some(temporary), listener })
    }

    /// Takes the path, in one step: whoever stood there can no longer be found.
    pub fn publish(&mut self) -> io::Result<()> {
        if let Some(temporary) = &self.temporary {
            fs::rename(temporary, &self.path)?;
            self.temporary = None;
        }
        Ok(())
    }

    /// Gives `sockets`, named, to whoever asks, one after another. Resolves when one of them is
    /// ready to serve on them and was told what `leave` says: nothing may be accepted from then on.
    pub async fn taken_over(self, sockets: &[(&'static str, OwnedFd)], leave: impl Fn() -> String) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => match hand_over(&stream, sockets, &leave).await {
                    Ok(()) => return,
                    Err(error) => warn!(%error, "nobody took over"),
                },
                Err(error) => {
                    warn!(%error, "cannot accept a successor");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Nobody finds it there.
            let _ = fs::remove_file(temporary);
        }
    }
}

async fn hand_over(
    stream: &UnixStream,
    sockets: &[(&'static str, OwnedFd)],
    leave: &impl Fn() -> String,
) -> io::Result<()> {
    check_is_same_user(stream)?;
    let names: Vec<_> = sockets.iter().map(|(name, _)| *name).collect();
    let descriptors: Vec<_> = sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
    let greeting = format!("{GREETING} {}", names.join(" "));
    message::send(stream, &greeting, &descriptors, EXCHANGE_TIMEOUT).await?;
    let (text, _) = message::receive(stream, READY_TIMEOUT).await?;
    if text != READY {
        return Err(unexpected(&text));
    }
    message::send(stream, &format!("{YIELDED}\n{}", leave()), &[], EXCHANGE_TIMEOUT).await
}

fn unexpected(text: &str) -> io::Error {
    let shown: String = text.chars().take(40).collect();
    io::Error::new(io::ErrorKind::InvalidData, format!("it speaks another protocol: {shown:?}"))
}

fn check_is_same_user(stream: &UnixStream) -> io::Result<()> {
    if stream.peer_cred()?.uid() == geteuid().as_raw() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is another user's"))
}

/// Nobody's file is replaced by a socket.
fn check_is_no_other_file(path: &Path) -> Result<(), Failure> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => Err(Failure::usage(format!(
            "{} is there and is no socket; name another path with --handover",
            path.display()
        ))),
        _ => Ok(()),
    }
}

/// There is no socket, or one that a process left behind, or there can be none: the path is too
/// long for one, as whoever binds it will say.
fn is_nobody(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, InvalidInput, NotFound};
    matches!(error.kind(), NotFound | ConnectionRefused | InvalidInput)
}

#[cfg(test)]
mod tests;
