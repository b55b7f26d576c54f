//! The search of musl's loader. It has no `--list`, and few machines have it; the cases are those of
//! its source.

use super::*;

const MUSL: &str = "/lib/ld-musl-x86_64.so.1";

/// A system with musl's loader, as far as headers tell.
fn musl() -> Root {
    let root = Root { directory: Temporary::new() };
    root.library("/lib/ld-musl-x86_64.so.1", Spec::default());
    root
}

fn program(root: &Root, path: &str, spec: Spec<'_>) {
    root.build(path, &["-e", "0", "--dynamic-linker", MUSL], spec);
}

#[test]
fn libc_is_the_loader_and_the_default_directories_are_musls() {
    if !can_build() {
        return;
    }
    let root = musl();
    let needs = &["libc.so", "libc.musl-x86_64.so.1", "libpthread.so.0", "liba.so", "libb.so"];
    program(&root, "/bin/p", Spec { needs, ..Spec::default() });
    root.library("/usr/lib/liba.so", Spec { needs: &["libm.so.6"], ..Spec::default() });
    root.library("/usr/local/lib/liba.so", Spec::default());
    root.library("/usr/lib/libb.so", Spec::default());
    // Neither Debian's directories nor glibc's configuration mean anything here.
    root.library("/lib/x86_64-linux-gnu/libb.so", Spec::default());
    root.file("/etc/ld.so.conf", "/lib/x86_64-linux-gnu\n", 0o644);
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
    program(&root, "/bin/p", Spec { needs: &["liba.so"], ..Spec::default() });
    root.library("/usr/lib/liba.so", Spec::default());
    root.library("/opt/two/liba.so", Spec::default());
    root.file("/etc/ld-musl-x86_64.path", "/opt/one\n/opt/two:/opt/three\n", 0o644);
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
    let root = musl();
    let spec = Spec { runpath: Some("$ORIGIN/../r"), needs: &["liba.so"], ..Spec::default() };
    program(&root, "/bin/p", spec);
    root.library("/r/liba.so", Spec { needs: &["libb.so"], ..Spec::default() });
    root.library("/r/libb.so", Spec::default());
    root.library("/lib/libb.so", Spec::default());
    let host = root.host();
    assert_eq!(loaded(&host, "/bin/p").unwrap(), ["/bin/../r/liba.so", "/bin/../r/libb.so"]);
}

#[test]
fn a_soname_is_not_a_name() {
    if !can_build() {
        return;
    }
    let root = musl();
    program(&root, "/bin/p", Spec { needs: &["liba.so", "libb.so"], ..Spec::default() });
    root.library("/lib/liba.so", Spec { soname: Some("libb.so"), ..Spec::default() });
    root.library("/lib/libb.so", Spec::default());
    assert_eq!(loaded(&root.host(), "/bin/p").unwrap(), ["/lib/liba.so", "/lib/libb.so"]);
}
