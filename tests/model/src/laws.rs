//! What must hold in every state; and how every state must end: once one gateway runs, messages arrive
//! and banks that are in doubt ask, nothing is held, nothing is undecided, and all the money is there,
//! in whole payments.

use stateright::Property;
use strife_bank::ledger::{LegState, Refusal};
use strife_gateway::{
    order::Route,
    payment::{AbortReason, Action, Decision, Leg, Payment, State},
    transaction::RunNumber,
};

use crate::{
    bank::Bank,
    protocol::Protocol,
    world::{Name, PaymentNumber, World},
};

const COMMITTED: State = State::Decided(Decision::Committed);

/// Everything that is looked at, and what must be possible for that to mean anything.
pub fn all() -> Vec<Property<Protocol>> {
    let paid = |_: &Protocol, world: &World| {
        world.names().any(|name| {
            Leg::BOTH.iter().all(|leg| world.leg_state(name, *leg) == Some(LegState::Committed))
        })
    };
    vec![
        Property::always("nothing happens that must not", |_, world: &World| {
            world.broken.is_none()
        }),
        Property::always("both legs move, or none", |_, world: &World| both_or_none(world)),
        Property::always("a payment is made once", |protocol: &Protocol, world: &World| {
            (0..protocol.payments).all(|payment| is_made_once(world, payment))
        }),
        Property::always("books balance", |_, world: &World| {
            world.banks.iter().all(Bank::is_sound)
        }),
        Property::always("everything heals", heals),
        Property::sometimes("a payment is made", paid),
        Property::sometimes("a payment times out", |_, world: &World| {
            is_aborted_for(world, AbortReason::Timeout)
        }),
        Property::sometimes("a payment is taken over", |_, world: &World| {
            is_aborted_for(world, AbortReason::Restart)
        }),
        Property::sometimes("a payer's money is short", |_, world: &World| {
            let short = LegState::Refused(Refusal::InsufficientFunds);
            world.names().any(|name| world.leg_state(name, Leg::Debit) == Some(short))
        }),
    ]
}

/// No leg moves money beside one that never will, or without a decision.
fn both_or_none(world: &World) -> bool {
    world.names().all(|name| {
        let legs = Leg::BOTH.map(|leg| world.leg_state(name, leg));
        let moved = legs.contains(&Some(LegState::Committed));
        let is_over =
            |leg: &Option<LegState>| matches!(leg, Some(LegState::Aborted | LegState::Refused(_)));
        let is_committed = world.at(name).row == Some(COMMITTED);
        (!moved || is_committed) && !(is_committed && legs.iter().any(is_over))
    })
}

/// One transaction at most has the payment's id, and so may move its money.
fn is_made_once(world: &World, payment: PaymentNumber) -> bool {
    let of_payment = |name: &Name| name.payment == payment && world.at(*name).row.is_some();
    world.names().filter(of_payment).count() <= 1
}

fn is_aborted_for(world: &World, reason: AbortReason) -> bool {
    world.names().any(|name| match &world.at(name).row {
        Some(State::Decided(Decision::Aborted(abort))) => abort.reason == reason,
        _ => false,
    })
}

/// Whether all ends well from here.
fn heals(protocol: &Protocol, world: &World) -> bool {
    if world.broken.is_some() {
        return false;
    }
    let mut world = world.clone();
    let here = world.runs.len() as RunNumber + 1;
    world.runs.push(crate::world::GatewayRun { may_write: true, is_up: true });
    for run in 1..here {
        world.stop(run);
        world.fence(run);
    }
    let names: Vec<_> = (1..here)
        .flat_map(|run| (0..protocol.payments).map(move |payment| Name { run, payment }))
        .collect();
    names.iter().for_each(|name| heal(protocol, &mut world, here, *name));
    is_whole(protocol, &world, &names)
}

fn heal(protocol: &Protocol, world: &mut World, here: RunNumber, name: Name) {
    // What is on its way to the store comes too late.
    protocol.land(world, name);
    if world.is_orphan(name) {
        protocol.adopt(world, name);
    }
    let standing = world.at(name).row.clone();
    let told = standing.map(|standing| Payment::recover(Route::TwoBanks, &standing).1);
    for action in told.unwrap_or_default() {
        if let Action::Commit(leg) = action {
            protocol.deliver_commit(world, name, leg);
        }
    }
    for leg in Leg::BOTH {
        if world.at(name).sent[leg as usize].prepare {
            protocol.deliver_prepare(world, name, leg);
        }
        if world.leg_state(name, leg) == Some(LegState::Prepared) {
            protocol.ask_for_decision(world, here, name, leg);
        }
        if world.at(name).sent[leg as usize].abort {
            protocol.deliver_abort(world, name, leg);
        }
        if world.at(name).sent[leg as usize].commit {
            protocol.deliver_commit(world, name, leg);
        }
    }
}

fn is_whole(protocol: &Protocol, world: &World, names: &[Name]) -> bool {
    let is_open = |name: &Name| world.at(*name).row == Some(State::Initiated);
    let is_committed = |name: &&Name| world.at(**name).row == Some(COMMITTED);
    let committed = names.iter().filter(is_committed).count() as i64;
    let paid = committed * crate::bank::amount().minor_units;
    world.broken.is_none()
        && world.banks.iter().all(|bank| !bank.is_holding() && bank.is_sound())
        && world.banks[0].balance() == protocol.balance - paid
        && world.money() == protocol.balance
        && !names.iter().any(is_open)
}
