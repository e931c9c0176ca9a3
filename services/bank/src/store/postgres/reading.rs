//! What is read: the rows of a batch, locked; and, for questions, accounts, sums, legs in doubt.

use std::collections::BTreeSet;

use futures_util::future::join5;
use strife_store::{
    StoreError,
    postgres::{Client, Work},
};
use tokio_postgres::{IsolationLevel, Row, Statement};

use super::books::{Books, Held, Rows};
use crate::{
    ledger::{
        Account, Command, Force, Forced, GatewayRun, Internal, LegKey, LegRecord, Prepare,
        SetAccountState, SetLimits, TransferRecord,
    },
    money::Currency,
    store::{
        AccountDetails, KnownLeg, Totals,
        rows::{self, Unknown},
    },
};

/// Legs that are there, locked. One that is not cannot be: should another process write it
/// meanwhile, our own insert will fail, and the batch is run again.
const LEGS: &str = "SELECT key, state, account_id, minor_units, currency, coordinator, \
    prepared_at_ms, forced_end, forced_by, forced_reason, forced_at_ms, forced_decision FROM legs WHERE key = ANY($1) ORDER BY key FOR UPDATE";
/// Transfers and openings never change. It runs after [`ACCOUNTS`] and so sees those of every account that
/// was there, and of every balance.
const TRANSFERS: &str = "SELECT transaction_id, from_account, to_account, minor_units, currency, \
    refusal, available FROM transfers WHERE transaction_id = ANY($1)";
/// The accounts that commands name and those of the legs that they end, locked in their order. It
/// runs after [`LEGS`] and so sees every leg that that one saw.
const ACCOUNTS: &str = "SELECT account_id, state, currency, available, held, incoming, \
    limit_per_payment, limit_per_day, limit_day, limit_used FROM accounts \
    WHERE account_id = ANY($1 || ARRAY(SELECT legs.account_id FROM legs WHERE key = ANY($2))) \
    ORDER BY account_id FOR UPDATE";
/// Debits in doubt of accounts that are to be limited. It runs after [`ACCOUNTS`], whose locks whoever holds or
/// releases money needs.
const HELD: &str = "SELECT key, account_id, prepared_at_ms FROM legs \
    WHERE state = 0 AND account_id = ANY($1) AND key LIKE '%-debit'";
/// A batch that reads this just before a run is fenced may still hold for it; one that begins later does not.
const FENCED: &str = "SELECT store, run FROM fences \
    WHERE (store, run) IN (SELECT * FROM unnest($1::bigint[], $2::bigint[]))";
const ACCOUNT: &str = "SELECT account_id, state, currency, available, held, incoming, \
    limit_per_payment, limit_per_day, limit_day, limit_used FROM accounts WHERE account_id = $1";
const CUSTOMERS: &str = "SELECT currency, count(*), sum(available::numeric + held)::text, \
    sum(held)::text, sum(incoming)::text FROM accounts GROUP BY currency";
const POSITIONS: &str = "SELECT name, sum(balance)::text FROM positions GROUP BY name";
const HOW_MANY_IN_DOUBT: &str = "SELECT count(*) FROM legs WHERE state = 0";
const IN_DOUBT: &str = "SELECT key, state, account_id, minor_units, currency, coordinator, \
    prepared_at_ms, forced_end, forced_by, forced_reason, forced_at_ms, forced_decision FROM legs \
    WHERE state = 0 AND (prepared_at_ms, key) > ($1, $2) AND prepared_at_ms <= $3 \
    ORDER BY prepared_at_ms, key LIMIT $4";
const FORCED: &str = "SELECT key, state, account_id, minor_units, currency, coordinator, \
    prepared_at_ms, forced_end, forced_by, forced_reason, forced_at_ms, forced_decision FROM legs \
    WHERE forced_decision = 0 ORDER BY key LIMIT $1";
const LEGS_AFTER: &str = "SELECT key, state, account_id, minor_units, currency, coordinator, \
    prepared_at_ms, forced_end, forced_by, forced_reason, forced_at_ms, forced_decision FROM legs WHERE key > $1 ORDER BY key LIMIT $2";
