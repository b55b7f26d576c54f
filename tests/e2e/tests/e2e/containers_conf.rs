//! `containers.conf`: what containers have of which nobody says anything else.

use super::images_scratch::Scratch;
use super::running::box_with;
use e2e::{stderr, stdout};
use std::os::unix::process::CommandExt;

/// An image with a shell, whose containers go with the store.
struct Box(Scratch);

impl Box {
    fn new(test: &str) -> Option<Self> {
        box_with(test, &["CMD [\"sh\"]", "ENV OWN=image", "VOLUME /data"]).map(Self)
    }

    /// Writes a file; its path.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.path(name);
        let parent = std::path::Path::new(&path).parent().unwrap();
        std::fs::create_dir_all(parent).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs the program with variables of its own, by podman's name or its own: code, and what it says.
    fn by(&self, name: &str, env: &[(&str, &str)], args: &[&str]) -> (i32, String, String) {
        let mut command = self.0.command(args);
        command.arg0(name).envs(env.iter().copied());
        let output = command.output().expect("running the program");
        let code = output.status.code().unwrap_or(-1);
        (code, stdout(&output).trim_end().to_owned(), stderr(&output).trim_end().to_owned())
    }

    /// What a command prints, which succeeds.
    fn said(&self, env: &[(&str, &str)], args: &[&str]) -> String {
        let (code, out, text) = self.by("tare", env, args);
        assert_eq!(code, 0, "{args:?}: {text}");
        out
    }

    /// The same of a container with a script.
    fn sh(&self, env: &[(&str, &str)], options: &[&str], script: &str) -> String {
        let mut args = vec!["run", "--rm"];
        args.extend(options);
        args.extend(["box:1", "/bin/busybox", "sh", "-c", script]);
        self.said(env, &args)
    }
}

impl Drop for Box {
    fn drop(&mut self) {
        e2e::clean_up(self.0.command(&["rm", "-af"]));
    }
}

const FACTS: &str = "echo $A; ulimit -n; ulimit -Hn; umask
    cat /proc/sys/net/ipv4/ping_group_range /proc/sys/kernel/msgmax /proc/self/oom_score_adj
    grep CapBnd /proc/self/status; cat /vol/file; /bin/busybox touch /vol/x /mem/x 2>&1; cat /etc/resolv.conf
    /bin/busybox cat /proc/1/cmdline | /bin/busybox tr '\\0' '\\n' | head -n1; /bin/busybox grep -o size=.* /dev/null
    /bin/busybox df -k /dev/shm | /bin/busybox tail -n1 | /bin/busybox awk '{print $2}'";

