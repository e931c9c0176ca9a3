//! `BankAdmin`: what the bank holds altogether. Served by servers with a store of the bank's own.

use std::collections::BTreeMap;

use strife_proto::{
    bank::v1::{TotalsRequest, TotalsResponse, bank_admin_server::BankAdmin},
    common::v1::Money,
};
use tonic::{Request, Response, Status};

use super::convert::status;
use crate::{money::Currency, store::WholeStore};

/// `BankAdmin` on the bank's store.
pub struct Admin<S> {
    bank: String,
    store: S,
}

impl<S: WholeStore> Admin<S> {
    /// For the bank of that name.
    pub fn new(bank: &str, store: S) -> Self {
        Self { bank: bank.to_owned(), store }
    }
}

#[tonic::async_trait]
impl<S: WholeStore> BankAdmin for Admin<S> {
    async fn get_totals(
        &self,
        _request: Request<TotalsRequest>,
    ) -> Result<Response<TotalsResponse>, Status> {
        let totals = self.store.totals().await.map_err(status)?;
        let commits = self.store.commits();
        Ok(Response::new(TotalsResponse {
            bank: self.bank.clone(),
            accounts: totals.accounts,
            customers: sums(totals.customers)?,
            settlement: sums(totals.settlement)?,
            in_doubt: totals.in_doubt,
            fsync_us_p50: commits.quantile_us(0.5),
            fsync_us_p99: commits.quantile_us(0.99),
        }))
    }
}

fn sums(sums: BTreeMap<Currency, i128>) -> Result<Vec<Money>, Status> {
    let money = |(currency, sum): (Currency, i128)| {
        let minor_units = i64::try_from(sum).map_err(|_| {
            Status::out_of_range(format!("the sum of {currency} does not fit 64 bits"))
        })?;
        Ok(Money { minor_units, currency: currency.to_string() })
    };
    sums.into_iter().map(money).collect()
}
