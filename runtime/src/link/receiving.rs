//! What comes in on a data lane, and how it reaches the agents here.

mod inlet;
mod owed;
mod parcel;
mod publications;
mod reply;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use genii_protocols::frame::{self, Brief, BriefReply, Data, PARTS_MAX_LEN, Payload};
use genii_protocols::{Address, Sender, wire};
use tokio::time::Instant;

use self::inlet::{Asked, Inlet};
use self::parcel::SMALL_MAX_LEN;
use super::lane::{End, Frames, read};
use super::names::Texts;
use super::sending::Link;
use crate::letter::Meta;
use crate::node::Node;
use crate::protocol::Content;

pub(crate) use self::inlet::Ticket;
pub(crate) use self::owed::Owed;
pub(crate) use self::parcel::Parcel;
pub(crate) use self::reply::FarReply;

/// How many things may come in parts at a time.
const IN_PARTS_MAX: usize = 4_096;

/// Where the messages to one receiver go.
struct Entrance {
    inlet: Arc<Inlet>,
    /// Those of this batch that were not delivered yet.
    parcel: Option<Box<Parcel>>,
}

/// The receiving end of a data lane.
pub(crate) struct Receiving {
    node: Node,
    link: Arc<Link>,
    texts: Texts,
    /// By the number of the receiver.
    inlets: Vec<Option<Entrance>>,
    /// The numbers of those that have a parcel to deliver.
    packing: Vec<u32>,
    /// A parcel to pack anew.
    spare: Option<Box<Parcel>>,
    /// When the batch came that is being read, once somebody has looked.
    now: Option<Instant>,
    senders: Senders,
    parts: HashMap<u32, Vec<u8>>,
    parts_len: usize,
}

impl Receiving {
    pub(crate) fn new(node: Node, link: Arc<Link>) -> Self {
        Self {
            node,
            link,
            texts: Texts::default(),
            inlets: Vec::new(),
            packing: Vec::new(),
            spare: None,
            now: None,
            senders: Senders::default(),
            parts: HashMap::new(),
            parts_len: 0,
        }
    }

    /// Takes what comes until the lane ends.
    pub(crate) async fn run(mut self, mut frames: Frames) -> End {
        loop {
            if let Err(end) = self.heed(&mut frames) {
                return end;
            }
            if let Err(end) = frames.more().await {
                return end;
            }
        }
    }

    /// Heeds what has come.
    fn heed(&mut self, frames: &mut Frames) -> Result<(), End> {
        let link = self.link.clone();
        let _reading = link.reading().ok_or(End::Closed)?;
        self.now = None;
        let taken = frames.each(|frame| self.take(frame));
        self.deliver_parcels().and(taken)
    }

