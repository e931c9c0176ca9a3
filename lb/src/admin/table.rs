//! The balancer's state as an aligned table.

use std::fmt::Write;

use strife_proto::lb::v1::{EndpointState, EndpointStatus, SourceStatus, StatusResponse};

const HEADINGS: [&str; 9] = [
    "SERVER",
    "STATE",
    "IN FLIGHT",
    "CALLS",
    "OK",
    "FAILED",
    "REPORT AGE",
    "SERVICE TIME",
    "WHY NOT READY",
];

/// One block a pool.
pub(super) fn status(status: &StatusResponse) -> String {
    let mut text = String::new();
    for pool in &status.pools {
        let _ = write!(text, "pool {}: {}", pool.name, pool.policy);
        if pool.unavailable > 0 {
            let _ = write!(text, ", {} calls found no server ready", pool.unavailable);
        }
        if pool.panics {
            text.push_str(", so few servers are left that ejected ones take calls");
        }
        text.push('\n');
        for source in pool.sources.iter().filter(|source| !source.problem.is_empty()) {
            let SourceStatus { source, servers, problem } = source;
            let _ = writeln!(text, "  {source}: {problem} (servers it named: {servers})");
        }
        let rows = std::iter::once(HEADINGS.map(str::to_owned));
        text.push_str(&align(&rows.chain(pool.endpoints.iter().map(row)).collect::<Vec<_>>()));
    }
    text
}

fn row(endpoint: &EndpointStatus) -> [String; 9] {
    let reported =
        |value: String| if endpoint.report_age_ms.is_some() { value } else { "-".into() };
    [
        endpoint.address.clone(),
        endpoint.state().as_str_name().trim_start_matches("ENDPOINT_STATE_").to_owned(),
        endpoint.in_flight.to_string(),
        endpoint.calls.to_string(),
        endpoint.succeeded.to_string(),
        endpoint.failed.to_string(),
        reported(format!("{} ms", endpoint.report_age_ms.unwrap_or_default())),
        reported(format!("{:.1} ms", f64::from(endpoint.reported_service_time_us) / 1000.0)),
        if endpoint.state() == EndpointState::Ready {
            String::new()
        } else {
            endpoint.last_error.clone()
        },
    ]
}

/// Text to the left, figures to the right.
fn align(rows: &[[String; 9]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..HEADINGS.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let figures = (2..8).contains(&column);
            let _ = if figures {
                write!(line, "  {cell:>width$}")
            } else {
                write!(line, "  {cell:<width$}")
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use strife_proto::lb::v1::PoolStatus;

    use super::*;

    #[test]
    fn columns_line_up() {
        let endpoint = |address: &str, calls, report_age_ms| EndpointStatus {
            address: address.to_owned(),
            state: EndpointState::Ready.into(),
            calls,
            report_age_ms,
            reported_service_time_us: 5210,
            ..EndpointStatus::default()
        };
        let down = EndpointStatus {
            state: EndpointState::TransientFailure.into(),
            last_error: "refused".to_owned(),
            ..endpoint("10.0.0.1:9103", 0, None)
        };
        let endpoints =
            vec![endpoint("a:1", 7, Some(40)), endpoint("10.0.0.1:9102", 123_456, None), down];
        let source = |source: &str, problem: &str| SourceStatus {
            source: source.to_owned(),
            servers: 3,
            problem: problem.to_owned(),
        };
        let pool = PoolStatus {
            name: "default".to_owned(),
            policy: "least_load".to_owned(),
            endpoints,
            unavailable: 2,
            sources: vec![source("file:a.txt", ""), source("dns:b:1", "DNS names no address")],
            panics: false,
        };
        let expected = "\
pool default: least_load, 2 calls found no server ready
  dns:b:1: DNS names no address (servers it named: 3)
  SERVER         STATE              IN FLIGHT   CALLS  OK  FAILED  REPORT AGE  SERVICE TIME  WHY NOT READY
  a:1            READY                      0       7   0       0       40 ms        5.2 ms
  10.0.0.1:9102  READY                      0  123456   0       0           -             -
  10.0.0.1:9103  TRANSIENT_FAILURE          0       0   0       0           -             -  refused
";
        assert_eq!(status(&StatusResponse { pools: vec![pool] }), expected);
    }
}
