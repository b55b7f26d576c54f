//! Methods of values.

use crate::functions::{Failure, Parameter};
use crate::layout::{day_name, month_name};
use crate::texts;
use crate::time::Time;
use crate::value::Value;
use std::collections::BTreeMap;

type TimeMethod = fn(&Time, &[Value]) -> Value;

const TIME: [(&str, &[Parameter], TimeMethod); 18] = [
    ("Format", &[Parameter::Text], |time, values| {
        let layout = values.first().map_or(&b""[..], texts::bytes);
        Value::from(time.format(&String::from_utf8_lossy(layout)))
    }),
    ("Unix", &[], |time, _| Value::Int(time.seconds())),
    ("UnixMilli", &[], |time, _| Value::Int(scaled(time, 1_000))),
    ("UnixMicro", &[], |time, _| Value::Int(scaled(time, 1_000_000))),
    ("UnixNano", &[], |time, _| Value::Int(scaled(time, 1_000_000_000))),
    ("Year", &[], |time, _| Value::Int(time.civil().year)),
    ("Month", &[], |time, _| Value::from(month_name(time.civil().month))),
    ("Day", &[], |time, _| Value::Int(time.civil().day.into())),
    ("Hour", &[], |time, _| Value::Int(time.civil().hour.into())),
    ("Minute", &[], |time, _| Value::Int(time.civil().minute.into())),
    ("Second", &[], |time, _| Value::Int(time.civil().second.into())),
    ("Nanosecond", &[], |time, _| Value::Int(time.nanoseconds().into())),
    ("Weekday", &[], |time, _| Value::from(day_name(time.civil().weekday))),
    ("YearDay", &[], |time, _| Value::Int(time.civil().day_of_year.into())),
    ("IsZero", &[], |time, _| Value::Bool(time.is_zero())),
    ("UTC", &[], |time, _| Value::from(Time::unix(time.seconds(), time.nanoseconds()))),
    ("String", &[], |time, _| Value::from(time.to_string())),
    // The process has no other zone than the one that values are shown in.
    ("Local", &[], |time, _| Value::from(time.clone())),
];

fn scaled(time: &Time, factor: i64) -> i64 {
    let part = i64::from(time.nanoseconds()) / (1_000_000_000 / factor);
    time.seconds().wrapping_mul(factor).wrapping_add(part)
}

/// A method of times.
pub(crate) fn of_time(name: &str) -> Option<(&'static [Parameter], TimeMethod)> {
    let (_, parameters, method) = TIME.iter().find(|(known, _, _)| *known == name)?;
    Some((parameters, *method))
}

/// What stands above `.Label "name"`, as docker has it: the last part of the name, in words.
pub(crate) fn heading_of_label(values: &[Value]) -> Result<Value, Failure> {
    let name = String::from_utf8_lossy(values.first().map_or(&b""[..], texts::bytes));
    let last = name.rsplit('.').next().unwrap_or_default();
    Ok(Value::from(last.replace(['-', '_'], " ")))
}

/// `.Label "name"`: nothing where there is none.
pub(crate) fn look_up(
    entries: &BTreeMap<String, String>,
    values: &[Value],
) -> Result<Value, Failure> {
    let name = values.first().map_or(&b""[..], texts::bytes);
    let found = std::str::from_utf8(name).ok().and_then(|name| entries.get(name));
    Ok(found.map_or_else(|| Value::from(""), Value::from))
}
