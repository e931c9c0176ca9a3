//! From a method's name and a request as JSON to request bytes.
//!
//! The method's types come from a `.proto` file or from the server itself, by gRPC reflection.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, ServiceDescriptor};
use strife_runtime::Failure;

use crate::workload::MethodName;

mod reflection;

pub(super) use reflection::by_reflection;

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