    fn take(&mut self, frame: &[u8]) -> Result<(), End> {
        if let Some(brief) = Brief::read(frame).filter(|it| it.payload.len() <= SMALL_MAX_LEN) {
            return self.pack(&brief);
        }
        if let Some(BriefReply { correlation, payload }) = BriefReply::read(frame) {
            self.deliver_parcels()?;
            self.link.answered(correlation, Bytes::copy_from_slice(payload));
            return Ok(());
        }
        let data = read::<Data<'_>>(frame)?;
        let waits_for_nothing = matches!(
            data,
            Data::Name(_) | Data::Credit { .. } | Data::Part { .. } | Data::Abandon { .. }
        );
        if !waits_for_nothing {
            // What was said before comes before.
            self.deliver_parcels()?;
        }
        match data {
            Data::Attach { .. } => return Err(End::nonsense("it attaches twice")),
            Data::Name(text) => self.texts.add(text)?,
            Data::Tell(letter) => self.deliver(letter, None)?,
            Data::Ask { correlation, letter } => {
                self.deliver(letter, Some(Asked::for_one(correlation)))?;
            }
            Data::Stream { correlation, letter } => {
                self.deliver(letter, Some(Asked { correlation, wants_many: true }))?;
            }
            Data::Reply { correlation, answer } => {
                let reply = self.bytes(answer)?;
                self.link.answered(correlation, reply);
            }
            Data::Item { correlation, item } => {
                let item = self.bytes(item)?;
                self.link.item_came(correlation, item)?;
            }
            Data::More { correlation, cost } => self.link.more_wanted(correlation, cost),
            Data::Forget { correlation } => self.link.forgotten_there(correlation),
            Data::Watch { watch, to, from } => {
                let to = address(self.texts.get(to)?)?;
                let linked = match from {
                    Some((number, life)) => Some((address(self.texts.get(number)?)?, life)),
                    None => None,
                };
                self.link.watched(&self.node, watch, &to, linked)?;
            }
            Data::Unwatch { watch } => self.link.unwatched(watch),
            Data::Ended { watch, incarnation, cause, is_abnormal } => {
                self.link.watched_ended(watch, incarnation, *cause, is_abnormal);
            }
            Data::Run { correlation, command } => {
                let command = self.bytes(command)?;
                if let Some(cluster) = self.node.cluster() {
                    cluster.0.run(&self.link, correlation, &command);
                }
            }
            Data::Broke { watch, cause, is_abnormal } => {
                self.link.watcher_ended(watch, *cause, is_abnormal);
            }
            Data::Failed { correlation, fault } => self.link.failed(correlation, fault),
            Data::Credit { to, cost } => self.link.credit(to, cost)?,
            Data::Part { id, bytes } => self.part(id, bytes)?,
            Data::Abandon { id } => drop(self.whole(id)),
            Data::Settled => self.link.is_settled.store(true, Ordering::Release),
            Data::Published(published) => self.published(published)?,
            Data::Distributed { cost } => self.link.distributed(cost),
        }
        Ok(())
    }

    fn bytes(&mut self, payload: Payload<'_>) -> Result<Bytes, End> {
        match payload {
            Payload::Whole(bytes) => Ok(Bytes::copy_from_slice(bytes)),
            Payload::Parts(id) => self.whole(id).map(Bytes::from),
        }
    }

    fn part(&mut self, id: u32, bytes: &[u8]) -> Result<(), End> {
        let has_room = self.parts.len() < IN_PARTS_MAX || self.parts.contains_key(&id);
        if bytes.is_empty() || !has_room {
            return Err(End::nonsense("too many parts, or parts of nothing"));
        }
        self.parts_len += bytes.len();
        let parts = self.parts.entry(id).or_default();
        parts.extend_from_slice(bytes);
        if parts.len() > wire::MESSAGE_MAX_LEN || self.parts_len > PARTS_MAX_LEN {
            return Err(End::nonsense("its parts are too large"));
        }
        Ok(())
    }

    /// What has come in parts.
    fn whole(&mut self, id: u32) -> Result<Vec<u8>, End> {
        let parts = self.parts.remove(&id);
        let parts = parts.ok_or_else(|| End::nonsense("parts that did not come"))?;
        self.parts_len -= parts.len();
        Ok(parts)
    }

    /// Packs a small message, to be delivered with what has come beside it for the same receiver.
    fn pack(&mut self, brief: &Brief<'_>) -> Result<(), End> {
        let deadline = brief.deadline.map(|left| self.deadline(left));
        let mut parcel = self.parcel(brief.to)?;
        let (texts, senders) = (&self.texts, &mut self.senders);
        let name = |number| texts.get(number).cloned();
        let packed = parcel.pack(brief, deadline, name, |from| senders.get(from, texts));
        let is_full = parcel.is_full();
        self.entrance(brief.to)?.parcel = Some(parcel);
        packed?;
        if is_full { self.deliver_parcel(brief.to) } else { Ok(()) }
    }

