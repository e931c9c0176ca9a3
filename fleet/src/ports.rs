//! Ports that must be known before the process that uses them exists.
//!
//! Banks are told the balancer's address and the balancer the banks', so one side's ports have to be
//! chosen in advance; and whoever is killed and started again comes back where it was. They are taken from
//! below the range the kernel hands out by itself; whoever still loses the race boots again with others.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU16, Ordering::Relaxed},
};

const FIRST: u16 = 15_000;
const COUNT: u16 = 15_000;

/// A port on the loopback interface that nobody listens on now.
pub(crate) fn free_port() -> Option<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() as u16).wrapping_mul(97) % COUNT;
    (0..COUNT).find_map(|_| {
        let offset = (start + NEXT.fetch_add(1, Relaxed) % COUNT) % COUNT;
        let port = FIRST + offset;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok().map(|_| port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_not_offered() {
        let port = free_port().expect("some port is free");
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("it was free");
        assert!((0..64).all(|_| free_port() != Some(port)));
        drop(taken);
    }
}
