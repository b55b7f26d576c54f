//! Many processes at one store: what they share, and what is left of those that are killed.

use e2e::images::{DockerRegistry, Recorder, Sample, Yard, tar};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

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
    let place = registry.place("team/three:1");
    yard.fine(&["copy", "-q", &format!("oci:{}:three", yard.path("layout")), &place]);
    let pulls: Vec<Child> = (0..PROCESSES).map(|_| start(&yard, &["pull", &place])).collect();
    let mut fetched = 0;
    for pull in pulls {
        let output = pull.wait_with_output().unwrap();
        let text = e2e::stderr(&output);
        assert!(output.status.success(), "{text}");
        fetched += text.lines().filter(|line| line.starts_with("Copying blob")).count();
    }
    assert_eq!(fetched, THREE.layers);
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
