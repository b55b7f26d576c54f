//! On trees of plain directories: few machines have resctrl. What the kernel would put into a new
//! directory, the test puts there between [`make`] and the rest.

use super::*;
use std::path::PathBuf;

struct Tree(PathBuf);

impl Tree {
    /// A machine with everything, whose class `gold` has settings of its own.
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tare-rdt-{}-{name}", std::process::id()));
        let tree = Self(path);
        tree.file("info/last_cmd_status", "ok\n");
        tree.file("info/L3/cbm_mask", "7ff\n");
        tree.file("info/L3/min_cbm_bits", "1\n");
        tree.file("info/L3/num_closids", "16\n");
        tree.file("info/MB/bandwidth_gran", "10\n");
        tree.file("info/MB/delay_linear", "1\n");
        tree.file("info/MB/min_bandwidth", "10\n");
        tree.file("info/MB/num_closids", "8\n");
        let features = "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes\n";
        tree.file("info/L3_MON/mon_features", features);
        for group in ["", "gold/"] {
            tree.group(group);
            std::fs::create_dir_all(tree.0.join(format!("{group}mon_groups"))).unwrap();
        }
        tree.file("gold/schemata", "    MB:0= 20;1= 70\n    L3:0=07f0;1=001f\n");
        tree
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// The kernel's part of a directory.
    fn group(&self, path: &str) {
        self.file(&format!("{path}tasks"), "");
        self.file(&format!("{path}schemata"), "MB:0=100;1=100\nL3:0=7ff;1=7ff\n");
        for (cache, number) in [("mon_L3_00", "100"), ("mon_L3_01", "Unavailable")] {
            for counter in ["llc_occupancy", "mbm_total_bytes", "mbm_local_bytes"] {
                self.file(&format!("{path}mon_data/{cache}/{counter}"), &format!("{number}\n"));
            }
        }
    }

