//! Images of Debian's packages: what is installed on this machine, with everything that it depends on, as its own files.

use crate::images_scratch::Scratch;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const STATUS: &str = "/var/lib/dpkg/status";
const LISTS: &str = "/var/lib/dpkg/info";
/// What images of distributions have, too.
const BASE: [&str; 6] = ["base-files", "bash", "coreutils", "dash", "grep", "util-linux"];
/// Nobody reads these in a container.
const LEFT_OUT: [&str; 8] = [
    "/usr/share/doc/",
    "/usr/share/man/",
    "/usr/share/locale/",
    "/usr/share/info/",
    "/usr/share/lintian/",
    "/usr/share/bash-completion/",
    "/usr/share/i18n/",
    "/usr/include/",
];
/// What the packages' scripts make when they are installed.
const MADE: [&str; 12] = [
    "/etc/environment",
    "/etc/group",
    "/etc/ld.so.cache",
    "/etc/login.defs",
    "/etc/nsswitch.conf",
    "/etc/pam.d/common-account",
    "/etc/pam.d/common-auth",
    "/etc/pam.d/common-password",
    "/etc/pam.d/common-session",
    "/etc/pam.d/common-session-noninteractive",
    "/etc/passwd",
    "/etc/shadow",
];
const MERGED: [&str; 4] = ["/bin", "/sbin", "/lib", "/lib64"];

/// An installed package.
#[derive(Default)]
struct Package {
    /// Of each dependency the names, one of which is enough.
    needs: Vec<Vec<String>>,
    provides: Vec<String>,
}

fn installed() -> BTreeMap<String, Package> {
    let text = std::fs::read_to_string(STATUS).unwrap_or_default();
    let mut all = BTreeMap::new();
    for paragraph in text.split("\n\n") {
        let field = |name: &str| {
            paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let Some(name) = field("Package") else { continue };
        if field("Status") != Some("install ok installed") {
            continue;
        }
        let plain = |text: &str| {
            let word = text.trim().split([' ', '(']).next().unwrap_or_default();
            word.split(':').next().unwrap_or_default().to_owned()
        };
        let list = |field_name: &str| -> Vec<String> {
            field(field_name).into_iter().flat_map(|it| it.split(',')).map(str::to_owned).collect()
        };
        let needs = list("Depends").into_iter().chain(list("Pre-Depends"));
        let package = Package {
            needs: needs.map(|it| it.split('|').map(plain).collect()).collect(),
            provides: list("Provides").iter().map(|it| plain(it)).collect(),
        };
        all.insert(name.to_owned(), package);
    }
    all
}

/// The packages with all that they depend on, but for some that their programs do without.
fn closure(wanted: &[&str], without: &[&str]) -> Option<BTreeSet<String>> {
    let all = installed();
    let find = |name: &String| {
        let provided = || all.iter().find(|(_, it)| it.provides.contains(name)).map(|it| it.0);
        all.get_key_value(name).map(|it| it.0).or_else(provided)
    };
    let mut found = BTreeSet::new();
    let mut open: Vec<String> = wanted.iter().chain(&BASE).map(|it| (*it).to_owned()).collect();
    while let Some(name) = open.pop() {
        let package = all.get(&name)?;
        if without.contains(&name.as_str()) || !found.insert(name.clone()) {
            continue;
        }
        open.extend(package.needs.iter().filter_map(|names| names.iter().find_map(find).cloned()));
    }
    Some(found)
}

/// The files of packages, with the links of merged directories resolved.
fn files(packages: &BTreeSet<String>) -> BTreeSet<String> {
    let mut files: BTreeSet<String> = MERGED.iter().chain(&MADE).map(|it| (*it).into()).collect();
    for package in packages {
        let list = [format!("{LISTS}/{package}.list"), format!("{LISTS}/{package}:amd64.list")];
        let text = list.iter().find_map(|path| std::fs::read_to_string(path).ok());
        for line in text.unwrap_or_default().lines().filter(|line| line.starts_with('/')) {
            let merged = MERGED.iter().find(|top| {
                line.strip_prefix(**top).is_some_and(|rest| rest.starts_with('/'))
                    && Path::new(top).is_symlink()
            });
            let line = match merged {
                Some(_) => format!("/usr{line}"),
                None => line.to_owned(),
            };
            if line == "/." || LEFT_OUT.iter().any(|top| line.starts_with(top)) {
                continue;
            }
            files.insert(line);
        }
    }
    files.retain(|path| Path::new(path).symlink_metadata().is_ok());
    files
}

/// What is in an image.
pub(crate) struct Recipe {
    pub(crate) packages: &'static [&'static str],
    /// What they depend on, and their programs do without.
    pub(crate) without: &'static [&'static str],
}

/// Makes an image of packages. `false`: they are not installed; said by SKIP.
pub(crate) fn image(
    test: &str,
    scratch: &Scratch,
    name: &str,
    recipe: &Recipe,
    changes: &[&str],
) -> bool {
    let Some(packages) = closure(recipe.packages, recipe.without) else {
        e2e::skip(test, &format!("needs the packages {}", recipe.packages.join(", ")));
        return false;
    };
    let list: String = files(&packages).into_iter().map(|path| path + "\0").collect();
    std::fs::write(scratch.path("list"), list).expect("writing the list of files");
    let tar = scratch.path(&format!("{}.tar", name.replace([':', '/'], "-")));
    scratch.sh(&format!(
        "tar -C / --no-recursion --null -T list --xattrs --xattrs-include=security.capability -cf {tar} 2> tar.log
         mkdir -p more/tmp more/run more/root more/proc more/sys more/dev more/var/tmp
         chmod 1777 more/tmp more/var/tmp; chmod 700 more/root
         [ -e more/var/run ] || ln -s /run more/var/run
         tar -C more -rf {tar} ."
    ));
    let mut args = vec!["import", "-q"];
    args.extend(changes.iter().flat_map(|change| ["--change", change]));
    args.extend([tar.as_str(), name]);
    scratch.ok(&args);
    std::fs::remove_file(&tar).expect("removing the archive");
    true
}
