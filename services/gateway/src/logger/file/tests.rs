//! Files are resumed after their last whole line, and nobody else's are touched.

use std::fs;

use super::*;

fn line(position: u64) -> String {
    format!(
        "{{\"position\":{position},\"kind\":\"INITIATED\",\"at_ms\":{position},\"transaction_id\":\"s-{position}\"}}\n"
    )
}

fn lines(positions: impl IntoIterator<Item = u64>) -> String {
    positions.into_iter().map(line).collect()
}

/// Resumes a file with this in it, of a follower that has `acknowledged` so much: what is in it then,
/// or why not.
fn resumed(text: impl AsRef<[u8]>, acknowledged: u64) -> Result<(String, Option<u64>), String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.jsonl");
    fs::write(&path, text.as_ref()).unwrap();
    let output = Output::open(Some(&path)).and_then(|mut output| {
        output.resume(acknowledged)?;
        Ok(output.last())
    });
    let now = fs::read(&path).unwrap();
    output.map(|last| (String::from_utf8(now.clone()).unwrap(), last)).map_err(|failure| {
        assert_eq!(now, text.as_ref(), "a file that is refused is left alone");
        failure.to_string()
    })
}

#[test]
fn a_whole_file_is_gone_on_with() {
    assert_eq!(resumed("", 0), Ok((String::new(), None)));
    assert_eq!(resumed("", 9), Ok((String::new(), None)), "a new file of an old follower");
    let whole = lines([1, 2, 5]);
    assert_eq!(resumed(&whole, 5), Ok((whole.clone(), Some(5))));
    assert_eq!(resumed(&whole, 9), Ok((whole, Some(5))), "an older copy: the gateway knows");
}

/// A logger that was killed leaves lines that only the system's memory holds.
#[test]
fn what_is_found_is_made_durable_before_it_is_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.jsonl");
    fs::write(&path, lines(1..4)).unwrap();
    let mut output = Output::open(Some(&path)).unwrap();
    output.resume(1).unwrap();
    assert_eq!(output.last(), Some(3));
    assert_eq!(output.unsynced(), lines(1..4).len() as u64);
    output.sync().unwrap();
    assert_eq!(output.unsynced(), 0);
}

#[test]
fn an_unfinished_end_is_cut_off() {
    let whole = lines(1..4);
    let next = line(4);
    for torn in 1..next.len() {
        let text = format!("{whole}{}", &next[..torn]);
        assert_eq!(resumed(text, 3), Ok((whole.clone(), Some(3))), "{torn} bytes");
        assert_eq!(resumed(&line(1)[..torn], 0), Ok((String::new(), None)), "{torn} bytes only");
    }
    let zeros = "\0".repeat(700);
    let hole = format!("{whole}{zeros}{}", lines(9..12));
    assert_eq!(resumed(hole, 2), Ok((whole.clone(), Some(3))), "a hole amid what was not durable");
    assert_eq!(resumed(format!("{whole}{}", lines([3, 4])), 3), Ok((whole, Some(3))), "twice");
    assert_eq!(resumed(zeros, 0), Ok((String::new(), None)));
}

#[test]
fn what_was_acknowledged_is_never_cut_off() {
    let damaged = format!("{}garbage\n{}", lines(1..3), lines(4..9));
    let refused = resumed(&damaged, 8).unwrap_err();
    let behind = lines(1..3).len();
    assert!(refused.contains(&format!("damaged behind byte {behind}")), "{refused}");
    assert!(refused.contains("bring back a copy"), "{refused}");
}

#[test]
fn what_is_no_log_is_left_alone() {
    for text in ["hello\n", "a,b\n1,2\n", "{}", "{\"name\":1}\n", "{\"positron\""] {
        let refused = resumed(text, 0).unwrap_err();
        assert!(refused.contains("is no log of events"), "{text}: {refused}");
    }
}

#[test]
fn long_files_are_read_from_their_end() {
    let count = END_BYTES / line(1).len() as u64 + 100;
    let mut text = lines(1..count);
    assert!(text.len() as u64 > END_BYTES);
    assert_eq!(resumed(&text, 0).unwrap().1, Some(count - 1));
    let whole = text.clone();
    text.push_str("{\"posi");
    assert_eq!(resumed(&text, 0).unwrap(), (whole, Some(count - 1)));
    let refused = resumed("x".repeat(END_BYTES as usize + 1), 0).unwrap_err();
    assert!(refused.contains("is no log of events"), "{refused}");
}

#[test]
fn a_file_is_one_process_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.jsonl");
    let _first = Output::open(Some(&path)).unwrap();
    let refused = Output::open(Some(&path)).unwrap_err().to_string();
    assert!(refused.contains("another process logs to"), "{refused}");
    let nowhere = directory.path().join("no/log.jsonl");
    let refused = Output::open(Some(&nowhere)).unwrap_err().to_string();
    assert!(refused.contains("name another file"), "{refused}");
}

#[test]
fn what_is_added_is_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.jsonl");
    fs::write(&path, line(3)).unwrap();
    let mut output = Output::open(Some(&path)).unwrap();
    output.resume(0).unwrap();
    let event = strife_proto::gateway::v1::Event {
        position: 4,
        kind: 3,
        at_ms: 17,
        detail: "a \"naïve\"\nline".to_owned(),
        payment: Some(strife_proto::gateway::v1::HistoryEntry {
            transaction_id: "s-4".to_owned(),
            from: Some(Default::default()),
            to: Some(Default::default()),
            amount: Some(Default::default()),
            abort_reason: 3,
            ..Default::default()
        }),
    };
    output.add(&super::super::line::of(event).unwrap());
    output.write().unwrap();
    assert!(output.unsynced() > 0);
    output.sync().unwrap();
    assert_eq!(output.unsynced(), 0);
    drop(output);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains("\"kind\":\"ABORTED\"") && text.contains("INSUFFICIENT_FUNDS"), "{text}");
    assert_eq!(Output::open(Some(&path)).unwrap().last(), Some(4));
}
