//! `BankParticipant.Apply`: many legs in one call and one durable commit.
//!
//! Each command has a result of its own: a verdict, or the failure that its own call would have ended
//! with. What one of them asks for in vain does not concern the others.

use strife_proto::bank::v1::{
    Command as WireCommand, CommandResult, GatewayRun, LegBatch, LegResults,
    command::Command as Kind,
};
use strife_runtime::Caller;
use tonic::{Request, Response, Status};
use tracing::{Level, enabled, info};

use super::{
    Bank,
    convert::{self, failure, status, verdict_to_wire},
    owner::MAX_BATCH,
    participant::warn_of_conflict,
};
use crate::{
    clock,
    ledger::{Command, Refusal, Verdict},
    store::Store,
};

impl<S: Store> Bank<S> {
    pub(super) async fn apply_batch(
        &self,
        request: Request<LegBatch>,
    ) -> Result<Response<LegResults>, Status> {
        let caller = Caller::of(&request);
        let LegBatch { commands, coordinator, maker } = request.into_inner();
        caller.note(|| format!("{} commands", commands.len()));
        if !self.gate.is_open() {
            return Err(Status::unimplemented("this server's calls are served one by one"));
        }
        check_length(commands.len())?;
        let _slot = self.gate.admit().await.map_err(status)?;
        let batch = Batch::read(commands, &coordinator, maker, clock::now_ms());
        let verdicts = self.store.apply_all(batch.commands).await.map_err(status)?;
        let results = results(&caller, batch.subjects, verdicts);
        Ok(Response::new(LegResults { results }))
    }
}

/// No batch is longer than the owner of a store takes it.
pub(super) fn check_length(commands: usize) -> Result<(), Status> {
    if commands <= MAX_BATCH {
        return Ok(());
    }
    let why = format!("{commands} commands in a batch of at most {MAX_BATCH}");
    Err(Status::invalid_argument(why))
}

/// A batch as it was read.
struct Batch {
    /// Those that are well-formed, in order.
    commands: Vec<Command>,
    /// One per command of the request: what to call it, or why it is not well-formed.
    subjects: Vec<Result<String, Status>>,
}

impl Batch {
    fn read(
        wire: Vec<WireCommand>,
        coordinator: &str,
        maker: Option<GatewayRun>,
        now_ms: u64,
    ) -> Self {
        let mut commands = Vec::with_capacity(wire.len());
        let subjects = wire.into_iter().map(|mut command| {
            if let Some(Kind::Prepare(prepare)) = &mut command.command
                && let Some(request) = &mut prepare.request
            {
                if request.coordinator.is_empty() {
                    request.coordinator = coordinator.to_owned();
                }
                request.maker = request.maker.or(maker);
            }
            let command = convert::command(command, now_ms)?;
            let subject = subject(&command);
            commands.push(command);
            Ok(subject)
        });
        let subjects = subjects.collect();
        Self { commands, subjects }
    }
}

/// What the log calls a command; nothing if nobody will ask.
fn subject(command: &Command) -> String {
    let logged = enabled!(Level::INFO);
    match command {
        Command::Transfer(transfer) if logged => {
            let (id, amount) = (&transfer.transaction_id, transfer.amount.minor_units);
            format!("transfer {id}: {amount} {} -> {}", transfer.from, transfer.to)
        }
        Command::Prepare(prepare) if logged => {
            format!("prepare {}: {} {}", prepare.key, prepare.body.amount, prepare.body.account_id)
        }
        Command::Prepare(prepare) => prepare.key.to_string(),
        Command::Transfer(transfer) => transfer.transaction_id.clone(),
        Command::Commit(key) if logged => format!("commit {key}"),
        Command::Abort(key) if logged => format!("abort {key}"),
        Command::Fence(run) => format!("fence run {} of store {:08x}", run.run, run.store),
        _ => String::new(),
    }
}

/// One result per command of the request.
fn results(
    caller: &Caller,
    subjects: Vec<Result<String, Status>>,
    verdicts: Vec<Verdict>,
) -> Vec<CommandResult> {
    let mut verdicts = verdicts.into_iter();
    let results = subjects.into_iter().map(|subject| match subject {
        Err(malformed) => failure(&malformed),
        Ok(subject) => match verdicts.next() {
            Some(verdict) => {
                log(caller, &subject, &verdict);
                verdict_to_wire(verdict)
            }
            None => failure(&Status::internal("the store gave no verdict")),
        },
    });
    results.collect()
}

fn log(caller: &Caller, subject: &str, verdict: &Verdict) {
    match verdict {
        Err(Refusal::Conflict) => warn_of_conflict(caller, subject),
        Err(refusal) => info!(subject, %refusal, "refused"),
        Ok(_) => info!(subject, "done"),
    }
}
