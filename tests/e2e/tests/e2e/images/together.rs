//! Many processes at one store: what they share, and what is left of those that are killed.

use e2e::images::{DockerRegistry, Recorder, Sample, Yard, tar};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const THREE: Sample =
    Sample { text: "three", architectures: &["amd64"], layers: 3, packed: true, bytes: 200_000 };
const LARGE: Sample = Sample { text: "large", bytes: 3_000_000, ..THREE };

/// What killed processes must not leave behind when another command has run.
const LEFT_OVERS: [&str; 3] = ["store/staging", "store/claims", "store/trash"];

fn start(yard: &Yard, args: &[&str]) -> Child {
    let mut command = yard.tare_command(args);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn many_that_pull_the_same_image_fetch_each_layer_once() {
    const TEST: &str = "many_that_pull_the_same_image_fetch_each_layer_once";
    const PROCESSES: usize = 64;
    let yard = Yard::new();
    let Some(registry) = DockerRegistry::start(TEST, &yard) else { return };
    THREE.write(&yard.path("layout"), "three");
    let source = format!("oci:{}:three", yard.path("layout"));
    yard.fine(&["copy", "-q", &source, &registry.place("team/three:1")]);
    // The registry is asked through somebody who counts.
    let counting = Recorder::before(&registry);
    let place = format!("docker://{}/team/three:1", counting.host());
    let pulls: Vec<Child> = (0..PROCESSES).map(|_| start(&yard, &["pull", &place])).collect();
    let mut fetched = 0;
    for pull in pulls {
        let output = pull.wait_with_output().unwrap();
        let text = e2e::stderr(&output);
        assert!(output.status.success(), "{text}");
        fetched += text.lines().filter(|line| line.starts_with("Copying blob")).count();
    }
    assert_eq!(fetched, THREE.layers);
    // Each layer, and the configuration, which is small enough to be looked at by everybody.
    let index = yard.fine(&["inspect", "--raw", &place]);
    let manifest: serde_json::Value = serde_json::from_str(&index).unwrap();
    let asked = counting.take();
    for layer in manifest["layers"].as_array().unwrap() {
        let digest = layer["digest"].as_str().unwrap();
        let count = asked.iter().filter(|it| it.starts_with("GET") && it.ends_with(digest)).count();
        assert_eq!(count, 1, "{digest}: {asked:?}");
    }
}

/// The shortest of so many calls: what else the machine does makes others longer.
fn shortest(yard: &Yard, count: usize, mut goes_on: impl FnMut() -> bool) -> Option<Duration> {
    let mut all = Vec::new();
    while all.len() < count && goes_on() {
        let began = Instant::now();
        yard.fine(&["images", "-q"]);
        if goes_on() {
            all.push(began.elapsed());
        }
    }
    (all.len() >= 3).then(|| all.into_iter().min()).flatten()
}

/// Whoever lists takes no lock, and waits for nobody.
#[test]
fn images_are_listed_while_others_pull_and_hold_every_lock() {
    const CALLS: usize = 20;
    // Whoever waits for a pull waits for seconds; on a busy machine others take their time, too. Alone on one
    // (TARE_E2E_ROUNDS=1) there is no excuse.
    let slack = Duration::from_millis(if e2e::rounds(0) > 0 { 2 } else { 10_000 });
    let yard = Yard::new();
    THREE.write(&yard.path("layout"), "three");
    yard.fine(&["pull", "-q", &format!("oci:{}:three", yard.path("layout"))]);
    let script = "head -c 60000000 /dev/urandom > huge; tar -cf huge.tar huge";
    assert!(yard.shell(script).status().unwrap().success());
    let idle = shortest(&yard, CALLS, || true).unwrap();
    // An import is a pull of one layer that need not come from anywhere.
    let mut pull = start(&yard, &["import", "-q", "huge.tar"]);
    let busy = shortest(&yard, CALLS, || pull.try_wait().unwrap().is_none());
    assert!(pull.wait().unwrap().success());
    // On a machine that pulls it in no time there is nothing to compare.
    if let Some(busy) = busy {
        e2e::report(&format!("images: {idle:?}, while a pull runs {busy:?}"));
        assert!(busy <= 2 * idle + slack, "{idle:?}, while a pull runs {busy:?}");
    }
    let held = ["gate", "lock"].map(|name| {
        let lock = File::open(yard.path(&format!("store/{name}"))).unwrap();
        lock.lock().unwrap();
        lock
    });
    let locked = shortest(&yard, CALLS, || true).unwrap();
    assert!(locked <= 2 * idle + slack, "{idle:?}, with all locks held {locked:?}");
    drop(held);
}

#[test]
fn pulls_that_are_killed_leave_nothing_and_are_repeated() {
    let yard = Yard::new();
    let digest = LARGE.write(&yard.path("layout"), "large");
    THREE.write(&yard.path("layout"), "three");
    let from = |name: &str| format!("oci:{}:{name}", yard.path("layout"));
    let rounds = std::env::var("TARE_E2E_ROUNDS").ok().and_then(|text| text.parse().ok());
    let (mut killed, rounds) = (0, rounds.unwrap_or(8));
    for round in 0..rounds {
        let mut processes: Vec<Child> = (0..8)
            .map(|number| match number % 4 {
                0 | 1 => start(&yard, &["pull", &from("large")]),
                2 => start(&yard, &["pull", &from("three")]),
                _ => start(&yard, &["push", "-q", "localhost/three", &format!("dir:out-{round}")]),
            })
            .collect();
        // Somewhere in the middle, another place each time.
        std::thread::sleep(Duration::from_millis(5 + (round * 37) % 180));
        for process in &mut processes {
            let _ = process.kill();
        }
        for mut process in processes {
            killed += usize::from(process.wait().unwrap().code().is_none());
        }
        yard.fine(&["pull", "-q", &from("three")]);
        for place in LEFT_OVERS {
            assert_eq!(yard.list(place), [""; 0], "round {round}: {place}");
        }
    }
    assert!(killed > 0, "nobody was killed");
    yard.fine(&["pull", "-q", &from("large")]);
    // What is there now is whole: it comes out as it went in.
    yard.fine(&["push", "-q", "--preserve-digests", "localhost/large", "oci:back:large"]);
    let index = String::from_utf8(yard.read("back/index.json")).unwrap();
    assert!(index.contains(&digest.to_string()), "{index}");
}

/// The registry stops in the middle of the second layer; the first one has come.
#[test]
fn a_pull_that_is_interrupted_goes_on_with_what_is_missing() {
    const TEST: &str = "a_pull_that_is_interrupted_goes_on_with_what_is_missing";
    const SIGINT: &str = "-INT";
    let yard = Yard::new();
    let Some(registry) = DockerRegistry::start(TEST, &yard) else { return };
    let place = registry.place("team/two:1");
    for (name, bytes) in [("small", 1000), ("large", 3_000_000)] {
        yard.write(name, &tar(name, bytes));
    }
    yard.fine(&["mutate", "append", "-f", "small", "-f", "large", "-t", "two"]);
    yard.fine(&["push", "-q", "two", &place]);
    yard.fine(&["rmi", "-af"]);
    let recorder = Recorder::stalling(&registry, 200_000);
    let config = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", recorder.host());
    yard.write("home/.config/containers/registries.conf", config.as_bytes());
    let mut pull = start(&yard, &["pull", &format!("{}/team/two:1", recorder.host())]);
    let mut lines = BufReader::new(pull.stderr.take().unwrap()).lines();
    let first = lines.find(|line| line.as_ref().unwrap().starts_with("Copying blob ")).unwrap();
    let pid = pull.id().to_string();
    assert!(Command::new("kill").args([SIGINT, &pid]).status().unwrap().success());
    assert_eq!(pull.wait().unwrap().code(), Some(130));
    let output = yard.tare(&["pull", &place]);
    let text = e2e::stderr(&output);
    assert!(output.status.success(), "{text}");
    assert!(!text.contains(&first.unwrap()), "{text}");
    assert_eq!(text.matches("Copying blob ").count(), 1, "{text}");
    assert_eq!(yard.fine(&["fsck"]), "the store is in order\n");
}
