//! The search of glibc's loader, case by case.

use super::*;
use crate::ErrorKind;

const PLAIN: Spec<'_> =
    Spec { soname: None, needs: &[], rpath: None, runpath: None, options: &[], is_32_bit: false };

fn needs<'a>(needs: &'a [&'a str]) -> Spec<'a> {
    Spec { needs, ..PLAIN }
}

#[test]
fn default_directories_are_searched_in_order() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    root.program("/bin/p", needs(&["liba.so", "libb.so"]));
    root.library("/lib/x86_64-linux-gnu/liba.so", PLAIN);
    root.library("/usr/lib/x86_64-linux-gnu/liba.so", PLAIN);
    root.library("/usr/lib/liba.so", PLAIN);
    root.library("/usr/lib/libb.so", PLAIN);
    root.check("/bin/p", &["/lib/x86_64-linux-gnu/liba.so", "/usr/lib/libb.so"]);
}

#[test]
fn libraries_are_loaded_breadth_first() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    root.program("/bin/p", needs(&["liba.so", "libb.so"]));
    root.library("/usr/lib/liba.so", needs(&["libd.so", "libc1.so"]));
    root.library("/usr/lib/libb.so", needs(&["libc1.so", "liba.so"]));
    root.library("/usr/lib/libc1.so", PLAIN);
    root.library("/usr/lib/libd.so", needs(&["libb.so"]));
    let all = ["/usr/lib/liba.so", "/usr/lib/libb.so", "/usr/lib/libd.so", "/usr/lib/libc1.so"];
    root.check("/bin/p", &all);
}

#[test]
fn rpath_is_inherited_from_who_loads() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    root.program("/bin/p", Spec { rpath: Some("/r"), ..needs(&["liba.so"]) });
    root.library("/r/liba.so", needs(&["libb.so"]));
    root.library("/r/libb.so", PLAIN);
    root.library("/usr/lib/libb.so", PLAIN);
    root.check("/bin/p", &["/r/liba.so", "/r/libb.so"]);
}

#[test]
fn the_rpath_nearest_to_who_asks_wins() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    root.program("/bin/p", Spec { rpath: Some("/r"), ..needs(&["liba.so"]) });
    root.library("/r/liba.so", Spec { rpath: Some("/none:/a"), ..needs(&["libb.so"]) });
    root.library("/a/libb.so", needs(&["libc1.so"]));
    for directory in ["r", "usr/lib"] {
        root.library(&format!("/{directory}/libb.so"), PLAIN);
        root.library(&format!("/{directory}/libc1.so"), PLAIN);
    }
    root.check("/bin/p", &["/r/liba.so", "/a/libb.so", "/r/libc1.so"]);
}

#[test]
fn runpath_is_for_direct_dependencies_only() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    root.program("/bin/p", Spec { runpath: Some("/r"), ..needs(&["liba.so"]) });
    root.library("/r/liba.so", needs(&["libb.so"]));
    root.library("/r/libb.so", PLAIN);
    root.library("/usr/lib/libb.so", PLAIN);
    root.check("/bin/p", &["/r/liba.so", "/usr/lib/libb.so"]);
}

#[test]
fn who_has_a_runpath_is_not_helped_by_an_rpath() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    root.program("/bin/p", Spec { rpath: Some("/r"), ..needs(&["liba.so"]) });
    root.library("/r/liba.so", Spec { runpath: Some("/none"), ..needs(&["libb.so"]) });
    root.library("/r/libb.so", PLAIN);
    // What libb loads goes through libb (no path), liba (a runpath, so no rpath) and the program.
    root.library("/usr/lib/libb.so", needs(&["libc1.so"]));
    root.library("/r/libc1.so", PLAIN);
    root.library("/usr/lib/libc1.so", PLAIN);
    root.check("/bin/p", &["/r/liba.so", "/usr/lib/libb.so", "/r/libc1.so"]);
}

