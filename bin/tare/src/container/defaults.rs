//! What `containers.conf` says of containers: put in the place of options that nobody has given.
//!
//! It counts for containers of images and of root directories, by whatever name the program is called; a program of
//! this machine (`host:PROGRAM`) is none of podman's. A value is checked here, as the option of its kind is, so that a
//! mistake is told with the file that it is in.

use super::beyond::ImageVolume;
use super::options::ContainerArgs;
use super::{beyond, config, devices, mounts, networks, parse};
use crate::called::Called;
use crate::caller::Caller;
use crate::failure::{Failure, Result};
use crate::settings::{Conf, Global, Key, load_conf};
use clap::ValueEnum;
use engine::record::LogConfig;

/// docker's.
pub(super) const DETACH_KEYS: &str = "ctrl-p,ctrl-q";
/// podman's names of the network that containers have usually.
const USUAL_NETWORKS: [&str; 4] = ["", "private", "bridge", "podman"];

/// What it says that there is no option for, or that comes before the image's own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Defaults {
    /// Variables, of which those of the image count more.
    pub(super) env: Vec<String>,
    /// What the container is given unless `--security` says otherwise.
    pub(super) capabilities: Option<Vec<String>>,
    /// Mounts, in whose places those of options come.
    pub(super) volumes: Vec<String>,
    pub(super) mounts: Vec<String>,
    /// The network, of containers that say none.
    pub(super) network: Option<String>,
    /// Options of pasta, before those of the network.
    pub(super) pasta: Vec<String>,
    /// The address of `host.containers.internal`; `none` for no such name.
    pub(super) host_address: Option<String>,
    pub(super) stop_timeout: Option<i64>,
    pub(super) detach_keys: Option<String>,
}

/// The options of a container, with what `containers.conf` has for the rest.
pub(super) fn complete(global: &Global, arguments: &ContainerArgs) -> Result<ContainerArgs> {
    let mut completed = arguments.clone();
    if !completed.is_of_host() {
        let conf = load_conf(global, &Caller::new())?;
        Filler { conf: &conf, arguments: &mut completed }.fill()?;
    }
    Ok(completed)
}

/// The keys that leave a container alone.
pub(super) fn detach_keys(said: Option<&str>, conf: &Conf) -> Result<Vec<u8>> {
    match (said, conf.text(Key::DETACH_KEYS)) {
        (None, Some(keys)) => engine::parse_keys(keys)
            .map_err(|error| conf.mistake(Key::DETACH_KEYS, Failure::from(error))),
        (said, _) => Ok(engine::parse_keys(said.unwrap_or(DETACH_KEYS))?),
    }
}

struct Filler<'f> {
    conf: &'f Conf,
    arguments: &'f mut ContainerArgs,
}

