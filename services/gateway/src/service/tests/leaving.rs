//! The users file changes; what was answered before does not.

use strife_proto::gateway::v1::PaymentState;
use tonic::Code;

use super::{
    fake_bank::{Fault, Method},
    system::{System, USERS, to_himself, to_jane},
};

impl System {
    /// Starts again without these lines in the users file.
    async fn restart_without(&mut self, left: &str) {
        let stays = |line: &&str| !line.starts_with(left);
        self.users = USERS.lines().filter(stays).map(|line| format!("{line}\n")).collect();
        self.restart().await;
    }
}

#[tokio::test]
async fn whoever_leaves_keeps_the_answers_he_was_given() {
    let mut system = System::start().await;
    let committed = system.pay(to_jane("p1", 300)).await.unwrap();
    let aborted = system.pay(to_jane("p2", 5_000)).await.unwrap();
    assert_eq!(aborted.state(), PaymentState::Aborted);
    let accountless = ("john,icici,J1", Code::PermissionDenied);
    let unknown = ("john,", Code::NotFound);
    for (left, of_a_new_one) in [accountless, unknown] {
        system.restart_without(left).await;
        assert_eq!(system.pay(to_jane("p1", 300)).await.unwrap(), committed, "without {left}");
        assert_eq!(system.pay(to_jane("p2", 5_000)).await.unwrap(), aborted, "without {left}");
        let refused = system.pay(to_jane("p3", 1)).await.unwrap_err();
        assert_eq!(refused.code(), of_a_new_one, "{refused}");
        let changed = system.pay(to_jane("p1", 301)).await.unwrap_err();
        assert_eq!(changed.code(), Code::AlreadyExists, "{changed}");
    }
    assert_eq!((system.icici.balance("J1"), system.sbi.balance("A1")), (700, 800));
}

#[tokio::test]
async fn whoever_leaves_is_told_how_his_payment_ends() {
    let mut system = System::start().await;
    system.icici.set(Method::Transfer, Fault::Silent);
    let mut client = system.client();
    let asked = tokio::spawn(async move { client.process_payment(to_himself("p1", 300)).await });
    let transaction_id = system.until_initiated("p1").await;
    asked.abort();
    system.restart_without("john,").await;
    system.icici.heal(Method::Transfer);
    let answer = system.pay(to_himself("p1", 300)).await.unwrap();
    assert_eq!((answer.state(), answer.transaction_id), (PaymentState::Committed, transaction_id));
}