/// Legs in doubt that are read at a time.
const PAGE: i64 = 4_096;

/// The keys that a batch's commands name.
#[derive(Default)]
pub(super) struct Named {
    accounts: BTreeSet<String>,
    legs: BTreeSet<String>,
    transfers: BTreeSet<String>,
    runs: BTreeSet<GatewayRun>,
    limited: BTreeSet<String>,
}

impl Named {
    pub(super) fn by(commands: &[Command]) -> Self {
        let mut named = Self::default();
        for command in commands {
            match command {
                Command::OpenAccount(opening) => {
                    named.transfers.extend(opening.transaction_id.clone());
                    named.accounts.insert(opening.account_id.clone());
                }
                Command::Transfer(transfer) => {
                    named.transfers.insert(transfer.transaction_id.clone());
                    named.accounts.extend([transfer.from.clone(), transfer.to.clone()]);
                }
                Command::Prepare(Prepare { key, body, maker, .. }) => {
                    named.runs.extend(*maker);
                    named.legs.insert(key.to_string());
                    named.accounts.insert(body.account_id.clone());
                }
                Command::Fence(run) => drop(named.runs.insert(*run)),
                Command::SetAccountState(SetAccountState { account_id, .. }) => {
                    named.accounts.insert(account_id.clone());
                }
                Command::SetLimits(SetLimits { account_id, .. }) => {
                    named.accounts.insert(account_id.clone());
                    named.limited.insert(account_id.clone());
                }
                Command::Commit(key) | Command::Abort(key) | Command::Force(Force { key, .. }) => {
                    named.legs.insert(key.to_string());
                }
            }
        }
        named
    }
}

/// Begins the transaction and reads what is `named`.
pub(super) async fn begin(work: &Work<'_>, named: Named) -> Result<Books, StoreError> {
    let statements = (
        work.prepared(LEGS).await?,
        work.prepared(TRANSFERS).await?,
        work.prepared(ACCOUNTS).await?,
        work.prepared(FENCED).await?,
        work.prepared(HELD).await?,
    );
    let keys = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
    let (legs, transfers) = (keys(&named.legs), keys(&named.transfers));
    let (accounts, limited) = (keys(&named.accounts), keys(&named.limited));
    let client = work.client();
    // Polled, and therefore sent and run, in this order: locks on legs before those on accounts.
    let reads = async {
        let (legs, accounts, transfers, fenced, held) = join5(
            by_keys(client, &statements.0, &legs),
            accounts_of(client, &statements.2, &accounts, &legs),
            by_keys(client, &statements.1, &transfers),
            fenced(client, &statements.3, &named.runs),
            by_keys(client, &statements.4, &limited),
        )
        .await;
        Ok((legs?, transfers?, accounts?, fenced?, held?))
    };
    let (legs, transfers, accounts, fenced, held) = work.begin_with(reads).await?;
    let mut books = Books {
        accounts: Rows::named(named.accounts),
        legs: Rows::named(named.legs),
        transfers: Rows::named(named.transfers),
        fenced,
        ..Books::default()
    };
    for row in accounts {
        books.accounts.found(row.try_get(0)?, details_in(&row)?);
    }
    for row in legs {
        let key: String = row.try_get(0)?;
        books.forced.extend(forced_in(&row)?.map(|forced| (key.clone(), forced)));
        books.legs.found(key, leg_in(&row)?);
    }
    for row in held {
        let prepared_at_ms: i64 = row.try_get(2)?;
        let (account_id, prepared_at_ms) = (row.try_get(1)?, prepared_at_ms.unsigned_abs());
        books.held.insert(row.try_get(0)?, Held { account_id, prepared_at_ms });
    }
    for row in transfers {
        books.transfers.found(row.try_get(0)?, transfer_in(&row)?);
    }
    Ok(books)
}

