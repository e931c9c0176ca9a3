//! `BankAdmin`: what the bank holds altogether, and what operators do to its accounts. Served by servers
//! with a store of the bank's own.

use std::{collections::BTreeMap, pin::Pin};

use futures_util::{Stream, TryStreamExt, stream};
use strife_proto::{
    bank::v1::{
        AccountDetails as WireDetails, AccountRequest, AccountState as WireState, ForceLegRequest,
        ForceLegResponse, ForcedLeg, LegEntry, LegState as WireLegState, ListLegsRequest,
        OpenAccountRequest, SetAccountStateRequest, SetLimitsRequest, TotalsRequest,
        TotalsResponse, bank_admin_server::BankAdmin,
    },
    common::v1::Money,
};
use strife_runtime::Caller;
use tonic::{Request, Response, Status};
use tracing::{info, warn};

use super::{
    convert::{amount, check_id, leg, leg_key, leg_to_wire, money, status},
    wire_state,
};
use crate::{
    accounts::is_account_id,
    clock,
    ledger::{
        AccountState, Command, End, Force, Forced, LegState, Met, OpenAccount, Refusal,
        SetAccountState, SetLimits, SpendingLimits,
    },
    money::Currency,
    store::{KnownLeg, WholeStore},
};

/// Legs that are read at a time.
const PAGE: usize = 1_000;

/// `BankAdmin` on the bank's store.
pub struct Admin<S> {
    bank: String,
    store: S,
}

impl<S: WholeStore> Admin<S> {
    /// For the bank of that name.
    pub fn new(bank: &str, store: S) -> Self {
        Self { bank: bank.to_owned(), store }
    }

    /// Does something to an account, and says how it then stands.
    async fn change(
        &self,
        caller: &Caller,
        account_id: String,
        what: String,
        command: Command,
    ) -> Result<Response<WireDetails>, Status> {
        let verdict = self.store.apply(command).await.map_err(status)?;
        verdict.map_err(|refusal| self.refused(&account_id, refusal))?;
        let client = caller.identity.as_ref().map(ToString::to_string).unwrap_or_default();
        info!(account = account_id, what, client, address = caller.address, "account changed");
        self.details(account_id).await
    }

    async fn details(&self, account_id: String) -> Result<Response<WireDetails>, Status> {
        let Some(found) = self.store.details(&account_id).await.map_err(status)? else {
            return Err(self.refused(&account_id, Refusal::UnknownAccount));
        };
        let (account, limits) = (found.account, found.limits);
        let now_ms = clock::now_ms();
        let limit = |of: fn(&SpendingLimits) -> Option<i64>| limits.as_ref().and_then(of);
        Ok(Response::new(WireDetails {
            bank: self.bank.clone(),
            account_id,
            state: wire_state(account.state).into(),
            currency: account.currency.to_string(),
            available: account.available,
            held: account.held,
            incoming: account.incoming,
            per_payment: limit(|limits| limits.per_payment),
            per_day: limit(|limits| limits.per_day),
            left_today: limits.and_then(|limits| limits.left(now_ms)),
        }))
    }

    fn refused(&self, account_id: &str, refusal: Refusal) -> Status {
        let bank = &self.bank;
        match refusal {
            Refusal::UnknownAccount => {
                Status::not_found(format!("there is no account {account_id} at bank {bank}"))
            }
            Refusal::AccountExists => Status::already_exists(format!(
                "account {account_id} exists at bank {bank} already"
            )),
            other => Status::invalid_argument(format!("account {account_id}: {other}")),
        }
    }
}

