//! Why a connection has to end.

use thiserror::Error;

use crate::frame::Code;

/// An error of the whole connection (RFC 9113, section 5.4.1): a GOAWAY with its code is already in
/// the output; send that, then close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{code}: {why}")]
pub struct ConnectionError {
    /// What the peer is told.
    pub code: Code,
    /// Which rule was broken, and where it stands.
    pub why: &'static str,
    /// The guard that tripped, when it is not a rule but a measure that was exceeded.
    pub flood: Option<Flood>,
}

/// More of something than any honest peer sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flood {
    /// Streams opened and reset (CVE-2023-44487).
    Resets,
    /// Streams that we had to reset because the peer broke a rule on them (CVE-2025-8671).
    ProvokedResets,
    /// PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA and unknown frames (CVE-2019-9511 ff.).
    ControlFrames,
    /// A header block that never ends, or that unfolds to many times its size (CVE-2024-27316).
    HeaderBlock,
    /// Answers to control frames that the peer does not read (CVE-2019-9517).
    Output,
}

impl Flood {
    /// Every kind, for tables of metrics.
    pub const ALL: [Self; 5] =
        [Self::Resets, Self::ProvokedResets, Self::ControlFrames, Self::HeaderBlock, Self::Output];

    /// As metrics name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resets => "resets",
            Self::ProvokedResets => "provoked_resets",
            Self::ControlFrames => "control_frames",
            Self::HeaderBlock => "header_block",
            Self::Output => "output",
        }
    }

    const fn why(self) -> &'static str {
        match self {
            Self::Resets => "too many streams reset",
            Self::ProvokedResets => "too many streams that had to be reset",
            Self::ControlFrames => "too many frames that move no call",
            Self::HeaderBlock => "a header block beyond all bounds",
            Self::Output => "answers are not read",
        }
    }
}

impl ConnectionError {
    pub(crate) const fn new(code: Code, why: &'static str) -> Self {
        Self { code, why, flood: None }
    }

    pub(crate) const fn protocol(why: &'static str) -> Self {
        Self::new(Code::PROTOCOL_ERROR, why)
    }
}

impl From<Flood> for ConnectionError {
    fn from(flood: Flood) -> Self {
        Self { code: Code::ENHANCE_YOUR_CALM, why: flood.why(), flood: Some(flood) }
    }
}
