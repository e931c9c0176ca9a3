//! The dashboard in a real browser, in front of real servers under real traffic; and who is let in.

mod access;
mod browser;

use strife_interop::Server;

use self::browser::{Browser, Screen};
use crate::{
    interop::{
        balancer::{Balancer, Links},
        load::Load,
        tonic_server,
    },
    support::PATIENCE,
};

const DESK: Screen = Screen { width: 1280, height: 800, is_dark: false };
const PHONE: Screen = Screen { width: 360, height: 780, is_dark: false };

/// A balancer with a dashboard, and its servers.
struct Scene {
    balancer: Balancer,
    servers: Vec<Server>,
    /// Of the page.
    origin: String,
}

impl Scene {
    /// Also calls that go on.
    async fn start() -> (Self, Load) {
        let links = Links::plaintext();
        let mut servers = Vec::new();
        for _ in 0..3 {
            servers.push(tonic_server(&links).await);
        }
        let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
        let flags = ["--dashboard", "127.0.0.1:0", "--pick-sample", "50"];
        let balancer = Balancer::start_with(&addresses, &links, &flags).await;
        let load = Load::start(&balancer.target("dashboard")).await;
        let origin = format!("http://{}", balancer.other("dashboard"));
        (Self { balancer, servers, origin }, load)
    }

    /// Waits until `strife admin status` says all of these, in one line.
    async fn until_status_says(&self, words: &[&str]) {
        let wait = async {
            loop {
                let status = self.balancer.admin(&["status"]).await;
                if status.lines().any(|line| words.iter().all(|word| line.contains(word))) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("no {words:?}"));
    }

    /// The button in a server's row.
    fn button(&self, server: usize) -> String {
        format!("td.action button[aria-label$='{}']", self.servers[server].address)
    }
}

/// Whether the servers' states on the page are these, in the page's order.
fn states(states: &[&str]) -> String {
    format!(
        "[...document.querySelectorAll('.chip')].map((one) => one.textContent).join() === '{}'",
        states.join(",")
    )
}

const READY: [&str; 3] = ["READY"; 3];

#[tokio::test]
async fn servers_are_shown_and_buttons_do_what_they_say() {
    let Some(mut browser) = Browser::start().await else { return };
    let (scene, load) = Scene::start().await;
    browser.set_screen(DESK).await;
    browser.open(&scene.origin).await;
    browser.until(&states(&READY)).await;
    // Round robin: each has a third, once there were calls in a whole second.
    let thirds = "[...document.querySelectorAll('td.share .number')]
        .every((one) => Math.abs(parseFloat(one.textContent) - 33.3) < 3)";
    browser.until(thirds).await;
    browser.until("document.title === '3/3 default · Strife'").await;
    let turn = "document.querySelector('#picks summary')?.textContent.includes('it was its turn')";
    browser.until(turn).await;

    browser
        .evaluate(
            "(() => { const list = document.getElementById('policy-name'); list.value = 'pick_first'; \
             list.dispatchEvent(new Event('change')); })()",
        )
        .await;
    browser.click("#policy-switch").await;
    scene.until_status_says(&["pool default: pick_first"]).await;
    browser.until("document.getElementById('policy-switch').disabled").await;
    browser.evaluate("document.getElementById('policy-parameters').value = 'no=such'").await;
    browser.evaluate("document.getElementById('policy').requestSubmit()").await;
    browser.until("document.getElementById('said').textContent.includes('not switched')").await;

    let drained = scene.servers[1].address.to_string();
    browser.click(&scene.button(1)).await;
    browser.click("#drain-do").await;
    scene.until_status_says(&[&drained, "DRAINING"]).await;
    browser.until(&states(&["DRAINING", "READY", "READY"])).await;
    browser.click(&scene.button(1)).await;
    scene.until_status_says(&[&drained, "READY"]).await;
    browser.until(&states(&READY)).await;
    load.stop().await;
    browser.check_behaved(&scene.origin);
}

#[tokio::test]
async fn the_last_server_is_drained_only_by_who_insists() {
    let Some(mut browser) = Browser::start().await else { return };
    let (scene, load) = Scene::start().await;
    browser.set_screen(PHONE).await;
    browser.open(&scene.origin).await;
    browser.until(&states(&READY)).await;
    for server in 0..2 {
        browser.click(&scene.button(server)).await;
        browser.click("#drain-do").await;
        browser.until("!document.getElementById('drain').open").await;
    }
    browser.until(&states(&["DRAINING", "DRAINING", "READY"])).await;
    load.stop().await;
    browser.click(&scene.button(2)).await;
    browser.click("#drain-do").await;
    let refused =
        "document.getElementById('drain-refused').textContent.includes('the last server')";
    browser.until(refused).await;
    browser.until("document.getElementById('drain-do').textContent === 'Drain all the same'").await;
    browser.click("#drain-do").await;
    browser.until(&states(&["DRAINING"; 3])).await;
    browser.check_behaved(&scene.origin);
}

#[tokio::test]
async fn it_can_be_read_by_day_by_night_and_on_a_phone() {
    let Some(mut browser) = Browser::start().await else { return };
    let (scene, load) = Scene::start().await;
    let screens = [
        ("light", DESK, "rgb(255, 255, 255)"),
        ("dark", Screen { is_dark: true, ..DESK }, "rgb(21, 25, 30)"),
        ("phone", PHONE, "rgb(255, 255, 255)"),
        ("phone-dark", Screen { is_dark: true, ..PHONE }, "rgb(21, 25, 30)"),
    ];
    browser.set_screen(DESK).await;
    browser.open(&scene.origin).await;
    browser.until(&states(&READY)).await;
    for (name, screen, paper) in screens {
        browser.set_screen(screen).await;
        browser.until(&format!("innerWidth === {}", screen.width)).await;
        let background = "getComputedStyle(document.documentElement).backgroundColor";
        assert_eq!(browser.evaluate(background).await, paper, "{name}");
        let fits = "document.documentElement.scrollWidth <= innerWidth";
        assert_eq!(browser.evaluate(fits).await, true, "{name} scrolls sideways");
        let picture = browser.picture(name).await;
        assert!(picture.starts_with(b"\x89PNG") && picture.len() > 5000, "{name} is empty");
    }
    // What was chosen by hand is stronger than the system, and kept.
    browser.set_screen(DESK).await;
    browser.click("#theme").await;
    browser.click("#theme").await;
    let is_dark =
        "getComputedStyle(document.documentElement).backgroundColor === 'rgb(21, 25, 30)'";
    browser.until(is_dark).await;
    browser.open(&scene.origin).await;
    browser.until(&states(&READY)).await;
    browser.until(is_dark).await;
    load.stop().await;
    browser.check_behaved(&scene.origin);
}

#[tokio::test]
async fn a_balancer_that_is_gone_is_not_shown_as_well() {
    let Some(mut browser) = Browser::start().await else { return };
    let (Scene { balancer, origin, servers }, load) = Scene::start().await;
    browser.set_screen(DESK).await;
    browser.open(&origin).await;
    browser.until("document.getElementById('connection').textContent === 'live'").await;
    browser.check_behaved(&origin);
    load.stop().await;
    drop((balancer, servers));
    let lost = "!document.getElementById('lost').hidden
        && document.getElementById('lost').textContent.includes('does not answer; last seen')
        && document.getElementById('main').classList.contains('stale')";
    browser.until(lost).await;
    browser.picture("lost").await;
}
