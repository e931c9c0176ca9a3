//! Against the real server: migrations, refusals, TLS, batches that meet, and a database that crashes.

use std::time::Duration;

use strife_runtime::{
    Identity, Role,
    certs::{self, Wanted},
};

use super::{
    testing::{Options, Server},
    *,
};
use crate::{Limits, StoreError};

const FIRST: Migration =
    Migration { name: "counters", sql: "CREATE TABLE counters (name text PRIMARY KEY, n bigint)" };
const SECOND: Migration =
    Migration { name: "notes", sql: "ALTER TABLE counters ADD COLUMN note text" };
const CHANGED: Migration = Migration { name: "counters", sql: "CREATE TABLE counters (n bigint)" };
const BROKEN: Migration = Migration { name: "broken", sql: "CREATE TABLE half (n bigint); SELEC" };

fn schema(migrations: &'static [Migration]) -> Schema {
    Schema { name: "strife_counters".to_owned(), kind: "counters".to_owned(), migrations }
}

async fn connect(url: &str, schema: &Schema) -> Result<Database, StoreError> {
    Database::connect(&Address::parse(url)?, schema, Connections::default()).await
}

async fn migrate(url: &str, schema: &Schema) -> Result<(Database, Opened), StoreError> {
    let database = connect(url, schema).await?;
    let opened = database.migrate(schema, async |_| Ok::<_, StoreError>(())).await?;
    Ok((database, opened))
}

async fn refused(url: &str, schema: &Schema) -> String {
    migrate(url, schema).await.map(|_| ()).unwrap_err().to_string()
}

/// Adds to counters and remembers by which command: the least that is idempotent.
struct Counting;

