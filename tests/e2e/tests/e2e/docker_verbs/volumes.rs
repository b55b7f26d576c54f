//! `tare volume`.

use super::{Ends, Group, Is, Prints, Refused};

/// Why options of cluster volumes are refused.
const CLUSTER: &str = "there are no cluster volumes";

pub(super) const GROUP: Group = Group {
    setup: "export PATH=\"$PWD/path:$PATH\"
        tare create --name user -v used:/d -v /anonymous box:1 pwd > /dev/null
        volumes() { tare volume ls --format '{{.Name}}' \"$@\"; }",
    rows: &[
        ("volume create", "", "tare volume create data; tare volume create data", Is("data\ndata")),
        ("volume create", "", "tare volume create | wc -c", Is("65")),
        (
            "volume create",
            "--driver",
            "tare volume create -d local other; tare volume create -d nfs x",
            Ends(1, "--driver nfs: there is no such driver"),
        ),
        (
            "volume create",
            "--label",
            "tare volume create --label keep=yes kept; tare volume inspect -f '{{.Labels.keep}}' kept",
            Is("kept\nyes"),
        ),
        (
            "volume create",
            "--opt",
            "tare volume create -o type=tmpfs -o device=tmpfs -o o=size=1m mem; \
             tare run --rm -v mem:/m box:1 cat /proc/mounts | grep ' /m ' | grep -o size=1024k; tare volume rm mem",
            Is("mem\nsize=1024k\nmem"),
        ),
        (
            "volume create",
            "--opt",
            "tare volume create -o type=nfs x",
            Refused("missing required option: \"device\""),
        ),
        (
            "volume create",
            "--availability",
            "tare volume create --availability active x",
            Refused(CLUSTER),
        ),
        ("volume create", "--group", "tare volume create --group g x", Refused(CLUSTER)),
        (
            "volume create",
            "--limit-bytes",
            "tare volume create --limit-bytes 1m x",
            Refused(CLUSTER),
        ),
        (
            "volume create",
            "--required-bytes",
            "tare volume create --required-bytes 1m x",
            Refused(CLUSTER),
        ),
        ("volume create", "--scope", "tare volume create --scope single x", Refused(CLUSTER)),
        ("volume create", "--secret", "tare volume create --secret a=b x", Refused(CLUSTER)),
        ("volume create", "--sharing", "tare volume create --sharing none x", Refused(CLUSTER)),
        (
            "volume create",
            "--topology-preferred",
            "tare volume create --topology-preferred a=b x",
            Refused(CLUSTER),
        ),
        (
            "volume create",
            "--topology-required",
            "tare volume create --topology-required a=b x",
            Refused(CLUSTER),
        ),
        ("volume create", "--type", "tare volume create --type block x", Refused(CLUSTER)),
        ("volume inspect", "", "tare volume inspect data", Prints("\"Name\": \"data\"")),
        (
            "volume inspect",
            "",
            "tare volume inspect data nosuch",
            Ends(1, "get nosuch: no such volume"),
        ),
        (
            "volume inspect",
            "--format",
            "tare volume inspect -f '{{.Driver}} {{.Scope}} {{json .Options}}' data",
            Is("local local null"),
        ),
        ("volume ls", "", "tare volume ls", Prints("DRIVER    VOLUME NAME\n")),
        ("volume ls", "--cluster", "tare volume ls --cluster", Refused(CLUSTER)),
        ("volume ls", "--quiet", "tare volume ls -q | head -1", Prints("")),
        (
            "volume ls",
            "--filter",
            "volumes --filter dangling=true | grep -v ......................",
            Is("data\nkept\nother"),
        ),
        ("volume ls", "--filter", "volumes --filter dangling=false | tail -1", Is("used")),
        ("volume ls", "--filter", "volumes --filter driver=nfs", Is("")),
        ("volume ls", "--filter", "volumes --filter label=keep=yes", Is("kept")),
        ("volume ls", "--filter", "volumes --filter 'name=^d.t'", Is("data")),
        ("volume ls", "--filter", "volumes --filter nosuch=x", Ends(1, "invalid filter 'nosuch'")),
        (
            "volume ls",
            "--format",
            "tare volume ls -f label=keep --format '{{.Name}} {{.Driver}} {{.Scope}} {{.Labels}} {{.Label \"keep\"}} {{.Links}} {{.Size}}'",
            Is("kept local local keep=yes yes 0 N/A"),
        ),
        (
            "volume ls",
            "--format",
            "tare volume ls -f label=keep --format '{{.Mountpoint}} {{.Availability}} {{.Group}} {{.Status}}'",
            Prints("/volumes/kept/_data N/A N/A N/A"),
        ),
        (
            "volume ls",
            "--format",
            "tare volume ls -f label=keep --format 'table {{.Name}}\\t{{.Labels}}'",
            Is("VOLUME NAME   LABELS\nkept          keep=yes"),
        ),
        ("volume update", "", "tare volume update data", Refused(CLUSTER)),
        (
            "volume update",
            "--availability",
            "tare volume update --availability drain data",
            Refused(CLUSTER),
        ),
        ("volume rm", "", "tare volume rm other", Is("other")),
        ("volume rm", "", "tare volume rm used", Ends(1, "volume is in use")),
        ("volume rm", "", "tare volume rm nosuch", Ends(1, "no such volume")),
        ("volume rm", "--force", "tare volume rm -f nosuch", Ends(0, "")),
        ("volume prune", "", "echo n | tare volume prune; tare volume ls -q | wc -l", Is("5")),
        ("volume prune", "", "echo y | tare volume prune", Prints("Deleted Volumes:\n")),
        (
            "volume prune",
            "--filter",
            "tare volume prune -af --filter label=nosuch; tare volume prune -af --filter 'label!=keep'",
            Prints("Deleted Volumes:\ndata\n"),
        ),
        (
            "volume prune",
            "--filter",
            "tare volume create --label a=b v1; tare volume prune -f --filter all=true --filter label=a",
            Prints("Deleted Volumes:\nv1\n"),
        ),
        ("volume prune", "--force", "tare volume prune -f", Is("Total reclaimed space: 0B")),
        ("volume prune", "--all", "tare volume prune -fa", Prints("Deleted Volumes:\nkept\n")),
    ],
};
