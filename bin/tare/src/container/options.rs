//! The options that say what a container is: docker's, for `run` and `create`.

use super::beyond::BeyondArgs;
use super::defaults::Defaults;
use super::health::HealthArgs;
use crate::image;
use crate::settings;
use clap::Args;
use std::path::PathBuf;

/// What a container is made with.
#[derive(Clone, Debug, Args)]
pub(crate) struct ContainerArgs {
    /// Keep standard input open
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give the program a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Attach to STDIN, STDOUT or STDERR (repeated) [default: both outputs, and the input with -i]
    #[arg(short, long, value_name = "STREAM")]
    pub(crate) attach: Vec<String>,
    /// Remove the container, and its anonymous volumes, when it ends
    #[arg(long)]
    pub(crate) rm: bool,
    /// Name of the container
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Write the container's ID to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Option<PathBuf>,

    /// Set an environment variable; without a value it is taken from the caller's environment
    #[arg(short, long, value_name = "NAME[=VALUE]", help_heading = "Program")]
    pub(crate) env: Vec<String>,
    /// Take environment variables from a file, one a line (repeated)
    #[arg(long, value_name = "FILE", help_heading = "Program")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Working directory of the program
    #[arg(short, long, value_name = "DIR", help_heading = "Program")]
    pub(crate) workdir: Option<String>,
    /// User and group of the program, by their names in the image or numbers [default: the image's]
    #[arg(short, long, value_name = "USER[:GROUP]", help_heading = "Program")]
    pub(crate) user: Option<String>,
    /// Another group of the user (repeated)
    #[arg(long, value_name = "GROUP", help_heading = "Program")]
    pub(crate) group_add: Vec<String>,
    /// Program to run instead of the image's own, or several words as JSON
    #[arg(long, value_name = "PROGRAM", help_heading = "Program")]
    pub(crate) entrypoint: Option<String>,
    /// Run the program under a first process that collects orphans and passes signals on
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new(), help_heading = "Program")]
    pub(crate) init: Option<bool>,
    /// Whether the program is a full init, which gets a system container: always, false, or auto, which knows systemd,
    /// OpenRC and s6
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true,
        hide_possible_values = true,
        value_parser = ["auto", "true", "always", "false"],
        help_heading = "Program"
    )]
    pub(crate) systemd: String,
    /// Whom systemd (NOTIFY_SOCKET) hears that it is ready from: container, conmon, healthy, ignore [default: container]
    #[arg(long, value_name = "MODE", value_parser = ["container", "conmon", "healthy", "ignore"], help_heading = "Program")]
    pub(crate) sdnotify: Option<String>,
    /// Signal that stops the container [default: the image's, or SIGTERM]
    #[arg(long, value_name = "SIGNAL", help_heading = "Program")]
    pub(crate) stop_signal: Option<String>,
    /// Seconds between that signal and SIGKILL [default: 10]
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true, help_heading = "Program")]
    pub(crate) stop_timeout: Option<i64>,
    /// When to start it again: no, on-failure[:MAX], always, unless-stopped
    #[arg(
        long,
        value_name = "POLICY",
        default_value = "no",
        hide_default_value = true,
        help_heading = "Program"
    )]
    pub(crate) restart: String,
    /// Name and value for people and programs to find it by (repeated)
    #[arg(short, long, value_name = "KEY[=VALUE]", help_heading = "Program")]
    pub(crate) label: Vec<String>,
    /// Take labels from a file, one a line (repeated)
    #[arg(long, value_name = "FILE", help_heading = "Program")]
    pub(crate) label_file: Vec<PathBuf>,
    /// Annotation for the runtime (repeated)
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Program")]
    pub(crate) annotation: Vec<String>,

    #[command(flatten)]
    pub(crate) health: HealthArgs,

    /// Where output goes: json-file, k8s-file, journald, none [default: json-file]
    #[arg(long, value_name = "DRIVER", help_heading = "Log")]
    pub(crate) log_driver: Option<String>,
    /// max-size, max-file, path, tag (repeated)
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Log")]
    pub(crate) log_opt: Vec<String>,

    /// Show a file, directory or volume in the container
    #[arg(short, long, value_name = "[SOURCE:]TARGET[:OPTIONS]", help_heading = "Files")]
    pub(crate) volume: Vec<String>,
    /// The same in words: type=bind|volume|tmpfs|image,source=...,target=...,readonly,...
    #[arg(long, value_name = "KEY=VALUE,...", help_heading = "Files")]
    pub(crate) mount: Vec<String>,
    /// A directory in memory
    #[arg(long, value_name = "TARGET[:OPTIONS]", help_heading = "Files")]
    pub(crate) tmpfs: Vec<String>,
    /// Give the container a secret of the store: NAME[,type=mount|env][,target=...][,uid=,gid=,mode=] (repeated)
    #[arg(long, value_name = "NAME[,KEY=VALUE]", help_heading = "Files")]
    pub(crate) secret: Vec<String>,
    /// All volumes of another container
    #[arg(long, value_name = "CONTAINER[:ro]", help_heading = "Files")]
    pub(crate) volumes_from: Vec<String>,
    /// Driver of volumes: local
    #[arg(long, value_name = "DRIVER", help_heading = "Files")]
    pub(crate) volume_driver: Option<String>,
    /// Make the root file system read-only (with `host:`, also the directories that are writable otherwise)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new(), help_heading = "Files")]
    pub(crate) read_only: Option<bool>,
    /// Size of /dev/shm, such as 64m
    #[arg(long, value_name = "SIZE", help_heading = "Files")]
    pub(crate) shm_size: Option<String>,
    /// Option of the storage driver: there is none
    #[arg(long, value_name = "KEY=VALUE", hide = true)]
    pub(crate) storage_opt: Vec<String>,

    /// none, host, container:ID, or a network [default: bridge, of ordinary users pasta; none for host:PROGRAM]
    #[arg(long, visible_alias = "net", value_name = "NETWORK", help_heading = "Network")]
    pub(crate) network: Vec<String>,
    /// Another name of the container in its network (repeated)
    #[arg(long, visible_alias = "net-alias", value_name = "NAME", help_heading = "Network")]
    pub(crate) network_alias: Vec<String>,
    /// Publish a port: [[IP:]HOST-PORT:]PORT[/PROTOCOL] (repeated)
    #[arg(short, long, value_name = "PORT", help_heading = "Network")]
    pub(crate) publish: Vec<String>,
    /// Publish all exposed ports, at ports that are free
    #[arg(short = 'P', long, help_heading = "Network")]
    pub(crate) publish_all: bool,
    /// Port that the program listens at (repeated)
    #[arg(long, value_name = "PORT[/PROTOCOL]", help_heading = "Network")]
    pub(crate) expose: Vec<String>,
    /// IPv4 address
    #[arg(long, value_name = "ADDRESS", help_heading = "Network")]
    pub(crate) ip: Option<String>,
    /// IPv6 address
    #[arg(long, value_name = "ADDRESS", help_heading = "Network")]
    pub(crate) ip6: Option<String>,
    /// Not here: link-local addresses are the kernel's
    #[arg(long, value_name = "ADDRESS", hide = true)]
    pub(crate) link_local_ip: Vec<String>,
    /// MAC address
    #[arg(long, value_name = "ADDRESS", help_heading = "Network")]
    pub(crate) mac_address: Option<String>,
    /// Another container's address in /etc/hosts (repeated)
    #[arg(long, value_name = "CONTAINER[:NAME]", help_heading = "Network")]
    pub(crate) link: Vec<String>,
    /// Name server (repeated)
    #[arg(long, value_name = "ADDRESS", help_heading = "Network")]
    pub(crate) dns: Vec<String>,
    /// Option of the resolver (repeated)
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION", help_heading = "Network")]
    pub(crate) dns_option: Vec<String>,
    /// Domain in which short names are looked for (repeated)
    #[arg(long, value_name = "DOMAIN", help_heading = "Network")]
    pub(crate) dns_search: Vec<String>,
    /// Line of /etc/hosts (repeated); host-gateway stands for the host
    #[arg(long, value_name = "NAME:ADDRESS", help_heading = "Network")]
    pub(crate) add_host: Vec<String>,
    /// Host name in the container [default: the first digits of its ID]
    #[arg(short = 'h', long, value_name = "NAME", help_heading = "Network")]
    pub(crate) hostname: Option<String>,
    /// Domain name in the container
    #[arg(long, value_name = "NAME", help_heading = "Network")]
    pub(crate) domainname: Option<String>,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) security: SecurityArgs,
    #[command(flatten)]
    pub(crate) beyond: BeyondArgs,

    /// When to pull the image [default: missing]
    #[arg(long, value_enum, help_heading = "Image")]
    pub(crate) pull: Option<image::pull::Policy>,
    /// The image is a directory of this machine: DIR, which the container changes; DIR:O, which it does not;
    /// DIR:idmap, with the ids of its user namespace
    #[arg(long, help_heading = "Image")]
    pub(crate) rootfs: bool,
    #[command(flatten)]
    pub(crate) platform: settings::PlatformArgs,
    #[command(flatten)]
    pub(crate) registry: settings::RegistryArgs,
    /// Do not show how the image is pulled
    #[arg(short, long, help_heading = "Image")]
    pub(crate) quiet: bool,
    /// Pack another program of the host too (repeated)
    #[arg(long, value_name = "PROGRAM", help_heading = "Image")]
    pub(crate) with: Vec<String>,
    /// Accepted: images are checked by the policy
    #[arg(long, hide = true)]
    pub(crate) disable_content_trust: bool,

    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,

    /// What `containers.conf` says that no option is for.
    #[arg(skip)]
    pub(crate) defaults: Defaults,

    /// What to run: an image, or host:PROGRAM; and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "IMAGE [ARG]")]
    words: Vec<String>,
}

