//! Verbs, their options, and the help texts.

use crate::args::{Flag, Syntax};
use alloc::format;
use alloc::string::String;

pub const fn switch(name: &'static str, short: Option<char>, help: &'static str) -> Flag {
    Flag { name, short, value: None, help }
}

pub const fn option(
    name: &'static str,
    short: Option<char>,
    value: &'static str,
    help: &'static str,
) -> Flag {
    Flag { name, short, value: Some(value), help }
}

/// Options before the verb.
pub const GLOBAL: Syntax = Syntax {
    flags: &[
        switch("debug", None, "say more in the log"),
        option("log", None, "FILE", "write messages to FILE instead of standard error"),
        option("log-format", None, "FORMAT", "text or json"),
        option("log-level", None, "LEVEL", "debug, warning or error"),
        option(
            "root",
            Some('r'),
            "DIR",
            "state directory (default /run/tare, or $XDG_RUNTIME_DIR/tare)",
        ),
        switch(
            "systemd-cgroup",
            None,
            "let systemd make cgroups (cgroupsPath is slice:prefix:name)",
        ),
        option(
            "systemd-property",
            None,
            "NAME",
            "let annotations set this property of the scope, too (repeatable)",
        ),
        option("cgroup-manager", None, "NAME", "cgroupfs, systemd or disabled"),
        option(
            "rootless",
            None,
            "WORD",
            "true, false or auto: tolerate missing cgroup permissions",
        ),
        switch("daemonize", Some('d'), "run: return when the program runs (as run --detach)"),
        switch("help", Some('h'), "show help"),
        switch("version", Some('v'), "show the version"),
    ],
    operands_until_rest: Some(1),
};

/// Shared by several verbs.
pub const HELP: Flag = switch("help", Some('h'), "show help");
/// Shared by several verbs.
pub const BUNDLE: Flag =
    option("bundle", Some('b'), "DIR", "the bundle (default: current directory)");
/// Shared by several verbs.
pub const CONSOLE: Flag = option("console-socket", None, "SOCKET", "where to send the terminal");
/// Shared by several verbs.
pub const PID_FILE: Flag = option("pid-file", Some('p'), "FILE", "write the process id to FILE");
const CONFIG: Flag = option("config", Some('f'), "FILE", "configuration (default: config.json)");
/// Shared by several verbs.
pub const SUBREAPER: Flag =
    switch("no-subreaper", None, "accepted; this program never becomes a subreaper");
const REGEX: Flag = switch("regex", Some('r'), "ID is a pattern: every container that it names");
const PIDFD: Flag = option("pidfd-socket", None, "SOCKET", "where to send the process's pidfd");
const PRESERVE: Flag = option("preserve-fds", None, "N", "pass N descriptors besides 0, 1 and 2");
/// Shared by several verbs.
pub const NO_PIVOT: Flag = switch("no-pivot", None, "move the root instead of pivoting (ramfs)");
const KEYRING: Flag = switch("no-new-keyring", None, "keep the caller's session keyring");
const INIT: Flag = switch("init", None, "run the program under a reaping first process");
const NO_INIT: Flag = switch("no-init", Some('n'), "run it as the first process (the default)");

/// One verb.
pub struct Verb {
    /// Its name.
    pub name: &'static str,
    /// Its operands, for the help.
    pub operands: &'static str,
    /// What it does.
    pub help: &'static str,
    /// What it takes.
    pub syntax: Syntax,
}

const fn verb(
    name: &'static str,
    operands: &'static str,
    help: &'static str,
    flags: &'static [Flag],
) -> Verb {
    Verb { name, operands, help, syntax: Syntax { flags, operands_until_rest: None } }
}

impl Verb {
    /// How many operands there have to be at least.
    pub fn required(&self) -> usize {
        match self.name {
            // The program may be in the file that --process names.
            "exec" => 1,
            "mounts" => 3,
            _ => self.operands.split('[').next().unwrap_or("").split_ascii_whitespace().count(),
        }
    }
}

