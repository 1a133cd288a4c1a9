//! Sending for those who know no types.

use std::time::Duration;

use genii_protocols::{Fault, Rejection};
use tokio::time::Instant;

use super::draft::{Got, Untyped};
use super::way::FarWay;
use super::{Mail, NAME_KEPT_LEN};
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
        let reply = |form: Form| {
            let (asker, answer) = UntypedAsker::new(form);
            (UntypedReply::Asker(asker), answer)
        };
        let mut asked = Untyped { message, content, deadline: Some(deadline), reply };
        let got = self.deliver(&mut asked, Self::way_to_ask, deadline).await;
        let answer = match got.map_err(Lost::Fault)? {
            Got::Near(line, answer) => match self.node.deadlines().before(deadline, answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(Lost::Fault(self.why_ended(&line, deadline).await)),
                Err(Late) => Err(Lost::Fault(self.timed_out(message, deadline - asked_at))),
            },
            Got::Far(far, _coming) => {
                let meta = self.meta(Some(deadline));
                let said = self.saying_untyped(&far, message, &meta, content);
                let said = said.map_err(Lost::Fault)?;
                let answer = self.ask_far(&far, said, asked_at, deadline).await;
                Form::of(content).settled(&answer.map_err(Lost::Fault)?)
            }
        };
        answer.map_err(|lost| match lost {
            Lost::Unwritable(detail) => Lost::Fault(self.unwritable(message, &detail)),
            lost => lost,
        })
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
        let reply = |_: Form| (UntypedReply::Nobody, ());
        let mut told = Untyped { message, content, deadline: self.deadline, reply };
        match self.deliver(&mut told, Self::way_to_tell, deadline).await? {
            Got::Near(..) => Ok(()),
            Got::Far(far, _) => {
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
        let deadline = self.earlier(Instant::now() + patience);
        let reply = |form: Form| {
            let (items, flow) = UntypedItems::new(form, CREDIT);
            (UntypedReply::Items(items), flow)
        };
        let mut wanted = Untyped { message, content, deadline: self.deadline, reply };
        let (flow, source) = match self.deliver(&mut wanted, Self::way_to_ask, deadline).await? {
            Got::Near(line, flow) => {
                (Flowing::Near(flow), self.source(line, patience, message.to_owned()))
            }
            Got::Far(far, _coming) => {
                let meta = self.meta(self.deadline);
                let said = self.saying_untyped(&far, message, &meta, content)?;
                let stream = self.stream_far(&far, said, patience).await?;
                (Flowing::Far(stream), self.far_source(&far, patience, message.to_owned()))
            }
        };
        Ok(UntypedAnswers::new(flow, Form::of(content), source))
    }

    /// An answer that is there and cannot be sent.
    pub(crate) fn unwritable(&self, message: &str, detail: &str) -> Box<Fault> {
        let detail = format!("its answer: {detail}");
        self.rejected(message, Rejection::Malformed { detail })
    }

    pub(super) fn untyped_letter(
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
