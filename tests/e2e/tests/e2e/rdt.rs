//! `linux.intelRdt`. Few machines have resctrl, so what happens after creation is shown on a tree of
//! plain directories that is written into a container's record; creation itself is shown by the
//! unit tests of `runtime::rdt`.

use e2e::{Bundle, skip, stderr, stdout};
use serde_json::{Value, json};

/// A running container whose record says that it is in a class of its own, at the path returned.
fn start_in_class(bundle: &mut Bundle) -> &'static str {
    bundle.args(&["sleep", "100"]).start();
    let class = bundle.path(&format!("rdt/{}", bundle.id()));
    let group = format!("{class}/mon_groups/{}", bundle.id());
    std::fs::create_dir_all(&group).unwrap();
    std::fs::create_dir_all(bundle.path("rdt/info/L3")).unwrap();
    for (path, text) in [
        ("rdt/schemata".to_string(), "L3:0=7ff\n"),
        (format!("{class}/schemata"), "L3:0=f\n"),
        (format!("{class}/tasks"), ""),
        (format!("{group}/tasks"), ""),
    ] {
        std::fs::write(bundle.path(&path), text).unwrap();
    }
    let record = format!("state/{}/state.json", bundle.id());
    change(bundle.path(&record), |record| {
        record["rdt_class"] = json!(class);
        record["rdt_groups"] = json!([group, class]);
    });
    class
}

fn change(path: &str, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(path, serde_json::to_vec(&value).unwrap()).unwrap();
}

#[test]
fn a_machine_without_resctrl_says_what_is_missing() {
    let test = "a_machine_without_resctrl_says_what_is_missing";
    let Some(mut bundle) = Bundle::new(test) else { return };
    if std::fs::read_to_string("/proc/mounts").unwrap().contains(" resctrl ") {
        skip(test, "resctrl is mounted");
        return;
    }
    bundle.config["linux"]["intelRdt"] = json!({"closID": "/"});
    let output = bundle.args(&["true"]).run();
    let (what, hint) = match std::path::Path::new("/sys/fs/resctrl").exists() {
        true => ("resctrl is not mounted", "mount -t resctrl resctrl /sys/fs/resctrl"),
        false => ("this machine has no resctrl", "CONFIG_X86_CPU_RESCTRL"),
    };
    let text = stderr(&output);
    assert!(text.contains(&format!("linux.intelRdt: {what}")) && text.contains(hint), "{text}");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn exec_update_events_and_delete_follow_the_record() {
    let test = "exec_update_events_and_delete_follow_the_record";
    let Some(mut bundle) = Bundle::new(test) else { return };
    let class = start_in_class(&mut bundle);
    let id = bundle.id().to_string();
    let group = format!("{class}/mon_groups/{id}");
    let read = |path: &str| std::fs::read_to_string(path).unwrap();

    let file = bundle.path("pid");
    let mut exec = bundle.command(&["exec", "--detach", "--pid-file", file, &id, "sleep", "100"]);
    let null = std::process::Stdio::null;
    assert!(exec.stdout(null()).stderr(null()).status().unwrap().success());
    assert_eq!(read(&format!("{class}/tasks")), read(file));
    assert_eq!(read(&format!("{group}/tasks")), read(file));

    let output = bundle.runtime(&["events", "--stats", &id]);
    let event: Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    let expected = json!({"l3_cache_info": {}, "l3_cache_schema_root": "L3:0=7ff",
        "l3_cache_schema": "L3:0=f", "schemata": ["L3:0=f"]});
    assert_eq!(event["data"]["intel_rdt"], expected, "{}", stdout(&output));

    let update = bundle.runtime(&["update", "--l3-cache-schema", "L3:0=3", &id]);
    assert!(update.status.success(), "{}", stderr(&update));
    assert_eq!(read(&format!("{class}/schemata")), "L3:0=3\n");
    let update = bundle.runtime(&["update", "--mem-bw-schema", "MB:0=20", &id]);
    let text = stderr(&update);
    assert!(text.contains("linux.intelRdt.memBwSchema: this machine cannot do it"), "{text}");

    for file in ["schemata", "tasks"] {
        std::fs::remove_file(format!("{class}/{file}")).unwrap();
    }
    std::fs::remove_file(format!("{group}/tasks")).unwrap();
    // What the kernel would have in a class is not in these directories.
    let refused = bundle.runtime(&["delete", "--force", &id]);
    assert!(stderr(&refused).contains(&format!("removing the resource group {class}")));
    assert!(!std::path::Path::new(&group).exists());
    std::fs::remove_dir(format!("{class}/mon_groups")).unwrap();
    let deleted = bundle.runtime(&["delete", "--force", &id]);
    assert!(deleted.status.success(), "{}", stderr(&deleted));
    assert!(!std::path::Path::new(class).exists());
}

#[test]
fn schemata_of_a_container_without_a_class_cannot_be_updated() {
    let test = "schemata_of_a_container_without_a_class_cannot_be_updated";
    let Some(mut bundle) = Bundle::new(test) else { return };
    bundle.args(&["sleep", "100"]).start();
    let id = bundle.id().to_string();
    let update = bundle.runtime(&["update", "--l3-cache-schema", "L3:0=3", &id]);
    let what = "updating a non-existent Intel RDT configuration is not supported";
    assert!(stderr(&update).contains(what), "{}", stderr(&update));
    assert_eq!(update.status.code(), Some(1));
}
