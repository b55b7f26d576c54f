//! `--mount` in all its kinds, parts of volumes, owners, propagation, and volumes with file systems of their own.

use super::engine::Engine;
use super::images_scratch::Registry;
use e2e::{program, stderr, stdout};

impl Engine {
    /// With an image `data:1` that has the file `/etc/f` and a link that would lead out.
    fn with_link(test: &str) -> Option<Self> {
        let engine = Self::new(test)?;
        let scratch = &engine.0;
        scratch.sh("mkdir -p data/etc/sub; echo of-image > data/etc/f; ln -s /etc/hostname data/etc/link; tar -C data -cf data.tar .");
        scratch.ok(&["import", "-q", &scratch.path("data.tar"), "data:1"]);
        Some(engine)
    }

    /// What a script says in a container with one mount.
    fn with(&self, mount: &str, script: &str) -> String {
        self.ok(&["run", "--rm", "--mount", mount, "box:1", "sh", "-c", script])
    }

    /// Runs a script in a mount namespace of its own, with `$tare`.
    fn apart(&self, script: &str) -> String {
        let tare = format!(
            "{} --root {} --runroot {} --insecure-policy",
            program("tare").display(),
            self.0.path("store"),
            self.0.path("run")
        );
        let script = format!(
            "export TARE_NETWORK=none HOME=$PWD tare='{tare}'\nmount --make-rprivate /\n{script}"
        );
        std::fs::write(self.0.path("script"), script).unwrap();
        self.0.sh("unshare -m sh -e script 2>&1")
    }
}

#[test]
fn an_image_is_mounted_and_stays_as_long_as_the_container() {
    let test = "an_image_is_mounted_and_stays_as_long_as_the_container";
    let Some(engine) = Engine::with_link(test) else { return };
    let said = engine.with(
        "type=image,source=data:1,target=/x",
        "cat /x/etc/f; echo y > /x/new 2>/dev/null || echo ro",
    );
    assert_eq!(said, "of-image\nro");
    assert_eq!(
        engine.with("type=image,source=data:1,target=/x,subpath=etc", "ls /x"),
        "f\nlink\nsub"
    );
    assert_eq!(
        engine.with("type=image,src=data:1,dst=/x,image-subpath=etc/f", "cat /x"),
        "of-image"
    );
    // What is written goes with the container, and nowhere else.
    let mount = "type=image,source=data:1,target=/x,rw=true";
    engine.ok(&[
        "run",
        "--name",
        "it",
        "--mount",
        mount,
        "box:1",
        "sh",
        "-c",
        "ls /x; echo own > /x/new",
    ]);
    assert_eq!(engine.ok(&["start", "-a", "it"]), "etc\nnew");
    assert_eq!(engine.with("type=image,source=data:1,target=/x", "ls /x"), "etc");
    assert!(!engine.ok(&["diff", "it"]).contains("new"));
    let copied = engine.0.tare(&["cp", "it:/x/new", "-"]);
    assert!(stdout(&copied).contains("own\n"), "{}", stderr(&copied));
    let said = engine.0.fails(2, &["rmi", "data:1"]);
    assert!(said.contains("uses the image"), "{said}");
    engine.ok(&["rmi", "--force", "data:1"]);
    engine.ok(&["gc"]);
    assert_eq!(engine.ok(&["start", "-a", "it"]), "etc\nnew");
    engine.ok(&["fsck"]);
    engine.ok(&["rm", "it"]);
    engine.ok(&["gc"]);
    let said = engine.0.fails(125, &["run", "--rm", "--pull", "never", "--mount", mount, "box:1"]);
    assert!(said.contains("--mount type=image: data:1: it is not in the store"), "{said}");
    engine.ok(&["fsck"]);
    assert!(!std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&engine.0.path("")));
}

#[test]
fn an_image_that_is_mounted_is_pulled_as_it_is_wanted() {
    let test = "an_image_that_is_mounted_is_pulled_as_it_is_wanted";
    let Some(engine) = Engine::with_link(test) else { return };
    let Some(registry) = Registry::start(test, &engine.0) else { return };
    let name = registry.at("data:1");
    engine.ok(&["push", "-q", "data:1", &format!("docker://{name}")]);
    engine.ok(&["rmi", "data:1"]);
    let mount = format!("type=image,source={name},target=/x");
    let said = engine.ok(&["run", "-q", "--rm", "--mount", &mount, "box:1", "cat", "/x/etc/f"]);
    assert_eq!(said, "of-image");
    let mount = format!("type=image,source={},target=/x", registry.at("nosuch:1"));
    let said = engine.0.tare(&["run", "-q", "--rm", "--mount", &mount, "box:1", "id"]);
    assert_eq!(said.status.code(), Some(125), "{}", stderr(&said));
}

