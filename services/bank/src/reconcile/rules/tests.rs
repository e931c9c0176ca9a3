//! Whatever a sound system can come to is clean; whatever is broken in it is found and named.

use proptest::prelude::*;

use super::*;

fn banks() -> Vec<String> {
    vec!["icici".to_owned(), "sbi".to_owned()]
}

fn amount(minor_units: i64) -> Amount {
    Amount { minor_units, currency: "INR".parse().unwrap() }
}

fn place(bank: &str, account_id: &str) -> Place {
    Place { bank: bank.to_owned(), account_id: account_id.to_owned() }
}

fn payment(fate: Fate) -> Payment {
    let (from, to) = (place("icici", "A"), place("sbi", "B"));
    Payment { fate, from, to, amount: amount(7), at_ms: 5 }
}

fn leg(side: Leg, fate: LegFate) -> BankLeg {
    let (bank, account_id) = match side {
        Leg::Debit => ("icici", "A"),
        Leg::Credit => ("sbi", "B"),
    };
    let body = Some((account_id.to_owned(), amount(7)));
    BankLeg { bank: bank.to_owned(), leg: side, fate, body, at_ms: 6, forced: None }
}

fn said(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

fn any_leg_fate() -> impl Strategy<Value = LegFate> {
    prop_oneof![Just(LegFate::Prepared), Just(LegFate::Committed), Just(LegFate::Over)]
}

/// A payment as its gateway may have it, and legs that the protocol can leave with it once settled.
fn sound() -> impl Strategy<Value = (Option<Payment>, Vec<BankLeg>)> {
    let committed = vec![leg(Leg::Debit, LegFate::Committed), leg(Leg::Credit, LegFate::Committed)];
    let undecided = prop_oneof![Just(LegFate::Prepared), Just(LegFate::Over)];
    let over = |fates: Vec<Option<LegFate>>| {
        let legs = [Leg::Debit, Leg::Credit].into_iter().zip(fates);
        legs.filter_map(|(side, fate)| Some(leg(side, fate?))).collect::<Vec<_>>()
    };
    let none = prop::collection::vec(prop::option::of(Just(LegFate::Over)), 2);
    let open = prop::collection::vec(prop::option::of(undecided), 2);
    prop_oneof![
        Just((Some(payment(Fate::Committed)), committed)),
        open.prop_map(move |fates| (Some(payment(Fate::Initiated)), over(fates))),
        none.clone().prop_map(move |fates| (Some(payment(Fate::Aborted)), over(fates))),
        none.prop_map(move |fates| (None, over(fates))),
    ]
}

#[test]
fn a_forced_leg_is_named_if_it_is_not_as_was_decided() {
    let forced = |committed, contradicted| {
        let fate = if committed { LegFate::Committed } else { LegFate::Over };
        let (by, reason) = ("admin/1".to_owned(), "lost".to_owned());
        let forced = Some(Forced { committed, by, reason, at_ms: 9, contradicted });
        BankLeg { forced, ..leg(Leg::Debit, fate) }
    };
    let credit = |fate| leg(Leg::Credit, fate);
    let check = |payment: Option<Payment>, legs: &[BankLeg], expected: &[&str]| {
        let found = super::check("t", payment.as_ref(), legs, &banks());
        assert_eq!(said(&found), expected);
    };
    let (committed, over) = (LegFate::Committed, LegFate::Over);
    check(Some(payment(Fate::Committed)), &[forced(true, false), credit(committed)], &[]);
    check(Some(payment(Fate::Aborted)), &[forced(false, false), credit(over)], &[]);
    let text = |payment, end| {
        format!(
            "t: {payment}, but its debit at icici was forced to be {end} by admin/1 at 9 ms since 1970 \
             (lost)"
        )
    };
    let against = text("the payment is COMMITTED", "ABORTED");
    for contradicted in [false, true] {
        let legs = [forced(false, contradicted), credit(committed)];
        check(Some(payment(Fate::Committed)), &legs, &[&against]);
    }
    let unknown = text("the gateway knows no such payment", "COMMITTED");
    check(None, &[forced(true, false)], &[&unknown]);
    // With no store to go by, the legs go by each other.
    let credit_forced = |fate| BankLeg { forced: forced(true, false).forced, ..credit(fate) };
    check(None, &[forced(true, false), credit_forced(committed)], &[]);
    check(None, &[forced(true, false), credit(committed)], &[]);
    check(None, &[forced(false, false), credit(over)], &[]);
    check(None, &[forced(true, false), credit(over)], &[&unknown]);
    check(None, &[forced(true, true), credit(committed)], &[&unknown]);
    let held = "t: the gateway knows no such payment, but its credit at sbi is still held";
    check(None, &[forced(true, false), credit(LegFate::Prepared)], &[&unknown, held]);
}

proptest! {
    #[test]
    fn what_is_sound_is_clean((payment, legs) in sound()) {
        prop_assert_eq!(check("t", payment.as_ref(), &legs, &banks()), []);
    }

    /// One leg changed to what it must not be, taken away, or of another amount.
    #[test]
    fn what_is_broken_is_found(
        (payment, mut legs) in sound(),
        index in any::<prop::sample::Index>(),
        fate in any_leg_fate(),
        how in 0..3_u8,
    ) {
        prop_assume!(!legs.is_empty());
        let index = index.index(legs.len());
        let is_committed = payment.as_ref().is_some_and(|p| p.fate == Fate::Committed);
        let mut expected = true;
        match how {
            0 => {
                legs.remove(index);
                expected = is_committed;
            }
            1 => {
                legs[index].fate = fate;
                expected = !go_together(payment.as_ref().map(|p| p.fate), fate);
            }
            _ => {
                legs[index].body = Some(("A".to_owned(), amount(8)));
                expected &= payment.is_some();
            }
        }
        let findings = check("t-1", payment.as_ref(), &legs, &banks());
        prop_assert_eq!(findings.len(), usize::from(expected), "{:?}", said(&findings));
        prop_assert!(findings.iter().all(|finding| finding.to_string().starts_with("t-1: ")));
    }

    /// A bank that says what its legs say is clean; by one unit off it is not.
    #[test]
    fn sums_are_held_against_legs(fates in prop::collection::vec(any_leg_fate(), 0..12), off in 0..3_usize) {
        let mut counted = Counted::default();
        let sides = [Leg::Debit, Leg::Credit].into_iter().cycle();
        for (fate, side) in fates.into_iter().zip(sides) {
            counted.add(&leg(side, fate));
        }
        let Counted { settlement, held, incoming } = counted.clone();
        let customers = [(amount(0).currency, 1_000)].into();
        let mut opening: BTreeMap<_, _> = settlement.clone();
        *opening.entry(amount(0).currency).or_default() += 1_000;
        let mut bank = Said { customers, settlement, opening, held, incoming };
        prop_assert_eq!(check_said("icici", &bank), []);
        prop_assert_eq!(check_counted("icici", &bank, &counted), []);
        let sums = [&mut bank.held, &mut bank.incoming, &mut bank.customers];
        *sums.into_iter().nth(off).unwrap().entry(amount(0).currency).or_default() += 1;
        let found = [check_said("icici", &bank), check_counted("icici", &bank, &counted)].concat();
        prop_assert_eq!(found.len(), 1, "{:?}", said(&found));
    }
}

#[test]
fn findings_say_what_and_where() {
    let missing = check("t", Some(&payment(Fate::Committed)), &[], &banks());
    assert_eq!(
        said(&missing),
        [
            "t: the payment is COMMITTED, but its debit at icici is missing",
            "t: the payment is COMMITTED, but its credit at sbi is missing"
        ]
    );
    // Of a bank that was not asked nothing is known.
    assert_eq!(check("t", Some(&payment(Fate::Committed)), &[], &["hdfc".to_owned()]), []);
    let orphan = check("t", None, &[leg(Leg::Debit, LegFate::Prepared)], &banks());
    let expected = "t: the gateway knows no such payment, but its debit at icici is still held";
    assert_eq!(said(&orphan), [expected]);
    let misplaced = BankLeg { bank: "sbi".to_owned(), ..leg(Leg::Debit, LegFate::Over) };
    let misplaced = check("t", Some(&payment(Fate::Aborted)), &[misplaced], &banks());
    assert_eq!(said(&misplaced), ["t: a debit at sbi, which has no such part in it"]);
    assert_eq!(began_ms(Some(&payment(Fate::Aborted)), &[leg(Leg::Debit, LegFate::Over)]), 6);
    assert_eq!(began_ms(None, &[]), 0);
}
