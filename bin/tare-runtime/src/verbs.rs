//! The verbs.

use crate::args::{Args, Environment, Syntax, distance};
use crate::log::{Log, print, print_line};
use crate::usage::{self, VERBS, Verb};
use crate::{criu, exec, output, update};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use runtime::config::ContainerId;
use runtime::error::{Error, Kind};
use runtime::pattern::Pattern;
use runtime::verbs::Happened;
use runtime::{Console, Executed, Host, Options, Trace, verbs};
use sys::{CWD, fs, ids};

/// Everything that a verb is run with.
struct Call<'a> {
    host: Host,
    log: &'a Log,
    env: &'a Environment<'a>,
    args: Args,
    /// The program's own arguments and environment, to be started with again.
    raw: &'a rt::Arguments,
    /// railcar's word for detaching, which stands before the verb.
    daemonize: bool,
    /// Whether the state directory was named: then it has to be there.
    root_given: bool,
}

/// Runs the verb that the command line names; returns the exit code.
pub fn dispatch(global: Args, env: &Environment<'_>, raw: &rt::Arguments) -> i32 {
    let debug = global.has("debug") || global.get("log-level") == Some("debug");
    let log = match Log::open(env.name, global.get("log"), global.get("log-format"), debug) {
        Ok(log) => Rc::new(log),
        Err(error) => return Log::new(env.name).fail(&error, 1),
    };
    match run(&global, env, raw, &log) {
        Ok(code) => code,
        Err((error, code)) => log.fail(&named(error, &global, env.name), code),
    }
}

/// In runc's words, which scripts and engines look for, where the container's own process failed.
fn named(error: Error, global: &Args, program: &str) -> Error {
    match global.operands.first().map(String::as_str) {
        Some(verb @ ("create" | "run" | "start")) if error.is_from_container() => error
            .context(format!(
                "{program} {verb} failed: unable to start container process: error during container init"
            )),
        _ => error,
    }
}

fn run(
    global: &Args,
    env: &Environment<'_>,
    raw: &rt::Arguments,
    log: &Rc<Log>,
) -> Result<i32, (Error, i32)> {
    let fail = |error| (error, 1);
    if global.has("version") {
        return print(&version(env.name)).map(|()| 0).map_err(fail);
    }
    let Some(name) = global.operands.first() else {
        return print(&usage::global(env.name)).map(|()| 0).map_err(fail);
    };
    if global.has("help") || name == "help" {
        return print(&usage::global(env.name)).map(|()| 0).map_err(fail);
    }
    let help = global.operands[1..].iter().any(|word| word == "-h" || word == "--help");
    let verb = find(name, help, env.name).map_err(fail)?;
    if matches!(verb.name, "create" | "run" | "exec" | "mounts") {
        runtime::seal::ensure(&raw.args, &raw.env).map_err(fail)?;
    }
    let Syntax { flags, operands_until_rest } = verb.syntax;
    let args =
        Args::parse(&global.operands, &Syntax { flags, operands_until_rest }).map_err(fail)?;
    if args.has("help") {
        return print(&usage::of(verb, env.name)).map(|()| 0).map_err(fail);
    }
    let mut host = host(global, env).map_err(fail)?;
    if log.debugs() {
        let log = Rc::clone(log);
        host.trace = Trace::to(move |message| log.debug(message));
    }
    log.debug(&format!("{} below {}", verb.name, host.root));
    let call = Call {
        host,
        log,
        env,
        args,
        raw,
        daemonize: global.has("daemonize"),
        root_given: global.get("root").is_some_and(|root| !root.is_empty()),
    };
    let own_failure = if verb.name == "exec" { 255 } else { 1 };
    call.run(verb).map_err(|error| (error, own_failure))
}

/// Which source this is: packagers set `TARE_COMMIT` when they build; else the release says it.
const COMMIT: &str = match option_env!("TARE_COMMIT") {
    Some(commit) => commit,
    None => concat!("v", env!("CARGO_PKG_VERSION")),
};

/// What crun calls its features: scripts ask for them by name.
const FEATURES: &str = "+SYSTEMD +SELINUX +APPARMOR +CAP +SECCOMP +EBPF +CRIU";

/// The lines that engines read.
fn version(name: &str) -> String {
    let (version, specification) = (env!("CARGO_PKG_VERSION"), oci::runtime::VERSION);
    format!("{name} version {version}\ncommit: {COMMIT}\nspec: {specification}\n{FEATURES}\n")
}