#[tonic::async_trait]
impl<S: WholeStore> BankAdmin for Admin<S> {
    async fn get_totals(
        &self,
        _request: Request<TotalsRequest>,
    ) -> Result<Response<TotalsResponse>, Status> {
        let totals = self.store.totals().await.map_err(status)?;
        let commits = self.store.commits();
        Ok(Response::new(TotalsResponse {
            bank: self.bank.clone(),
            accounts: totals.accounts,
            customers: sums(totals.customers)?,
            settlement: sums(totals.settlement)?,
            in_doubt: totals.in_doubt,
            fsync_us_p50: commits.quantile_us(0.5),
            fsync_us_p99: commits.quantile_us(0.99),
            opening: sums(totals.opening)?,
            held: sums(totals.held)?,
            incoming: sums(totals.incoming)?,
        }))
    }

    async fn open_account(
        &self,
        request: Request<OpenAccountRequest>,
    ) -> Result<Response<WireDetails>, Status> {
        let caller = Caller::of(&request);
        let OpenAccountRequest { account_id, opening } = request.into_inner();
        check_new_id(&account_id)?;
        let balance = amount(opening)?;
        let (what, state) = (format!("opened with {balance}"), AccountState::Active);
        // The store may run it again where it does not know whether it took place.
        let transaction_id = Some(format!("opening-{:032x}", rand::random::<u128>()));
        let opening =
            OpenAccount { account_id: account_id.clone(), balance, state, transaction_id };
        self.change(&caller, account_id, what, Command::OpenAccount(opening)).await
    }

    async fn set_account_state(
        &self,
        request: Request<SetAccountStateRequest>,
    ) -> Result<Response<WireDetails>, Status> {
        let caller = Caller::of(&request);
        let wanted = request.get_ref().state();
        let SetAccountStateRequest { account_id, .. } = request.into_inner();
        check_id("account_id", &account_id)?;
        let state = match wanted {
            WireState::Active => AccountState::Active,
            WireState::Frozen => AccountState::Frozen,
            _ => return Err(Status::invalid_argument("state must be ACTIVE or FROZEN")),
        };
        let set = SetAccountState { account_id: account_id.clone(), state };
        let what = format!("now {state:?}");
        self.change(&caller, account_id, what, Command::SetAccountState(set)).await
    }

    async fn set_limits(
        &self,
        request: Request<SetLimitsRequest>,
    ) -> Result<Response<WireDetails>, Status> {
        let caller = Caller::of(&request);
        let SetLimitsRequest { account_id, per_payment, per_day } = request.into_inner();
        check_id("account_id", &account_id)?;
        if per_payment.is_some_and(|most| most < 0) || per_day.is_some_and(|most| most < 0) {
            return Err(Status::invalid_argument("a limit must not be negative"));
        }
        let what = format!("limits per payment {per_payment:?}, per day {per_day:?}");
        let at_ms = clock::now_ms();
        let set = SetLimits { account_id: account_id.clone(), per_payment, per_day, at_ms };
        self.change(&caller, account_id, what, Command::SetLimits(set)).await
    }

    async fn get_account(
        &self,
        request: Request<AccountRequest>,
    ) -> Result<Response<WireDetails>, Status> {
        let AccountRequest { account_id } = request.into_inner();
        check_id("account_id", &account_id)?;
        self.details(account_id).await
    }

    type ListLegsStream = Pin<Box<dyn Stream<Item = Result<LegEntry, Status>> + Send>>;

    async fn list_legs(
        &self,
        _request: Request<ListLegsRequest>,
    ) -> Result<Response<Self::ListLegsStream>, Status> {
        let store = self.store.clone();
        let pages = stream::try_unfold(String::new(), move |after| {
            let store = store.clone();
            async move {
                let legs = store.legs(&after, PAGE).await.map_err(status)?;
                let Some(last) = legs.last() else { return Ok::<_, Status>(None) };
                let after = last.key.to_string();
                Ok(Some((stream::iter(legs.into_iter().map(|leg| Ok(entry(leg)))), after)))
            }
        });
        Ok(Response::new(Box::pin(pages.try_flatten())))
    }

