//! Rows in which an operator ends by his word what nobody decides, and the decision comes after all.

use strife_proto::bank::v1::{
    LegEntry, LegState, ListLegsRequest, bank_admin_client::BankAdminClient,
};
use strife_runtime::{connect, tls::Expected};

use super::{
    on_every_store,
    scene::{Scene, Store, until},
};
use crate::accounts::{admin, reconcile, text};

on_every_store!(an_operator_forces_legs_and_then_their_decision_comes);

/// The only leg of a bank.
async fn leg(scene: &Scene, bank: &str) -> LegEntry {
    let address = scene.booted.fleet.address(bank).unwrap();
    let security = scene.booted.fleet.security();
    let channel = connect::direct(address, Expected::bank(bank), security).unwrap();
    let legs = BankAdminClient::new(channel).list_legs(ListLegsRequest {}).await;
    legs.unwrap().into_inner().message().await.unwrap().expect("the bank has a leg")
}

/// The exit code, and what is printed.
fn force(scene: &Scene, bank: &str, what: [&str; 3], more: &[&str]) -> (Option<i32>, String) {
    let address = scene.booted.fleet.address(bank).unwrap();
    let arguments = [&["force"], &what[..], &["--bank-addr", address], more].concat();
    let output = admin(&scene.booted, &arguments);
    (output.status.code(), text(&output))
}

/// Committed, and nobody was told. One bank's leg is forced against that, the other's as it was decided.
async fn an_operator_forces_legs_and_then_their_decision_comes(store: Store) {
    let mut scene = Scene::on(store).await;
    scene.arm("gateway", "gateway.decide.after=return").await;
    let asked = scene.ask_once();
    scene.until_dead("gateway").await;
    assert!(asked.await.unwrap().is_err());
    for bank in ["icici", "sbi"] {
        scene.until_in_doubt(bank, 1).await;
    }
    let id = leg(&scene, "icici").await.transaction_id;
    let why = ["--reason", "gateway lost, ticket 4711", "--even-so"];
    let gateway = scene.booted.fleet.address("gateway").unwrap().to_owned();
    let asking = ["--reason", why[1], "--gateway", &gateway];
    let (code, said) = force(&scene, "icici", ["abort", &id, "debit"], &why[..2]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--gateway"), "{said}");
    let (code, said) = force(&scene, "icici", ["abort", &id, "debit"], &asking);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("does not say what was decided"), "{said}");
    let (code, said) = force(&scene, "icici", ["abort", &id, "debit"], &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--reason"), "{said}");
    let (code, said) = force(&scene, "icici", ["abort", "no-such", "debit"], &why);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("holds nothing for no-such-debit"), "{said}");
    for (bank, end, side, now) in
        [("icici", "abort", "debit", "ABORTED"), ("sbi", "commit", "credit", "COMMITTED")]
    {
        for _ in 0..2 {
            let (code, said) = force(&scene, bank, [end, &id, side], &why);
            assert_eq!(code, Some(0), "{said}");
            assert!(said.contains(&format!("{bank}: the {side} of {id} is {now}")), "{said}");
        }
        scene.until_in_doubt(bank, 0).await;
    }
    let (code, said) = force(&scene, "icici", ["commit", &id, "debit"], &why);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot be forced: the leg was aborted"), "{said}");

    scene.disarm("gateway").await;
    for bank in ["icici", "sbi"] {
        until(&format!("{bank} knows what was decided"), async || {
            let forced = leg(&scene, bank).await.forced.unwrap();
            forced.decision() == LegState::Committed
        })
        .await;
    }
    // Both banks' legs are over; it is the gateway that is asked first.
    let (code, said) = force(&scene, "sbi", ["abort", &id, "credit"], &asking);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the payment was COMMITTED, says the gateway"), "{said}");
    let (code, said) = force(&scene, "sbi", ["commit", &id, "credit"], &asking);
    assert_eq!(code, Some(0), "{said}");
    let forced = leg(&scene, "icici").await.forced.unwrap();
    assert_eq!(forced.state(), LegState::Aborted, "what was done stays");
    assert_eq!((forced.by.as_str(), forced.reason.as_str()), ("spiffe://strife/admin/1", why[1]));
    scene.until_said("gateway", "has ended this leg the other way").await;
    let found = reconcile(&scene.booted);
    assert_eq!(found.status.code(), Some(1), "{}", text(&found));
    let against = format!(
        "{id}: the payment is COMMITTED, but its debit at icici was forced to be ABORTED by \
         spiffe://strife/admin/1"
    );
    let found = text(&found);
    assert!(found.contains(&against) && found.contains("(gateway lost, ticket 4711)"), "{found}");
    assert!(found.contains("1 findings"), "{found}");
}