impl ContainerArgs {
    /// What to run: an image, or `host:PROGRAM`.
    pub(crate) fn image(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// Whether it is a program of this machine.
    pub(crate) fn is_of_host(&self) -> bool {
        !self.rootfs && self.image().starts_with("host:")
    }

    /// Whether the container is removed when it ends.
    pub(crate) fn goes(&self) -> bool {
        self.rm || self.beyond.rmi
    }

    /// Its arguments.
    pub(crate) fn args(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }
}

/// Limits. Sizes are numbers with b, k, m, g or t.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Memory limit, such as 64m or 1g
    #[arg(short, long, value_name = "SIZE")]
    pub(crate) memory: Option<String>,
    /// Memory and swap together; -1 for any
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub(crate) memory_swap: Option<String>,
    /// What it keeps when memory is short
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory_reservation: Option<String>,
    /// How readily it is swapped out, 0 to 100
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) memory_swappiness: Option<i64>,
    /// Not here: the kernel does not limit it by itself any more
    #[arg(long, value_name = "SIZE", hide = true)]
    pub(crate) kernel_memory: Option<String>,
    /// Stop processes for want of memory instead of killing them
    #[arg(long)]
    pub(crate) oom_kill_disable: bool,
    /// How readily the kernel kills it for want of memory, -1000 to 1000
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) oom_score_adj: Option<i64>,
    /// CPU time limit in CPUs, such as 1.5
    #[arg(long, value_name = "NUMBER")]
    pub(crate) cpus: Option<String>,
    /// Share of CPU time among others [default: 1024]
    #[arg(short, long, value_name = "NUMBER")]
    pub(crate) cpu_shares: Option<i64>,
    /// Period of the CPU time limit in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_period: Option<i64>,
    /// CPU time in each period in microseconds
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    pub(crate) cpu_quota: Option<i64>,
    /// Period of the real-time limit in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_rt_period: Option<i64>,
    /// Real time in each period in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_rt_runtime: Option<i64>,
    /// CPUs to run on, such as 0-2,7
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_cpus: Option<String>,
    /// Memory nodes to use
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_mems: Option<String>,
    /// Not here: of Windows
    #[arg(long, hide = true)]
    pub(crate) cpu_count: Option<String>,
    /// Not here: of Windows
    #[arg(long, hide = true)]
    pub(crate) cpu_percent: Option<String>,
    /// Number of processes; -1 for no limit [default: 2048 where limits can be set]
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) pids_limit: Option<i64>,
    /// Share of disk time among others, 10 to 1000
    #[arg(long, value_name = "NUMBER")]
    pub(crate) blkio_weight: Option<i64>,
    /// The same for one device (repeated)
    #[arg(long, value_name = "DEVICE:NUMBER")]
    pub(crate) blkio_weight_device: Vec<String>,
    /// Bytes a second that are read of a device (repeated)
    #[arg(long, value_name = "DEVICE:SIZE")]
    pub(crate) device_read_bps: Vec<String>,
    /// Bytes a second that are written to a device (repeated)
    #[arg(long, value_name = "DEVICE:SIZE")]
    pub(crate) device_write_bps: Vec<String>,
    /// Reads a second of a device (repeated)
    #[arg(long, value_name = "DEVICE:NUMBER")]
    pub(crate) device_read_iops: Vec<String>,
    /// Writes a second to a device (repeated)
    #[arg(long, value_name = "DEVICE:NUMBER")]
    pub(crate) device_write_iops: Vec<String>,
    /// Not here: of Windows
    #[arg(long, hide = true)]
    pub(crate) io_maxbandwidth: Option<String>,
    /// Not here: of Windows
    #[arg(long, hide = true)]
    pub(crate) io_maxiops: Option<String>,
    /// Limit of each process: NAME=SOFT[:HARD] (repeated)
    #[arg(long, value_name = "LIMIT")]
    pub(crate) ulimit: Vec<String>,
    /// Cgroup that the container's is made in
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup_parent: Option<String>,
}

