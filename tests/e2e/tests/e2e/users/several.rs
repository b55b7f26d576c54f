//! An application of three containers: nginx before a program in python, which counts in redis.

use super::{User, World};

/// The program: an answer with a number that redis counts.
const APP: &str = r#"
import http.server, os, socket
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == '/fail': os._exit(3)
        with socket.create_connection((os.environ['CACHE'], 6379), 60) as cache:
            cache.sendall(b'INCR visits\r\n')
            text = b'visit ' + cache.recv(64)[1:].strip() + b'\n'
        self.send_response(200); self.end_headers(); self.wfile.write(text)
    def log_message(self, *arguments): pass
http.server.HTTPServer(('', 8000), Handler).serve_forever()
"#;

/// What the user types; WAY stands for how containers find each other, and CACHE for the name of redis.
const SCRIPT: &str = r#"
cat > app.py <<'END'
APP
END
PREPARE
cat > nginx.conf <<'END'
pid /tmp/nginx.pid; error_log /dev/stderr; USER_LINE
events {} http { access_log /dev/stdout; server { listen FRONT; location / { proxy_pass http://APPNAME:8000; } } }
END
tare run -d --name cache FIRST -v data:/data --restart unless-stopped \
    --health-cmd 'redis-cli ping | grep PONG' --health-interval 200ms redis:7 \
    redis-server --protected-mode no --dir /data --appendonly yes > /dev/null
for i in $(seq 1200); do [ "$(tare inspect -f '{{.State.Health.Status}}' cache)" = healthy ] && break; sleep 0.2; done
tare ps --format '{{.Names}} {{.HealthStatus}}'
tare run -d --name app WAY -e CACHE=CACHENAME -v "$PWD/app.py:/app.py:ro" --restart on-failure:3 --read-only \
    python:3 python3 /app.py > /dev/null
tare run -d --name web WAY PUBLISH -v "$PWD/nginx.conf:/etc/nginx/nginx.conf:ro" -l tier=front nginx > /dev/null
ask() { for i in $(seq 1200); do curl -sf --max-time 60 http://127.0.0.1:8080/ && return; sleep 0.1; done; tare logs web; tare logs app; return 1; }
ask; ask
tare ps --format '{{.Names}}' --filter label=tier=front
# The program fails, and is there again; the cache is stopped and started, and knows what it knew.
curl -s --max-time 60 http://127.0.0.1:8080/fail > /dev/null || true
for i in $(seq 1200); do [ "$(tare inspect -f '{{.RestartCount}} {{.State.Running}}' app)" = '1 true' ] && break; sleep 0.1; done
[ "$(tare inspect -f '{{.RestartCount}}' app)" = 1 ] || { echo 'app has not been started again'; exit 1; }
ask
RESTART
ask
tare exec cache redis-cli get visits
tare stats --no-stream --format '{{.Name}}' | sort
tare rm -f web app cache | sort
tare volume ls -q
CLEAN
"#;

const SAID: &str = "cache healthy
visit 1
visit 2
web
visit 3
visit 4
4
app
cache
web
app
cache
web
data
";

fn several(test: &str, user: User) {
    let needed: &[&str] = &["nginx:latest", "redis:7", "python:3"];
    let Some(world) = World::new(test, user, needed) else { return };
    // A network of one's own, or the first container's, which publishes for all of them.
    let words: &[(&str, &str)] = match user {
        User::Root | User::Ordinary => &[
            ("PREPARE", "tare network create shop > /dev/null"),
            ("FRONT", "80"),
            ("APPNAME", "app"),
            ("FIRST", "--network shop"),
            ("WAY", "--network shop"),
            ("CACHENAME", "cache"),
            ("PUBLISH", "-p 8080:80"),
            ("USER_LINE", ""),
            ("RESTART", "tare restart -t 120 cache > /dev/null"),
            ("CLEAN", "tare network rm shop"),
        ],
        User::Alone => &[
            ("PREPARE", ""),
            ("FRONT", "80"),
            ("APPNAME", "127.0.0.1"),
            ("FIRST", "-p 8080:80"),
            ("WAY", "--network container:cache"),
            ("CACHENAME", "127.0.0.1"),
            ("PUBLISH", ""),
            ("USER_LINE", "user root;"),
            ("RESTART", ""),
            ("CLEAN", ""),
        ],
    };
    let mut script = SCRIPT.replace("APP\nEND", &format!("{}END", APP.trim_start()));
    for (word, text) in words {
        script = script.replace(word, text);
    }
    let mut expected = SAID.to_owned();
    if user != User::Alone {
        expected.push_str("shop\n");
    }
    assert_eq!(world.run(&script), expected);
}

#[test]
fn several_containers_are_an_application_for_root() {
    several("several_containers_are_an_application_for_root", User::Root);
}

#[test]
fn several_containers_are_an_application_for_an_ordinary_user() {
    several("several_containers_are_an_application_for_an_ordinary_user", User::Ordinary);
}

#[test]
fn several_containers_are_an_application_for_a_user_without_ranges() {
    several("several_containers_are_an_application_for_a_user_without_ranges", User::Alone);
}
