//! The values that labels take: why, how and with which code something happened.
//!
//! The access log speaks the same words.

use strife_policy::Regime;
use strife_wire::{Code, Flood};

/// A closed set of values, counted one by one.
pub(crate) trait Label: Copy + 'static {
    /// Every value, in the order of [`Label::index`].
    const ALL: &'static [Self];

    /// Its place in [`Label::ALL`].
    fn index(self) -> usize;

    /// As the metrics page and the access log name it.
    fn as_str(self) -> &'static str;
}

/// An enum that is a [`Label`], and its values' names.
macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident => $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name { $($(#[$value_doc])* $value,)+ }

        impl $name {
            /// How many values there are.
            pub(crate) const COUNT: usize = [$(Self::$value),+].len();
        }

        impl Label for $name {
            const ALL: &'static [Self] = &[$(Self::$value),+];

            fn index(self) -> usize {
                self as usize
            }

            fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text,)+ }
            }
        }
    };
}

labels! {
    /// Why the balancer answered a call itself.
    Refusal {
        /// The authority names no pool and no pool takes the rest.
        NoPool => "no_pool",
        /// No endpoint of the pool is ready.
        NoReadyEndpoint => "no_ready_endpoint",
        /// Every connection it could go over carries as many calls as it may.
        NoFreeStream => "no_free_stream",
        /// The request's headers are beyond their bound.
        HeadersTooLarge => "headers_too_large",
        /// The request's headers are not those of a call.
        Malformed => "malformed",
        /// The thread holds as many bytes as it may.
        BufferFull => "buffer_full",
        /// The call's own deadline passed.
        DeadlineExceeded => "deadline_exceeded",
        /// It could not have run anywhere it was tried, and may be tried no further.
        AttemptsExhausted => "attempts_exhausted",
        /// Its bytes were held and did not move.
        Stalled => "stalled",
    }
}

labels! {
    /// Why a connection ended.
    CloseReason {
        /// The peer closed it in good order.
        PeerClosed => "peer_closed",
        /// We asked the peer to go and its calls ended, or their time was over.
        Drained => "drained",
        /// As drained, because of its age.
        Age => "age",
        /// The peer broke a rule of HTTP/2.
        ProtocolError => "protocol_error",
        /// The peer did more of something than any honest peer does.
        FloodGuard => "flood_guard",
        /// TLS, preface or SETTINGS took too long.
        HandshakeTimeout => "handshake_timeout",
        /// A frame or header block was begun and not ended in time.
        FrameTimeout => "frame_timeout",
        /// The answer to a PING took too long.
        KeepaliveTimeout => "keepalive_timeout",
        /// The peer did not take what was written to it.
        StallTimeout => "stall_timeout",
        /// The transport or its TLS failed.
        IoError => "io_error",
    }
}

labels! {
    /// Why a call was moved away from an endpoint. It cannot have run there, but in the last case.
    Retry {
        /// Its stream was reset with REFUSED_STREAM (RFC 9113, section 8.7).
        Refused => "refused",
        /// Its stream is above the `last_stream_id` of a GOAWAY (RFC 9113, section 6.8).
        GoAway => "goaway",
        /// No connection came about.
        ConnectFailure => "connect_failure",
        /// The connection was lost before any byte of it was sent.
        Unsent => "unsent",
        /// It failed there, and its route says that it may run twice.
        Idempotent => "idempotent",
    }
}

labels! {
    /// How a load report reached the balancer.
    ReportChannel {
        /// By `ReportServerLoad`.
        Push => "push",
        /// In the trailers of a call.
        Trailers => "trailers",
        /// In a stream of `OpenRcaService`.
        OutOfBand => "out_of_band",
        /// In the answer to a probe.
        Probe => "probe",
    }
}

labels! {
    /// Why a server was ejected.
    EjectionCause {
        /// So many calls failed one after another.
        ConsecutiveFailures => "consecutive_failures",
        /// Far fewer of its calls succeeded than of the other servers'.
        SuccessRate => "success_rate",
        /// Almost all of its calls failed.
        FailurePercentage => "failure_percentage",
        /// A call failed while it was on trial after an ejection.
        Trial => "trial",
    }
}

labels! {
    /// A gRPC status code, by its name in the gRPC specification, or none.
    CallCode {
        Ok => "OK",
        Cancelled => "CANCELLED",
        Unknown => "UNKNOWN",
        InvalidArgument => "INVALID_ARGUMENT",
        DeadlineExceeded => "DEADLINE_EXCEEDED",
        NotFound => "NOT_FOUND",
        AlreadyExists => "ALREADY_EXISTS",
        PermissionDenied => "PERMISSION_DENIED",
        ResourceExhausted => "RESOURCE_EXHAUSTED",
        FailedPrecondition => "FAILED_PRECONDITION",
        Aborted => "ABORTED",
        OutOfRange => "OUT_OF_RANGE",
        Unimplemented => "UNIMPLEMENTED",
        Internal => "INTERNAL",
        Unavailable => "UNAVAILABLE",
        DataLoss => "DATA_LOSS",
        Unauthenticated => "UNAUTHENTICATED",
        /// The call ended without a `grpc-status`: given up, lost, or not gRPC.
        NoStatus => "none",
    }
}

impl CallCode {
    /// Of a `grpc-status`. A number that gRPC does not define counts as UNKNOWN.
    pub(crate) fn of(grpc_status: Option<u32>) -> Self {
        let Some(status) = grpc_status else { return Self::NoStatus };
        let defined = &Self::ALL[..Self::NoStatus.index()];
        defined.get(status as usize).copied().unwrap_or(Self::Unknown)
    }
}

impl Label for Regime {
    const ALL: &'static [Self] = &Self::ALL;

    fn index(self) -> usize {
        Self::index(self)
    }

    fn as_str(self) -> &'static str {
        if self == Self::Only { "only" } else { Self::as_str(self) }
    }
}

impl Label for Flood {
    const ALL: &'static [Self] = &Self::ALL;

    fn index(self) -> usize {
        self as usize
    }

    fn as_str(self) -> &'static str {
        Self::as_str(self)
    }
}

impl Label for Code {
    const ALL: &'static [Self] = &[
        Self::NO_ERROR,
        Self::PROTOCOL_ERROR,
        Self::INTERNAL_ERROR,
        Self::FLOW_CONTROL_ERROR,
        Self::SETTINGS_TIMEOUT,
        Self::STREAM_CLOSED,
        Self::FRAME_SIZE_ERROR,
        Self::REFUSED_STREAM,
        Self::CANCEL,
        Self::COMPRESSION_ERROR,
        Self::CONNECT_ERROR,
        Self::ENHANCE_YOUR_CALM,
        Self::INADEQUATE_SECURITY,
        Self::HTTP_1_1_REQUIRED,
    ];

    /// A number that RFC 9113 does not know counts as INTERNAL_ERROR, as its section 7 has it.
    fn index(self) -> usize {
        let index = self.0 as usize;
        if index < <Self as Label>::ALL.len() { index } else { Self::INTERNAL_ERROR.0 as usize }
    }

    fn as_str(self) -> &'static str {
        self.name().unwrap_or("undefined")
    }
}
