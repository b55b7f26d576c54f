//! The search of musl's loader. Where the machine has one (or `PKG_TEST_MUSL` says where), it is
//! asked as glibc's is in the other tests; elsewhere the cases are those of its source.

use super::*;

const MUSL: &str = "/lib/ld-musl-x86_64.so.1";

const PLAIN: Spec<'_> =
    Spec { soname: None, needs: &[], rpath: None, runpath: None, options: &[], is_32_bit: false };

fn real_musl() -> Option<PathBuf> {
    let path = std::env::var_os("PKG_TEST_MUSL").map_or(MUSL.into(), PathBuf::from);
    path.exists().then_some(path)
}

/// A system with musl's loader, or with something that has as much of it as headers tell.
fn musl() -> Root {
    let root = Root { directory: Temporary::new() };
    match real_musl() {
        Some(real) => drop(fs::copy(real, root.at(MUSL)).unwrap()),
        None => root.library(MUSL, PLAIN),
    }
    root
}

fn program(root: &Root, path: &str, spec: Spec<'_>) {
    root.build(path, &["-pie", "-e", "0", "--dynamic-linker", MUSL], spec);
}

fn check(root: &Root, program: &str, expected: &[&str]) {
    assert_eq!(loaded(&root.host(), program).unwrap(), expected, "{program}");
    if real_musl().is_none() || !is_root() {
        return skip("needs musl's loader, and root for chroot");
    }
    let packed = Temporary::new();
    root.closure(program).unwrap().write_to(&packed.0, std::time::UNIX_EPOCH).unwrap();
    for tree in [&root.directory.0, &packed.0] {
        let mut command = Command::new("/usr/sbin/chroot");
        let output = run(command.arg(tree).args([MUSL, "--list", program]).env_clear());
        let mut paths = parse_list(&output.stdout);
        paths.retain(|path| path != MUSL);
        assert_eq!(paths, expected, "{program} in {}", tree.display());
    }
}

#[test]
fn libc_is_the_loader_and_the_default_directories_are_musls() {
    if !can_build() {
        return;
    }
    let root = musl();
    let needs = &["libc.so", "libc.musl-x86_64.so.1", "libpthread.so.0", "liba.so", "libb.so"];
    program(&root, "/bin/p", Spec { needs, ..PLAIN });
    root.library("/usr/lib/liba.so", Spec { needs: &["libm.so.6"], ..PLAIN });
    root.library("/usr/local/lib/liba.so", PLAIN);
    root.library("/usr/lib/libb.so", PLAIN);
    // Neither Debian's directories nor glibc's configuration mean anything here.
    root.library("/lib/x86_64-linux-gnu/libb.so", PLAIN);
    root.file("/etc/ld.so.conf", "/lib/x86_64-linux-gnu\n", 0o644);
    check(&root, "/bin/p", &["/usr/local/lib/liba.so", "/usr/lib/libb.so"]);
    let expected = "/bin/\n/bin/p\n/lib/\n/lib/ld-musl-x86_64.so.1\n/usr/\n/usr/lib/\n\
                    /usr/lib/libb.so\n/usr/local/\n/usr/local/lib/\n/usr/local/lib/liba.so\n";
    assert_eq!(root.listing("/bin/p"), expected);
}

#[test]
fn the_path_file_replaces_the_default_directories_and_is_packed() {
    if !can_build() {
        return;
    }
    let root = musl();
    program(&root, "/bin/p", Spec { needs: &["liba.so"], ..PLAIN });
    root.library("/usr/lib/liba.so", PLAIN);
    root.library("/opt/two/liba.so", PLAIN);
    root.file("/etc/ld-musl-x86_64.path", "/opt/one\n/opt/two:/opt/three\n", 0o644);
    check(&root, "/bin/p", &["/opt/two/liba.so"]);
    let expected = "/bin/\n/bin/p\n/etc/\n/etc/ld-musl-x86_64.path\n/lib/\n\
                    /lib/ld-musl-x86_64.so.1\n/opt/\n/opt/two/\n/opt/two/liba.so\n";
    assert_eq!(root.listing("/bin/p"), expected);
    fs::write(root.at("/etc/ld-musl-x86_64.path"), "").unwrap();
    assert_eq!(root.error("/bin/p"), "NotFound: library liba.so, which /bin/p needs, not found");
}

#[test]
fn run_paths_of_both_kinds_are_inherited() {
    if !can_build() {
        return;
    }
    for is_runpath in [true, false] {
        let root = musl();
        let path = Some("$ORIGIN/../r");
        let (runpath, rpath) = if is_runpath { (path, None) } else { (None, path) };
        program(&root, "/bin/p", Spec { runpath, rpath, needs: &["liba.so"], ..PLAIN });
        root.library("/r/liba.so", Spec { needs: &["libb.so"], ..PLAIN });
        root.library("/r/libb.so", PLAIN);
        root.library("/lib/libb.so", PLAIN);
        check(&root, "/bin/p", &["/bin/../r/liba.so", "/bin/../r/libb.so"]);
    }
}

#[test]
fn a_soname_is_not_a_name() {
    if !can_build() {
        return;
    }
    let root = musl();
    program(&root, "/bin/p", Spec { needs: &["liba.so", "libb.so"], ..PLAIN });
    root.library("/lib/liba.so", Spec { soname: Some("libb.so"), ..PLAIN });
    root.library("/lib/libb.so", PLAIN);
    check(&root, "/bin/p", &["/lib/liba.so", "/lib/libb.so"]);
}

#[test]
fn libraries_are_loaded_breadth_first_and_by_slash() {
    if !can_build() {
        return;
    }
    let root = musl();
    let needs = &["liba.so", "/opt/x/libx.so", "libb.so"];
    program(&root, "/bin/p", Spec { needs, ..PLAIN });
    root.library("/lib/liba.so", Spec { needs: &["libc1.so"], ..PLAIN });
    root.library("/lib/libb.so", Spec { needs: &["libx.so", "liba.so"], ..PLAIN });
    root.library("/lib/libc1.so", PLAIN);
    root.library("/lib/libx.so", PLAIN);
    root.library("/opt/x/libx.so", PLAIN);
    let expected =
        ["/lib/liba.so", "/opt/x/libx.so", "/lib/libb.so", "/lib/libc1.so", "/lib/libx.so"];
    check(&root, "/bin/p", &expected);
}
