//! `round_robin`: the endpoints in turn, whatever their load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{Endpoints, Pick, PickContext, PickInfo, Picker, Policy, Regime, next_allowed};

pub(crate) const NAME: &str = "round_robin";

/// One counter, shared by all threads, so that the turn is exact across them.
#[derive(Debug, Default)]
pub struct RoundRobin {
    next: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Turns {
    next: Arc<AtomicUsize>,
    count: usize,
}

impl Policy for RoundRobin {
    fn name(&self) -> &'static str {
        NAME
    }

    fn picker(&self, endpoints: Endpoints, _: Duration) -> Box<dyn Picker> {
        Box::new(Turns { next: self.next.clone(), count: endpoints.len() })
    }
}

impl Picker for Turns {
    fn pick(&self, info: PickInfo<'_>, _: &mut PickContext) -> Option<Pick> {
        let turn = self.next.fetch_add(1, Relaxed);
        let index = next_allowed(turn.checked_rem(self.count)?, self.count, info.avoid)?;
        Some(Pick { index, regime: Regime::Only })
    }
}