impl Transactions for Counting {
    type Command = (&'static str, String);
    type Outcome = i64;

    async fn run(
        &self,
        work: Work<'_>,
        commands: &[(&'static str, String)],
    ) -> Result<Vec<i64>, StoreError> {
        let add =
            work.prepared("UPDATE counters SET n = n + 1 WHERE name = $1 RETURNING n").await?;
        let seen = work.prepared("INSERT INTO counters VALUES ($1, 0)").await?;
        let mut outcomes = Vec::new();
        work.begin_with(async {
            for (counter, _) in commands {
                let row = work.client().query_one(&add, &[counter]).await?;
                outcomes.push(row.try_get(0)?);
            }
            Ok(())
        })
        .await?;
        let writes: Vec<Write> = commands
            .iter()
            .filter(|(_, id)| !id.is_empty())
            .map(|(_, id)| Write::new(seen.clone(), vec![Box::new(id.clone())]))
            .collect();
        work.commit_with(&writes).await?;
        Ok(outcomes)
    }
}

async fn counting(url: &str) -> BatchCommit<Counting> {
    let schema = schema(&[FIRST]);
    let database = connect(url, &schema).await.unwrap();
    let zero = async |client: &Client| {
        let inserted = client.batch_execute("INSERT INTO counters VALUES ('a', 0)").await;
        inserted.map_err(StoreError::from)
    };
    database.migrate(&schema, zero).await.unwrap();
    BatchCommit::start(database, Counting, Limits { queue: 1_000, batch: 8 })
}

#[tokio::test]
async fn no_statement_is_compiled() {
    let database =
        connect(&Server::shared().create_database().await, &schema(&[FIRST])).await.unwrap();
    let client = database.client().await.unwrap();
    for (setting, expected) in [("jit", "off"), ("enable_seqscan", "off")] {
        let row = client.query_one(&format!("SHOW {setting}"), &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), expected, "{setting}");
    }
}

/// What the server says, by SQLSTATE, and what that is to whoever asked.
#[tokio::test]
async fn errors_that_pass_are_told_from_those_that_do_not() {
    let database =
        connect(&Server::shared().create_database().await, &schema(&[FIRST])).await.unwrap();
    let client = database.client().await.unwrap();
    for (code, expected) in [
        ("40001", "contended"),
        ("40P01", "contended"),
        ("23505", "contended"),
        ("25P03", "away"),
        ("25006", "away"),
        ("08006", "away"),
        ("53300", "away"),
        ("57P01", "away"),
        ("22021", "failed"),
        ("25P02", "failed"),
    ] {
        let raise = format!("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$");
        let raised = client.batch_execute(&raise).await.unwrap_err();
        assert_eq!(raised.code().map(|raised| raised.code()), Some(code));
        let found = match database.failed(raised.into()) {
            StoreError::DatabaseContended { .. } => "contended",
            StoreError::DatabaseAway { .. } => "away",
            StoreError::DatabaseFailed { .. } => "failed",
            other => panic!("{code}: {other}"),
        };
        assert_eq!(found, expected, "{code}");
    }
}

#[tokio::test]
async fn migrations_are_applied_once_by_whoever_comes_first() {
    let url = Server::shared().create_database().await;
    let schema = schema(&[FIRST]);
    let starts = (0..4).map(|_| migrate(&url, &schema));
    let opened = futures_util::future::join_all(starts).await;
    let opened: Vec<Opened> = opened.into_iter().map(|start| start.unwrap().1).collect();
    assert_eq!(opened.iter().filter(|one| **one == Opened::Created).count(), 1, "{opened:?}");

    let newer = super::tests::schema(&[FIRST, SECOND]);
    assert_eq!(migrate(&url, &newer).await.unwrap().1, Opened::Found);
    let said = refused(&url, &schema).await;
    assert!(said.contains("newer version (migration 2; this one knows 1)"), "{said}");
    let said = refused(&url, &super::tests::schema(&[CHANGED, SECOND])).await;
    assert!(said.contains("another migration 1"), "{said}");
}

#[tokio::test]
async fn a_step_that_fails_leaves_nothing() {
    let url = Server::shared().create_database().await;
    let said = refused(&url, &schema(&[FIRST, BROKEN])).await;
    assert!(said.contains("syntax error"), "{said}");
    assert_eq!(migrate(&url, &schema(&[FIRST])).await.unwrap().1, Opened::Created);
}

#[tokio::test]
async fn schemas_of_others_are_refused_and_left() {
    let server = Server::shared();
    let url = server.create_database().await;
    let database = url.rsplit_once('/').unwrap().1.to_owned();
    server.execute(&database, "CREATE SCHEMA strife_counters").await;
    let said = refused(&url, &schema(&[FIRST])).await;
    assert!(said.contains("was not made by strife"), "{said}");
    server.execute(&database, "DROP SCHEMA strife_counters").await;
    migrate(&url, &schema(&[FIRST])).await.unwrap();
    let other = Schema { kind: "other".to_owned(), ..schema(&[FIRST]) };
    let said = refused(&url, &other).await;
    assert!(said.contains("belongs to `counters`, not to `other`"), "{said}");
    let long = Schema { name: "x".repeat(64), ..schema(&[FIRST]) };
    assert!(refused(&url, &long).await.contains("more than 63 bytes"));
}

#[tokio::test]
async fn who_is_not_let_in_is_told_what_to_do() {
    let server = Server::shared();
    let url = server.create_database().await;
    let database = url.rsplit_once('/').unwrap().1.to_owned();
    let create = format!("CREATE ROLE {database} LOGIN PASSWORD 'right'");
    server.execute("postgres", &create).await;
    let host = server.host();
    let schema = schema(&[FIRST]);
    let by = |user: &str, database: &str, more: &str| {
        format!("postgres://{user}@{host}/{database}{more}")
    };
    for (url, expected) in [
        (by(&format!("{database}:wrong"), &database, ""), "PGPASSWORD"),
        (by(&database, &database, ""), "PGPASSWORD"),
        (by(&format!("{database}:right"), &database, ""), "GRANT CREATE ON DATABASE"),
        (by("strife", "no_such", ""), "createdb"),
        (by("strife", &database, "?sslmode=require"), "sslmode"),
        (format!("postgres://strife@127.0.0.1:1/{database}"), "check that it runs there"),
    ] {
        let said = refused(&url, &schema).await;
        assert!(said.contains(expected) && said.contains("127.0.0.1"), "{url}: {said}");
        assert!(!said.contains("right") && !said.contains("wrong"), "{said}");
    }
}

/// What answers nothing is given up: in the test's time at once.
#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_away() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u@{}/d", silent.local_addr().unwrap());
    let said = refused(&url, &schema(&[FIRST])).await;
    assert!(said.contains("is away") && said.contains("in time"), "{said}");
}

#[tokio::test]
async fn with_tls_the_servers_name_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let wanted = || Wanted::for_fleet(&["icici".to_owned()], &[], &[]);
    certs::init(dir.path(), &wanted()).unwrap();
    certs::init(other.path(), &wanted()).unwrap();
    let stem = Identity::new(Role::Bank, "icici").file_stem();
    let certificate = Some(certs::paths(dir.path(), &stem));
    let server = Server::start(&Options { certificate, ..Options::default() });
    let url = server.create_database().await;
    let named = url.replace("127.0.0.1", "localhost");
    let roots = dir.path().join(certs::CA_FILE).display().to_string();
    let strangers = other.path().join(certs::CA_FILE).display().to_string();
    let schema = schema(&[FIRST]);
    for query in [
        "?sslmode=require".to_owned(),
        "?sslmode=prefer".to_owned(),
        format!("?sslmode=verify-full&sslrootcert={roots}"),
    ] {
        let (database, _) = migrate(&format!("{named}{query}"), &schema).await.unwrap();
        let client = database.client().await.unwrap();
        let secured = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let row = client.query_one(secured, &[]).await.unwrap();
        assert!(row.get::<_, bool>(0), "{query}");
    }
    let strange = format!("{named}?sslmode=verify-full&sslrootcert={strangers}");
    let said = refused(&strange, &schema).await;
    assert!(said.contains("peer certificate") && said.contains("sslrootcert"), "{said}");
}

