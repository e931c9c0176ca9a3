//! HTTP/2 frames by hand, for servers that do what no library would.
//!
//! Enough of RFC 9113 to be spoken to by a well-behaved client: settings and pings are acknowledged, windows
//! are kept open, a request is known by its stream and its end. Header blocks are written as literals and
//! are not read, but for whether a request is a health check.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::ANYWHERE;

/// Bytes of a frame's header.
const HEAD: usize = 9;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types and flags (RFC 9113, section 6).
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// Settings and error codes (sections 6.5.2 and 7).
const HEADER_TABLE_SIZE: u16 = 1;
pub(super) const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
pub(super) const NO_ERROR: u32 = 0;
pub(super) const REFUSED_STREAM: u32 = 7;
pub(super) const CANCEL: u32 = 8;

/// `/grpc.health` as a literal, and how it begins in HPACK's Huffman code.
const HEALTH: &[u8] = b"/grpc.health";
const HEALTH_HUFFMAN: &[u8] = &[0x62, 0x6b, 0x2b, 0x22, 0xf3, 0x94, 0x74, 0x26, 0x75];

/// One frame.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The error code of a RST_STREAM.
    pub(super) fn code(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().unwrap())
    }

    /// Whether this is a request's last frame.
    pub(super) fn ends_request(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    fn is_health_check(&self) -> bool {
        let holds = |what: &[u8]| self.payload.windows(what.len()).any(|part| part == what);
        self.kind == HEADERS && (holds(HEALTH) || holds(HEALTH_HUFFMAN))
    }
}

/// A server's side of a connection.
pub(super) struct Connection {
    socket: TcpStream,
    received: BytesMut,
    /// Which of the listener's connections with calls it is, from 0.
    pub(super) number: usize,
    /// Whether our settings were acknowledged.
    pub(super) settled: bool,
    /// The frame by which the connection was known to carry calls.
    read_ahead: Option<Frame>,
    health_checks: Vec<u32>,
}

/// Listens; a connection that carries calls is given to `behave`, one that only asks for health is told
/// that health is not implemented, for as long as it lasts.
pub(super) async fn listen<B, F>(settings: &'static [(u16, u32)], behave: B) -> SocketAddr
where
    B: Fn(Connection) -> F + Send + Sync + 'static,
    F: Future<Output = io::Result<()>> + Send,
{
    let listener = TcpListener::bind(ANYWHERE).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (behave, numbers) = (Arc::new(behave), Arc::new(AtomicUsize::new(0)));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (behave, numbers) = (behave.clone(), numbers.clone());
            tokio::spawn(async move {
                let mut connection = Connection::accept(socket, settings).await?;
                // Until the first call it is not known what a connection is for.
                let first = connection.next().await?;
                connection.read_ahead = Some(first);
                connection.number = numbers.fetch_add(1, Relaxed);
                behave(connection).await
            });
        }
    });
    address
}

impl Connection {
    async fn accept(mut socket: TcpStream, settings: &[(u16, u32)]) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let mut preface = [0; PREFACE.len()];
        socket.read_exact(&mut preface).await?;
        assert_eq!(preface, PREFACE);
        let mut connection = Self {
            socket,
            received: BytesMut::new(),
            number: 0,
            settled: false,
            read_ahead: None,
            health_checks: Vec::new(),
        };
        let mut payload = Vec::new();
        let common = [(HEADER_TABLE_SIZE, 0), (INITIAL_WINDOW_SIZE, 1 << 24)];
        for (id, value) in common.iter().chain(settings) {
            payload.extend(id.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        connection.write(SETTINGS, 0, 0, &payload).await?;
        connection.write(WINDOW_UPDATE, 0, 0, &(1_u32 << 24).to_be_bytes()).await?;
        Ok(connection)
    }

    /// Writes one frame.
    pub(super) async fn write(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) -> io::Result<()> {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.socket.write_all(&frame).await
    }

    /// The next frame that is not answered here: of calls, acknowledged pings and settings, and the
    /// connection's end. Dropped before it has one it has lost nothing.
    pub(super) async fn next(&mut self) -> io::Result<Frame> {
        loop {
            let frame = match self.read_ahead.take() {
                Some(frame) => frame,
                None => self.read().await?,
            };
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => self.write(SETTINGS, ACK, 0, &[]).await?,
                PING if frame.flags & ACK == 0 => {
                    self.write(PING, ACK, 0, &frame.payload).await?;
                }
                SETTINGS => self.settled = true,
                WINDOW_UPDATE => {}
                // Beside health, load reports out of band are asked for on that connection.
                _ if frame.is_health_check()
                    || (frame.kind == HEADERS && !self.health_checks.is_empty()) =>
                {
                    self.health_checks.push(frame.stream);
                    self.write_status(frame.stream, b"12").await?;
                }
                _ if self.health_checks.contains(&frame.stream) => {}
                _ => return Ok(frame),
            }
        }
    }

