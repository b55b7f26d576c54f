//! `tare registry serve`.

use super::access::AccessArgs;
use super::age;
use super::bucket::BucketArgs;
use super::gc::Keep;
use super::observe::ObserveArgs;
use super::proxy::ProxyArgs;
use super::systemd;
use crate::failure::{Failure, Result};
use ::serve::{Config, Durability, Quota, Rate, Server};
use clap::Args;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Serve a registry
///
/// Speaks the OCI distribution specification 1.1 on a directory, over HTTP/1.1 and 2. Nothing has to be
/// configured: on a loopback address anybody on this machine may pull and push. It ends on SIGTERM,
/// when the requests that are being answered have ended. Files with passwords, keys, certificates and rules are
/// read again when they change.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tare registry serve --listen 127.0.0.1:5000 --root /var/lib/registry"
)]
pub(super) struct Serve {
    /// Address and port to listen on; port 0 is any that is free (repeated). Sockets of systemd's are used
    /// too
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<SocketAddr>,
    /// Directory of the registry; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// Change nothing; several such servers may run beside one that changes the registry
    #[arg(long)]
    read_only: bool,
    /// No pages on which people see repositories and tags (`/` and below `/browse/`)
    #[arg(long)]
    no_pages: bool,
    /// Do not wait for the disk: what was pushed survives the server's death, not a power cut
    #[arg(long)]
    no_sync: bool,
    #[command(flatten)]
    keep: Keep,
    /// Time between two looks for what nothing refers to; 0 for none
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = age::parse)]
    gc_interval: Duration,
    /// Take no more than so many bytes (`500M`, `2T`): in the registry, which counts content once, or in the repository
    /// NAME with those below it, which counts what each has (repeated)
    #[arg(long, value_name = "[NAME=]SIZE", value_parser = parse_quota)]
    quota: Vec<Quota>,
    /// How many requests a second a client may send in the long run, and how many at once
    #[arg(long, value_name = "NUMBER[:BURST]", value_parser = parse_rate)]
    rate: Option<Rate>,
    /// Connections at one moment; others wait
    #[arg(long, value_name = "NUMBER", default_value_t = ::serve::limits::CONNECTIONS)]
    max_connections: usize,
    /// Time for requests to end after SIGTERM
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = age::parse)]
    drain: Duration,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    bucket: BucketArgs,
    #[command(flatten)]
    proxy: ProxyArgs,
    #[command(flatten)]
    observe: ObserveArgs,
}

pub(super) fn run(arguments: &Serve) -> Result<()> {
    let mut config = Config::new(&arguments.root);
    config.listen = arguments.listen.clone();
    config.inherited = systemd::sockets();
    if config.listen.is_empty() && config.inherited.is_empty() {
        return Err(Failure::new("nothing to listen on")
            .hint("say where with --listen ADDR:PORT, or let systemd open a socket"));
    }
    config.read_only = arguments.read_only;
    config.pages = !arguments.no_pages;
    config.keeping = arguments.keep.keeping();
    config.collect = Some(arguments.gc_interval).filter(|interval| !interval.is_zero());
    if arguments.no_sync {
        config.durability = Durability::None;
    }
    config.rate = arguments.rate;
    config.quotas = arguments.quota.clone();
    config.connections = arguments.max_connections;
    config.drain = arguments.drain;
    config.faults = Arc::new(|text| {
        let _ = writeln!(std::io::stderr(), "tare: {text}");
    });
    arguments.access.apply(&mut config);
    config.bucket = arguments.bucket.bucket()?;
    arguments.proxy.apply(&mut config)?;
    arguments.observe.apply(&mut config)?;
    raise_descriptors();
    let server = Server::start(&config)?;
    // The server has copies of its own.
    drop(config);
    for address in server.addresses() {
        // Whoever started it with port 0 reads the address here.
        let _ = writeln!(std::io::stdout(), "listening on {address}");
    }
    for address in server.figures_addresses() {
        let _ = writeln!(std::io::stdout(), "figures on {address}");
    }
    systemd::notify("READY=1");
    server.run()?;
    Ok(())
}

/// A connection is a descriptor or two: as many as the system allows.
fn raise_descriptors() {
    const RLIMIT_NOFILE: u32 = 7;
    if let Ok((_, hard)) = sys::sched::limit(RLIMIT_NOFILE) {
        let _ = sys::sched::set_limit(RLIMIT_NOFILE, hard, hard);
    }
}

/// `10`, `0.5:20`. Without a second number, ten seconds' worth may come at once.
fn parse_rate(text: &str) -> std::result::Result<Rate, String> {
    let number = |text: &str| {
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
        number.ok_or_else(|| format!("`{text}` is not a number above 0"))
    };
    let (per_second, burst) = match text.split_once(':') {
        Some((per_second, burst)) => (number(per_second)?, number(burst)?),
        None => (number(text)?, 10.0 * number(text)?),
    };
    Ok(Rate { per_second, burst: burst.max(1.0) })
}

/// `10G`, `team=500M`. Units are powers of 1000, and with an `i` of 1024.
fn parse_quota(text: &str) -> std::result::Result<Quota, String> {
    let (prefix, size) = match text.split_once('=') {
        Some((prefix, size)) => (Some(prefix.to_owned()), size),
        None => (None, text),
    };
    let digits = size.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit = size[digits.len()..].trim_end_matches(['B', 'b']);
    let (letter, base) = match unit.strip_suffix('i') {
        Some(letter) if !letter.is_empty() => (letter, 1024_u64),
        Some(_) => return Err(format!("`{size}` is not a size")),
        None => (unit, 1000),
    };
    let power = match letter {
        "" => 0,
        "K" | "k" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return Err(format!("unit `{unit}` is none of K, M, G, T, Ki, Mi, Gi, Ti")),
    };
    let count: u64 = digits.parse().map_err(|_| format!("`{size}` is not a size"))?;
    let bytes = count.checked_mul(base.pow(power)).ok_or("is too large")?;
    Ok(Quota { prefix, bytes })
}

#[cfg(test)]
mod tests {
    use super::{parse_quota, parse_rate};

    #[test]
    fn quotas_have_a_size_and_perhaps_a_name() {
        let check = |text: &str, prefix: Option<&str>, bytes: u64| {
            let quota = parse_quota(text).unwrap();
            assert_eq!((quota.prefix.as_deref(), quota.bytes), (prefix, bytes), "{text}");
        };
        check("10", None, 10);
        check("10G", None, 10_000_000_000);
        check("2TB", None, 2_000_000_000_000);
        check("team/a=5Mi", Some("team/a"), 5 << 20);
        check("0", None, 0);
        for bad in ["", "x", "1X", "-1", "1.5G", "i", "1i", "a=", "99999999999T"] {
            assert!(parse_quota(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_have_one_or_two_numbers() {
        let rate = |text: &str| parse_rate(text).map(|it| (it.per_second, it.burst));
        assert_eq!(rate("10"), Ok((10.0, 100.0)));
        assert_eq!(rate("0.5:20"), Ok((0.5, 20.0)));
        assert_eq!(rate("0.01"), Ok((0.01, 1.0)));
        for bad in ["", "0", "-1", "x", "1:", "inf", "NaN", "1:2:3"] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
    }
}
