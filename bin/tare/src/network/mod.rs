//! `tare network`: networks of containers.

mod connect;
mod create;
mod filter;
pub(crate) mod inspect;
mod ls;
mod podmans;
pub(crate) mod prune;
mod reload;
mod rm;

use crate::caller::Caller;
use crate::failure::Result;
use crate::settings::{Global, store_paths};
use clap::{Args, Subcommand};
use net::{Ground, Network, Networks, Places};
use template::Time;

/// Manage networks of containers
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
#[command(
    after_help = "Examples:\n  tare network create web\n  tare network create --subnet 10.20.0.0/16 --ipv6 lan\n  \
                  tare network ls\n  tare network inspect web"
)]
pub(crate) struct NetworkVerb {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Connect(Box<connect::Connect>),
    Create(Box<create::Create>),
    Disconnect(connect::Disconnect),
    Exists(inspect::Exists),
    Inspect(inspect::Inspect),
    #[command(visible_alias = "list")]
    Ls(ls::Ls),
    Prune(prune::Prune),
    Reload(reload::Reload),
    #[command(visible_alias = "remove")]
    Rm(rm::Rm),
}

pub(crate) fn run(global: &Global, arguments: &NetworkVerb) -> Result<u8> {
    let networks = open(global)?;
    match &arguments.verb {
        Verb::Connect(arguments) => connect::connect(global, arguments).map(|()| 0),
        Verb::Disconnect(arguments) => connect::disconnect(global, arguments).map(|()| 0),
        Verb::Create(arguments) => create::run(global, &networks, arguments).map(|()| 0),
        Verb::Exists(arguments) => inspect::exists(&networks, arguments),
        Verb::Inspect(arguments) => inspect::run(&networks, arguments),
        Verb::Ls(arguments) => ls::run(&networks, arguments).map(|()| 0),
        Verb::Prune(arguments) => prune::run(global, &networks, arguments).map(|()| 0),
        Verb::Reload(arguments) => reload::run(global, &networks, arguments),
        Verb::Rm(arguments) => rm::run(global, arguments),
    }
}

/// The networks of the store that the options name.
pub(crate) fn open(global: &Global) -> Result<Networks> {
    let (root, runroot) = store_paths(global, &Caller::new());
    if !root.join("engine").exists() {
        // Networks alone make no store.
        crate::container::open(global, false)?;
    }
    let places = Places { records: root.join("networks"), run: runroot.join("networks") };
    // What has to be done to an ordinary user's bridges, the engine does where they are.
    let ground = if sys::ids::is_administrator() { Ground::Host } else { Ground::Elsewhere };
    Ok(Networks::open(&places)?.on(ground))
}

/// Records that something happened to a network.
fn tell(global: &Global, action: &str, network: &Network) {
    let (root, _) = store_paths(global, &Caller::new());
    let attributes = [("name", network.name.as_str()), ("type", network.driver.name())];
    engine::events::note(&root, "network", action, &network.id, &attributes);
}

/// What has no record: the host's own network, and none.
const BUILT_IN: [(&str, &str); 2] = [
    ("host", "686f737400000000000000000000000000000000000000000000000000000000"),
    ("none", "6e6f6e6500000000000000000000000000000000000000000000000000000000"),
];

/// A network as lists and `inspect` show it.
struct Shown {
    network: Network,
    driver: &'static str,
}

impl Shown {
    fn created(&self) -> Time {
        let nanos = u32::try_from(self.network.created_ns).unwrap_or(0);
        Time::unix(self.network.created_s, nanos)
    }

    fn has(&self, is_v6: bool) -> bool {
        self.network.subnets.iter().any(|subnet| subnet.subnet.is_v6() == is_v6)
    }

    fn is_built_in(&self) -> bool {
        self.network.is_default() || BUILT_IN.iter().any(|(name, _)| *name == self.network.name)
    }
}

impl From<Network> for Shown {
    fn from(network: Network) -> Self {
        Self { driver: network.driver.name(), network }
    }
}

/// The networks without a record.
fn built_in() -> impl Iterator<Item = Shown> {
    BUILT_IN.into_iter().map(|(name, id)| {
        let network = Network { name: name.into(), id: id.into(), ..Network::default() };
        Shown { network, driver: if name == "host" { "host" } else { "null" } }
    })
}

/// All networks, the default one among them, by their names.
fn all(networks: &Networks) -> Result<Vec<Shown>> {
    networks.get(net::DEFAULT)?;
    let (list, errors) = networks.list()?;
    errors.iter().for_each(|error| crate::settings::warn(&error.to_string()));
    let mut all: Vec<Shown> = list.into_iter().map(Shown::from).chain(built_in()).collect();
    all.sort_by(|a, b| a.network.name.cmp(&b.network.name));
    Ok(all)
}

/// The network of a name or id.
fn find(networks: &Networks, name: &str) -> Result<Shown> {
    if let Some(found) =
        built_in().find(|shown| shown.network.name == name || shown.network.id == name)
    {
        return Ok(found);
    }
    Ok(networks.get(name)?.into())
}
