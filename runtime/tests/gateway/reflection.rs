//! A tool that knows nothing of genii but what reflection tells, as grpcurl does.

use bytes::{Buf, BufMut};
use genii_runtime::trust::scope::Verb;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use tokio_stream::StreamExt;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest as Ask;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse as Told;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::place::*;

/// Messages of which nothing is known before reflection has told of them.
#[derive(Clone)]
struct Dynamic(MethodDescriptor);

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        self.clone()
    }

    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl Encoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, message: DynamicMessage, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(message.encode_to_vec().as_slice());
        Ok(())
    }
}

impl Decoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        let decoded = DynamicMessage::decode(self.0.output(), bytes);
        decoded.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

struct Tool {
    channel: Channel,
    token: Option<String>,
}

impl Tool {
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            let value = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        request
    }

    async fn reflect(&self, asked: Ask) -> Result<Told, Status> {
        let mut reflection = ServerReflectionClient::new(self.channel.clone());
        let asked = ServerReflectionRequest { host: String::new(), message_request: Some(asked) };
        let request = self.request(tokio_stream::once(asked));
        let mut told = reflection.server_reflection_info(request).await?.into_inner();
        let told: ServerReflectionResponse = told.next().await.unwrap()?;
        Ok(told.message_response.unwrap())
    }

    /// Everything about the file in which something is declared.
    async fn pool(&self, symbol: &str) -> DescriptorPool {
        let told = self.reflect(Ask::FileContainingSymbol(symbol.to_owned())).await.unwrap();
        let Told::FileDescriptorResponse(files) = told else { panic!("{told:?}") };
        let mut pool = DescriptorPool::new();
        for file in files.file_descriptor_proto {
            pool.decode_file_descriptor_proto(file.as_slice()).unwrap();
        }
        pool
    }

    async fn call(&self, method: &MethodDescriptor, json: &str) -> Result<String, Status> {
        let mut json = serde_json::Deserializer::from_str(json);
        let message = DynamicMessage::deserialize(method.input(), &mut json).unwrap();
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await.unwrap();
        let path = path.parse().unwrap();
        let answer = grpc.unary(self.request(message), path, Dynamic(method.clone())).await?;
        Ok(serde_json::to_string(&answer.into_inner()).unwrap())
    }
}

#[tokio::test]
async fn a_tool_that_knows_only_reflection_lists_the_services_and_asks_an_agent() {
    let place = Place::new().await;
    let tool = Tool { channel: place.channel().await, token: None };
    let told = tool.reflect(Ask::ListServices(String::new())).await.unwrap();
    let Told::ListServicesResponse(services) = told else { panic!("{told:?}") };
    let mut names: Vec<_> = services.service.into_iter().map(|service| service.name).collect();
    names.sort();
    assert_eq!(
        names,
        ["genii.v1.Genii", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]
    );
    let pool = tool.pool("genii.v1.Genii").await;
    let genii = pool.get_service_by_name("genii.v1.Genii").unwrap();
    let ask = genii.methods().find(|method| method.name() == "Ask").unwrap();
    let question = r#"{ "to": "here/lamp", "message": "worker.echo",
                        "payload": { "json": "{\"text\": \"reflected\"}" } }"#;
    let answer = tool.call(&ask, question).await.unwrap();
    assert_eq!(answer, r#"{"reply":{"json":"\"reflected\""}}"#);
}

#[tokio::test]
async fn health_says_whether_the_house_serves() {
    let place = Place::new().await;
    let tool = Tool { channel: place.channel().await, token: None };
    let pool = tool.pool("grpc.health.v1.Health").await;
    let health = pool.get_service_by_name("grpc.health.v1.Health").unwrap();
    let check = health.methods().find(|method| method.name() == "Check").unwrap();
    let question = r#"{ "service": "genii.v1.Genii" }"#;
    assert_eq!(tool.call(&check, question).await.unwrap(), r#"{"status":"SERVING"}"#);
    place.gateway.is_serving(false).await;
    assert_eq!(tool.call(&check, question).await.unwrap(), r#"{"status":"NOT_SERVING"}"#);
    assert_eq!(tool.call(&check, "{}").await.unwrap(), r#"{"status":"NOT_SERVING"}"#);
}

#[tokio::test]
async fn reflection_and_health_want_a_token_that_counts_too() {
    let place = Place::new().await;
    let (token, line) = place.token(&["here/lamp"], &[Verb::Ask]);
    let channel = place.channel().await;
    let services = || Ask::ListServices(String::new());
    let holder = Tool { channel: channel.clone(), token: Some(line.clone()) };
    holder.reflect(services()).await.unwrap();
    let mut health = HealthClient::new(channel.clone());
    let watch = HealthCheckRequest { service: "genii.v1.Genii".to_owned() };
    let mut health = health.watch(holder.request(watch)).await.unwrap().into_inner();
    assert!(health.next().await.unwrap().is_ok());
    place.revoke(&token.id);
    let status = health.next().await.unwrap().unwrap_err();
    assert!(status.message().contains("was revoked"), "{status}");
    let status = holder.reflect(services()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
    assert!(status.message().contains("was revoked"), "{status}");
}