#[test]
fn containers_have_what_the_file_says_unless_an_option_says_otherwise() {
    let test = "containers_have_what_the_file_says_unless_an_option_says_otherwise";
    let Some(made) = Box::new(test) else { return };
    made.file("vol/file", "shown\n");
    let conf = made.file(
        "c.conf",
        &format!(
            "[containers]\nenv = ['A=conf', 'OWN=conf']\ndefault_ulimits = ['nofile=500:600', 'core=0:0']\n\
             default_sysctls = ['net.ipv4.ping_group_range=0 7', 'kernel.msgmax=9000']\n\
             dns_servers = ['192.0.2.4']\ndns_searches = ['example.com']\ndns_options = ['ndots:3']\numask = '0027'\n\
             oom_score_adj = 777\npids_limit = 99\nshm_size = '3m'\ndefault_capabilities = ['CHOWN', 'NET_RAW']\n\
             annotations = ['a=b', 'c=d']\nvolumes = ['{}:/vol:ro']\nmounts = ['type=tmpfs,target=/mem']\n\
             log_driver = 'k8s-file'\nlog_size_max = 8192\nlog_tag = 'tagged'\ninit = true\nprivileged = false\n\
             [engine]\nstop_timeout = 3\nimage_volume_mode = 'tmpfs'\n[machine]\ncpus = 'many'\n",
            made.0.path("vol")
        ),
    );
    let env = [("CONTAINERS_CONF", conf.as_str())];
    let facts = made.sh(&env, &[], FACTS);
    assert_eq!(
        facts,
        "conf\n500\n600\n0027\n0\t7\n9000\n777\nCapBnd:\t0000000000002001\nshown\n\
         touch: /vol/x: Read-only file system\nnameserver 192.0.2.4\nsearch example.com\noptions ndots:3\n\
         tare-init\n3072"
    );
    assert_eq!(made.sh(&env, &[], "echo $OWN"), "image", "the image's own count more");
    assert_eq!(made.sh(&env, &[], "/bin/busybox stat -f -c %T /data"), "tmpfs");
    made.said(&env, &["create", "--name", "kept", "--annotation", "c=e", "box:1"]);
    let field = |field: &str| made.said(&[], &["inspect", "--format", field, "kept"]);
    assert_eq!(
        field("{{json .HostConfig.LogConfig}}"),
        r#"{"Type":"k8s-file","Config":{"max-size":"8192","tag":"tagged"}}"#
    );
    assert_eq!(
        field("{{.HostConfig.PidsLimit}} {{.HostConfig.ShmSize}} {{.HostConfig.OomScoreAdj}}"),
        "99 3145728 777"
    );
    assert_eq!(field("{{.Config.Annotations}} {{.Config.StopTimeout}}"), "map[a:b c:e] 3");
    // What is kept of it does not depend on the file any more.
    let options = "-e A=option --ulimit nofile=700:700 --init=false --umask 077 --tmpfs /vol --dns 192.0.2.9 \
                   --cap-drop net_raw --oom-score-adj 5 --image-volume ignore --sysctl kernel.msgmax=9001";
    let options: Vec<&str> = options.split_whitespace().collect();
    let script = "echo $A; ulimit -n; ulimit -c; umask; cat /etc/resolv.conf /proc/self/oom_score_adj
        cat /proc/sys/kernel/msgmax; /bin/busybox grep CapBnd /proc/self/status; [ -e /data ] || echo none
        /bin/busybox touch /vol/x && /bin/busybox cat /proc/1/comm";
    assert_eq!(
        made.sh(&env, &options, script),
        "option\n700\n0\n0077\nnameserver 192.0.2.9\nsearch example.com\noptions ndots:3\n5\n9001\n\
         CapBnd:\t0000000000000001\nnone\nbusybox"
    );
    let usual = "CapBnd:\t00000000000005fb";
    let script = "/bin/busybox grep CapBnd /proc/self/status";
    assert_eq!(made.sh(&env, &["--security", "default"], script), usual);
    // A program of this machine is none of podman's containers.
    assert_eq!(made.said(&env, &["run", "--rm", "host:/bin/echo", "x"]), "x");
}

#[test]
fn files_count_in_podmans_order() {
    let Some(made) = Box::new("files_count_in_podmans_order") else { return };
    let variable = |name: &str, list: &str| {
        made.file(name, &format!("[containers]\nenv = [{list}]\n[engine]\nretry = 7\n"))
    };
    let home = made.0.path("home");
    variable("home/containers/containers.conf", "'A=own'");
    variable("home/containers/containers.conf.d/10.conf", "'B=ten', {append=true}");
    variable("home/containers/containers.conf.d/20.conf", "'C=twenty'");
    variable("home/containers/containers.conf.d/30.txt", "'D=thirty'");
    variable("home/containers/containers.conf.modules/more.conf", "'D=module'");
    let (one, two) = (variable("one", "'A=one'"), variable("two", "'B=two'"));
    let script = "echo $A $B $C $D";
    let run = |env: &[(&str, &str)], before: &[&str]| {
        let mut args = before.to_vec();
        args.extend(["run", "--rm", "box:1", "sh", "-c", script]);
        made.said(env, &args)
    };
    // An empty variable names no file.
    let own = [("XDG_CONFIG_HOME", home.as_str()), ("CONTAINERS_CONF", "")];
    assert_eq!(run(&own, &[]), "own ten twenty");
    assert_eq!(run(&own, &["--module", "more.conf"]), "own ten twenty module");
    let instead = [own[0], ("CONTAINERS_CONF", &one)];
    assert_eq!(run(&instead, &[]), "one");
    assert_eq!(run(&[instead[0], instead[1], ("CONTAINERS_CONF_OVERRIDE", &two)], &[]), "two");
    let module = format!("--module={two}");
    assert_eq!(run(&[instead[1]], &[&module]), "two");
    let (code, _, text) = made.by("tare", &own, &["--module", "nowhere.conf", "ps"]);
    assert_eq!(code, 1);
    assert!(
        text.starts_with("tare: could not resolve module \"nowhere.conf\": 3 errors"),
        "{text}"
    );
    let told = made.by("podman", &[], &["--module=/nowhere,at,all", "nosuchverb"]);
    let why = "could not resolve module \"/nowhere,at,all\": faccessat /nowhere,at,all: no such file or directory";
    assert_eq!(told, (1, String::new(), format!("Failed to obtain podman configuration: {why}")));
    let (_, _, text) = made.by("podman", &[], &["create", "--module=/dev/null", "-q", "box:1"]);
    assert_eq!(text, "Error: unknown flag: --module\nSee 'podman create --help'");
    let (code, _, text) =
        made.by("tare", &[("CONTAINERS_CONF_OVERRIDE", "/nowhere")], &["run", "--rm", "box:1"]);
    assert_eq!(code, 125);
    assert!(text.starts_with("tare: /nowhere: No such file or directory\nhint: "), "{text}");
}

