//! Which agents there are, how they stand, and what may be said to them.

use std::collections::{BTreeMap, HashMap};

use genii_protocols::api::{Agent, DescribeReply, DescribeRequest, Message, message};
use genii_protocols::{Address, MessageInfo, Style};
use tonic::Status;

use super::caller::Caller;
use crate::House;
use crate::topology::Topology;

/// How many agents one reply describes.
const AGENTS_MAX: usize = 1_000;

/// Describes what a caller may reach.
///
/// # Errors
/// When what is asked for is no name, or beyond the caller, or not there.
pub(super) fn describe(
    house: &House,
    caller: &Caller,
    request: &DescribeRequest,
) -> Result<DescribeReply, Status> {
    let limit = match request.limit as usize {
        0 => AGENTS_MAX,
        limit => limit.min(AGENTS_MAX),
    };
    let wanted = |address: &Address| {
        let is_named = request.name.is_empty()
            || address.as_str() == request.name
            || address.group() == request.name;
        is_named && address.as_str() > request.after.as_str() && caller.reaches(address)
    };
    if request.name.contains('/') {
        let address = Address::parse(&request.name);
        address.map_err(|error| Status::invalid_argument(error.to_string()))?;
    }
    let topology = house.topology();
    let mut known = known(house, &topology);
    known.retain(|address, _| wanted(address));
    if known.is_empty() && !request.name.is_empty() && request.after.is_empty() {
        let name: String = request.name.chars().take(200).collect();
        return Err(Status::not_found(format!("there is no agent or group {name} to be reached")));
    }
    let more = known.len() > limit;
    let mut told = Told { house, topology: &topology, kinds: HashMap::new() };
    let agents = known.into_iter().take(limit);
    let agents = agents.map(|(address, stands)| {
        let Stands { node, state, mut detail } = stands;
        // The word is of what the caller reaches; why it is so may be about others.
        if !caller.may_read(&detail) {
            detail.clear();
        }
        let infos = told.messages(&address);
        let messages_known = infos.is_some();
        let messages = infos.into_iter().flatten();
        let messages = messages.map(|info| message(info, request.schemas)).collect();
        let address = address.to_string();
        Agent { address, node, state, detail, messages, messages_known }
    });
    let agents = agents.collect();
    Ok(DescribeReply { node: house.node().name().to_string(), agents, more })
}

/// How an agent stands.
struct Stands {
    node: String,
    state: String,
    detail: String,
}

/// All agents that are known here, whether they live here or not.
fn known(house: &House, topology: &Topology) -> BTreeMap<Address, Stands> {
    let node = house.node();
    let mut known = BTreeMap::new();
    for (address, far) in node.cluster().map(|cluster| cluster.told()).unwrap_or_default() {
        let status = far.status();
        let (state, detail) = (status.word().to_owned(), status.detail().unwrap_or_default());
        known.insert(address, Stands { node: far.node.to_string(), state, detail });
    }
    for view in node.tree().board.all() {
        let Ok(address) = Address::from_shared(view.key.shared()) else { continue };
        let spec = topology.agent(&address);
        let home = spec.and_then(|spec| topology.node_of(spec)).unwrap_or(node.name());
        let (state, detail) =
            (view.status.word().to_owned(), view.status.detail().unwrap_or_default());
        known.insert(address, Stands { node: home.to_string(), state, detail });
    }
    known
}

/// What is known of messages, by the kinds of agents.
struct Told<'a> {
    house: &'a House,
    topology: &'a Topology,
    kinds: HashMap<&'a str, Option<Vec<MessageInfo>>>,
}

impl Told<'_> {
    /// The messages that an agent answers; `None` if they are not known here.
    fn messages(&mut self, address: &Address) -> Option<Vec<MessageInfo>> {
        let Some(spec) = self.topology.agent(address) else {
            return self.house.node().messages(address);
        };
        let catalogue = self.house.catalogue();
        self.kinds.entry(&spec.kind).or_insert_with(|| catalogue.messages(&spec.kind)).clone()
    }
}

fn message(info: MessageInfo, with_schemas: bool) -> Message {
    let style = match info.style {
        Style::Ask => message::Style::Ask,
        Style::Stream => message::Style::Stream,
    };
    let text = |schema: genii_protocols::Json| match with_schemas {
        true => schema.to_string(),
        false => String::new(),
    };
    Message {
        name: info.name,
        style: style.into(),
        about: info.about,
        request_schema: text(info.request),
        reply_schema: text(info.reply),
        item_schema: info.item.map(text).unwrap_or_default(),
        refusal_schema: info.refusal.map(text).unwrap_or_default(),
    }
}
