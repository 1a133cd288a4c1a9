//! What every call goes through: who calls, until when, and with how much room.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use genii_protocols::api::genii_server::GeniiServer;
use genii_protocols::api::{DESCRIBED, SERVICE};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::{Request, Response};
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tonic_health::pb::health_server::{Health, HealthServer};
use tower::ServiceExt;

use super::caller::Caller;
use super::complaints::Complaints;
use super::door::{Active, Connection};
use super::guard::Guard;
use super::room::{CALL_MAX_LEN, Expected, Held, Room, SMALL_MAX_LEN, Sliced};
use super::service::Service;
use crate::House;

/// How long a client may take to read an answer that is not small. Its connection is then closed.
const READ_PATIENCE: Duration = Duration::from_secs(60);

/// The longest deadline that a call may have; one that is later counts as this.
pub(super) const DEADLINE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// What a call carries with it to the service.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) caller: Caller,
    /// When it ends, by gRPC's own deadline.
    pub(super) deadline: Option<Instant>,
}

/// Room that an answer holds until it has been read.
#[derive(Clone)]
struct HeldAnswer {
    _room: Arc<Held>,
}

/// An answer that has this room until it has been read.
pub(super) fn hold<T>(answer: &mut tonic::Response<T>, room: Held) {
    if room.is_some() {
        answer.extensions_mut().insert(HeldAnswer { _room: Arc::new(room) });
    }
}

/// The gate of a house.
pub(super) struct Gate {
    guard: Arc<Guard>,
    complaints: Arc<Complaints>,
    room: Arc<Room>,
    routes: Routes,
}

impl Gate {
    pub(super) fn new(
        house: House,
        guard: Arc<Guard>,
        complaints: Arc<Complaints>,
        health: HealthServer<impl Health>,
    ) -> Self {
        let room = Arc::new(Room::default());
        let service = Service::new(house, guard.clone(), room.clone());
        let service = GeniiServer::new(service)
            .max_decoding_message_size(CALL_MAX_LEN)
            .max_encoding_message_size(CALL_MAX_LEN);
        let described = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIBED)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let sound = "what our own .proto files say of themselves is sound";
        let routes = Routes::new(service)
            .add_service(health)
            .add_service(described().build_v1().expect(sound))
            // What older tools ask.
            .add_service(described().build_v1alpha().expect(sound))
            .prepare();
        Self { guard, complaints, room, routes }
    }

    /// Serves one call.
    ///
    /// # Errors
    /// When none is taken any more: whoever made it is told that nothing was done, and may make it again
    /// elsewhere.
    pub(super) async fn serve(
        &self,
        connection: Arc<Connection>,
        request: Request<Incoming>,
    ) -> Result<Response<Sliced<Body, Reading>>, h2::Error> {
        let active = connection.begin_call(has_end(request.uri().path()));
        let active = active.ok_or(h2::Reason::REFUSED_STREAM)?;
        let is_ours = is_ours(request.uri().path());
        let mut until = None;
        let answered = match self.guard.admit(connection.shown(), request.headers()) {
            Ok(caller) => {
                let answered = match connection.let_in() {
                    Err(full) => Err(full),
                    Ok(()) => tokio::select! {
                        biased;
                        refused = self.guard.until_ended(&caller) => Err(refused.into()),
                        answered = self.answer(&caller, request) => Ok(answered),
                    },
                };
                // Our own service sees to its streams itself.
                until = (!is_ours).then(|| until_ended(self.guard.clone(), caller));
                answered
            }
            Err(refused) => {
                self.complaints.add(connection.from(), &refused);
                Err(Status::from(refused))
            }
        };
        let mut response = answered.unwrap_or_else(Status::into_http);
        let held = response.extensions_mut().remove::<HeldAnswer>();
        let reading = Reading::new(connection, active, held);
        Ok(response.map(|body| Sliced::new(body, reading, until)))
    }

    async fn answer(&self, caller: &Caller, request: Request<Incoming>) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        let deadline = deadline(&parts.headers);
        // Nothing behind the gate has use for the secret.
        parts.headers.remove(AUTHORIZATION);
        parts.extensions.insert(Call { caller: caller.clone(), deadline });
        let path = parts.uri.path();
        let len_max = if is_ours(path) { CALL_MAX_LEN } else { SMALL_MAX_LEN };
        let (caller, is_single) = (caller.id(), !is_reflection(path));
        let expected = Expected { caller, len_max, is_single, deadline };
        let held = Arc::new(Mutex::new(None));
        let body = Body::new(self.room.metered(body, held.clone(), expected));
        let answered = self.routes.clone().oneshot(Request::from_parts(parts, body)).await;
        // The room of the question lasts as long as it is being answered.
        drop(held);
        answered.unwrap_or_else(|never| match never {})
    }
}

/// Whether a call is one of our own service.
fn is_ours(path: &str) -> bool {
    let method = path.strip_prefix('/').and_then(|path| path.strip_prefix(SERVICE));
    method.is_some_and(|method| method.starts_with('/'))
}

/// Whether a call is one of those in which a client may ask more than once.
fn is_reflection(path: &str) -> bool {
    path.starts_with("/grpc.reflection.")
}

/// Whether a call comes to an end by itself. Subscriptions and what is watched go on until somebody
/// goes, and so do the questions of who looks around.
fn has_end(path: &str) -> bool {
    let is_endless = path.ends_with("/Subscribe") || path.ends_with("/Watch");
    !is_endless && !is_reflection(path)
}

/// Waits until who makes a call would not be let in any more.
fn until_ended(guard: Arc<Guard>, caller: Caller) -> BoxFuture<'static, Status> {
    Box::pin(async move { guard.until_ended(&caller).await.into() })
}

/// What lasts until an answer has been read.
pub(super) struct Reading {
    _active: Active,
    _held: Option<HeldAnswer>,
    late: Option<AbortHandle>,
}

impl Reading {
    fn new(connection: Arc<Connection>, active: Active, held: Option<HeldAnswer>) -> Self {
        let late = held.is_some().then(|| {
            let closing = tokio::spawn(async move {
                tokio::time::sleep(READ_PATIENCE).await;
                connection.close("it did not read an answer in time");
            });
            closing.abort_handle()
        });
        Self { _active: active, _held: held, late }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(late) = &self.late {
            late.abort();
        }
    }
}

/// When a call ends, by the header that gRPC has for it.
fn deadline(headers: &HeaderMap) -> Option<Instant> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = Some(number).filter(|it| (1..=8).contains(&it.len()))?.parse().ok()?;
    let span = match unit {
        "H" => Duration::from_secs(number.saturating_mul(3_600)),
        "M" => Duration::from_secs(number.saturating_mul(60)),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    };
    Some(Instant::now() + span.min(DEADLINE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_whose_name_begins_like_ours_is_another() {
        assert!(is_ours("/genii.v1.Genii/Ask"));
        for other in ["/genii.v1.GeniiXyz/Ask", "/genii.v1.Genii", "genii.v1.Genii/Ask", "/"] {
            assert!(!is_ours(other), "{other}");
        }
    }
}