#[test]
fn rpath_is_ignored_beside_a_runpath() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    root.program("/bin/p", needs(&["liba.so"]));
    // ld writes one of the two: let it write an auxiliary filter, and make that the DT_RPATH.
    let spec = Spec { runpath: Some("/run"), options: &["-f", "/r"], ..needs(&["libb.so"]) };
    root.library("/usr/lib/liba.so", spec);
    let mut bytes = fs::read(root.at("/usr/lib/liba.so")).unwrap();
    let auxiliary = 0x7fff_fffd_u64.to_le_bytes();
    let at = bytes.windows(8).position(|window| window == auxiliary).unwrap();
    bytes[at..at + 8].copy_from_slice(&15u64.to_le_bytes());
    fs::write(root.at("/usr/lib/liba.so"), bytes).unwrap();
    root.library("/r/libb.so", PLAIN);
    root.library("/run/libb.so", PLAIN);
    root.check("/bin/p", &["/usr/lib/liba.so", "/run/libb.so"]);
}

#[test]
fn origin_is_the_real_directory_of_a_program_and_the_found_one_of_a_library() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    let spec = Spec { runpath: Some("$ORIGIN/../lib"), ..needs(&["liba.so"]) };
    root.program("/opt/app/bin/p", spec);
    root.link("/usr/bin/p", "../../opt/app/bin/p");
    let spec = Spec { rpath: Some("${ORIGIN}/sub"), ..needs(&["libb.so"]) };
    root.library("/opt/real/liba.so.1", spec);
    root.link("/opt/app/lib/liba.so", "/opt/real/liba.so.1");
    root.library("/opt/real/sub/libb.so", PLAIN);
    root.library("/opt/app/lib/sub/libb.so", PLAIN);
    let expected = ["/opt/app/bin/../lib/liba.so", "/opt/app/bin/../lib/sub/libb.so"];
    root.check("/usr/bin/p", &expected);
}

#[test]
fn lib_and_platform_expand_to_what_exists() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    root.program("/bin/p", Spec { runpath: Some("/o/$LIB:/q/$PLATFORM"), ..needs(&["liba.so"]) });
    root.library("/o/lib64/liba.so", PLAIN);
    assert_eq!(loaded(&root.host(), "/bin/p").unwrap(), ["/o/lib64/liba.so"]);
    fs::remove_file(root.at("/o/lib64/liba.so")).unwrap();
    // Both, because which one is taken depends on the CPU.
    root.library("/q/haswell/liba.so", PLAIN);
    root.library("/q/x86_64/liba.so", PLAIN);
    let both = ["/q/haswell/liba.so", "/q/x86_64/liba.so"];
    assert_eq!(loaded(&root.host(), "/bin/p").unwrap(), both);
}

#[test]
fn a_name_with_a_slash_is_a_path() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    let spec = Spec { rpath: Some("/usr/lib"), ..needs(&["/opt/x/liba.so", "$ORIGIN/libb.so"]) };
    root.program("/bin/p", spec);
    root.library("/opt/x/liba.so", PLAIN);
    root.library("/bin/libb.so", PLAIN);
    root.check("/bin/p", &["/opt/x/liba.so", "/bin/libb.so"]);
}

#[test]
fn a_loaded_soname_satisfies_a_need() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    root.program("/bin/p", needs(&["liba.so", "libb.so.1", "ld-linux-x86-64.so.2"]));
    root.library("/usr/lib/liba.so", Spec { soname: Some("libb.so.1"), ..PLAIN });
    root.check("/bin/p", &["/usr/lib/liba.so"]);
}

#[test]
fn one_file_by_two_names_is_loaded_once_and_packed_by_both() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    root.program("/bin/p", needs(&["liba.so", "libb.so"]));
    root.library("/usr/lib/libreal.so", PLAIN);
    root.link("/usr/lib/liba.so", "libreal.so");
    root.link("/usr/lib/libb.so", "libreal.so");
    let both = ["/usr/lib/liba.so", "/usr/lib/libb.so"];
    assert_eq!(loaded(&root.host(), "/bin/p").unwrap(), both);
    root.check_packed("/bin/p", &["/usr/lib/liba.so"]);
}

#[test]
fn libraries_of_another_class_are_skipped() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    root.program("/bin/p", Spec { rpath: Some("/r"), ..needs(&["liba.so"]) });
    root.library("/r/liba.so", Spec { is_32_bit: true, ..PLAIN });
    root.library("/usr/lib/liba.so", PLAIN);
    root.check("/bin/p", &["/usr/lib/liba.so"]);
    fs::remove_file(root.at("/usr/lib/liba.so")).unwrap();
    assert_eq!(root.error("/bin/p"), "NotFound: library liba.so, which /bin/p needs, not found");
}

