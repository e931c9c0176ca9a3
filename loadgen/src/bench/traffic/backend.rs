//! The servers: each answers a message with one of the same length.

use std::{collections::VecDeque, io, rc::Rc, task::Waker, time::Duration};

use strife_runtime::Security;
use strife_wire::{Connection, Event, NO_TAG, Part, Role};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{
    TrafficError,
    blocks::{AnswerBlocks, Meaning},
    config,
    message::{Arriving, MAX_MESSAGE_BYTES, Message},
    pump::{Pump, Shared, Side},
    slab::Slab,
};

/// Servers on ports of their own, on the calling thread; they stop when this is dropped.
pub(in crate::bench) struct Backends {
    /// `127.0.0.1:port` each.
    pub(in crate::bench) addresses: Vec<String>,
    _accepting: JoinSet<()>,
}

impl Backends {
    /// Must run on a local runtime.
    pub(in crate::bench) async fn start(count: u32, security: &Security) -> io::Result<Self> {
        let (shared, blocks) = (Shared::new(), Rc::new(AnswerBlocks::new()));
        let (mut addresses, mut accepting) = (Vec::new(), JoinSet::new());
        for _ in 0..count {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            addresses.push(listener.local_addr()?.to_string());
            let (security, shared, blocks) = (security.clone(), shared.clone(), blocks.clone());
            accepting.spawn_local(accept(listener, security, shared, blocks));
        }
        Ok(Self { addresses, _accepting: accepting })
    }
}

async fn accept(
    listener: TcpListener,
    security: Security,
    shared: Rc<Shared>,
    blocks: Rc<AnswerBlocks>,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let (security, shared, blocks) = (security.clone(), shared.clone(), blocks.clone());
        connections.spawn_local(serve(stream, security, shared, blocks));
    }
}

/// Until the client goes, or breaks a rule: its calls then fail, and that is noticed where they began.
async fn serve(
    stream: TcpStream,
    security: Security,
    shared: Rc<Shared>,
    blocks: Rc<AnswerBlocks>,
) {
    if let Ok((stream, _)) = security.accept(stream).await {
        let answerer = Answerer::new(&shared, blocks);
        Pump::new(stream, answerer, shared).await;
    }
}

/// A call that arrives, or whose answer is not all sent.
#[derive(Debug)]
struct Asked {
    stream: u32,
    message: Arriving,
    /// Of the message, once it has arrived.
    bytes: u32,
    /// Of the answer, bytes that the windows have let through.
    offset: usize,
}

/// The server's side of a connection.
struct Answerer {
    connection: Connection<Meaning>,
    blocks: Rc<AnswerBlocks>,
    /// As long as the last one asked for.
    answer: Message,
    answer_bytes: u32,
    asked: Slab<Asked>,
    unsent: VecDeque<u32>,
}

impl Answerer {
    fn new(shared: &Shared, blocks: Rc<AnswerBlocks>) -> Self {
        let (buffers, now) = (shared.buffers.clone(), shared.now());
        Self {
            connection: Connection::new(Role::Server, config(), buffers, now),
            blocks,
            answer: Message::of(0),
            answer_bytes: 0,
            asked: Slab::new(),
            unsent: VecDeque::new(),
        }
    }

    fn on(&mut self, event: Event<'_, Meaning>) {
        match event {
            Event::Headers { stream, block, part: Part::Request, .. } => {
                if *block.memo(|head| Meaning::of(head, Part::Request)) != Meaning::Good {
                    return self.connection.send_headers(stream, &self.blocks.unimplemented, true);
                }
                let asked = Asked { stream, message: Arriving::default(), bytes: 0, offset: 0 };
                let tag = self.asked.insert(asked);
                self.connection.set_tag(stream, tag);
            }
            Event::Headers { tag, end_stream: true, .. } => self.answer(tag),
            Event::Data { stream, tag, payload, end_stream } => {
                if let Some(asked) = self.asked.get_mut(tag) {
                    asked.message.add(payload);
                }
                self.connection.release(stream, payload.len());
                if end_stream {
                    self.answer(tag);
                }
            }
            Event::Reset { tag, .. } if tag != NO_TAG => drop(self.asked.remove(tag)),
            Event::Changed | Event::Writable { .. } | Event::ConnectionWritable => self.resume(),
            Event::Ready
            | Event::Headers { .. }
            | Event::HeadersTooLarge { .. }
            | Event::Reset { .. }
            | Event::GoAway { .. } => {}
        }
    }

    /// The call has arrived.
    fn answer(&mut self, tag: u32) {
        let Some(asked) = self.asked.get_mut(tag) else { return };
        let stream = asked.stream;
        let whole = asked.message.message_bytes();
        let Some(bytes) = whole.filter(|bytes| *bytes as usize <= MAX_MESSAGE_BYTES) else {
            self.asked.remove(tag);
            return self.connection.send_headers(stream, &self.blocks.internal, true);
        };
        asked.bytes = bytes;
        self.connection.send_headers(stream, &self.blocks.head, false);
        if !self.send(tag) {
            self.unsent.push_back(tag);
        }
    }

    /// Sends what the windows let through; whether that was the rest.
    fn send(&mut self, tag: u32) -> bool {
        let Some(asked) = self.asked.get_mut(tag) else { return true };
        let stream = asked.stream;
        if self.answer_bytes != asked.bytes {
            (self.answer, self.answer_bytes) = (Message::of(asked.bytes), asked.bytes);
        }
        let rest = &self.answer.bytes()[asked.offset..];
        let taken = self.connection.send_data(stream, rest, false);
        asked.offset += taken;
        if taken < rest.len() {
            return false;
        }
        self.connection.send_headers(stream, &self.blocks.trailers, true);
        self.asked.remove(tag);
        true
    }

    fn resume(&mut self) {
        for _ in 0..self.unsent.len() {
            let Some(tag) = self.unsent.pop_front() else { return };
            if !self.send(tag) {
                self.unsent.push_back(tag);
            }
        }
    }
}

impl Side for Answerer {
    fn turn(&mut self, _now: Duration, _waker: &Waker) {}

    fn take(&mut self, now: Duration, input: &mut &[u8]) -> Result<(), TrafficError> {
        while let Some(event) = self.connection.receive(now, input)? {
            self.on(event);
        }
        Ok(())
    }

    fn output(&self) -> &[u8] {
        self.connection.output()
    }

    fn written(&mut self, now: Duration, bytes: usize) {
        if self.connection.written(now, bytes) {
            self.resume();
        }
    }
}
