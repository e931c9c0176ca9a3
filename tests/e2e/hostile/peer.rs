//! One raw HTTP/2 connection, as whichever side: sends what it is told, reads what comes.

use std::{io, net::SocketAddr, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use super::{
    frames::{self, Frame, PREFACE, code, flag, kind},
    header,
};

/// How long anything may take that a test waits for. Longer than every bound of the balancer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// Sent after a flood: the answer to it means that the flood was borne.
const MARKER: [u8; 8] = *b"survived";

/// A connection to or from the balancer.
pub(crate) struct Peer {
    reader: Reader,
    writer: OwnedWriteHalf,
}

/// What became of an attacker's connection.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// The code of the last GOAWAY.
    pub(crate) goaway: Option<u32>,
    /// The codes of RST_STREAM frames, in order; the first few.
    pub(crate) resets: Vec<u32>,
    /// The connection was ended; otherwise it answers pings after the attack.
    pub(crate) closed: bool,
}

/// What a call of a raw client got.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// `grpc-status`.
    pub(crate) status: Option<u32>,
    pub(crate) data: Vec<u8>,
    /// The code of the RST_STREAM that ended it.
    pub(crate) reset: Option<u32>,
}

impl Peer {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        let (reader, writer) = stream.into_split();
        Self { reader: Reader { half: reader, received: BytesMut::new() }, writer }
    }

    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).await.unwrap())
    }

    /// A client whose handshake is done. Header blocks sent to it use no table.
    pub(crate) async fn client(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut client = Self::connect(address).await;
        let mut parameters = vec![(frames::setting::HEADER_TABLE_SIZE, 0)];
        parameters.extend_from_slice(settings);
        client.send(&[PREFACE, &frames::settings(&parameters)].concat()).await.unwrap();
        let is_settings = |frame: &Frame| frame.kind == kind::SETTINGS && !frame.has(flag::ACK);
        client.until(is_settings).await.expect("the balancer sends its settings");
        client
    }

    /// Ends the connection by a TCP reset.
    pub(crate) fn vanish(self) {
        let stream = self.reader.half.reunite(self.writer).expect("halves of one");
        stream.set_zero_linger().unwrap();
    }

    /// Reads a client's preface.
    pub(crate) async fn read_preface(&mut self) -> io::Result<()> {
        let mut preface = [0; PREFACE.len()];
        self.reader.half.read_exact(&mut preface).await?;
        assert_eq!(preface, PREFACE, "the balancer speaks HTTP/2");
        Ok(())
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes).await
    }

    /// The next frame; `None` once the connection has ended. Answers settings and pings.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let frame = self.reader.next_in_time().await?;
        self.acknowledge(&frame).await;
        Some(frame)
    }

    /// As [`Peer::next`], for however long it takes.
    pub(crate) async fn next_for_ever(&mut self) -> Option<Frame> {
        let frame = self.reader.next().await?;
        self.acknowledge(&frame).await;
        Some(frame)
    }

    /// The next frame, for however long it takes; answers nothing.
    pub(crate) async fn next_unanswered(&mut self) -> Option<Frame> {
        self.reader.next().await
    }

    async fn acknowledge(&mut self, frame: &Frame) {
        let asks = !frame.has(flag::ACK);
        // An answer that cannot be written: the end of the connection comes next.
        let _ = match frame.kind {
            kind::SETTINGS if asks => self.send(&frames::settings_ack()).await,
            kind::PING if asks => {
                let payload = frame.payload[..].try_into().unwrap();
                self.send(&frames::ping(flag::ACK, payload)).await
            }
            _ => Ok(()),
        };
    }

    /// The next frame that is `wanted`.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if wanted(&frame) {
                return Some(frame);
            }
        }
    }

    /// As [`Peer::until`], for however long it takes.
    pub(crate) async fn until_for_ever(
        &mut self,
        wanted: impl Fn(&Frame) -> bool,
    ) -> Option<Frame> {
        loop {
            let frame = self.next_for_ever().await?;
            if wanted(&frame) {
                return Some(frame);
            }
        }
    }

    /// The answer on a stream.
    pub(crate) async fn answer(&mut self, stream: u32) -> Answer {
        let mut answer = Answer::default();
        let mut block = Vec::new();
        loop {
            let frame = self.next().await.unwrap_or_else(|| panic!("closed amid {answer:?}"));
            if frame.kind == kind::GOAWAY && frame.error_code() != code::NO_ERROR {
                panic!("GOAWAY {} amid {answer:?}", frame.error_code());
            }
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                kind::HEADERS => block = frame.payload.to_vec(),
                kind::CONTINUATION => block.extend_from_slice(&frame.payload),
                kind::DATA => answer.data.extend_from_slice(&frame.payload),
                kind::RST_STREAM => {
                    answer.reset.get_or_insert(frame.error_code());
                    return answer;
                }
                _ => {}
            }
            let may_end = matches!(frame.kind, kind::HEADERS | kind::DATA);
            if may_end && frame.has(flag::END_STREAM) {
                answer.status = header::status(&block);
                return answer;
            }
        }
    }

    /// A call with a message about `account`, and its answer, which must be there and well.
    pub(crate) async fn call(&mut self, stream: u32, block: &[u8], account: &str) {
        let message = frames::data(stream, flag::END_STREAM, &header::message(account));
        self.send(&[frames::headers(stream, flag::NONE, block), message].concat()).await.unwrap();
        let answer = self.answer(stream).await;
        assert_eq!(answer.status, Some(0), "{answer:?}");
        let echoed = answer.data.windows(account.len()).any(|part| part == account.as_bytes());
        assert!(echoed, "`{account}` is not in {answer:?}");
    }

    /// Sends all of it, reading meanwhile, until cut off or all of it was taken and borne.
    pub(crate) async fn flood(&mut self, bytes: &[u8]) -> Ending {
        let Self { reader, writer } = self;
        let write = async {
            let written = async {
                writer.write_all(bytes).await?;
                writer.write_all(&frames::ping(flag::NONE, MARKER)).await
            };
            // A write that fails is the end of the connection, which the reader sees.
            let _ = written.await;
            std::future::pending().await
        };
        tokio::select! {
            ending = reader.ending() => ending,
            never = write => never,
        }
    }

    /// Reads until the connection ends or the marker of a flood comes back.
    pub(crate) async fn ending(&mut self) -> Ending {
        self.reader.ending().await
    }

    /// Sends all of it and reads nothing; whether the connection was ended while it did.
    pub(crate) async fn flood_blindly(&mut self, bytes: &[u8], patience: Duration) -> bool {
        matches!(timeout(patience, self.writer.write_all(bytes)).await, Ok(Err(_)))
    }
}

