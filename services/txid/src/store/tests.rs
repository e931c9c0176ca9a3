//! The file: whose it is, what a start finds in it.

use tempfile::TempDir;

use super::*;

#[tokio::test]
async fn what_was_raised_is_found_again() {
    let directory = TempDir::new().unwrap();
    for (to, expected) in [(65, 65), (64, 65), (129, 129)] {
        let store = HighWater::open(directory.path(), 3).unwrap();
        store.raise(to).await.unwrap();
        assert_eq!(store.read().unwrap(), expected, "it never falls");
    }
    assert_eq!(HighWater::open(directory.path(), 3).unwrap().read().unwrap(), 129);
}

#[test]
fn another_servers_file_is_refused() {
    let directory = TempDir::new().unwrap();
    drop(HighWater::open(directory.path(), 1).unwrap());
    let refused = HighWater::open(directory.path(), 11).err().unwrap().to_string();
    assert!(refused.contains("`txid 1 v1`, not of `txid 11 v1`"), "{refused}");
    assert!(refused.contains("directory of its own"), "{refused}");
    let _held = HighWater::open(directory.path(), 1).unwrap();
    assert!(matches!(HighWater::open(directory.path(), 1), Err(StoreError::InUse { .. })));
}
