//! A server on a disk that forgets: whenever the power fails, no block is given twice.

use std::{collections::BTreeSet, sync::Arc};

use proptest::{collection::vec, prelude::*};
use rand::{SeedableRng, rngs::StdRng};
use strife_store::disk::ForgetfulDisk;

use super::*;
use crate::service::Server;

/// The store as it stands on the disk; made there if there is none.
fn open(disk: &ForgetfulDisk, is_new: bool) -> Result<HighWater, redb::Error> {
    let database = Database::builder().create_with_backend(disk.clone())?;
    if is_new {
        let transaction = database.begin_write()?;
        create(&transaction)?;
        transaction.commit()?;
    }
    let limits = Limits { queue: QUEUE, batch: QUEUE };
    Ok(HighWater(GroupCommit::start_with(database, Raise, limits, Arc::new(|_: &str| {}))))
}

/// Blocks taken between power failures; each life ends after so many steps of the disk.
async fn check(lives: &[u64], seed: u64, lies: bool) -> Result<(), String> {
    let (mut random, mut disk) = (StdRng::seed_from_u64(seed), ForgetfulDisk::default());
    drop(open(&disk, true).map_err(|why| why.to_string())?);
    let mut given = BTreeSet::new();
    for steps in lives {
        let store = open(&disk, false).map_err(|why| why.to_string())?;
        let server = Server::new(1, 1, store).map_err(|why| why.to_string())?;
        if lies {
            disk.lie();
        }
        disk.fail_after(*steps);
        for _ in 0..200 {
            let Ok(block) = server.take(0).await else { break };
            if !given.insert(block) {
                return Err(format!("block {block} was given twice"));
            }
        }
        drop(server);
        disk = disk.after_power_failure(&mut random);
    }
    Ok(())
}

fn run(lives: &[u64], seed: u64, lies: bool) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(check(lives, seed, lies))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_block_is_given_twice_over_power_failures(lives in vec(0..60_u64, 1..6), seed: u64) {
        prop_assert_eq!(run(&lives, seed, false), Ok(()));
    }
}

/// The test would see it: a disk that does not keep its word loses what was written down.
#[test]
fn a_disk_that_lies_is_found_out() {
    assert!((0..20).any(|seed| run(&[1_000; 6], seed, true).is_err()));
}
