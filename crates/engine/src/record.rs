//! What is kept of a container: what it was made with, and what became of it.
//!
//! `container.json` changes only when somebody renames or updates the container. `state.json` is written by its
//! supervisor, or by whoever holds the container's lock.

use oci::Map;
use oci::image::Healthcheck;

oci::document! {
    /// `container.json`.
    Config(snake) {
        /// Format of this record.
        version: u32 => always,
        id: String => required,
        name: String => required,
        /// RFC 3339 with nanoseconds.
        created: String => always,
        /// What the user typed.
        image: String,
        /// The image's whole name, where it has one.
        image_name: String,
        /// The digest of the image's configuration.
        image_id: String,
        /// The digest of its manifest.
        manifest: String,
        /// A root directory of the host's in the place of layers; nothing is written to it.
        rootfs: String,
        /// It is removed with the container.
        owns_rootfs: bool,
        /// What somebody has named by `--rootfs`: `changed` by the container, or `overlay`, below what it writes. Empty
        /// is a packed program's.
        rootfs_kind: String,
        /// Its ids are those of the container's user namespace.
        rootfs_idmap: bool,
        entrypoint: Vec<String>,
        cmd: Vec<String>,
        env: Vec<String>,
        working_dir: String,
        /// As typed, or as the image has it.
        user: String,
        /// An option has named it.
        user_is_chosen: bool,
        group_add: Vec<String>,
        hostname: String,
        domainname: String,
        tty: bool,
        /// Standard input is open to clients.
        interactive: bool,
        /// It ends with the first client that ends its own.
        stdin_once: bool,
        /// The streams that the first client asked for.
        attach: Vec<String>,
        labels: Map,
        annotations: Map,
        exposed_ports: Vec<String>,
        stop_signal: String,
        /// Seconds before SIGKILL.
        stop_timeout: Option<i64>,
        healthcheck: Option<Healthcheck>,
        restart: Restart,
        /// Removed when it ends.
        auto_remove: bool,
        /// Its image goes with it, unless somebody else uses that.
        auto_remove_image: bool,
        /// Made by `run`: whatever killed that before the start may be swept.
        by_run: bool,
        init: bool,
        /// Whether its program is to be taken for an init: `always`, `false`, or empty for what its files say.
        systemd: String,
        /// The init that it is: `systemd`, `openrc` or `s6`. Its first start finds out.
        system: String,
        log: LogConfig,
        mounts: Vec<Mount>,
        secrets: Vec<SecretUse>,
        security: Security,
        resources: Resources,
        namespaces: Namespaces,
        network: Network,
        devices: Vec<Device>,
        cdi: Cdi,
        ulimits: Vec<Ulimit>,
        sysctls: Map,
        shm_size: i64,
        /// Bits that files of the program do not get.
        umask: Option<u32>,
        /// Seconds that it may run; 0 for any.
        timeout_s: u64,
        /// Variables that the program does not get; `*` for all that nobody set.
        unset_env: Vec<String>,
        /// What an unhealthy container gets: `kill`, `restart`, `stop` or nothing.
        health_on_failure: String,
        /// Results of checks that are kept, 0 for many, and characters of each.
        health_log_count: Option<u32>,
        health_log_size: Option<u32>,
        /// Whom systemd hears that it is ready from: `container`, `conmon`, `healthy` or `ignore`; empty is `container`.
        sdnotify: String,
        /// Path below the image's platform, for `inspect`.
        platform: String,
    }

    /// When a container that has ended is started again.
    Restart(snake) {
        /// `no`, `on-failure`, `always` or `unless-stopped`; empty is `no`.
        policy: String,
        /// Starts after failures; 0 for any number.
        max_retries: u32,
    }

    /// Where output goes.
    LogConfig(snake) {
        /// `json-file`, `k8s-file`, `journald` or `none`.
        driver: String,
        /// `max-size`, `max-file`, `path`, `tag`, `labels`, `env`.
        options: Map,
    }

    /// Something that is mounted into the container.
    Mount(snake) {
        /// `bind`, `volume`, `tmpfs`, `image`, `secret` or `devpts`.
        kind: String => required,
        /// A path of the host, a volume's name, or an image.
        source: String,
        target: String => required,
        /// The volume's name; the source is where it is.
        name: String,
        read_only: bool,
        /// As `mount(8)` has them.
        options: Vec<String>,
        /// A new volume gets what the image has there.
        copy_up: bool,
        /// A volume nobody gave a name, removed with the container.
        anonymous: bool,
        /// Of a volume or an image only this is mounted.
        subpath: String,
        /// The layers of an image, whose manifest is `name`.
        layers: Vec<String>,
        /// What belongs to the source's owner is shown as the program's user's.
        as_user: bool,
        /// Ids that are shown as others: `DISK:SHOWN:COUNT`.
        uid_map: Vec<String>,
        gid_map: Vec<String>,
        /// Labels and options of a volume that is made for it.
        labels: Map,
        volume_options: Map,
    }

    /// A secret that the container gets.
    SecretUse(snake) {
        name: String => required,
        id: String,
        /// A variable, instead of a file.
        is_variable: bool,
        /// Path of the file, or name of the variable.
        target: String => required,
        uid: u32,
        gid: u32,
        mode: u32,
    }

    /// What its processes may do.
    Security(snake) {
        privileged: bool,
        read_only: bool,
        /// `/dev` is, too, and what is shared in memory.
        read_only_dev: bool,
        /// The rights of a container of which nobody says anything; empty for the preset's.
        usual_capabilities: Vec<String>,
        cap_add: Vec<String>,
        cap_drop: Vec<String>,
        /// `default`, `strict`, `docker` or `none`.
        preset: String,
        /// `--security-opt`, as typed.
        options: Vec<String>,
        /// The seccomp profile that a file held when the container was made.
        seccomp: String,
    }

    /// Limits. Sizes are bytes; 0 or `None` is none.
    Resources(snake) {
        memory: i64,
        memory_swap: i64,
        memory_reservation: i64,
        swappiness: Option<i64>,
        oom_kill_disable: bool,
        oom_score_adj: Option<i64>,
        cpu_shares: i64,
        cpu_quota: i64,
        cpu_period: i64,
        cpu_rt_runtime: i64,
        cpu_rt_period: i64,
        cpuset_cpus: String,
        cpuset_mems: String,
        pids_limit: Option<i64>,
        blkio_weight: i64,
        /// `PATH:VALUE`, by `--blkio-weight-device`, `--device-read-bps` and so on.
        blkio_weight_device: Vec<String>,
        read_bps: Vec<String>,
        write_bps: Vec<String>,
        read_iops: Vec<String>,
        write_iops: Vec<String>,
        cgroup_parent: String,
        device_cgroup_rules: Vec<String>,
    }

    /// Whose namespaces it has: empty for its own, `host`, `container:ID`, or a mode's own words.
    Namespaces(snake) {
        ipc: String,
        pid: String,
        uts: String,
        user: String,
        cgroup: String,
        uid_map: Vec<String>,
        gid_map: Vec<String>,
        subuid_name: String,
        subgid_name: String,
    }

    /// Its networks.
    Network(snake) {
        /// `none`, `host`, `container:ID`, or empty where `endpoints` counts.
        mode: String,
        endpoints: Vec<Endpoint>,
        /// `-p`, as typed.
        publish: Vec<String>,
        publish_all: bool,
        dns: Vec<String>,
        dns_search: Vec<String>,
        dns_options: Vec<String>,
        /// `NAME:ADDRESS`
        extra_hosts: Vec<String>,
        links: Vec<String>,
        mac_address: String,
        /// What `/etc/hosts` begins with: a path of the host, `image`, `none`; empty is docker's way.
        hosts_file: String,
        /// The address of `host.containers.internal`: `host-gateway` where there is one, or a number; empty for none.
        host_address: String,
        /// The image's own files stay.
        no_hosts: bool,
        no_hostname: bool,
    }

    /// A network that it is attached to.
    Endpoint(snake) {
        network: String => required,
        aliases: Vec<String>,
        ipv4: String,
        ipv6: String,
        mac_address: String,
        /// The device's name in the container.
        interface: String,
        /// `NAME:ALIAS`: names that only this container has for others.
        links: Vec<String>,
        /// Addresses that lead nowhere but over the link.
        link_local: Vec<String>,
        /// `--driver-opt`, as typed.
        driver_opts: Map,
    }

    /// A device of the host.
    Device(snake) {
        host: String => required,
        container: String,
        permissions: String,
    }

    /// Devices that specifications of vendors define.
    Cdi(snake) {
        /// Their full names.
        devices: Vec<String>,
        /// Where specifications are looked for, the last of them counting most.
        dirs: Vec<String>,
    }

    /// A limit of a process.
    Ulimit(snake) {
        name: String => required,
        soft: i64 => always,
        hard: i64 => always,
    }

    /// `state.json`.
    State(snake) {
        /// `created`, `running`, `restarting`, `exited` or `dead`.
        status: String => always,
        pid: i32,
        /// Start of the process in clock ticks since boot: with the pid it names one process.
        pid_start: u64,
        /// The boot that the process is of.
        boot: String,
        started: String,
        finished: String,
        exit_code: i32,
        oom_killed: bool,
        error: String,
        restarts: u32,
        /// Somebody stopped it: the policy does not start it again.
        stopped: bool,
        supervisor: i32,
        health: Option<Health>,
        /// What it was given on its networks.
        networks: Vec<Attached>,
        ports: Vec<Port>,
        /// Entries of the log that could not be written.
        log_lost: u64,
    }

    /// What a health check says.
    Health(snake) {
        /// `starting`, `healthy` or `unhealthy`.
        status: String => always,
        failing_streak: u32 => always,
        log: Vec<Probe>,
    }

    /// One run of a health check.
    Probe(snake) {
        start: String,
        end: String,
        exit_code: i32 => always,
        output: String,
    }

    /// A network that a running container is attached to.
    Attached(snake) {
        network: String => required,
        network_id: String,
        interface: String,
        ipv4: String,
        ipv6: String,
        gateway: String,
        gateway_v6: String,
        mac: String,
        aliases: Vec<String>,
    }

    /// A published port.
    Port(snake) {
        container: u32 => always,
        protocol: String => always,
        host_ip: String,
        host: u32,
    }
}

/// The group of `--group-add` that stands for the caller's own.
pub const KEEP_GROUPS: &str = "keep-groups";

/// What [`Config::rootfs_kind`] may be.
pub mod rootfs_kind {
    /// The container changes the directory itself.
    pub const CHANGED: &str = "changed";
    /// What the container writes stays with it.
    pub const OVERLAY: &str = "overlay";
}

impl Config {
    /// Format written by this program.
    pub const VERSION: u32 = 1;
}

/// Of the container's life.
pub mod status {
    /// It was never started.
    pub const CREATED: &str = "created";
    /// Its program runs.
    pub const RUNNING: &str = "running";
    /// Its processes are stopped.
    pub const PAUSED: &str = "paused";
    /// It has ended, and will be started again.
    pub const RESTARTING: &str = "restarting";
    /// It has ended.
    pub const EXITED: &str = "exited";
    /// It is being removed.
    pub const REMOVING: &str = "removing";
}
