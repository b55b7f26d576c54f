//! The keys that count here, and of which type each is.

use std::fmt;

/// A table's name and a key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(&'static str, &'static str);

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.0, self.1)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Flag,
    Number,
    List,
}

impl Kind {
    /// What somebody has to write.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Text => "a text in quotes",
            Self::Flag => "true or false",
            Self::Number => "a number",
            Self::List => "a list of texts",
        }
    }
}

macro_rules! keys {
    ($($table:literal { $($name:ident = $text:literal: $kind:ident,)* })*) => {
        impl Key {$($(
            pub(crate) const $name: Self = Self($table, $text);
        )*)*}

        const KEYS: &[(Key, Kind)] = &[$($((Key::$name, Kind::$kind),)*)*];
    };
}

keys! {
    "containers" {
        ANNOTATIONS = "annotations": List,
        BASE_HOSTS_FILE = "base_hosts_file": Text,
        CGROUPNS = "cgroupns": Text,
        CGROUPS = "cgroups": Text,
        DEFAULT_CAPABILITIES = "default_capabilities": List,
        DEFAULT_SYSCTLS = "default_sysctls": List,
        DEFAULT_ULIMITS = "default_ulimits": List,
        DEVICES = "devices": List,
        DNS_OPTIONS = "dns_options": List,
        DNS_SEARCHES = "dns_searches": List,
        DNS_SERVERS = "dns_servers": List,
        ENV = "env": List,
        ENV_HOST = "env_host": Flag,
        HOST_CONTAINERS_INTERNAL_IP = "host_containers_internal_ip": Text,
        HTTP_PROXY = "http_proxy": Flag,
        INIT = "init": Flag,
        IPCNS = "ipcns": Text,
        LABEL = "label": Flag,
        LOG_DRIVER = "log_driver": Text,
        LOG_SIZE_MAX = "log_size_max": Number,
        LOG_TAG = "log_tag": Text,
        MOUNTS = "mounts": List,
        NETNS = "netns": Text,
        NO_HOSTS = "no_hosts": Flag,
        OOM_SCORE_ADJ = "oom_score_adj": Number,
        PIDNS = "pidns": Text,
        PIDS_LIMIT = "pids_limit": Number,
        PRIVILEGED = "privileged": Flag,
        READ_ONLY = "read_only": Flag,
        SECCOMP_PROFILE = "seccomp_profile": Text,
        SHM_SIZE = "shm_size": Text,
        TZ = "tz": Text,
        UMASK = "umask": Text,
        USERNS = "userns": Text,
        UTSNS = "utsns": Text,
        VOLUMES = "volumes": List,
    }
    "engine" {
        DETACH_KEYS = "detach_keys": Text,
        IMAGE_VOLUME_MODE = "image_volume_mode": Text,
        PULL_POLICY = "pull_policy": Text,
        RETRY = "retry": Number,
        RETRY_DELAY = "retry_delay": Text,
        STOP_TIMEOUT = "stop_timeout": Number,
    }
    "network" {
        DEFAULT_NETWORK = "default_network": Text,
        PASTA_OPTIONS = "pasta_options": List,
    }
}

impl Key {
    /// A key of a file, if it counts here.
    pub(super) fn find(table: &str, name: &str) -> Option<(Self, Kind)> {
        KEYS.iter().find(|(key, _)| key.0 == table && key.1 == name).copied()
    }
}