impl Filler<'_> {
    fn fill(&mut self) -> Result<()> {
        self.program()?;
        self.files()?;
        self.network()?;
        self.limits()?;
        self.security()?;
        self.image()
    }

    /// A text that `check` has nothing against.
    fn text(&self, key: Key, check: impl Fn(&str) -> Result<()>) -> Result<Option<String>> {
        let Some(text) = self.conf.text(key) else { return Ok(None) };
        check(text).map_err(|failure| self.conf.mistake(key, failure))?;
        Ok(Some(text.to_owned()))
    }

    /// A list of such texts.
    fn list(&self, key: Key, check: impl Fn(&str) -> Result<()>) -> Result<Vec<String>> {
        let list = self.conf.list(key).unwrap_or_default();
        let checked = list.iter().try_for_each(|text| check(text));
        checked.map_err(|failure| self.conf.mistake(key, failure))?;
        Ok(list.to_vec())
    }

    fn program(&mut self) -> Result<()> {
        self.arguments.defaults.env = self.list(Key::ENV, check_variable)?;
        let annotations = self.list(Key::ANNOTATIONS, check_pair)?;
        self.arguments.annotation.splice(0..0, annotations);
        let conf = self.conf;
        self.arguments.init = self.arguments.init.or(conf.flag(Key::INIT));
        self.arguments.defaults.stop_timeout = conf.number(Key::STOP_TIMEOUT);
        let check = |keys: &str| Ok(engine::parse_keys(keys).map(drop)?);
        self.arguments.defaults.detach_keys = self.text(Key::DETACH_KEYS, check)?;
        let tz = self.text(Key::TZ, |zone| beyond::time_zone(zone).map(drop))?;
        let umask = self.text(Key::UMASK, |text| beyond::umask(text).map(drop))?;
        let given = &mut self.arguments.beyond;
        given.tz = given.tz.take().or(tz);
        given.umask = given.umask.take().or(umask);
        given.env_host = given.env_host.or(conf.flag(Key::ENV_HOST));
        // podman passes them on, docker does not.
        let passes = conf.flag(Key::HTTP_PROXY).or(Called::is_podman().then_some(true));
        given.http_proxy = given.http_proxy.or(passes);
        self.log()
    }

    fn log(&mut self) -> Result<()> {
        let given = &mut *self.arguments;
        if given.log_driver.is_none() {
            given.log_driver = self.conf.text(Key::LOG_DRIVER).map(str::to_owned);
        }
        let driver = given.log_driver.clone().unwrap_or_default();
        let is_file = !matches!(driver.as_str(), "journald" | "none" | "passthrough");
        let has = |name: &str| given.log_opt.iter().any(|text| parse::pair(text).0 == name);
        let mut options = Vec::new();
        // As podman: nothing and less is no limit.
        let size = self.conf.number(Key::LOG_SIZE_MAX).filter(|size| *size > 0);
        if let Some(size) = size.filter(|_| is_file && !has("max-size")) {
            options.push((Key::LOG_SIZE_MAX, format!("max-size={size}")));
        }
        if let Some(tag) = self.conf.text(Key::LOG_TAG).filter(|_| driver != "none" && !has("tag"))
        {
            options.push((Key::LOG_TAG, format!("tag={tag}")));
        }
        let check = |option: Option<&str>| {
            let mut log = LogConfig { driver: driver.clone(), ..LogConfig::default() };
            option.into_iter().map(parse::pair).for_each(|(name, value)| {
                log.options.insert(name, value);
            });
            engine::log::check(&log).map_err(Failure::from)
        };
        if self.conf.text(Key::LOG_DRIVER) == given.log_driver.as_deref() {
            check(None).map_err(|failure| self.conf.mistake(Key::LOG_DRIVER, failure))?;
        }
        for (key, option) in &options {
            check(Some(option)).map_err(|failure| self.conf.mistake(*key, failure))?;
        }
        given.log_opt.splice(0..0, options.into_iter().map(|(_, option)| option));
        Ok(())
    }

    fn files(&mut self) -> Result<()> {
        self.arguments.defaults.volumes =
            self.list(Key::VOLUMES, |text| mounts::volume(text).map(drop))?;
        self.arguments.defaults.mounts =
            self.list(Key::MOUNTS, |text| mounts::mount(text).map(drop))?;
        let given = &mut *self.arguments;
        if given.read_only.is_none() && self.conf.flag(Key::READ_ONLY) == Some(true) {
            given.read_only = Some(true);
            // The file is podman's, and that is what it means there.
            given.beyond.read_only_tmpfs = given.beyond.read_only_tmpfs.or(Some(true));
        }
        if self.arguments.shm_size.is_none() {
            self.arguments.shm_size =
                self.text(Key::SHM_SIZE, |text| parse::size(text).map(drop))?;
        }
        Ok(())
    }

    fn network(&mut self) -> Result<()> {
        let no_dns = [&self.arguments.dns, &self.arguments.dns_search, &self.arguments.dns_option]
            .map(Vec::is_empty);
        if no_dns[0] {
            self.arguments.dns = self.list(Key::DNS_SERVERS, networks::check_server)?;
        }
        if no_dns[1] {
            self.arguments.dns_search = self.list(Key::DNS_SEARCHES, |_| Ok(()))?;
        }
        if no_dns[2] {
            self.arguments.dns_option = self.list(Key::DNS_OPTIONS, |_| Ok(()))?;
        }
        let usual = |text: &str| USUAL_NETWORKS.contains(&text);
        let mut network = self.text(Key::NETNS, check_network)?.filter(|text| !usual(text));
        if network.is_none() {
            let named = self.text(Key::DEFAULT_NETWORK, |_| Ok(()))?;
            // An ordinary user has no network of that name usually.
            network = named.filter(|name| !usual(name) && sys::ids::is_administrator());
        }
        self.arguments.defaults.network = network;
        self.arguments.defaults.pasta = self.list(Key::PASTA_OPTIONS, |_| Ok(()))?;
        self.arguments.defaults.host_address =
            self.text(Key::HOST_CONTAINERS_INTERNAL_IP, |text| match text {
                "none" => Ok(()),
                text => networks::check_server(text),
            })?;
        let file = self.text(Key::BASE_HOSTS_FILE, beyond::check_hosts_file)?;
        // Lines that somebody asks for have to go somewhere.
        let no_hosts = self.conf.flag(Key::NO_HOSTS).filter(|_| self.arguments.add_host.is_empty());
        let given = &mut self.arguments.beyond;
        given.hosts_file = given.hosts_file.take().or(file);
        given.no_hosts = given.no_hosts.or(no_hosts);
        Ok(())
    }

    fn limits(&mut self) -> Result<()> {
        let score = self.conf.number(Key::OOM_SCORE_ADJ);
        if score.is_some_and(|score| !(-1000..=1000).contains(&score)) {
            let what = Failure::new("it is a number from -1000 to 1000");
            return Err(self.conf.mistake(Key::OOM_SCORE_ADJ, what));
        }
        let limits = self.list(Key::DEFAULT_ULIMITS, |text| config::ulimit(text).map(drop))?;
        let given = &mut self.arguments.limits;
        given.oom_score_adj = given.oom_score_adj.or(score);
        // Without the right to set one, a file of the machine's is no reason not to start.
        let can_limit = sys::ids::is_administrator();
        let pids = self.conf.number(Key::PIDS_LIMIT).filter(|_| can_limit);
        given.pids_limit = given.pids_limit.or(pids);
        add_unless_named(&mut given.ulimit, limits);
        Ok(())
    }

    fn security(&mut self) -> Result<()> {
        let capabilities =
            self.list(Key::DEFAULT_CAPABILITIES, |name| Ok(engine::check_capability(name)?))?;
        let devices = self.list(Key::DEVICES, devices::check)?;
        let sysctls = self.sysctls()?;
        let profile = self.text(Key::SECCOMP_PROFILE, |_| Ok(()))?;
        let modes = [
            (Key::IPCNS, "--ipc"),
            (Key::PIDNS, "--pid"),
            (Key::UTSNS, "--uts"),
            (Key::CGROUPNS, "--cgroupns"),
        ];
        let mut chosen = Vec::new();
        for (key, option) in modes {
            let check = |text: &str| config::namespace(option, text).map(drop);
            chosen.push(self.text(key, check)?);
        }
        let userns = self.text(Key::USERNS, |_| Ok(()))?;
        let given = &mut self.arguments.security;
        given.privileged = given.privileged.or(self.conf.flag(Key::PRIVILEGED));
        let is_open = given.privileged == Some(true);
        if self.conf.list(Key::DEFAULT_CAPABILITIES).is_some() && given.security.is_none() {
            self.arguments.defaults.capabilities = Some(capabilities);
        }
        given.device.splice(0..0, devices);
        add_unless_named(&mut given.sysctl, sysctls);
        let says = |name: &str| given.security_opt.iter().any(|option| option.starts_with(name));
        let (says_label, says_seccomp) = (says("label"), says("seccomp"));
        if self.conf.flag(Key::LABEL) == Some(false) && !says_label {
            given.security_opt.push("label=disable".into());
        }
        if let Some(path) = profile.filter(|_| !is_open && !says_seccomp) {
            config::seccomp(&path)
                .map_err(|failure| self.conf.mistake(Key::SECCOMP_PROFILE, failure))?;
            given.security_opt.push(format!("seccomp={path}"));
        }
        let places = [&mut given.ipc, &mut given.pid, &mut given.uts, &mut given.cgroupns];
        for (place, mode) in places.into_iter().zip(chosen) {
            *place = place.take().or(mode);
        }
        let maps_users = !given.uidmap.is_empty()
            || !given.gidmap.is_empty()
            || given.subuidname.is_some()
            || given.subgidname.is_some();
        if !maps_users && given.userns.is_none() {
            given.userns = userns.filter(|mode| mode != "private");
        }
        Ok(())
    }

    /// Settings of the kernel, but for those of namespaces that the container has not for itself.
    fn sysctls(&self) -> Result<Vec<String>> {
        let list = self.list(Key::DEFAULT_SYSCTLS, check_pair)?;
        let given = &self.arguments;
        let network = given.network.first().or(given.defaults.network.as_ref());
        let is_foreign = |mode: Option<&str>| {
            mode.is_some_and(|mode| {
                mode == "host" || mode.starts_with("container:") || mode.starts_with("ns:")
            })
        };
        let conf = |given: &Option<String>, key| {
            is_foreign(given.as_deref().or_else(|| self.conf.text(key)))
        };
        let network = is_foreign(network.map(String::as_str));
        let ipc = conf(&given.security.ipc, Key::IPCNS);
        let uts = conf(&given.security.uts, Key::UTSNS);
        let is_there = |text: &String| match text.trim_start() {
            name if name.starts_with("net.") => !network,
            name if name.starts_with("kernel.domainname") => !uts,
            name if name.starts_with("kernel.") || name.starts_with("fs.mqueue.") => !ipc,
            _ => true,
        };
        Ok(list.into_iter().filter(is_there).collect())
    }

    fn image(&mut self) -> Result<()> {
        if self.arguments.pull.is_none()
            && let Some(text) = self.conf.text(Key::PULL_POLICY)
        {
            let policy = crate::image::pull::Policy::from_str(text, true).map_err(|_| {
                let what = format!("{text:?} is none of always, missing, never and newer");
                self.conf.mistake(Key::PULL_POLICY, Failure::new(what))
            })?;
            self.arguments.pull = Some(policy);
        }
        let given = &mut self.arguments.beyond;
        if given.image_volume.is_none()
            && let Some(text) = self.conf.text(Key::IMAGE_VOLUME_MODE)
        {
            let mode = ImageVolume::from_str(text, true).map_err(|_| {
                let what = format!("{text:?} is none of bind, anonymous, tmpfs and ignore");
                self.conf.mistake(Key::IMAGE_VOLUME_MODE, Failure::new(what))
            })?;
            given.image_volume = Some(mode);
        }
        if let Some(mode) = self.conf.text(Key::CGROUPS).filter(|_| given.cgroups.is_none()) {
            beyond::check_cgroups(mode)
                .map_err(|failure| self.conf.mistake(Key::CGROUPS, failure))?;
        }
        Ok(())
    }
}

/// Puts what a name is said of by nobody before the rest.
fn add_unless_named(given: &mut Vec<String>, defaults: Vec<String>) {
    let name = |text: &str| parse::pair(text).0.trim().to_owned();
    let is_free = |text: &String| !given.iter().any(|given| name(given) == name(text));
    let free: Vec<String> = defaults.into_iter().filter(is_free).collect();
    given.splice(0..0, free);
}

fn check_pair(text: &str) -> Result<()> {
    match text.split_once('=') {
        Some((name, _)) if !name.trim().is_empty() => Ok(()),
        _ => Err(Failure::new(format!("{text:?}: write NAME=VALUE"))),
    }
}

fn check_variable(text: &str) -> Result<()> {
    match text.is_empty() || text.starts_with('=') {
        true => Err(Failure::new(format!("invalid environment variable: {text:?}"))),
        false => Ok(()),
    }
}

fn check_network(text: &str) -> Result<()> {
    match text {
        "slirp4netns" => Err(Failure::new("slirp4netns: it is not known here; pasta is")),
        _ => Ok(()),
    }
}
