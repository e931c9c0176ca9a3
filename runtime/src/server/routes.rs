//! Which service a call goes to: its path begins with the service's name.

use std::{
    collections::HashMap,
    convert::Infallible,
    future,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use tonic::{Status, body::Body, server::NamedService};
use tower::{Service, util::BoxCloneSyncService};

/// A service, whichever.
type Route = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// The services of a server by name. Clones, of which every call gets one, share them.
#[derive(Clone, Default)]
pub(super) struct Routes(Arc<HashMap<&'static str, Route>>);

impl Routes {
    /// Must be all there before the first clone.
    pub(super) fn add<S>(&mut self, service: S)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        let routes = Arc::get_mut(&mut self.0).expect("services are added before any is served");
        routes.insert(S::NAME, Route::new(service));
    }
}

/// `strife.bank.v1.BankService` of `/strife.bank.v1.BankService/ValidateAccount`.
fn service_of(path: &str) -> Option<&str> {
    path.strip_prefix('/')?.split_once('/').map(|(service, _)| service)
}

impl Service<Request<Body>> for Routes {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    /// Every service of tonic's is ready at any time.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        match service_of(path).and_then(|service| self.0.get(service)) {
            Some(service) => service.clone().call(request),
            None => {
                let status = Status::unimplemented("no service here answers this path");
                Box::pin(future::ready(Ok(status.into_http())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    async fn check(path: &str, expected: Code) {
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
        let mut routes = Routes::default();
        routes.add(health);
        // What is asked for is not looked at before the path.
        let request = Request::builder().method("POST").uri(format!("http://server{path}"));
        let request = request.header("content-type", "application/grpc");
        let request = request.body(Body::empty()).unwrap();
        let response = routes.clone().call(request).await.unwrap();
        let status = Status::from_header_map(response.headers()).expect("nothing was asked for");
        assert_eq!(status.code(), expected, "{path}: {status:?}");
    }

    #[tokio::test]
    async fn a_call_goes_to_the_service_its_path_begins_with() {
        check("/grpc.health.v1.Health/Check", Code::Internal).await;
        check("/grpc.health.v1.Health/Nothing", Code::Unimplemented).await;
        for path in ["/", "/grpc.health.v1.Health", "/grpc.health.v1/Check", "//Check", "/a.B/C/D"]
        {
            check(path, Code::Unimplemented).await;
        }
    }
}
