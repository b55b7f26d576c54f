//! `tare update`.

use super::beyond::OnFailure;
use super::health::{self, HealthArgs};
use super::{config, parse};
use crate::failure::{Failure, Result};
use crate::settings::Global;
use clap::Args;
use engine::record::{Config, Resources};

/// Change limits, the restart policy and the health check of containers
///
/// Those that run have them at once, and all from their next start on.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tare update --memory 1g --cpus 2 --restart unless-stopped web")]
pub(crate) struct Update {
    /// Share of block devices' time, 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<i64>,
    /// Microseconds of the period of --cpu-quota
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<i64>,
    /// Microseconds of CPU time in each period
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    /// Microseconds of the period of --cpu-rt-runtime
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_rt_period: Option<i64>,
    /// Microseconds for real-time programs in each period
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_rt_runtime: Option<i64>,
    /// Weight against other containers
    #[arg(short = 'c', long, value_name = "WEIGHT")]
    cpu_shares: Option<i64>,
    /// CPU time, in numbers of CPUs
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<String>,
    /// CPUs that it runs on, such as 0-3,8
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes that it uses
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Memory limit, such as 64m or 1g
    #[arg(short, long, value_name = "SIZE")]
    memory: Option<String>,
    /// What it keeps when memory is short
    #[arg(long, value_name = "SIZE")]
    memory_reservation: Option<String>,
    /// Memory and swap together; -1 for any
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Not here: the kernel counts it with all memory
    #[arg(long, value_name = "SIZE", hide = true)]
    kernel_memory: Option<String>,
    /// Number of processes; -1 for any
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// When it is started again: no, on-failure[:TIMES], always, unless-stopped
    #[arg(long, value_name = "POLICY")]
    restart: Option<String>,
    #[command(flatten)]
    health: HealthArgs,
    /// What to do when the container becomes unhealthy
    #[arg(long, value_enum, value_name = "ACTION", help_heading = "Health")]
    health_on_failure: Option<OnFailure>,
    /// Results of health checks to keep, 0 for all that fit
    #[arg(long, value_name = "NUMBER", help_heading = "Health")]
    health_max_log_count: Option<u32>,
    /// Characters to keep of what a check says, 0 for all that fit
    #[arg(long, value_name = "NUMBER", help_heading = "Health")]
    health_max_log_size: Option<u32>,
    /// Containers: names, or the beginnings of IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Update {
    /// What is said, put over what there was.
    fn over(&self, old: &Resources) -> Result<Resources> {
        let mut new = old.clone();
        let size = |option: &Option<String>, place: &mut i64| -> Result<()> {
            match option.as_deref() {
                Some("-1") => *place = -1,
                Some(text) => *place = parse::size(text)?,
                None => {}
            }
            Ok(())
        };
        size(&self.memory, &mut new.memory)?;
        size(&self.memory_reservation, &mut new.memory_reservation)?;
        size(&self.memory_swap, &mut new.memory_swap)?;
        for (option, place) in [
            (self.blkio_weight, &mut new.blkio_weight),
            (self.cpu_period, &mut new.cpu_period),
            (self.cpu_quota, &mut new.cpu_quota),
            (self.cpu_rt_period, &mut new.cpu_rt_period),
            (self.cpu_rt_runtime, &mut new.cpu_rt_runtime),
            (self.cpu_shares, &mut new.cpu_shares),
        ] {
            if let Some(value) = option {
                *place = value;
            }
        }
        if let Some(text) = &self.cpus {
            if self.cpu_quota.is_some() || self.cpu_period.is_some() {
                return Err(Failure::new("--cpus: it conflicts with --cpu-quota and --cpu-period"));
            }
            (new.cpu_quota, new.cpu_period) = (parse::cpu_quota(text)?, 0);
        }
        for (option, place) in
            [(&self.cpuset_cpus, &mut new.cpuset_cpus), (&self.cpuset_mems, &mut new.cpuset_mems)]
        {
            if let Some(text) = option {
                place.clone_from(text);
            }
        }
        new.pids_limit = self.pids_limit.or(new.pids_limit);
        config::check(&new)?;
        Ok(new)
    }

    fn is_about_health(&self) -> bool {
        let numbers = [self.health_max_log_count, self.health_max_log_size];
        !self.health.is_empty()
            || self.health_on_failure.is_some()
            || numbers.iter().any(Option::is_some)
    }

    /// What is said of the health check, put over what there was.
    fn check(&self, config: &mut Config) -> Result<()> {
        let (is_set, is_new) = (health::has_check(config), self.health.health_cmd.is_some());
        let is_taken = self.health.no_healthcheck;
        if !is_set && !is_new && !is_taken {
            return Err(Failure::new("healthcheck command is not set")
                .hint("--health-cmd says what is run"));
        }
        if !self.health.is_empty() {
            // One that was taken away has left nothing.
            let old = config.healthcheck.take().filter(|_| is_set);
            config.healthcheck = health::choose(&self.health, old)?;
        }
        if let Some(action) = self.health_on_failure {
            config.health_on_failure = action.word().into();
        }
        if is_taken {
            config.health_on_failure.clear();
        }
        config.health_log_count = self.health_max_log_count.or(config.health_log_count);
        config.health_log_size = self.health_max_log_size.or(config.health_log_size);
        Ok(())
    }

    fn is_empty(&self) -> bool {
        let numbers = [
            self.blkio_weight,
            self.cpu_period,
            self.cpu_quota,
            self.cpu_rt_period,
            self.cpu_rt_runtime,
            self.cpu_shares,
            self.pids_limit,
        ];
        let texts = [
            &self.cpus,
            &self.cpuset_cpus,
            &self.cpuset_mems,
            &self.memory,
            &self.memory_reservation,
            &self.memory_swap,
            &self.restart,
        ];
        !self.is_about_health()
            && numbers.iter().all(Option::is_none)
            && texts.iter().all(|it| it.is_none())
    }
}

pub(crate) fn run(global: &Global, arguments: &Update) -> Result<u8> {
    if arguments.kernel_memory.is_some() {
        return Err(Failure::new("--kernel-memory: the kernel counts it with all memory")
            .hint("--memory limits both"));
    }
    if arguments.is_empty() {
        return Err(Failure::new("you must provide one or more flags when using this command"));
    }
    let restart = arguments.restart.as_deref().map(engine::parse_restart).transpose()?;
    let engine = super::open(global, false)?;
    super::each(&engine, &arguments.containers, |container| {
        let mut changing = engine.to_change(&container.config.id)?;
        let container = &mut changing.container;
        let is_kept = restart.as_ref().is_none_or(|it| it.policy.is_empty() || it.policy == "no");
        if container.config.auto_remove && !is_kept {
            return Err(Failure::new(
                "Restart policy cannot be updated because AutoRemove is enabled for the container",
            ));
        }
        if arguments.is_about_health() {
            arguments.check(&mut container.config)?;
        }
        let resources = arguments.over(&container.config.resources)?;
        let warnings = engine.update(&mut changing, &resources, restart.as_ref())?;
        warnings.iter().for_each(|warning| crate::settings::warn(warning));
        if arguments.is_about_health() {
            // It reads the record that is free now.
            engine.renew_checks(&changing.done())?;
        }
        Ok(())
    })
}