fn find(name: &str, help: bool, program: &str) -> Result<&'static Verb, Error> {
    VERBS.iter().find(|verb| verb.name == name).ok_or_else(|| {
        let error = match help {
            true => Error::invalid(format!("No help topic for '{name}'")),
            false => Error::invalid(format!("no such verb: {name:?}")),
        };
        match VERBS.iter().find(|verb| distance(verb.name, name) <= 2) {
            Some(verb) => error.with_hint(format!("did you mean {}?", verb.name)),
            None => error.with_hint(format!("`{program} --help` lists the verbs")),
        }
    })
}

fn host(global: &Args, env: &Environment<'_>) -> Result<Host, Error> {
    let root_user = ids::euid() == 0;
    let rootless = match global.get("rootless") {
        None | Some("auto") => in_user_namespace() || !ids::is_administrator(),
        Some("true") => true,
        Some("false") => false,
        Some(other) => {
            let what = format!("--rootless: {other:?} is not true, false or auto");
            return Err(Error::invalid(what));
        }
    };
    let root = match (global.get("root"), env.get("XDG_RUNTIME_DIR")) {
        (Some(root), _) if !root.is_empty() => root.to_string(),
        (_, Some(dir)) if rootless => format!("{dir}/tare"),
        (_, None) if !root_user => {
            return Err(Error::invalid("XDG_RUNTIME_DIR is not set")
                .with_hint("set it, or name a state directory with --root"));
        }
        _ => "/run/tare".to_string(),
    };
    let manager = global.get("cgroup-manager");
    let systemd_cgroup = match manager {
        Some("systemd") => true,
        Some("cgroupfs" | "disabled") | None => global.has("systemd-cgroup"),
        Some(other) => {
            let what = format!("--cgroup-manager: {other:?} is not cgroupfs, systemd or disabled");
            return Err(Error::invalid(what));
        }
    };
    let bus = if rootless { "DBUS_SESSION_BUS_ADDRESS" } else { "DBUS_SYSTEM_BUS_ADDRESS" };
    let bus_address = env.get(bus).map(ToString::to_string);
    let no_cgroup = manager == Some("disabled");
    Ok(Host {
        root,
        systemd_cgroup,
        systemd_properties: global.all("systemd-property").map(ToString::to_string).collect(),
        no_cgroup,
        rootless,
        bus_address,
        notify_socket: env.get("NOTIFY_SOCKET").map(ToString::to_string),
        trace: Trace::default(),
    })
}

/// Whether "root" is only root of a user namespace: the initial one maps everything.
fn in_user_namespace() -> bool {
    let text = fs::read_file(CWD, "/proc/self/uid_map", 65536).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut fields = text.split_ascii_whitespace();
    !matches!(
        (fields.next(), fields.next(), fields.next()),
        (Some("0"), Some("0"), Some("4294967295")) | (None, _, _)
    )
}

/// Descriptors passed by socket activation.
pub fn listen_fds(env: &Environment<'_>) -> u32 {
    let own = env.get("LISTEN_PID").is_none_or(|pid| pid.parse() == Ok(sys::process::id()));
    env.get("LISTEN_FDS").filter(|_| own).and_then(|text| text.parse().ok()).unwrap_or(0)
}

