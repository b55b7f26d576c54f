//! Logins and logouts.

use super::*;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// A helper that keeps what it is told beside itself.
const HELPER: &str = r#"#!/bin/sh
kept=$(dirname "$0")/kept
mkdir -p "$kept"
input=$(cat)
file=$kept/$(printf %s "$input" | tr / _)
case "$1" in
store)
    server=$(printf %s "$input" | sed 's/.*"ServerURL":"\([^"]*\)".*/\1/')
    printf %s "$input" >"$kept/$(printf %s "$server" | tr / _)" ;;
get|erase)
    test -f "$file" || { echo 'credentials not found in native keychain'; exit 1; }
    if test "$1" = get; then cat "$file"; else rm "$file"; fi ;;
list)
    separator=
    printf '{'
    for file in "$kept"/*; do
        test -f "$file" || continue
        printf '%s"%s":"x"' "$separator" "$(basename "$file" | tr _ /)"
        separator=,
    done
    printf '}' ;;
esac
"#;

struct Place {
    directory: PathBuf,
    keeper: Keeper,
}

impl Place {
    fn new(name: &str, form: Form) -> Self {
        let directory = test_directory(&format!("keep-{name}"));
        let helper = directory.join("docker-credential-test");
        std::fs::write(&helper, HELPER).unwrap();
        std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
        let search_path = std::env::join_paths([&directory]).unwrap();
        let file = directory.join("a/b/auth.json");
        Self { keeper: Keeper { file, form, helpers: Vec::new(), search_path }, directory }
    }

    fn write(&self, text: &str) {
        std::fs::create_dir_all(self.keeper.file.parent().unwrap()).unwrap();
        std::fs::write(&self.keeper.file, text).unwrap();
    }

    fn read(&self) -> String {
        std::fs::read_to_string(&self.keeper.file).unwrap()
    }

    /// The file without spaces.
    fn read_compact(&self) -> String {
        self.read().split_whitespace().collect()
    }

    /// What others find.
    fn find(&self, name: &str) -> String {
        let files = vec![AuthFile { path: self.keeper.file.clone(), legacy: false }];
        let (helpers, search_path) = (self.keeper.helpers.clone(), self.keeper.search_path.clone());
        shown(&Lookup { files, helpers, search_path }.find(name).unwrap())
    }

    fn helper_has(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.directory.join("kept")) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A failed test may have left less.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn basic(password: &str) -> Credentials {
    Credentials::Basic { user: "user".into(), password: password.into() }
}

fn identity() -> Credentials {
    Credentials::Identity { user: "user".into(), token: "refresh".into() }
}

#[test]
fn names_of_registries_and_repositories_are_read() {
    let check = |text: &str, expected: Option<&str>| {
        assert_eq!(parse_name(text).ok().as_deref(), expected, "{text}");
    };
    check("r.example", Some("r.example"));
    check("r.example:5000/", Some("r.example:5000"));
    check("https://r.example/v2/x", Some("r.example"));
    check("http://[::1]:5000", Some("[::1]:5000"));
    check("localhost", Some("localhost"));
    check("r.example/a/b_c.d-e", Some("r.example/a/b_c.d-e"));
    check("index.docker.io", Some("docker.io"));
    check("https://index.docker.io/v1/", Some("docker.io"));
    check("registry-1.docker.io/library/x", Some("docker.io/library/x"));
    for text in [
        "",
        "/",
        "a b",
        "r.example//x",
        "r.example/a:tag",
        "r.example/a@sha256:x",
        "r.example/A",
        "-",
    ] {
        check(text, None);
    }
}

#[test]
fn a_login_is_found_by_others_and_a_logout_ends_it() {
    let place = Place::new("file", Form::Containers);
    let file = Kept::File(place.keeper.file.clone());
    let keeper = &place.keeper;
    assert_eq!(keeper.erase("r.example").unwrap(), []);
    assert_eq!(keeper.store("r.example", &basic("one")).unwrap(), file);
    keeper.store("r.example/a/b", &basic("two:with:colons")).unwrap();
    keeper.store("docker.io", &identity()).unwrap();
    assert_eq!(place.find("r.example/x"), "user:one");
    assert_eq!(place.find("r.example/a/b"), "user:two:with:colons");
    assert_eq!(place.find("docker.io/library/x"), "user?refresh");
    let metadata = std::fs::metadata(&keeper.file).unwrap();
    assert_eq!(metadata.mode() & 0o777, 0o600);
    let directory = std::fs::metadata(keeper.file.parent().unwrap()).unwrap();
    assert_eq!(directory.mode() & 0o777, 0o700);
    assert!(place.read().contains("\"auth\""));
    // Again with another password; the file is another one then, not the same with other content.
    keeper.store("r.example", &basic("three")).unwrap();
    assert_ne!(std::fs::metadata(&keeper.file).unwrap().ino(), metadata.ino());
    assert_eq!(place.find("r.example"), "user:three");
    assert_eq!(keeper.erase("r.example").unwrap(), std::slice::from_ref(&file));
    assert_eq!(place.find("r.example"), "none");
    assert_eq!(place.find("r.example/a/b"), "user:two:with:colons");
    assert_eq!(keeper.erase("r.example").unwrap(), []);
    assert_eq!(keeper.erase("r.example/a/b").unwrap(), std::slice::from_ref(&file));
    assert_eq!(keeper.erase_all().unwrap(), [file]);
    assert_eq!(place.find("docker.io"), "none");
    assert_eq!(place.read_compact(), r#"{"auths":{}}"#);
    assert_eq!(keeper.erase_all().unwrap(), []);
    // Nothing is left beside it.
    assert_eq!(std::fs::read_dir(keeper.file.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn what_is_not_known_in_a_file_stays() {
    let place = Place::new("unknown", Form::Docker);
    place.write(
        r#"{"auths":{"old.example":{"auth":"YTpi","email":"x@y"},"https://r.example/v1/":{"auth":"YTpi"}},
        "HttpHeaders":{"A":["b",1.50,null]},"psFormat":"table {{.ID}}","credHelpers":{"h.example":"test"}}"#,
    );
    place.keeper.store("r.example", &basic("one")).unwrap();
    assert_eq!(place.find("r.example"), "user:one");
    place.keeper.erase("r.example").unwrap();
    // Under each name that the host had.
    assert_eq!(
        place.read_compact(),
        r#"{"HttpHeaders":{"A":["b",1.50,null]},"auths":{"old.example":{"auth":"YTpi","email":"x@y"}},"credHelpers":{"h.example":"test"},"psFormat":"table{{.ID}}"}"#
    );
    // Nothing is written when nothing changes.
    let before = std::fs::metadata(&place.keeper.file).unwrap().ino();
    place.keeper.erase("absent.example").unwrap();
    assert_eq!(std::fs::metadata(&place.keeper.file).unwrap().ino(), before);
}

#[test]
fn a_file_in_disorder_is_left_alone() {
    for text in ["{", "[]", r#"{"auths":[]}"#, r#"{"auths":{"x":1}}"#, "auths"] {
        let place = Place::new("disorder", Form::Containers);
        place.write(text);
        let failed = place.keeper.store("r.example", &basic("one")).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Invalid, "{text}");
        assert!(place.keeper.erase_all().is_err(), "{text}");
        assert_eq!(place.read(), text);
    }
    // One that was killed in the middle of its first login.
    let place = Place::new("empty", Form::Containers);
    place.write("");
    place.keeper.store("r.example", &basic("one")).unwrap();
    assert_eq!(place.find("r.example"), "user:one");
}

#[test]
fn dockers_file_has_dockers_keys() {
    let place = Place::new("docker", Form::Docker);
    place.keeper.store("docker.io", &basic("one")).unwrap();
    assert!(place.read().contains("\"https://index.docker.io/v1/\""));
    assert_eq!(place.find("docker.io/library/x"), "user:one");
    let refused = place.keeper.store("r.example/a", &basic("one")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    place.keeper.erase("docker.io").unwrap();
    assert_eq!(place.find("docker.io/library/x"), "none");
}

#[test]
fn helpers_are_told() {
    for (form, text) in [
        (Form::Containers, r#"{"credHelpers":{"r.example":"test","docker.io":"test"}}"#),
        (Form::Docker, r#"{"credsStore":"test"}"#),
    ] {
        let place = Place::new("helper", form);
        place.write(text);
        let helper = Kept::Helper("test".into());
        for (name, credentials) in [("r.example", basic("one")), ("docker.io", identity())] {
            assert_eq!(place.keeper.store(name, &credentials).unwrap(), helper);
        }
        assert_eq!(place.find("r.example/x"), "user:one");
        assert_eq!(place.find("docker.io"), "?refresh");
        let docker = match form {
            Form::Docker => "https:__index.docker.io_v1_",
            Form::Containers => "docker.io",
        };
        let mut expected = [docker, "r.example"];
        expected.sort_unstable();
        assert_eq!(place.helper_has(), expected);
        let written = place.read();
        // Docker lists what a helper has.
        assert_eq!(written.contains("\"r.example\":{}"), form == Form::Docker, "{written}");
        assert!(!written.contains("b25l") && !written.contains("refresh"));
        assert_eq!(place.keeper.erase("r.example").unwrap(), std::slice::from_ref(&helper));
        assert_eq!(place.helper_has(), [docker]);
        place.keeper.store("r.example", &basic("two")).unwrap();
        assert!(place.keeper.erase_all().unwrap().contains(&helper));
        assert_eq!(place.helper_has(), [] as [String; 0]);
        // Which helpers there are is not forgotten.
        assert!(place.read().contains("test"));
    }
}

#[test]
fn helpers_of_the_configuration_come_before_the_file() {
    let mut place = Place::new("configured", Form::Containers);
    place.keeper.helpers = vec!["test".into(), "containers-auth.json".into()];
    let helper = Kept::Helper("test".into());
    assert_eq!(place.keeper.store("r.example", &basic("one")).unwrap(), helper);
    assert!(!place.keeper.file.exists());
    // A repository is nothing for a helper, but for the file behind it.
    let file = Kept::File(place.keeper.file.clone());
    assert_eq!(place.keeper.store("r.example/a", &basic("two")).unwrap(), file);
    place.keeper.helpers = vec!["test".into()];
    let refused = place.keeper.store("r.example/a", &basic("two")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert_eq!(place.keeper.erase_all().unwrap(), [helper]);
    place.keeper.helpers = vec!["absent".into()];
    assert_eq!(
        place.keeper.store("r.example", &basic("x")).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    // One that fails is told of, and what it was told is not.
    std::fs::write(place.directory.join("docker-credential-test"), "#!/bin/sh\ncat; exit 3\n")
        .unwrap();
    place.keeper.helpers = vec!["test".into()];
    let failed = place.keeper.store("r.example", &basic("hunter2")).unwrap_err();
    assert!(failed.to_string().contains("exit status: 3"), "{failed}");
}

#[test]
fn logins_at_the_same_time_are_all_kept() {
    let place = Place::new("many", Form::Containers);
    std::thread::scope(|scope| {
        for number in 0..16 {
            let keeper = &place.keeper;
            scope.spawn(move || {
                for round in 0..4 {
                    let name = format!("r{number}-{round}.example");
                    keeper.store(&name, &basic(&name)).unwrap();
                }
            });
        }
    });
    for number in 0..16 {
        for round in 0..4 {
            let name = format!("r{number}-{round}.example");
            assert_eq!(place.find(&name), format!("user:{name}"));
        }
    }
}

#[test]
fn a_link_to_a_file_stays_one() {
    let place = Place::new("link", Form::Docker);
    place.write("{}");
    let real = place.directory.join("real.json");
    std::fs::rename(&place.keeper.file, &real).unwrap();
    std::os::unix::fs::symlink(&real, &place.keeper.file).unwrap();
    place.keeper.store("r.example", &basic("one")).unwrap();
    assert!(place.keeper.file.is_symlink());
    assert_eq!(place.find("r.example"), "user:one");
}
