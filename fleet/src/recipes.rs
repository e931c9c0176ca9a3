//! How each member of a fleet is started: the command lines, and nothing else.

use strife_runtime::{TlsArgs, parse::format_duration};

use crate::{BankSpec, Fleet, FleetError, fleet::BALANCER, member::Recipe, ports};

/// Methods of a bank that change nothing, so that the balancer may send their calls again to another
/// server. No write is among them, though a bank knows a transaction that it has seen: whoever sends it
/// decides that it is sent again, and until when, not who passes it on.
const READS: [&str; 3] = ["ValidateAccount", "GetAccountBalance", "GetTotals"];

/// May be sent again: the block of an answer that was lost is lost.
const TAKE_BLOCK: &str = "/strife.txid.v1.TransactionIds/TakeBlock";

impl Fleet {
    fn recipe(&self, name: &str, arguments: Vec<String>) -> Recipe {
        let spec = self.spec();
        let mut all = arguments;
        all.extend(spec.log.to_flags());
        all.extend(TlsArgs { certs: spec.certs(), plaintext: spec.plaintext }.to_flags());
        Recipe {
            name: name.to_owned(),
            program: spec.program.clone(),
            arguments: all,
            log: spec.dir.join("logs").join(format!("{name}.log")),
            output: spec.output,
            niceness: spec.niceness,
            environment: Vec::new(),
        }
    }

    pub(crate) fn owner(&self, bank: &BankSpec) -> Recipe {
        let name = &bank.name;
        let data = self.spec().dir.join("data").join(name).display().to_string();
        let accounts = self.spec().accounts().join(format!("{name}.csv")).display().to_string();
        let mut arguments = flags(&["bank", "--bank-name", name, "--port", &port()]);
        arguments.extend(flags(&["--accounts", &accounts]));
        arguments.extend(match &self.spec().database {
            Some(database) => flags(&["--store", database]),
            None => flags(&["--data", &data]),
        });
        arguments.extend(self.coordinators());
        if bank.servers == 0 {
            arguments.extend(self.in_pool(bank, 0));
        }
        self.recipe(name, arguments)
    }

    /// What a server behind the balancer is told, the one of that number.
    fn in_pool(&self, bank: &BankSpec, number: u32) -> Vec<String> {
        let interval = format_duration(self.spec().report_interval);
        let seed = (self.spec().seed.wrapping_mul(1000) + u64::from(number)).to_string();
        let mut arguments = flags(&["--balancer", self.control()]);
        arguments.extend(flags(&["--report-interval", &interval, "--seed", &seed]));
        if bank.slots > 0 {
            arguments.extend(flags(&["--slots", &bank.slots.to_string()]));
        }
        if let Some(service_time) = &bank.service_time {
            arguments.extend(flags(&["--service-time", service_time]));
        }
        if let Some(factor) = bank.slow.get(&number) {
            arguments.extend(flags(&["--slow", &factor.to_string()]));
        }
        if self.spec().allow_faults {
            arguments.extend(flags(&["--allow-faults"]));
        }
        arguments
    }

    /// Where whoever has a store of the bank's own asks what was decided.
    fn coordinators(&self) -> Vec<String> {
        if self.spec().gateway { flags(&["--gateway", self.balancer()]) } else { Vec::new() }
    }

    pub(crate) fn server(&self, bank: &BankSpec, number: u32, owner: &str) -> Recipe {
        let mut arguments = flags(&["bank", "--bank-name", &bank.name, "--port", &port()]);
        match &self.spec().database {
            Some(database) => {
                arguments.extend(flags(&["--store", database]));
                arguments.extend(self.coordinators());
            }
            None => arguments.extend(flags(&["--store", owner])),
        }
        arguments.extend(self.in_pool(bank, number));
        self.recipe(&format!("{}-{number}", bank.name), arguments)
    }

    pub(crate) fn gateway(&self, name: &str) -> Recipe {
        let data = self.spec().dir.join("data").join(name).display().to_string();
        let users = self.spec().accounts().join("users.csv").display().to_string();
        let timeout = format_duration(self.spec().payment_timeout);
        let mut arguments = flags(&["gateway", "--port", &port(), "--users", &users]);
        arguments.extend(match &self.spec().database {
            Some(database) => flags(&["--store", database]),
            None => flags(&["--data", &data]),
        });
        arguments.extend(flags(&["--balancer", self.balancer(), "--control", self.control()]));
        arguments.extend(flags(&["--payment-timeout", &timeout]));
        if self.spec().txids > 0 {
            arguments.extend(flags(&["--txid", self.balancer()]));
        }
        self.recipe(name, arguments)
    }

    pub(crate) fn txid(&self, number: u8, name: &str) -> Recipe {
        let data = self.spec().dir.join("data").join(name).display().to_string();
        let size = self.spec().txid_block_size.to_string();
        let mut arguments = flags(&["txid", "--server", &number.to_string(), "--port", &port()]);
        arguments.extend(flags(&["--data", &data, "--block-size", &size]));
        arguments.extend(flags(&["--balancer", self.control()]));
        self.recipe(name, arguments)
    }

    pub(crate) fn balancer_recipe(&self) -> Result<Recipe, FleetError> {
        let mut arguments =
            flags(&["lb", "--listen", self.balancer(), "--control", self.control()]);
        let threads = self.spec().balancer_threads.to_string();
        arguments.extend(flags(&["--policy", &self.spec().policy, "--threads", &threads]));
        for bank in &self.spec().banks {
            let servers = bank.pooled().map(|member| self.address(&member).map(str::to_owned));
            let servers = servers.collect::<Result<Vec<_>, _>>()?;
            let more = if self.spec().allow_faults { ",register:" } else { "" };
            let pool = format!("{}={}{more}", bank.pool(), servers.join(","));
            arguments.extend(flags(&["--pool", &pool]));
            let reads =
                READS.map(|method| format!("/strife.bank.v1.BankService/{method}")).join(",");
            arguments.extend(flags(&["--idempotent", &format!("{}={reads}", bank.pool())]));
        }
        let gateways = self.spec().gateway_names();
        let gateways = gateways.iter().map(|name| self.address(name));
        let gateways = gateways.collect::<Result<Vec<_>, _>>()?;
        if !gateways.is_empty() {
            arguments.extend(flags(&["--pool", &format!("gateway={}", gateways.join(","))]));
        }
        let txids = self.spec().txid_names().map(|(_, name)| self.address(&name));
        let txids = txids.collect::<Result<Vec<_>, _>>()?;
        if !txids.is_empty() {
            arguments.extend(flags(&["--pool", &format!("txid={}", txids.join(","))]));
            arguments.extend(flags(&["--idempotent", &format!("txid={TAKE_BLOCK}")]));
        }
        Ok(self.recipe(BALANCER, arguments))
    }
}

/// A port that stays a member's own while it is away: the kernel gives it to nobody.
fn port() -> String {
    ports::free_port().unwrap_or_default().to_string()
}

fn flags(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