impl Call<'_> {
    fn run(&self, verb: &Verb) -> Result<i32, Error> {
        let expected = verb.required();
        if self.args.operands.len() < expected {
            let what = format!("{} needs {}", verb.name, verb.operands);
            return Err(Error::invalid(what)
                .with_hint(format!("`{} {} --help` shows how", self.env.name, verb.name)));
        }
        let most = match verb.name {
            "kill" => 2,
            "exec" | "ps" => usize::MAX,
            _ => expected,
        };
        if self.args.operands.len() > most {
            let extra = &self.args.operands[most];
            return Err(Error::invalid(format!("{}: unexpected argument {extra:?}", verb.name)));
        }
        match verb.name {
            "create" => self.create(),
            "run" => self.run_container(),
            "exec" => self.exec(),
            "start" => self.start(),
            "kill" => self.kill(),
            "delete" => self.delete(),
            "state" => self.state(),
            "list" => {
                if self.root_given && !fs::exists(CWD, &self.host.root) {
                    let failed =
                        Error::os(format!("--root: {}", self.host.root), sys::Errno::ENOENT);
                    return Err(failed);
                }
                let listed = verbs::list(&self.host)?;
                let format = self.args.get("format").unwrap_or("table");
                output::list(&listed, format, self.args.has("quiet")).map(|()| 0)
            }
            "ps" => {
                let pids = verbs::processes(&self.host, &self.id()?)?;
                let format = self.args.get("format").unwrap_or("table");
                output::processes(&pids, format, &self.args.operands[1..]).map(|()| 0)
            }
            "pause" => verbs::pause(&self.host, &self.id()?).map(|()| 0),
            "resume" => verbs::resume(&self.host, &self.id()?).map(|()| 0),
            "update" => {
                let change = update::resources(&self.args)?;
                let schemata = update::schemata(&self.args);
                self.warn(&verbs::update(&self.host, &self.id()?, &change, &schemata)?);
                Ok(0)
            }
            "events" => self.events(),
            "mounts" => self.mounts(),
            "checkpoint" => self.checkpoint(),
            "restore" => self.restore(),
            "spec" => self.spec(),
            _ => print_line(oci::json::write_pretty(&verbs::features())).map(|()| 0),
        }
    }

    fn id(&self) -> Result<ContainerId, Error> {
        ContainerId::parse(&self.args.operands[0])
    }

    fn warn(&self, warnings: &[String]) {
        warnings.iter().for_each(|warning| self.log.warn(warning));
    }

    /// Nothing is open yet but what the caller left open.
    fn close_others(&self) -> Result<(), Error> {
        let preserved = self.args.number::<u32>("preserve-fds")?.unwrap_or(0);
        let kept = preserved.saturating_add(listen_fds(self.env)).saturating_add(3);
        self.log.close_others(kept);
        Ok(())
    }

    fn options(&self) -> Result<Options, Error> {
        self.close_others()?;
        Ok(Options {
            bundle: self.args.get("bundle").unwrap_or(".").to_string(),
            spec: None,
            config: self.args.get("config").map(ToString::to_string),
            console: match (self.args.get("console-socket"), self.args.get("console")) {
                (Some(path), _) => Console::Socket(path.to_string()),
                (None, Some(path)) => Console::Device(path.to_string()),
                (None, None) => Console::Inherit,
            },
            pid_file: self.args.get("pid-file").map(ToString::to_string),
            pidfd_socket: self.args.get("pidfd-socket").map(ToString::to_string),
            preserve_fds: self.args.number("preserve-fds")?.unwrap_or(0),
            listen_fds: listen_fds(self.env),
            no_pivot: self.args.has("no-pivot"),
            no_new_keyring: self.args.has("no-new-keyring"),
            init: self.args.has("init") && !self.args.has("no-init"),
            started_late: self.args.has("no-trigger"),
            delegate: false,
            detach: self.args.has("detach") || self.daemonize,
            keep: self.args.has("keep"),
        })
    }

    fn create(&self) -> Result<i32, Error> {
        let mut warnings = Vec::new();
        let made = runtime::create(&self.host, &self.id()?, self.options()?, &mut warnings);
        self.warn(&warnings);
        made.map(|_| 0)
    }

    fn run_container(&self) -> Result<i32, Error> {
        let mut warnings = Vec::new();
        let exit = runtime::run(&self.host, &self.id()?, self.options()?, &mut warnings);
        self.warn(&warnings);
        match exit {
            Err(error) if error.is_program() => Ok(self.log.program_failed(&error, 255)),
            exit => exit.map(sys::wait::Exit::shell_code),
        }
    }

    fn exec(&self) -> Result<i32, Error> {
        let id = self.id()?;
        let (_, record, _) = verbs::look_up(&self.host, &id)?;
        // The process may come from a descriptor of the caller's (`--process <(...)`).
        let options = exec::options(&self.args, self.env, &record)?;
        if let Some(affinity) = exec::initial_affinity(&options.process) {
            self.log.debug(&affinity);
        }
        self.close_others()?;
        let mut warnings = Vec::new();
        let executed = runtime::exec(&self.host, &id, options, &mut warnings);
        self.warn(&warnings);
        executed.map(|executed| match executed {
            Executed::Running(_) => 0,
            Executed::Ended(exit) => exit.shell_code(),
        })
    }

    fn start(&self) -> Result<i32, Error> {
        let id = self.id()?;
        if verbs::look_up(&self.host, &id)?.1.started_late {
            // This program enters the container, as exec does.
            runtime::seal::ensure(&self.raw.args, &self.raw.env)?;
        }
        verbs::start(&self.host, &id).map(|()| 0)
    }

    /// Does it to one container, or with `--regex` to every one that the pattern names: each is
    /// tried, each failure told.
    fn each(&self, act: &dyn Fn(&ContainerId) -> Result<(), Error>) -> Result<i32, Error> {
        if !self.args.has("regex") {
            return act(&self.id()?).map(|()| 0);
        }
        let pattern = Pattern::parse(&self.args.operands[0])?;
        let mut code = 0;
        for listed in verbs::list(&self.host)? {
            if pattern.matches(listed.id.as_str())
                && let Err(error) = act(&listed.id)
            {
                code = self.log.fail(&error, 1);
            }
        }
        Ok(code)
    }

    fn kill(&self) -> Result<i32, Error> {
        let name = self.args.operands.get(1).map_or("TERM", String::as_str);
        // 0 reaches nobody and tells whether the container runs, as with kill(1).
        let signal = match name {
            "0" => 0,
            name => sys::signal::parse(name)
                .ok_or_else(|| Error::invalid(format!("unknown signal {name:?}")))?,
        };
        self.each(&|id| verbs::kill(&self.host, id, signal, self.args.has("all")))
    }

    fn delete(&self) -> Result<i32, Error> {
        self.each(&|id| {
            let mut warnings = Vec::new();
            let deleted = verbs::delete(&self.host, id, self.args.has("force"), &mut warnings);
            self.warn(&warnings);
            deleted
        })
    }

    fn state(&self) -> Result<i32, Error> {
        let (_, record, status) = verbs::look_up(&self.host, &self.id()?)?;
        print_line(oci::json::write_pretty(&output::state(&record, status))).map(|()| 0)
    }

    fn events(&self) -> Result<i32, Error> {
        let text = self.args.get("interval").unwrap_or("5s");
        let interval_ms = duration_ms(text).ok_or_else(|| {
            Error::invalid(format!("invalid value {text:?} for --interval: it is not a time"))
        })?;
        let id = self.id()?;
        let mut events = verbs::Events::watch(&self.host, &id)?;
        let print = |kind, data| {
            let event = runtime::cgroup::Event { kind, id: id.as_str(), data };
            print_line(oci::json::write(&event))
        };
        let mut due = sys::time::monotonic_ms();
        loop {
            let now = sys::time::monotonic_ms();
            let left = due.saturating_sub(now);
            if left == 0 {
                let Some(stats) = events.stats()? else { return Ok(0) };
                print("stats", Some(stats))?;
                due = now + interval_ms;
                if self.args.has("stats") {
                    return Ok(0);
                }
            }
            match events.next(left)? {
                Happened::Oom => print("oom", None)?,
                Happened::Ended => return Ok(0),
                Happened::Nothing => {}
            }
        }
    }

    fn checkpoint(&self) -> Result<i32, Error> {
        let options = criu::options(&self.args, self.env, self.raw)?;
        let mut warnings = Vec::new();
        let done = runtime::criu::checkpoint(&self.host, &self.id()?, &options, &mut warnings);
        self.warn(&warnings);
        done.map(|()| 0)
    }

    fn restore(&self) -> Result<i32, Error> {
        let options = criu::options(&self.args, self.env, self.raw)?;
        let (id, container) = (self.id()?, self.options()?);
        let mut warnings = Vec::new();
        let exit = runtime::criu::restore(&self.host, &id, container, &options, &mut warnings);
        self.warn(&warnings);
        exit.map(sys::wait::Exit::shell_code)
    }

    fn mounts(&self) -> Result<i32, Error> {
        let [word, id, file] = self.args.operands.as_slice() else { return Ok(1) };
        let (id, mounts) = (ContainerId::parse(id)?, runtime::config::load_mounts(file)?);
        match word.as_str() {
            "add" => verbs::add_mounts(&self.host, &id, &mounts),
            "remove" => verbs::remove_mounts(&self.host, &id, &mounts),
            word => Err(Error::invalid(format!("mounts: {word:?} is not add or remove"))),
        }
        .map(|()| 0)
    }

    fn spec(&self) -> Result<i32, Error> {
        let bundle = self.args.get("bundle").unwrap_or(".");
        let name = self.args.get("file").unwrap_or("config.json");
        let failed = |errno| Error::os(format!("writing {bundle}/{name}"), errno);
        let dir = fs::open_at(CWD, bundle, fs::O_PATH | fs::O_DIRECTORY, 0).map_err(failed)?;
        let flags = fs::O_WRONLY | fs::O_CREAT | fs::O_EXCL;
        let file = fs::open_at(&dir, name, flags, 0o666).map_err(|errno| match errno {
            sys::Errno::EEXIST => {
                Error::new(Kind::Exists, format!("file {name} exists. Remove it first"))
            }
            errno => failed(errno),
        })?;
        let rootless = self.args.has("rootless").then(|| (ids::euid(), ids::egid()));
        let layout = runtime::cgroup::Layout::detect()?;
        let unified = layout.version == runtime::cgroup::Version::V2;
        let text = oci::json::write_pretty(&verbs::spec(rootless, unified));
        fs::write_all(&file, text.as_bytes()).map(|()| 0).map_err(failed)
    }
}

/// A time as Go writes it: `5s`, `500ms`, `1m`; a plain number counts seconds.
fn duration_ms(text: &str) -> Option<u64> {
    let (digits, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let number: u64 = digits.parse().ok()?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(factor).filter(|&ms| ms > 0)
}
