//! The README's tour, typed as it is printed into a terminal.

use super::{User, World};
use crate::images_scratch::has_program;

const README: &str = include_str!("../../../../../README.md");

/// The commands of the tour: what a user types, comments and all.
fn commands() -> Vec<&'static str> {
    let section = README.split("## A tour of ten commands").nth(1).expect("the tour");
    let block = section.split("```").nth(1).expect("its commands");
    block.lines().skip(1).filter(|line| !line.is_empty()).collect()
}

/// What is on the screen after each command, and that there were bars while an image came.
const SEEN: [&[&str]; 10] = [
    &["hello from pid 1"],
    &["PRETTY_NAME=\"Debian"],
    &[],
    &["CONTAINER ID", "nginx", "Up ", "8080->80/tcp", "web"],
    &[],
    &["GET / HTTP/1.1"],
    &["web", "CPU %"],
    &["sha256:"],
    &["web"],
    &["TYPE", "Images", "Local Volumes"],
];

/// Types the tour into tmux, and looks at the screen when the prompt is there again.
const TYPE: &str = r#"
tmux() { command tmux -L tour -f /dev/null "$@"; }
export TERM=xterm SHELL=/bin/sh PROMPT_COMMAND='echo $? >> prompts' PS1='$ ' TMUX_TMPDIR=$PWD
: > prompts; : > screen
trap 'tmux kill-server' EXIT
tmux new-session -d -x 110 -y 40 'bash --norc --noprofile -i'
tmux pipe-pane -o 'cat >> raw'
wait_for() { for i in $(seq 1200); do [ $(wc -l < prompts) -ge $1 ] && return; sleep 0.1; done; tmux capture-pane -p; exit 9; }
wait_for 1; count=1
while IFS= read -r line <&3; do
    tmux clear-history; tmux send-keys -l "clear"; tmux send-keys Enter; count=$((count+1)); wait_for $count
    tmux send-keys -l -- "$line"; tmux send-keys Enter; count=$((count+1)); wait_for $count
    echo "@@ $(tail -1 prompts)"; tmux capture-pane -p -J -S - | grep -v '^$'
    case "$line" in *'-p 8080:80'*) # what the next command shows has to have happened
        for i in $(seq 1200); do (exec 4<> /dev/tcp/127.0.0.1/8080; printf 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' >&4; grep -q Welcome <&4) 2> /dev/null && break; sleep 0.1; done
        for i in $(seq 1200); do tare logs web 2> /dev/null | grep -q 'GET /' && break; sleep 0.1; done;;
    esac
done 3< tour
"#;

fn tour(test: &str, user: User) {
    if !has_program(test, "tmux") {
        return;
    }
    let Some(world) = World::new(test, user, &["debian:13", "nginx:latest"]) else { return };
    let commands = commands();
    assert_eq!(commands.len(), SEEN.len(), "{commands:?}");
    std::fs::write(world.scratch.path("home/tour"), commands.join("\n") + "\n").unwrap();
    let said = world.run(TYPE);
    let screens: Vec<&str> = said.split("@@ ").skip(1).collect();
    assert_eq!(screens.len(), commands.len(), "{said}");
    for ((command, screen), seen) in commands.iter().zip(screens).zip(SEEN) {
        assert!(screen.starts_with("0\n"), "{command} fails:\n{screen}");
        for text in seen {
            assert!(screen.contains(text), "{command} does not show {text}:\n{screen}");
        }
    }
    // While the image came there were bars, which are gone when it is there.
    let raw = std::fs::read(world.scratch.path("home/raw")).unwrap();
    let raw = String::from_utf8_lossy(&raw);
    assert!(raw.contains("\u{1b}[") && raw.contains(" / "), "no bars: {raw}");
}

#[test]
fn the_tour_of_the_readme_works_for_root() {
    tour("the_tour_of_the_readme_works_for_root", User::Root);
}

#[test]
fn the_tour_of_the_readme_works_for_an_ordinary_user() {
    tour("the_tour_of_the_readme_works_for_an_ordinary_user", User::Ordinary);
}

#[test]
fn the_tour_of_the_readme_has_ten_commands_of_this_program() {
    let commands = commands();
    assert_eq!(commands.len(), 10);
    assert!(commands.iter().all(|line| line.starts_with("tare ")), "{commands:?}");
}
