//! The cases as a tonic client runs them: each ends, or panics with what was wrong.
//!
//! The first list is the protocol's; the second is ours, and looks at what the server saw too. What
//! must be found in the server's events afterwards stands with each of those cases.

mod cancel;
mod heavy;
mod message;
mod metadata;
mod orca;
mod soak;
mod status;

use std::pin::Pin;

use crate::{Events, Target};

type Running<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A case by its name.
#[derive(Clone, Copy)]
pub struct Case {
    /// As the protocol spells it.
    pub name: &'static str,
    run: fn(&Target) -> Running<'_>,
}

impl Case {
    /// Runs it to its end.
    ///
    /// # Panics
    /// When it fails.
    pub async fn run(&self, target: &Target) {
        (self.run)(target).await;
    }
}

macro_rules! cases {
    ($($(#[$doc:meta])* $list:ident: $($room:ident :: $name:ident),+;)+) => {
        $($(#[$doc])* pub const $list: &[Case] = &[
            $(Case { name: stringify!($name), run: |target| Box::pin($room::$name(target)) }),+
        ];)+
    };
}

cases! {
    /// gRPC's cases, but for those of clouds and compression.
    PROTOCOL:
        message::empty_unary, message::large_unary, message::client_streaming,
        message::server_streaming, message::ping_pong, message::empty_stream,
        cancel::timeout_on_sleeping_server, cancel::cancel_after_begin,
        cancel::cancel_after_first_response, status::status_code_and_message,
        status::special_status_message, metadata::custom_metadata, status::unimplemented_method,
        status::unimplemented_service, orca::orca_per_rpc, orca::orca_oob, soak::rpc_soak,
        soak::channel_soak;
    /// Ours.
    FURTHER:
        cancel::cancel_each_kind, cancel::deadline_each_kind, status::status_details,
        metadata::large_metadata, heavy::four_mebibytes;
}

/// The kinds of calls that [`FURTHER`]'s cancellations and deadlines try, as they stand in the calls' names.
const KINDS: [&str; 4] = ["unary", "server_streaming", "client_streaming", "full_duplex"];

/// Looks for what the server must have seen of the cases `cancel_each_kind` and `deadline_each_kind`, when
/// a client ran them with the names of its calls beginning with `calls`.
///
/// # Panics
/// When the server did not see it.
pub async fn check_events(events: &Events, calls: &str) {
    for kind in KINDS {
        let cancelled = format!("{calls}-cancel-{kind}");
        assert_eq!(events.began(&cancelled).await, None, "{cancelled} has no deadline");
        events.cancelled(&cancelled).await;

        let deadline = format!("{calls}-deadline-{kind}");
        let left = events.began(&deadline).await;
        // grpcio rounds what it writes up to two digits.
        let most = cancel::DEADLINE.mul_f64(1.1);
        assert!(left.is_some_and(|left| left <= most), "{deadline}: {left:?}");
        events.cancelled(&deadline).await;
    }
}
