//! Between the contract's types and ours: what is malformed is refused here, at the edge.

use strife_proto::{bank::v1 as wire, common::v1::Money};
use strife_store::StoreError;
use tonic::Status;

use crate::{
    BankError,
    ledger::{
        Command, GatewayRun, Leg, LegBody, LegKey, Prepare, Receipt, Refusal, Transfer, Verdict,
    },
    money::Amount,
};

/// Longest identifier, in bytes.
const MAX_ID_BYTES: usize = 64;

pub(super) fn check_id(field: &str, id: &str) -> Result<(), Status> {
    match id.len() {
        // Not every store can hold such a text.
        1..=MAX_ID_BYTES if id.contains('\0') => {
            Err(Status::invalid_argument(format!("{field} must not contain a zero byte")))
        }
        1..=MAX_ID_BYTES => Ok(()),
        length => Err(Status::invalid_argument(format!(
            "{field} must have 1 to {MAX_ID_BYTES} bytes, not {length}"
        ))),
    }
}

/// A coordinator is asked under its name as `:authority`, so it has to be able to stand there.
fn check_coordinator(coordinator: &str) -> Result<(), Status> {
    check_id("coordinator", coordinator)?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
    if coordinator.bytes().all(allowed) {
        return Ok(());
    }
    Err(Status::invalid_argument("coordinator must be an authority, such as gateway"))
}

/// An amount that can be moved.
pub(super) fn positive(amount: Option<Money>) -> Result<Amount, Status> {
    let amount = self::amount(amount)?;
    if amount.minor_units <= 0 {
        return Err(Status::invalid_argument(Refusal::InvalidAmount.to_string()));
    }
    Ok(amount)
}

pub(super) fn amount(amount: Option<Money>) -> Result<Amount, Status> {
    let amount = amount.ok_or_else(|| Status::invalid_argument("amount is missing"))?;
    let currency = amount.currency.parse();
    let currency =
        currency.map_err(|error| Status::invalid_argument(format!("amount.currency: {error}")))?;
    Ok(Amount { minor_units: amount.minor_units, currency })
}

/// For the log: an amount as it was asked for, in minor units.
pub(super) fn format_money(amount: Option<&Money>) -> String {
    match amount {
        Some(Money { minor_units, currency }) => format!("{minor_units} {currency} minor units"),
        None => "no amount".to_owned(),
    }
}

pub(super) fn money(amount: Amount) -> Money {
    Money { minor_units: amount.minor_units, currency: amount.currency.to_string() }
}

pub(super) fn prepare(
    leg: Leg,
    request: wire::PrepareRequest,
    now_ms: u64,
) -> Result<Prepare, Status> {
    let wire::PrepareRequest { transaction_id, account_id, amount, coordinator, maker } = request;
    check_id("transaction_id", &transaction_id)?;
    check_id("account_id", &account_id)?;
    check_coordinator(&coordinator)?;
    let body = LegBody { account_id, amount: positive(amount)?, coordinator };
    let maker = maker.map(run).transpose()?;
    Ok(Prepare { key: LegKey { transaction_id, leg }, body, at_ms: now_ms, maker })
}

pub(super) fn run(run: wire::GatewayRun) -> Result<GatewayRun, Status> {
    let wire::GatewayRun { store, run } = run;
    if run == 0 {
        return Err(Status::invalid_argument("runs are numbered from 1"));
    }
    Ok(GatewayRun { store, run })
}

pub(super) fn leg_key(leg: Leg, transaction_id: String) -> Result<LegKey, Status> {
    check_id("transaction_id", &transaction_id)?;
    Ok(LegKey { transaction_id, leg })
}

/// A command as it travels between a bank's servers. `None` for what never does.
pub(super) fn command_to_wire(command: Command) -> Option<wire::Command> {
    use wire::command::Command as Kind;
    let kind = match command {
        Command::OpenAccount(_)
        | Command::SetAccountState(_)
        | Command::SetLimits(_)
        | Command::Force(_) => return None,
        Command::Transfer(transfer) => {
            let Transfer { transaction_id, from, to, amount, .. } = transfer;
            Kind::Transfer(wire::TransactionRequest {
                transaction_id,
                from_account_id: from,
                to_account_id: to,
                amount: Some(money(amount)),
            })
        }
        Command::Prepare(Prepare { key, body, maker, .. }) => Kind::Prepare(wire::PrepareLeg {
            leg: leg_to_wire(key.leg).into(),
            request: Some(wire::PrepareRequest {
                transaction_id: key.transaction_id,
                account_id: body.account_id,
                amount: Some(money(body.amount)),
                coordinator: body.coordinator,
                maker: maker.map(run_to_wire),
            }),
        }),
        Command::Commit(key) => Kind::Commit(finish_to_wire(key)),
        Command::Abort(key) => Kind::Abort(finish_to_wire(key)),
        Command::Fence(run) => Kind::Fence(run_to_wire(run)),
    };
    Some(wire::Command { command: Some(kind) })
}

/// A command from another of the bank's servers, checked as if it came from anybody.
pub(super) fn command(command: wire::Command, now_ms: u64) -> Result<Command, Status> {
    use wire::command::Command as Kind;
    let kind = command.command.ok_or_else(|| Status::invalid_argument("an unknown command"))?;
    Ok(match kind {
        Kind::Transfer(request) => Command::Transfer(super::transfer(request, now_ms)?),
        Kind::Prepare(prepare) => {
            let leg = leg(prepare.leg)?;
            let request = prepare.request;
            let request = request.ok_or_else(|| Status::invalid_argument("an empty prepare"))?;
            Command::Prepare(self::prepare(leg, request, now_ms)?)
        }
        Kind::Commit(finish) => Command::Commit(leg_key(leg(finish.leg)?, finish.transaction_id)?),
        Kind::Abort(finish) => Command::Abort(leg_key(leg(finish.leg)?, finish.transaction_id)?),
        Kind::Fence(fenced) => Command::Fence(run(fenced)?),
    })
}

