//! Every mapping of a limit to a property.

use super::super::super::devices::default_device_rules;
use super::*;

fn check(version: Version, systemd: u32, json: &str, expected: &[&str]) -> Resources {
    let mut resources: Resources = oci::json::read(json.as_bytes()).unwrap();
    let context = Context { version, systemd, devices: false };
    let list = of_resources(&context, &mut resources, &mut Vec::new()).unwrap();
    let shown: Vec<String> = list.iter().map(show).collect();
    assert_eq!(shown, expected, "{json}");
    resources
}

fn show((name, value): &Property) -> String {
    match value {
        Value::U64(u64::MAX) => format!("{name}=infinity"),
        Value::U64(value) => format!("{name}={value}"),
        Value::Text(text) => format!("{name}={text}"),
        Value::Array(_, values) => {
            let one = |value: &Value| match value {
                Value::Byte(byte) => format!("{byte:08b}"),
                Value::Struct(fields) => match fields.as_slice() {
                    [Value::Text(a), Value::Text(b)] => format!("{a} {b}"),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            };
            format!("{name}=[{}]", values.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn limits_become_properties_on_v2() {
    let check = |json, expected: &[&str]| check(Version::V2, 255, json, expected);
    check("{}", &[]);
    check(
        r#"{"memory":{"limit":100,"swap":150,"reservation":50},"pids":{"limit":20}}"#,
        &["MemoryMax=100", "MemoryLow=50", "MemorySwapMax=50", "TasksMax=20"],
    );
    check(r#"{"memory":{"limit":-1}}"#, &["MemoryMax=infinity", "MemorySwapMax=infinity"]);
    check(r#"{"memory":{"limit":5,"swap":5}}"#, &["MemoryMax=5", "MemorySwapMax=0"]);
    check(r#"{"pids":{"limit":-1}}"#, &["TasksMax=infinity"]);
    check(r#"{"pids":{"limit":0}}"#, &["TasksMax=1"]);
    check(r#"{"cpu":{"shares":1024,"idle":0}}"#, &["CPUWeight=100"]);
    check(r#"{"cpu":{"idle":1}}"#, &["CPUWeight=0"]);
    check(
        r#"{"cpu":{"cpus":"0,3-5, 9","mems":"1"}}"#,
        &["AllowedCPUs=[00111001, 00000010]", "AllowedMemoryNodes=[00000010]"],
    );
    check(r#"{"blockIO":{"weight":100}}"#, &[]);
    check(
        r#"{"unified":{"memory.high":"max","memory.min":" 5 ","pids.max":"0","cpu.weight":"7",
            "cpu.max":"max 50000","cpuset.cpus":"1","io.max":"8:0 riops=1","hugetlb.2MB.max":"0",
            "memory.oom.group":"1"}}"#,
        &[
            "CPUQuotaPeriodUSec=50000",
            "CPUQuotaPerSecUSec=infinity",
            "CPUWeight=7",
            "AllowedCPUs=[00000010]",
            "MemoryHigh=infinity",
            "MemoryMin=5",
            "TasksMax=1",
        ],
    );
    check(r#"{"unified":{"cpu.idle":"1","cpu.weight":"7"}}"#, &["CPUWeight=0"]);
}

#[test]
fn limits_become_properties_on_v1() {
    check(
        Version::V1,
        219,
        r#"{"memory":{"limit":-1,"swap":5},"cpu":{"shares":2,"cpus":"0","period":1000},
            "blockIO":{"weight":10}}"#,
        &["MemoryLimit=infinity", "CPUShares=2", "CPUQuotaPerSecUSec=infinity", "BlockIOWeight=10"],
    );
}

#[test]
fn quotas_are_rounded_up_as_systemd_does() {
    let quota =
        |json, expected: &[&str]| check(Version::V2, 255, json, expected).cpu.unwrap().quota;
    let json = r#"{"cpu":{"quota":40000,"period":100000}}"#;
    let exact = ["CPUQuotaPeriodUSec=100000", "CPUQuotaPerSecUSec=400000"];
    assert_eq!(quota(json, &exact), Some(40_000));
    let json = r#"{"cpu":{"quota":3334,"period":10000}}"#;
    let rounded = ["CPUQuotaPeriodUSec=10000", "CPUQuotaPerSecUSec=340000"];
    assert_eq!(quota(json, &rounded), Some(3400));
    assert_eq!(quota(r#"{"cpu":{"quota":5000}}"#, &["CPUQuotaPerSecUSec=50000"]), Some(5000));
    assert_eq!(quota(r#"{"cpu":{"quota":-1}}"#, &["CPUQuotaPerSecUSec=infinity"]), Some(-1));
    let huge = r#"{"cpu":{"quota":9223372036854775807,"period":1}}"#;
    quota(huge, &["CPUQuotaPeriodUSec=1", "CPUQuotaPerSecUSec=infinity"]);
}

#[test]
fn what_old_versions_do_not_know_is_left_out() {
    let json = r#"{"cpu":{"quota":50000,"period":100000,"idle":1,"shares":1024,"cpus":"0"}}"#;
    check(Version::V2, 241, json, &["CPUWeight=100", "CPUQuotaPerSecUSec=500000"]);
    let mut resources = Resources::default();
    resources.unified.insert("memory.oom.group".into(), "1".into());
    assert_eq!(oom_policy(Version::V2, &resources, 252).unwrap(), None);
    let known = oom_policy(Version::V2, &resources, 253).unwrap().unwrap();
    assert_eq!(show(&known), "OOMPolicy=kill");
}

#[test]
fn bad_values_are_refused() {
    for json in [
        r#"{"cpu":{"cpus":"5-3"}}"#,
        r#"{"cpu":{"cpus":"x"}}"#,
        r#"{"cpu":{"cpus":","}}"#,
        r#"{"cpu":{"cpus":"0-4294967295"}}"#,
        r#"{"unified":{"memory.max":"-1"}}"#,
        r#"{"unified":{"cpu.max":""}}"#,
        r#"{"unified":{"cpu.max":"1 2 3"}}"#,
        r#"{"unified":{"cpu.max":"1 0"}}"#,
        r#"{"unified":{"../memory.max":"1"}}"#,
        r#"{"unified":{"tasks":"1"}}"#,
        r#"{"memory":{"limit":2,"swap":1}}"#,
    ] {
        let mut resources: Resources = oci::json::read(json.as_bytes()).unwrap();
        let context = Context { version: Version::V2, systemd: 255, devices: false };
        let list = of_resources(&context, &mut resources, &mut Vec::new());
        assert!(list.is_err(), "{json}");
    }
}

#[test]
fn device_rules_become_properties() {
    let check = |state: Rules, expected: &[&str]| {
        let list = devices(&state, &mut Vec::new());
        assert_eq!(list.iter().map(show).collect::<Vec<_>>(), expected);
    };
    check(
        Rules { default_allow: true, ..Rules::default() },
        &["DeviceAllow=[]", "DevicePolicy=auto"],
    );
    check(Rules::default(), &["DeviceAllow=[]", "DevicePolicy=strict", "DeviceAllow=[]"]);
    check(
        Rules::parse(&default_device_rules()).unwrap(),
        &[
            "DeviceAllow=[]",
            "DevicePolicy=strict",
            "DeviceAllow=[block-* m, char-* m, /dev/char/1:3 rwm, /dev/char/1:5 rwm, \
             /dev/char/1:7 rwm, /dev/char/1:8 rwm, /dev/char/1:9 rwm, /dev/char/5:0 rwm, \
             /dev/char/5:2 rwm, /dev/char/10:200 rwm, char-136 rwm]",
        ],
    );
}

#[test]
fn a_unit_has_the_properties_that_runc_gives() {
    let mut unit = Unit {
        name: "tare-x.scope".into(),
        slice: "system.slice".into(),
        manager: "/".into(),
        user: false,
        unnamed: false,
        address: None,
        uid: 0,
        properties: vec![],
    };
    let names = |list: Vec<Property>| list.into_iter().map(|(n, _)| n).collect::<Vec<_>>();
    let tail = ["CPUAccounting", "IOAccounting", "TasksAccounting", "DefaultDependencies"];
    let mut expected = vec!["Description", "Slice", "Delegate", "PIDs", "MemoryAccounting"];
    expected.extend(tail);
    assert_eq!(names(of_unit(&unit, Version::V2, 5)), expected);
    unit.name = "x.slice".into();
    let slice = names(of_unit(&unit, Version::V1, 5));
    assert!(slice.contains(&"Wants".into()) && slice.contains(&"BlockIOAccounting".into()));
    assert!(!slice.contains(&"Delegate".into()));
}
