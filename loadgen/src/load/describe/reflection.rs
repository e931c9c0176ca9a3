//! What a server says about itself, by gRPC reflection.
//!
//! `grpc.reflection.v1` is asked first. Servers that do not implement it are asked by `v1alpha`, the
//! only version that grpcio's reflection package has; both look the same on the wire.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    time::Duration,
};

use futures_util::stream;
use prost::Message;
use prost_reflect::{DescriptorPool, MethodDescriptor, prost_types::FileDescriptorProto};
use strife_runtime::{Failure, Security, connect, tls::Expected};
use tonic::{Code, Status, transport::Channel};
use tonic_reflection::pb::{
    v1::{
        ServerReflectionRequest, ServerReflectionResponse,
        server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    },
    v1alpha,
};

use super::{method_of, unknown};
use crate::workload::MethodName;

/// How long the server may take to describe itself.
const REFLECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Most files of a service and what it imports.
const MAX_FILES: usize = 1_000;

/// The method as the server describes it.
pub(in crate::load) async fn by_reflection(
    method: &MethodName,
    target: &str,
    authority: &str,
    security: &Security,
) -> Result<MethodDescriptor, Failure> {
    let channel = connect::channel(target, authority, Expected::AnyServer, security)?;
    let mut server = Reflection { channel, version: Version::V1, target };
    let described = tokio::time::timeout(REFLECTION_TIMEOUT, server.describe(method)).await;
    described.map_err(|_| {
        Failure::new(format!(
            "{target} did not describe itself within {} s; name the service's file with --proto",
            REFLECTION_TIMEOUT.as_secs()
        ))
    })?
}

struct Reflection<'a> {
    channel: Channel,
    version: Version,
    target: &'a str,
}

/// Of the reflection service.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V1Alpha,
}

impl Reflection<'_> {
    async fn describe(&mut self, method: &MethodName) -> Result<MethodDescriptor, Failure> {
        let symbol = MessageRequest::FileContainingSymbol(method.service().to_owned());
        let mut files = BTreeMap::new();
        match self.files(symbol).await {
            Ok(found) => add(&mut files, found),
            Err(status) if status.code() == Code::NotFound => {
                let known = self.services().await;
                return Err(unknown("service", method.service(), self.target, known.into_iter()));
            }
            Err(status) => return Err(self.failed(&status)),
        }
        // Servers may send a file without those it imports.
        while let Some(missing) = missing(&files) {
            let found = self.files(MessageRequest::FileByFilename(missing.clone())).await;
            let before = files.len();
            add(&mut files, found.map_err(|status| self.failed(&status))?);
            if files.len() == before || files.len() > MAX_FILES {
                return Err(self.unusable(&format!("it does not send {missing}")));
            }
        }
        let mut pool = DescriptorPool::new();
        pool.add_file_descriptor_protos(files.into_values())
            .map_err(|error| self.unusable(&error.to_string()))?;
        let service = pool
            .get_service_by_name(method.service())
            .ok_or_else(|| self.unusable("it does not describe the service it found"))?;
        method_of(&service, method)
    }

    async fn files(&mut self, request: MessageRequest) -> Result<Vec<FileDescriptorProto>, Status> {
        match self.ask(request).await? {
            Some(MessageResponse::FileDescriptorResponse(response)) => {
                let files = response.file_descriptor_proto.iter();
                let decoded = files.map(|file| FileDescriptorProto::decode(&file[..]));
                decoded
                    .collect::<Result<_, _>>()
                    .map_err(|error| Status::internal(error.to_string()))
            }
            Some(MessageResponse::ErrorResponse(error)) => {
                Err(Status::new(Code::from_i32(error.error_code), error.error_message))
            }
            _ => Err(Status::internal("an answer to another question")),
        }
    }

    /// Names of all services; none if the server does not tell.
    async fn services(&mut self) -> Vec<String> {
        match self.ask(MessageRequest::ListServices(String::new())).await {
            Ok(Some(MessageResponse::ListServicesResponse(list))) => {
                list.service.into_iter().map(|service| service.name).collect()
            }
            _ => Vec::new(),
        }
    }

    async fn ask(&mut self, request: MessageRequest) -> Result<Option<MessageResponse>, Status> {
        let request =
            ServerReflectionRequest { host: String::new(), message_request: Some(request) };
        let mut answer = self.ask_by(self.version, request.clone()).await;
        let unimplemented =
            answer.as_ref().is_err_and(|status| status.code() == Code::Unimplemented);
        if unimplemented && self.version == Version::V1 {
            self.version = Version::V1Alpha;
            answer = self.ask_by(self.version, request).await;
        }
        Ok(answer?.and_then(|answer| answer.message_response))
    }

    async fn ask_by(
        &self,
        version: Version,
        request: ServerReflectionRequest,
    ) -> Result<Option<ServerReflectionResponse>, Status> {
        let channel = self.channel.clone();
        match version {
            Version::V1 => {
                let mut client = ServerReflectionClient::new(channel);
                let answers = client.server_reflection_info(stream::iter([request])).await?;
                answers.into_inner().message().await
            }
            Version::V1Alpha => {
                let mut client =
                    v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
                let request: v1alpha::ServerReflectionRequest = same_bytes(&request)?;
                let answers = client.server_reflection_info(stream::iter([request])).await?;
                let answer = answers.into_inner().message().await?;
                answer.map(|answer| same_bytes(&answer)).transpose()
            }
        }
    }

    fn failed(&self, status: &Status) -> Failure {
        let target = self.target;
        match status.code() {
            Code::Unimplemented => Failure::usage(format!(
                "{target} has no gRPC reflection, neither v1 nor v1alpha; name the service's file \
                 with --proto"
            )),
            Code::Unavailable | Code::Unknown => Failure::new(format!(
                "cannot ask {target} what it serves: {}; start it or correct the address, and check \
                 --certs, --plaintext and --authority",
                root_cause(status)
            )),
            _ => self.unusable(&format!("{:?}: {}", status.code(), status.message())),
        }
    }

    fn unusable(&self, why: &str) -> Failure {
        Failure::new(format!(
            "{} cannot describe itself: {why}; name the service's file with --proto",
            self.target
        ))
    }
}

/// A message as the other version's type.
fn same_bytes<T: Message + Default>(message: &impl Message) -> Result<T, Status> {
    T::decode(&message.encode_to_vec()[..]).map_err(|error| Status::internal(error.to_string()))
}

/// The innermost cause that says something.
fn root_cause(status: &Status) -> String {
    let mut cause = status.message().to_owned();
    let mut source = status.source();
    while let Some(error) = source {
        cause = error.to_string();
        source = error.source();
    }
    cause.replace('\n', " ")
}

fn add(files: &mut BTreeMap<String, FileDescriptorProto>, found: Vec<FileDescriptorProto>) {
    files.extend(found.into_iter().map(|file| (file.name().to_owned(), file)));
}

/// A file that one of `files` imports and that is not among them.
fn missing(files: &BTreeMap<String, FileDescriptorProto>) -> Option<String> {
    let imported: BTreeSet<&String> = files.values().flat_map(|file| &file.dependency).collect();
    imported.into_iter().find(|name| !files.contains_key(*name)).cloned()
}
