//! What requests there are and what is in them, out of the descriptors that clients are given.

use std::collections::BTreeMap;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};

/// Services whose requests are looked at: package, service, what stands in front of its methods' names here.
const SERVICES: [(&str, &str, &str); 11] = [
    ("etcdserverpb", "KV", ""),
    ("etcdserverpb", "Watch", ""),
    ("etcdserverpb", "Lease", ""),
    ("etcdserverpb", "Cluster", ""),
    ("etcdserverpb", "Maintenance", ""),
    ("etcdserverpb", "Auth", ""),
    ("v3lockpb", "Lock", "Lock/"),
    ("v3electionpb", "Election", "Election/"),
    ("grpc.health.v1", "Health", "Health/"),
    ("grpc.reflection.v1", "ServerReflection", "Reflection/"),
    ("grpc.reflection.v1alpha", "ServerReflection", "ReflectionAlpha/"),
];

/// All messages by their full name, and the methods.
pub struct Schema {
    messages: BTreeMap<String, DescriptorProto>,
    enums: BTreeMap<String, EnumDescriptorProto>,
    pub methods: Vec<Method>,
}

#[derive(Clone, Debug)]
pub struct Method {
    pub name: String,
    pub path: String,
    pub input: String,
    pub is_streaming: bool,
}

/// One field of a message.
#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    pub number: u32,
    pub kind: Kind,
    pub is_repeated: bool,
    /// Other fields of which only one can be there.
    pub siblings: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Bytes,
    Text,
    Integer,
    Bool,
    /// With the first number that has no name.
    Enum(i64),
    Message(String),
}

impl Schema {
    pub fn read() -> Schema {
        let set = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).expect("descriptors");
        let mut schema = Schema { messages: BTreeMap::new(), enums: BTreeMap::new(), methods: Vec::new() };
        for file in &set.file {
            let package = format!(".{}", file.package());
            file.message_type.iter().for_each(|message| schema.add(&package, message));
            for one in &file.enum_type {
                schema.enums.insert(format!("{package}.{}", one.name()), one.clone());
            }
            for service in &file.service {
                let known = |known: &&(&str, &str, &str)| (known.0, known.1) == (file.package(), service.name());
                let (package, name, front) = SERVICES.iter().find(known).expect("every service is looked at");
                schema.methods.extend(service.method.iter().map(|method| Method {
                    name: format!("{front}{}", method.name()),
                    path: format!("/{package}.{name}/{}", method.name()),
                    input: method.input_type().to_owned(),
                    is_streaming: method.client_streaming() || method.server_streaming(),
                }));
            }
        }
        schema
    }

    fn add(&mut self, package: &str, message: &DescriptorProto) {
        let name = format!("{package}.{}", message.name());
        message.nested_type.iter().for_each(|nested| self.add(&name, nested));
        for one in &message.enum_type {
            self.enums.insert(format!("{name}.{}", one.name()), one.clone());
        }
        self.messages.insert(name, message.clone());
    }

    /// The fields of a message.
    pub fn fields(&self, message: &str) -> Vec<Field> {
        let descriptor = &self.messages[message];
        let field = |field: &prost_types::FieldDescriptorProto| {
            let together = |other: &&prost_types::FieldDescriptorProto| {
                other.oneof_index.is_some() && other.oneof_index == field.oneof_index && other.number != field.number
            };
            Field {
                name: field.name().to_owned(),
                number: field.number() as u32,
                kind: self.kind(field),
                is_repeated: field.label() == Label::Repeated,
                siblings: descriptor.field.iter().filter(together).map(|other| other.number() as u32).collect(),
            }
        };
        descriptor.field.iter().map(field).collect()
    }

    fn kind(&self, field: &prost_types::FieldDescriptorProto) -> Kind {
        match field.r#type() {
            Type::Bytes => Kind::Bytes,
            Type::String => Kind::Text,
            Type::Bool => Kind::Bool,
            Type::Int64 | Type::Uint64 | Type::Int32 | Type::Uint32 => Kind::Integer,
            Type::Enum => {
                let values = &self.enums[field.type_name()].value;
                Kind::Enum(values.iter().map(|value| i64::from(value.number())).max().unwrap_or(0) + 1)
            }
            Type::Message => Kind::Message(field.type_name().to_owned()),
            other => panic!("{}: no request of etcd has a field of type {other:?}", field.name()),
        }
    }
}
