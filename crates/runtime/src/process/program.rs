//! Finding and executing the program.

use crate::error::{Error, Kind, Result};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::Process;
use sys::{CStrings, CWD, Errno, fs};

/// A program with everything that `execve` takes, checked as far as one can before doing it.
pub struct Program {
    path: String,
    name: String,
    args: CStrings,
    env: CStrings,
}

/// The configured environment with the container's additions, and whether `HOME` is missing.
/// `LISTEN_PID` is the id that the program sees itself under, which is its own: 1 in a new pid
/// namespace.
pub(crate) fn environment(process: &Process, listen_fds: u32) -> (Vec<String>, bool) {
    let mut env = last_assignments(&process.env);
    if listen_fds > 0 {
        env.retain(|known| !known.starts_with("LISTEN_FDS=") && !known.starts_with("LISTEN_PID="));
        env.push(format!("LISTEN_FDS={listen_fds}"));
        env.push(format!("LISTEN_PID={}", sys::process::id()));
    }
    let home = env.iter().position(|known| known.starts_with("HOME="));
    let missing = match home {
        Some(at) if env[at] == "HOME=" => {
            env.remove(at);
            true
        }
        Some(_) => false,
        None => true,
    };
    (env, missing)
}

/// The last assignment of each name, in the place of its first one.
fn last_assignments(variables: &[String]) -> Vec<String> {
    let name = |index: usize| {
        let variable = variables[index].as_str();
        variable.split_once('=').map_or(variable, |(name, _)| name)
    };
    let mut order: Vec<usize> = (0..variables.len()).collect();
    oci::sort_by(&mut order, |&a, &b| name(a).cmp(name(b)).then(a.cmp(&b)));
    let mut last: Vec<Option<usize>> = alloc::vec![None; variables.len()];
    for same in order.chunk_by(|&a, &b| name(a) == name(b)) {
        last[same[0]] = same.last().copied();
    }
    last.into_iter().flatten().map(|index| variables[index].clone()).collect()
}

impl Program {
    /// Looks the program up as the shell does: by path when its name has a slash, else in the
    /// directories of the configured `PATH`.
    pub(super) fn find(process: &Process, env: &[String], home: Option<&str>) -> Result<Self> {
        let name = process.args[0].clone();
        let path = if name.contains('/') {
            name.clone()
        } else {
            let search = env.iter().find_map(|variable| variable.strip_prefix("PATH="));
            search_path(&name, search.unwrap_or("/usr/local/bin:/usr/bin:/bin"))?
        };
        check(&path).map_err(|errno| failure(&name, errno))?;
        let strings = |list: &[String]| {
            CStrings::new(list).map_err(|errno| Error::os("preparing the arguments", errno))
        };
        let home = home.map(|home| format!("HOME={home}"));
        let env: Vec<&str> = env.iter().chain(&home).map(String::as_str).collect();
        let env =
            CStrings::new(&env).map_err(|errno| Error::os("preparing the environment", errno))?;
        Ok(Self { args: strings(&process.args)?, env, path, name })
    }

    /// Its environment.
    pub(crate) fn env(&self) -> &CStrings {
        &self.env
    }

    /// Executes it. Returns only on error.
    pub(super) fn execute(&self) -> Error {
        let errno = sys::process::exec(&self.path, &self.args, &self.env);
        Error::program(&self.name, errno).with_hint(hint(errno))
    }
}

fn check(path: &str) -> sys::Result<()> {
    let stat = fs::stat_at(CWD, path, 0)?;
    if stat.st_mode & fs::S_IFMT == fs::S_IFDIR {
        return Err(Errno::EISDIR);
    }
    const EXECUTE: u32 = 1;
    match fs::access(CWD, path, EXECUTE, 0) {
        // faccessat2 is younger (5.8) than execve, which has the last word anyway. Outer filters
        // that do not know it answer EPERM, which it has no other reason for.
        Err(Errno::ENOSYS | Errno::EPERM) => Ok(()),
        result => result,
    }
}

fn search_path(name: &str, search: &str) -> Result<String> {
    let mut denied = false;
    for dir in search.split(':') {
        let path = match dir {
            "" => format!("./{name}"),
            dir => format!("{}/{name}", dir.trim_end_matches('/')),
        };
        match check(&path) {
            Ok(()) => return Ok(path),
            Err(Errno::EACCES) => denied = true,
            Err(_) => {}
        }
    }
    if denied {
        return Err(failure(name, Errno::EACCES));
    }
    let what = format!("exec: {name:?}: executable file not found in $PATH");
    Err(Error::new(Kind::NotFound, what)
        .with_hint("it has to be in the root file system, in a directory of PATH"))
}

/// The words are those that docker and podman look for to choose between exit codes 126 and 127.
fn failure(name: &str, errno: Errno) -> Error {
    Error::os(format!("exec: {name:?}"), errno).with_hint(hint(errno))
}

fn hint(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOENT => "the file, or the interpreter that it names, is not in the image",
        Errno::ENOEXEC => "it is neither a program of this machine nor a script with #!",
        Errno::EACCES => "it has to be a file with the execute permission",
        _ => "a program is a file that may be executed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn env(variables: &[&str]) -> (Vec<String>, bool) {
        let env = variables.iter().map(ToString::to_string).collect();
        environment(&Process { env, ..Process::default() }, 0)
    }

    #[test]
    fn the_last_assignment_wins_in_place() {
        let (env, missing) = env(&["A=1", "HOME=/h", "A=2", "B=", "A=3=4"]);
        assert_eq!(env, ["A=3=4", "HOME=/h", "B="]);
        assert!(!missing);
    }

    #[test]
    fn an_empty_home_is_a_missing_one() {
        assert_eq!(env(&["HOME=", "A=1"]), (vec!["A=1".to_string()], true));
        assert!(env(&[]).1);
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert_eq!(search_path("sh", "/nowhere:/bin/").unwrap(), "/bin/sh");
        let error = search_path("sh", "/nowhere").unwrap_err();
        assert_eq!(error.to_string(), "exec: \"sh\": executable file not found in $PATH");
        assert_eq!(search_path("passwd", "/etc").unwrap_err().errno(), Some(Errno::EACCES));
    }
}
