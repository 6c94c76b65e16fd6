//! Every service is listed and called through reflection alone, in both of its versions: nothing here knows
//! the contract but what the daemon itself tells of it.

use crate::daemon::Daemon;
use crate::input::CLASSES;
use bytes::{Buf as _, BufMut as _, Bytes};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, MethodDescriptor, Value};
use prost_types::FileDescriptorProto;
use std::collections::BTreeSet;
use tempfile::tempdir;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// The two versions of reflection have the same messages under two names.
macro_rules! reflection_client {
    ($module:ident) => {
        mod $module {
            use tonic::transport::Channel;
            use tonic_reflection::pb::$module::ServerReflectionRequest;
            use tonic_reflection::pb::$module::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$module::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$module::server_reflection_response::MessageResponse;

            async fn ask(channel: &Channel, question: MessageRequest) -> MessageResponse {
                let request =
                    ServerReflectionRequest { host: String::new(), message_request: Some(question) };
                let mut client = ServerReflectionClient::new(channel.clone());
                let answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
                answers.into_inner().message().await.unwrap().unwrap().message_response.unwrap()
            }

            pub(super) async fn services(channel: &Channel) -> Vec<String> {
                match ask(channel, MessageRequest::ListServices(String::new())).await {
                    MessageResponse::ListServicesResponse(list) => {
                        list.service.into_iter().map(|one| one.name).collect()
                    }
                    other => panic!("{other:?}"),
                }
            }

            pub(super) async fn file_with(channel: &Channel, symbol: &str) -> Vec<Vec<u8>> {
                files(ask(channel, MessageRequest::FileContainingSymbol(symbol.to_owned())).await)
            }

            pub(super) async fn file(channel: &Channel, name: &str) -> Vec<Vec<u8>> {
                files(ask(channel, MessageRequest::FileByFilename(name.to_owned())).await)
            }

            fn files(answer: MessageResponse) -> Vec<Vec<u8>> {
                match answer {
                    MessageResponse::FileDescriptorResponse(files) => files.file_descriptor_proto,
                    other => panic!("{other:?}"),
                }
            }
        }
    };
}

reflection_client!(v1);
reflection_client!(v1alpha);

/// Sends dynamic messages and receives them.
struct DynamicCodec(MessageDescriptor);
struct DynamicEncoder;
struct DynamicDecoder(MessageDescriptor);

impl Codec for DynamicCodec {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = DynamicEncoder;
    type Decoder = DynamicDecoder;

    fn encoder(&mut self) -> DynamicEncoder {
        DynamicEncoder
    }

    fn decoder(&mut self) -> DynamicDecoder {
        DynamicDecoder(self.0.clone())
    }
}

impl Encoder for DynamicEncoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put(item.encode_to_vec().as_slice());
        Ok(())
    }
}

impl Decoder for DynamicDecoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let bytes: Bytes = buf.copy_to_bytes(buf.remaining());
        DynamicMessage::decode(self.0.clone(), bytes)
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

/// Calls a method and takes its first answer: on the wire every call is a stream in both directions.
async fn call(
    channel: &Channel,
    method: &MethodDescriptor,
    message: DynamicMessage,
) -> Result<DynamicMessage, Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let path = PathAndQuery::try_from(path).unwrap();
    // The stream of requests stays open, as that of a live sender; the first answer must come all the same.
    let keep_open = method.is_client_streaming();
    let requests = tokio_stream::StreamExt::chain(
        tokio_stream::once(message),
        futures_util::stream::poll_fn(move |_| {
            if keep_open { std::task::Poll::Pending } else { std::task::Poll::Ready(None) }
        }),
    );
    let answers = client.streaming(Request::new(requests), path, DynamicCodec(method.output())).await?;
    answers.into_inner().message().await?.ok_or_else(|| Status::internal("no answer"))
}

/// A request that the method can answer, made from nothing but names and kinds of fields.
fn request_for(descriptor: &MessageDescriptor) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        match (field.name(), field.kind()) {
            ("events", Kind::Message(event)) => {
                let mut one = DynamicMessage::new(event);
                let texts =
                    [("id", "reflected"), ("actor", "alice"), ("action", "deploy.approved"), ("run", "41")];
                for (name, value) in texts {
                    one.set_field_by_name(name, Value::String(value.to_owned()));
                }
                message.set_field(&field, Value::List(vec![Value::Message(one)]));
            }
            ("filter", Kind::String) => message.set_field(&field, Value::String("actor = alice".to_owned())),
            ("field", Kind::String) if descriptor.name() == "ValuesRequest" => {
                message.set_field(&field, Value::String("actor".to_owned()));
            }
            ("run", Kind::String) if descriptor.name() == "TimelineRequest" => {
                message.set_field(&field, Value::String("41".to_owned()));
            }
            ("count", Kind::Message(count)) => {
                message.set_field(&field, Value::Message(DynamicMessage::new(count)));
            }
            ("address", Kind::String) => message.set_field(&field, Value::String("standard@0".to_owned())),
            ("class", Kind::String) => message.set_field(&field, Value::String("standard".to_owned())),
            ("seen", Kind::Message(time)) => {
                message.set_field(&field, Value::Message(DynamicMessage::new(time)));
            }
            ("dry_run", Kind::Bool) => message.set_field(&field, Value::Bool(true)),
            _ => {}
        }
    }
    message
}

