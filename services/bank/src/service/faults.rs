//! `BankFaults`: makes one server slow, or makes it fail. Served with `--allow-faults` only.

use std::sync::Arc;

use strife_proto::bank::v1::{SetFaultRequest, SetFaultResponse, bank_faults_server::BankFaults};
use strife_runtime::service_time::is_slow_factor;
use tonic::{Code, Request, Response, Status};
use tracing::warn;

use crate::{fault::Fault, gate::Gate};

/// The highest gRPC status code, UNAUTHENTICATED.
const LAST_CODE: u32 = 16;

/// Codes that do not say that a server fails.
const SAID_OF_THE_CALL: [Code; 2] = [Code::InvalidArgument, Code::OutOfRange];

/// `BankFaults` of the server behind a gate.
pub struct Faults(Arc<Gate>);

impl Faults {
    /// Of the server whose calls pass `gate`.
    pub fn new(gate: Arc<Gate>) -> Self {
        Self(gate)
    }
}

#[tonic::async_trait]
impl BankFaults for Faults {
    async fn set_fault(
        &self,
        request: Request<SetFaultRequest>,
    ) -> Result<Response<SetFaultResponse>, Status> {
        let fault = fault(&request.into_inner())?;
        warn!(slow = fault.slow, fail_with = ?fault.fail_with, "a fault was set");
        self.0.set_fault(fault);
        Ok(Response::new(SetFaultResponse {}))
    }
}

fn fault(request: &SetFaultRequest) -> Result<Fault, Status> {
    // An unset number is 0 on the wire.
    let slow = if request.slow_factor == 0.0 { 1.0 } else { request.slow_factor };
    if !is_slow_factor(slow) {
        let wrong = format!("slow_factor {slow} is not between 0.01 and 1000");
        return Err(Status::invalid_argument(wrong));
    }
    let fail_with = match request.fail_with {
        0 => None,
        code @ 1..=LAST_CODE => {
            let code = Code::from_i32(code.cast_signed());
            if SAID_OF_THE_CALL.contains(&code) {
                let wrong = format!(
                    "fail_with {} ({code:?}) says that a call is wrong in itself, not that a server fails; \
                     choose another, as 14 (Unavailable)",
                    code as i32
                );
                return Err(Status::invalid_argument(wrong));
            }
            Some(code)
        }
        other => {
            let wrong =
                format!("fail_with {other} is not a gRPC status code from 1 to {LAST_CODE}");
            return Err(Status::invalid_argument(wrong));
        }
    };
    Ok(Fault { slow, fail_with })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(slow_factor: f64, fail_with: u32, expected: Option<Fault>) {
        let found = fault(&SetFaultRequest { slow_factor, fail_with });
        assert_eq!(found.as_ref().ok(), expected.as_ref(), "{found:?}");
    }

    #[test]
    fn unset_is_healthy_and_nonsense_is_refused() {
        check(0.0, 0, Some(Fault::default()));
        check(3.0, 14, Some(Fault { slow: 3.0, fail_with: Some(Code::Unavailable) }));
        check(1.0, 16, Some(Fault { slow: 1.0, fail_with: Some(Code::Unauthenticated) }));
        check(1.0, Code::InvalidArgument as u32, None);
        check(1.0, Code::OutOfRange as u32, None);
        check(-1.0, 0, None);
        check(f64::NAN, 0, None);
        check(1e9, 0, None);
        check(1.0, 17, None);
        check(1.0, u32::MAX, None);
    }
}
