//! docker's cluster volumes, which belong to a swarm: there are none, and what is about them is refused.

use crate::failure::{Failure, Result};
use clap::Args;

/// The options of `volume create` that are about them.
#[derive(Debug, Args)]
pub(super) struct Cluster {
    #[arg(long, value_name = "STATE", hide = true)]
    availability: Option<String>,
    #[arg(long, value_name = "GROUP", hide = true)]
    group: Option<String>,
    #[arg(long, value_name = "SIZE", hide = true)]
    limit_bytes: Option<String>,
    #[arg(long, value_name = "SIZE", hide = true)]
    required_bytes: Option<String>,
    #[arg(long, value_name = "SCOPE", hide = true)]
    scope: Option<String>,
    #[arg(long, value_name = "KEY=NAME", hide = true)]
    secret: Vec<String>,
    #[arg(long, value_name = "MODE", hide = true)]
    sharing: Option<String>,
    #[arg(long, value_name = "TOPOLOGY", hide = true)]
    topology_preferred: Vec<String>,
    #[arg(long, value_name = "TOPOLOGY", hide = true)]
    topology_required: Vec<String>,
    #[arg(long = "type", value_name = "TYPE", hide = true)]
    kind: Option<String>,
}

/// docker's way to change one
#[derive(Debug, Args)]
pub(super) struct Update {
    #[arg(long, value_name = "STATE", hide = true)]
    availability: Option<String>,
    /// The volume
    #[arg(value_name = "VOLUME")]
    volume: Option<String>,
}

impl Update {
    pub(super) fn refuse(&self) -> Failure {
        match (&self.availability, &self.volume) {
            (Some(_), _) => refusal("volume update --availability"),
            _ => refusal("volume update"),
        }
    }
}

impl Cluster {
    pub(super) fn check(&self) -> Result<()> {
        let given = [
            ("--availability", self.availability.is_some()),
            ("--group", self.group.is_some()),
            ("--limit-bytes", self.limit_bytes.is_some()),
            ("--required-bytes", self.required_bytes.is_some()),
            ("--scope", self.scope.is_some()),
            ("--secret", !self.secret.is_empty()),
            ("--sharing", self.sharing.is_some()),
            ("--topology-preferred", !self.topology_preferred.is_empty()),
            ("--topology-required", !self.topology_required.is_empty()),
            ("--type", self.kind.is_some()),
        ];
        match given.iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => Err(refusal(option)),
            None => Ok(()),
        }
    }
}

pub(super) fn refusal(what: &str) -> Failure {
    Failure::new(format!("{what}: there are no cluster volumes, which belong to a swarm"))
        .hint("a volume is a directory of this machine; `-v` mounts what others have mounted")
}