/// A pool with the files that define the services, and all that those import.
macro_rules! pool {
    ($module:ident, $channel:expr, $services:expr) => {{
        let mut files: Vec<FileDescriptorProto> = Vec::new();
        let mut wanted: Vec<String> = Vec::new();
        for service in $services {
            for bytes in $module::file_with($channel, service).await {
                files.push(FileDescriptorProto::decode(bytes.as_slice()).unwrap());
            }
        }
        wanted.extend(files.iter().flat_map(|file| file.dependency.clone()));
        while let Some(name) = wanted.pop() {
            if files.iter().any(|file| file.name() == name) {
                continue;
            }
            for bytes in $module::file($channel, &name).await {
                let file = FileDescriptorProto::decode(bytes.as_slice()).unwrap();
                wanted.extend(file.dependency.clone());
                files.push(file);
            }
        }
        let mut names = BTreeSet::new();
        files.retain(|file| names.insert(file.name().to_owned()));
        let mut pool = DescriptorPool::new();
        pool.add_file_descriptor_protos(files).unwrap();
        pool
    }};
}

const OWN: [&str; 3] = ["piperoll.v1.AdminService", "piperoll.v1.EventService", "piperoll.v1.QueryService"];
const HEALTH: &str = "grpc.health.v1.Health";

async fn call_everything(channel: &Channel, services: &[String], pool: &DescriptorPool) -> usize {
    let mut methods = Vec::new();
    for service in services {
        let service =
            pool.get_service_by_name(service).unwrap_or_else(|| panic!("{service} is not described"));
        methods.extend(service.methods());
    }
    // What appends comes first, so that what asks has something to find.
    methods.sort_by_key(|method| !method.name().starts_with("Append"));
    for method in &methods {
        let answer = call(channel, method, request_for(&method.input())).await;
        if method.name() == "AcceptClock" {
            // The clock is right, and so is the refusal.
            assert_eq!(answer.unwrap_err().code(), tonic::Code::FailedPrecondition);
            continue;
        }
        let answer = answer.unwrap_or_else(|status| panic!("{}: {status:?}", method.full_name()));
        check_answer(method, &answer);
    }
    methods.len()
}

/// The answers hold what the question was about.
fn check_answer(method: &MethodDescriptor, answer: &DynamicMessage) {
    let list = |name: &str| answer.get_field_by_name(name).unwrap().as_list().unwrap().len();
    let number = |name: &str| answer.get_field_by_name(name).unwrap().as_u64().unwrap();
    match method.name() {
        "Append" | "AppendStream" => assert_eq!(list("ranges"), 1),
        "Query" => assert!(list("records") >= 2),
        "Count" | "Histogram" => assert!(number("total") >= 2),
        "Explain" => assert!(number("found") >= 2),
        "Values" => assert_eq!(list("values"), 1),
        "Timeline" => assert!(list("entries") >= 2),
        "Get" => assert!(answer.has_field_by_name("record")),
        "Status" => assert_eq!(list("logs"), 1),
        "Check" | "Watch" => {
            assert_eq!(answer.get_field_by_name("status").unwrap().as_enum_number(), Some(1));
        }
        "AcceptLoss" => assert_eq!(list("losses"), 0),
        "ClockStatus" => assert!(answer.has_field_by_name("wall")),
        "Tail" | "Seal" | "Sweep" | "List" => {}
        other => panic!("{other} is new: say here what its answer holds"),
    }
}

fn without_reflection(services: Vec<String>) -> Vec<String> {
    for name in OWN.into_iter().chain([HEALTH]) {
        assert!(services.iter().any(|service| service == name), "{name} is not listed: {services:?}");
    }
    // Reflection was called to get here.
    services.into_iter().filter(|service| !service.starts_with("grpc.reflection.")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_service_is_listed_and_called_through_reflection() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    let channel = Endpoint::from_shared(daemon.grpc().to_owned()).unwrap().connect().await.unwrap();

    let services = without_reflection(v1::services(&channel).await);
    let pool = pool!(v1, &channel, &services);
    let called = call_everything(&channel, &services, &pool).await;
    assert!(called >= 12, "{called}");

    let services = without_reflection(v1alpha::services(&channel).await);
    let pool = pool!(v1alpha, &channel, &services);
    assert_eq!(call_everything(&channel, &services, &pool).await, called);
}
