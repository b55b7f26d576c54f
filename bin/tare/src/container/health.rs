//! Options of health checks.

use super::options::ContainerArgs;
use super::parse;
use crate::failure::{Failure, Result};
use oci::image::Healthcheck;

/// The image's check, with what options put in its place.
pub(super) fn choose(
    arguments: &ContainerArgs,
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
