//! Verbs that write, each with what it needs, and with what must be there afterwards.

use e2e::images::{DockerRegistry, Sample, Yard};
use std::cell::RefCell;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

/// Two layers of some blocks, so that each is written in several calls.
const SMALL: Sample =
    Sample { text: "small", architectures: &["amd64"], layers: 2, packed: true, bytes: 3000 };
/// What commands must not leave behind when another one has run.
const LEFT_OVERS: [&str; 4] = ["store/staging", "store/claims", "store/trash", "tmp"];
/// How long what is freed in the background takes at most.
const FREED: Duration = Duration::from_secs(120);
/// What is made again has the same time.
pub(super) const EPOCH: (&str, &str) = ("SOURCE_DATE_EPOCH", "86400");
/// An image with an entry of each kind, as `oci:layout:small`, from which most verbs start.
pub(super) const ALL_KINDS: &str = "
    mkdir lower lower/d lower/o; echo > lower/d/gone; echo > lower/o/old; tar -C lower -cf lower.tar .
    mkdir tree; cd tree; mkdir -m 750 d; echo one > d/one; ln d/one two; ln -s one d/link
    mkfifo fifo; chmod 4755 two; touch d/.wh.gone; mkdir o; touch o/.wh..wh..opq
    tar -cf ../layer.tar .; cd ..
    tare load -q -i layout; tare mutate append -b small -f lower.tar -f layer.tar -t kinds
    tare push -q kinds oci:kinds:kinds; rm -rf store run lower tree";
const PULLED: &str = "tare pull -q oci:kinds:kinds";
const IN_ORDER: &str = "the store is in order\n";

/// A verb, in a yard where it has what it needs. `REGISTRY` stands for one that runs.
pub(super) struct Verb {
    pub(super) name: &'static str,
    /// The command line.
    words: &'static str,
    /// A script that makes what it needs.
    before: &'static str,
    /// What prints the same whenever the verb has done its work.
    look: &'static str,
}

impl Verb {
    const fn new(
        name: &'static str,
        words: &'static str,
        before: &'static str,
        look: &'static str,
    ) -> Self {
        Self { name, words, before, look }
    }

    pub(super) fn named(name: &str) -> &'static Self {
        VERBS.iter().find(|verb| verb.name == name).expect("a verb of the table")
    }
}

const LIST: &str =
    "tare images --no-trunc --digests --format '{{.Repository}} {{.ID}} {{.Digest}}'";

pub(super) static VERBS: [Verb; 21] = [
    Verb::new("pull", "pull -q oci:kinds:kinds", "", LIST),
    Verb::new("pull a registry's", "pull -q docker://REGISTRY/a/kinds", "", LIST),
    Verb::new("load", "load -q -i kinds.tar", SAVED, LIST),
    Verb::new("import", "import -q layer.tar imported:1", "", LIST),
    Verb::new("append", "mutate append -b kinds -f layer.tar -t new:1", PULLED, LIST),
    Verb::new("flatten", "mutate flatten kinds -t flat:1", PULLED, LIST),
    Verb::new("mutate", "mutate kinds -e A=1 -t other:1", PULLED, LIST),
    Verb::new("tag", "tag kinds other:1", PULLED, LIST),
    Verb::new("untag", "untag kinds", PULLED, LIST),
    Verb::new("rmi", "rmi --ignore kinds", PULLED, LIST),
    Verb::new("prune", "image prune -f", "tare pull -q oci:kinds:kinds; tare untag kinds", LIST),
    Verb::new("gc", "gc -q", "tare pull -q oci:kinds:kinds; rm -r store/names/*", LIST),
    Verb::new("index", "manifest create --amend list:1 kinds", PULLED, LIST),
    Verb::new("artifact", "artifact add --replace art:1 layer.tar", PULLED, LIST),
    Verb::new(
        "push to a layout",
        "push -q kinds oci:out/layout:x",
        PULLED,
        "cat out/layout/index.json",
    ),
    Verb::new(
        "push to docker's archive",
        "push -q kinds docker-archive:out/a.tar:x:1",
        PULLED,
        SUM,
    ),
    Verb::new("push to a layout's archive", "push -q kinds oci-archive:out/a.tar:x", PULLED, SUM),
    Verb::new(
        "push to a directory",
        "push -q kinds dir:out/dir",
        PULLED,
        "cat out/dir/manifest.json",
    ),
    Verb::new(
        "copy to docker's archive",
        "copy -q oci:kinds:kinds docker-archive:out/a.tar:x:1",
        "",
        SUM,
    ),
    Verb::new(
        "copy out of an archive",
        "copy -q docker-archive:kinds.tar oci:out/layout:x",
        SAVED,
        "cat out/layout/index.json",
    ),
    Verb::new(
        "sync",
        "sync -q --src docker --dest dir REGISTRY/a/kinds out",
        "",
        "find out -type f | sort",
    ),
];
const SAVED: &str = "tare pull -q oci:kinds:kinds; tare save -q -o kinds.tar kinds; rm -r store";
const SUM: &str = "cksum out/a.tar";

/// A verb that is tried again and again.
pub(super) struct Case {
    pub(super) verb: &'static Verb,
    pub(super) yard: Yard,
    registry: Option<DockerRegistry>,
    /// The store's files before and after the verb, and what a look shows then.
    before: Vec<String>,
    after: RefCell<(Vec<String>, String)>,
}

