//! A stage for an attack: the balancer, a well-behaved server, a bystander; and what must hold when
//! the attack is over.

use std::time::Duration;

use strife_proto::bank::v1::{AccountRequest, bank_service_client::BankServiceClient};
use tokio::time::{Instant, timeout};
use tonic::{Status, transport::Channel};

use super::{
    balancer::Balancer,
    bystander::{Bystander, channel},
    enemy::Enemy,
    frames::{self, code, data, flag, headers},
    header,
    peer::{Ending, PATIENCE, Peer},
    server::{HANG, Server},
};

/// How much the balancer may grow under any attack. Its own bounds on one connection add up to
/// less: 1 MiB of control frames that are not read, 64 KiB each way for each stalled stream (at
/// most 400 in these tests), header blocks of 128 KiB, read buffers. The attacks send up to 64 MiB
/// and ask for ten times that, so one that is kept in memory is seen.
const GROWTH_BYTES: u64 = 48 * 1024 * 1024;
/// Calls of the bystander that warm everything up before, and that must still work after.
const WARM_UP_CALLS: u64 = 30;
const CALLS_AFTER: u64 = 20;
/// An attack as long as this must let the bystander's calls through meanwhile. Far longer than a
/// call takes, however busy the machine and the server.
const LONG: Duration = Duration::from_secs(5);
/// The pool of the enemy.
const HOSTILE: &str = "hostile";

/// See the module.
pub(crate) struct Scene {
    pub(crate) balancer: Balancer,
    pub(crate) server: Server,
    bystander: Bystander,
    memory_before: u64,
}

impl Scene {
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let server = Server::start();
        let pool = format!("default={}", server.address);
        let balancer = Balancer::start(&[&["--pool", &pool], flags].concat()).await;
        let bystander = Bystander::start(channel(balancer.listen, "default"));
        bystander.more(WARM_UP_CALLS).await;
        let memory_before = balancer.memory();
        Self { balancer, server, bystander, memory_before }
    }

    /// With a pool of its own for the enemy, on the same thread.
    pub(crate) async fn with(enemy: &Enemy, flags: &[&str]) -> Self {
        let pool = format!("{HOSTILE}={}", enemy.address);
        Self::start(&[&["--pool", &pool], flags].concat()).await
    }

    /// A client whose handshake is done.
    pub(crate) async fn attacker(&self) -> Peer {
        Peer::client(self.balancer.listen, &[]).await
    }

    /// A well-behaved client of the enemy.
    pub(crate) fn victim(&self) -> BankServiceClient<Channel> {
        BankServiceClient::new(channel(self.balancer.listen, HOSTILE))
    }

    /// What a call gets that the enemy serves.
    pub(crate) async fn suffer(&self) -> Status {
        let mut victim = self.victim();
        let call = victim.validate_account(AccountRequest { account_id: "victim".to_owned() });
        let answer = timeout(PATIENCE, call).await.expect("the victim gets an answer");
        answer.expect_err("the enemy answers nobody")
    }

    /// The attack, others being served meanwhile.
    pub(crate) async fn amid<T>(&self, attack: impl Future<Output = T>) -> T {
        let (before, since) = (self.bystander.calls(), Instant::now());
        let outcome = attack.await;
        if since.elapsed() >= LONG {
            assert!(self.bystander.calls() > before, "nobody else was served");
        }
        self.bystander.is_well();
        outcome
    }

    /// The enemy's attack on the connection of a victim's call, and what both got.
    pub(crate) async fn attacked_by(&self, enemy: &mut Enemy) -> (Ending, Status) {
        self.amid(async { tokio::join!(enemy.ending(), self.suffer()) }).await
    }

    /// Further calls of the bystander are served.
    pub(crate) async fn serves_others(&self) {
        self.bystander.more(CALLS_AFTER).await;
    }

    /// Waits until the balancer has as many descriptors as `before` (more or less: it connects to
    /// its servers as it likes), and the server no calls but the bystander's.
    pub(crate) async fn until_forgotten(&self, before: usize) {
        // As many connections as it makes to a server at most.
        const LIKES: usize = 8;
        let since = Instant::now();
        while self.balancer.descriptors() > before + LIKES || self.server.in_flight() > 1 {
            let (files, calls) = (self.balancer.descriptors(), self.server.in_flight());
            assert!(since.elapsed() < PATIENCE, "{files} files, {before} before; {calls} calls");
            self.serves_others().await;
        }
    }

    /// Calls that an innocent client begins now are still under way after `attack`.
    pub(crate) async fn spares_the_innocent(&self, attack: impl FnOnce()) {
        const CALLS: u64 = 100;
        let mut innocent = self.attacker().await;
        let message = header::message(HANG);
        let call = |stream| {
            let head = headers(stream, flag::NONE, &header::request());
            [head, data(stream, flag::END_STREAM, &message)].concat()
        };
        let calls = frames::stream_ids().take(CALLS as usize).flat_map(call);
        innocent.send(&calls.collect::<Vec<u8>>()).await.unwrap();
        while self.server.in_flight() < CALLS {
            self.serves_others().await;
        }
        attack();
        self.amid(self.serves_others()).await;
        assert!(self.server.in_flight() >= CALLS, "calls of others are lost");
    }

    /// Calls in flight by the balancer's account.
    pub(crate) async fn in_flight(&self) -> u32 {
        self.balancer.endpoints().await.iter().map(|endpoint| endpoint.in_flight).sum()
    }

    /// Calls on the server that are not the bystander's, a recent one of those aside.
    pub(crate) fn foreign_calls(&self) -> u64 {
        self.server.started().saturating_sub(self.bystander.calls())
    }

    /// The balancer has not kept what the attack sent or asked for.
    #[track_caller]
    pub(crate) fn is_small(&self) {
        let growth = self.balancer.peak_memory().saturating_sub(self.memory_before);
        assert!(growth <= GROWTH_BYTES, "grew by {} KiB", growth / 1024);
    }

    /// After the attack all is as before: others are served, nothing is in flight, the memory is
    /// bounded, the process idle and sound.
    pub(crate) async fn end(mut self) {
        self.serves_others().await;
        self.bystander.stop().await;
        self.balancer.until_at_rest(self.server.address).await;
        self.is_small();
        self.balancer.until_idle().await;
        self.balancer.is_sound();
    }
}

/// A client's flood of these bytes ends with one of these codes.
pub(crate) async fn client_is_cut_off(codes: &[u32], bytes: &[u8]) {
    let scene = Scene::start(&[]).await;
    let mut attacker = scene.attacker().await;
    scene.amid(attacker.flood(bytes)).await.is_cut_off(codes);
    scene.end().await;
}

/// A server's flood, made for the stream of a victim's call, ends with one of these codes, and the
/// call with UNAVAILABLE.
pub(crate) async fn server_is_cut_off(
    codes: &[u32],
    bytes: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static,
) {
    let mut enemy = Enemy::flooding(bytes).await;
    let scene = Scene::with(&enemy, &[]).await;
    let (ending, status) = scene.attacked_by(&mut enemy).await;
    ending.is_cut_off(codes);
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
    drop(enemy);
    scene.end().await;
}

/// What a flood is answered with.
pub(crate) const CALM: &[u32] = &[code::ENHANCE_YOUR_CALM];