#[test]
fn an_image_is_mounted_with_the_ids_of_a_user_namespace() {
    let test = "an_image_is_mounted_with_the_ids_of_a_user_namespace";
    let Some(engine) = Engine::with_link(test) else { return };
    let output = engine.0.tare(&[
        "run",
        "--rm",
        "--uidmap",
        "0:500000:1000",
        "--mount",
        "type=image,source=data:1,target=/x",
        "--mount",
        "type=image,source=data:1,target=/y,rw=true",
        "box:1",
        "sh",
        "-c",
        "stat -c %u /x/etc/f; echo n > /y/n; stat -c %u /y/n",
    ]);
    if stderr(&output).contains("idmapped") {
        e2e::skip(test, &format!("no idmapped mounts: {}", stderr(&output).trim()));
        return;
    }
    assert_eq!(stdout(&output), "0\n0\n", "{}", stderr(&output));
}

#[test]
fn a_part_of_a_volume_is_mounted_and_its_links_lead_nowhere() {
    let test = "a_part_of_a_volume_is_mounted_and_its_links_lead_nowhere";
    let Some(engine) = Engine::with_link(test) else { return };
    let secret = engine.0.path("host-secret");
    std::fs::write(&secret, "of-the-host").unwrap();
    let script = format!(
        "mkdir /v/sub; echo part > /v/sub/f; echo file > /v/one; ln -s {secret} /v/evil; ln -s /sub /v/inner"
    );
    engine.ok(&["run", "--rm", "-v", "vol:/v", "box:1", "sh", "-c", &script]);
    let of = |part: &str| format!("type=volume,source=vol,target=/x,volume-subpath={part}");
    assert_eq!(engine.with(&of("sub"), "cat /x/f; ls /x"), "part\nf");
    assert_eq!(engine.with(&of("one"), "cat /x"), "file");
    assert_eq!(engine.with(&of("inner"), "cat /x/f"), "part");
    for part in ["evil", "none"] {
        let said =
            engine.0.fails(125, &["run", "--rm", "--mount", &of(part), "box:1", "cat", "/x"]);
        assert!(said.contains(&format!("subpath {part}: no such file")), "{said}");
    }
    let said = engine.0.fails(125, &["run", "--rm", "--mount", &of("../x"), "box:1"]);
    assert!(said.contains("leads out"), "{said}");
    // The same of a container that does not run.
    engine.ok(&["create", "--name", "it", "--mount", &of("sub"), "box:1"]);
    let copied = engine.0.tare(&["cp", "it:/x/f", "-"]);
    assert!(stdout(&copied).contains("part\n"), "{}", stderr(&copied));
}

#[test]
fn a_volume_that_is_not_to_be_filled_is_empty() {
    let test = "a_volume_that_is_not_to_be_filled_is_empty";
    let Some(engine) = Engine::with_link(test) else { return };
    assert_eq!(engine.with("type=volume,source=a,target=/home", "ls /home"), "web");
    assert_eq!(engine.with("type=volume,source=b,target=/home,volume-nocopy", "ls /home"), "");
    assert_eq!(
        engine.with("type=volume,source=c,target=/home,volume-nocopy=false", "ls /home"),
        "web"
    );
}

#[test]
fn memory_has_the_size_and_mode_that_are_asked_for() {
    let test = "memory_has_the_size_and_mode_that_are_asked_for";
    let Some(engine) = Engine::with_link(test) else { return };
    let script = "stat -c '%a' /m; busybox df -k /m | busybox tail -1 | busybox awk '{print $2}'";
    assert_eq!(
        engine.with("type=tmpfs,target=/m,tmpfs-size=2m,tmpfs-mode=0711", script),
        "711\n2048"
    );
    let said = engine.ok(&[
        "run",
        "--rm",
        "-u",
        "web",
        "--mount",
        "type=tmpfs,target=/m,U",
        "box:1",
        "stat",
        "-c",
        "%u:%g",
        "/m",
    ]);
    assert_eq!(said, "33:33");
    let script = "busybox grep -e ' /r ' -e ' /p ' /proc/mounts | busybox cut -d' ' -f3";
    let said = engine.ok(&[
        "run",
        "--rm",
        "--mount",
        "type=ramfs,target=/r",
        "--mount",
        "type=devpts,target=/p,mode=620",
        "box:1",
        "sh",
        "-c",
        script,
    ]);
    assert_eq!(said, "ramfs\ndevpts");
}

