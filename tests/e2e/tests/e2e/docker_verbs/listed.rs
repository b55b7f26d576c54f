//! `ps` and `stats`: what is shown of containers, and of which.

use super::{Ends, Group, Is, Prints, Refused};

pub(super) const GROUP: Group = Group {
    setup: "export PATH=\"$PWD/path:$PATH\"
        tare network create app > /dev/null
        tare run -d --name db -l tier=back --network app --expose 81 --health-cmd true --health-interval 100ms \
            box:1 sleep 1000 > /dev/null
        tare run -d --name web -l tier=front -p 8123:80 -v data:/d box:1 sleep 1000 > /dev/null
        tare run --name done box:1 sh -c 'echo 1234567 > /x; exit 3' || true
        tare create --name fresh box:1 pwd > /dev/null
        for i in $(seq 1200); do
            tare inspect -f '{{.State.Health.Status}}' db | grep -q ^healthy && break; sleep 0.1; done
        names() { tare ps --format '{{.Names}}' \"$@\"; }",
    rows: &[
        ("ps", "", "tare ps", Prints("CONTAINER ID   IMAGE     COMMAND        CREATED")),
        ("ps", "", "tare ps --filter name=web", Prints("0.0.0.0:8123->80/tcp   web")),
        ("ps", "--all", "names --all", Is("fresh\ndone\nweb\ndb")),
        (
            "ps",
            "--format",
            "tare ps --format '{{.Names}} {{.Image}} {{.Command}} {{.State}} {{.Networks}} {{.Mounts}} {{.LocalVolumes}} {{.Ports}}'",
            Prints("web box:1 \"sleep 1000\" running bridge data 1 0.0.0.0:8123->80/tcp\n"),
        ),
        (
            "ps",
            "--format",
            "tare ps --format '{{.Label \"tier\"}} {{.Labels}} {{.HealthStatus}} {{.Platform}}'",
            Prints("back tier=back healthy linux/amd64"),
        ),
        (
            "ps",
            "--format",
            "tare ps --format '{{.Status}} since {{.RunningFor}}, {{.CreatedAt}}'",
            Prints(" ago, 2"),
        ),
        (
            "ps",
            "--format",
            "tare ps -a --format '{{.Names}} {{.Size}}' | grep done",
            Prints("done 8B (virtual "),
        ),
        ("ps", "--format", "tare ps -l --format '{{.ID}}' | wc -c", Is("13")),
        (
            "ps",
            "--format",
            "tare ps --format 'table {{.Names}}\\t{{.State}}'",
            Is("NAMES     STATE\nweb       running\ndb        running"),
        ),
        ("ps", "--format", "tare ps --format '{{json .}}'", Prints("\"Names\":\"web\"")),
        ("ps", "--format", "tare ps --format json", Prints("\"Names\": \"web\"")),
        ("ps", "--last", "names -n 2", Is("fresh\ndone")),
        ("ps", "--latest", "names -l", Is("fresh")),
        ("ps", "--no-trunc", "tare ps -lq --no-trunc | wc -c", Is("65")),
        ("ps", "--quiet", "tare ps -q | wc -l", Is("2")),
        ("ps", "--size", "tare ps -as", Prints("8B (virtual ")),
        ("ps", "--filter", "names --filter ancestor=box:1", Is("web\ndb")),
        ("ps", "--filter", "names --filter ancestor=other", Is("")),
        ("ps", "--filter", "names -a --filter before=web", Is("db")),
        ("ps", "--filter", "names -a --filter exited=3", Is("done")),
        ("ps", "--filter", "names --filter expose=81", Is("db")),
        ("ps", "--filter", "names --filter expose=80/tcp", Is("web")),
        ("ps", "--filter", "names --filter health=healthy", Is("db")),
        ("ps", "--filter", "names --filter health=nosuch", Ends(1, "invalid filter 'health=nosuch'")),
        ("ps", "--filter", "names -a --filter id=$(tare ps -lq)", Is("fresh")),
        ("ps", "--filter", "names --filter is-task=true", Is("")),
        ("ps", "--filter", "names --filter is-task=false", Is("web\ndb")),
        (
            "ps",
            "--filter",
            "names --filter isolation=process",
            Refused("it is for containers of Windows"),
        ),
        ("ps", "--filter", "names -a --filter label=tier", Is("web\ndb")),
        ("ps", "--filter", "names -a --filter label=tier=front", Is("web")),
        ("ps", "--filter", "names -a --filter name=e", Is("fresh\ndone\nweb")),
        ("ps", "--filter", "names -a --filter 'name=^/?(web|db)$'", Is("web\ndb")),
        ("ps", "--filter", "names -a --filter 'name=^d.*e'", Is("done")),
        ("ps", "--filter", "names --filter network=app", Is("db")),
        ("ps", "--filter", "names --filter publish=8123", Is("web")),
        ("ps", "--filter", "names --filter publish=8000-9000/tcp", Is("web")),
        ("ps", "--filter", "names --filter publish=80", Is("")),
        ("ps", "--filter", "names -a --filter since=web", Is("fresh\ndone")),
        ("ps", "--filter", "names --filter status=created", Is("fresh")),
        (
            "ps",
            "--filter",
            "names --filter status=exited --filter status=created",
            Is("fresh\ndone"),
        ),
        ("ps", "--filter", "names --filter status=nosuch", Ends(1, "invalid filter 'status=nosuch'")),
        ("ps", "--filter", "names --filter volume=data", Is("web")),
        ("ps", "--filter", "names --filter volume=/d", Is("web")),
        ("ps", "--filter", "names --filter nosuch=x", Ends(1, "invalid filter 'nosuch'")),
        (
            "stats",
            "",
            "timeout 300 tare stats > shown & until grep -q NAME shown; do sleep 0.1; done; kill $!; cat shown",
            Prints("CONTAINER ID   NAME"),
        ),
        ("stats", "--all", "tare stats --no-stream -a --format '{{.Name}}' | wc -l", Is("4")),
        (
            "stats",
            "--format",
            "tare stats --no-stream --format '{{.Name}} {{.PIDs}} {{.CPUPerc}} {{.MemPerc}} {{.MemUsage}} {{.NetIO}} {{.BlockIO}}' web",
            Prints("web 1 0.0"),
        ),
        (
            "stats",
            "--format",
            "tare stats --no-stream --format '{{.ID}} {{.Container}}' web | wc -c",
            Is("26"),
        ),
        ("stats", "--no-stream", "tare stats --no-stream | wc -l", Is("3")),
        (
            "stats",
            "--no-trunc",
            "tare stats --no-stream --no-trunc --format '{{.ID}}' web | wc -c",
            Is("65"),
        ),
    ],
};
