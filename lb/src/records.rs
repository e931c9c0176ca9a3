//! Those who write down what becomes of calls, as far as flags ask for them: the access log, pick
//! traces, spans.
//!
//! Each gives every thread that carries calls something of its own to write to.

use std::{sync::Arc, time::Duration};

use strife_runtime::Failure;
use tokio::{
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use crate::{
    access_log,
    config::{Config, Observe},
    line_log::{self, LineLog},
    metrics::Recorded,
    picks::{self, PickRecorder},
    trace::{self, SpanCounts, Tracer},
};

/// How long the end of the process waits for the last spans.
const LAST_EXPORT_TIMEOUT: Duration = Duration::from_secs(1);

/// Where one thread writes to.
#[derive(Default)]
pub(crate) struct Recorders {
    pub(crate) access_log: Option<line_log::Sender>,
    pub(crate) picks: PickRecorder,
    pub(crate) tracer: Option<Tracer>,
}

/// Open until they are [finished](Records::finish).
pub(crate) struct Records {
    access_log: Option<LineLog>,
    pick_log: Option<LineLog>,
    pick_every: u64,
    spans: Option<Arc<SpanCounts>>,
    exporting: Option<JoinHandle<()>>,
}

impl Records {
    /// One of the second for each thread. `instance`: tells this balancer from others.
    pub(crate) fn open(config: &Config, instance: &str) -> Result<(Self, Vec<Recorders>), Failure> {
        let access_log = config.access_log.as_deref().map(access_log::open).transpose()?;
        let Observe { pick_every, pick_log, tracing } = &config.observe;
        let pick_log = pick_log.as_deref().map(|target| LineLog::open(picks::LOG, target));
        let pick_log = pick_log.transpose()?;
        let threads = config.threads.get();
        let pick_every = *pick_every;
        let mut records = Self { access_log, pick_log, pick_every, spans: None, exporting: None };
        let mut tracers = Vec::new();
        if let Some(tracing) = tracing {
            let (of_threads, spans, exporter) = trace::tracers(tracing, threads, instance);
            tracers = of_threads;
            records.spans = Some(spans);
            records.exporting = Some(tokio::spawn(exporter));
        }
        let recorders = (0..threads).map(|_| Recorders {
            access_log: records.access_log.as_ref().map(LineLog::sender),
            picks: records.pick_recorder(),
            tracer: tracers.pop(),
        });
        let recorders = recorders.collect();
        Ok((records, recorders))
    }

    /// For one more who picks.
    pub(crate) fn pick_recorder(&self) -> PickRecorder {
        let log = self.pick_log.as_ref().map(LineLog::sender);
        PickRecorder { every: self.pick_every, log }
    }

    /// What they count.
    pub(crate) fn counts(&self) -> Recorded {
        Recorded {
            access_log: self.access_log.as_ref().map(LineLog::written),
            pick_log: self.pick_log.as_ref().map(LineLog::written),
            spans: self.spans.clone(),
        }
    }

    /// Opens their files anew at every SIGHUP.
    pub(crate) fn reopen_on_hangup(&self, tasks: &mut JoinSet<()>) {
        for log in self.access_log.iter().chain(&self.pick_log) {
            tasks.spawn(log.reopen_on_hangup());
        }
    }

    /// Nobody writes any more: waits for what is under way, for a bounded time.
    pub(crate) async fn finish(self) {
        if let Some(exporting) = self.exporting {
            // Longer than that only for a collector that takes nothing: it must not keep us.
            let _ = timeout(LAST_EXPORT_TIMEOUT, exporting).await;
        }
    }
}
