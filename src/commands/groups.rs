//! `groups`: which process groups there are, and who is in them.

use genii_protocols::Name;
use genii_runtime::GroupMember;
use serde::{Deserialize, Serialize};

use super::{Command, Out, Refusal, Side};
use crate::screen::Screen;

pub struct Groups;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    /// Only this group, which agents have joined
    #[arg(value_name = "PROCESS-GROUP")]
    group: Option<Name>,
}

/// A group with its members.
#[derive(Debug, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub group: Name,
    members: Vec<Row>,
}

/// A member of a group.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    address: String,
    node: String,
    /// Which life of it.
    incarnation: u64,
    /// How many times it has joined.
    times: u32,
}

impl Command for Groups {
    const NAME: &'static str = "groups";
    const ABOUT: &'static str = "Show the groups that agents have joined, and who is in them";
    const EXAMPLES: &'static [&'static str] = &["groups", "groups speakers"];
    type Args = Args;
    type Said = Vec<Group>;

    async fn serve(args: Args, side: Side, out: Out<Vec<Group>>) -> Result<(), Refusal> {
        let node = side.house.node();
        let known = node.group_names();
        if let Some(wanted) = args.group.as_ref().filter(|wanted| !known.contains(wanted)) {
            return Err(unknown(wanted, &known));
        }
        let wanted = args.group.map_or(known, |group| vec![group]);
        let group = |group: Name| {
            let members = node.group_members(&group).into_iter().map(row).collect();
            Group { group, members }
        };
        out.say(wanted.into_iter().map(group).collect()).await
    }

    fn show(said: Vec<Group>, screen: &mut Screen) {
        if said.is_empty() {
            return screen.line("no agent has joined a group");
        }
        let row = |group: &Group, member: &Row| {
            let times =
                if member.times > 1 { format!("{} times", member.times) } else { String::new() };
            vec![group.group.to_string(), member.address.clone(), member.node.clone(), times]
        };
        let of_group = |group: &Group| {
            group.members.iter().map(|member| row(group, member)).collect::<Vec<_>>()
        };
        let rows = said.iter().flat_map(of_group).collect();
        screen.table(&["group", "member", "node", ""], rows);
    }
}

fn row(member: GroupMember) -> Row {
    Row {
        address: member.address.to_string(),
        node: member.node.to_string(),
        incarnation: member.incarnation,
        times: member.times,
    }
}

fn unknown(wanted: &Name, known: &[Name]) -> Refusal {
    let names = known.iter().map(Name::as_str);
    let help = match genii_runtime::nearest(wanted.as_str(), names) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => "`groups` lists those that have members; `ps` the agents of a topology's group"
            .to_owned(),
    };
    Refusal::new(format!("no agent has joined a group {wanted}")).help(help)
}
