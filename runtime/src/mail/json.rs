//! Sending in JSON.

use std::time::Duration;

use genii_protocols::{AskError, Fault, Json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::draft::{Got, InJson};
use super::{Mail, NAME_KEPT_LEN};
use crate::directory::Line;
use crate::letter::{Letter, settled};
use crate::protocol::JsonReply;
use crate::stream::{CREDIT, Flowing, JsonAnswers, JsonFlow};

impl Mail {
    /// As [`Mail::tell`], for a message in JSON.
    ///
    /// # Errors
    /// As [`Mail::tell`], and when the agent does not know the message or cannot read it.
    pub async fn tell_json(&self, message: &str, content: &Json) -> Result<(), Box<Fault>> {
        let told = self.told_json(message, content).await;
        let name = crate::logbook::cut(message, NAME_KEPT_LEN);
        self.bury(name.to_owned(), told)
    }

    async fn told_json(&self, message: &str, content: &Json) -> Result<(), Box<Fault>> {
        let deadline = self.deadline_within(self.node.limits().tell_patience);
        let reply = || (JsonReply::Nobody, ());
        let mut told = InJson { message, content, deadline: self.deadline, reply };
        match self.deliver(&mut told, Self::way_to_tell, deadline).await? {
            Got::Near(..) => Ok(()),
            Got::Far(far, _) => {
                let meta = self.meta(self.deadline);
                let said = self.saying_json(&far, message, &meta, content)?;
                let told = far.link.tell(said, deadline, self.node.deadlines()).await;
                told.map_err(|why| self.not_sent(&far, why))
            }
        }
    }

    /// As [`Mail::ask_within`], for a message in JSON.
    ///
    /// # Errors
    /// As [`Mail::ask`], and when the agent does not know the message or cannot read it.
    pub async fn ask_json(
        &self,
        message: &str,
        content: &Json,
        timeout: Duration,
    ) -> Result<Json, AskError<Json>> {
        let asked_at = Instant::now();
        let deadline = self.earlier(asked_at + timeout);
        let reply = || {
            let (asker, answer) = oneshot::channel();
            (JsonReply::Asker(asker), answer)
        };
        let mut asked = InJson { message, content, deadline: Some(deadline), reply };
        match self.deliver(&mut asked, Self::way_to_ask, deadline).await? {
            Got::Near(line, answer) => {
                self.answered(&line, message, answer, asked_at, deadline).await
            }
            Got::Far(far, _coming) => {
                let meta = self.meta(Some(deadline));
                let said = self.saying_json(&far, message, &meta, content)?;
                let answer = self.ask_far(&far, said, asked_at, deadline).await?;
                settled::<Json, Json>(&self.to, message, &answer)
            }
        }
    }

    /// As [`Mail::stream`], for a message in JSON. `patience` is for each item.
    ///
    /// # Errors
    /// As [`Mail::stream`], and when the agent does not know the message or cannot read it.
    pub async fn stream_json(
        &self,
        message: &str,
        content: &Json,
        patience: Duration,
    ) -> Result<JsonAnswers, Box<Fault>> {
        let deadline = self.earlier(Instant::now() + patience);
        let reply = || {
            let (items, flow) = mpsc::channel::<JsonFlow>(CREDIT);
            (JsonReply::Items(items), flow)
        };
        let mut wanted = InJson { message, content, deadline: self.deadline, reply };
        match self.deliver(&mut wanted, Self::way_to_ask, deadline).await? {
            Got::Near(line, flow) => {
                let source = self.source(line, patience, message.to_owned());
                Ok(JsonAnswers::new(Flowing::Near(flow), source))
            }
            Got::Far(far, _coming) => {
                let meta = self.meta(self.deadline);
                let said = self.saying_json(&far, message, &meta, content)?;
                let stream = self.stream_far(&far, said, patience).await?;
                let source = self.far_source(&far, patience, message.to_owned());
                Ok(JsonAnswers::new(Flowing::Far(stream), source))
            }
        }
    }

    pub(super) fn json_letter(
        &self,
        line: &Line,
        message: &str,
        content: &Json,
        deadline: Option<Instant>,
        reply: JsonReply,
    ) -> Result<Box<dyn Letter>, Box<Fault>> {
        self.check_name(line, message)?;
        let letter = line.protocol.letter(message, content, self.meta(deadline), reply);
        letter.map_err(|reason| {
            line.slot.vitals.reject();
            self.rejected(message, reason)
        })
    }
}