#[test]
fn a_mistake_is_told_with_its_file_and_line() {
    let Some(made) = Box::new("a_mistake_is_told_with_its_file_and_line") else { return };
    for (line, why) in [
        ("env = 'A'", "containers.env: expected a list of texts"),
        ("env = [", ""),
        ("dns_servers = ['x']", "containers.dns_servers: x is not an ip address"),
        ("default_ulimits = ['nofile']", "containers.default_ulimits: --ulimit \"nofile\": "),
        ("default_sysctls = ['x']", "containers.default_sysctls: \"x\": write NAME=VALUE"),
        ("default_capabilities = ['x']", "containers.default_capabilities: unknown capability"),
        ("log_driver = 'x'", "containers.log_driver: "),
        ("tz = '../x'", "containers.tz: "),
        ("umask = '9'", "containers.umask: "),
        ("ipcns = 'x'", "containers.ipcns: "),
        ("netns = 'slirp4netns'", "containers.netns: "),
        ("volumes = ['x']", "containers.volumes: "),
        ("mounts = ['type=x,target=/x']", "containers.mounts: "),
        ("devices = ['/nowhere']", "containers.devices: "),
        ("seccomp_profile = '/nowhere'", "containers.seccomp_profile: No such file"),
        ("oom_score_adj = 1001", "containers.oom_score_adj: "),
        ("cgroups = 'disabled'", "containers.cgroups: "),
        ("base_hosts_file = '/nowhere'", "containers.base_hosts_file: "),
    ] {
        let path = made.file("bad.conf", &format!("[containers]\n# a comment\n{line}\n"));
        let env = [("CONTAINERS_CONF", path.as_str())];
        let (code, out, text) = made.by("tare", &env, &["run", "--rm", "box:1", "true"]);
        assert_eq!((code, out.as_str()), (125, ""), "{line}");
        assert!(text.starts_with(&format!("tare: {path}: line 3: {why}")), "{line}: {text}");
        assert!(text.contains("\nhint: correct the file"), "{line}: {text}");
        // Verbs that have nothing to do with it do not read it.
        assert_eq!(made.by("tare", &env, &["ps"]).0, 0);
    }
    let path = made.file("bad.conf", "[engine]\npull_policy = 'x'\n");
    let env = [("CONTAINERS_CONF", path.as_str())];
    let (_, _, text) = made.by("tare", &env, &["run", "--rm", "box:1", "true"]);
    assert!(text.contains("line 2: engine.pull_policy: \"x\" is none of"), "{text}");
    let path = made.file("odd.conf", "[containers]\nsdf = 1\n");
    let env = [("CONTAINERS_CONF", path.as_str())];
    let (code, _, text) = made.by("tare", &env, &["--debug", "create", "box:1"]);
    assert_eq!(code, 0);
    assert!(
        text.contains(&format!("{path}: line 2: containers.sdf does not count here")),
        "{text}"
    );
}

