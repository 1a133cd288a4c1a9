//! Machines of the household that run on this one, each on a data folder of its own.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use genii_protocols::NodeName;
use genii_runtime::link::network::Network;
use genii_runtime::link::tls_network::TlsNetwork;
use genii_runtime::trust::{Authority, Identity, Request, signer};
use tokio::sync::mpsc;

use super::{authority, fault};
use crate::data::Data;
use crate::fault::Fault;

/// How long the invitation counts that is used at once.
const INVITED_FOR: Duration = Duration::from_secs(60);

/// Sees that the machine on another data folder belongs to the household of this one, and knows where
/// this one listens.
///
/// # Errors
/// When this one cannot sign certificates, the other is somebody else by now, or was expelled.
pub fn admit(data: &Data, beside: &Data, node: &NodeName, at: SocketAddr) -> Result<(), Fault> {
    let authority = authority(data)?;
    let now = SystemTime::now();
    if !belongs(&authority, beside, node, now)? {
        let request = Request::new().map_err(fault)?;
        let secret = authority.invite(node, INVITED_FOR, now).map_err(fault)?;
        let admitted = authority.admit(&secret, request.der(), now).map_err(fault)?;
        let admitted = admitted.map_err(|refused| Fault::new(refused.to_string()))?;
        let (certificate, expelled) = (&admitted.certificate, &admitted.expelled);
        let household = authority.certificate();
        Identity::keep(&beside.trust(), &request, household, certificate, expelled)
            .map_err(fault)?;
    }
    // Its port may be another each time.
    if let Some(own) = Identity::open(&data.trust()).map_err(fault)? {
        signer::write(&beside.trust(), own.node()).map_err(fault)?;
        let nobody_opens = mpsc::channel(1).1;
        let network = TlsNetwork::new(&beside.trust(), node.clone(), Vec::new(), nobody_opens);
        network.learn(own.node(), &[at.to_string()]);
    }
    Ok(())
}

/// Whether a machine belongs by the certificate in its folder; `false` where it may be given one.
fn belongs(
    authority: &Authority,
    beside: &Data,
    node: &NodeName,
    now: SystemTime,
) -> Result<bool, Fault> {
    let folder = beside.folder().display();
    let anew = format!("take the folder {folder} away, and it joins anew");
    let nodes = authority.nodes().map_err(fault)?;
    let known = nodes.iter().find(|(name, _)| name == node).map(|(_, is_expelled)| *is_expelled);
    let Some(identity) = Identity::open(&beside.trust()).map_err(fault)? else {
        return match known {
            Some(false) => Err(Fault::new(format!(
                "the household has a machine {node} already, which does not live in {folder}"
            ))
            .help(format!(
                "try this with another data folder, --data DIR; or `genii expel {node}` first"
            ))),
            Some(true) | None => Ok(false),
        };
    };
    if identity.node() != node || identity.household() != authority.household() {
        let other = format!("{} of the household {}", identity.node(), identity.household());
        return Err(Fault::new(format!("the machine in {folder} is {other}")).help(anew));
    }
    if known == Some(true) {
        let message = format!("{node} was expelled from the household");
        return Err(Fault::new(message).help(anew));
    }
    Ok(identity.expires().is_some_and(|at| at > now))
}