struct Reader {
    half: OwnedReadHalf,
    received: BytesMut,
}

impl Reader {
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = Frame::take(&mut self.received) {
                return Some(frame);
            }
            match self.half.read_buf(&mut self.received).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    async fn next_in_time(&mut self) -> Option<Frame> {
        timeout(PATIENCE, self.next()).await.expect("the balancer sends something or closes")
    }

    async fn ending(&mut self) -> Ending {
        const MOST_RESETS: usize = 1000;
        let mut ending = Ending::default();
        while let Some(frame) = self.next_in_time().await {
            match frame.kind {
                kind::GOAWAY => ending.goaway = Some(frame.error_code()),
                kind::RST_STREAM if ending.resets.len() < MOST_RESETS => {
                    ending.resets.push(frame.error_code());
                }
                kind::PING if frame.has(flag::ACK) && frame.payload[..] == MARKER => {
                    return ending;
                }
                _ => {}
            }
        }
        Ending { closed: true, ..ending }
    }
}

impl Ending {
    /// The connection was ended with one of these codes.
    #[track_caller]
    pub(crate) fn is_cut_off(&self, codes: &[u32]) {
        let is_named = self.goaway.is_some_and(|code| codes.contains(&code));
        assert!(self.closed && is_named, "not cut off with {codes:?}: {self:?}");
    }

    /// The stream was reset, or the connection ended, with one of these codes.
    #[track_caller]
    pub(crate) fn is_refused(&self, codes: &[u32]) {
        let named = self.goaway.iter().chain(&self.resets).any(|code| codes.contains(code));
        assert!(named, "not refused with {codes:?}: {self:?}");
    }

    /// The connection lives.
    #[track_caller]
    pub(crate) fn is_borne(&self) {
        assert!(!self.closed && self.goaway.is_none(), "cut off: {self:?}");
    }
}
