//! The service itself: what clients may say.

use std::sync::Arc;
use std::time::Duration;

use genii_protocols::api::genii_server::Genii;
use genii_protocols::api::{
    AskReply, AskRequest, DescribeReply, DescribeRequest, Payload, PublishReply, PublishRequest,
    StreamReply, StreamRequest, SubscribeReply, SubscribeRequest, TellReply, TellRequest,
    WatchReply, WatchRequest, status_of,
};
use genii_protocols::api::{ask_reply::Outcome, payload, stream_reply::Said};
use genii_protocols::{Cause, Destination, Fault};
use prost::Message;
use tokio::time::Instant;
use tonic::{Extensions, Request, Response, Status};

use super::caller::Caller;
use super::gate::{Call, hold};
use super::guard::Guard;
use super::message_name::MessageName;
use super::room::Room;
use super::said::{Mouth, SaidStream, late, say};
use super::shares::Shares;
use super::topics::Subscribing;
use super::{describe, topics, watching};
use crate::House;
use crate::mail::Mail;
use crate::protocol::Content;
use crate::trust::scope::Verb;
use crate::untyped::{Form, Lost, UntypedFlow};

/// The longest that one answer, or one item, may be waited for. Who would wait longer waits so long.
const WAIT_MAX: Duration = Duration::from_secs(3_600);

/// How many descriptions are made at once for one client. Each has a thread as long as it takes, also
/// if nobody waits for it any more.
const DESCRIBING_EACH_MAX: usize = 1;

/// The service.
pub(super) struct Service {
    house: House,
    guard: Arc<Guard>,
    room: Arc<Room>,
    subscribing: Subscribing,
    /// Those who may have the house described at once.
    describing: Shares,
}

impl Service {
    pub(super) fn new(house: House, guard: Arc<Guard>, room: Arc<Room>) -> Self {
        let describing = Shares::new(DESCRIBING_EACH_MAX);
        Self { house, guard, room, subscribing: Subscribing::default(), describing }
    }

    /// Where a message goes, and its name, if the caller may send it there.
    fn mail(
        &self,
        call: &Call,
        verb: Verb,
        to: &str,
        message: String,
    ) -> Result<(Mail, MessageName), Status> {
        let to = Destination::parse(to);
        let to = to.map_err(|error| Status::invalid_argument(error.to_string()))?;
        call.caller.check(verb, &to.address)?;
        let message = MessageName::read(message)?;
        call.caller.check_message(&message, &to.address)?;
        Ok((self.house.node().to(to), message))
    }

    /// How long to wait: as the request says, no longer than the deadline of the call; if neither
    /// says, the node's usual time.
    fn wait(&self, call: &Call, timeout_ms: u64, usual: Duration) -> Duration {
        let asked = (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms));
        let left = call.deadline.map(|deadline| deadline - Instant::now());
        asked.into_iter().chain(left).min().unwrap_or(usual).min(WAIT_MAX)
    }

    /// Has the house described, which takes a while if there are schemas of many messages.
    async fn describe_it(
        &self,
        caller: Caller,
        request: DescribeRequest,
    ) -> Result<DescribeReply, Status> {
        let internal = || Status::internal("it failed; the log says why");
        let share = self.describing.take(&caller.id(), 1).await.ok_or_else(internal)?;
        let house = self.house.clone();
        let describing = move || {
            let described = describe::describe(&house, &caller, &request);
            drop(share);
            described
        };
        tokio::task::spawn_blocking(describing).await.map_err(|_| internal())?
    }

    /// An answer, with the room that it takes until it has been read.
    fn answered<T: Message>(&self, caller: &Caller, answer: T) -> Result<Response<T>, Status> {
        let room = self.room.for_answer(&caller.id(), answer.encoded_len())?;
        let mut response = Response::new(answer);
        hold(&mut response, room);
        Ok(response)
    }
}

#[tonic::async_trait]
impl Genii for Service {
    async fn ask(&self, request: Request<AskRequest>) -> Result<Response<AskReply>, Status> {
        let call = call_of(request.extensions())?;
        let AskRequest { to, message, payload, timeout_ms } = request.into_inner();
        let (mail, message) = self.mail(&call, Verb::Ask, &to, message)?;
        let wait = self.wait(&call, timeout_ms, self.house.node().limits().ask_timeout);
        let (content, form) = content(payload.as_ref());
        let answer = mail.ask_untyped(&message, content, wait).await;
        let outcome = match answer {
            Ok(reply) => Outcome::Reply(payload_of(form, reply)?),
            Err(Lost::Refused(refusal)) => Outcome::Refusal(payload_of(form, refusal)?),
            Err(lost) => return Err(why_lost(&call.caller, &mail, &message, lost)),
        };
        self.answered(&call.caller, AskReply { outcome: Some(outcome) })
    }

    async fn tell(&self, request: Request<TellRequest>) -> Result<Response<TellReply>, Status> {
        let call = call_of(request.extensions())?;
        let TellRequest { to, message, payload, timeout_ms } = request.into_inner();
        let (mail, message) = self.mail(&call, Verb::Tell, &to, message)?;
        let wait = self.wait(&call, timeout_ms, self.house.node().limits().tell_patience);
        let (content, _) = content(payload.as_ref());
        let told_it = mail.tell_untyped(&message, content, wait).await;
        told_it.map_err(|fault| told(&call.caller, &fault))?;
        Ok(Response::new(TellReply {}))
    }

    type StreamStream = SaidStream<StreamReply>;

