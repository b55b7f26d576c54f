//! The store of an ordinary user.

use super::*;
use std::os::unix::process::CommandExt;
use std::process::Command;

const ROOT: &str = "TARE_STORE_UNPRIVILEGED";

#[test]
#[ignore = "what the other test starts"]
fn user() {
    let Some(root) = std::env::var_os(ROOT) else { return };
    let store = open(Path::new(&root)).unwrap();
    let image = Image::new(&[1, 2]);
    image.pull(&store, "example.com/a:1").unwrap();
    // A directory that its owner may not write to is removed all the same.
    let locked = store.path().join(format!("layers/{}/diff/etc", key(1)));
    std::fs::write(locked.join("x"), "").unwrap();
    for mode in [0o000, 0o555] {
        use std::os::unix::fs::PermissionsExt;
        let path = if mode == 0 { locked.clone() } else { locked.parent().unwrap().into() };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    store.untag("example.com/a:1", None).unwrap();
    store.collect().unwrap();
    assert_eq!(leftovers(store.path()), Vec::<PathBuf>::new());
    assert_eq!(findings(&store), []);
}

#[test]
fn an_ordinary_user_has_a_store() {
    const NOBODY: u32 = 65534;
    if !sys::ids::is_administrator() {
        return skips::skip("an_ordinary_user_has_a_store", "only root can become another user");
    }
    let scratch = Scratch::new();
    std::os::unix::fs::chown(&scratch.0, Some(NOBODY), Some(NOBODY)).unwrap();
    // A copy: the user may not be let to where programs are built.
    let program = scratch.0.join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let output = Command::new(program)
        .args(["--exact", "tests::unprivileged::user", "--ignored", "--nocapture"])
        .env(ROOT, &scratch.0)
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    // A name that no test has any more would be a success, too.
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