fn run_to_wire(run: GatewayRun) -> wire::GatewayRun {
    wire::GatewayRun { store: run.store, run: run.run }
}

fn finish_to_wire(key: LegKey) -> wire::FinishLeg {
    wire::FinishLeg { leg: leg_to_wire(key.leg).into(), transaction_id: key.transaction_id }
}

pub(super) fn leg_to_wire(leg: Leg) -> wire::Leg {
    match leg {
        Leg::Debit => wire::Leg::Debit,
        Leg::Credit => wire::Leg::Credit,
    }
}

pub(super) fn leg(leg: i32) -> Result<Leg, Status> {
    match wire::Leg::try_from(leg) {
        Ok(wire::Leg::Debit) => Ok(Leg::Debit),
        Ok(wire::Leg::Credit) => Ok(Leg::Credit),
        _ => Err(Status::invalid_argument("leg must be debit or credit")),
    }
}

pub(super) fn refusal(refusal: Refusal) -> wire::Refusal {
    use wire::RefusalReason as Reason;
    let reason = match refusal {
        Refusal::UnknownAccount => Reason::UnknownAccount,
        Refusal::AccountFrozen => Reason::AccountFrozen,
        Refusal::InsufficientFunds => Reason::InsufficientFunds,
        Refusal::WrongCurrency => Reason::WrongCurrency,
        Refusal::InvalidAmount => Reason::InvalidAmount,
        Refusal::SameAccount => Reason::SameAccount,
        Refusal::Aborted => Reason::Aborted,
        Refusal::Conflict => Reason::Conflict,
        Refusal::Overflow => Reason::Overflow,
        Refusal::NotPrepared => Reason::NotPrepared,
        Refusal::Committed => Reason::Committed,
        Refusal::AccountExists => Reason::AccountExists,
        Refusal::LimitPerPayment => Reason::LimitPerPayment,
        Refusal::LimitPerDay => Reason::LimitPerDay,
        Refusal::Fenced => Reason::Fenced,
        Refusal::Forced => Reason::Forced,
    };
    wire::Refusal { reason: reason.into(), detail: refusal.to_string() }
}

pub(super) fn verdict_to_wire(verdict: Verdict) -> wire::CommandResult {
    let nothing = wire::CommandResult::default();
    match verdict {
        Ok(Receipt::Done) => nothing,
        Ok(Receipt::Transferred { available }) => {
            wire::CommandResult { available: Some(money(available)), ..nothing }
        }
        Err(why) => wire::CommandResult { refusal: Some(refusal(why)), ..nothing },
    }
}

/// What a command without a verdict ends with.
pub(super) fn failure(status: &Status) -> wire::CommandResult {
    let (code, message) = (status.code().into(), status.message().to_owned());
    let failure = Some(wire::Failure { code, message });
    wire::CommandResult { failure, ..wire::CommandResult::default() }
}

/// A verdict from the owner; `None` if this version does not know it.
pub(super) fn verdict(result: wire::CommandResult) -> Option<Verdict> {
    match (result.refusal, result.available) {
        (Some(refusal), _) => {
            let code = u8::try_from(refusal.reason).ok()?;
            Some(Err(Refusal::from_code(code)?))
        }
        (None, None) => Some(Ok(Receipt::Done)),
        (None, Some(available)) => {
            let available = amount(Some(available)).ok()?;
            Some(Ok(Receipt::Transferred { available }))
        }
    }
}

/// How an error is told to a caller.
pub(super) fn status(error: BankError) -> Status {
    let message = error.to_string();
    match error {
        BankError::SlotsExhausted { .. }
        | BankError::OwnerOverloaded { .. }
        | BankError::Store(StoreError::Overloaded { .. }) => Status::resource_exhausted(message),
        BankError::OwnerUnavailable { .. }
        | BankError::Store(
            StoreError::Stopped
            | StoreError::DatabaseAway { .. }
            | StoreError::DatabaseContended { .. },
        ) => Status::unavailable(message),
        BankError::Faulty { code } => Status::new(code, message),
        _ => Status::internal(message),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::tests::any_command;

    #[test]
    fn verdicts_read_back_as_written() {
        let available = Amount { minor_units: 7, currency: "INR".parse().unwrap() };
        let receipts = [Ok(Receipt::Done), Ok(Receipt::Transferred { available })];
        let refusals = (1..=16).map(|code| Err(Refusal::from_code(code).unwrap()));
        for verdict in receipts.into_iter().chain(refusals) {
            assert_eq!(super::verdict(verdict_to_wire(verdict)), Some(verdict));
        }
    }

    #[test]
    fn coordinators_must_be_authorities() {
        for good in ["gateway", "gateway-1.internal:8080"] {
            assert!(check_coordinator(good).is_ok());
        }
        for bad in ["", "a b", "a/b", "a@b", "\n", &"a".repeat(65)] {
            assert!(check_coordinator(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        /// What the edge would refuse may be refused on the way; all else arrives as it was sent.
        #[test]
        fn commands_read_back_as_written(sent in any_command()) {
            let wire = command_to_wire(sent.clone()).unwrap();
            match command(wire, 7) {
                Ok(received) => prop_assert_eq!(received, sent),
                Err(status) => prop_assert_eq!(status.code(), tonic::Code::InvalidArgument),
            }
        }
    }
}
