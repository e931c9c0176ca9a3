//! The servers' side of the simulation: slots, a queue, what they say of themselves, their fates.

use std::collections::VecDeque;

use super::*;

/// Weight of the newest call in what a server knows of its latency.
const WEIGHT: f64 = 0.05;
/// A server's mean service time is that of the calls which ended in this time, as in Strife's own.
const RECENT: Duration = Duration::from_secs(2);

/// A server at work.
#[derive(Debug, Default)]
pub(super) struct Running {
    /// Rises when it starts and when it stops: what was to finish before does not.
    start: u64,
    pub(super) present: bool,
    frozen: bool,
    fails: bool,
    serving: Vec<Serving>,
    queue: VecDeque<usize>,
    reports: u64,
    completed: u64,
    /// When calls ended lately, and how long they were served.
    served: VecDeque<(Duration, Duration)>,
    /// By how many calls were there when a call came.
    mean_latency_us: Vec<f64>,
    /// Slot-seconds of work and calls that ended, in this window and the one before.
    window: Window,
    last_window: Window,
}

/// A call in a slot.
#[derive(Debug, Clone, Copy)]
struct Serving {
    call: usize,
    since: Duration,
}

/// What utilization and rates are taken from.
#[derive(Debug, Default, Clone, Copy)]
struct Window {
    begun_at: Duration,
    length: Duration,
    busy: Duration,
    ended: u32,
    failed: u32,
}

const WINDOW: Duration = Duration::from_millis(500);

impl Running {
    pub(super) fn in_flight(&self) -> u32 {
        (self.serving.len() + self.queue.len()) as u32
    }

    /// Of calls that found as many calls there as there are now, or, if there was none, the next fewer.
    fn latency_us(&self) -> u32 {
        let alike = self.mean_latency_us.iter().take(self.in_flight() as usize + 1);
        alike.rev().find(|mean| **mean > 0.0).map_or(0, |mean| *mean as u32)
    }

    fn service_time_us(&mut self, now: Duration) -> u32 {
        let oldest = now.saturating_sub(RECENT);
        while self.served.front().is_some_and(|(at, _)| *at < oldest) {
            self.served.pop_front();
        }
        let sum: Duration = self.served.iter().map(|(_, time)| *time).sum();
        sum.as_micros().checked_div(self.served.len() as u128).unwrap_or(0) as u32
    }

    fn ended(&mut self, now: Duration, busy: Duration, failed: bool) {
        if now - self.window.begun_at >= WINDOW {
            self.window.length = now - self.window.begun_at;
            self.last_window = self.window;
            self.window = Window { begun_at: now, ..Window::default() };
        }
        self.window.busy += busy;
        self.window.ended += 1;
        self.window.failed += u32::from(failed);
    }

    /// Of the last whole window.
    pub(super) fn orca(&self, _: Duration, slots: u32) -> Orca {
        let Window { length, busy, ended, failed, .. } = self.last_window;
        let seconds = length.as_secs_f64().max(1e-9);
        Orca {
            cpu_utilization: busy.as_secs_f64() / seconds / f64::from(slots),
            rps: f64::from(ended) / seconds,
            eps: f64::from(failed) / seconds,
            ..Orca::default()
        }
    }
}

