//! The doors for clients: a socket in the data folder, and a port where one is set.

use genii_runtime::House;
use genii_runtime::gateway::{ClientPort, Gateway};
use genii_runtime::link::listener::ListenError;

use super::printer::Printer;
use crate::data::Data;
use crate::fault::Fault;
use crate::settings::Settings;

/// Takes the port, where one is set: before this machine joins others, so that one whose port is
/// somebody else's does not come and go.
///
/// # Errors
/// When it cannot be had.
pub async fn port(settings: &Settings) -> Result<Option<ClientPort>, Fault> {
    match settings.clients() {
        Some(at) => ClientPort::take(at).await.map(Some).map_err(|error| not_served(&error)),
        None => Ok(None),
    }
}

/// Opens the doors. gRPC's health service says that nobody is served before the house is up.
///
/// # Errors
/// When a door cannot be opened.
pub async fn open(
    house: &House,
    port: Option<ClientPort>,
    data: &Data,
    printer: &Printer,
) -> Result<Gateway, Fault> {
    let gateway = Gateway::new(house.clone(), &data.trust());
    gateway.is_serving(false).await;
    let socket = data.clients_socket();
    gateway.serve_unix(&socket).map_err(|error| {
        Fault::new(format!("the socket {} cannot be made: {error}", socket.display()))
            .help("name another data folder with --data DIR")
    })?;
    match port.map(|port| gateway.serve_port(port)) {
        None => {}
        Some(Ok(at)) => printer.complain(format!("clients are served at {at}\n")),
        Some(Err(error)) => {
            gateway.unlink();
            return Err(not_served(&error));
        }
    }
    Ok(gateway)
}

fn not_served(error: &ListenError) -> Fault {
    Fault::new(error.to_string())
        .help("set `clients` in genii.toml to another, or to \"\" to serve them nowhere")
}