    async fn stream(
        &self,
        request: Request<StreamRequest>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let call = call_of(request.extensions())?;
        let StreamRequest { to, message, payload, timeout_ms } = request.into_inner();
        let (mail, message) = self.mail(&call, Verb::Stream, &to, message)?;
        let mail = mail.until(call.deadline);
        let asked = (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms));
        let patience = asked.unwrap_or(self.house.node().limits().ask_timeout).min(WAIT_MAX);
        let (content, form) = content(payload.as_ref());
        let answers = mail.stream_untyped(&message, content, patience).await;
        let mut answers = answers.map_err(|fault| told(&call.caller, &fault))?;
        let caller = call.caller.clone();
        let work = |mouth: Mouth<StreamReply>| async move {
            loop {
                let (said, is_last) = match answers.next().await {
                    UntypedFlow::Item(item) => (Said::Item(payload_of(form, item)?), false),
                    UntypedFlow::End(Ok(reply)) => (Said::Reply(payload_of(form, reply)?), true),
                    UntypedFlow::End(Err(Lost::Refused(refusal))) => {
                        (Said::Refusal(payload_of(form, refusal)?), true)
                    }
                    UntypedFlow::End(Err(lost)) => {
                        return Err(why_lost(&caller, &mail, &message, lost));
                    }
                };
                mouth.say(StreamReply { said: Some(said) }).await?;
                if is_last {
                    return Ok(());
                }
            }
        };
        Ok(Response::new(say(call, self.guard.clone(), self.room.clone(), work)))
    }

    type SubscribeStream = SaidStream<SubscribeReply>;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let call = call_of(request.extensions())?;
        let node = self.house.node();
        let patterns = request.into_inner().patterns;
        let subscription = self.subscribing.begin(node, &call.caller, &patterns)?;
        let work = |mouth| topics::tell(subscription, mouth);
        Ok(Response::new(say(call, self.guard.clone(), self.room.clone(), work)))
    }

    async fn publish(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishReply>, Status> {
        let call = call_of(request.extensions())?;
        let node = self.house.node();
        let request = request.into_inner();
        let wait = self.wait(&call, request.timeout_ms, node.limits().tell_patience);
        topics::publish(node, &call.caller, &request, wait).await.map(Response::new)
    }

    async fn describe(
        &self,
        request: Request<DescribeRequest>,
    ) -> Result<Response<DescribeReply>, Status> {
        let call = call_of(request.extensions())?;
        let deadline = call.deadline.unwrap_or_else(|| Instant::now() + WAIT_MAX);
        let described = self.describe_it(call.caller.clone(), request.into_inner());
        let described = tokio::time::timeout_at(deadline, described).await;
        self.answered(&call.caller, described.map_err(|_| late())??)
    }

    type WatchStream = SaidStream<WatchReply>;

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let call = call_of(request.extensions())?;
        call.caller.check_verb(Verb::Watch)?;
        let watching = watching::Watching::begin(&self.house, &call.caller, request.into_inner())?;
        let work = |mouth| watching.tell(mouth);
        Ok(Response::new(say(call, self.guard.clone(), self.room.clone(), work)))
    }
}

/// Who calls, and until when; the gate has said so.
fn call_of(extensions: &Extensions) -> Result<Call, Status> {
    let call = extensions.get::<Call>().cloned();
    call.ok_or_else(|| Status::internal("the call did not come through the gate"))
}

/// What a payload contains, and the form in which it is to be answered.
fn content(payload: Option<&Payload>) -> (Content<'_>, Form) {
    let content = match payload.and_then(|payload| payload.form.as_ref()) {
        None => Content::Json(b""),
        Some(payload::Form::Json(text)) => Content::Json(text.as_bytes()),
        Some(payload::Form::Bincode(bytes)) => Content::Wire(bytes),
    };
    (content, Form::of(content))
}

fn payload_of(form: Form, bytes: Vec<u8>) -> Result<Payload, Status> {
    let form = match form {
        Form::Wire => payload::Form::Bincode(bytes),
        Form::Json => {
            let text = String::from_utf8(bytes);
            payload::Form::Json(text.map_err(|_| Status::data_loss("the answer is no text"))?)
        }
    };
    Ok(Payload { form: Some(form) })
}

fn why_lost(caller: &Caller, mail: &Mail, message: &str, lost: Lost) -> Status {
    match lost {
        Lost::Fault(fault) => told(caller, &fault),
        Lost::Unwritable(detail) => status_of(&mail.unwritable(message, &detail)),
        Lost::Refused(_) => Status::aborted(format!("{} refuses", mail.to())),
    }
}

/// A fault, as far as it is any business of who calls: what was perhaps meant may be beyond what it
/// may reach.
fn told(caller: &Caller, fault: &Fault) -> Status {
    match fault {
        Fault::NotFound { to, nearest: Some(nearest) } if !caller.reaches(&nearest.address) => {
            status_of(&Fault::NotFound { to: to.clone(), nearest: None })
        }
        Fault::Down { to, cause } if !may_know(caller, cause) => {
            let why = "the cause names agents that this token does not reach";
            status_of(&Fault::Down { to: to.clone(), cause: Cause::new(cause.kind, why) })
        }
        fault => status_of(fault),
    }
}

/// Whether a cause is about nobody whom who calls does not reach.
fn may_know(caller: &Caller, cause: &Cause) -> bool {
    std::iter::once(&cause.message).chain(&cause.chain).all(|text| caller.may_read(text))
}
