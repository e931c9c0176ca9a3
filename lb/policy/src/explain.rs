//! Why a call went where it went: what a picker looked at, written down while it looks.
//!
//! A policy is written once, as [`Choose`], over a [`Witness`] that it tells what it sees. The hot
//! path's witness is `()`, which costs nothing; an [`Explanation`] keeps everything. So what is
//! explained is what is done.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{EndpointLoad, Endpoints, Pick, PickContext, PickInfo, Picker, Prober};

/// What a pick rested on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The endpoints that were looked at, in that order.
    pub candidates: Vec<Candidate>,
    /// What the picker remembered before this pick, as far as the pick depended on it; null: nothing.
    pub memory: Value,
}

/// An endpoint that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Into the endpoints of the picker.
    pub index: usize,
    /// `host:port`.
    pub address: String,
    /// Our own calls under way there.
    pub in_flight: u64,
    /// Look-aside picks that no report had confirmed.
    pub leased: u64,
    /// Age of its last load report.
    pub report_age: Option<Duration>,
    /// Age of its last ORCA report.
    pub orca_age: Option<Duration>,
    /// Share of its latest calls that failed.
    pub failure_ratio: f64,
    /// Share of its normal traffic it should get.
    pub ramp: f64,
    /// What the policy compared.
    pub figure: Figure,
    /// Why it was out of the question, whatever its figure.
    pub excluded: Option<Exclusion>,
}

/// What a policy compares endpoints by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Nothing: it was its turn, or chance.
    None,
    /// When a call is expected to be over, failures priced in.
    ExpectedTimeUs(f64),
    /// Calls there with this one, failures priced in.
    Calls(f64),
    /// Moving average of latency times calls there, failures priced in.
    LatencyUs(f64),
    /// Share of the turns, of 65,535.
    Weight(u16),
    /// What a probe said, calls sent since included.
    Probe {
        /// Calls under way.
        in_flight: u32,
        /// How long calls take with that many.
        latency_us: u32,
    },
}

/// Why an endpoint was out of the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exclusion {
    /// The call was there already.
    Avoided,
    /// It is new and gets its share slowly; this turn went to another.
    Ramping,
    /// Its weight gives it no turn this time.
    NotItsTurn,
}

/// A picker as policies write it.
pub(crate) trait Choose: Send + Sync {
    /// As [`Picker::pick`], telling the witness what is looked at.
    fn choose(
        &self,
        info: PickInfo<'_>,
        context: &mut PickContext,
        witness: &mut impl Witness,
    ) -> Option<Pick>;

    /// As [`Picker::endpoints`].
    fn endpoints(&self) -> &Endpoints;

    /// As [`Picker::prober`].
    fn prober(&self) -> Option<&dyn Prober> {
        None
    }
}

impl<C: Choose> Picker for C {
    fn pick(&self, info: PickInfo<'_>, context: &mut PickContext) -> Option<Pick> {
        self.choose(info, context, &mut ())
    }

    fn explain(
        &self,
        info: PickInfo<'_>,
        context: &mut PickContext,
        explanation: &mut Explanation,
    ) -> Option<Pick> {
        let now = context.now;
        let mut notes = Notes::default();
        let pick = self.choose(info, context, &mut notes);
        let avoided = info.avoid.iter().map(|index| (*index, Figure::None));
        explanation.candidates = avoided
            .chain(notes.seen)
            .filter_map(|(index, figure)| {
                let load = Choose::endpoints(self).get(index)?;
                let excluded = notes.excluded.iter().find(|(excluded, _)| *excluded == index);
                let avoided = info.avoids(index).then_some(Exclusion::Avoided);
                let excluded = avoided.or(excluded.map(|(_, why)| *why));
                Some(Candidate { index, figure, excluded, ..Candidate::of(load, now) })
            })
            .collect();
        explanation.memory = notes.memory;
        pick
    }

    fn endpoints(&self) -> &Endpoints {
        Choose::endpoints(self)
    }

    fn prober(&self) -> Option<&dyn Prober> {
        Choose::prober(self)
    }
}

impl Candidate {
    fn of(load: &EndpointLoad, now: Duration) -> Self {
        Self {
            index: 0,
            address: load.address().to_owned(),
            in_flight: load.in_flight(),
            leased: load.leased(now),
            report_age: load.last_report().map(|last| now.saturating_sub(last.received_at)),
            orca_age: load.last_orca().map(|last| now.saturating_sub(last.received_at)),
            failure_ratio: load.failure_ratio(now),
            ramp: load.ramp(now),
            figure: Figure::None,
            excluded: None,
        }
    }
}

/// Told by a policy what it looks at.
pub(crate) trait Witness {
    /// An endpoint was considered.
    fn saw(&mut self, index: usize, figure: Figure);

    /// It cannot have the call.
    fn excluded(&mut self, index: usize, why: Exclusion);

    /// What the picker remembers and decides by, before the pick changes it.
    fn remembers<M: Serialize>(&mut self, memory: impl FnOnce() -> M);
}

/// Nobody watches.
impl Witness for () {
    #[inline]
    fn saw(&mut self, _: usize, _: Figure) {}

    #[inline]
    fn excluded(&mut self, _: usize, _: Exclusion) {}

    #[inline]
    fn remembers<M: Serialize>(&mut self, _: impl FnOnce() -> M) {}
}

#[derive(Default)]
struct Notes {
    seen: Vec<(usize, Figure)>,
    excluded: Vec<(usize, Exclusion)>,
    memory: Value,
}

impl Witness for Notes {
    fn saw(&mut self, index: usize, figure: Figure) {
        self.seen.push((index, figure));
    }

    fn excluded(&mut self, index: usize, why: Exclusion) {
        self.excluded.push((index, why));
    }

    fn remembers<M: Serialize>(&mut self, memory: impl FnOnce() -> M) {
        self.memory = serde_json::to_value(memory()).expect("memories are plain figures");
    }
}
