//! The order of runs, and shapes as text.

use std::collections::BTreeSet;

use super::*;

#[test]
fn every_round_measures_every_proxy_in_every_cell_once() {
    let plan = Plan::full(7);
    let rounds: Vec<Vec<Due>> = (1..=plan.rounds).map(|round| plan.saturated(round)).collect();
    for round in &rounds {
        let distinct: BTreeSet<&Due> = round.iter().collect();
        assert_eq!(distinct.len(), round.len());
        // Four shapes and two sizes, for five proxies in the clear and four with TLS.
        assert_eq!(round.len(), 4 * 2 * (5 + 4));
    }
    let proxies = |round: &[Due]| round.iter().map(|due| due.proxy).collect::<Vec<_>>();
    assert_ne!(proxies(&rounds[0]), proxies(&rounds[1]), "the order is drawn anew");
    assert_eq!(plan.saturated(1), Plan::full(7).saturated(1), "from the seed alone");
}

#[test]
fn runs_of_one_cell_stand_together() {
    let runs = Plan::full(3).saturated(2);
    let mut cells: Vec<Cell> = runs.iter().map(|due| due.cell).collect();
    cells.dedup();
    assert_eq!(cells.len(), cells.iter().collect::<BTreeSet<_>>().len());
}

#[test]
fn the_pace_is_kept_where_goals_are() {
    let mut plan = Plan::full(1);
    let shapes: BTreeSet<Shape> = plan.paced(1).iter().map(|due| due.cell.shape).collect();
    assert_eq!(shapes, GOAL_SHAPES.into());
    plan.cells = vec![Shape { connections: 1, streams: 1 }];
    assert_eq!(plan.paced(1), []);
}

#[test]
fn idle_runs_are_one_size_and_no_copy() {
    let runs = Plan::full(1).idle(1);
    assert!(runs.iter().all(|due| due.cell.message_bytes == 100 && due.proxy != Proxy::TcpCopy));
    assert_eq!(runs.len(), 8);
    let none = Plan { idle_connections: 0, ..Plan::full(1) };
    assert!(none.idle(1).is_empty(), "without connections there is nothing to count");
}

#[test]
fn shapes_read_back_as_written() {
    for text in ["1x1", "16x8", "1000x1000"] {
        assert_eq!(text.parse::<Shape>().unwrap().to_string(), text);
    }
    for text in ["", "16", "0x1", "1x0", "x", "1001x1", "1x1x1", "-1x1"] {
        assert!(text.parse::<Shape>().is_err(), "{text}");
    }
}

#[test]
fn a_plan_reads_back_as_written() {
    let plan = Plan::quick(9);
    let text = toml::to_string(&plan).unwrap();
    assert_eq!(toml::from_str::<Plan>(&text).unwrap(), plan, "{text}");
    assert!(text.contains("16x8") && text.contains("tcp_copy"), "{text}");
}
