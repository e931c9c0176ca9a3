//! The client's side of a connection: makes calls and checks every answer.

use std::{collections::VecDeque, rc::Rc, task::Waker, time::Duration};

use strife_wire::{Connection, Event, Part, Role};

use super::{
    Calls, TrafficError,
    blocks::{Meaning, RequestBlocks},
    config,
    message::{Arriving, Message},
    pace::Inbox,
    pump::{Shared, Side},
    slab::Slab,
    tally::Tally,
};

/// A call under way.
#[derive(Debug)]
struct Call {
    stream: u32,
    due: Duration,
    sent: Duration,
    /// Of the message, bytes that the windows have let through.
    offset: usize,
    answer: Arriving,
}

/// One connection of a load.
pub(super) struct Caller {
    connection: Connection<Meaning>,
    calls: Calls,
    blocks: RequestBlocks,
    message: Message,
    message_bytes: u32,
    under_way: Slab<Call>,
    /// Calls whose message is not all sent.
    unsent: VecDeque<u32>,
    has_called: bool,
    inbox: Rc<Inbox>,
    tally: Rc<Tally>,
    shared: Rc<Shared>,
}

impl Caller {
    pub(super) fn new(
        calls: Calls,
        https: bool,
        message_bytes: u32,
        inbox: Rc<Inbox>,
        tally: Rc<Tally>,
        shared: Rc<Shared>,
    ) -> Self {
        let (buffers, now) = (shared.buffers.clone(), shared.now());
        Self {
            connection: Connection::new(Role::Client, config(), buffers, now),
            calls,
            blocks: RequestBlocks::new(https),
            message: Message::of(message_bytes),
            message_bytes,
            under_way: Slab::new(),
            unsent: VecDeque::new(),
            has_called: false,
            inbox,
            tally,
            shared,
        }
    }

    /// Begins a call; `false` if the other end takes no further stream now.
    fn call(&mut self, due: Duration, now: Duration) -> bool {
        let call = Call { stream: 0, due, sent: now, offset: 0, answer: Arriving::default() };
        let tag = self.under_way.insert(call);
        let block = if self.has_called { &self.blocks.later } else { &self.blocks.first };
        let Some(stream) = self.connection.open(tag, block, false, false) else {
            self.under_way.remove(tag);
            return false;
        };
        self.has_called = true;
        if let Some(call) = self.under_way.get_mut(tag) {
            call.stream = stream;
        }
        if !self.send(tag) {
            self.unsent.push_back(tag);
        }
        true
    }

    /// Sends what the windows let through; whether that was the rest.
    fn send(&mut self, tag: u32) -> bool {
        let Some(call) = self.under_way.get_mut(tag) else { return true };
        let rest = &self.message.bytes()[call.offset..];
        let taken = self.connection.send_data(call.stream, rest, true);
        call.offset += taken;
        taken == rest.len()
    }

    /// Goes on with what had to wait.
    fn resume(&mut self) {
        for _ in 0..self.unsent.len() {
            let Some(tag) = self.unsent.pop_front() else { return };
            if !self.send(tag) {
                self.unsent.push_back(tag);
            }
        }
    }

    /// The connection is in use.
    fn begin(&mut self, now: Duration) -> Result<(), TrafficError> {
        let at_once = match self.calls {
            Calls::Closed(streams) => streams,
            Calls::Single => 1,
            Calls::Paced => 0,
        };
        for _ in 0..at_once {
            if !self.call(now, now) {
                return Err(TrafficError::Call("fewer streams are taken than were asked for"));
            }
        }
        self.tally.connects();
        Ok(())
    }

    fn on(&mut self, event: Event<'_, Meaning>, now: Duration) -> Result<(), TrafficError> {
        match event {
            Event::Ready => self.begin(now)?,
            Event::Headers { part: Part::Informational, .. } => {}
            Event::Headers { tag, block, part, end_stream, .. } => {
                if let Meaning::Bad(why) = *block.memo(|head| Meaning::of(head, part)) {
                    return Err(TrafficError::Call(why));
                }
                match (part, end_stream) {
                    (Part::Trailers, true) => self.ended(tag, now)?,
                    (_, false) => {}
                    (_, true) => return Err(TrafficError::Call("it has no message")),
                }
            }
            Event::Data { stream, tag, payload, end_stream } => {
                if let Some(call) = self.under_way.get_mut(tag) {
                    call.answer.add(payload);
                }
                self.connection.release(stream, payload.len());
                if end_stream {
                    return Err(TrafficError::Call("it has no trailers"));
                }
            }
            Event::Changed | Event::Writable { .. } | Event::ConnectionWritable => self.resume(),
            Event::HeadersTooLarge { .. } => {
                return Err(TrafficError::Call("its head is too large"));
            }
            Event::Reset { code, .. } => return Err(TrafficError::Reset(code)),
            Event::GoAway { .. } => return Err(TrafficError::Call("no further calls are taken")),
        }
        Ok(())
    }

    fn ended(&mut self, tag: u32, now: Duration) -> Result<(), TrafficError> {
        let Some(call) = self.under_way.remove(tag) else { return Ok(()) };
        if call.answer.message_bytes() != Some(self.message_bytes) {
            return Err(TrafficError::Call("its message has not the length that was sent"));
        }
        self.tally.ended(call.due, call.sent, now);
        match self.calls {
            Calls::Closed(_) => {
                if !self.call(now, now) {
                    return Err(TrafficError::Call("no further stream is taken"));
                }
            }
            Calls::Single => self.tally.tell(),
            Calls::Paced => {}
        }
        Ok(())
    }
}

impl Side for Caller {
    fn turn(&mut self, now: Duration, waker: &Waker) {
        self.inbox.wake(waker);
        while self.connection.is_ready()
            && let Some(due) = self.inbox.next()
        {
            if !self.call(due, now) {
                self.inbox.put_back(due);
                return;
            }
        }
    }

    fn take(&mut self, now: Duration, input: &mut &[u8]) -> Result<(), TrafficError> {
        while let Some(event) = self.connection.receive(now, input)? {
            self.on(event, now)?;
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

impl Drop for Caller {
    /// What was due and has no answer took at least until now.
    fn drop(&mut self) {
        if matches!(self.calls, Calls::Paced) {
            let now = self.shared.now();
            let waiting = std::iter::from_fn(|| self.inbox.next());
            let under_way = self.under_way.iter().map(|call| call.due);
            waiting.chain(under_way).for_each(|due| self.tally.unfinished(due, now));
        }
    }
}
