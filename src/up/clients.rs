//! The doors for clients: a socket in the data folder, and a port where one is set.

use genii_runtime::House;
use genii_runtime::gateway::Gateway;

use super::printer::Printer;
use crate::data::Data;
use crate::fault::Fault;
use crate::settings::Settings;

/// Opens the doors. gRPC's health service says that nobody is served before the house is up.
///
/// # Errors
/// When a door cannot be opened.
pub async fn open(
    house: &House,
    settings: &Settings,
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
    let Some(at) = settings.clients() else { return Ok(gateway) };
    match gateway.serve_tcp(at).await {
        Ok(at) => {
            printer.complain(format!("clients are served at {at}\n"));
            Ok(gateway)
        }
        Err(error) => {
            gateway.unlink();
            Err(Fault::new(error.to_string())
                .help("set `clients` in genii.toml to another, or to \"\" to serve them nowhere"))
        }
    }
}
