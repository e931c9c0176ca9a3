//! One call as it is meant to go, and how far it has come.

use std::sync::LazyLock;

use strife_wire::{
    Code,
    hpack::{Fields, encode},
};

use crate::input::Input;

/// The largest plan, bytes.
const MOST_CONTENT: usize = 300_000;
/// Places where content may begin.
const SHIFTS: usize = 4096;

/// How a side ends its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// With the last byte, or the head if there is none.
    Content,
    /// With DATA that holds nothing.
    Empty,
    Trailers,
}

/// Bounds of a flow, bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    /// `None` where no content may be.
    pub(super) content: Option<usize>,
    /// Of the head.
    pub(super) padding: usize,
}

/// What goes one way.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) head: Fields,
    /// Bytes of content.
    pub(super) plan: usize,
    pub(super) ending: Ending,

    pub(super) head_sent: bool,
    pub(super) sent: usize,
    /// Offered and not taken: waiting to be told.
    pub(super) blocked: usize,
    pub(super) ended: bool,

    /// Heads before the answer to this request.
    pub(super) informational: u8,
    pub(super) head_heard: bool,
    pub(super) heard: usize,
    /// Heard and not released.
    pub(super) held: usize,
    pub(super) end_heard: bool,
}

impl Flow {
    fn new(head: &[(&str, &str)], input: &mut Input<'_>, most: Most) -> Self {
        let plan = input.pick(&[0, 1, 5, 100, 1000, 16_384, 16_385, 40_000, 70_000, MOST_CONTENT]);
        let plan = plan.min(most.content.unwrap_or(0));
        let ending = input.pick(&[Ending::Content, Ending::Empty, Ending::Trailers]);
        let mut fields = Fields::new();
        for (name, value) in head {
            fields.push(name.as_bytes(), value.as_bytes(), false);
        }
        let is_declared = input.flag();
        if is_declared && most.content.is_some() {
            fields.push(b"content-length", plan.to_string().as_bytes(), false);
        } else if is_declared {
            fields.push(b"content-length", b"1234", false);
        }
        match input.pick(&[0, 0, 0, 200, 950, 17_000, 40_000]) {
            0 => {}
            padding => {
                let padding = vec![b'p'; padding.min(most.padding)];
                fields.push(b"x-padding", &padding, input.flag());
            }
        }
        Self {
            head: fields,
            plan,
            ending,
            head_sent: false,
            sent: 0,
            blocked: 0,
            ended: false,
            informational: 0,
            head_heard: false,
            heard: 0,
            held: 0,
            end_heard: false,
        }
    }

    pub(super) fn request(input: &mut Input<'_>, most: Most) -> Self {
        let method = input.pick(&["POST", "HEAD"]);
        let path = input.pick(&["/a/b", "/c/d", "/e/f"]);
        let head = [(":method", method), (":scheme", "http"), (":path", path), ("te", "trailers")];
        Self::new(&head, input, most)
    }

    pub(super) fn response(input: &mut Input<'_>, most: Most) -> Self {
        Self::new(&[(":status", "200"), ("content-type", "application/grpc")], input, most)
    }

    /// Whether the head is all there is.
    pub(super) fn is_head_only(&self) -> bool {
        self.plan == 0 && self.ending == Ending::Content
    }

    pub(super) fn is_head_request(&self) -> bool {
        self.head.get(b":method") == Some(b"HEAD")
    }

    pub(super) fn trailers(&self) -> Fields {
        let mut fields = Fields::new();
        fields.push(b"grpc-status", b"0", false);
        fields.push(b"x-content-bytes", self.plan.to_string().as_bytes(), false);
        fields
    }
}

/// A call, known to both sides' models.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) tag: u32,
    /// By the side that sends it; the answer is made up when the request was heard.
    pub(super) flows: [Option<Flow>; 2],
    /// By side: the code it reset the call with.
    pub(super) reset: [Option<Code>; 2],
    /// By side: heard of the other's reset.
    pub(super) reset_heard: [bool; 2],
    /// The server went away before it saw the call.
    pub(super) unprocessed: bool,
}

impl Call {
    pub(super) fn flow(&self, side: usize) -> &Flow {
        self.flows[side].as_ref().expect("made before it is looked at")
    }

    pub(super) fn flow_mut(&mut self, side: usize) -> &mut Flow {
        self.flows[side].as_mut().expect("made before it is looked at")
    }

    /// Whether the call still exists for a side.
    pub(super) fn is_cut(&self, side: usize) -> bool {
        self.reset[side].is_some() || self.reset_heard[side] || self.unprocessed
    }

    /// Whether a side has content or an end to send, now that its head is sent.
    pub(super) fn can_send(&self, side: usize) -> bool {
        !self.is_cut(side)
            && self.flows[side].as_ref().is_some_and(|flow| flow.head_sent && !flow.ended)
    }

    pub(super) fn is_done(&self) -> bool {
        let whole = |flow: &Option<Flow>| flow.as_ref().is_some_and(|flow| flow.end_heard);
        self.is_cut(0) || self.is_cut(1) || self.flows.iter().all(whole)
    }
}

/// A header block of these fields.
pub(super) fn block(fields: &Fields) -> Vec<u8> {
    let mut block = Vec::new();
    for field in fields.iter() {
        encode(&mut block, field.name, field.value, field.sensitive);
    }
    block
}

/// Content that differs by stream, direction and place.
pub(super) fn content(stream: u32, side: usize, from: usize, length: usize) -> &'static [u8] {
    static CONTENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
        (0..(MOST_CONTENT + SHIFTS) as u64)
            .map(|place| (place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8)
            .collect()
    });
    let shift = (stream as usize * 31 + side * 7) % SHIFTS;
    &CONTENT[shift + from..][..length]
}
