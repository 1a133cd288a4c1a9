//! Sending for those who know no types.

use std::time::Duration;

use genii_protocols::{Fault, Rejection};
use tokio::time::Instant;

use super::{FarWay, Mail, NAME_KEPT_LEN, Way};
use crate::deadlines::Late;
use crate::directory::Line;
use crate::letter::{Letter, Meta};
use crate::link::sending::Saying;
use crate::protocol::Content;
use crate::stream::{CREDIT, Flowing};
use crate::untyped::{
    Form, Lost, UntypedAnswer, UntypedAnswers, UntypedAsker, UntypedItems, UntypedReply,
};

impl Mail {
    /// The same, for what is not to be handled after a deadline.
    pub(crate) fn until(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }

    /// As [`Mail::ask_within`], with text or bytes.
    pub(crate) async fn ask_untyped(
        &self,
        message: &str,
        content: Content<'_>,
        timeout: Duration,
    ) -> UntypedAnswer {
        let asked_at = Instant::now();
        let deadline = self.earlier(asked_at + timeout);
        let form = Form::of(content);
        let (way, _coming) = self.way_to_ask().map_err(Lost::Fault)?;
        let line = match way {
            Way::Near(line) => line,
            Way::Far(far) => {
                let meta = self.meta(Some(deadline));
                let said = self.saying_untyped(&far, message, &meta, content);
                let said = said.map_err(Lost::Fault)?;
                let answer = self.ask_far(&far, said, asked_at, deadline).await;
                let answer = answer.map_err(Lost::Fault)?;
                return form.settled(&answer).map_err(|lost| match lost {
                    Lost::Unwritable(detail) => Lost::Fault(self.unwritable(message, &detail)),
                    lost => lost,
                });
            }
        };
        let (asker, answer) = UntypedAsker::new(form);
        let reply = UntypedReply::Asker(asker);
        let letter = self.untyped_letter(&line, message, content, Some(deadline), reply);
        let letter = letter.map_err(Lost::Fault)?;
        let pushed = self.push_when_room(&line, letter, deadline).await;
        let line = pushed.map_err(Lost::Fault)?;
        let fault = match self.node.deadlines().before(deadline, answer).await {
            Ok(Ok(Err(Lost::Unwritable(detail)))) => self.unwritable(message, &detail),
            Ok(Ok(answer)) => return answer,
            Ok(Err(_)) => self.why_ended(&line, deadline).await,
            Err(Late) => self.timed_out(message, deadline - asked_at),
        };
        Err(Lost::Fault(fault))
    }

    /// As [`Mail::tell`], with text or bytes, waiting for room for so long at most.
    pub(crate) async fn tell_untyped(
        &self,
        message: &str,
        content: Content<'_>,
        patience: Duration,
    ) -> Result<(), Box<Fault>> {
        let told = self.told_untyped(message, content, patience).await;
        self.bury(crate::logbook::cut(message, NAME_KEPT_LEN).to_owned(), told)
    }

    async fn told_untyped(
        &self,
        message: &str,
        content: Content<'_>,
        patience: Duration,
    ) -> Result<(), Box<Fault>> {
        let deadline = self.deadline_within(patience);
        match self.way()? {
            Way::Near(line) => {
                let reply = UntypedReply::Nobody;
                let letter = self.untyped_letter(&line, message, content, self.deadline, reply)?;
                self.push_when_room(&line, letter, deadline).await.map(drop)
            }
            Way::Far(far) => {
                let meta = self.meta(self.deadline);
                let said = self.saying_untyped(&far, message, &meta, content)?;
                let told = far.link.tell(said, deadline, self.node.deadlines()).await;
                told.map_err(|why| self.not_sent(&far, why))
            }
        }
    }

    /// As [`Mail::stream`], with text or bytes. `patience` is for each item.
    pub(crate) async fn stream_untyped(
        &self,
        message: &str,
        content: Content<'_>,
        patience: Duration,
    ) -> Result<UntypedAnswers, Box<Fault>> {
        let form = Form::of(content);
        let (way, _coming) = self.way_to_ask()?;
        let line = match way {
            Way::Near(line) => line,
            Way::Far(far) => {
                let meta = self.meta(self.deadline);
                let said = self.saying_untyped(&far, message, &meta, content)?;
                let stream = self.stream_far(&far, said, patience).await?;
                let source = self.far_source(&far, patience, message.to_owned());
                return Ok(UntypedAnswers::new(Flowing::Far(stream), form, source));
            }
        };
        let (items, flow) = UntypedItems::new(form, CREDIT);
        let reply = UntypedReply::Items(items);
        let letter = self.untyped_letter(&line, message, content, self.deadline, reply)?;
        let name = letter.name();
        let deadline = self.earlier(Instant::now() + patience);
        let line = self.push_when_room(&line, letter, deadline).await?;
        let source = self.source(&line, patience, name);
        Ok(UntypedAnswers::new(Flowing::Near(flow), form, source))
    }

    /// An answer that is there and cannot be sent.
    pub(crate) fn unwritable(&self, message: &str, detail: &str) -> Box<Fault> {
        let detail = format!("its answer: {detail}");
        self.rejected(message, Rejection::Malformed { detail })
    }

    fn untyped_letter(
        &self,
        line: &Line,
        message: &str,
        content: Content<'_>,
        deadline: Option<Instant>,
        reply: UntypedReply,
    ) -> Result<Box<dyn Letter>, Box<Fault>> {
        self.check_name(line, message)?;
        let meta = self.meta(deadline);
        line.protocol.untyped_letter(message, content, meta, reply).map_err(|reason| {
            line.slot.vitals.reject();
            self.rejected(message, reason)
        })
    }

    fn saying_untyped<'a>(
        &self,
        far: &'a FarWay,
        message: &'a str,
        meta: &'a Meta,
        content: Content<'_>,
    ) -> Result<Saying<'a>, Box<Fault>> {
        self.known_there(far, message)?;
        match content {
            Content::Wire(bytes) => self.saying(far, message, meta, Ok(bytes.to_vec())),
            Content::Json(text) => {
                let said = self.saying_in_any_form(far, message, meta, Ok(text.to_vec()))?;
                Ok(Saying { is_json: true, ..said })
            }
        }
    }
}
