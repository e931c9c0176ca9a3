//! The gateways' schema, step by step. A step that was released is never changed.

use strife_store::postgres::{Migration, Schema};

use crate::transaction::{Block, RunNumber, Sequence};

const NAME: &str = "strife_gateway";
const KIND: &str = "gateway";

const MIGRATIONS: &[Migration] = &[PAYMENTS, BLOCKS, OUTBOX, QUEUE, FIRST];

/// Whatever a client may choose freely is kept as bytes: a text takes no zero byte. Numbers of reasons
/// and the form of `body` are those of the embedded store.
const PAYMENTS: Migration = Migration {
    name: "payments",
    sql: r#"
        -- The store's own name and its newest run, in its only row.
        CREATE TABLE about (name bigint NOT NULL, last_run integer NOT NULL);

        -- Runs of gateways that are not forgotten. Whether a run is live is part of a key, so that
        -- changing it waits for all who hold the row as it was, and beats do not.
        CREATE TABLE runs (
            number integer PRIMARY KEY,
            gateway text NOT NULL,
            beats bigint NOT NULL DEFAULT 0,
            live boolean NOT NULL,
            UNIQUE (number, live)
        ) WITH (fillfactor = 50);

        -- code: null while INITIATED, 0 for COMMITTED, else why it was ABORTED.
        CREATE TABLE payments (
            sequence bigint PRIMARY KEY,
            run integer NOT NULL,
            payment_id bytea NOT NULL UNIQUE,
            payer text NOT NULL,
            payee text,
            initiated_at_ms bigint NOT NULL,
            body bytea NOT NULL,
            code smallint,
            detail bytea,
            unfinished boolean NOT NULL DEFAULT false
        ) WITH (fillfactor = 90);
        CREATE INDEX payments_undecided ON payments (sequence) WHERE code IS NULL;
        CREATE INDEX payments_unfinished ON payments (sequence) WHERE unfinished;
        CREATE INDEX payments_made ON payments (payer, initiated_at_ms, sequence);
        CREATE INDEX payments_received ON payments (payee, initiated_at_ms, sequence)
            WHERE payee IS NOT NULL;
    "#,
};

const BLOCKS: Migration = Migration {
    name: "blocks",
    sql: r#"
        -- Which run has a block of sequences, for good.
        CREATE TABLE blocks (block bigint PRIMARY KEY, run integer NOT NULL);
    "#,
};

const OUTBOX: Migration = Migration {
    name: "outbox",
    sql: r#"
        -- What happened to payments: the events of a transaction together, under its id.
        CREATE TABLE outbox (
            written_by xid8 PRIMARY KEY DEFAULT pg_current_xact_id(),
            size smallint NOT NULL,
            events bytea NOT NULL
        );

        -- Up to where each follower has everything.
        CREATE TABLE followers (name text PRIMARY KEY, position bigint NOT NULL);

        -- Where the last event stood that was removed.
        ALTER TABLE about ADD COLUMN removed bigint NOT NULL DEFAULT 0;
    "#,
};

const QUEUE: Migration = Migration {
    name: "queue",
    sql: r#"
        -- Gateways of an earlier version would answer what is queued as if it were over for good, and so
        -- they may not go on. First, as batches hold their runs before anything else.
        UPDATE runs SET live = false;

        -- attempts, due_at_ms: the place in the queue of a payment that waits there. Of several attempts at
        -- one payment the newest has its id and is in its users' histories; those before it have neither.
        ALTER TABLE payments
            ALTER COLUMN payment_id DROP NOT NULL,
            ALTER COLUMN payer DROP NOT NULL,
            ADD COLUMN attempts bigint,
            ADD COLUMN due_at_ms bigint;
        CREATE INDEX payments_due ON payments (due_at_ms, sequence) WHERE due_at_ms IS NOT NULL;
    "#,
};

/// Of what was written before, `first` is the last field of `body`: its key, which is 80 01, and a number
/// in groups of seven bits, the least first. No body without it ends in that way.
const FIRST: Migration = Migration {
    name: "first",
    sql: r#"
        -- first: the sequence under which the payment was taken on, if this is a later attempt. By it, and
        -- not by that of its newest attempt, a payment has its place among those of its millisecond.
        ALTER TABLE payments ADD COLUMN first bigint;
        UPDATE payments SET first = (
            SELECT sum((get_byte(later.number, place)::bigint & 127) << (7 * place))
            FROM generate_series(0, length(later.number) - 1) AS place
        ) FROM (
            SELECT sequence, decode(substring(
                encode(substring(body FROM greatest(length(body) - 10, 1)), 'hex')
                FROM '8001((?:[89a-f].)*[0-7].)$'), 'hex') AS number FROM payments
        ) later WHERE later.number IS NOT NULL AND later.sequence = payments.sequence;

        DROP INDEX payments_made;
        DROP INDEX payments_received;
        CREATE INDEX payments_made ON payments (payer, initiated_at_ms, coalesce(first, sequence))
            WHERE payer IS NOT NULL;
        CREATE INDEX payments_received ON payments (payee, initiated_at_ms, coalesce(first, sequence))
            WHERE payee IS NOT NULL;
    "#,
};

/// As of an earlier version, which knew so many steps.
#[cfg(test)]
pub(super) fn of_version(version: usize) -> Schema {
    Schema { migrations: &MIGRATIONS[..version], ..of() }
}

/// The one schema of all gateways on a database.
pub(super) fn of() -> Schema {
    Schema { name: NAME.to_owned(), kind: KIND.to_owned(), migrations: MIGRATIONS }
}

/// A run as the database keeps it. Beyond what it can hold there is none.
pub(super) fn run(number: RunNumber) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A sequence as the database keeps it. Beyond what it can hold there is none.
pub(super) fn sequence(sequence: Sequence) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}

/// A block as the database keeps it. All fit.
pub(super) fn block(block: Block) -> i64 {
    i64::try_from(block).unwrap_or(i64::MAX)
}
