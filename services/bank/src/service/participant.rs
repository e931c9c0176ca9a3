//! `BankParticipant`: one bank's legs of payments between banks.

use strife_proto::bank::v1::{
    FenceResponse, FinishRequest, FinishResponse, GatewayRun, LegBatch, LegResults, PrepareRequest,
    PrepareResponse, bank_participant_server::BankParticipant,
};
use strife_runtime::Caller;
use tonic::{Request, Response, Status};
use tracing::warn;

use super::{Bank, convert, note_refusal};
use crate::{
    clock,
    ledger::{Command, Leg, LegKey, Refusal},
    store::Store,
};

impl<S: Store> Bank<S> {
    async fn prepare(
        &self,
        leg: Leg,
        request: Request<PrepareRequest>,
    ) -> Result<Response<PrepareResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let subject = format_prepare(leg, &request);
        caller.note(|| subject.clone());
        let prepare = convert::prepare(leg, request, clock::now_ms())?;
        let verdict = self.apply(Command::Prepare(prepare)).await;
        if matches!(verdict, Ok(Err(Refusal::Conflict))) {
            warn_of_conflict(&caller, &subject);
        }
        note_refusal(&caller, &verdict);
        let refusal = verdict?.err().map(convert::refusal);
        Ok(Response::new(PrepareResponse { refusal }))
    }

    async fn finish(
        &self,
        leg: Leg,
        finish: fn(LegKey) -> Command,
        request: Request<FinishRequest>,
    ) -> Result<Response<FinishResponse>, Status> {
        let caller = Caller::of(&request);
        let FinishRequest { transaction_id } = request.into_inner();
        caller.note(|| LegKey { transaction_id: transaction_id.clone(), leg }.to_string());
        let key = convert::leg_key(leg, transaction_id)?;
        match self.apply(finish(key)).await? {
            Ok(_) => Ok(Response::new(FinishResponse::default())),
            Err(refusal @ Refusal::Forced) => {
                Ok(Response::new(FinishResponse { refusal: Some(convert::refusal(refusal)) }))
            }
            Err(refusal) => Err(Status::failed_precondition(refusal.to_string())),
        }
    }
}

/// One transaction id, two bodies: somebody is in error, or not who he should be.
pub(super) fn warn_of_conflict(caller: &Caller, subject: &str) {
    let client = caller.identity.as_ref().map(ToString::to_string).unwrap_or_default();
    warn!(subject, client, address = caller.address, "asked for before with another body");
}

/// For the log: as it was asked for, be it well-formed or not.
fn format_prepare(leg: Leg, request: &PrepareRequest) -> String {
    let PrepareRequest { transaction_id, account_id, amount, .. } = request;
    let amount = convert::format_money(amount.as_ref());
    let key = LegKey { transaction_id: transaction_id.clone(), leg };
    format!("{key}: {amount} {account_id}")
}

#[tonic::async_trait]
impl<S: Store> BankParticipant for Bank<S> {
    async fn prepare_debit(
        &self,
        request: Request<PrepareRequest>,
    ) -> Result<Response<PrepareResponse>, Status> {
        self.prepare(Leg::Debit, request).await
    }

    async fn prepare_credit(
        &self,
        request: Request<PrepareRequest>,
    ) -> Result<Response<PrepareResponse>, Status> {
        self.prepare(Leg::Credit, request).await
    }

    async fn commit_debit(
        &self,
        request: Request<FinishRequest>,
    ) -> Result<Response<FinishResponse>, Status> {
        self.finish(Leg::Debit, Command::Commit, request).await
    }

    async fn commit_credit(
        &self,
        request: Request<FinishRequest>,
    ) -> Result<Response<FinishResponse>, Status> {
        self.finish(Leg::Credit, Command::Commit, request).await
    }

    async fn abort_debit(
        &self,
        request: Request<FinishRequest>,
    ) -> Result<Response<FinishResponse>, Status> {
        self.finish(Leg::Debit, Command::Abort, request).await
    }

    async fn abort_credit(
        &self,
        request: Request<FinishRequest>,
    ) -> Result<Response<FinishResponse>, Status> {
        self.finish(Leg::Credit, Command::Abort, request).await
    }

    async fn fence(&self, request: Request<GatewayRun>) -> Result<Response<FenceResponse>, Status> {
        let caller = Caller::of(&request);
        let GatewayRun { store, run } = *request.get_ref();
        caller.note(|| format!("run {run} of store {store:08x}"));
        let fence = Command::Fence(convert::run(request.into_inner())?);
        match self.apply(fence).await? {
            Ok(_) => Ok(Response::new(FenceResponse {})),
            Err(refusal) => Err(Status::failed_precondition(refusal.to_string())),
        }
    }

    async fn apply(&self, request: Request<LegBatch>) -> Result<Response<LegResults>, Status> {
        self.apply_batch(request).await
    }
}
