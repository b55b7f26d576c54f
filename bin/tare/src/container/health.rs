//! Options of health checks.

use super::parse;
use crate::failure::{Failure, Result};
use clap::Args;
use engine::record::Config;
use oci::image::Healthcheck;

/// docker's least time of a check, in nanoseconds.
const LEAST_NS: i64 = 1_000_000;

/// What is checked, and when.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct HealthArgs {
    /// Command that says by its exit code whether the container is healthy
    #[arg(long, value_name = "COMMAND", help_heading = "Health")]
    pub(crate) health_cmd: Option<String>,
    /// Time between checks, such as 30s
    #[arg(long, value_name = "TIME", help_heading = "Health")]
    pub(crate) health_interval: Option<String>,
    /// Failures in a row that make it unhealthy
    #[arg(long, value_name = "NUMBER", help_heading = "Health")]
    pub(crate) health_retries: Option<i64>,
    /// Time between checks in the start period
    #[arg(long, value_name = "TIME", help_heading = "Health")]
    pub(crate) health_start_interval: Option<String>,
    /// Time in which failures do not count
    #[arg(long, value_name = "TIME", help_heading = "Health")]
    pub(crate) health_start_period: Option<String>,
    /// Time that a check may take
    #[arg(long, value_name = "TIME", help_heading = "Health")]
    pub(crate) health_timeout: Option<String>,
    /// No check, whatever the image has
    #[arg(long, help_heading = "Health")]
    pub(crate) no_healthcheck: bool,
}

impl HealthArgs {
    /// Whether nothing is said.
    pub(super) fn is_empty(&self) -> bool {
        let times = [
            &self.health_interval,
            &self.health_timeout,
            &self.health_start_period,
            &self.health_start_interval,
            &self.health_cmd,
        ];
        !self.no_healthcheck && self.health_retries.is_none() && times.iter().all(|it| it.is_none())
    }
}

/// Whether a container is checked.
pub(super) fn has_check(config: &Config) -> bool {
    let check = config.healthcheck.as_ref();
    check.is_some_and(|check| check.test.first().is_some_and(|it| it != "NONE"))
}

/// The check of an image, or of a container that is updated, with what options put in its place.
pub(super) fn choose(
    arguments: &HealthArgs,
    image: Option<Healthcheck>,
) -> Result<Option<Healthcheck>> {
    let times = [
        &arguments.health_interval,
        &arguments.health_timeout,
        &arguments.health_start_period,
        &arguments.health_start_interval,
    ];
    let is_said = arguments.health_cmd.is_some()
        || arguments.health_retries.is_some()
        || times.iter().any(|time| time.is_some());
    if arguments.no_healthcheck || arguments.health_cmd.as_deref() == Some("none") {
        if is_said && arguments.no_healthcheck {
            return Err(Failure::new("--no-healthcheck conflicts with --health-* options"));
        }
        return Ok(Some(Healthcheck { test: vec!["NONE".into()], ..Healthcheck::default() }));
    }
    if !is_said {
        return Ok(image);
    }
    let mut check = image.unwrap_or_default();
    if let Some(command) = &arguments.health_cmd {
        // podman takes words as JSON, too.
        check.test = match serde_json::from_str::<Vec<String>>(command) {
            Ok(mut words) => {
                let has_kind = words.first().is_some_and(|it| it == "CMD" || it == "CMD-SHELL");
                if !has_kind {
                    words.insert(0, "CMD".into());
                }
                words
            }
            Err(_) => vec!["CMD-SHELL".into(), command.clone()],
        };
    }
    let places = [
        &mut check.interval,
        &mut check.timeout,
        &mut check.start_period,
        &mut check.start_interval,
    ];
    for (place, time) in places.into_iter().zip(times) {
        if let Some(time) = time {
            // podman's word for no checks but those that somebody asks for.
            *place = if time == "disable" { -1 } else { parse::duration(time)? };
            if (1..LEAST_NS).contains(place) {
                return Err(Failure::new(format!(
                    "--health-*: {time} is too short, a time of a check cannot be less than 1ms"
                )));
            }
        }
    }
    if let Some(retries) = arguments.health_retries {
        if retries < 0 {
            return Err(Failure::new("--health-retries cannot be negative"));
        }
        check.retries = retries;
    }
    if check.test.is_empty() {
        return Err(Failure::new(
            "--health-*: neither the image nor --health-cmd says what to run",
        ));
    }
    Ok(Some(check))
}
