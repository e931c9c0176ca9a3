//! The ledger's laws, which hold under any sequence of commands.

use std::collections::{HashMap, HashSet};

use proptest::{collection::vec, prelude::*};

use super::*;

/// The books balance per currency, and nothing is negative or uncountable.
fn check_laws(state: &MemoryState) {
    let mut sums: HashMap<Currency, i128> = HashMap::new();
    for account in state.accounts().values() {
        assert!(account.available >= 0 && account.held >= 0 && account.incoming >= 0);
        assert!(account.has_room_for(0));
        *sums.entry(account.currency).or_default() += i128::from(account.balance());
    }
    for (internal, balance) in state.positions() {
        let (Internal::Settlement(currency) | Internal::Opening(currency)) = internal;
        *sums.entry(*currency).or_default() += balance;
    }
    assert!(sums.values().all(|sum| *sum == 0), "{sums:?}");
    for (account_id, account) in state.accounts() {
        let promised = |leg| -> i64 {
            let legs = state
                .legs()
                .iter()
                .filter(|(key, record)| key.leg == leg && record.state == LegState::Prepared);
            let bodies = legs.filter_map(|(_, record)| record.body.as_ref());
            bodies.filter(|b| b.account_id == *account_id).map(|b| b.amount.minor_units).sum()
        };
        assert_eq!(account.held, promised(Leg::Debit));
        assert_eq!(account.incoming, promised(Leg::Credit));
    }
}

/// What was decided about a leg, as an observer of the answers knows it.
#[derive(Default)]
struct Observed {
    voted_yes: bool,
    committed: bool,
    aborted: bool,
}

proptest! {
    #[test]
    fn the_laws_hold_after_every_command(commands in vec(any_command_of_all(), 0..80)) {
        let mut state = bank();
        let mut observed: HashMap<LegKey, Observed> = HashMap::new();
        let mut fenced = HashSet::new();
        for command in &commands {
            let Ok(verdict) = apply(&mut state, command);
            check_laws(&state);
            match (command, verdict) {
                (Command::Force(force), Ok(_)) => {
                    let leg = observed.entry(force.key.clone()).or_default();
                    prop_assert!(leg.voted_yes, "forced without a YES");
                    leg.committed |= force.end == End::Commit;
                    leg.aborted |= force.end == End::Abort;
                    prop_assert!(!leg.committed || !leg.aborted, "forced against what was done");
                }
                (Command::Fence(run), _) => drop(fenced.insert(*run)),
                (Command::Prepare(prepare), Ok(_)) => {
                    let leg = observed.entry(prepare.key.clone()).or_default();
                    let is_fenced = prepare.maker.is_some_and(|run| fenced.contains(&run));
                    prop_assert!(leg.voted_yes || !is_fenced, "a first YES to a fenced run");
                    prop_assert!(!leg.aborted, "YES after an abort");
                    leg.voted_yes = true;
                }
                (Command::Commit(key), Ok(_)) => {
                    let leg = observed.entry(key.clone()).or_default();
                    prop_assert!(leg.voted_yes && !leg.aborted, "commit without a YES");
                    leg.committed = true;
                }
                (Command::Abort(key), Ok(_)) => {
                    let leg = observed.entry(key.clone()).or_default();
                    prop_assert!(!leg.committed, "abort after a commit");
                    leg.aborted = true;
                }
                _ => {}
            }
        }
    }

    #[test]
    fn every_verdict_is_repeated(commands in vec(any_command_of_all(), 0..60)) {
        let mut state = bank();
        for command in &commands {
            let Ok(first) = apply(&mut state, command);
            let (accounts, positions) = (state.accounts().clone(), state.positions().clone());
            let limits = state.all_limits().clone();
            let Ok(again) = apply(&mut state, command);
            prop_assert_eq!(first, again);
            prop_assert_eq!(&accounts, state.accounts());
            prop_assert_eq!(&positions, state.positions());
            prop_assert_eq!(&limits, state.all_limits());
        }
    }

    #[test]
    fn redelivery_in_any_order_changes_nothing(
        commands in vec(any_command(), 0..40),
        again in vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let mut state = bank();
        for command in &commands {
            let Ok(_) = apply(&mut state, command);
        }
        let accounts = state.accounts().clone();
        // Commands whose effect was complete stay without effect; unfinished legs may still end.
        for index in again.iter().filter(|_| !commands.is_empty()) {
            let command = index.get(&commands);
            if matches!(command, Command::Transfer(_) | Command::Prepare(_)) {
                let Ok(_) = apply(&mut state, command);
                prop_assert_eq!(&accounts, state.accounts());
            }
        }
    }
}