#[test]
fn a_missing_library_is_named_with_who_needs_it() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    root.program("/bin/p", needs(&["liba.so"]));
    root.library("/usr/lib/liba.so", needs(&["libgone.so.3"]));
    let error = root.closure("/bin/p").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let message = "library libgone.so.3, which /usr/lib/liba.so needs, not found";
    assert_eq!(error.to_string(), message);
    assert!(error.hint().unwrap().contains("install the library"));
    // It is somewhere that ldconfig would look into, and was not run for.
    root.file("/etc/ld.so.cache", "", 0o644);
    fs::write(root.at("/etc/ld.so.cache"), crate::ldcache::write(&CacheEntries::new())).unwrap();
    root.file("/etc/ld.so.conf", "/opt/lib\n", 0o644);
    root.library("/opt/lib/libgone.so.3", PLAIN);
    let hint = root.closure("/bin/p").unwrap_err().hint().unwrap().to_owned();
    assert!(hint.contains("/opt/lib/libgone.so.3") && hint.contains("ldconfig"), "{hint}");
}

#[test]
fn a_missing_loader_is_named() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    root.program("/bin/p", needs(&[]));
    fs::remove_file(root.at(LOADER)).unwrap();
    let message = format!("NotFound: loader {LOADER} of /bin/p not found");
    assert_eq!(root.error("/bin/p"), message);
}

#[test]
fn no_default_libraries_means_none() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    let spec = Spec { options: &["-z", "nodefaultlib"], ..needs(&["liba.so"]) };
    root.program("/bin/p", spec);
    root.library("/usr/lib/liba.so", PLAIN);
    assert!(root.error("/bin/p").contains("liba.so"));
    root.program("/bin/p", Spec { runpath: Some("/r"), ..spec });
    root.library("/r/liba.so", needs(&["libb.so"]));
    root.library("/usr/lib/libb.so", PLAIN);
    root.check("/bin/p", &["/r/liba.so", "/usr/lib/libb.so"]);
}

#[test]
fn filters_are_loaded_and_auxiliary_ones_may_be_missing() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    root.program("/bin/p", needs(&["liba.so"]));
    root.library(
        "/usr/lib/liba.so",
        Spec { options: &["-F", "libf.so", "-f", "libno.so"], ..PLAIN },
    );
    root.library("/usr/lib/libf.so", PLAIN);
    root.check("/bin/p", &["/usr/lib/liba.so", "/usr/lib/libf.so"]);
    fs::remove_file(root.at("/usr/lib/libf.so")).unwrap();
    assert!(root.error("/bin/p").contains("libf.so"));
}

#[test]
fn configured_directories_are_searched_where_there_is_no_cache() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    root.file("/etc/ld.so.conf", "# mine\ninclude ld.so.conf.d/*.conf\n/opt/last\n", 0o644);
    root.file("/etc/ld.so.conf.d/b.conf", "/opt/b # second\n", 0o644);
    root.file("/etc/ld.so.conf.d/a.conf", "/opt/a\ninclude /etc/ld.so.conf.d/b.conf\n", 0o644);
    root.file("/etc/ld.so.conf.d/c.off", "/opt/c\n", 0o644);
    root.program("/bin/p", needs(&["liba.so", "libb.so", "liblast.so"]));
    for path in ["/opt/a/liba.so", "/opt/b/liba.so", "/opt/b/libb.so", "/opt/c/liblast.so"] {
        root.library(path, PLAIN);
    }
    root.library("/opt/last/liblast.so", PLAIN);
    root.library("/usr/lib/liba.so", PLAIN);
    let expected = ["/opt/a/liba.so", "/opt/b/libb.so", "/opt/last/liblast.so"];
    assert_eq!(loaded(&root.host(), "/bin/p").unwrap(), expected);
    root.check_packed("/bin/p", &expected);
    if is_root() {
        root.ldconfig();
        root.check("/bin/p", &expected);
    }
}

