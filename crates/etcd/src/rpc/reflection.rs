//! `grpc.reflection.v1.ServerReflection`, and `v1alpha`, which is the same on the wire: the files that crate `proto` was
//! made of, for tools such as grpcurl. etcd has no such service.
//!
//! A file is answered alone; whoever needs its imports asks for them by name.

use super::answer::encoded;
use super::streams::Messages;
use crate::grpc::{Code, Status};
use bytes::{Buf, Bytes};
use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto};
use proto::reflection::server_reflection_request::MessageRequest as Asked;
use proto::reflection::server_reflection_response::MessageResponse as Answer;
use proto::reflection::{
    ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse, ServerReflectionRequest,
    ServerReflectionResponse, ServiceResponse,
};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// One answer for each request, in their order.
pub(super) async fn reflect(messages: &mut Messages<'_>) -> Result<(), Status> {
    while let Some(request) = messages.inbound.next::<ServerReflectionRequest>().await? {
        let Some(asked) = &request.message_request else {
            return Err(Status::new(Code::InvalidArgument, "a reflection request asks for nothing"));
        };
        let response = ServerReflectionResponse {
            valid_host: request.host.clone(),
            message_response: Some(FILES.answer(asked)),
            original_request: Some(request),
        };
        messages.outbound.ready().await?;
        messages.outbound.send(encoded(&response))?;
    }
    Ok(())
}

static FILES: LazyLock<Files> = LazyLock::new(|| Files::new(Bytes::from_static(proto::FILE_DESCRIPTOR_SET)));

/// What there is, by name.
#[derive(Default)]
struct Files {
    /// The files as they were compiled; their order is that of all other numbers here.
    encoded: Vec<Bytes>,
    by_name: BTreeMap<String, usize>,
    /// Full names of everything that has one.
    by_symbol: BTreeMap<String, usize>,
    /// By extended message, then by number.
    by_extension: BTreeMap<String, BTreeMap<i32, usize>>,
    services: Vec<String>,
}

impl Files {
    /// From an encoded `FileDescriptorSet`, which is ours: it can be read.
    fn new(mut set: Bytes) -> Files {
        const FILE: (u32, WireType) = (1, WireType::LengthDelimited);
        let mut files = Files::default();
        while set.has_remaining() {
            assert_eq!(decode_key(&mut set).expect("a key"), FILE, "a set is made of files");
            let length = decode_varint(&mut set).expect("a length");
            files.add(set.split_to(length as usize));
        }
        files.services.sort();
        files
    }

    fn add(&mut self, encoded: Bytes) {
        let file = FileDescriptorProto::decode(encoded.clone()).expect("a file");
        let number = self.encoded.len();
        self.encoded.push(encoded);
        self.by_name.insert(file.name().to_owned(), number);
        let scope = file.package();
        for message in &file.message_type {
            self.add_message(scope, message, number);
        }
        self.add_enums(scope, &file.enum_type, number);
        self.add_extensions(scope, &file.extension, number);
        for service in &file.service {
            let name = inside(scope, service.name());
            for method in &service.method {
                self.by_symbol.insert(inside(&name, method.name()), number);
            }
            self.by_symbol.insert(name.clone(), number);
            self.services.push(name);
        }
    }

    fn add_message(&mut self, scope: &str, message: &DescriptorProto, number: usize) {
        let name = inside(scope, message.name());
        let fields = message.field.iter().map(FieldDescriptorProto::name);
        for member in fields.chain(message.oneof_decl.iter().map(|oneof| oneof.name())) {
            self.by_symbol.insert(inside(&name, member), number);
        }
        for nested in &message.nested_type {
            self.add_message(&name, nested, number);
        }
        self.add_enums(&name, &message.enum_type, number);
        self.add_extensions(&name, &message.extension, number);
        self.by_symbol.insert(name, number);
    }