    async fn read(&mut self) -> io::Result<Frame> {
        let head = loop {
            if let Some(head) = self.received.first_chunk::<HEAD>().copied()
                && self.received.len() >= HEAD + length(&head)
            {
                break head;
            }
            if self.socket.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        self.received.advance(HEAD);
        let payload = self.received.split_to(length(&head)).to_vec();
        if head[3] == DATA && !payload.is_empty() {
            let length = u32::try_from(payload.len()).unwrap();
            self.write(WINDOW_UPDATE, 0, 0, &length.to_be_bytes()).await?;
        }
        let stream = u32::from_be_bytes(head[5..].try_into().unwrap()) & 0x7fff_ffff;
        Ok(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Reads until a request has ended; its stream.
    pub(super) async fn request(&mut self) -> io::Result<u32> {
        loop {
            let frame = self.next().await?;
            if frame.ends_request() {
                return Ok(frame.stream);
            }
        }
    }

    /// Response headers.
    pub(super) async fn write_headers(&mut self, stream: u32) -> io::Result<()> {
        self.write(HEADERS, END_HEADERS, stream, &response_headers()).await
    }

    /// Trailers that end a call well.
    pub(super) async fn write_trailers(&mut self, stream: u32) -> io::Result<()> {
        let mut block = Vec::new();
        literal(&mut block, b"grpc-status", b"0");
        self.write(HEADERS, END_HEADERS | END_STREAM, stream, &block).await
    }

    /// A whole answer: headers, one message, trailers.
    pub(super) async fn answer(&mut self, stream: u32, message: &[u8]) -> io::Result<()> {
        self.write_headers(stream).await?;
        self.write(DATA, 0, stream, &framed(message)).await?;
        self.write_trailers(stream).await
    }

    /// An answer of trailers only.
    async fn write_status(&mut self, stream: u32, status: &[u8]) -> io::Result<()> {
        let mut block = response_headers();
        literal(&mut block, b"grpc-status", status);
        self.write(HEADERS, END_HEADERS | END_STREAM, stream, &block).await
    }

    /// Ends a stream with an error code.
    pub(super) async fn reset(&mut self, stream: u32, code: u32) -> io::Result<()> {
        self.write(RST_STREAM, 0, stream, &code.to_be_bytes()).await
    }

    /// Says that no stream after `last` was or will be looked at.
    pub(super) async fn go_away(&mut self, last: u32) -> io::Result<()> {
        let mut payload = last.to_be_bytes().to_vec();
        payload.extend(NO_ERROR.to_be_bytes());
        self.write(GOAWAY, 0, 0, &payload).await
    }

    /// Reads to the connection's end; the frames of calls, and acknowledged pings, that still came.
    pub(super) async fn rest(mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Ok(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }
}

/// How grpcio ends a call that is over before a handler has it: by a block written by hand, without the
/// update of the table's size that the first block after a client's SETTINGS may owe (RFC 7541, section 4.2).
pub(super) fn hand_written_status(status: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    literal(&mut block, b":status", b"200");
    literal(&mut block, b"content-type", b"application/grpc");
    literal(&mut block, b"grpc-status", status);
    block
}

fn length(head: &[u8; HEAD]) -> usize {
    usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])
}

/// A gRPC message as it stands in DATA: not compressed, its length, itself.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[0], &length.to_be_bytes()[..], message].concat()
}

fn response_headers() -> Vec<u8> {
    // The dynamic table has no place, as a client may have asked for (RFC 7541, sections 4.2 and 6.3), and
    // `:status: 200` is number 8 of the static table (appendix A).
    let mut block = vec![0x20, 0x88];
    literal(&mut block, b"content-type", b"application/grpc");
    block
}

/// A literal field that enters no table, without Huffman code (RFC 7541, section 6.2.2); both lengths
/// fit seven bits.
fn literal(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0);
    for text in [name, value] {
        block.push(u8::try_from(text.len()).unwrap());
        block.extend(text);
    }
}