async fn by_keys(
    client: &Client,
    statement: &Statement,
    keys: &[String],
) -> Result<Vec<Row>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    Ok(client.query(statement, &[&keys]).await?)
}

async fn accounts_of(
    client: &Client,
    statement: &Statement,
    accounts: &[String],
    legs: &[String],
) -> Result<Vec<Row>, StoreError> {
    if accounts.is_empty() && legs.is_empty() {
        return Ok(Vec::new());
    }
    Ok(client.query(statement, &[&accounts, &legs]).await?)
}

async fn fenced(
    client: &Client,
    statement: &Statement,
    runs: &BTreeSet<GatewayRun>,
) -> Result<BTreeSet<GatewayRun>, StoreError> {
    if runs.is_empty() {
        return Ok(BTreeSet::new());
    }
    let (stores, numbers): (Vec<i64>, Vec<i64>) =
        runs.iter().map(|run| (i64::from(run.store), i64::from(run.run))).unzip();
    let number = |stored: i64| u32::try_from(stored).map_err(|_| StoreError::Row("a fence"));
    let found = client.query(statement, &[&stores, &numbers]).await?;
    let found = found.iter().map(|row| {
        Ok(GatewayRun { store: number(row.try_get(0)?)?, run: number(row.try_get(1)?)? })
    });
    found.collect()
}

/// One account as last committed.
pub(super) async fn details(
    client: &Client,
    account_id: &str,
) -> Result<Option<AccountDetails>, StoreError> {
    let statement = client.prepare_cached(ACCOUNT).await?;
    let row = client.query_opt(&statement, &[&account_id]).await?;
    row.map(|row| details_in(&row)).transpose()
}

/// Sums over the whole bank, from one snapshot.
pub(super) async fn totals(client: &mut Client) -> Result<Totals, StoreError> {
    let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
    let snapshot = snapshot.read_only(true).start().await?;
    // It looks at every account, for as long as that takes.
    snapshot
        .batch_execute("SET LOCAL statement_timeout TO 0; SET LOCAL enable_seqscan TO on")
        .await?;
    let mut totals = Totals::default();
    for row in snapshot.query(CUSTOMERS, &[]).await? {
        let accounts: i64 = row.try_get(1)?;
        totals.accounts += accounts.unsigned_abs();
        let currency = currency(row.try_get(0)?)?;
        totals.customers.insert(currency, sum(row.try_get(2)?)?);
        totals.held.insert(currency, sum(row.try_get(3)?)?);
        totals.incoming.insert(currency, sum(row.try_get(4)?)?);
    }
    for row in snapshot.query(POSITIONS, &[]).await? {
        let internal = Internal::from_name(row.try_get(0)?).ok_or(Unknown("a position's name"))?;
        totals.put_position(internal, sum(row.try_get(1)?)?);
    }
    let in_doubt: i64 = snapshot.query_one(HOW_MANY_IN_DOUBT, &[]).await?.try_get(0)?;
    totals.in_doubt = in_doubt.unsigned_abs();
    snapshot.commit().await?;
    Ok(totals)
}

/// The oldest `wanted` legs in doubt, page by page.
pub(super) async fn in_doubt(
    client: &Client,
    until_ms: u64,
    limit: usize,
    wanted: impl Fn(&LegKey) -> bool,
) -> Result<Vec<KnownLeg>, StoreError> {
    let statement = client.prepare_cached(IN_DOUBT).await?;
    let (mut after_ms, mut after_key) = (-1_i64, String::new());
    let mut found = Vec::new();
    loop {
        let rows =
            client.query(&statement, &[&after_ms, &after_key, &whole(until_ms), &PAGE]).await?;
        for row in &rows {
            let leg = known_leg_in(row)?;
            if wanted(&leg.key) && found.len() < limit {
                found.push(leg);
            }
        }
        match rows.last() {
            Some(last) if rows.len() as i64 == PAGE && found.len() < limit => {
                (after_ms, after_key) = (last.try_get(6)?, last.try_get(0)?);
            }
            _ => return Ok(found),
        }
    }
}

