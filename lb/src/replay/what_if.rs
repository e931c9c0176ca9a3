//! What another policy would have done with what was known.
//!
//! One policy a pool goes through all of its picks, so that it has its turns and its memory; what
//! it would have learnt from calls that it sent elsewhere nobody knows.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    io::BufRead,
    sync::Arc,
};

use rand::{SeedableRng, rngs::SmallRng};
use strife_policy::{EndpointLoad, PickContext, PickInfo, PickTrace, Picker, Policy, by_spec};
use strife_runtime::Failure;

use super::file::Lines;

/// How many would have gone elsewhere, and where.
#[derive(Debug)]
pub(super) struct WhatIf {
    spec: String,
    picks: u64,
    elsewhere: u64,
    /// The log has not all of their pools' servers.
    incomplete: u64,
    /// By pool and server: calls it got, and would have got.
    servers: BTreeMap<(String, String), [u64; 2]>,
}

/// The other policy in one pool.
struct Other {
    policy: Box<dyn Policy>,
    /// The last one: a policy may know endpoints by where they are in memory, so they stay there
    /// until there are others.
    picker: Option<Box<dyn Picker>>,
}

impl WhatIf {
    /// Of a whole log and a policy that exists.
    pub(super) fn of<R: BufRead>(mut lines: Lines<R>, spec: &str) -> Result<Self, Failure> {
        let mut found = Self {
            spec: spec.to_owned(),
            picks: 0,
            elsewhere: 0,
            incomplete: 0,
            servers: BTreeMap::new(),
        };
        let mut pools = HashMap::new();
        while let Some(trace) = lines.next()? {
            let pool = pools.entry(trace.pool.clone()).or_insert_with(|| Other {
                policy: by_spec(spec).expect("a policy that was made before"),
                picker: None,
            });
            if trace.endpoints.len() < trace.endpoint_count {
                found.incomplete += 1;
            } else {
                found.note(&trace, pool.pick(&trace));
            }
        }
        if found.picks + found.incomplete == 0 {
            return Err(Failure::usage("the file holds no pick"));
        }
        Ok(found)
    }

    fn note(&mut self, trace: &PickTrace, other: Option<usize>) {
        let own = trace
            .pick
            .and_then(|pick| trace.endpoints.iter().position(|(index, _)| *index == pick.index));
        self.picks += 1;
        self.elsewhere += u64::from(own != other);
        for (place, (_, endpoint)) in trace.endpoints.iter().enumerate() {
            let key = (trace.pool.clone(), endpoint.address.clone());
            let [got, would_have_got] = self.servers.entry(key).or_default();
            *got += u64::from(own == Some(place));
            *would_have_got += u64::from(other == Some(place));
        }
    }
}

impl Other {
    /// Its place among the endpoints that the trace holds: all.
    fn pick(&mut self, trace: &PickTrace) -> Option<usize> {
        let load = |state| Arc::new(EndpointLoad::of_state(state, trace.now));
        let endpoints = trace.endpoints.iter().map(|(_, state)| load(state)).collect();
        let place = |index: &usize| trace.endpoints.iter().position(|(one, _)| one == index);
        let mut avoid: Vec<_> = trace.avoid.iter().filter_map(place).collect();
        avoid.sort_unstable();
        avoid.dedup();
        let mut context = PickContext { now: trace.now, rng: SmallRng::seed_from_u64(trace.seed) };
        let picker = self.policy.picker(endpoints, trace.now);
        let info = PickInfo { hash: trace.hash, avoid: &avoid };
        let pick = picker.pick(info, &mut context);
        self.picker = Some(picker);
        pick.map(|pick| pick.index)
    }
}

impl fmt::Display for WhatIf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spec, picks, elsewhere, incomplete, servers } = self;
        let percent = |part: u64| 100.0 * part as f64 / (*picks).max(1) as f64;
        let share = percent(*elsewhere);
        writeln!(f, "{spec} would have sent {elsewhere} of {picks} calls elsewhere ({share:.1}%)")?;
        if *incomplete > 0 {
            writeln!(
                f,
                "{incomplete} picks are passed over: the log has not all of their servers"
            )?;
        }
        let widest = |of: fn(&(String, String)) -> &String| {
            servers.keys().map(|key| of(key).chars().count()).max().unwrap_or(0).max(6)
        };
        let (pool_width, width) = (widest(|key| &key.0), widest(|key| &key.1));
        writeln!(
            f,
            "  {:<pool_width$}  {:<width$}  {:>8}  {:>14}",
            "POOL", "SERVER", "GOT", "WOULD HAVE GOT"
        )?;
        for ((pool, server), [got, would_have_got]) in servers {
            writeln!(f, "  {pool:<pool_width$}  {server:<width$}  {got:>8}  {would_have_got:>14}")?;
        }
        Ok(())
    }
}
