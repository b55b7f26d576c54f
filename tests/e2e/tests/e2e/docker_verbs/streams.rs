//! Verbs that connect to what containers say.

use super::{Ends, Group, Is, Prints};

pub(super) const GROUP: Group = Group {
    setup: "export PATH=\"$PWD/path:$PATH\"
        tare run --name said -l a=b --log-opt labels=a box:1 \
            sh -c 'echo one; sleep 0.2; echo two >&2; sleep 0.2; echo three' > /dev/null 2>&1
        tare run -dit --name term box:1 cat > /dev/null
        typing() { while sleep 0.2 && printf $1; do :; done; }
        go_when_attached() {
            until tare events --since 1h --until 0s --filter container=$1 --filter event=attach | grep -q .; do sleep 0.1; done
            tare exec $1 touch /go; }
        wait='until [ -e /go ]; do sleep 0.1; done;'",
    rows: &[
        (
            "attach",
            "",
            "tare run -d --name a1 box:1 sh -c \"$wait echo late; exit 4\" > /dev/null; go_when_attached a1 & tare attach a1",
            Ends(4, "late"),
        ),
        (
            "attach",
            "--no-stdin",
            "tare run -di --name a2 box:1 sh -c \"$wait\"' read -t 1 x; echo \"[$x]\"' > /dev/null; \
             go_when_attached a2 & echo in | tare attach --no-stdin a2",
            Is("[]"),
        ),
        (
            "attach",
            "--sig-proxy",
            "tare run -d --name a3 box:1 sh -c 'trap \"exit 5\" TERM; while :; do sleep 0.1; done' > /dev/null; \
             timeout 1 tare attach --sig-proxy=false a3; tare inspect -f '{{.State.Running}}' a3",
            Is("true"),
        ),
        (
            "attach",
            "--detach-keys",
            "typing x | script -qec 'tare attach --detach-keys x term' /dev/null; \
             tare inspect -f '{{.State.Running}}' term",
            Prints("true"),
        ),
        (
            "start",
            "--attach",
            "tare create --name s1 box:1 sh -c 'echo hi; exit 3' > /dev/null; tare start -a s1",
            Ends(3, "hi"),
        ),
        (
            "start",
            "--interactive",
            "tare create -i --name s2 box:1 cat > /dev/null; echo in | tare start -ai s2",
            Is("in"),
        ),
        (
            "start",
            "--detach-keys",
            "tare create -it --name s3 box:1 cat > /dev/null; \
             typing x | script -qec 'tare start -ai --detach-keys x s3' /dev/null; \
             tare inspect -f '{{.State.Running}}' s3",
            Prints("true"),
        ),
        ("logs", "", "tare logs said", Is("one\ntwo\nthree")),
        ("logs", "", "tare logs said 2> /dev/null", Is("one\nthree")),
        ("logs", "--details", "tare logs --details said", Prints("a=b one\n")),
        (
            "logs",
            "--follow",
            "tare run -d --name slow box:1 sh -c 'echo a; sleep 1; echo b' > /dev/null; tare logs -f slow",
            Is("a\nb"),
        ),
        ("logs", "--since", "tare logs --since 2100-01-01T00:00:00 said", Is("")),
        ("logs", "--since", "tare logs --since 1h said", Is("one\ntwo\nthree")),
        ("logs", "--until", "tare logs --until 2001-01-01 said", Is("")),
        ("logs", "--tail", "tare logs -n 1 said", Is("three")),
        ("logs", "--timestamps", "tare logs -t said", Prints("Z three\n")),
    ],
};
