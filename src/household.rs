//! Who belongs to the household: `genii init`, `invite`, `join`, `expel` and `household`.

pub mod beside;
mod expel;
mod init;
mod invite;
mod join;
mod renew;
mod show;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::SystemTime;

use genii_protocols::NodeName;
use genii_runtime::link::network::Network;
use genii_runtime::link::tls_network::TlsNetwork;
use genii_runtime::trust::{Authority, Identity, RENEWED_BEFORE, TrustError};
use tokio::sync::mpsc;

pub use expel::{ExpelArgs, run as expel};
pub use init::{InitArgs, run as init};
pub use invite::{InviteArgs, run as invite};
pub use join::{JoinArgs, run as join};
pub use show::{HouseholdArgs, run as household};

use crate::data::Data;
use crate::fault::Fault;
use crate::settings::Settings;

/// A fault of trust, for a person.
fn fault(error: TrustError) -> Fault {
    let help = match &error {
        TrustError::File { .. } => "see that the data folder can be written to, or name another",
        TrustError::Damaged { .. } => {
            "bring the file back from a copy; or expel this node, empty its folder `trust`, and join again"
        }
        TrustError::Present { .. } => "name another data folder with --data DIR to make another",
        TrustError::List(_) => "wait until certificates of those who were expelled have run out",
        TrustError::TooMany(_) => "",
        TrustError::UnknownNode(_) => "`genii household` shows the nodes",
        TrustError::Busy { .. } => "try again; if it stays so, see what that process waits for",
        TrustError::CutShort | TrustError::CountsNoMore => "",
        TrustError::Stranger | TrustError::Crypto(_) => "",
    };
    Fault::new(error.to_string()).help(help)
}

/// Who this machine is; it founds a household of its own if it belongs to none. `node` is what the
/// settings call it.
pub fn identity(data: &Data, node: &NodeName) -> Result<Identity, Fault> {
    let trust = data.trust();
    let identity = match Identity::open(&trust).map_err(fault)? {
        Some(identity) => identity,
        None => {
            return Authority::found(&trust, node, SystemTime::now()).map(|it| it.1).map_err(fault);
        }
    };
    if identity.node() == node {
        let soon = SystemTime::now() + RENEWED_BEFORE;
        let authority = Authority::open(&trust).map_err(fault)?;
        return match authority.filter(|_| identity.expires().is_none_or(|at| at < soon)) {
            Some(authority) => authority.renew_own(node, SystemTime::now()).map_err(fault),
            None => Ok(identity),
        };
    }
    // Nobody else knows it by its name yet.
    match Authority::open(&trust).map_err(fault)? {
        Some(authority) if authority.is_alone().map_err(fault)? => {
            authority.rename(node, SystemTime::now()).map_err(fault)
        }
        _ => {
            let known = identity.node();
            Err(Fault::new(format!(
                "this machine is {known} by its certificate, and {node} by its settings"
            ))
            .help(format!(
                "leave `node` out of the settings and the command line, or set it to {known}"
            )))
        }
    }
}

/// Whether this machine belongs to a household with others, and reaches them or is reached: it is of use
/// then also without agents of its own.
///
/// # Errors
/// When who it is cannot be read.
pub fn is_member(data: &Data, settings: &Settings) -> Result<bool, Fault> {
    let trust = data.trust();
    let Some(identity) = Identity::open(&trust).map_err(fault)? else { return Ok(false) };
    if let Some(authority) = Authority::open(&trust).map_err(fault)?
        && authority.is_alone().map_err(fault)?
    {
        return Ok(false);
    }
    let nobody_opens = mpsc::channel(1).1;
    let network = TlsNetwork::new(&trust, identity.node().clone(), Vec::new(), nobody_opens);
    Ok(settings.listen().is_some() || !network.known().is_empty())
}

/// Where others reach a machine that listens at an address, which may be all that it has.
pub fn place(at: SocketAddr) -> String {
    match at.ip().is_unspecified() {
        false => at.to_string(),
        true => SocketAddr::new(outward(at.ip()), at.port()).to_string(),
    }
}

/// The address from which this machine would speak to others. Nothing is sent.
fn outward(any: IpAddr) -> IpAddr {
    // Addresses that are kept for documentation: the system only looks up the way to them.
    let far = if any.is_ipv4() { "192.0.2.1:9" } else { "[2001:db8::1]:9" };
    let looked_up = UdpSocket::bind(SocketAddr::new(any, 0))
        .and_then(|socket| socket.connect(far).map(|()| socket))
        .and_then(|socket| socket.local_addr());
    let loopback = || match any.is_ipv4() {
        true => IpAddr::from(Ipv4Addr::LOCALHOST),
        false => IpAddr::from(Ipv6Addr::LOCALHOST),
    };
    looked_up.map_or_else(|_| loopback(), |own| own.ip())
}

/// The authority of the household, which lives where the household was made.
fn authority(data: &Data) -> Result<Authority, Fault> {
    let trust = data.trust();
    if let Some(authority) = Authority::open(&trust).map_err(fault)? {
        return Ok(authority);
    }
    Err(match Identity::open(&trust).map_err(fault)? {
        Some(_) => {
            Fault::new("this household was made on another machine, which alone can do this")
                .help("run the same command there")
        }
        None => Fault::new("there is no household here yet")
            .help("make one with `genii init`, or join one with `genii join`"),
    })
}

/// Prints a line of JSON, or text.
fn tell(
    json: bool,
    value: &serde_json::Value,
    text: impl FnOnce() -> String,
) -> Result<ExitCode, Fault> {
    let mut screen = crate::screen::Screen::stdout();
    match json {
        true => screen.line(value.to_string()),
        false => screen.line(text()),
    }
    screen.finish()
}
