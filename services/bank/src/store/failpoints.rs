//! Where a test may have a bank die: before and after a command of each kind is durable, as
//! `bank.prepare.before` and `bank.commit.after`.

use strife_runtime::failpoint;

use crate::ledger::Command;

/// The failpoints that the commands of a batch pass.
pub(super) struct Steps {
    prepare: bool,
    commit: bool,
}

/// Those of these commands; none in a build without failpoints.
pub(super) fn of<'c>(commands: impl IntoIterator<Item = &'c Command>) -> Steps {
    let mut steps = Steps { prepare: false, commit: false };
    if failpoint::are_built_in() {
        for command in commands {
            steps.prepare |= matches!(command, Command::Prepare(_));
            steps.commit |= matches!(command, Command::Commit(_));
        }
    }
    steps
}

impl Steps {
    /// Nothing is done yet.
    pub(super) async fn before(&self) {
        self.pass("bank.prepare.before", "bank.commit.before").await;
    }

    /// All is durable, and nobody was answered.
    pub(super) async fn after(&self) {
        self.pass("bank.prepare.after", "bank.commit.after").await;
    }

    async fn pass(&self, prepare: &str, commit: &str) {
        if self.prepare {
            failpoint::reach(prepare).await;
        }
        if self.commit {
            failpoint::reach(commit).await;
        }
    }
}
