//! What an agent does in company: groups that it joins, and topics that it publishes about and
//! subscribes to.

use std::sync::Arc;

use genii_protocols::{Message, Name, Pattern, Style, Topic};
use serde::Serialize;

use super::Context;
use crate::groups::GroupError;
use crate::topics::{
    AgentSink, Arrival, NotPublished, NotSubscribed, Origin, Reached, Sink, SubscriptionId,
};

/// How many subscriptions one agent may have.
pub const AGENT_SUBSCRIPTIONS_MAX: usize = 1_024;

impl Context {
    /// Joins a group, until it leaves as many times as it joined, or its life ends.
    ///
    /// # Errors
    /// When the node has too many memberships.
    pub fn join_group(&self, group: &Name) -> Result<(), GroupError> {
        self.node.join_group(group, self.address())
    }

    /// Leaves a group, once.
    ///
    /// # Errors
    /// When it is no member.
    pub fn leave_group(&self, group: &Name) -> Result<(), GroupError> {
        self.node.leave_group(group, self.address())
    }

    /// Subscribes to all topics that any of these patterns mean, for as long as it lives. What is
    /// published comes into its mailbox as a message of type `M`, which must be in its protocol, and
    /// what that answers is dropped. [`Context::arrival`] tells the topic.
    ///
    /// Who publishes never waits for it: while [`WAITING_MAX`](crate::topics::WAITING_MAX) of this
    /// subscription wait in the mailbox, or it is full, what comes is lost. The first of a row is a
    /// dead letter, and [`Arrival::lost`] tells how many they were.
    ///
    /// # Errors
    /// When there are too many subscriptions or patterns, or `M` is not in its protocol.
    pub fn subscribe<M: Message>(
        &mut self,
        patterns: &[Pattern],
    ) -> Result<SubscriptionId, NotSubscribed> {
        let max = AGENT_SUBSCRIPTIONS_MAX;
        if self.held().subscriptions.len() >= max {
            return Err(NotSubscribed::TooManyOfAgent { max });
        }
        if self.line.protocol.style(M::NAME) != Some(Style::Ask) {
            let agent = self.address().clone();
            return Err(NotSubscribed::UnknownMessage { message: M::NAME, agent });
        }
        let line = self.line.clone();
        let sink = |id| Sink::Agent(Arc::new(AgentSink::new::<M>(&line, id)));
        let subscribed = self.node.subscribe_with(patterns, sink)?;
        let id = subscribed.id;
        self.held().subscriptions.insert(id, subscribed);
        Ok(id)
    }

    /// Ends a subscription. What has come already is still handled.
    pub fn unsubscribe(&mut self, subscription: SubscriptionId) {
        self.held().subscriptions.remove(&subscription);
    }

    /// What was published, if that is what is being handled.
    pub fn arrival(&self) -> Option<&Arrival> {
        self.arrival.as_deref()
    }

    /// As [`Node::publish`](crate::Node::publish), with the deadline and trace of the message being
    /// handled. Subscribers see who published.
    ///
    /// # Errors
    /// As [`Node::publish`](crate::Node::publish).
    pub fn publish<'a, T: Serialize + Sync + ?Sized>(
        &self,
        topic: &'a Topic,
        message: &'a T,
    ) -> impl Future<Output = Result<Reached, NotPublished>> + Send + use<'a, T> {
        let origin = Origin {
            from: Some(self.line.identity.clone()),
            deadline: self.meta.deadline,
            trace: self.trace(),
        };
        let node = self.node.clone();
        async move { node.publish_from(origin, topic, message).await }
    }
}
