//! The contract never breaks: what `contract.golden` lists stays as it is, and every new thing is listed there.
//! And it reads as one hand wrote it: buf's STANDARD rules, and a comment on everything.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    MethodDescriptorProto,
};
use std::collections::{BTreeSet, HashSet};

const GOLDEN: &str = include_str!("contract.golden");

fn own_files(set: FileDescriptorSet) -> impl Iterator<Item = FileDescriptorProto> {
    set.file.into_iter().filter(|file| file.package().starts_with("piperoll."))
}

fn field_line(message: &str, field: &FieldDescriptorProto) -> String {
    let presence = if field.proto3_optional() { "optional " } else { "" };
    format!(
        "{message}.{} = {}: {presence}{} {}{}",
        field.name(),
        field.number(),
        field.label().as_str_name().trim_start_matches("LABEL_").to_lowercase(),
        field.r#type().as_str_name().trim_start_matches("TYPE_").to_lowercase(),
        field.type_name()
    )
}

fn message_lines(prefix: &str, message: &DescriptorProto, into: &mut BTreeSet<String>) {
    let name = format!("{prefix}.{}", message.name());
    into.insert(format!("message {name}"));
    into.extend(message.field.iter().map(|field| field_line(&name, field)));
    message.nested_type.iter().for_each(|nested| message_lines(&name, nested, into));
    message.enum_type.iter().for_each(|nested| enum_lines(&name, nested, into));
}

fn enum_lines(prefix: &str, values: &EnumDescriptorProto, into: &mut BTreeSet<String>) {
    let name = format!("{prefix}.{}", values.name());
    into.extend(values.value.iter().map(|value| format!("{name}.{} = {}", value.name(), value.number())));
}

fn method_line(service: &str, method: &MethodDescriptorProto) -> String {
    let stream = |yes| if yes { "stream " } else { "" };
    format!(
        "rpc {service}.{}({}{}) returns ({}{})",
        method.name(),
        stream(method.client_streaming()),
        method.input_type(),
        stream(method.server_streaming()),
        method.output_type()
    )
}

fn contract() -> BTreeSet<String> {
    let set = FileDescriptorSet::decode(piperoll_proto::FILE_DESCRIPTOR_SET).unwrap();
    let mut lines = BTreeSet::new();
    for file in own_files(set) {
        let package = file.package();
        file.message_type.iter().for_each(|message| message_lines(package, message, &mut lines));
        file.enum_type.iter().for_each(|values| enum_lines(package, values, &mut lines));
        for service in &file.service {
            let name = format!("{package}.{}", service.name());
            lines.extend(service.method.iter().map(|method| method_line(&name, method)));
        }
    }
    lines
}

#[test]
fn nothing_of_the_contract_is_removed_renumbered_or_retyped() {
    let now = contract();
    let golden: BTreeSet<String> = GOLDEN.lines().map(str::to_owned).collect();
    let gone: Vec<_> = golden.difference(&now).collect();
    assert!(gone.is_empty(), "these were promised for ever: {gone:#?}");
    let new: Vec<_> = now.difference(&golden).cloned().collect();
    assert!(new.is_empty(), "new in the contract; add these lines to contract.golden:\n{}", new.join("\n"));
}

#[test]
fn the_descriptor_set_holds_its_imports() {
    let set = FileDescriptorSet::decode(piperoll_proto::FILE_DESCRIPTOR_SET).unwrap();
    let names: HashSet<_> = set.file.iter().map(|file| file.name().to_owned()).collect();
    assert!(set.file.iter().flat_map(|file| &file.dependency).all(|name| names.contains(name)), "{names:?}");
}

/// Paths of everything that has a comment, as `SourceCodeInfo` numbers them.
fn commented(file: &FileDescriptorProto) -> HashSet<Vec<i32>> {
    let places = file.source_code_info.iter().flat_map(|info| &info.location);
    places
        .filter(|place| !place.leading_comments().trim().is_empty())
        .map(|place| place.path.clone())
        .collect()
}

struct Lint<'a> {
    file: &'a FileDescriptorProto,
    comments: HashSet<Vec<i32>>,
    found: Vec<String>,
}