/// At most `limit` legs from after the key `after`.
pub(super) async fn legs(
    client: &Client,
    after: &str,
    limit: usize,
) -> Result<Vec<KnownLeg>, StoreError> {
    let statement = client.prepare_cached(LEGS_AFTER).await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = client.query(&statement, &[&after, &limit]).await?;
    rows.iter().map(known_leg_in).collect()
}

/// At most `limit` legs that operators ended and whose decision is not known.
pub(super) async fn forced(client: &Client, limit: usize) -> Result<Vec<KnownLeg>, StoreError> {
    let statement = client.prepare_cached(FORCED).await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = client.query(&statement, &[&limit]).await?;
    rows.iter().map(known_leg_in).collect()
}

/// Milliseconds as the database keeps them.
pub(super) fn whole(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

fn known_leg_in(row: &Row) -> Result<KnownLeg, StoreError> {
    let key = LegKey::parse(row.try_get(0)?).ok_or(Unknown("a leg's key"))?;
    Ok(KnownLeg { key, leg: leg_in(row)?, forced: forced_in(row)? })
}

fn details_in(row: &Row) -> Result<AccountDetails, StoreError> {
    let used: Option<i64> = row.try_get(9)?;
    let limits = match used {
        None => None,
        Some(used) => {
            let day: i64 = row.try_get(8)?;
            let day = u32::try_from(day).map_err(|_| Unknown("a day"))?;
            Some(rows::limits((row.try_get(6)?, row.try_get(7)?, day, used)))
        }
    };
    Ok(AccountDetails { account: account_in(row)?, limits })
}

fn account_in(row: &Row) -> Result<Account, StoreError> {
    let (state, currency) = (number(row.try_get(1)?)?, letters(row.try_get(2)?)?);
    let account = (state, currency, row.try_get(3)?, row.try_get(4)?, row.try_get(5)?);
    Ok(rows::account(account)?)
}

fn leg_in(row: &Row) -> Result<LegRecord, StoreError> {
    let (state, currency) = (number(row.try_get(1)?)?, letters(row.try_get(4)?)?);
    let prepared_at_ms: i64 = row.try_get(6)?;
    let (account_id, coordinator) = (row.try_get(2)?, row.try_get(5)?);
    let minor_units = row.try_get(3)?;
    let prepared_at_ms = prepared_at_ms.unsigned_abs();
    Ok(rows::leg((state, account_id, minor_units, currency, coordinator, prepared_at_ms))?)
}

fn forced_in(row: &Row) -> Result<Option<Forced>, StoreError> {
    let Some(end): Option<i16> = row.try_get(7)? else { return Ok(None) };
    let (at_ms, decision): (i64, i16) = (row.try_get(10)?, row.try_get(11)?);
    let (by, reason) = (row.try_get(8)?, row.try_get(9)?);
    let row = (number(end)?, by, reason, at_ms.unsigned_abs(), number(decision)?);
    Ok(Some(rows::forced(row)?))
}

fn transfer_in(row: &Row) -> Result<TransferRecord, StoreError> {
    let (currency, refusal) = (letters(row.try_get(4)?)?, number(row.try_get(5)?)?);
    let (from, to) = (row.try_get(1)?, row.try_get(2)?);
    Ok(rows::transfer((from, to, row.try_get(3)?, currency, refusal, row.try_get(6)?))?)
}

fn number(stored: i16) -> Result<u8, Unknown> {
    u8::try_from(stored).map_err(|_| Unknown("a state or a refusal"))
}

fn letters(code: &str) -> Result<[u8; 3], Unknown> {
    code.as_bytes().try_into().map_err(|_| Unknown("a currency"))
}

fn currency(code: &str) -> Result<Currency, Unknown> {
    rows::currency(letters(code)?)
}

fn sum(text: &str) -> Result<i128, Unknown> {
    text.parse().map_err(|_| Unknown("a sum"))
}

impl From<Unknown> for StoreError {
    fn from(Unknown(what): Unknown) -> Self {
        Self::Row(what)
    }
}