    /// The values of an enum are its neighbours.
    fn add_enums(&mut self, scope: &str, enums: &[EnumDescriptorProto], number: usize) {
        for one in enums {
            self.by_symbol.insert(inside(scope, one.name()), number);
            for value in &one.value {
                self.by_symbol.insert(inside(scope, value.name()), number);
            }
        }
    }

    fn add_extensions(&mut self, scope: &str, extensions: &[FieldDescriptorProto], number: usize) {
        for extension in extensions {
            self.by_symbol.insert(inside(scope, extension.name()), number);
            let extended = extension.extendee().trim_start_matches('.').to_owned();
            self.by_extension.entry(extended).or_default().insert(extension.number(), number);
        }
    }

    fn answer(&self, asked: &Asked) -> Answer {
        match asked {
            Asked::FileByFilename(name) => self.file(self.by_name.get(name), || format!("no file {name:?}")),
            Asked::FileContainingSymbol(name) => {
                let symbol = name.strip_prefix('.').unwrap_or(name);
                self.file(self.by_symbol.get(symbol), || format!("no symbol {name:?}"))
            }
            Asked::FileContainingExtension(extension) => {
                let (extended, number) = (&extension.containing_type, extension.extension_number);
                let found = self.by_extension.get(extended).and_then(|numbers| numbers.get(&number));
                self.file(found, || format!("no extension {number} of {extended:?}"))
            }
            Asked::AllExtensionNumbersOfType(name) => match self.by_extension.get(name) {
                Some(numbers) => Answer::AllExtensionNumbersResponse(ExtensionNumberResponse {
                    base_type_name: name.clone(),
                    extension_number: numbers.keys().copied().collect(),
                }),
                // A message that nobody extends has none; what is no message has no answer.
                None if self.by_symbol.contains_key(name) => {
                    Answer::AllExtensionNumbersResponse(ExtensionNumberResponse {
                        base_type_name: name.clone(),
                        extension_number: Vec::new(),
                    })
                }
                None => not_found(format!("no message {name:?}")),
            },
            Asked::ListServices(_) => Answer::ListServicesResponse(ListServiceResponse {
                service: self.services.iter().map(|name| ServiceResponse { name: name.clone() }).collect(),
            }),
        }
    }

    fn file(&self, found: Option<&usize>, why_not: impl FnOnce() -> String) -> Answer {
        match found {
            Some(&number) => Answer::FileDescriptorResponse(FileDescriptorResponse {
                file_descriptor_proto: vec![self.encoded[number].clone()],
            }),
            None => not_found(why_not()),
        }
    }
}

fn not_found(error_message: String) -> Answer {
    Answer::ErrorResponse(ErrorResponse { error_code: Code::NotFound as i32, error_message })
}

fn inside(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::methods::METHODS;
    use std::collections::BTreeSet;

    /// A tool that starts from a service and follows imports finds everything.
    #[test]
    fn every_method_can_be_followed() {
        let services: BTreeSet<&str> = METHODS.iter().map(|method| method.service).collect();
        assert_eq!(FILES.services.iter().map(String::as_str).collect::<BTreeSet<_>>(), services);
        let of = |answer| match answer {
            Answer::FileDescriptorResponse(files) => {
                FileDescriptorProto::decode(files.file_descriptor_proto[0].clone()).unwrap()
            }
            other => panic!("{other:?}"),
        };
        for method in METHODS {
            let by_service = of(FILES.answer(&Asked::FileContainingSymbol(method.service.to_owned())));
            let name = format!("{}.{}", method.service, method.name);
            let by_method = of(FILES.answer(&Asked::FileContainingSymbol(name)));
            assert_eq!(by_service, by_method);
            let mut wanted = vec![by_method];
            while let Some(file) = wanted.pop() {
                let imported = |name: &String| of(FILES.answer(&Asked::FileByFilename(name.clone())));
                wanted.extend(file.dependency.iter().map(imported));
            }
        }
    }
}