#[test]
fn by_podmans_name_the_files_mean_what_they_mean_there() {
    let test = "by_podmans_name_the_files_mean_what_they_mean_there";
    let Some(made) = Box::new(test) else { return };
    let conf = made.file("ro.conf", "[containers]\nread_only = true\n");
    let env = [("CONTAINERS_CONF", conf.as_str()), ("http_proxy", "http://proxy")];
    let run = |env: &[(&str, &str)], options: &[&str], script: &str| {
        let mut args = vec!["run", "--rm"];
        args.extend(options);
        args.extend(["box:1", "sh", "-c", script]);
        made.by("podman", env, &args)
    };
    assert_eq!(run(&env, &[], "touch /x 2>/dev/null || echo refused").1, "refused");
    assert_eq!(run(&env, &["--read-only=false"], "touch /x && echo made").1, "made");
    let files = "touch /tmp/a /var/tmp/b /dev/c /dev/shm/d /run/e";
    assert_eq!(run(&env, &[], files).0, 0);
    let (code, _, text) = run(&env, &["--read-only-tmpfs=false"], "touch /tmp/a /dev/c /dev/shm/d");
    assert_eq!(code, 1);
    assert_eq!(text.matches("Read-only file system").count(), 3, "{text}");
    assert_eq!(run(&env, &[], "echo $http_proxy").1, "http://proxy");
    assert_eq!(run(&env, &["--http-proxy=false"], "echo $http_proxy").1, "");
    assert_eq!(made.sh(&env[1..], &[], "echo $http_proxy"), "", "docker passes none on");
    assert_eq!(made.sh(&env[1..], &["--http-proxy"], "echo $http_proxy"), "http://proxy");
    // What a program inside of a container may do by a file, it may do by one in it, too.
    made.said(&[], &["run", "-d", "--name", "web", "box:1", "sleep", "1000"]);
    let conf = made.file("open.conf", "[containers]\nprivileged = true\nenv_host = true\n");
    let rights = ["exec", "web", "grep", "CapEff", "/proc/self/status"];
    let rights = [&rights[..2], &["/bin/busybox"], &rights[2..]].concat();
    let env = [("CONTAINERS_CONF", conf.as_str()), ("FROM_OUTSIDE", "yes")];
    assert!(made.said(&[], &rights).ends_with("00000000000005fb"));
    assert_ne!(made.said(&env, &rights), "CapEff:\t00000000000005fb");
    made.said(&env, &["create", "--name", "open", "box:1"]);
    let field = "{{.HostConfig.Privileged}} {{range .Config.Env}}{{println .}}{{end}}";
    let shown = made.said(&[], &["inspect", "--format", field, "open"]);
    assert!(shown.starts_with("true ") && shown.contains("FROM_OUTSIDE=yes"), "{shown}");
    assert_eq!(
        made.sh(&env[..1], &["--privileged=false"], "/bin/busybox grep CapEff /proc/self/status"),
        "CapEff:\t00000000000005fb"
    );
}

#[test]
fn hosts_begin_with_the_file_that_is_named() {
    let Some(made) = Box::new("hosts_begin_with_the_file_that_is_named") else { return };
    let base = made.file("base", "192.0.2.1 one two # a comment\n192.0.2.2 three\n");
    let conf = made.file(
        "h.conf",
        &format!(
            "[containers]\nbase_hosts_file = '{base}'\nhost_containers_internal_ip = '192.0.2.9'\n"
        ),
    );
    let env = [("CONTAINERS_CONF", conf.as_str())];
    let based = "192.0.2.1\tone two\n192.0.2.2\tthree\n127.0.0.1\tlocalhost\n::1\tlocalhost";
    let host = "192.0.2.9\thost.containers.internal host.docker.internal";
    let hosts = |options: &[&str]| made.sh(&env, options, "cat /etc/hosts");
    assert_eq!(hosts(&[]), format!("{based}\n{host}"));
    let added = hosts(&["--add-host", "four:192.0.2.4"]);
    assert_eq!(added, format!("{based}\n192.0.2.4\tfour\n{host}"));
    assert!(hosts(&["--hosts-file", "none"]).starts_with("127.0.0.1\tlocalhost\n"));
    assert!(!hosts(&["--hosts-file", "none"]).contains("192.0.2.1"));
    let image = ["--hosts-file", "image"];
    assert!(!hosts(&image).contains("192.0.2.1"));
    made.sh(&[], &[], "true");
    made.said(
        &[],
        &[
            "run",
            "--name",
            "has",
            "--no-hosts",
            "box:1",
            "sh",
            "-c",
            "echo 192.0.2.7 seven > /etc/hosts",
        ],
    );
    made.said(&[], &["commit", "has", "box:2"]);
    let args = ["run", "--rm", "--hosts-file", "image", "box:2", "cat", "/etc/hosts"];
    assert!(made.said(&[], &args).starts_with("192.0.2.7\tseven\n127.0.0.1\tlocalhost\n"));
    let (code, _, text) = made.by("tare", &[], &["run", "--hosts-file", "x", "box:1", "true"]);
    assert_eq!(code, 125);
    assert!(text.contains("hosts file \"x\": it is no absolute path"), "{text}");
    let conf = made.file("n.conf", "[containers]\nno_hosts = true\n");
    let env = [("CONTAINERS_CONF", conf.as_str())];
    let rest = "[ -e /etc/hosts ] || echo none";
    assert_eq!(made.sh(&env, &[], rest), "none");
    assert_eq!(made.sh(&env, &["--no-hosts=false"], rest), "");
    assert_eq!(made.sh(&env, &["--add-host", "a:192.0.2.1"], rest), "");
}