impl Simulation<'_> {
    pub(super) fn serve(&mut self, server: usize, call: usize) {
        let Running { start, frozen, fails, .. } = self.servers[server];
        let running = &mut self.servers[server];
        if frozen || (!fails && running.serving.len() >= self.fleet.servers[server].slots as usize)
        {
            running.queue.push_back(call);
            return;
        }
        running.serving.push(Serving { call, since: self.now });
        let time = if fails { FAILS_IN } else { self.calls[call].service_time };
        self.push(time, Event::Finish { server, call, start });
    }

    pub(super) fn finish(&mut self, server: usize, call: usize, start: u64) {
        let running = &mut self.servers[server];
        if running.start != start {
            return;
        }
        let Call { sent_at, found, .. } = self.calls[call];
        let place = running.serving.iter().position(|serving| serving.call == call);
        // Longer than its service time if the server was frozen meanwhile.
        let busy = self.now - running.serving.remove(place.expect("it is served")).since;
        running.completed += 1;
        running.ended(self.now, busy, running.fails);
        let average = |mean: &mut f64, sample: Duration| {
            let sample = sample.as_secs_f64() * 1e6;
            *mean += if *mean == 0.0 { sample } else { WEIGHT * (sample - *mean) };
        };
        running.served.push_back((self.now, busy));
        let known = running.mean_latency_us.len().max(found + 1);
        running.mean_latency_us.resize(known, 0.0);
        average(&mut running.mean_latency_us[found], self.now - sent_at);
        let outcome = if running.fails { Outcome::Failed } else { Outcome::Succeeded };
        let next = running.queue.pop_front();
        self.end(call, outcome);
        if let Some(next) = next {
            self.serve(server, next);
        }
    }

    pub(super) fn report(&mut self, server: usize) {
        self.push(self.fleet.report_interval, Event::Report { server });
        let running = &mut self.servers[server];
        if self.fleet.says != Says::Reports || !running.present || running.frozen {
            return;
        }
        running.reports += 1;
        let report = Report {
            in_flight: running.in_flight(),
            queued: running.queue.len() as u32,
            slots: self.fleet.servers[server].slots,
            service_time_us: running.service_time_us(self.now),
            latency_us: running.latency_us(),
            completed: running.completed,
            sequence: running.reports,
            epoch: 1,
            ..Report::default()
        };
        // It arrives at once, stamped as old as it would be.
        let now = self.now.saturating_sub(REPORT_DELAY);
        for balancer in &self.balancers {
            balancer.loads[server].report(now, &report).expect("a valid report");
        }
    }

    pub(super) fn probing_round(&mut self, number: usize) {
        self.push(PROBING_ROUND, Event::Round { balancer: number });
        let (now, balancer) = (self.now, &mut self.balancers[number]);
        let mut ask = Vec::new();
        balancer.with_context(now, |picker, context| {
            if let Some(prober) = picker.prober() {
                prober.due(context, &mut ask);
            }
        });
        let servers: Vec<_> = ask.into_iter().map(|index| balancer.members[index]).collect();
        for server in servers {
            self.push(REPORT_DELAY, Event::Probed { balancer: number, server });
        }
    }

    pub(super) fn probed(&mut self, balancer: usize, server: usize) {
        let running = &self.servers[server];
        let balancer = &self.balancers[balancer];
        let index = balancer.members.iter().position(|member| *member == server);
        if let (false, Some(index), Some(prober)) =
            (running.frozen, index, balancer.picker.prober())
        {
            let latency_us = running.latency_us();
            prober.answered(self.now, index, running.in_flight(), latency_us);
        }
    }

    pub(super) fn befalls(&mut self, server: usize, fate: Fate) {
        let running = &mut self.servers[server];
        let began = running.start;
        match fate {
            Fate::Freezes => (running.frozen, running.start) = (true, began + 1),
            Fate::Fails => running.fails = true,
            Fate::Recovers => running.fails = false,
            Fate::Thaws => self.thaws(server),
            Fate::Dies => {
                (running.present, running.start) = (false, began + 1);
                let served = running.serving.drain(..).map(|serving| serving.call);
                let lost: Vec<_> = served.chain(running.queue.drain(..)).collect();
                lost.into_iter().for_each(|call| self.end(call, Outcome::Failed));
                self.members_changed();
            }
            Fate::Joins => {
                let (reports, start) = (running.reports, began + 1);
                *running = Running { present: true, reports, start, ..Running::default() };
                self.balancers.iter().for_each(|balancer| balancer.loads[server].joined(self.now));
                self.members_changed();
            }
        }
    }

    /// The time of what it was serving has gone on.
    fn thaws(&mut self, server: usize) {
        let running = &mut self.servers[server];
        running.frozen = false;
        let start = running.start;
        let waiting: Vec<_> = running.queue.drain(..).collect();
        for Serving { call, since } in running.serving.clone() {
            let ends_at = since + self.calls[call].service_time;
            self.push(ends_at.saturating_sub(self.now), Event::Finish { server, call, start });
        }
        waiting.into_iter().for_each(|call| self.serve(server, call));
    }
}
