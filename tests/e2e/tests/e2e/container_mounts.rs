//! `tare mount` of containers, in a mount namespace of the test's own.

use super::engine::Engine;
use e2e::{program, stderr, stdout};
use std::process::Command;

impl Engine {
    /// Runs a script in which `t` is the program, and a container `off` does not run, and `on` does.
    fn script(&self, script: &str) -> String {
        let tare = program("tare");
        let (root, run) = (self.0.path("store"), self.0.path("run"));
        let whole = format!(
            "t() {{ TARE_NETWORK=none {} --root {root} --runroot {run} --insecure-policy \"$@\"; }}
             p() {{ (export TARE_NETWORK=none; exec -a podman {} --root {root} --runroot {run} \"$@\"); }}
             fails() {{ if t \"$@\" 2> said; then echo \"no failure: $*\"; exit 9; fi; cat said; }}
             t run --name off box:1 sh -c 'test -e /f || echo off > /f'
             t run -d --name on box:1 sh -c 'test -e /f || echo on > /f; exec sleep 1000' > on.id
             until t exec on cat /f > seen 2>&1 && grep -q on seen; do sleep 0.05; done
             set -e; {script}",
            tare.display(),
            tare.display()
        );
        let output = Command::new("unshare")
            .args(["-m", "bash", "-c", &whole])
            .current_dir(self.0.path(""))
            .env("HOME", self.0.path(""))
            .output()
            .expect("running a shell");
        let text = stdout(&output);
        assert!(output.status.success(), "{text}{}", stderr(&output));
        text
    }
}

#[test]
fn what_is_changed_in_a_mounted_container_is_changed_for_it() {
    let test = "what_is_changed_in_a_mounted_container_is_changed_for_it";
    let Some(engine) = Engine::new(test) else { return };
    let said = engine.script(
        "off=$(t mount off); on=$(t container mount on); cat $off/f $on/f
         [ \"$(t mount on)\" = $on ]
         echo 1 > $off/g; echo 2 > $on/g; t exec on cat /g; t exec on sh -c 'echo 3 > /h'; cat $on/h
         t cp off:/g -  | tar -xO; echo 4 > x; t cp x off:/x; cat $off/x; t diff off | grep /x
         echo started; t start off; cat $off/f; echo 5 > $off/y
         t stop -t 0 on; echo 6 > $on/z; t start on; cat $on/g; t exec on cat /z; echo 7 > $on/z; t exec on cat /z
         t unmount on off | sed 's,.*/mounts/,,' | grep -c merged; ls $on $off 2>&1 | grep -c 'No such'
         t exec on cat /z; t restart -t 0 on; t exec on cat /z; t cp off:/y - | tar -xO
         grep -c ' - overlay ' /proc/self/mountinfo || true; t fsck",
    );
    let wanted = "off\non\n2\n3\n1\n4\nA /x\nstarted\noff\noff\non\non\n2\n6\n7\n2\n2\n7\non\n7\n5\n0\nthe store is in order\n";
    let own = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let overlays = own.lines().filter(|line| line.contains(" - overlay ")).count();
    assert_eq!(
        said.replace("\n0\nthe", &format!("\n{overlays}\nthe")),
        wanted.replace("\n0\nthe", &format!("\n{overlays}\nthe"))
    );
}

#[test]
fn a_container_is_not_removed_under_who_looks_at_it() {
    let test = "a_container_is_not_removed_under_who_looks_at_it";
    let Some(engine) = Engine::new(test) else { return };
    let said = engine.script(
        "off=$(t mount off); fails rm off | sed \"s,$off,PLACE,\"; t container prune -f | head -1; cat $off/f
         echo 1; t rm -f off; ls $off 2>&1 | grep -c 'No such'
         on=$(t mount on); t rm -f on; ls $on 2>&1 | grep -c 'No such'
         # One that removes itself stays until nobody looks at it.
         t run -d --rm --name self box:1 sh -c 'echo x > /x; exec sleep 1000' > id
         until t exec self cat /x > /dev/null 2>&1; do sleep 0.05; done
         self=$(t mount self); t stop -t 0 self; cat $self/x; t ps -a --format '{{.Names}} {{.State}}'
         t unmount self > /dev/null; t ps -aq; ls store/containers
         # Whoever is in the directory keeps it, unless that is wanted.
         t create --name busy box:1 > id; busy=$(t mount busy); cd $busy; fails unmount busy | grep -o 'it is in use'; t unmount -f busy | grep -c merged
         cd /; t fsck",
    );
    let wanted = "tare: cannot remove container \"/off\": it is mounted at PLACE\nhint: `tare unmount` it first, or use --force\n\
                  Total reclaimed space: 0B\noff\n1\noff\n1\non\n1\nself\nx\nself exited\nit is in use\n1\nthe store is in order\n";
    assert_eq!(said, wanted);
}

#[test]
fn images_and_containers_are_told_apart() {
    let Some(engine) = Engine::new("images_and_containers_are_told_apart") else { return };
    let said = engine.script(
        "t tag box:1 both:1; t tag box:1 both; t create --name both box:1 > id
         fails mount both; image=$(t image mount both); both=$(t container mount both); [ $image != $both ]
         t mount | wc -l; t mount --format '{{.Container}}:{{len .Name}}' | sed \"s/$(cat id)/ID/\"
         t image mount --format '{{.MountPoint}}' | grep -c .; t container mount --format '{{.Names}}'
         [ \"$(t unmount both)\" = $both ]; [ \"$(t unmount both)\" = $image ]
         t mount off on | sed 's, .*,,'; t mount -l > place; [ $(cat place) = $(t container mount both) ]
         fails mount nosuch | head -1; fails mount --target /mnt off; fails unmount nosuch | head -1
         t unmount $(t mount off) | grep -c merged; t unmount -a | wc -l; fails unmount off
         p mount off > place; [ -d $(cat place) ]; p mount --notruncate | grep -c ' '; p mount | awk '{print length($1)}'
         p umount off | wc -c; p image mount both > place; p image umount both | grep -c -E '^[0-9a-f]{64}$'; p image umount both",
    );
    let wanted = "tare: both: it is an image and a container\nhint: `tare image mount` and `tare container mount` tell them apart\n\
                  2\n:16\nID:4\n1\n[both]\noff\non\ntare: nosuch: no such image or container\n\
                  tare: --target: off is a container\nhint: a container is mounted at a directory of its own\n\
                  tare: nosuch: no such image or container\n1\n2\ntare: container off is not mounted\n1\n12\n65\n1\n";
    assert_eq!(said, wanted);
}

/// A mount would show other ids than the container has.
#[test]
fn a_container_with_ids_of_its_own_is_not_started_while_it_is_mounted() {
    let test = "a_container_with_ids_of_its_own_is_not_started_while_it_is_mounted";
    let Some(engine) = Engine::new(test) else { return };
    let output = engine.0.tare(&["run", "--rm", "--userns", "auto", "box:1", "sh", "-c", "exit 0"]);
    if !output.status.success() {
        e2e::skip(test, &format!("no idmapped mounts: {}", stderr(&output).trim()));
        return;
    }
    let said = engine.script(
        "t run --userns auto --name ids box:1 sh -c 'echo x > /x; chown 7:8 /x'
         ids=$(t mount ids); stat -c %u:%g $ids/x; fails start ids | grep -o 'with other ids than it would have'
         t unmount ids > /dev/null; t start ids > /dev/null; t wait ids",
    );
    assert_eq!(said, "7:8\nwith other ids than it would have\n0\n");
}
