//! What `strife bench peers` measures, and in which order. Pure.
//!
//! A *cell* is a number of connections, of streams on each, a message size, and TLS or not. Every
//! round goes through all cells, and in a cell through all proxies, both in an order drawn anew from
//! the seed: what a machine does to one of them it does to all alike.

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde::{Deserialize, Serialize};

use super::proxies::Proxy;

/// Everything that decides what is measured; `plan.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    /// Proxies, in the order of charts and tables.
    pub(super) proxies: Vec<Proxy>,
    /// `CONNECTIONSxSTREAMS`.
    pub(super) cells: Vec<Shape>,
    /// Of a message, the same in both directions.
    pub(super) message_bytes: Vec<u32>,
    /// In the clear, with TLS, or both.
    pub(super) tls: Vec<bool>,
    pub(super) rounds: u32,
    /// Measured in a run.
    pub(super) seconds: f64,
    /// Before that.
    pub(super) warmup_seconds: f64,
    pub(super) seed: u64,
    /// Servers behind every proxy.
    pub(super) backends: u32,
    /// Of the best peer's calls per second, what the paced runs offer.
    pub(super) paced_share: f64,
    /// Connections of an idle run.
    pub(super) idle_connections: u32,
}

/// How calls are spread: `16x8` is 16 connections of 8 streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Shape {
    pub(super) connections: u32,
    pub(super) streams: u32,
}

/// Most connections and streams of a cell: what the proxies are configured to take.
const MOST_CONNECTIONS: u32 = 1000;
const MOST_STREAMS: u32 = 1000;

impl std::str::FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str, most: u32| {
            text.trim().parse().ok().filter(|number| (1..=most).contains(number))
        };
        let shape = text.split_once(['x', '×']).and_then(|(connections, streams)| {
            let connections = number(connections, MOST_CONNECTIONS)?;
            Some(Self { connections, streams: number(streams, MOST_STREAMS)? })
        });
        shape.ok_or_else(|| {
            format!(
                "`{text}` is not CONNECTIONSxSTREAMS, such as 16x8 (at most \
                 {MOST_CONNECTIONS}x{MOST_STREAMS})"
            )
        })
    }
}

impl TryFrom<String> for Shape {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Shape> for String {
    fn from(shape: Shape) -> Self {
        shape.to_string()
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.connections, self.streams)
    }
}

/// One cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Cell {
    pub(super) tls: bool,
    pub(super) shape: Shape,
    pub(super) message_bytes: u32,
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.tls { "TLS" } else { "plaintext" };
        match self.message_bytes {
            bytes if bytes >= 1024 && bytes % 1024 == 0 => {
                write!(f, "{kind} {} {} KiB", self.shape, bytes / 1024)
            }
            bytes => write!(f, "{kind} {} {bytes} B", self.shape),
        }
    }
}

/// One run that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Due {
    /// From 1.
    pub(super) round: u32,
    pub(super) cell: Cell,
    pub(super) proxy: Proxy,
}

/// Goals are set where the proxy has several calls to carry at once (DESIGN.md §9), and so is the
/// pace.
pub(super) const GOAL_SHAPES: [Shape; 2] =
    [Shape { connections: 16, streams: 8 }, Shape { connections: 100, streams: 10 }];

impl Plan {
    /// The full comparison.
    pub(super) fn full(seed: u64) -> Self {
        let shape = |connections, streams| Shape { connections, streams };
        Self {
            proxies: Proxy::ALL.to_vec(),
            cells: vec![shape(1, 1), shape(16, 8), shape(100, 1), shape(100, 10)],
            message_bytes: vec![100, 16 * 1024],
            tls: vec![false, true],
            rounds: 5,
            seconds: 1.5,
            warmup_seconds: 0.5,
            seed,
            backends: 4,
            paced_share: 0.5,
            idle_connections: 1000,
        }
    }

    /// A look at whether everything works, within seconds.
    pub(super) fn quick(seed: u64) -> Self {
        Self {
            cells: vec![GOAL_SHAPES[0]],
            message_bytes: vec![100],
            tls: vec![false],
            rounds: 2,
            seconds: 0.3,
            warmup_seconds: 0.1,
            idle_connections: 200,
            ..Self::full(seed)
        }
    }

    /// The closed-loop runs of one round, in the order in which they are made.
    pub(super) fn saturated(&self, round: u32) -> Vec<Due> {
        self.order(round, &self.cells)
    }

    /// The paced runs of one round.
    pub(super) fn paced(&self, round: u32) -> Vec<Due> {
        let mut shapes = self.cells.clone();
        shapes.retain(|shape| GOAL_SHAPES.contains(shape));
        self.order(round, &shapes)
    }

    /// The runs of one round that count the memory of idle connections. A copy knows nothing of calls
    /// and needs two sockets and two buffers whatever they carry: it is left out.
    pub(super) fn idle(&self, round: u32) -> Vec<Due> {
        if self.idle_connections == 0 {
            return Vec::new();
        }
        let shape = Shape { connections: self.idle_connections, streams: 1 };
        let smallest = self.message_bytes.iter().min().copied().into_iter().collect();
        let mut runs = Self { message_bytes: smallest, ..self.clone() }.order(round, &[shape]);
        runs.retain(|run| run.proxy != Proxy::TcpCopy);
        runs
    }

    /// How many runs there are in all.
    pub(super) fn runs(&self) -> usize {
        let round =
            |round| self.saturated(round).len() + self.paced(round).len() + self.idle(round).len();
        (1..=self.rounds).map(round).sum()
    }

    fn order(&self, round: u32, shapes: &[Shape]) -> Vec<Due> {
        let mut rng = StdRng::seed_from_u64(self.seed.wrapping_add(u64::from(round)));
        let mut cells = Vec::new();
        for &tls in &self.tls {
            for &shape in shapes {
                let sizes = self.message_bytes.iter();
                cells.extend(sizes.map(|&message_bytes| Cell { tls, shape, message_bytes }));
            }
        }
        cells.shuffle(&mut rng);
        let mut due = Vec::new();
        for cell in cells {
            let able = |proxy: &&Proxy| !cell.tls || proxy.speaks_tls();
            let mut proxies: Vec<Proxy> = self.proxies.iter().filter(able).copied().collect();
            proxies.shuffle(&mut rng);
            due.extend(proxies.into_iter().map(|proxy| Due { round, cell, proxy }));
        }
        due
    }
}

#[cfg(test)]
mod tests;
