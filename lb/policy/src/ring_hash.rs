//! `ring_hash`: calls with the same header value go to the same endpoint.
//!
//! The ring has a fixed number of places, each owned by the endpoint that scores highest there
//! (rendezvous hashing, Thaler and Ravishankar, 1998). So a pick reads one place; an endpoint that
//! leaves gives away its own places only, to all others alike; one that joins takes its share from
//! all alike. A Ketama ring moves as little, but owns unevenly and takes a search. Scores depend on
//! addresses alone: every balancer has the same ring.
//!
//! Neither load nor slow start is looked at: the same value has to go to the same endpoint.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::Rng;

use crate::{
    Domain, EndpointLoad, Endpoints, Figure, Parameter, Pick, PickContext, PickInfo, Picker,
    Policy, PolicyKind, Regime,
    draw::next_allowed,
    explain::{Choose, Witness},
};

pub(crate) const KIND: PolicyKind = PolicyKind {
    name: "ring_hash",
    summary: "calls with the same value of a request header go to the same endpoint",
    parameters: &[
        Parameter {
            name: "header",
            meaning: "whose value is hashed; a call without it goes anywhere",
            domain: Domain::Header { default: "x-hash-key" },
        },
        Parameter {
            name: "ring_size",
            meaning: "places on the ring; a hundred for each endpoint share evenly within 10%",
            domain: Domain::Integer { default: 16_384, least: 1024, most: 1 << 20 },
        },
    ],
    make: |arguments| {
        let (header, size) = (arguments.header("header"), arguments.integer("ring_size"));
        Box::new(RingHash { header, size, known: Mutex::default() })
    },
};

#[derive(Debug)]
struct RingHash {
    header: String,
    size: u64,
    /// For the one who makes pickers; no pick looks at it.
    known: Mutex<Known>,
}

/// The ring as it was last made, by what endpoints are hashed to.
#[derive(Debug, Default)]
struct Known {
    keys: HashSet<u64>,
    /// The owner of each place.
    owners: Box<[u64]>,
}

#[derive(Debug)]
struct Ring {
    endpoints: Endpoints,
    /// The owner of each place, by index. Empty if there is no endpoint.
    owners: Box<[u32]>,
}

/// The hash of a header's value: FNV-1a, the same in every process.
pub fn hash(value: &[u8]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    value.iter().fold(OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

/// Every bit of the result depends on every bit given (the finish of MurmurHash3).
#[inline]
fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ (bits >> 33)
}

impl Policy for RingHash {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn picker(&self, endpoints: Endpoints, _: Duration) -> Box<dyn Picker> {
        let key = |load: &Arc<EndpointLoad>| mixed(hash(load.address().as_bytes()));
        let keys: Vec<_> = endpoints.iter().map(key).collect();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Known::after(&known, &keys, self.size);
        // Two addresses hardly ever have one key; if so, the first in the pool's order has it.
        let places = keys.iter().enumerate().rev();
        let indices: HashMap<_, _> = places.map(|(index, key)| (*key, index as u32)).collect();
        let owners = known.owners.iter().map(|key| indices[key]).collect();
        Box::new(Ring { endpoints, owners })
    }

    fn hashed_header(&self) -> Option<&str> {
        Some(&self.header)
    }

    fn needs_all_endpoints(&self) -> bool {
        true
    }
}

impl Known {
    /// Who owns what among the endpoints of these keys. An owner that stays is challenged only by those
    /// that are new, so a change costs the size of the ring and not that times the endpoints.
    fn after(before: &Self, keys: &[u64], size: u64) -> Self {
        let now: HashSet<u64> = keys.iter().copied().collect();
        let joined: Vec<_> = now.difference(&before.keys).copied().collect();
        let owner = |place: u64| {
            let stays = before.owners.get(place as usize).filter(|owner| now.contains(owner));
            // The highest score has the place.
            let place = mixed(place + 1);
            let rank = |key: &u64| (mixed(key ^ place), *key);
            match stays {
                Some(owner) => joined.iter().copied().chain([*owner]).max_by_key(rank),
                None => keys.iter().copied().max_by_key(rank),
            }
        };
        Self { owners: (0..size).map_while(owner).collect(), keys: now }
    }
}

impl Ring {
    fn place(&self, hash: u64) -> usize {
        ((u128::from(mixed(hash)) * self.owners.len() as u128) >> 64) as usize
    }
}

impl Choose for Ring {
    fn choose(
        &self,
        info: PickInfo<'_>,
        context: &mut PickContext,
        witness: &mut impl Witness,
    ) -> Option<Pick> {
        let regime = if info.hash.is_some() { Regime::Hashed } else { Regime::Unhashed };
        let place = self.place(info.hash.unwrap_or_else(|| context.rng.next_u64()));
        let owner = *self.owners.get(place)? as usize;
        let index = if info.avoid.is_empty() { owner } else { self.next_owner(place, info)? };
        witness.saw(index, Figure::None);
        Some(Pick { index, regime })
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }
}

impl Ring {
    /// Around the ring, so that the calls of an endpoint to avoid spread over all others.
    fn next_owner(&self, place: usize, info: PickInfo<'_>) -> Option<usize> {
        let (before, from) = self.owners.split_at(place);
        let mut around = from.iter().chain(before).map(|owner| *owner as usize);
        let allowed = around.find(|owner| !info.avoids(*owner));
        // An endpoint without a place is better than one where the call was already.
        allowed.or_else(|| next_allowed(0, self.endpoints.len(), info))
    }
}
