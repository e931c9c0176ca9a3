//! The only place in the workloads that knows the contract's generated types: requests out as framed
//! bytes, responses in as verdicts.

use bytes::Bytes;
use prost::Message;
use strife_proto::{
    bank::v1::{AccountRequest, BalanceRequest, TransactionRequest, TransactionResponse},
    common::v1::Money,
    gateway::v1::{AccountRef, PaymentRequest, PaymentResponse, PaymentState},
};

use super::{
    Verdict,
    accounts::{Account, OwnedAccount},
    framed,
};

fn encoded(message: &impl Message) -> Bytes {
    framed(&message.encode_to_vec())
}

pub(super) fn validate_account(account: &Account) -> Bytes {
    encoded(&AccountRequest { account_id: account.id.clone() })
}

pub(super) fn get_account_balance(account: &Account) -> Bytes {
    encoded(&BalanceRequest { account_id: account.id.clone() })
}

pub(super) fn process_transaction(
    transaction_id: String,
    from: &Account,
    to: &Account,
    minor_units: i64,
) -> Bytes {
    encoded(&TransactionRequest {
        transaction_id,
        from_account_id: from.id.clone(),
        to_account_id: to.id.clone(),
        amount: Some(Money { minor_units, currency: from.currency.clone() }),
    })
}

pub(super) fn process_payment(
    payment_id: String,
    from: &OwnedAccount,
    to: &OwnedAccount,
    minor_units: i64,
    queue_for_s: u32,
) -> Bytes {
    encoded(&PaymentRequest {
        payment_id,
        user: from.username.clone(),
        from: Some(account_ref(from)),
        to: Some(account_ref(to)),
        amount: Some(Money { minor_units, currency: from.account.currency.clone() }),
        queue_for_s,
    })
}

fn account_ref(owned: &OwnedAccount) -> AccountRef {
    AccountRef { bank: owned.bank.clone(), account_id: owned.account.id.clone() }
}

pub(super) fn judge_transaction(response: &[u8]) -> Verdict {
    match TransactionResponse::decode(response) {
        Ok(response) if response.refusal.is_some() => Verdict::Refused,
        Ok(_) => Verdict::Accepted,
        Err(_) => Verdict::Malformed,
    }
}

pub(super) fn judge_payment(response: &[u8]) -> Verdict {
    match PaymentResponse::decode(response).map(|response| response.state()) {
        Ok(PaymentState::Committed) => Verdict::Accepted,
        Ok(PaymentState::Aborted) => Verdict::Refused,
        Ok(PaymentState::Queued) => Verdict::Queued,
        Ok(PaymentState::Initiated | PaymentState::Unspecified) | Err(_) => Verdict::Malformed,
    }
}
