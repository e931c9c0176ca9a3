//! A file of servers: one `host:port` a line, `#` starts a comment, read again when it changes.
//!
//! Whether it changed is seen by its content, not by its time: that holds for files written in place,
//! renamed over and switched by a symbolic link alike, on any file system. A change counts once it was
//! read twice alike, so that a file is not read half written.

use std::{path::PathBuf, time::Duration};

use tokio::{fs::File, io::AsyncReadExt};

use super::feed::Feed;
use crate::config::is_address;

/// Between two looks.
const POLL: Duration = Duration::from_millis(200);
/// Looks that differ from one another after which the last counts all the same.
const MOST_LOOKS: u32 = 3;
const MAX_BYTES: u64 = 4 << 20;

/// What the file has in it, or why it cannot be read.
type Content = Result<Vec<u8>, String>;

/// Tells the pool which servers the file names, as long as it is polled.
pub(super) async fn watch(path: PathBuf, feed: Feed) {
    let mut settling = Settling::default();
    loop {
        let content = read(&path).await.map_err(|error| format!("cannot be read: {error}"));
        if let Some(content) = settling.look(content) {
            match content.as_ref().map_err(String::clone).and_then(|bytes| parse(bytes)) {
                Ok(servers) => feed.has(servers).await,
                Err(why) => feed.keeps(why),
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn read(path: &PathBuf) -> std::io::Result<Vec<u8>> {
    if !tokio::fs::metadata(path).await?.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    File::open(path).await?.take(MAX_BYTES + 1).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(std::io::Error::other(format!("it has more than {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

/// Decides which looks count.
#[derive(Default)]
struct Settling {
    used: Option<Content>,
    last: Option<Content>,
    /// Since the file was as used.
    looks: u32,
}

impl Settling {
    /// What is to be used from now on, if that is news.
    fn look(&mut self, content: Content) -> Option<&Content> {
        if self.used.as_ref() == Some(&content) {
            (self.last, self.looks) = (None, 0);
            return None;
        }
        self.looks += 1;
        let is_first = self.used.is_none();
        let is_steady = self.last.as_ref() == Some(&content);
        if !is_first && !is_steady && self.looks < MOST_LOOKS {
            self.last = Some(content);
            return None;
        }
        (self.last, self.looks) = (None, 0);
        Some(self.used.insert(content))
    }
}

/// The servers that a file names, or what is wrong with it.
fn parse(bytes: &[u8]) -> Result<Vec<String>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    let mut servers = Vec::new();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let server = line.split('#').next().unwrap_or_default().trim();
        if server.is_empty() {
            continue;
        }
        if !is_address(server) {
            return Err(format!("line {}: `{server}` is not host:port", number + 1));
        }
        servers.push(server.to_owned());
    }
    if servers.is_empty() {
        return Err("it names no server".to_owned());
    }
    Ok(servers)
}

#[cfg(test)]
mod tests;
