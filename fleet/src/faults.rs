//! What can befall members while the fleet runs: killed, suspended, slow, failing; one more, one less; a
//! whole bank away.
//!
//! Each is the real thing, done to a real process: SIGKILL, SIGSTOP, or a server that takes its time
//! or fails because it was told to (`strife bank --allow-faults`).

use strife_proto::bank::v1::{SetFaultRequest, bank_faults_client::BankFaultsClient};
use strife_runtime::{connect, tls::Expected};
use tonic::Code;

use crate::{Fleet, FleetError};

impl Fleet {
    /// `kill -9`.
    pub async fn kill(&mut self, member: &str) -> Result<(), FleetError> {
        self.member(member)?.kill().await;
        Ok(())
    }

    /// `kill -9` to the owner of a bank's store and all of its servers.
    pub async fn kill_bank(&mut self, bank: &str) -> Result<(), FleetError> {
        for member in self.of_bank(bank)? {
            self.kill(&member).await?;
        }
        Ok(())
    }

    /// Starts the owner of a bank's store and all of its servers, where they were.
    pub async fn restart_bank(&mut self, bank: &str) -> Result<(), FleetError> {
        for member in self.of_bank(bank)? {
            self.restart(&member).await?;
        }
        Ok(())
    }

    /// The owner of a bank's store, then its servers.
    fn of_bank(&self, bank: &str) -> Result<Vec<String>, FleetError> {
        let unknown = || FleetError::UnknownMember(bank.to_owned());
        let spec = self.spec().banks.iter().find(|spec| spec.name == bank).ok_or_else(unknown)?;
        let servers = spec.pooled().filter(|server| server != bank);
        Ok([bank.to_owned()].into_iter().chain(servers).collect())
    }

    /// Suspends a member (SIGSTOP), as a machine that hangs.
    pub fn freeze(&mut self, member: &str) -> Result<(), FleetError> {
        self.member(member)?.freeze()
    }

    /// Lets a suspended member go on.
    pub fn thaw(&mut self, member: &str) -> Result<(), FleetError> {
        self.member(member)?.thaw();
        Ok(())
    }

    /// Makes a bank's server take `factor` times as long for every call. Needs
    /// [`crate::FleetSpec::allow_faults`].
    pub async fn slow_down(&self, server: &str, factor: f64) -> Result<(), FleetError> {
        self.set_fault(server, SetFaultRequest { slow_factor: factor, fail_with: 0 }).await
    }

    /// Makes a bank's server fail every call with UNAVAILABLE in a millisecond. Needs
    /// [`crate::FleetSpec::allow_faults`].
    pub async fn fail_fast(&self, server: &str) -> Result<(), FleetError> {
        let unavailable = Code::Unavailable as u32;
        self.set_fault(server, SetFaultRequest { slow_factor: 1.0, fail_with: unavailable }).await
    }

    /// Ends what [`Fleet::slow_down`] and [`Fleet::fail_fast`] began.
    pub async fn heal(&self, server: &str) -> Result<(), FleetError> {
        self.set_fault(server, SetFaultRequest::default()).await
    }

    /// Starts one more server of a bank, which registers itself at the balancer; its name. Needs
    /// [`crate::FleetSpec::allow_faults`].
    pub async fn add_server(&mut self, bank: &str) -> Result<String, FleetError> {
        let unknown = || FleetError::UnknownMember(bank.to_owned());
        let banks = &self.spec().banks;
        let spec = banks.iter().find(|spec| spec.name == bank).ok_or_else(unknown)?.clone();
        let owner = self.address(bank)?.to_owned();
        let number = spec.servers + 1;
        let mut recipe = self.server(&spec, number, &owner);
        recipe.arguments.push("--register".to_owned());
        let name = recipe.name.clone();
        self.start_all(vec![recipe]).await?;
        Ok(name)
    }

    /// Lets a server that was added drain, leave the balancer and end.
    pub async fn remove_server(&mut self, server: &str) -> Result<(), FleetError> {
        self.drain(server).await?;
        self.forget(server);
        Ok(())
    }

    async fn set_fault(&self, server: &str, fault: SetFaultRequest) -> Result<(), FleetError> {
        let unknown = || FleetError::UnknownMember(server.to_owned());
        let (bank, _) = server.rsplit_once('-').ok_or_else(unknown)?;
        let channel =
            connect::direct(self.address(server)?, Expected::bank(bank), self.security())?;
        let answer = BankFaultsClient::new(channel).set_fault(fault).await;
        answer.map_err(|status| FleetError::Call {
            member: server.to_owned(),
            reason: status.message().to_owned(),
        })?;
        Ok(())
    }
}