    /// The parcel that is being packed for a receiver, or a new one.
    fn parcel(&mut self, to: u32) -> Result<Box<Parcel>, End> {
        let entrance = self.entrance(to)?;
        if let Some(parcel) = entrance.parcel.take() {
            return Ok(parcel);
        }
        let inlet = entrance.inlet.clone();
        self.packing.push(to);
        Ok(match self.spare.take() {
            None => Parcel::new(inlet),
            Some(mut spare) => {
                spare.renew(inlet);
                spare
            }
        })
    }

    /// Delivers what was packed.
    fn deliver_parcels(&mut self) -> Result<(), End> {
        let mut delivered = Ok(());
        while let Some(to) = self.packing.pop() {
            // Whatever is wrong with one, the others are in order.
            delivered = self.deliver_parcel(to).and(delivered);
        }
        delivered
    }

    fn deliver_parcel(&mut self, to: u32) -> Result<(), End> {
        let entrance = self.entrance(to)?;
        if let Some(parcel) = entrance.parcel.take() {
            self.spare = entrance.inlet.deliver_parcel(parcel)?;
        }
        Ok(())
    }

    fn deliver(&mut self, letter: frame::Letter<'_>, asked: Option<Asked>) -> Result<(), End> {
        let inlet = self.entrance(letter.to)?.inlet.clone();
        let from = letter.from.map(|from| self.sender(from)).transpose()?;
        let whole;
        let payload = match letter.payload {
            Payload::Whole(bytes) => bytes,
            Payload::Parts(id) => {
                whole = self.whole(id)?;
                &whole[..]
            }
        };
        let deadline = letter.deadline.map(|left| self.deadline(left));
        let ticket = Ticket::new(inlet.clone(), frame::Letter::cost(payload.len()))?;
        let meta = Meta {
            from,
            deadline,
            asked_at: None,
            trace: letter.trace.map(Box::new),
            ticket: Some(ticket),
        };
        let content = if letter.is_json { Content::Json(payload) } else { Content::Wire(payload) };
        inlet.deliver(self.texts.get(letter.message)?, content, meta, asked);
        Ok(())
    }

    fn deadline(&mut self, left: u64) -> Instant {
        *self.now.get_or_insert_with(Instant::now) + Duration::from_micros(left)
    }

    fn entrance(&mut self, number: u32) -> Result<&mut Entrance, End> {
        // A name that the other end has told; there are no more numbers than those.
        let index = number as usize;
        if self.inlets.get(index).is_none_or(Option::is_none) {
            let address = address(self.texts.get(number)?)?;
            if self.inlets.len() <= index {
                self.inlets.resize_with(index + 1, || None);
            }
            let (node, link) = (self.node.clone(), self.link.clone());
            let inlet = Arc::new(Inlet::new(node, link, number, address));
            self.inlets[index] = Some(Entrance { inlet, parcel: None });
        }
        Ok(self.inlets[index].as_mut().expect("it was made if it was not there"))
    }

    fn sender(&mut self, from: (u32, u64)) -> Result<Arc<Sender>, End> {
        self.senders.get(from, &self.texts)
    }
}

/// Those who send, by the number of their address and their life.
#[derive(Default)]
struct Senders(HashMap<(u32, u64), Arc<Sender>, foldhash::fast::RandomState>);

impl Senders {
    fn get(&mut self, from: (u32, u64), texts: &Texts) -> Result<Arc<Sender>, End> {
        if let Some(sender) = self.0.get(&from) {
            return Ok(sender.clone());
        }
        // Lives come and go; those of before are of no use.
        if self.0.len() >= frame::NAMES_MAX {
            self.0.clear();
        }
        let address = address(texts.get(from.0)?)?;
        let sender = Arc::new(Sender { address, incarnation: from.1 });
        self.0.insert(from, sender.clone());
        Ok(sender)
    }
}

fn address(text: &Arc<str>) -> Result<Address, End> {
    Address::from_shared(text.clone()).map_err(End::nonsense)
}
