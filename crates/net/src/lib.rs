//! Containers' networks, without a daemon.
//!
//! A network is a record on disk ([`Networks`]); its bridge and rules exist from its first container on, addresses, names
//! and devices while containers are in it, and all of it is made and removed by the processes that start and stop them. Nothing else runs: names are answered
//! by whoever looks after a container ([`NameService`]).
//!
//! What happens to a container:
//!
//! 1. [`PortHolder::reserve`] takes ports of the host for [`PortSpec`]s; whoever keeps it keeps the ports.
//! 2. [`Networks::attach`] gives it addresses, a device in its network namespace, routes, and rules for its ports.
//! 3. [`NameService::open`] listens in its namespace; whoever looks after it polls that with everything else.
//! 4. [`Networks::detach`] takes everything back, with the namespace or without.
//!
//! The host's side of all of it is the network namespace of the calling thread, which is never left: what has to be
//! done inside a container is done by a thread that ends. Nothing is read from the environment, and nothing printed.
#![warn(missing_docs)]

mod address;
mod attach;
mod attachment;
mod bridge;
mod choice;
mod create;
mod device;
mod dns;
mod error;
mod files;
mod firewall;
mod holder;
pub mod inputs;
mod lease;
pub mod limits;
mod namespace;
mod netlink;
mod networks;
mod options;
mod pasta;
mod ports;
mod record;
#[cfg(test)]
mod testing;
mod texts;

pub use address::{Cidr, Ip, Mac};
pub use attach::Attached;
pub use attachment::{AttachRequest, Attachment};
pub use choice::{Connection, NetworkChoice};
pub use create::NetworkSpec;
pub use device::{bring_up_loopback, has_default_route};
pub use dns::{NAME_SERVICE_ADDRESS, NameConfig, NameService};
pub use error::{Error, Kind, Result};
pub use holder::{PortHolder, Publishing};
pub use namespace::may_enter;
pub use networks::{Ground, Networks, Places};
pub use options::{GatewayMode, IpvlanMode, MacvlanMode, Options};
pub use pasta::{Namespace, Pasta, PastaRequest, find_pasta, start_pasta};
pub use ports::{HostPort, PortMapping, PortSpec, Protocol, parse_exposed};
pub use record::{DEFAULT, Driver, Network, Subnet};
pub use texts::{DnsOptions, HostResolver, HostsFile, Reach, Resolution, parse_added_host};