    /// Takes the kernel's part away, as rmdir of resctrl does.
    fn empty(&self, path: &str) {
        let dir = self.0.join(path);
        let _ = std::fs::remove_file(dir.join("tasks"));
        let _ = std::fs::remove_file(dir.join("schemata"));
        let _ = std::fs::remove_dir_all(dir.join("mon_data"));
        let _ = std::fs::remove_dir(dir.join("mon_groups"));
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.0.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn has(&self, path: &str) -> bool {
        self.0.join(path).exists()
    }

    fn root(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn plan(&self, config: &IntelRdt) -> Result<Record> {
        let mut record = Record { id: "box".into(), ..Record::default() };
        plan(self.root(), config, &mut record).map(|()| record)
    }

    /// Everything that creation does for a process.
    fn create(&self, config: &IntelRdt) -> Result<Record> {
        let mut record = self.plan(config)?;
        let fresh = !fs::exists(CWD, &record.rdt_class);
        make(config, &mut record)?;
        let below = |path: &str| format!("{}/", &path[self.root().len()..]).replacen('/', "", 1);
        if fresh {
            self.group(&below(&record.rdt_class));
        }
        if let Some(group) = monitoring_group(&record) {
            self.group(&below(group));
        }
        set(config, &record.rdt_class)?;
        enter(&record, 4711).map(|()| record)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn config(json: &str) -> IntelRdt {
    oci::json::read(json.as_bytes()).unwrap()
}

#[test]
fn without_a_name_the_class_is_the_containers_own() {
    let tree = Tree::new("own");
    let record = tree.create(&config("{}")).unwrap();
    assert_eq!(record.rdt_class, format!("{}/box", tree.root()));
    assert_eq!(record.rdt_groups, [record.rdt_class.as_str()]);
    assert_eq!(tree.read("box/tasks"), "4711");
    // Nothing is written where nothing is asked for.
    assert_eq!(tree.read("box/schemata"), "MB:0=100;1=100\nL3:0=7ff;1=7ff\n");
    tree.empty("box");
    assert_eq!(remove(&record), []);
    assert!(!tree.has("box"));
    assert_eq!(remove(&record), [], "what is gone is no failure");
}

#[test]
fn a_class_that_was_there_is_left_there() {
    let tree = Tree::new("there");
    tree.group("box/");
    let record = tree.create(&config(r#"{"enableMonitoring":true}"#));
    assert_eq!(record.unwrap_err().errno(), Some(Errno::ENOENT), "no mon_groups in it");
    std::fs::create_dir(tree.0.join("box/mon_groups")).unwrap();
    let record = tree.create(&config(r#"{"enableMonitoring":true}"#)).unwrap();
    assert_eq!(record.rdt_groups, [format!("{}/box/mon_groups/box", tree.root())]);
    // Made by somebody else between the plan and the effect.
    let mut late = tree.plan(&config("{}")).unwrap();
    late.rdt_groups.push(late.rdt_class.clone());
    make(&config("{}"), &mut late).unwrap();
    assert_eq!(late.rdt_groups, Vec::<String>::new());
}

#[test]
fn a_named_class_is_used_and_never_removed() {
    let tree = Tree::new("named");
    for (json, class, tasks) in
        [(r#"{"closID":"gold"}"#, "/gold", "gold/tasks"), (r#"{"closID":"/"}"#, "", "tasks")]
    {
        let record = tree.create(&config(json)).unwrap();
        assert_eq!(record.rdt_class, format!("{}{class}", tree.root()));
        assert_eq!(record.rdt_groups, Vec::<String>::new());
        assert_eq!(tree.read(tasks), "4711");
    }
    let record = tree.create(&config(r#"{"closID":"new","schemata":["L3:0=f"]}"#)).unwrap();
    assert!(tree.read("new/schemata").starts_with("L3:0=f\n"));
    assert_eq!(record.rdt_groups, Vec::<String>::new());
    let missing = tree.plan(&config(r#"{"closID":"silver"}"#)).unwrap_err();
    let what = format!("linux.intelRdt.closID: there is no class \"silver\" in {}", tree.root());
    assert_eq!((missing.kind(), missing.to_string()), (Kind::NotFound, what));
}

#[test]
fn a_monitoring_group_has_the_containers_name_and_goes_first() {
    let tree = Tree::new("monitoring");
    for switch in ["enableMonitoring", "enableCMT", "enableMBM"] {
        let json = format!(r#"{{"closID":"gold","{switch}":true}}"#);
        let record = tree.create(&config(&json)).unwrap();
        assert_eq!(tree.read("gold/tasks"), "4711");
        assert_eq!(tree.read("gold/mon_groups/box/tasks"), "4711");
        tree.empty("gold/mon_groups/box");
        assert_eq!(remove(&record), []);
        assert!(!tree.has("gold/mon_groups/box") && tree.has("gold"));
    }
    let mut record = tree.plan(&config(r#"{"enableMonitoring":true}"#)).unwrap();
    let class = format!("{}/box", tree.root());
    assert_eq!(record.rdt_groups, [format!("{class}/mon_groups/box"), class]);
    // The kernel would have made mon_groups with the class.
    make(&config("{}"), &mut Record { rdt_groups: Vec::new(), ..record.clone() }).unwrap();
    std::fs::create_dir(tree.0.join("box/mon_groups")).unwrap();
    make(&config(r#"{"enableMonitoring":true}"#), &mut record).unwrap();
    assert!(tree.has("box/mon_groups/box"));
}

#[test]
fn schemata_are_written_last_and_on_their_own() {
    let tree = Tree::new("order");
    let all = config(
        r#"{"l3CacheSchema":"L3:0=f","memBwSchema":"MB:0=20","schemata":["L3:0=3","L2:0=1"]}"#,
    );
    let texts: Vec<String> = schemata(&all).collect();
    assert_eq!(texts, ["L3:0=f\n", "MB:0=20\n", "L3:0=3\nL2:0=1\n"]);
    assert_eq!(schemata(&config("{}")).count(), 0);
    let record = tree.create(&all).unwrap();
    // Each write begins at the start of the plain file.
    assert!(tree.read("box/schemata").starts_with("L3:0=3\nL2:0=1\n"));
    let change = config(r#"{"memBwSchema":"MB:0=50"}"#);
    check_update(&change, &record).unwrap();
    set(&change, &record.rdt_class).unwrap();
    assert!(tree.read("box/schemata").starts_with("MB:0=50\n"));
    let without = check_update(&change, &Record::default()).unwrap_err();
    assert_eq!(
        without.to_string(),
        "updating a non-existent Intel RDT configuration is not supported"
    );
}

#[test]
fn a_class_with_other_settings_is_refused() {
    let tree = Tree::new("compare");
    for (json, fine) in [
        (r#"{"closID":"gold","l3CacheSchema":"L3:0=7F0;1=1f"}"#, true),
        (r#"{"closID":"gold","l3CacheSchema":"L3:1=0001f","memBwSchema":"MB:1=70;0=20"}"#, true),
        (r#"{"closID":"gold","l3CacheSchema":"L3:0=7f1;1=1f"}"#, false),
        (r#"{"closID":"gold","l3CacheSchema":"L3:0=7f0;1=1f;2=1"}"#, false),
        (r#"{"closID":"gold","memBwSchema":"MB:0=2"}"#, false),
        (r#"{"closID":"gold","memBwSchema":"MB:nonsense"}"#, false),
        (r#"{"closID":"/","memBwSchema":"MB:0=20"}"#, false),
        // What it says last is for the class, whatever it had.
        (r#"{"closID":"gold","schemata":["L3:0=1"]}"#, true),
    ] {
        tree.file("gold/schemata", "    MB:0= 20;1= 70\n    L3:0=07f0;1=001f\n");
        assert_eq!(tree.create(&config(json)).is_ok(), fine, "{json}");
    }
    let error = tree.create(&config(r#"{"closID":"gold","memBwSchema":"MB:0=2"}"#)).unwrap_err();
    tree.file("gold/schemata", "MB:0= 20;1= 70\n");
    let error = error.to_string();
    assert!(error.starts_with("linux.intelRdt.memBwSchema: class /"), "{error}");
    let error = tree.create(&config(r#"{"closID":"gold","memBwSchema":"MB:0=2"}"#)).unwrap_err();
    assert!(error.to_string().ends_with("gold has MB:0= 20;1= 70, not MB:0=2"), "{error}");
}

#[test]
fn what_the_machine_lacks_is_named() {
    let tree = Tree::new("lacks");
    for path in ["info/L3", "info/MB", "mon_groups", "info/L3_MON"] {
        std::fs::remove_dir_all(tree.0.join(path)).unwrap();
    }
    for (field, json) in [
        ("l3CacheSchema", r#"{"l3CacheSchema":"L3:0=f"}"#),
        ("memBwSchema", r#"{"memBwSchema":"MB:0=20"}"#),
        ("enableMonitoring", r#"{"enableMonitoring":true}"#),
        ("enableCMT", r#"{"enableCMT":true}"#),
        ("enableMBM", r#"{"enableMBM":true}"#),
    ] {
        let error = tree.plan(&config(json)).unwrap_err();
        let what = format!("linux.intelRdt.{field}: this machine cannot do it");
        assert_eq!((error.kind(), error.to_string()), (Kind::Unsupported, what));
    }
    tree.file("info/L3CODE/cbm_mask", "7ff\n");
    tree.plan(&config(r#"{"l3CacheSchema":"L3CODE:0=f"}"#)).unwrap();
    assert_eq!(mount_point("1 2 0:3 / /a rw - tmpfs none rw\n"), None);
    let text =
        "1 2 0:3 / /a rw - tmpfs none rw\n2 2 0:4 / /my\\040rdt rw,x shared:1 - resctrl r rw\n";
    assert_eq!(mount_point(text).as_deref(), Some("/my rdt"));
}

#[test]
fn the_kernels_own_words_are_handed_on() {
    let tree = Tree::new("words");
    tree.file("info/last_cmd_status", "MB value 200 out of range [10,100]\n");
    tree.file("box/tasks", "");
    let error = tree.create(&config(r#"{"memBwSchema":"MB:0=200"}"#)).unwrap_err();
    let what = format!(
        "linux.intelRdt: writing \"MB:0=200\" to {}/box/schemata: no such file or directory",
        tree.root()
    );
    assert_eq!(error.to_string(), what);
    assert_eq!(error.hint(), Some("the kernel says: MB value 200 out of range [10,100]"));
}

#[test]
fn statistics_have_the_shape_of_runc() {
    let tree = Tree::new("stats");
    let write = |stats: &RdtStats| oci::json::write(stats);
    assert_eq!(write(&stats(&Record::default()).unwrap()), "{}");
    let record = tree.create(&config(r#"{"closID":"gold","enableMonitoring":true}"#)).unwrap();
    tree.file("gold/mon_groups/box/mon_data/mon_L3_00/mbm_local_bytes", "7\n");
    let info = r#""l3_cache_info":{"cbm_mask":"7ff","min_cbm_bits":1,"num_closids":16},"l3_cache_schema_root":"L3:0=7ff;1=7ff","l3_cache_schema":"L3:0=07f0;1=001f","mem_bw_info":{"bandwidth_gran":10,"delay_linear":1,"min_bandwidth":10,"num_closids":8},"mem_bw_schema_root":"MB:0=100;1=100","mem_bw_schema":"MB:0= 20;1= 70","schemata":["MB:0= 20;1= 70","L3:0=07f0;1=001f"]"#;
    let counted = r#""mbm_stats":[{"mbm_total_bytes":100,"mbm_local_bytes":7},{"mbm_total_bytes":null,"mbm_local_bytes":null}],"cmt_stats":[{"llc_occupancy":100},{"llc_occupancy":null}]"#;
    assert_eq!(write(&stats(&record).unwrap()), format!("{{{info},{counted}}}"));
    // A machine that only counts.
    for path in ["info/L3", "info/MB"] {
        std::fs::remove_dir_all(tree.0.join(path)).unwrap();
    }
    tree.file("info/L3_MON/mon_features", "mbm_total_bytes\n");
    let record = tree.create(&config("{}")).unwrap();
    let text = write(&stats(&record).unwrap());
    let counted = r#""schemata":["MB:0=100;1=100","L3:0=7ff;1=7ff"],"mbm_stats":[{"mbm_total_bytes":100,"mbm_local_bytes":0},{"mbm_total_bytes":null,"mbm_local_bytes":0}]"#;
    assert_eq!(text, format!("{{{counted}}}"));
}

#[test]
fn a_damaged_record_removes_nothing_else() {
    let refused = |class: &str, groups: &[&str]| {
        let rdt_groups = groups.iter().map(|group| String::from(*group)).collect();
        let id = String::from("box");
        check(&Record { id, rdt_class: class.into(), rdt_groups, ..Record::default() }).is_err()
    };
    for (class, groups) in [
        ("", &[][..]),
        ("/r", &[]),
        ("/r/gold", &["/r/gold/mon_groups/box"]),
        ("/r/box", &["/r/box/mon_groups/box", "/r/box"]),
    ] {
        assert!(!refused(class, groups), "{class} {groups:?}");
    }
    for (class, groups) in [
        ("", &["/r/box"][..]),
        ("", &[""]),
        ("r/box", &[]),
        ("/r/../box", &["/r/../box"]),
        ("/r/gold", &["/r/gold"]),
        ("/r/mybox", &["/r/mybox"]),
        ("/r/gold", &["/r/gold/mon_groups/other"]),
        ("/r/gold", &["/r/gold/mon_groups/box/x"]),
        ("/r/box", &["/r/box", "/etc"]),
    ] {
        assert!(refused(class, groups), "{class} {groups:?}");
    }
}
