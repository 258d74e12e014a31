//! Reflection: what a member offers, one request of each kind.

use bytes::Bytes;
use prost::Message;
use prost_types::FileDescriptorProto;
use proto::methods::path;
use proto::reflection::server_reflection_request::MessageRequest as Asked;
use proto::reflection::server_reflection_response::MessageResponse as Answer;
use proto::reflection::{ErrorResponse, ExtensionRequest, ServerReflectionRequest, ServerReflectionResponse};

use crate::client::{Client, frame, messages};
use crate::member::Member;

/// All answers of one stream on which these were asked.
async fn answers(client: &mut Client, path: &str, asked: Vec<Asked>) -> Vec<Answer> {
    let mut call = client.begin(path, &[]);
    let mut body = Vec::new();
    let requests: Vec<_> = asked
        .into_iter()
        .map(|asked| ServerReflectionRequest { host: "here".to_owned(), message_request: Some(asked) })
        .collect();
    requests.iter().for_each(|request| body.extend(frame(&request.encode_to_vec())));
    call.send.send_data(Bytes::from(body), true).unwrap();
    let answer = call.answer().await;
    assert_eq!(answer.grpc(), ("0".to_owned(), String::new()));
    let responses = messages::<ServerReflectionResponse>(&answer.body);
    assert_eq!(responses.len(), requests.len());
    let answer = |(response, request): (ServerReflectionResponse, ServerReflectionRequest)| {
        assert_eq!((response.valid_host.as_str(), response.original_request), ("here", Some(request)));
        response.message_response.unwrap()
    };
    responses.into_iter().zip(requests).map(answer).collect()
}

fn file(answer: &Answer) -> FileDescriptorProto {
    let Answer::FileDescriptorResponse(files) = answer else { panic!("{answer:?}") };
    assert_eq!(files.file_descriptor_proto.len(), 1);
    FileDescriptorProto::decode(&files.file_descriptor_proto[0][..]).unwrap()
}

#[tokio::test]
async fn every_kind_of_question() {
    let member = Member::start().await;
    let mut client = member.client().await;
    let named = |name: &str| Asked::FileByFilename(name.to_owned());
    let symbol = |name: &str| Asked::FileContainingSymbol(name.to_owned());
    let extension = |name: &str, number| {
        let extension = ExtensionRequest { containing_type: name.to_owned(), extension_number: number };
        Asked::FileContainingExtension(extension)
    };
    let numbers = |name: &str| Asked::AllExtensionNumbersOfType(name.to_owned());
    for path in [path::REFLECTION, path::REFLECTION_V1ALPHA] {
        let asked = vec![
            Asked::ListServices(String::new()),
            named("kv.proto"),
            symbol("etcdserverpb.KV"),
            symbol("etcdserverpb.KV.RangeStream"),
            symbol("mvccpb.Event.EventType"),
            symbol("etcdserverpb.RangeRequest.key"),
            extension("google.protobuf.FieldOptions", 50001),
            numbers("google.protobuf.FieldOptions"),
            numbers("mvccpb.KeyValue"),
        ];
        let answers = answers(&mut client, path, asked).await;
        let Answer::ListServicesResponse(listed) = &answers[0] else { panic!("{:?}", answers[0]) };
        let listed: Vec<&str> = listed.service.iter().map(|service| service.name.as_str()).collect();
        let services = [
            "etcdserverpb.Auth",
            "etcdserverpb.Cluster",
            "etcdserverpb.KV",
            "etcdserverpb.Lease",
            "etcdserverpb.Maintenance",
            "etcdserverpb.Watch",
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            "v3electionpb.Election",
            "v3lockpb.Lock",
        ];
        assert_eq!(listed, services);
        assert_eq!(file(&answers[1]).package(), "mvccpb");
        let rpc = file(&answers[2]);
        assert!(rpc.service.iter().any(|service| service.name() == "KV" && service.method.len() == 6));
        assert_eq!(file(&answers[3]), rpc);
        assert_eq!(file(&answers[4]).name(), "kv.proto");
        assert_eq!(file(&answers[5]), rpc);
        assert_eq!(file(&answers[6]).package(), "versionpb");
        let Answer::AllExtensionNumbersResponse(numbers) = &answers[7] else { panic!("{:?}", answers[7]) };
        assert_eq!(numbers.extension_number, [50001]);
        let Answer::AllExtensionNumbersResponse(numbers) = &answers[8] else { panic!("{:?}", answers[8]) };
        assert_eq!((numbers.base_type_name.as_str(), numbers.extension_number.len()), ("mvccpb.KeyValue", 0));
    }
}

/// What is not there is an answer, and the stream goes on; a request that asks for nothing ends it.
#[tokio::test]
async fn what_is_not_there() {
    let member = Member::start().await;
    let mut client = member.client().await;
    let nothing = ExtensionRequest { containing_type: "mvccpb.KeyValue".to_owned(), extension_number: 1 };
    let asked = vec![
        Asked::FileContainingSymbol("etcdserverpb.KV.Guess".to_owned()),
        Asked::FileByFilename("guess.proto".to_owned()),
        Asked::FileContainingExtension(nothing),
        Asked::AllExtensionNumbersOfType("guess".to_owned()),
    ];
    let words = [
        "no symbol \"etcdserverpb.KV.Guess\"",
        "no file \"guess.proto\"",
        "no extension 1 of \"mvccpb.KeyValue\"",
        "no message \"guess\"",
    ];
    for (answer, words) in answers(&mut client, path::REFLECTION, asked).await.into_iter().zip(words) {
        let error = ErrorResponse { error_code: 5, error_message: words.to_owned() };
        assert_eq!(answer, Answer::ErrorResponse(error));
    }
    let refused = client.call(path::REFLECTION, &[], frame(b"")).await.grpc();
    assert_eq!(refused, ("3".to_owned(), "a reflection request asks for nothing".to_owned()));
}