impl Lint<'_> {
    fn check(&mut self, good: bool, what: &str) {
        if !good {
            self.found.push(format!("{}: {what}", self.file.name()));
        }
    }

    fn comment(&mut self, path: &[i32], what: &str) {
        self.check(self.comments.contains(path), &format!("{what} has no comment"));
    }

    fn message(&mut self, message: &DescriptorProto, path: &[i32]) {
        let name = message.name();
        if message.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry) {
            return;
        }
        self.comment(path, name);
        self.check(is_pascal(name), &format!("{name} is not PascalCase"));
        for (at, field) in message.field.iter().enumerate() {
            let what = format!("{name}.{}", field.name());
            self.comment(&child(path, 2, at), &what);
            self.check(is_snake(field.name()), &format!("{what} is not lower_snake_case"));
        }
        for (at, nested) in message.nested_type.iter().enumerate() {
            self.message(nested, &child(path, 3, at));
        }
    }

    fn values(&mut self, values: &EnumDescriptorProto, path: &[i32]) {
        let name = values.name();
        self.comment(path, name);
        let prefix = screaming(name);
        let zero = values.value.first().map(|value| (value.name().to_owned(), value.number()));
        self.check(
            zero == Some((format!("{prefix}_UNSPECIFIED"), 0)),
            &format!("{name} does not begin with 0"),
        );
        for (at, value) in values.value.iter().enumerate() {
            self.comment(&child(path, 2, at), value.name());
            self.check(
                value.name().starts_with(&format!("{prefix}_")),
                &format!("{} lacks its prefix", value.name()),
            );
        }
    }

    fn method(&mut self, method: &MethodDescriptorProto, path: &[i32], used: &mut HashSet<String>) {
        let name = method.name();
        self.comment(path, name);
        for (kind, full) in [("Request", method.input_type()), ("Response", method.output_type())] {
            self.check(full.ends_with(&format!(".{name}{kind}")), &format!("{name} takes or gives {full}"));
            self.check(used.insert(full.to_owned()), &format!("{full} is used twice"));
        }
    }
}

fn child(path: &[i32], field: i32, at: usize) -> Vec<i32> {
    [path, &[field, i32::try_from(at).unwrap()]].concat()
}

fn is_pascal(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_alphanumeric())
}

fn is_snake(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn screaming(name: &str) -> String {
    let parts = name.char_indices().map(|(at, c)| {
        let border = if at > 0 && c.is_ascii_uppercase() { "_" } else { "" };
        format!("{border}{}", c.to_ascii_uppercase())
    });
    parts.collect()
}

#[test]
fn the_contract_keeps_the_rules_of_style() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");
    let mut compiler = protox::Compiler::new([root]).unwrap();
    compiler.include_source_info(true);
    let names = contract_files(root);
    compiler.open_files(&names).unwrap();
    let (mut found, mut used) = (Vec::new(), HashSet::new());
    for file in own_files(compiler.file_descriptor_set()) {
        let mut lint = Lint { file: &file, comments: commented(&file), found: Vec::new() };
        let directory = file.package().replace('.', "/");
        lint.check(file.name().starts_with(&format!("{directory}/")), "its directory is not its package");
        lint.check(file.package() == "piperoll.v1", "its package is not piperoll.v1");
        lint.check(file.syntax() == "proto3", "it is not proto3");
        for (at, message) in file.message_type.iter().enumerate() {
            lint.message(message, &child(&[], 4, at));
        }
        for (at, values) in file.enum_type.iter().enumerate() {
            lint.values(values, &child(&[], 5, at));
        }
        for (at, service) in file.service.iter().enumerate() {
            let path = child(&[], 6, at);
            lint.comment(&path, service.name());
            lint.check(service.name().ends_with("Service"), "a service's name ends in Service");
            for (at, method) in service.method.iter().enumerate() {
                lint.method(method, &child(&path, 2, at), &mut used);
            }
        }
        found.extend(lint.found);
    }
    assert!(found.is_empty(), "{found:#?}");
}

fn contract_files(root: &str) -> Vec<String> {
    let directory = std::fs::read_dir(format!("{root}/piperoll/v1")).unwrap();
    directory.map(|entry| format!("piperoll/v1/{}", entry.unwrap().file_name().to_str().unwrap())).collect()
}
