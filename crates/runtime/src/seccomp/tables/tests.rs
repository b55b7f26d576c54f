use super::*;
use std::collections::BTreeMap;
use std::path::Path;

fn lines() -> impl Iterator<Item = Vec<&'static str>> {
    let text = core::str::from_utf8(TEXT).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').collect())
}

#[test]
fn every_line_is_found_again() {
    let columns = [Column::X86_64, Column::X86, Column::X32, Column::Arm, Column::Aarch64];
    let mut previous = "";
    for fields in lines() {
        assert!(previous < fields[0], "{} is out of order", fields[0]);
        previous = fields[0];
        let name = Name::find(fields[0]).unwrap();
        assert_eq!(name.text(), fields[0]);
        for (field, column) in fields[1..].iter().zip(columns) {
            assert_eq!(name.slot(column).map(number_of), field.parse().ok(), "{}", fields[0]);
        }
        let expected = match fields[6].split_at(1) {
            ("s", call) => Some(Multiplexed { slot: 102, call: call.parse().unwrap() }),
            ("i", call) => Some(Multiplexed { slot: 117, call: call.parse().unwrap() }),
            _ => None,
        };
        assert_eq!(name.multiplexed(), expected);
    }
    assert_eq!(lines().count(), COUNT);
}

#[test]
fn unknown_names_are_not_found() {
    for name in ["", "rea", "readd", "Read", "accept ", "\0", "ö", "-"] {
        assert_eq!(Name::find(name), None, "{name}");
    }
}

#[test]
fn tables_are_small() {
    assert!(size_of::<Tables>() < 14_000, "{}", size_of::<Tables>());
}

/// Headers of this machine may be older than the table, but not different.
#[test]
fn numbers_are_those_of_the_kernel_headers() {
    let folder = Path::new("/usr/include/x86_64-linux-gnu/asm");
    for (file, column) in [
        ("unistd_64.h", Column::X86_64),
        ("unistd_32.h", Column::X86),
        ("unistd_x32.h", Column::X32),
    ] {
        let Ok(text) = std::fs::read_to_string(folder.join(file)) else {
            let path = folder.join(file);
            skips::skip("numbers_are_those_of_the_kernel_headers", &format!("no {path:?}"));
            continue;
        };
        let theirs: BTreeMap<&str, u32> = text.lines().filter_map(definition).collect();
        assert!(theirs.len() > 300, "{file}");
        for (name, number) in theirs {
            let slot = Name::find(name).and_then(|found| found.slot(column));
            assert_eq!(slot.map(number_of), Some(number), "{name} in {file}");
        }
    }
}

/// `#define __NR_read 0` or `#define __NR_read (__X32_SYSCALL_BIT + 0)`.
fn definition(line: &str) -> Option<(&str, u32)> {
    let (name, value) = line.strip_prefix("#define __NR_")?.split_once(' ')?;
    let digits = value.trim_start_matches("(__X32_SYSCALL_BIT + ").trim_end_matches(')');
    Some((name, digits.parse().ok()?))
}
