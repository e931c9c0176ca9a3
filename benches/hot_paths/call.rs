//! One unary call, straight to a bank server and through the balancer, over mutual TLS, one at a time
//! on an idle machine: the difference is the balancer's latency, not its cost at load.

use criterion::Criterion;
use strife_fleet::{BankSpec, Fleet, FleetSpec};
use strife_proto::bank::v1::{AccountRequest, bank_service_client::BankServiceClient};
use strife_runtime::{Role, Security, TlsArgs, connect, tls::Expected};
use tonic::transport::Channel;

fn spec(dir: &std::path::Path) -> FleetSpec {
    let mut spec = FleetSpec::new(env!("CARGO_BIN_EXE_strife"), dir);
    spec.banks = vec![BankSpec::new("icici", 1)];
    spec.gateway = false;
    spec.accounts_per_bank = 10;
    spec
}

async fn call(mut bank: BankServiceClient<Channel>) {
    let request = AccountRequest { account_id: "icici-000001".to_owned() };
    bank.validate_account(request).await.expect("the fleet is alive");
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let fleet = runtime.block_on(Fleet::boot(spec(dir.path()))).unwrap_or_else(|e| panic!("{e}"));
    let tls = TlsArgs { certs: fleet.spec().certs(), plaintext: false };
    let security = Security::load(&tls, Role::Loadgen, "1").unwrap_or_else(|e| panic!("{e}"));
    let server = fleet.address("icici-1").expect("the bank has a server");
    let mut group = criterion.benchmark_group("call");
    for (name, address) in [("direct", server), ("proxied", fleet.balancer())] {
        let _runtime = runtime.enter();
        let channel = connect::channel(address, "bank.icici", Expected::AnyServer, &security);
        let bank = BankServiceClient::new(channel.unwrap_or_else(|e| panic!("{e}")));
        group.bench_function(name, |b| b.iter(|| runtime.block_on(call(bank.clone()))));
    }
    group.finish();
    runtime.block_on(fleet.stop());
}
