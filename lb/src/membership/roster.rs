//! The members as their writer knows them: found by id and by address, each with those who say that
//! it is one, in the order of the pool's sources.
//!
//! However many leave at once, their places are filled once, when the writer is about to publish.

use std::{collections::HashMap, mem, sync::Arc};

use tokio::task::AbortHandle;

use super::Origin;
use crate::{endpoint::Endpoint, snapshot::Member};

/// A member, and who says that it is one.
struct Entry {
    member: Member,
    /// With its place among the servers of that origin: the pool's order is that of its sources. Empty
    /// when it has left.
    origins: Vec<(Origin, usize)>,
    watch: AbortHandle,
}

/// All members of a pool.
#[derive(Default)]
pub(super) struct Roster {
    entries: Vec<Entry>,
    /// Places in `entries`, by [`Endpoint::id`] and by address.
    by_id: HashMap<u64, usize>,
    by_address: HashMap<String, usize>,
    /// Some of `entries` have left.
    has_leavers: bool,
}

impl Roster {
    /// Without those that left, once those are [forgotten](Self::forget_leavers).
    pub(super) fn members(&self) -> Arc<[Member]> {
        self.entries.iter().map(|entry| entry.member.clone()).collect()
    }

    pub(super) fn by_id(&mut self, id: u64) -> Option<&mut Member> {
        let place = self.by_id.get(&id)?;
        Some(&mut self.entries[*place].member)
    }

    pub(super) fn by_address(&mut self, address: &str) -> Option<&mut Member> {
        let place = self.by_address.get(address)?;
        Some(&mut self.entries[*place].member)
    }

    /// Those that somebody still names.
    pub(super) fn staying(&self) -> impl Iterator<Item = &Member> + Clone {
        self.entries.iter().filter(|entry| !entry.origins.is_empty()).map(|entry| &entry.member)
    }

    /// The addresses of those that this origin names.
    pub(super) fn named_by(&self, origin: Origin) -> impl Iterator<Item = &str> {
        let is_named = move |entry: &&Entry| entry.origins.iter().any(|(one, _)| *one == origin);
        self.entries.iter().filter(is_named).map(|entry| entry.member.endpoint.address.as_str())
    }

    /// An origin names a server; whether that is a member already.
    pub(super) fn name(&mut self, origin: Origin, place: usize, address: &str) -> bool {
        let Some(known) = self.by_address.get(address) else { return false };
        let origins = &mut self.entries[*known].origins;
        match origins.iter_mut().find(|(one, _)| *one == origin) {
            Some((Origin::Source(_), known)) => *known = place,
            Some(_) => {}
            None => origins.push((origin, place)),
        }
        true
    }

    /// One that an origin is the first to name.
    pub(super) fn add(
        &mut self,
        origin: Origin,
        place: usize,
        endpoint: Arc<Endpoint>,
        watch: AbortHandle,
    ) {
        self.by_id.insert(endpoint.id, self.entries.len());
        self.by_address.insert(endpoint.address.clone(), self.entries.len());
        let origins = vec![(origin, place)];
        self.entries.push(Entry { member: Member::new(endpoint), origins, watch });
    }

    /// This origin no more names this server. It leaves if nobody else does: it is watched no more, and
    /// is what is answered.
    pub(super) fn withdraw(&mut self, origin: Origin, address: &str) -> Option<&Member> {
        let place = *self.by_address.get(address)?;
        let Entry { member, origins, watch } = &mut self.entries[place];
        origins.retain(|(one, _)| *one != origin);
        if !origins.is_empty() {
            return None;
        }
        watch.abort();
        self.by_id.remove(&member.endpoint.id);
        self.by_address.remove(address);
        self.has_leavers = true;
        Some(member)
    }

    /// However many left, their places are filled once.
    pub(super) fn forget_leavers(&mut self) {
        if mem::take(&mut self.has_leavers) {
            self.entries.retain(|entry| !entry.origins.is_empty());
            self.find_places();
        }
    }

    /// A source names its servers in an order that means something to it. Whether any moved.
    pub(super) fn put_in_order(&mut self) -> bool {
        self.forget_leavers();
        let rank = |entry: &Entry| entry.origins.iter().min().copied();
        let are_in_order = self.entries.is_sorted_by_key(rank);
        if !are_in_order {
            self.entries.sort_by_key(rank);
            self.find_places();
        }
        !are_in_order
    }

    fn find_places(&mut self) {
        let places = || self.entries.iter().map(|entry| &entry.member.endpoint).enumerate();
        self.by_id = places().map(|(place, endpoint)| (endpoint.id, place)).collect();
        self.by_address =
            places().map(|(place, endpoint)| (endpoint.address.clone(), place)).collect();
    }
}
