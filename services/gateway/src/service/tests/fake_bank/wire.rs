//! The fake bank's services: what arrives goes to its methods, batches command by command.

use futures_util::future::join_all;
use strife_proto::{
    bank::v1::{
        AccountRequest, AccountResponse, BalanceRequest, BalanceResponse, Command, CommandResult,
        Failure, FenceResponse, FinishLeg, FinishRequest, FinishResponse, GatewayRun,
        Leg as WireLeg, LegBatch, LegResults, PrepareRequest, PrepareResponse, TransactionRequest,
        TransactionResponse, bank_participant_server::BankParticipant,
        bank_service_server::BankService, command::Command as Kind,
    },
    common::v1::Money,
};
use tonic::{Request, Response, Status};

use super::{Batches, FakeBank, Method};
use crate::payment::Leg;

impl FakeBank {
    async fn command(&self, command: Command, coordinator: &str) -> Result<CommandResult, Status> {
        let leg = |leg| if leg == WireLeg::Debit { Leg::Debit } else { Leg::Credit };
        let finish = |finish: FinishLeg| {
            let leg = leg(finish.leg());
            (leg, FinishRequest { transaction_id: finish.transaction_id })
        };
        let refusal = match command.command.unwrap() {
            Kind::Prepare(prepare) => {
                let leg = leg(prepare.leg());
                assert_eq!(coordinator, "gateway", "nobody to ask");
                self.prepare(leg, prepare.request.unwrap()).await?.into_inner().refusal
            }
            Kind::Commit(commit) => {
                let (leg, request) = finish(commit);
                self.commit(leg, request).await.map(|_| None)?
            }
            Kind::Abort(abort) => {
                let (leg, request) = finish(abort);
                self.abort(leg, request).await.map(|_| None)?
            }
            Kind::Fence(run) => {
                self.fence(Request::new(run)).await?;
                None
            }
            Kind::Transfer(request) => {
                let answer = self.serve(Method::Transfer, |state| Ok(state.transfer(request)));
                answer.await?.into_inner().refusal
            }
        };
        Ok(CommandResult { refusal, ..CommandResult::default() })
    }
}

#[tonic::async_trait]
impl BankParticipant for FakeBank {
    async fn prepare_debit(
        &self,
        request: Request<PrepareRequest>,
    ) -> Result<Response<PrepareResponse>, Status> {
        self.prepare(Leg::Debit, request.into_inner()).await
    }

    async fn prepare_credit(
        &self,
        request: Request<PrepareRequest>,
    ) -> Result<Response<PrepareResponse>, Status> {
        self.prepare(Leg::Credit, request.into_inner()).await
    }

    async fn commit_debit(
        &self,
        request: Request<FinishRequest>,
    ) -> Result<Response<FinishResponse>, Status> {
        self.commit(Leg::Debit, request.into_inner()).await
    }

    async fn commit_credit(
        &self,
        request: Request<FinishRequest>,
    ) -> Result<Response<FinishResponse>, Status> {
        self.commit(Leg::Credit, request.into_inner()).await
    }

    async fn abort_debit(
        &self,
        request: Request<FinishRequest>,
    ) -> Result<Response<FinishResponse>, Status> {
        self.abort(Leg::Debit, request.into_inner()).await
    }

    async fn abort_credit(
        &self,
        request: Request<FinishRequest>,
    ) -> Result<Response<FinishResponse>, Status> {
        self.abort(Leg::Credit, request.into_inner()).await
    }

    async fn fence(&self, request: Request<GatewayRun>) -> Result<Response<FenceResponse>, Status> {
        assert!(request.get_ref().run > 0, "runs are numbered from 1");
        Ok(Response::new(FenceResponse {}))
    }

    async fn apply(&self, request: Request<LegBatch>) -> Result<Response<LegResults>, Status> {
        let LegBatch { commands, coordinator, maker } = request.into_inner();
        assert!(maker.is_some_and(|maker| maker.run > 0), "nobody to fence");
        let how = {
            let mut state = self.state.lock().unwrap();
            state.batches.push(commands.len());
            state.takes_batches
        };
        self.changed.send_modify(|changes| *changes += 1);
        match how {
            Batches::Unknown => return Err(Status::unimplemented("told to be of old")),
            Batches::Denied => return Err(Status::invalid_argument("told to turn batches away")),
            Batches::Taken | Batches::Miscounted(_) => {}
        }
        let results = commands.into_iter().map(|command| async {
            self.command(command, &coordinator).await.unwrap_or_else(|status| CommandResult {
                failure: Some(Failure {
                    code: status.code().into(),
                    message: status.message().to_owned(),
                }),
                ..CommandResult::default()
            })
        });
        let mut results = join_all(results).await;
        match how {
            Batches::Miscounted(..0) => drop(results.pop()),
            Batches::Miscounted(_) => results.push(CommandResult::default()),
            _ => {}
        }
        Ok(Response::new(LegResults { results }))
    }
}

#[tonic::async_trait]
impl BankService for FakeBank {
    async fn validate_account(
        &self,
        _: Request<AccountRequest>,
    ) -> Result<Response<AccountResponse>, Status> {
        Err(Status::unimplemented("the gateway does not ask this"))
    }

    async fn process_transaction(
        &self,
        request: Request<TransactionRequest>,
    ) -> Result<Response<TransactionResponse>, Status> {
        let request = request.into_inner();
        self.serve(Method::Transfer, |state| Ok(state.transfer(request))).await
    }

    async fn get_account_balance(
        &self,
        request: Request<BalanceRequest>,
    ) -> Result<Response<BalanceResponse>, Status> {
        let account_id = request.into_inner().account_id;
        let money = |minor_units| Some(Money { minor_units, currency: "INR".to_owned() });
        self.serve(Method::Balance, |state| {
            let balance = state.balances.get(&account_id).copied();
            let balance = balance.ok_or_else(|| Status::not_found("no such account"))?;
            let held = state.held.values().filter(|(account, _)| *account == account_id);
            let held = held.map(|(_, amount)| amount).sum();
            Ok(BalanceResponse { account_id, available: money(balance), held: money(held) })
        })
        .await
    }
}
