//! What podman's `inspect` of a container has beside docker's members.

use super::view::time;
use engine::Container;
use engine::record::Config;
use template::{Field, Struct, Value, units};

/// Of the document.
pub(super) fn members(container: &Container) -> Vec<Field> {
    let config = &container.config;
    vec![
        Field::new("ImageName", named_image(config)),
        Field::hidden("ImageDigest", config.manifest.as_str()),
        Field::hidden("Rootfs", config.rootfs.as_str()),
        Field::hidden("OCIRuntime", "tare"),
        Field::hidden("ConmonPidFile", ""),
        Field::hidden("PidFile", ""),
        Field::hidden("Namespace", ""),
        Field::hidden("IsInfra", false),
        Field::hidden("IsService", false),
        Field::hidden("Pod", ""),
    ]
}

/// The image by its whole name; by what was typed where that is no name.
fn named_image(config: &Config) -> &str {
    if config.image_name.is_empty() { &config.image } else { &config.image_name }
}

/// Of its state.
pub(super) fn of_state(container: &Container, health: Option<Value>) -> Vec<Field> {
    let state = &container.state;
    let supervisor = if container.supervised { state.supervisor } else { 0 };
    let mut fields = vec![
        Field::hidden("ConmonPid", i64::from(supervisor)),
        Field::hidden("StoppedByUser", state.stopped),
        Field::hidden("Checkpointed", false),
        Field::hidden("CheckpointedAt", time("")),
        Field::hidden("RestoredAt", time("")),
        Field::hidden("CgroupPath", format!("/tare/{}", container.config.id)),
        Field::hidden("OciVersion", oci::runtime::VERSION),
    ];
    // One that was never checked, or has no check, has an empty one.
    let none = Struct::value(
        "*health",
        vec![
            Field::new("Status", ""),
            Field::new("FailingStreak", 0i64),
            Field::new("Log", Value::Nil("[]probe")),
        ],
    );
    fields.push(Field::hidden("Healthcheck", health.unwrap_or(none)));
    fields
}

/// Of its host's configuration.
pub(super) fn of_host(config: &Config) -> Vec<Field> {
    vec![
        Field::hidden("CgroupManager", "cgroupfs"),
        Field::hidden("CgroupMode", super::view::or(&config.namespaces.cgroup, "private")),
        Field::hidden("Cgroups", "default"),
        Field::hidden("AutoRemoveImage", config.auto_remove_image),
        Field::hidden("ContainerIDFile", ""),
    ]
}

/// Of its log: where it is, and how large it may become.
pub(super) fn of_log(config: &Config, path: String) -> Vec<Field> {
    let keeps_file = !matches!(config.log.driver.as_str(), "none" | "journald" | "passthrough");
    let option = |name: &str| config.log.options.get(name).map_or("", String::as_str);
    let size = engine::log::limit_bytes(&config.log);
    let path = if option("path").is_empty() { path } else { option("path").to_owned() };
    vec![
        Field::hidden("Path", if keeps_file { path } else { String::new() }),
        Field::hidden("Tag", option("tag")),
        Field::hidden(
            "Size",
            if size == 0 { "0B".to_owned() } else { units::decimal_size(size, 4) },
        ),
    ]
}

/// Of its configuration.
pub(super) fn of_config(config: &Config) -> Vec<Field> {
    let action = match config.health_on_failure.as_str() {
        "" => "none",
        action => action,
    };
    vec![
        Field::hidden("HealthcheckOnFailureAction", action),
        Field::hidden("HealthMaxLogCount", i64::from(config.health_log_count.unwrap_or(5))),
        Field::hidden("HealthMaxLogSize", i64::from(config.health_log_size.unwrap_or(4096))),
        Field::hidden("HealthLogDestination", "local"),
        Field::hidden("Timeout", config.timeout_s),
        Field::hidden("Umask", format!("{:04o}", config.umask.unwrap_or(0o022))),
        Field::hidden("Annotations", super::view::map(&config.annotations)),
        Field::hidden("SystemdMode", false),
    ]
}
