//! `tare network`: what scripts of docker's and podman's users rely on.

use e2e::images::Yard;
use serde_json::Value;
use std::process::Output;

fn said(output: &Output) -> (String, String, i32) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code().unwrap_or(-1))
}

/// Calls `tare network` with words separated by blanks.
fn network(yard: &Yard, words: &str) -> (String, String, i32) {
    let words: Vec<&str> = ["network"].into_iter().chain(words.split(' ')).collect();
    said(&yard.tare(&words))
}

fn fine(yard: &Yard, words: &str) -> String {
    let (out, error, code) = network(yard, words);
    assert_eq!((error.as_str(), code), ("", 0), "{words}: {out}");
    out
}

#[test]
fn networks_are_made_shown_and_removed() {
    let yard = Yard::new();
    let id = fine(
        &yard,
        "create --subnet 10.231.0.0/16 --ip-range 10.231.5.0/24 --label a=b --label c -o mtu=1400 web",
    );
    let id = id.trim_end();
    assert_eq!(id.len(), 64);
    let all: Value = serde_json::from_str(&fine(&yard, &format!("inspect {}", &id[..12]))).unwrap();
    let one = &all[0];
    let expected = serde_json::json!({
        "Name": "web", "Id": id, "Scope": "local", "Driver": "bridge", "EnableIPv4": true, "EnableIPv6": false,
        "Internal": false, "Attachable": false, "Ingress": false, "ConfigOnly": false, "Containers": {},
        "ConfigFrom": {"Network": ""}, "Options": {"mtu": "1400"}, "Labels": {"a": "b", "c": ""},
        "IPAM": {"Driver": "default", "Options": {}, "Config": [
            {"Subnet": "10.231.0.0/16", "IPRange": "10.231.5.0/24", "Gateway": "10.231.0.1"}
        ]},
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&one[name], value, "{name}");
    }
    assert!(one["Created"].as_str().unwrap().ends_with('Z'));
    assert_eq!(fine(&yard, "inspect -f {{.IPAM.Driver}} web"), "default\n");
    let table = fine(&yard, "ls");
    let lines: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE"]);
    let names: Vec<&str> = lines[1..].iter().map(|line| line[1]).collect();
    assert_eq!(names, ["bridge", "host", "none", "web"]);
    assert_eq!(lines[4], [&id[..12], "web", "bridge", "local"]);
    assert_eq!(fine(&yard, "rm web"), "web\n");
    assert_eq!(network(&yard, "exists web").2, 1);
    assert_eq!(network(&yard, "exists bridge").2, 0);
}

#[test]
fn lists_are_chosen_and_formed() {
    let yard = Yard::new();
    for words in ["--label team=x one", "--internal --ipv6 two", "-d macvlan -o parent=lo three"] {
        fine(&yard, &format!("create {words}"));
    }
    let check = |filter: &str, expected: &str| {
        let names = fine(&yard, &format!("ls {filter} --format {{{{.Name}}}}"));
        assert_eq!(names.split_whitespace().collect::<Vec<_>>().join(" "), expected, "{filter}");
    };
    check("--filter label=team", "one");
    check("--filter label=team=y", "");
    check("--filter driver=macvlan", "three");
    check("--filter driver=null --filter driver=host", "host none");
    check("--filter name=t", "host three two");
    check("--filter type=custom", "one three two");
    check("--filter dangling=true", "one three two");
    check("--filter scope=swarm", "");
    let shown =
        fine(&yard, "ls -f name=two --format {{.Name}}:{{.IPv6}}:{{.Internal}}:{{.Driver}}");
    assert_eq!(shown, "two:true:true:bridge\n");
    let ids = fine(&yard, "ls -q --no-trunc");
    assert!(ids.lines().count() == 6 && ids.lines().all(|id| id.len() == 64), "{ids}");
    assert_eq!(fine(&yard, "prune -f --filter label!=team"), "Deleted Networks:\nthree\ntwo\n\n");
    check("--filter type=custom", "one");
}

#[test]
fn what_cannot_be_done_is_said_with_what_can() {
    let yard = Yard::new();
    fine(&yard, "create --subnet 10.232.0.0/16 web");
    let check = |words: &str, code: i32, message: &str| {
        let (out, error, exit) = network(&yard, words);
        assert_eq!((out.as_str(), exit), ("", code), "{words}: {error}");
        assert!(error.starts_with(&format!("tare: {message}")), "{words}: {error}");
    };
    check("create web", 1, "network web exists already");
    check(
        "create --subnet 10.232.9.0/24 x",
        1,
        "network x: subnet 10.232.9.0/24 overlaps that of network web",
    );
    check(
        "create --subnet 10.1.0.1/16 x",
        1,
        "network x: subnet 10.1.0.1/16 has bits behind its prefix",
    );
    check("create -d overlay x", 1, "there is no network driver \"overlay\"");
    check(
        "create -o com.docker.network.bridge.name=toolongforaninterface x",
        1,
        "network x: option",
    );
    check("create host", 1, "\"host\" means another network already");
    check("create --ipam-driver dhcp x", 1, "--ipam-driver dhcp: there is no such driver");
    check("create --scope swarm x", 1, "--scope: it is for a swarm");
    check("rm bridge", 1, "network bridge is pre-defined and cannot be removed");
    check("rm none", 1, "network none is pre-defined and cannot be removed");
    check("rm nobody", 1, "network nobody not found");
    assert_eq!(network(&yard, "rm -f nobody").2, 0);
    let (out, error, exit) = network(&yard, "inspect web nobody");
    assert!(
        out.contains("\"Name\": \"web\"")
            && error.contains("network nobody not found")
            && exit == 1
    );
    assert_eq!(fine(&yard, "create --ignore web").trim_end().len(), 64);
}
