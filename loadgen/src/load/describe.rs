//! From a method's name and a request as JSON to request bytes.
//!
//! The method's types come from a `.proto` file or from the server itself, by gRPC reflection.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fs,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::stream;
use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, MethodDescriptor, ServiceDescriptor,
    prost_types::FileDescriptorProto,
};
use strife_runtime::{Failure, Security, connect, tls::Expected};
use tonic::{Code, Status, transport::Channel};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::workload::MethodName;

/// How long the server may take to describe itself.
const REFLECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Most files of a service and what it imports.
const MAX_FILES: usize = 1_000;

/// The method as a `.proto` file defines it.
pub(super) fn from_file(
    method: &MethodName,
    file: &Path,
    imports: &[PathBuf],
) -> Result<MethodDescriptor, Failure> {
    let unusable = |why: String| {
        let why = why.replace('\n', " ");
        Failure::usage(format!(
            "--proto {}: {why}; correct the file or name its imports' directory with -i",
            file.display()
        ))
    };
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut includes = imports.to_vec();
    includes.push(parent.unwrap_or(Path::new(".")).to_owned());
    let compiled =
        protox::compile([file], includes).map_err(|error| unusable(error.to_string()))?;
    let pool = DescriptorPool::from_file_descriptor_set(compiled)
        .map_err(|error| unusable(error.to_string()))?;
    let service = pool.get_service_by_name(method.service()).ok_or_else(|| {
        let known = pool.services().map(|service| service.full_name().to_owned());
        unknown("service", method.service(), &file.display().to_string(), known)
    })?;
    method_of(&service, method)
}

/// The method as the server describes it.
pub(super) async fn by_reflection(
    method: &MethodName,
    target: &str,
    authority: &str,
    security: &Security,
) -> Result<MethodDescriptor, Failure> {
    let channel = connect::channel(target, authority, Expected::AnyServer, security)?;
    let mut server = Reflection { client: ServerReflectionClient::new(channel), target };
    let described = tokio::time::timeout(REFLECTION_TIMEOUT, server.describe(method)).await;
    described.map_err(|_| {
        Failure::new(format!(
            "{target} did not describe itself within {} s; name the service's file with --proto",
            REFLECTION_TIMEOUT.as_secs()
        ))
    })?
}

struct Reflection<'a> {
    client: ServerReflectionClient<Channel>,
    target: &'a str,
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
        let questions = stream::iter([request]);
        let mut answers = self.client.server_reflection_info(questions).await?.into_inner();
        Ok(answers.message().await?.and_then(|answer| answer.message_response))
    }

    fn failed(&self, status: &Status) -> Failure {
        let target = self.target;
        match status.code() {
            Code::Unimplemented => Failure::usage(format!(
                "{target} has no gRPC reflection (v1); name the service's file with --proto"
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

fn method_of(
    service: &ServiceDescriptor,
    method: &MethodName,
) -> Result<MethodDescriptor, Failure> {
    let found = service.methods().find(|known| known.name() == method.method());
    let found = found.ok_or_else(|| {
        let known = service.methods().map(|method| method.name().to_owned());
        unknown("method", method.method(), service.full_name(), known)
    })?;
    if found.is_client_streaming() || found.is_server_streaming() {
        return Err(Failure::usage(format!(
            "{method} is a streaming method; only unary methods can be loaded"
        )));
    }
    Ok(found)
}

fn unknown(kind: &str, name: &str, place: &str, known: impl Iterator<Item = String>) -> Failure {
    let known: Vec<String> = known.collect();
    let hint = match known.is_empty() {
        true => "correct --call".to_owned(),
        false => format!("it has {}", known.join(", ")),
    };
    Failure::usage(format!("{place} has no {kind} `{name}`; {hint}"))
}

/// A request as JSON, from a file.
pub(super) fn read_file(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file).map_err(|error| {
        Failure::usage(format!("cannot read {}: {error}; correct --data-file", file.display()))
    })
}

/// A request as JSON, from standard input.
pub(super) fn read_stdin() -> Result<String, Failure> {
    let mut json = String::new();
    std::io::stdin().read_to_string(&mut json).map_err(|error| {
        Failure::usage(format!("cannot read the request from standard input: {error}"))
    })?;
    Ok(json)
}

/// The request in protobuf's JSON mapping, encoded.
pub(super) fn encode(method: &MethodDescriptor, json: &str) -> Result<Vec<u8>, Failure> {
    let input = method.input();
    let mut reader = serde_json::Deserializer::from_str(json);
    let message = DynamicMessage::deserialize(input.clone(), &mut reader)
        .and_then(|message| reader.end().map(|()| message))
        .map_err(|error| {
            let fields: Vec<String> = input.fields().map(|field| field.name().to_owned()).collect();
            Failure::usage(format!(
                "--data is not a {}: {error}; its fields are {}",
                input.full_name(),
                fields.join(", ")
            ))
        })?;
    Ok(message.encode_to_vec())
}