    async fn force_leg(
        &self,
        request: Request<ForceLegRequest>,
    ) -> Result<Response<ForceLegResponse>, Status> {
        let caller = Caller::of(&request);
        let wanted = request.get_ref().state();
        let ForceLegRequest { transaction_id, leg: side, reason, .. } = request.into_inner();
        let key = leg_key(leg(side)?, transaction_id)?;
        let end = match wanted {
            WireLegState::Committed => End::Commit,
            WireLegState::Aborted => End::Abort,
            _ => return Err(Status::invalid_argument("state must be COMMITTED or ABORTED")),
        };
        check_reason(&reason)?;
        let by = caller.identity.as_ref().map_or(caller.address, ToString::to_string);
        warn!(leg = %key, ?end, by, reason, "an operator ends a leg without its decision");
        let at_ms = clock::now_ms();
        let force = Command::Force(Force { key: key.clone(), end, by, reason, at_ms });
        match self.store.apply(force).await.map_err(status)? {
            Ok(_) => Ok(Response::new(ForceLegResponse { bank: self.bank.clone() })),
            Err(Refusal::NotPrepared) => {
                Err(Status::not_found(format!("bank {} holds nothing for {key}", self.bank)))
            }
            Err(refusal) => Err(Status::failed_precondition(format!(
                "{key} at bank {} cannot be forced: {refusal}",
                self.bank
            ))),
        }
    }
}

/// Longest reason, in bytes.
const REASON_BYTES_MAX: usize = 500;

fn check_reason(reason: &str) -> Result<(), Status> {
    if (1..=REASON_BYTES_MAX).contains(&reason.trim().len()) && !reason.contains('\0') {
        return Ok(());
    }
    Err(Status::invalid_argument(format!("reason must have 1 to {REASON_BYTES_MAX} bytes")))
}

/// What account files may hold, too: none of the bank's own accounts has such a name.
fn check_new_id(account_id: &str) -> Result<(), Status> {
    if is_account_id(account_id) {
        return Ok(());
    }
    Err(Status::invalid_argument("account_id must have 1 to 64 of A-Z a-z 0-9 . _ -"))
}

fn entry(known: KnownLeg) -> LegEntry {
    let KnownLeg { key, leg, forced } = known;
    let state = match leg.state {
        LegState::Prepared => WireLegState::Prepared,
        LegState::Committed => WireLegState::Committed,
        LegState::Aborted => WireLegState::Aborted,
        LegState::Refused(_) => WireLegState::Refused,
    };
    let (account_id, amount, coordinator) = match leg.body {
        Some(body) => (body.account_id, Some(money(body.amount)), body.coordinator),
        None => Default::default(),
    };
    LegEntry {
        transaction_id: key.transaction_id,
        leg: leg_to_wire(key.leg).into(),
        state: state.into(),
        account_id,
        amount,
        coordinator,
        prepared_at_ms: leg.prepared_at_ms,
        forced: forced.map(forced_to_wire),
    }
}

fn forced_to_wire(forced: Forced) -> ForcedLeg {
    let Forced { end, by, reason, at_ms, decision } = forced;
    let (state, other) = match end {
        End::Commit => (WireLegState::Committed, WireLegState::Aborted),
        End::Abort => (WireLegState::Aborted, WireLegState::Committed),
    };
    let decision = match decision {
        Met::Unknown => WireLegState::Unspecified,
        Met::Agreed => state,
        Met::Contradicted => other,
    };
    ForcedLeg { state: state.into(), by, reason, at_ms, decision: decision.into() }
}

fn sums(sums: BTreeMap<Currency, i128>) -> Result<Vec<Money>, Status> {
    let money = |(currency, sum): (Currency, i128)| {
        let minor_units = i64::try_from(sum).map_err(|_| {
            Status::out_of_range(format!("the sum of {currency} does not fit 64 bits"))
        })?;
        Ok(Money { minor_units, currency: currency.to_string() })
    };
    sums.into_iter().map(money).collect()
}