impl Case {
    /// `None`: the machine lacks something; said by SKIP.
    pub(super) fn new(verb: &'static Verb, test: &str) -> Option<Self> {
        Self::new_in(Yard::in_memory(), verb, test)
    }

    pub(super) fn new_in(yard: Yard, verb: &'static Verb, test: &str) -> Option<Self> {
        let registry = match verb.words.contains("REGISTRY") {
            true => Some(DockerRegistry::start(test, &yard)?),
            false => None,
        };
        SMALL.write(&yard.path("layout"), "small");
        let mut case = Self { verb, yard, registry, before: Vec::new(), after: RefCell::default() };
        case.shell(ALL_KINDS);
        if case.registry.is_some() {
            let place = case.replaced("docker://REGISTRY/a/kinds:latest");
            case.yard.fine(&["copy", "-q", "oci:kinds:kinds", &place]);
        }
        case.shell(verb.before);
        case.shell("mkdir -p store run out tmp saved; cp -a store run out saved");
        case.reset();
        case.collect();
        case.before = case.store();
        Some(case)
    }

    /// Notes what the verb has made when nothing has failed.
    pub(super) fn note_after(&self) {
        self.collect();
        *self.after.borrow_mut() = (self.store(), self.shell(self.verb.look));
    }

    fn replaced(&self, text: &str) -> String {
        let host = self.registry.as_ref().map_or("", DockerRegistry::host);
        text.replace("REGISTRY", host)
    }

    /// Runs a script in which `tare` is the program; its output, or what it says when it fails.
    fn shell(&self, script: &str) -> String {
        let output = self.yard.shell(&self.replaced(script)).output().unwrap();
        assert!(output.status.success(), "{script}: {}", e2e::stderr(&output));
        e2e::stdout(&output)
    }

    fn collect(&self) {
        self.yard.fine(&["gc", "-q"]);
    }

    /// Runs the verb.
    pub(super) fn run(&self) -> Output {
        let words = self.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.yard.tare_command(&words).env(EPOCH.0, EPOCH.1).output().unwrap()
    }

    /// The words of the command line.
    pub(super) fn words(&self) -> Vec<String> {
        self.verb.words.split(' ').map(|word| self.replaced(word)).collect()
    }

    /// What the verb said.
    pub(super) fn said(&self) -> String {
        String::from_utf8_lossy(&self.yard.read("said")).into_owned()
    }

    /// Makes everything as it was before the verb.
    pub(super) fn reset(&self) {
        self.shell("rm -rf store run out tmp/..?* tmp/.[!.]* tmp/*; cp -a saved/. .");
    }

    /// The files of the store, sorted. Names are looked at by other means: an image that loses one
    /// may have two for a moment. What was written down of what happened is none of the store's.
    fn store(&self) -> Vec<String> {
        const FIND: &str =
            "find store -type f -not -path 'store/names/*' -not -path 'store/engine/*' | sort";
        let found = self.shell(FIND);
        found.lines().map(str::to_owned).collect()
    }

    fn left_overs(&self) -> Vec<String> {
        let names = |place: &&str| match Path::new(&self.yard.path(place)).is_dir() {
            true => {
                self.yard.list(place).iter().map(|it| format!("{place}/{it} is left")).collect()
            }
            false => Vec::new(),
        };
        LEFT_OVERS.iter().flat_map(names).collect()
    }

    /// What is not as it must be when the verb has succeeded or failed.
    pub(super) fn what_is_wrong(&self, succeeded: bool) -> Vec<String> {
        let mut problems = Vec::new();
        // The next command.
        self.check(&mut problems);
        let (after, look) = &*self.after.borrow();
        if succeeded {
            problems.extend(self.what_differs(after, look));
        }
        self.collect();
        let store = self.store();
        if store != self.before && store != *after {
            problems
                .push(format!("the store has neither what it had nor what it should: {store:?}"));
        }
        // The same again, as its user would.
        let output = self.run();
        self.check(&mut problems);
        self.collect();
        if let Some(difference) = self.what_differs(after, look) {
            // What is done already, such as the removal of a name, cannot be done again.
            problems.push(format!("again: {difference}: {}", e2e::stderr(&output)));
        }
        problems
    }

    fn check(&self, problems: &mut Vec<String>) {
        let output = self.yard.tare(&["fsck", "--full"]);
        let text = e2e::stdout(&output);
        if text != IN_ORDER {
            problems.push(format!("{text}{}", e2e::stderr(&output)));
        }
        // Space may be freed by a process that outlives the command.
        let began = Instant::now();
        while !self.left_overs().is_empty() && began.elapsed() < FREED {
            std::thread::sleep(Duration::from_millis(10));
        }
        problems.extend(self.left_overs());
    }

    fn what_differs(&self, after: &[String], look: &str) -> Option<String> {
        let (store, found) =
            (self.store(), self.shell(&format!("{} 2>&1 || true", self.verb.look)));
        if found != look {
            return Some(format!("{found} is there, not {look}"));
        }
        (store != after).then(|| format!("the store has {store:?}, not {after:?}"))
    }
}