#[test]
fn includes_that_do_not_end_are_an_error() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    root.file("/etc/ld.so.conf", "include ld.so.conf\n", 0o644);
    root.program("/bin/p", needs(&["liba.so"]));
    assert!(root.error("/bin/p").starts_with("Unsupported: reading /etc/ld.so.conf"));
}

#[test]
fn the_cache_decides_where_there_is_one() {
    if !can_build() || !is_root() {
        return skip("ldconfig -r needs root");
    }
    let root = Root::new();
    root.file("/etc/ld.so.conf", "/opt/new\n/opt/old\n", 0o644);
    root.program("/bin/p", needs(&["liba.so.1", "libb.so"]));
    root.library("/opt/old/liba.so.1", Spec { soname: Some("liba.so.1"), ..PLAIN });
    root.library("/opt/old/libb.so", PLAIN);
    root.library("/usr/lib/libb.so", PLAIN);
    root.ldconfig();
    // Installed without ldconfig: the host's programs do not load it.
    root.library("/opt/new/liba.so.1", Spec { soname: Some("liba.so.1"), ..PLAIN });
    root.check("/bin/p", &["/opt/old/liba.so.1", "/opt/old/libb.so"]);
    // Gone since: the default directories are left.
    fs::remove_file(root.at("/opt/old/libb.so")).unwrap();
    root.check("/bin/p", &["/opt/old/liba.so.1", "/usr/lib/libb.so"]);
}

#[test]
fn every_cpu_level_is_packed_and_the_loader_takes_its_own() {
    if !can_build() {
        return;
    }
    let level = |level| format!("glibc-hwcaps/x86-64-v{level}/liba.so");
    for (directory, spec) in [
        ("/usr/lib", needs(&["liba.so"])),
        ("/r", Spec { rpath: Some("/r"), ..needs(&["liba.so"]) }),
        ("/opt/conf", needs(&["liba.so"])),
    ] {
        let root = Root::new();
        root.file("/etc/ld.so.conf", "/opt/conf\n", 0o644);
        root.program("/bin/p", spec);
        let plain = format!("{directory}/liba.so");
        let variants: Vec<_> =
            [4, 3, 2].iter().map(|at| format!("{directory}/{}", level(at))).collect();
        for path in variants.iter().chain([&plain]) {
            root.library(path, PLAIN);
        }
        let all: Vec<_> = variants.iter().chain([&plain]).map(String::as_str).collect();
        assert_eq!(loaded(&root.host(), "/bin/p").unwrap(), all);
        if !is_root() {
            continue;
        }
        // This CPU's choice is the same in the tree (with a cache of ldconfig's) and in the closure.
        root.ldconfig();
        let chosen = listed_by_loader(&root.directory.0, "/bin/p");
        assert!(chosen.len() == 1 && all.contains(&chosen[0].as_str()), "{chosen:?}");
        root.check_packed("/bin/p", &[chosen[0].as_str()]);
        let mut cached = loaded(&root.host(), "/bin/p").unwrap();
        assert_eq!(cached.last(), Some(&plain));
        cached.sort();
        assert_eq!(cached, sorted(&all));
    }
}

#[test]
fn static_programs_need_nothing() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    root.build("/bin/static", &["-static", "-e", "0"], PLAIN);
    root.build("/bin/pie", &["-pie", "--no-dynamic-linker", "-e", "0"], PLAIN);
    assert_eq!(root.listing("/bin/static"), "/bin/\n/bin/static\n");
    assert_eq!(root.listing("/bin/pie"), "/bin/\n/bin/pie\n");
}

#[test]
fn a_plug_in_brings_its_libraries() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    root.program("/bin/p", needs(&[]));
    root.library("/opt/plug/x.so", Spec { runpath: Some("$ORIGIN"), ..needs(&["liba.so"]) });
    root.library("/opt/plug/liba.so", PLAIN);
    let wanted = [Wanted::Program("p".into()), Wanted::Path("/opt/plug/x.so".into())];
    let closure = crate::closure(&root.host(), &wanted).unwrap();
    assert!(listing(&closure).contains("/opt/plug/\n/opt/plug/liba.so\n/opt/plug/x.so\n"));
}