/// All verbs, in the order of the help.
pub const VERBS: &[Verb] = &[
    verb(
        "create",
        "CONTAINER",
        "make a container that waits for start",
        &[
            BUNDLE,
            CONFIG,
            CONSOLE,
            option("console", Some('c'), "DEVICE", "use this terminal of the host"),
            PID_FILE,
            PIDFD,
            PRESERVE,
            NO_PIVOT,
            KEYRING,
            INIT,
            NO_INIT,
            switch("no-trigger", Some('t'), "let start make the process, with its descriptors"),
            SUBREAPER,
            HELP,
        ],
    ),
    verb("start", "CONTAINER", "execute the program of a created container", &[HELP]),
    verb(
        "run",
        "CONTAINER",
        "create, start, wait, delete",
        &[
            BUNDLE,
            CONFIG,
            CONSOLE,
            PID_FILE,
            PIDFD,
            PRESERVE,
            NO_PIVOT,
            KEYRING,
            INIT,
            NO_INIT,
            switch("detach", Some('d'), "return when the program runs"),
            switch("keep", None, "do not delete the container at its end"),
            SUBREAPER,
            HELP,
        ],
    ),
    Verb {
        name: "exec",
        operands: "CONTAINER cmd [ARG...]",
        help: "execute one more process in a running container",
        syntax: Syntax { flags: EXEC_FLAGS, operands_until_rest: Some(1) },
    },
    verb(
        "kill",
        "CONTAINER [SIGNAL]",
        "send a signal (default TERM) to a container's first process",
        &[switch("all", Some('a'), "to every process of the container"), REGEX, HELP],
    ),
    verb(
        "delete",
        "CONTAINER",
        "remove a stopped container",
        &[switch("force", Some('f'), "kill it first; remove half-made ones too"), REGEX, HELP],
    ),
    verb("state", "CONTAINER", "print a container's state as JSON", &[HELP]),
    verb(
        "list",
        "",
        "list containers",
        &[
            option("format", Some('f'), "FORMAT", "table or json"),
            switch("quiet", Some('q'), "ids only"),
            HELP,
        ],
    ),
    Verb {
        name: "ps",
        operands: "CONTAINER [PS OPTION...]",
        help: "list the processes of a container",
        syntax: Syntax {
            flags: &[option("format", Some('f'), "FORMAT", "table or json"), HELP],
            operands_until_rest: Some(1),
        },
    },
    verb(
        "checkpoint",
        "CONTAINER",
        "write a running container to files (criu)",
        crate::criu::CHECKPOINT_FLAGS,
    ),
    verb("restore", "CONTAINER", "make a container from such files", crate::criu::RESTORE_FLAGS),
    verb("pause", "CONTAINER", "freeze a container", &[HELP]),
    verb("resume", "CONTAINER", "thaw a container", &[HELP]),
    verb("update", "CONTAINER", "change limits of a container", crate::update::FLAGS),
    verb(
        "events",
        "CONTAINER",
        "print statistics and out-of-memory events as JSON lines",
        &[
            option("interval", None, "TIME", "time between statistics (default 5s)"),
            switch("stats", None, "print statistics once"),
            HELP,
        ],
    ),
    verb(
        "mounts",
        "[add|remove] CONTAINER FILE",
        "change the mounts of a running container",
        &[HELP],
    ),
    verb(
        "spec",
        "",
        "write an example config.json",
        &[
            BUNDLE,
            option("file", Some('f'), "FILE", "write FILE instead of config.json"),
            switch("rootless", None, "for the caller's own user and group"),
            HELP,
        ],
    ),
    verb("features", "", "print what this runtime can do as JSON", &[HELP]),
];

const EXEC_FLAGS: &[Flag] = &[
    CONSOLE,
    // Without the short form, which is the process's here.
    Flag { short: None, ..PID_FILE },
    PIDFD,
    PRESERVE,
    option("cwd", None, "DIR", "working directory"),
    option("env", Some('e'), "NAME=VALUE", "environment variable (repeated)"),
    switch("tty", Some('t'), "give it a terminal"),
    option("user", Some('u'), "UID[:GID]", "user and group, as numbers"),
    option("additional-gids", Some('g'), "GID", "supplementary group (repeated)"),
    option("process", Some('p'), "FILE", "read the whole process from FILE"),
    switch("detach", Some('d'), "return when the program runs"),
    option("process-label", None, "LABEL", "SELinux label"),
    option("apparmor", None, "PROFILE", "AppArmor profile"),
    switch("no-new-privs", None, "set no_new_privs"),
    option("cap", Some('c'), "CAP", "additional capability (repeated)"),
    option(
        "cgroup",
        None,
        "PATH",
        "cgroup below the container's: [CONTROLLER[,...]:]PATH (repeated)",
    ),
    switch("ignore-paused", None, "go on although the container is frozen"),
    HELP,
];

fn flag_lines(flags: &[Flag]) -> String {
    flags
        .iter()
        .map(|flag| {
            let short = flag.short.map_or(String::from("   "), |short| format!("-{short},"));
            let long = match flag.value {
                Some(value) => format!("--{} {value}", flag.name),
                None => format!("--{}", flag.name),
            };
            format!("  {short} {long:<28} {}\n", flag.help)
        })
        .collect()
}

/// The help of the program.
pub fn global(name: &str) -> String {
    let verbs: String =
        VERBS.iter().map(|verb| format!("  {:<11} {}\n", verb.name, verb.help)).collect();
    let flags = flag_lines(GLOBAL.flags);
    format!(
        "NAME:\n   {name} - Open Container Initiative runtime for Linux\n\n\
         Usage: {name} [OPTION...] VERB [OPTION...] [CONTAINER] [ARG...]\n\n\
         Verbs:\n{verbs}\nOptions:\n{flags}\n\
         `{name} VERB --help` shows a verb's options.\n"
    )
}

/// The help of a verb.
pub fn of(verb: &Verb, name: &str) -> String {
    let flags = flag_lines(verb.syntax.flags);
    let Verb { name: own, operands, help, .. } = verb;
    format!(
        "NAME:\n   {name} {own} - {help}\n\nUsage: {name} [OPTION...] {own} {operands}\n\n\
         Options:\n{flags}"
    )
}
