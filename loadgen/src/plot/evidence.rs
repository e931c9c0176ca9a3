//! What kind of evidence a workload's runs are: by the plan that lies beside the results.
//!
//! Servers that hold each call for a seeded time stand for a fleet that no machine here could run, and show
//! what policies make of it. Servers without service times show what the machine itself can do.

use super::{data::Workload, faults::told::of_workload};

/// A kind of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// Bank servers take their time by the plan's `service_time`.
    VirtualServers,
    /// The plan has none: they do what is asked as fast as they can.
    RealServers,
}

impl Evidence {
    /// Of the workload that the plan has under this name.
    pub(crate) fn of(plan: &toml::Table, workload: &str) -> Self {
        match of_workload(plan, workload).and_then(|entry| entry.get("service_time")) {
            Some(_) => Self::VirtualServers,
            None => Self::RealServers,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::VirtualServers => "virtual servers: real gRPC, seeded service times",
            Self::RealServers => "real servers, no service times: as fast as they can",
        }
    }
}

/// What is said of these workloads' evidence; by workload, where it is not all of one kind.
pub(crate) fn evidence<'w>(workloads: impl IntoIterator<Item = &'w Workload>) -> String {
    let mut kinds: Vec<(Evidence, Vec<&str>)> = Vec::new();
    for Workload { evidence, base, .. } in workloads {
        let place = kinds.iter().position(|(kind, _)| kind == evidence);
        let place = place.unwrap_or_else(|| {
            kinds.push((*evidence, Vec::new()));
            kinds.len() - 1
        });
        if !kinds[place].1.contains(&base.as_str()) {
            kinds[place].1.push(base);
        }
    }
    match kinds.as_slice() {
        [(only, _)] => only.text().to_owned(),
        several => {
            let of_kind = |(kind, names): &(Evidence, Vec<&str>)| {
                format!("{} ({})", kind.text(), names.join(", "))
            };
            several.iter().map(of_kind).collect::<Vec<_>>().join("; ")
        }
    }
}
