//! One connection of the switch, to a client or to an endpoint.

use std::{collections::VecDeque, rc::Rc, time::Duration};

use strife_wire::{Connection, Event};

use super::{Memo, Peer};
use crate::metrics::CloseReason;

/// What arrived on a link.
pub(super) type LinkEvent<'i> = Event<'i, Memo>;

/// Who is on the other end.
#[derive(Debug, Clone)]
pub(super) enum Side {
    /// A client.
    Down(Rc<Peer>),
    /// The endpoint of this number.
    Up(usize),
}

/// A connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) wire: Connection<Memo>,
    pub(super) side: Side,
    /// The beginning of a frame whose end has not arrived.
    pub(super) carried: Vec<u8>,
    /// Calls, with their serials, that have bytes for it and found no room.
    pub(super) blocked: VecDeque<(u32, u32)>,
    /// It stands in the list of links with output to write.
    pub(super) dirty: bool,
    /// It is to be closed as soon as its output is written.
    pub(super) closing: Option<CloseReason>,
    /// When it is asked to go, jittered.
    pub(super) retires_at: Option<Duration>,
    /// It was asked to go because of its age.
    pub(super) is_retired: bool,
    /// It is closed without waiting for its output to be written.
    pub(super) is_cut_off: bool,
    /// To an endpoint: its slot knows that it was made, or failed to be.
    pub(super) is_counted: bool,
}

impl Link {
    pub(super) fn new(wire: Connection<Memo>, side: Side) -> Self {
        Self {
            wire,
            side,
            carried: Vec::new(),
            blocked: VecDeque::new(),
            dirty: false,
            closing: None,
            retires_at: None,
            is_retired: false,
            is_cut_off: false,
            is_counted: false,
        }
    }
}
