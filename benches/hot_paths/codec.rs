//! Encoding and decoding of the messages a payment is made of.

use std::hint::black_box;

use criterion::Criterion;
use prost::Message;
use strife_proto::{
    bank::v1::{Command, CommandBatch, PrepareLeg, PrepareRequest, command},
    common::v1::Money,
    gateway::v1::{AccountRef, PaymentRequest},
};

fn money() -> Option<Money> {
    Some(Money { minor_units: 12_345, currency: "INR".to_owned() })
}

fn payment() -> PaymentRequest {
    let account = |bank: &str| {
        Some(AccountRef { bank: bank.to_owned(), account_id: format!("{bank}-000042") })
    };
    PaymentRequest {
        payment_id: "7d8f1c0e-55b1-4a59-9c0a-0f4a6d5b7c11".to_owned(),
        user: "user-000042".to_owned(),
        from: account("icici"),
        to: account("sbi"),
        amount: money(),
        queue_for_s: 0,
    }
}

fn batch(commands: usize) -> CommandBatch {
    let request = PrepareRequest {
        transaction_id: "7d8f1c0e-55b1-4a59-9c0a-0f4a6d5b7c11".to_owned(),
        account_id: "icici-000042".to_owned(),
        amount: money(),
        coordinator: "gateway".to_owned(),
        maker: None,
    };
    let prepare = PrepareLeg { leg: 1, request: Some(request) };
    let command = Command { command: Some(command::Command::Prepare(prepare)) };
    CommandBatch { batch_id: 7, commands: vec![command; commands] }
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    let (payment, batch) = (payment(), batch(64));
    let (payment_bytes, batch_bytes) = (payment.encode_to_vec(), batch.encode_to_vec());
    group.bench_function("payment/encode", |b| b.iter(|| black_box(&payment).encode_to_vec()));
    group.bench_function("payment/decode", |b| {
        b.iter(|| PaymentRequest::decode(black_box(payment_bytes.as_slice())));
    });
    group.bench_function("batch of 64/encode", |b| b.iter(|| black_box(&batch).encode_to_vec()));
    group.bench_function("batch of 64/decode", |b| {
        b.iter(|| CommandBatch::decode(black_box(batch_bytes.as_slice())));
    });
    group.finish();
}
