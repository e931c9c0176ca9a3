//! Booting a fleet in order, and what can be done to it afterwards.
//!
//! Owners of stores come first, then the servers that use them, transaction-id servers and gateways, then the balancer,
//! which must know all of them. The fleet serves when the balancer finds every endpoint ready.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use futures_util::future::{join_all, try_join_all};
use strife_runtime::{Failure, Role, Security, TlsArgs, certs};
use tokio::process::Command;

use crate::{
    FleetError, FleetSpec,
    member::{Member, Recipe},
    ports,
};

/// How often a boot is tried when the chosen ports were taken meanwhile.
const BOOT_TRIES: u32 = 3;
/// How long the balancer may take to find every endpoint ready, also on a busy machine.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// The balancer's name among the members.
pub(crate) const BALANCER: &str = "lb";
/// The first gateway's name among the members.
pub(crate) const GATEWAY: &str = "gateway";

/// Before the number of a transaction-id server, its name among the members.
pub(crate) const TXID: &str = "txid";

/// A running fleet. Every process ends when it is dropped; [`Fleet::stop`] lets them drain.
pub struct Fleet {
    spec: FleetSpec,
    security: Security,
    members: BTreeMap<String, Member>,
    balancer: String,
    control: String,
}

impl Fleet {
    /// Boots everything and waits until it serves.
    pub async fn boot(spec: FleetSpec) -> Result<Self, FleetError> {
        prepare(&spec).await?;
        let mut tries = 1;
        loop {
            match Self::boot_once(spec.clone()).await {
                Err(FleetError::NotStarted { member, reason })
                    if (member != BALANCER || spec.balancer_ports.is_none())
                        && reason.contains("in use")
                        && tries < BOOT_TRIES =>
                {
                    tries += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn boot_once(spec: FleetSpec) -> Result<Self, FleetError> {
        let (data, control) = match spec.balancer_ports {
            Some(ports) => ports,
            None => ports::free_port()
                .zip(ports::free_port())
                .ok_or_else(|| Failure::new("no free port on the loopback interface"))?,
        };
        let tls = TlsArgs { certs: spec.certs(), plaintext: spec.plaintext };
        let mut fleet = Self {
            security: Security::load(&tls, Role::Admin, "1")?,
            spec,
            members: BTreeMap::new(),
            balancer: format!("127.0.0.1:{data}"),
            control: format!("127.0.0.1:{control}"),
        };
        let banks = fleet.spec.banks.clone();
        fleet.start_all(banks.iter().map(|bank| fleet.owner(bank)).collect()).await?;
        let mut others = Vec::new();
        for bank in &banks {
            let owner = fleet.address(&bank.name)?.to_owned();
            others.extend((1..=bank.servers).map(|number| fleet.server(bank, number, &owner)));
        }
        others.extend(fleet.spec.txid_names().map(|(number, name)| fleet.txid(number, &name)));
        others.extend(fleet.spec.gateway_names().iter().map(|name| fleet.gateway(name)));
        fleet.start_all(others).await?;
        fleet.start_all(vec![fleet.balancer_recipe()?]).await?;
        fleet.until_ready(READY_TIMEOUT).await?;
        Ok(fleet)
    }

    pub(crate) async fn start_all(&mut self, recipes: Vec<Recipe>) -> Result<(), FleetError> {
        let started = try_join_all(recipes.into_iter().map(Member::start)).await?;
        let named = started.into_iter().map(|member| (member.recipe.name.clone(), member));
        self.members.extend(named);
        Ok(())
    }

    /// What the fleet was made from.
    pub fn spec(&self) -> &FleetSpec {
        &self.spec
    }

    /// The balancer's data plane, `host:port`.
    pub fn balancer(&self) -> &str {
        &self.balancer
    }

    /// The balancer's control address, `host:port`.
    pub fn control(&self) -> &str {
        &self.control
    }

    /// Our own connections' security: the operator's.
    pub fn security(&self) -> &Security {
        &self.security
    }

    /// The members' names: `lb`, `gateway`, `icici` (owner of the store), `icici-1` (a server).
    pub fn members(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// Where a member serves, `host:port`.
    pub fn address(&self, member: &str) -> Result<&str, FleetError> {
        let found = self.members.get(member);
        found
            .map(|member| member.address.as_str())
            .ok_or_else(|| FleetError::UnknownMember(member.to_owned()))
    }

    /// Lets a member drain and end.
    pub async fn drain(&mut self, member: &str) -> Result<(), FleetError> {
        self.member(member)?.stop().await;
        Ok(())
    }

    /// Starts a member that has ended, at the address it had.
    pub async fn restart(&mut self, member: &str) -> Result<(), FleetError> {
        self.restart_with(member, &[], &[]).await
    }

    /// As [`Fleet::restart`], from now on with these values of flags and, for this time, with these
    /// variables in its environment.
    pub async fn restart_with(
        &mut self,
        member: &str,
        flags: &[(&str, &str)],
        environment: &[(&str, &str)],
    ) -> Result<(), FleetError> {
        let mut recipe = self.member(member)?.recipe_at_same_address();
        for (flag, value) in flags {
            recipe.set_flag(flag, value);
        }
        let variable = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        recipe.environment = environment.iter().map(variable).collect();
        let started = Member::start(recipe).await?;
        self.members.insert(member.to_owned(), started);
        Ok(())
    }

    /// Whether a member has ended, by itself or not.
    pub fn has_ended(&mut self, member: &str) -> Result<bool, FleetError> {
        Ok(self.member(member)?.ended().is_some())
    }

    /// Other processes in place of the balancer and of every bank's servers, where those were: they know
    /// nothing of what those saw. The owners of the stores and the gateway stay. Await
    /// [`Fleet::until_ready`] next.
    pub async fn renew(&mut self) -> Result<(), FleetError> {
        // The balancer first: it sees no server leave, and the servers have no call to wait for.
        self.drain(BALANCER).await?;
        let spec = &self.spec;
        let servers = self.members.iter_mut().filter(|(name, _)| is_server(spec, name));
        let ended = servers.map(|(_, member)| async {
            member.stop().await;
            member.recipe_at_same_address()
        });
        let recipes = join_all(ended).await;
        self.start_all(recipes).await?;
        self.restart(BALANCER).await
    }

    /// Starts every member that has ended by itself, where it was; returns their names.
    pub async fn restart_ended(&mut self) -> Result<Vec<String>, FleetError> {
        let ended = self
            .members
            .iter_mut()
            .filter_map(|(name, member)| member.ended().map(|_| name.clone()));
        let ended: Vec<String> = ended.collect();
        for name in &ended {
            self.restart(name).await?;
        }
        Ok(ended)
    }

    /// An error naming a member that has ended by itself, if there is one; whom we killed has not.
    pub fn check_alive(&mut self) -> Result<(), FleetError> {
        for (name, member) in &mut self.members {
            if let Some(status) = member.died() {
                return Err(FleetError::Died {
                    member: name.clone(),
                    status: status.to_string(),
                    log: member.recipe.log.clone(),
                });
            }
        }
        Ok(())
    }

    /// CPU time of each member so far, from `/proc`; zero where there is none.
    pub fn cpu_times(&self) -> BTreeMap<String, Duration> {
        let of = |member: &Member| member.pid().and_then(cpu_time_of).unwrap_or_default();
        self.members.iter().map(|(name, member)| (name.clone(), of(member))).collect()
    }

    /// Drains the fleet from the outside in: balancer, gateway, servers, owners.
    pub async fn stop(mut self) {
        let order = |name: &str| match name {
            BALANCER => 0,
            gateway if is_gateway(gateway) => 1,
            server if is_server(&self.spec, server) => 2,
            _ => 3,
        };
        let mut names: Vec<String> = self.members.keys().cloned().collect();
        names.sort_by_key(|name| order(name));
        let mut waves: BTreeMap<u8, Vec<Member>> = BTreeMap::new();
        for name in names {
            let wave = order(&name);
            let member = self.members.remove(&name).expect("the name was just listed");
            waves.entry(wave).or_default().push(member);
        }
        for mut wave in waves.into_values() {
            join_all(wave.iter_mut().map(Member::stop)).await;
        }
    }

    pub(crate) fn log_of(&self, member: &str) -> std::path::PathBuf {
        self.members.get(member).map(|member| member.recipe.log.clone()).unwrap_or_default()
    }

    /// Drops a member that has ended for good.
    pub(crate) fn forget(&mut self, name: &str) {
        self.members.remove(name);
    }

    pub(crate) fn member(&mut self, name: &str) -> Result<&mut Member, FleetError> {
        self.members.get_mut(name).ok_or_else(|| FleetError::UnknownMember(name.to_owned()))
    }
}

/// Whether a member is a bank's server, not the owner of its store.
fn is_server(spec: &FleetSpec, member: &str) -> bool {
    let is_txid = || spec.txid_names().any(|(_, name)| name == member);
    let is_bank = || spec.banks.iter().any(|bank| bank.name == member);
    member != BALANCER && !is_gateway(member) && !is_txid() && !is_bank()
}

fn is_gateway(member: &str) -> bool {
    member == GATEWAY || member.strip_prefix(GATEWAY).is_some_and(|rest| rest.starts_with('-'))
}

/// Makes what must be there before the first process: directories, certificates, account files.
async fn prepare(spec: &FleetSpec) -> Result<(), FleetError> {
    fs::create_dir_all(&spec.dir)
        .map_err(|source| FleetError::File { path: spec.dir.clone(), source })?;
    let names: Vec<String> = spec.banks.iter().map(|bank| bank.name.clone()).collect();
    if !spec.plaintext {
        certs::init(&spec.certs(), &certs::Wanted::for_fleet(&names, &spec.users, &[]))?;
    }
    let missing = |name: &&String| !spec.accounts().join(format!("{name}.csv")).exists();
    if spec.accounts().join("users.csv").exists() {
        if let Some(bank) = names.iter().find(missing) {
            return Err(FleetError::OtherBanks { dir: spec.dir.clone(), bank: bank.clone() });
        }
    } else {
        generate_accounts(spec, &names).await?;
    }
    Ok(())
}

async fn generate_accounts(spec: &FleetSpec, banks: &[String]) -> Result<(), FleetError> {
    let mut command = Command::new(&spec.program);
    command.args(["accounts", "generate", "--out"]).arg(spec.accounts());
    command.args(["--accounts", &spec.accounts_per_bank.to_string()]);
    command.args(["--seed", &spec.seed.to_string()]);
    for bank in banks {
        command.args(["--bank-name", bank]);
    }
    for user in &spec.users {
        command.args(["--user", user]);
    }
    let output = command
        .output()
        .await
        .map_err(|source| FleetError::Spawn { program: spec.program.clone(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(FleetError::NotStarted { member: "accounts generate".to_owned(), reason })
}

/// User and system time of a process, in the kernel's ticks of 1/100 s.
fn cpu_time_of(pid: u32) -> Option<Duration> {
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    // The command's name stands in parentheses and may hold anything; fields count from behind it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<u32>().ok();
    Some(TICK * (ticks(11)? + ticks(12)?))
}
