//! A command in a call of its own, for banks whose servers take no batches.

use std::{future::Future, time::Duration};

use strife_proto::bank::v1::{
    CommandResult, FinishLeg, FinishRequest, Leg, PrepareLeg, Refusal, command::Command as Kind,
};
use tonic::{Request, Response, Status};

use super::{Client, call_error};
use crate::banks::{CallError, End};

impl Client {
    /// As [`Client::apply`], by the method that does this one thing.
    pub(super) async fn single(
        &self,
        command: Kind,
        timeout: Duration,
    ) -> Result<CommandResult, CallError> {
        let nothing = CommandResult::default();
        match command {
            Kind::Prepare(prepare) => {
                let refusal = self.prepare(prepare, timeout).await?;
                Ok(CommandResult { refusal, ..nothing })
            }
            Kind::Commit(leg) => self.finish(leg, End::Commit, timeout).await,
            Kind::Abort(leg) => self.finish(leg, End::Abort, timeout).await,
            Kind::Fence(run) => {
                let (bank, mut participant) = (&self.bank, self.participant.clone());
                ask(bank, timeout, run, |r| participant.fence(r)).await.map(|_| nothing)
            }
            Kind::Transfer(transfer) => {
                let mut service = self.service.clone();
                let (bank, request) = (&self.bank, transfer);
                let answer =
                    ask(bank, timeout, request, |r| service.process_transaction(r)).await?;
                let (refusal, available) = (answer.refusal, answer.available);
                Ok(CommandResult { refusal, available, ..nothing })
            }
        }
    }

    async fn prepare(
        &self,
        prepare: PrepareLeg,
        timeout: Duration,
    ) -> Result<Option<Refusal>, CallError> {
        let (bank, mut participant) = (&self.bank, self.participant.clone());
        let leg = prepare.leg();
        let mut request = prepare.request.unwrap_or_default();
        request.coordinator.clone_from(&self.coordinator);
        request.maker = self.maker.get().copied();
        let answer = match leg {
            Leg::Credit => ask(bank, timeout, request, |r| participant.prepare_credit(r)).await,
            _ => ask(bank, timeout, request, |r| participant.prepare_debit(r)).await,
        };
        Ok(answer?.refusal)
    }

    async fn finish(
        &self,
        finish: FinishLeg,
        end: End,
        timeout: Duration,
    ) -> Result<CommandResult, CallError> {
        let (bank, mut participant) = (&self.bank, self.participant.clone());
        let leg = finish.leg();
        let request = FinishRequest { transaction_id: finish.transaction_id };
        match (end, leg) {
            (End::Commit, Leg::Credit) => {
                ask(bank, timeout, request, |r| participant.commit_credit(r)).await
            }
            (End::Commit, _) => ask(bank, timeout, request, |r| participant.commit_debit(r)).await,
            (End::Abort, Leg::Credit) => {
                ask(bank, timeout, request, |r| participant.abort_credit(r)).await
            }
            (End::Abort, _) => ask(bank, timeout, request, |r| participant.abort_debit(r)).await,
        }
        .map(|answer| CommandResult { refusal: answer.refusal, ..CommandResult::default() })
    }
}

/// One call, with a deadline that the bank is told too. It is kept here: tonic's own is over once the
/// answer's headers are there, and a bank may fall silent after them.
pub(super) async fn ask<Q, A, F>(
    bank: &str,
    timeout: Duration,
    message: Q,
    call: impl FnOnce(Request<Q>) -> F,
) -> Result<A, CallError>
where
    F: Future<Output = Result<Response<A>, Status>>,
{
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    match tokio::time::timeout(timeout, call(request)).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(call_error(bank, &status)),
        Err(_) => Err(CallError::NoAnswer(format!("bank {bank}: no answer within {timeout:?}"))),
    }
}
