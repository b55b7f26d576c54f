use super::{Conf, Key, Places};
use std::path::{Path, PathBuf};

fn of(texts: &[&str]) -> Result<Conf, String> {
    let mut conf = Conf::default();
    for (number, text) in texts.iter().enumerate() {
        let path = format!("/etc/{number}.conf");
        conf.read_text(Path::new(&path), text).map_err(|failure| failure.message().to_owned())?;
    }
    Ok(conf)
}

#[test]
fn the_last_file_counts_and_empty_texts_say_nothing() {
    let conf = of(&[
        "[containers]\ntz = \"local\"\ninit = true\npids_limit = 100\nshm_size = \"1m\"\n",
        "[containers]\ninit = false\ntz = \"\"\n[engine]\nretry = 0x7\n",
    ])
    .unwrap();
    assert_eq!((conf.flag(Key::INIT), conf.text(Key::TZ)), (Some(false), None));
    assert_eq!((conf.number(Key::PIDS_LIMIT), conf.number(Key::RETRY)), (Some(100), Some(7)));
    assert_eq!(conf.text(Key::SHM_SIZE), Some("1m"));
    assert_eq!((conf.flag(Key::READ_ONLY), conf.list(Key::ENV)), (None, None));
}

#[test]
fn lists_are_replaced_until_one_says_that_they_are_added() {
    let env = |items: &str| format!("[containers]\nenv = [{items}]\n");
    let check = |files: &[&str], expected: &[&str]| {
        let texts: Vec<String> = files.iter().map(|items| env(items)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        assert_eq!(of(&texts).unwrap().list(Key::ENV).unwrap(), expected, "{files:?}");
    };
    check(&["'A=1'", "'B=2'"], &["B=2"]);
    check(&["'A=1'", "'B=2', {append=true}"], &["A=1", "B=2"]);
    check(&["'A=1', {append=true}", "'B=2'"], &["A=1", "B=2"]);
    check(&["'A=1', {append=true}", "'B=2'", "'C=3', {append=false}"], &["C=3"]);
    check(&["'A=1', {append=true}", ""], &["A=1"]);
    check(&["'A=1'", ""], &[]);
}

#[test]
fn mistakes_are_told_with_file_and_line_and_others_keys_are_left_alone() {
    for (text, expected) in [
        (
            "[containers]\n\ndns_servers = \"1.1.1.1\"\n",
            "line 3: containers.dns_servers: expected a list",
        ),
        ("[containers]\ninit = 1", "line 2: containers.init: expected true or false"),
        ("[containers]\npids_limit = '9'", "line 2: containers.pids_limit: expected a number"),
        ("[containers]\ntz = [\n 'x' ]", "line 2: containers.tz: expected a text"),
        ("[containers]\n\nenv = [ 1 ]", "line 3: containers.env: expected a list"),
        ("[containers]\nenv = [ {prepend=true} ]", "line 2: containers.env: a list knows"),
        ("[containers]\nenv = [ {append=1} ]", "line 2: containers.env: a list knows"),
        ("[engine]\nretry = 99999999999999999999", "line 2: engine.retry: expected a number"),
        ("[containers]\nsdf=\n", "line 2: "),
        ("x", "line 1: "),
        ("[containers]\ninit = true\ninit = true\n", "line 3: "),
    ] {
        let message = of(&["", text]).unwrap_err();
        assert!(message.starts_with(&format!("/etc/1.conf: {expected}")), "{text:?}: {message}");
    }
    let conf = of(&[
        "bare = 1\n[containers]\nkeyring = 1\n[machine]\ncpus = 'x'\n[engine.runtimes]\nx = []\n",
    ]);
    let notes = conf.unwrap().notes().to_vec();
    assert_eq!(notes.len(), 3, "{notes:?}");
    assert_eq!(notes[0], "/etc/0.conf: line 3: containers.keyring does not count here");
}

#[test]
fn files_are_read_in_podmans_order() {
    let dir = std::env::temp_dir().join(format!("tare-conf-{}", std::process::id()));
    let own = dir.join("containers.conf.d");
    std::fs::create_dir_all(&own).unwrap();
    for name in ["b.conf", "a.conf", "c.txt", ".conf"] {
        std::fs::write(own.join(name), "").unwrap();
    }
    let places = Places {
        usual: vec![dir.join("containers.conf"), dir.join("nowhere/containers.conf")],
        shared: Some(dir.join("shared.conf")),
        instead: None,
        named: vec![dir.join("named")],
    };
    let names = |places: &Places| -> Vec<String> {
        let files = places.files().unwrap();
        let name = |path: &PathBuf| path.strip_prefix(&dir).unwrap().to_string_lossy().into_owned();
        files.iter().map(|file| name(&file.path) + if file.is_named { "!" } else { "" }).collect()
    };
    assert_eq!(
        names(&places),
        [
            "shared.conf",
            "containers.conf",
            "containers.conf.d/a.conf",
            "containers.conf.d/b.conf",
            "nowhere/containers.conf",
            "named!"
        ]
    );
    let instead = Places { instead: Some(dir.join("instead")), ..places.clone() };
    assert_eq!(names(&instead), ["instead!", "named!"]);
    assert!(Conf::load(&Places { named: Vec::new(), ..places }).is_ok());
    let missing = Conf::load(&instead).unwrap_err();
    assert!(missing.message().contains("instead: No such file"), "{}", missing.message());
    std::fs::remove_dir_all(&dir).unwrap();
}