/// What its processes may do.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Security")]
pub(crate) struct SecurityArgs {
    /// Set of rules: strict (no capabilities), default, docker (docker's), none
    #[arg(long, value_name = "PRESET", value_parser = ["strict", "default", "docker", "none"])]
    pub(crate) security: Option<String>,
    /// seccomp=FILE|unconfined, no-new-privileges[=false], apparmor=PROFILE, label=..., mask=PATH, unmask=PATH|ALL,
    /// systempaths=unconfined (repeated)
    #[arg(long, value_name = "OPTION")]
    pub(crate) security_opt: Vec<String>,
    /// Capability to have; ALL for all (repeated)
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_add: Vec<String>,
    /// Capability not to have; ALL for none but those that are added (repeated)
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_drop: Vec<String>,
    /// All rights of the host's root: every device, no filter
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) privileged: Option<bool>,
    /// Device of the host, or VENDOR/CLASS=NAME of a CDI specification (repeated)
    #[arg(long, value_name = "DEVICE[:PATH[:rwm]]")]
    pub(crate) device: Vec<String>,
    /// Rule of the device cgroup (repeated)
    #[arg(long, value_name = "RULE")]
    pub(crate) device_cgroup_rule: Vec<String>,
    /// GPUs, by their CDI names: all, a number of them, or device=ID,...
    #[arg(long, value_name = "GPUS")]
    pub(crate) gpus: Option<String>,
    /// Kernel setting in the container's namespaces (repeated)
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) sysctl: Vec<String>,
    /// System V IPC and shared memory: private, shareable, host, container:ID
    #[arg(long, value_name = "MODE")]
    pub(crate) ipc: Option<String>,
    /// Processes: host, container:ID
    #[arg(long, value_name = "MODE")]
    pub(crate) pid: Option<String>,
    /// Host name: host
    #[arg(long, value_name = "MODE")]
    pub(crate) uts: Option<String>,
    /// User namespace: auto[:size=NUMBER,...] has ids that no other container has, keep-id[:uid=ID,...] the
    /// caller's own, host none of its own
    #[arg(long, value_name = "MODE")]
    pub(crate) userns: Option<String>,
    /// Map user ids of the container (repeated)
    #[arg(long, value_name = "CONTAINER:HOST[:COUNT]")]
    pub(crate) uidmap: Vec<String>,
    /// Map group ids of the container (repeated) [default: as users]
    #[arg(long, value_name = "CONTAINER:HOST[:COUNT]")]
    pub(crate) gidmap: Vec<String>,
    /// Map user ids from 0 on to the ranges of a name in /etc/subuid
    #[arg(long, value_name = "NAME")]
    pub(crate) subuidname: Option<String>,
    /// Map group ids from 0 on to the ranges of a name in /etc/subgid [default: as users]
    #[arg(long, value_name = "NAME")]
    pub(crate) subgidname: Option<String>,
    /// Cgroups: private, host
    #[arg(long, value_name = "MODE")]
    pub(crate) cgroupns: Option<String>,
    /// OCI runtime: this program is one
    #[arg(long, value_name = "RUNTIME", hide = true)]
    pub(crate) runtime: Option<String>,
    /// Not here: of Windows
    #[arg(long, value_name = "ISOLATION", hide = true)]
    pub(crate) isolation: Option<String>,
    /// Not here: there is no daemon whose socket it could be given
    #[arg(long, hide = true)]
    pub(crate) use_api_socket: bool,
}