#[tokio::test]
async fn batches_that_meet_are_run_again_and_one_bad_request_harms_nobody() {
    let url = Server::shared().create_database().await;
    let (one, other) = (counting(&url).await, counting(&url).await);
    let mut waiting = Vec::new();
    for n in 0..100 {
        let (one, id) = (if n % 2 == 0 { one.clone() } else { other.clone() }, format!("id-{n}"));
        waiting.push(tokio::spawn(async move { one.apply(("a", id)).await }));
    }
    // A text that PostgreSQL cannot hold.
    let bad = one.apply(("a", "nul\0".to_owned())).await.unwrap_err();
    assert!(matches!(bad, StoreError::DatabaseFailed { .. }), "{bad}");
    let mut outcomes = Vec::new();
    for applied in waiting {
        outcomes.push(applied.await.unwrap().unwrap());
    }
    outcomes.sort_unstable();
    assert_eq!(outcomes, (1..=100).collect::<Vec<_>>());
    assert!(one.commits().count() > 0);
    one.close().await;
    let stopped = one.apply(("a", String::new())).await;
    assert!(matches!(stopped, Err(StoreError::Stopped)), "{stopped:?}");
}

#[tokio::test]
async fn a_database_that_crashes_is_waited_for_then_said_to_be_away() {
    let server = Server::start(&Options::default());
    let url = server.create_database().await;
    let counting = counting(&url).await;
    assert_eq!(counting.apply(("a", "before".to_owned())).await.unwrap(), 1);
    server.crash();
    let away = counting.apply(("a", "away".to_owned())).await.unwrap_err();
    assert!(matches!(away, StoreError::DatabaseAway { .. }), "{away}");
    let waits = tokio::spawn({
        let counting = counting.clone();
        async move { counting.apply(("a", "after".to_owned())).await }
    });
    let restarted = tokio::task::spawn_blocking(move || {
        server.restart();
        server
    });
    let _server = restarted.await.unwrap();
    // It was asked while there was no server; either it was waited for, or it is to be asked again.
    let after = match waits.await.unwrap() {
        Err(StoreError::DatabaseAway { .. }) => loop {
            match counting.apply(("a", "after".to_owned())).await {
                Err(StoreError::DatabaseAway { .. }) => {
                    tokio::time::sleep(Duration::from_millis(10)).await
                }
                settled => break settled,
            }
        },
        settled => settled,
    };
    assert_eq!(after.unwrap(), 2, "what was acknowledged is there");
}
