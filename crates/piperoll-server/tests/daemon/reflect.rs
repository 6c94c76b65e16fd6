//! A stranger with nothing but reflection finds and calls every service.

use crate::support::{Daemon, event};
use piperoll_proto::codec::{RawCodec, RawMessage};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use std::collections::BTreeSet;
use tonic::{
    Request, Status,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_reflection::pb::{v1, v1alpha};

const SERVICES: [&str; 6] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "piperoll.v1.AdminService",
    "piperoll.v1.EventService",
    "piperoll.v1.QueryService",
];

macro_rules! reflection {
    ($name:ident, $version:ident) => {
        /// Names of the services, and a pool of all their files.
        async fn $name(channel: Channel) -> (BTreeSet<String>, DescriptorPool) {
            use $version::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
            };
            let mut client = ServerReflectionClient::new(channel);
            let mut ask = async |message_request| {
                let request =
                    ServerReflectionRequest { host: String::new(), message_request: Some(message_request) };
                let mut answers =
                    client.server_reflection_info(tokio_stream::iter([request])).await.unwrap().into_inner();
                answers.message().await.unwrap().unwrap().message_response.unwrap()
            };
            let MessageResponse::ListServicesResponse(list) =
                ask(MessageRequest::ListServices(String::new())).await
            else {
                panic!("no list of services");
            };
            let names: BTreeSet<_> = list.service.into_iter().map(|service| service.name).collect();
            let mut files = BTreeSet::new();
            let mut wanted: Vec<_> =
                names.iter().map(|name| MessageRequest::FileContainingSymbol(name.clone())).collect();
            let mut found = Vec::new();
            while let Some(request) = wanted.pop() {
                let MessageResponse::FileDescriptorResponse(answer) = ask(request).await else {
                    panic!("no file");
                };
                for bytes in answer.file_descriptor_proto {
                    let file = prost_types::FileDescriptorProto::decode(bytes.as_slice()).unwrap();
                    if files.insert(file.name().to_owned()) {
                        wanted.extend(file.dependency.iter().cloned().map(MessageRequest::FileByFilename));
                        found.push(file);
                    }
                }
            }
            let mut pool = DescriptorPool::new();
            pool.add_file_descriptor_protos(found).unwrap();
            (names, pool)
        }
    };
}

reflection!(reflect_v1, v1);
reflection!(reflect_v1alpha, v1alpha);

/// Calls a method with the request in the text form of its message, and gives the first answer.
async fn call(channel: Channel, method: &MethodDescriptor, request: &str) -> Result<DynamicMessage, Status> {
    let request = DynamicMessage::parse_text_format(method.input(), request).unwrap();
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let path = PathAndQuery::try_from(path).unwrap();
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.unwrap();
    let requests = tokio_stream::iter([RawMessage(request.encode_to_vec().into())]);
    let codec = RawCodec::<RawMessage, RawMessage>::default();
    let mut answers = grpc.streaming(Request::new(requests), path, codec).await?.into_inner();
    let answer = answers.message().await?.unwrap();
    Ok(DynamicMessage::decode(method.output(), answer.0).unwrap())
}

/// What to call each method with; every method of ours is here.
const CALLS: [(&str, &str); 17] = [
    ("piperoll.v1.EventService.Append", "events { actor: 'a' action: 'b' stage: 'deploy' }"),
    ("piperoll.v1.EventService.AppendStream", "events { actor: 'a' action: 'c' }"),
    ("piperoll.v1.QueryService.Query", "filter: 'actor = a' limit: 1"),
    ("piperoll.v1.QueryService.Count", "group_by: 'stage'"),
    ("piperoll.v1.QueryService.Explain", "count { filter: 'actor = a' }"),
    ("piperoll.v1.QueryService.Values", "field: 'actor'"),
    ("piperoll.v1.QueryService.Histogram", "filter: 'received >= -1h'"),
    ("piperoll.v1.QueryService.Timeline", "run: '41'"),
    ("piperoll.v1.QueryService.Get", "address: 'default@0'"),
    ("piperoll.v1.QueryService.Tail", ""),
    ("piperoll.v1.AdminService.Status", ""),
    ("piperoll.v1.AdminService.Seal", ""),
    ("piperoll.v1.AdminService.Sweep", "dry_run: true"),
    ("piperoll.v1.AdminService.AcceptLoss", "class: 'default'"),
    ("piperoll.v1.AdminService.ClockStatus", ""),
    ("piperoll.v1.AdminService.AcceptClock", "seen {}"),
    ("grpc.health.v1.Health.Check", "service: 'piperoll.v1.EventService'"),
];

async fn check(channel: Channel, names: BTreeSet<String>, pool: DescriptorPool) {
    assert!(names.iter().map(String::as_str).eq(SERVICES), "{names:?}");
    let methods: Vec<_> = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    for method in methods.iter().filter(|method| method.full_name().starts_with("piperoll.")) {
        assert!(
            CALLS.iter().any(|(name, _)| *name == method.full_name()),
            "{} is called",
            method.full_name()
        );
    }
    for (name, request) in CALLS {
        let method = methods.iter().find(|method| method.full_name() == name).unwrap();
        let answer = call(channel.clone(), method, request).await;
        if name == "piperoll.v1.AdminService.AcceptClock" {
            // The clock is right, and so is the refusal.
            assert_eq!(answer.unwrap_err().code(), tonic::Code::FailedPrecondition);
            continue;
        }
        assert!(answer.is_ok(), "{name}: {answer:?}");
        let answer = answer.unwrap();
        if name == "piperoll.v1.QueryService.Get" {
            assert!(answer.to_text_format().contains("actor:\"a\""), "{}", answer.to_text_format());
        }
    }
}

#[tokio::test]
async fn every_service_is_listed_and_called_through_reflection_alone() {
    let daemon = Daemon::new().await;
    let channel = Endpoint::from_shared(daemon.endpoint()).unwrap().connect().await.unwrap();
    let (names, pool) = reflect_v1(channel.clone()).await;
    check(channel.clone(), names, pool).await;
    let (names, pool) = reflect_v1alpha(channel.clone()).await;
    check(channel, names, pool).await;
    daemon.client().await.append(vec![event("a", "", 0)]).await.unwrap();
    daemon.running.stop().await.unwrap();
}
