//! `list`, `state` and `ps`: tables and JSON in runc's form.

use crate::log::{print, print_line};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::{Map, Status};
use runtime::error::Error;
use runtime::state::Record;
use runtime::verbs::Listed;
use sys::{CWD, fs};

oci::report! {
    /// The state document with runc's additional fields, in runc's order.
    State {
        oci_version: String => always,
        id: String => always,
        pid: i32 => always,
        status: Status => always,
        bundle: String => always,
        rootfs: String => always,
        created: String => always,
        annotations: Map,
        owner: String => always,
    }
}

/// What is known of a container.
pub fn state(record: &Record, status: Status) -> State {
    State {
        oci_version: record.oci_version.clone(),
        id: record.id.clone(),
        pid: if status == Status::Stopped { 0 } else { record.pid },
        status,
        bundle: record.bundle.clone(),
        rootfs: record.rootfs.clone(),
        created: record.created.clone(),
        annotations: record.annotations.clone(),
        owner: owner(record.owner),
    }
}

/// Name of a user of the host, or its number.
fn owner(uid: u32) -> String {
    let text = fs::read_file(CWD, "/etc/passwd", 10 << 20).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let name = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| String::from(name))
    });
    name.unwrap_or_else(|| format!("#{uid}"))
}

/// Prints the containers.
pub fn list(listed: &[Listed], format: &str, quiet: bool) -> Result<(), Error> {
    if quiet {
        return listed.iter().try_for_each(|container| print_line(format!("{}", container.id)));
    }
    let known = listed.iter().filter_map(|c| c.record.as_ref().map(|record| (record, c.status)));
    match format {
        "json" if listed.is_empty() => print_line(String::from("null")),
        "json" => {
            let all: Vec<State> = known.map(|(record, status)| state(record, status)).collect();
            print_line(oci::json::write(&all))
        }
        "table" => {
            let header = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(String::from);
            let mut rows = Vec::from([header]);
            for Listed { id, record, status } in listed {
                let Some(record) = record else {
                    let empty = String::new;
                    let what = String::from("incomplete");
                    rows.push([
                        format!("{id}"),
                        String::from("0"),
                        what,
                        empty(),
                        empty(),
                        empty(),
                    ]);
                    continue;
                };
                let stopped = *status == Status::Stopped;
                rows.push([
                    format!("{id}"),
                    format!("{}", if stopped { 0 } else { record.pid }),
                    String::from(status.name()),
                    record.bundle.clone(),
                    record.created.clone(),
                    owner(record.owner),
                ]);
            }
            table(&rows)
        }
        other => {
            Err(Error::invalid(format!("invalid format option {other:?}, expected table or json")))
        }
    }
}

/// Columns as wide as their widest cell and three blanks.
fn table<const N: usize>(rows: &[[String; N]]) -> Result<(), Error> {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; N] = core::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if column + 1 < N {
                text.extend(core::iter::repeat_n(' ', widths[column] - cell.len() + 3));
            }
        }
        text.push('\n');
    }
    print(&text)
}

/// Prints the processes with `ps`, of whose output the container's lines are kept.
pub fn processes(pids: &[i32], format: &str, options: &[String]) -> Result<(), Error> {
    match format {
        "json" => return print_line(oci::json::write(&pids)),
        "table" => {}
        other => {
            return Err(Error::invalid(format!(
                "invalid format option {other:?}, expected table or json"
            )));
        }
    }
    let mut args = Vec::from([String::from("ps")]);
    match options.is_empty() {
        true => args.push(String::from("-ef")),
        false => args.extend_from_slice(options),
    }
    let text = run_ps(&args)?;
    let mut lines = text.lines();
    let header = lines.next().unwrap_or("");
    let column = header
        .split_ascii_whitespace()
        .position(|name| name == "PID")
        .ok_or_else(|| Error::invalid("couldn't find PID field in ps output"))?;
    print_line(String::from(header))?;
    for line in lines {
        let pid = line.split_ascii_whitespace().nth(column).and_then(|text| text.parse().ok());
        if pid.is_some_and(|pid: i32| pids.contains(&pid)) {
            print_line(String::from(line))?;
        }
    }
    Ok(())
}

fn run_ps(args: &[String]) -> Result<String, Error> {
    let failed = |errno| Error::os("running ps", errno);
    let args = sys::CStrings::new(args).map_err(failed)?;
    let env = sys::CStrings::new(&["PATH=/usr/bin:/bin"]).map_err(failed)?;
    let (output, input) = fs::pipe().map_err(failed)?;
    let Some(child) = sys::process::fork(sys::process::Clone::default()).map_err(failed)? else {
        let _ = fs::duplicate_to(&input, 1);
        sys::process::exec("/usr/bin/ps", &args, &env);
        sys::process::exec("/bin/ps", &args, &env);
        sys::process::exit(127)
    };
    drop(input);
    let text = fs::read_to_end(&output, 64 << 20).map_err(failed)?;
    match sys::wait::child(child.pid, true).map_err(failed)? {
        Some((_, sys::wait::Exit::Code(0))) => Ok(String::from_utf8_lossy(&text).into_owned()),
        _ => Err(Error::invalid("ps failed")
            .with_hint("it may not be installed, or not know the options")),
    }
}
