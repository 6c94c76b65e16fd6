//! Generates the wire types from `proto/`, without a `protoc` on the machine.
//!
//! Twice: `v1` as it stands, for clients; and `raw`, where an event is its bytes, for the daemon, which stores
//! and serves the producer's bytes and never decodes them into owned messages.

use prost::Message as _;
use prost_types::{FileDescriptorSet, field_descriptor_proto::Type};
use std::{env, error::Error, fs, path::Path, path::PathBuf};

const PACKAGE: &str = "piperoll.v1";
const FILES: [&str; 5] = [
    "piperoll/v1/event.proto",
    "piperoll/v1/record.proto",
    "piperoll/v1/event_service.proto",
    "piperoll/v1/query_service.proto",
    "piperoll/v1/admin_service.proto",
];
/// Messages that the daemon takes as bytes, to check and store them as they came.
const TAKEN_RAW: [&str; 2] = ["AppendRequest", "AppendStreamRequest"];
/// Messages that hold stored events, and are generated again with an event's bytes in its place.
const WITH_EVENTS: [&str; 6] =
    ["EventRecord", "QueryResponse", "GetResponse", "TimelineResponse", "TimelineEntry", "TailPage"];
/// The message that is encoded once for many readers: the service sends its bytes, made from a message of this name.
const SENT_RAW: (&str, &str) = ("TailResponse", "TailPage");

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut compiler = protox::Compiler::new([root])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
    let descriptors = compiler.file_descriptor_set();

    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    #[expect(
        clippy::disallowed_methods,
        reason = "a build script writes into OUT_DIR, not into a data directory"
    )]
    fs::write(out.join("descriptors.bin"), without_source(&descriptors).encode_to_vec())?;
    generate_plain(descriptors.clone(), &out)?;
    generate_raw(descriptors, &out)
}

/// The messages and the clients as `proto/` says. Maps are ordered, so that equal events are equal bytes: a
/// retry after a restart of the producer must repeat the bytes of the first try.
fn generate_plain(descriptors: FileDescriptorSet, out: &Path) -> Result<(), Box<dyn Error>> {
    let out = out.join("v1");
    fs::create_dir_all(&out)?;
    let builder = tonic_prost_build::configure().build_server(false).btree_map(".");
    builder.out_dir(out).compile_fds(descriptors)?;
    Ok(())
}

/// The services again, with events as bytes; every message that holds none is `v1`'s.
fn generate_raw(mut descriptors: FileDescriptorSet, out: &Path) -> Result<(), Box<dyn Error>> {
    let out = out.join("raw");
    fs::create_dir_all(&out)?;
    let sent = format!(".{PACKAGE}.{}", SENT_RAW.0);
    let mut builder = tonic_prost_build::configure().out_dir(out).codec_path("crate::codec::RawCodec");
    builder = builder.extern_path(sent, "crate::codec::RawMessage");
    for file in descriptors.file.iter_mut().filter(|file| file.package() == PACKAGE) {
        for message in &mut file.message_type {
            if message.name() == SENT_RAW.0 {
                message.name = Some(SENT_RAW.1.to_owned());
            }
            let name = message.name().to_owned();
            let path = format!(".{PACKAGE}.{name}");
            if TAKEN_RAW.contains(&name.as_str()) {
                builder = builder.extern_path(path, "crate::codec::RawMessage");
            } else if !WITH_EVENTS.contains(&name.as_str()) {
                builder = builder.extern_path(path, format!("crate::v1::{name}"));
            }
            for field in message.field.iter_mut().filter(|_| name == "EventRecord") {
                if field.type_name() == format!(".{PACKAGE}.Event") {
                    field.set_type(Type::Bytes);
                    field.type_name = None;
                }
            }
        }
        for value in &file.enum_type {
            let name = value.name();
            builder = builder.extern_path(format!(".{PACKAGE}.{name}"), format!("crate::v1::{name}"));
        }
    }
    builder.bytes(format!(".{PACKAGE}.EventRecord")).compile_fds(descriptors)?;
    Ok(())
}

/// Reflection needs no comments, and they are most of the bytes.
fn without_source(descriptors: &FileDescriptorSet) -> FileDescriptorSet {
    let mut bare = descriptors.clone();
    for file in &mut bare.file {
        file.source_code_info = None;
    }
    bare
}
