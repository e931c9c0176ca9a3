//! A bank's schema, step by step. A step that was released is never changed.

use strife_store::postgres::{Migration, Schema};

use crate::BankError;

/// Before the bank's name in that of its schema.
const PREFIX: &str = "strife_bank_";
/// What PostgreSQL leaves of its 63 bytes.
const MAX_BANK_BYTES: usize = 63 - PREFIX.len();

/// Keys are compared byte by byte, whatever the database's language: the order of locks must be the
/// same for all. Numbers of states and refusals are those of the embedded store.
const MIGRATIONS: &[Migration] = &[LEDGER, LIMITS, FENCES, FORCED];

const FORCED: Migration = Migration {
    name: "forced",
    sql: r#"
        -- What an operator did to a leg; all null: nothing. forced_decision 0: not known yet.
        ALTER TABLE legs
            ADD COLUMN forced_end smallint,
            ADD COLUMN forced_by text,
            ADD COLUMN forced_reason text,
            ADD COLUMN forced_at_ms bigint,
            ADD COLUMN forced_decision smallint;
        CREATE INDEX legs_forced ON legs (key) WHERE forced_decision = 0;
    "#,
};

const FENCES: Migration = Migration {
    name: "fences",
    sql: r#"
        -- Runs of gateways that prepare nothing any more.
        CREATE TABLE fences (store bigint, run bigint, PRIMARY KEY (store, run));
    "#,
};

/// In the account's own row, so that whoever has locked it sees both as they are.
const LIMITS: Migration = Migration {
    name: "limits",
    sql: r#"
        -- What an account may pay; limit_used was paid on limit_day, counted from the Unix epoch.
        -- Null limit_used: it was never limited. Null limit_per_…: any amount.
        ALTER TABLE accounts
            ADD COLUMN limit_per_payment bigint CHECK (limit_per_payment >= 0),
            ADD COLUMN limit_per_day bigint CHECK (limit_per_day >= 0),
            ADD COLUMN limit_day bigint,
            ADD COLUMN limit_used bigint CHECK (limit_used >= 0);
    "#,
};

const LEDGER: Migration = Migration {
    name: "ledger",
    sql: r#"
        CREATE TABLE accounts (
            account_id text COLLATE "C" PRIMARY KEY,
            state smallint NOT NULL,
            currency text NOT NULL,
            available bigint NOT NULL CHECK (available >= 0),
            held bigint NOT NULL CHECK (held >= 0),
            incoming bigint NOT NULL CHECK (incoming >= 0)
        ) WITH (fillfactor = 70);

        -- <transaction id>-debit and <transaction id>-credit; state 0 is in doubt.
        CREATE TABLE legs (
            key text COLLATE "C" PRIMARY KEY,
            state smallint NOT NULL,
            account_id text COLLATE "C" NOT NULL,
            minor_units bigint NOT NULL,
            currency text NOT NULL,
            coordinator text NOT NULL,
            prepared_at_ms bigint NOT NULL
        ) WITH (fillfactor = 90);
        CREATE INDEX legs_in_doubt ON legs (prepared_at_ms, key) WHERE state = 0;

        CREATE TABLE transfers (
            transaction_id text COLLATE "C" PRIMARY KEY,
            from_account text NOT NULL,
            to_account text NOT NULL,
            minor_units bigint NOT NULL,
            currency text NOT NULL,
            refusal smallint NOT NULL,
            available bigint NOT NULL
        );

        -- The bank's own accounts; the balance of one is the sum over its shards.
        CREATE TABLE positions (
            name text COLLATE "C" NOT NULL,
            shard smallint NOT NULL,
            balance numeric(40, 0) NOT NULL,
            PRIMARY KEY (name, shard)
        ) WITH (fillfactor = 50);

        -- Every posting; a balance is null where it is one of the bank's own accounts'.
        CREATE TABLE journal (
            posting bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            transaction_id text NOT NULL,
            amount bigint NOT NULL,
            to_account text NOT NULL,
            to_balance_after bigint,
            from_account text NOT NULL,
            from_balance_after bigint
        );
    "#,
};

/// The schema of the bank of that name; every bank in a database has its own.
pub(super) fn of(bank: &str) -> Result<Schema, BankError> {
    if bank.len() > MAX_BANK_BYTES {
        return Err(BankError::NameTooLong { bank: bank.to_owned(), most: MAX_BANK_BYTES });
    }
    let (name, kind) = (format!("{PREFIX}{bank}"), format!("bank {bank}"));
    Ok(Schema { name, kind, migrations: MIGRATIONS })
}