#[test]
fn owners_are_shown_as_the_users_and_no_file_changes() {
    let test = "owners_are_shown_as_the_users_and_no_file_changes";
    let Some(engine) = Engine::with_link(test) else { return };
    engine
        .0
        .sh("mkdir own; echo x > own/f; chown -R 1234:2345 own; chmod 700 own; touch -d @7 own/f");
    let own = engine.0.path("own");
    let run = |mount: &[&str], script: &str| {
        engine.0.tare(
            &[&["run", "--rm", "-u", "33:33"][..], mount, &["box:1", "sh", "-c", script]].concat(),
        )
    };
    let mount = format!("{own}:/o:U");
    let output = run(&["-v", &mount], "stat -c %u:%g /o /o/f; echo n > /o/new");
    if stderr(&output).contains("idmapped") {
        e2e::skip(test, &format!("no idmapped mounts: {}", stderr(&output).trim()));
        return;
    }
    assert_eq!(stdout(&output), "33:33\n33:33\n", "{}", stderr(&output));
    assert_eq!(
        engine.0.sh(
            "stat -c '%u:%g %Z' own/f > now; stat -c %u:%g own own/f own/new; stat -c %Y own/f"
        ),
        "1234:2345\n1234:2345\n1234:2345\n7\n"
    );
    let mount = format!("type=bind,source={own},target=/o,idmap=uids=1234-33-1;gids=2345-44-1");
    assert_eq!(stdout(&run(&["--mount", &mount], "stat -c %u:%g /o/f")), "33:44\n");
    // With ids of the container's own, too.
    let mount = format!("{own}:/o:U");
    let map = ["--uidmap", "0:500000:1000", "-v", &mount];
    let output = run(&map, "stat -c %u:%g /o/f; echo n > /o/newer");
    assert_eq!(stdout(&output), "33:33\n", "{}", stderr(&output));
    assert_eq!(engine.0.sh("stat -c %u:%g own/newer"), "1234:2345\n");
    let mount = format!("{own}:/o:idmap");
    let output = run(
        &[
            "--uidmap",
            "0:1234:1",
            "--uidmap",
            "33:5000:1",
            "--gidmap",
            "0:2345:1",
            "--gidmap",
            "33:5000:1",
            "-v",
            &mount,
        ],
        "stat -c %u /o",
    );
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn labels_of_selinux_are_taken_where_there_is_none() {
    let test = "labels_of_selinux_are_taken_where_there_is_none";
    let Some(engine) = Engine::with_link(test) else { return };
    engine.0.sh("mkdir own; echo x > own/f");
    for mode in ["z", "Z", "ro,z"] {
        let mount = format!("{}:/o:{mode}", engine.0.path("own"));
        assert_eq!(
            engine.ok(&["run", "--rm", "-v", &mount, "box:1", "cat", "/o/f"]),
            "x",
            "{mode}"
        );
    }
    let mount = format!("type=bind,source={},target=/o,relabel=shared", engine.0.path("own"));
    assert_eq!(engine.with(&mount, "cat /o/f"), "x");
}

#[test]
fn mounts_go_in_and_out_as_the_propagation_says() {
    let test = "mounts_go_in_and_out_as_the_propagation_says";
    let Some(engine) = Engine::with_link(test) else { return };
    let said = engine.apart(
        "mkdir prop; mount -t tmpfs t prop; mount --make-shared prop; mkdir prop/in prop/out
         for way in rprivate rslave rshared; do
             $tare run -d --name it --privileged -v $PWD/prop:/p:$way box:1 sh -c \
                 'busybox mount -t tmpfs x /p/in && touch /p/in/inside; exec sleep 1000' > /dev/null
             for try in $(seq 1200); do $tare exec it ls /p/in | busybox grep -q inside && break; sleep 0.1; done
             mount -t tmpfs t prop/out; touch prop/out/outside
             echo $way $(ls prop/in) $($tare exec it ls /p/out)
             $tare rm -f it > /dev/null
             echo $(ls prop/out)
             umount prop/out; umount prop/in 2>/dev/null || true
         done",
    );
    assert_eq!(
        said,
        "rprivate\noutside\nrslave outside\noutside\nrshared inside outside\noutside\n"
    );
}

#[test]
fn mounts_below_a_source_come_along_as_it_is_said() {
    let test = "mounts_below_a_source_come_along_as_it_is_said";
    let Some(engine) = Engine::with_link(test) else { return };
    let said = engine.apart(
        "mkdir top; mount -t tmpfs t top; mkdir top/below; mount -t tmpfs t top/below; touch top/below/f
         run() { $tare run --rm --mount type=bind,source=$PWD/top,target=/t,$1 box:1 sh -c \
             'ls /t/below; (echo > /t/below/w) 2>/dev/null && echo below; (echo > /t/w) 2>/dev/null && echo top' || true; rm -f top/w top/below/w; }
         echo 1 $(run bind-recursive=enabled); echo 2 $(run bind-recursive=disabled); echo 3 $(run readonly)
         echo 4 $(run readonly,bind-recursive=writable)
         echo 5 $(run readonly,bind-recursive=readonly,bind-propagation=rprivate); echo 6 $(run bind-nonrecursive)",
    );
    assert_eq!(said, "1 f below top\n2 below top\n3 f\n4 f below\n5 f\n6 w below top\n");
}

#[test]
fn volumes_have_file_systems_of_their_own() {
    let test = "volumes_have_file_systems_of_their_own";
    let Some(engine) = Engine::with_link(test) else { return };
    let memory = ["-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,uid=33,mode=700"];
    assert_eq!(engine.ok(&[&["volume", "create"][..], &memory, &["mem"]].concat()), "mem");
    assert_eq!(
        engine.ok(&["volume", "inspect", "--format", "{{.Options.type}} {{.Options.o}}", "mem"]),
        "tmpfs size=1m,uid=33,mode=700"
    );
    // One that runs shares it with the next; with the last one it is gone.
    engine.ok(&[
        "run",
        "-d",
        "--name",
        "it",
        "-v",
        "mem:/m",
        "box:1",
        "sh",
        "-c",
        "echo both > /m/f; exec sleep 1000",
    ]);
    let script = "for try in $(busybox seq 1200); do [ -s /m/f ] && break; sleep 0.1; done; cat /m/f; stat -c '%u %a' /m";
    assert_eq!(
        engine.ok(&["run", "--rm", "-v", "mem:/m", "box:1", "sh", "-c", script]),
        "both\n33 700"
    );
    engine.ok(&["rm", "-f", "it"]);
    assert_eq!(engine.ok(&["run", "--rm", "-v", "mem:/m", "box:1", "ls", "/m"]), "");
    engine.0.sh("mkdir srv; echo bound > srv/f");
    let device = format!("device={}", engine.0.path("srv"));
    engine.ok(&["volume", "create", "-o", "type=none", "-o", "o=bind,ro", "-o", &device, "bound"]);
    let script = "cat /m/f; (echo > /m/g) 2>/dev/null || echo ro";
    assert_eq!(
        engine.ok(&["run", "--rm", "-v", "bound:/m", "box:1", "sh", "-c", script]),
        "bound\nro"
    );
    let said = engine.with(
        "type=volume,source=made,target=/m,volume-opt=type=tmpfs,\"volume-opt=o=size=1m,mode=711\",volume-label=a=b",
        "stat -c %a /m",
    );
    assert_eq!(said, "711");
    assert_eq!(engine.ok(&["volume", "inspect", "--format", "{{.Labels.a}}", "made"]), "b");
    let said = engine.0.fails(1, &["volume", "create", "-o", "type=tmpfs", "bound"]);
    assert!(said.contains("there is one with other options"), "{said}");
    for (options, why) in [
        (&["-o", "size=1g"][..], "no limit of its own"),
        (&["-o", "colour=red"], "invalid option"),
        (&["-o", "type=nfs", "-o", "device=server:/x"], "no address of a server"),
        (&["-o", "type=ext4"], "missing required option"),
    ] {
        let said = engine.0.fails(1, &[&["volume", "create"][..], options, &["bad"]].concat());
        assert!(said.contains(why) && said.contains("hint: "), "{options:?}: {said}");
    }
    engine.ok(&["volume", "create", "-o", "type=nosuch", "-o", "device=x", "none"]);
    let said = engine.0.fails(125, &["run", "--rm", "-v", "none:/m", "box:1"]);
    assert!(
        said.contains("volume none: mounting x (nosuch): no such device")
            && said.contains("modprobe"),
        "{said}"
    );
    engine.ok(&["volume", "rm", "mem", "bound", "made", "none"]);
    assert!(!std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&engine.0.path("")));
}

#[test]
fn what_is_no_mount_is_refused() {
    let Some(engine) = Engine::with_link("what_is_no_mount_is_refused") else { return };
    for (mount, why) in [
        ("type=glob,source=/nosuch*,target=/x", "no file paths matching glob \"/nosuch*\""),
        ("type=glob,source=x*", "which begins with /"),
        ("type=npipe,source=x,target=/x", "containers of Windows"),
        ("type=cluster,source=x,target=/x", "services of swarm"),
        ("type=artifact,source=x,target=/x", "no tree of files"),
        (
            "type=tmpfs,target=/x,volume-nocopy",
            "cannot mix 'volume*' options with mount type 'tmpfs'",
        ),
        ("type=bind,source=/,target=/x,colour=red", "unexpected key 'colour' in 'colour=red'"),
        ("type=volume,source=v,target=/x,volume-driver=x", "there is no driver"),
    ] {
        let said = engine.0.fails(125, &["run", "--rm", "--mount", mount, "box:1"]);
        assert!(said.contains(why) && said.contains("hint: "), "{mount}: {said}");
    }
    let said = engine.0.fails(125, &["run", "--rm", "-v", "/tmp:/x:O", "box:1"]);
    assert!(said.contains("thrown away"), "{said}");
}
