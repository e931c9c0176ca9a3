//! Rows: what is sent from either side, and what must be seen on either side.

use crate::{
    frames::{Frame, HEADERS},
    hpack::Field,
    server::{Record, Request},
};

/// One row of a table.
pub(crate) struct Case {
    pub(crate) section: &'static str,
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) client_settings: Vec<(u16, u32)>,
    pub(crate) server_settings: Vec<(u16, u32)>,
    /// Whether the sides say their preface before the steps.
    pub(crate) has_client_preface: bool,
    pub(crate) has_server_preface: bool,
    /// More of the balancer's.
    pub(crate) flags: &'static str,
}

/// Done in order.
pub(crate) enum Step {
    Client(Act),
    /// A row with such a step speaks for the server, which otherwise answers by itself.
    Server(Act),
    /// The balancer is told to stop.
    Shutdown,
    /// The server that answers by itself comes to have seen this.
    Recorded(&'static str, Box<dyn Fn(&Record) -> bool + Send + Sync>),
}

/// What a side does.
pub(crate) enum Act {
    Send(Vec<u8>),
    See(Want),
    /// Sends one octet more than the stream's window has room for.
    Overrun(u32),
    /// Sends so many octets of content, in windows; or content and as much padding.
    Upload {
        stream: u32,
        octets: usize,
        is_padded: bool,
    },
    /// Sends more content than the connection's window has room for, on ever new streams that begin
    /// with this head, each as much as its window allows; and resets them, or goes on regardless.
    Waste {
        head: Vec<u8>,
        is_reset: bool,
    },
    /// Gives back room for all that was read, frame by frame.
    GiveBack,
    /// Goes on with a new connection: opens one, or takes the balancer's next one.
    Reconnect,
    /// Goes on with the connection before.
    Switch,
    /// Closes the connection.
    Close,
}

/// What a side must see.
pub(crate) enum Want {
    /// GOAWAY with one of these codes, then the end of the connection; or its end alone where a
    /// GOAWAY may be lost on the way.
    ConnectionError(Vec<u32>),
    /// The end of the connection, however it is said.
    Closed,
    /// RST_STREAM with one of these codes, all else going on; or a connection error with one of
    /// them (section 5.4.1 lets an endpoint choose).
    StreamError(u32, Vec<u32>),
    /// A whole answer with this status.
    Answered(u32, &'static str),
    /// No answer, or one that says that it failed; never one that seems whole and well.
    Failed(u32),
    /// A PING is answered, and nothing ends before.
    Alive,
    /// As [`Want::Alive`], or the connection ends in good order.
    EndedOrAlive,
    /// So much content on a stream, and no more with it.
    Content(u32, usize),
    /// A frame such as this one, sooner or later.
    Frame(&'static str, FrameTest),
    /// No such frame until a PING is answered.
    Never(&'static str, FrameTest),
}

pub(crate) type FrameTest = Box<dyn Fn(&Frame, &[Field]) -> bool + Send + Sync>;

pub(crate) fn case(
    section: &'static str,
    name: impl Into<String>,
    steps: impl Into<Vec<Step>>,
) -> Case {
    Case {
        section,
        name: name.into(),
        steps: steps.into(),
        client_settings: Vec::new(),
        server_settings: Vec::new(),
        has_client_preface: true,
        has_server_preface: true,
        flags: "",
    }
}

impl Case {
    pub(crate) fn with_client_settings(self, settings: &[(u16, u32)]) -> Self {
        Self { client_settings: settings.to_vec(), ..self }
    }

    pub(crate) fn with_server_settings(self, settings: &[(u16, u32)]) -> Self {
        Self { server_settings: settings.to_vec(), ..self }
    }

    pub(crate) fn without_client_preface(self) -> Self {
        Self { has_client_preface: false, ..self }
    }

    pub(crate) fn without_server_preface(self) -> Self {
        Self { has_server_preface: false, ..self }
    }

    pub(crate) fn with_flags(self, flags: &'static str) -> Self {
        Self { flags, ..self }
    }
}

pub(crate) fn sends(frames: &[Vec<u8>]) -> Step {
    Step::Client(Act::Send(frames.concat()))
}

pub(crate) fn sees(want: Want) -> Step {
    Step::Client(Act::See(want))
}

pub(crate) fn server_sends(frames: &[Vec<u8>]) -> Step {
    Step::Server(Act::Send(frames.concat()))
}

pub(crate) fn server_sees(want: Want) -> Step {
    Step::Server(Act::See(want))
}

pub(crate) fn connection_error(code: u32) -> Want {
    Want::ConnectionError(vec![code])
}

pub(crate) fn stream_error(stream: u32, code: u32) -> Want {
    Want::StreamError(stream, vec![code])
}

pub(crate) fn answered(stream: u32) -> Want {
    Want::Answered(stream, "200")
}

pub(crate) fn frame_of(
    what: &'static str,
    test: impl Fn(&Frame) -> bool + Send + Sync + 'static,
) -> Want {
    Want::Frame(what, Box::new(move |frame, _| test(frame)))
}

pub(crate) fn no_frame(
    what: &'static str,
    test: impl Fn(&Frame) -> bool + Send + Sync + 'static,
) -> Want {
    Want::Never(what, Box::new(move |frame, _| test(frame)))
}

/// A header block on this stream of which this holds.
pub(crate) fn fields(
    stream: u32,
    what: &'static str,
    test: impl Fn(&[Field]) -> bool + Send + Sync + 'static,
) -> Want {
    let test = move |frame: &Frame, fields: &[Field]| {
        frame.kind == HEADERS && frame.stream == stream && test(fields)
    };
    Want::Frame(what, Box::new(test))
}

/// The request on this stream reaches a server that a row speaks for.
pub(crate) fn request(stream: u32) -> Want {
    fields(stream, "a request", |_| true)
}

pub(crate) fn has(fields: &[Field], name: &str, value: &str) -> bool {
    let is_it = |field: &Field| field.name == name.as_bytes() && field.value == value.as_bytes();
    fields.iter().any(is_it)
}

/// The nth request, counted from 0, becomes such.
pub(crate) fn recorded(
    nth: usize,
    what: &'static str,
    test: impl Fn(&Request) -> bool + Send + Sync + 'static,
) -> Step {
    Step::Recorded(what, Box::new(move |record| record.requests.get(nth).is_some_and(&test)))
}

/// As many requests as this have reached the server. Where none more must come, an answered request
/// goes before: requests stay in order.
pub(crate) fn recorded_count(count: usize) -> Step {
    let test = move |record: &Record| record.requests.len() == count;
    Step::Recorded("so many requests and no more", Box::new(test))
}
