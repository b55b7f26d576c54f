//! What `--help` does not say and a manual page has to.

/// The written parts of a page.
pub(super) struct Prose {
    /// Paragraphs.
    pub(super) description: &'static [&'static str],
    /// Statuses.
    pub(super) exit_status: &'static [(&'static str, &'static str)],
    /// Variables.
    pub(super) environment: &'static [(&'static str, &'static str)],
    /// Paths.
    pub(super) files: &'static [(&'static str, &'static str)],
    /// What for, and the commands.
    pub(super) examples: &'static [(&'static str, &'static str)],
    /// Other pages.
    pub(super) see_also: &'static str,
}

pub(super) const RUNTIME: Prose = Prose {
    description: &[
        "tare-runtime makes and handles containers as the OCI runtime specification 1.3 describes \
         them. It reads the file config.json of a bundle, makes the container, and goes away; \
         nothing stays resident. What is known of a container lies in a directory below the state \
         directory, which any number of processes share.",
        "The command line is that of runc: it can be put in its place in podman, docker, \
         containerd, buildah and CRI-O. Options of crun and railcar are taken too. Options may \
         stand before or behind the operands, with one dash or two, as --name VALUE or \
         --name=VALUE; behind the ID of exec and ps everything belongs to the program.",
        "Errors are one sentence on standard error that names the field, file or container, with a \
         hint where something can be done about it. With --log they go to that file as well, with \
         --log-format json as one JSON object a line.",
    ],
    exit_status: &[
        ("0", "Done. For run and exec: the program ended with status 0, or runs (--detach)."),
        ("1", "The verb failed. For exec this is 255."),
        ("N", "run and exec in the foreground: the program ended with status N."),
        ("128+N", "run and exec in the foreground: the program was ended by signal N."),
        ("134", "An internal error; nothing is known of the verb's effect."),
    ],
    environment: &[
        (
            "XDG_RUNTIME_DIR",
            "Where the state directory of a rootless caller is, and of root where it is set in a user namespace.",
        ),
        (
            "LISTEN_FDS, LISTEN_PID",
            "Descriptors of socket activation are handed on to the program.",
        ),
        (
            "NOTIFY_SOCKET",
            "Whom create, run and start tell that a container's program is ready, which tells it to a socket of its own.",
        ),
        (
            "DBUS_SYSTEM_BUS_ADDRESS, DBUS_SESSION_BUS_ADDRESS",
            "Where systemd is asked to make cgroups, of root and of others.",
        ),
    ],
    files: &[
        (
            "config.json",
            "In the bundle: the configuration. At most 16 MiB with 262,144 members and elements.",
        ),
        (
            "/run/tare/ID/state.json",
            "The record of container ID. Other programs should use the verb state.",
        ),
        ("/run/tare/ID/exec.fifo", "A created container waits here for start."),
        ("/run/tare/ID/seccomp", "The compiled system call filter, for exec."),
        ("/run/tare/ID/notify", "Mounted into the container for NOTIFY_SOCKET, with its socket."),
    ],
    examples: &[
        (
            "Run a shell of a root file system that was unpacked into rootfs:",
            "mkdir -p bundle/rootfs; cd bundle\ntare-runtime spec\ntare-runtime run web",
        ),
        (
            "Make a container, look at it, start it, and remove it:",
            "tare-runtime create --bundle bundle web\ntare-runtime state web\ntare-runtime start web\ntare-runtime delete --force web",
        ),
        (
            "Use it with podman:",
            "podman --runtime /usr/bin/tare-runtime run docker.io/library/alpine true",
        ),
    ],
    see_also: "tare(1), namespaces(7), cgroups(7), seccomp(2), capabilities(7)",
};

pub(super) const TARE: Prose = Prose {
    description: &[
        "tare runs containers without a daemon. Each verb works in a process of its own and keeps \
         what it has to on disk.",
        "A program of this machine is an image by itself: host:PROGRAM is the program with exactly \
         the files that it needs. Neither a registry, a network nor root is needed to run it.",
    ],
    exit_status: &[
        ("0", "Done."),
        ("125", "tare itself failed, or the command line was wrong."),
        ("126", "The program cannot be executed."),
        ("127", "The program was not found."),
        ("N", "The program ended with status N; 128+N: by signal N."),
    ],
    environment: &[
        ("XDG_RUNTIME_DIR", "Where an ordinary user's containers are kept while they run."),
        (
            "TARE_HTTP2",
            "With 0, registries are spoken to by HTTP 1.1 only, for networks that break HTTP 2. \
             Otherwise those with TLS may choose.",
        ),
    ],
    files: &[],
    examples: &[(
        "Say hello from a container:",
        "tare run host:/bin/sh -c 'echo hello from pid $$'",
    )],
    see_also: "tare-run(1), tare-runtime(8)",
};

pub(super) const RUN: Prose = Prose {
    description: &[],
    exit_status: TARE.exit_status,
    environment: TARE.environment,
    files: TARE.files,
    examples: &[
        (
            "A shell with two more programs of the host:",
            "tare run -it --with ls --with cat host:/bin/sh",
        ),
        (
            "A script with its interpreter, limited, with a directory of the host read-only:",
            "tare run -m 256m --cpus 0.5 -v /srv/data:/data:ro host:./report.py /data",
        ),
    ],
    see_also: "tare(1), tare-runtime(8)",
};
