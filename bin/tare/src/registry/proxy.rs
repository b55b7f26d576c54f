//! Copies of other registries: the options.

use super::age;
use crate::failure::{Failure, Result};
use crate::settings::{http2, system_authorities};
use ::serve::{Caching, Config, Upstream};
use clap::Args;
use oci::Reference;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use transport::auth::{AuthFile, Lookup};
use transport::certs::Certificates;
use transport::proxy::Proxies;
use transport::registry::Options;

/// Where certificates of registries are. A server has no home to look into.
const CERTIFICATES: [&str; 2] = ["/etc/containers/certs.d", "/etc/docker/certs.d"];

#[derive(Debug, Args)]
#[command(next_help_heading = "Copies of other registries")]
pub(super) struct ProxyArgs {
    /// Fetch from this registry what is not here, and keep it: all repositories, or those below PREFIX. With a PATH
    /// they are below that there. `http://` allows to reach it without TLS (repeated)
    #[arg(long, value_name = "[PREFIX=]REGISTRY[/PATH]")]
    proxy: Vec<String>,
    /// File with the credentials for these registries, as `tare login --authfile` writes it. Whoever may pull
    /// here gets what they allow
    #[arg(long, value_name = "FILE", requires = "proxy")]
    proxy_authfile: Option<PathBuf>,
    /// Ask for a tag again after this time. When its registry is away, what is here is served
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = age::parse)]
    proxy_ttl: Duration,
    /// Remove copies that nobody has asked for in this time; without it they stay
    #[arg(long, value_name = "TIME", requires = "proxy", value_parser = age::parse)]
    proxy_keep: Option<Duration>,
}

impl ProxyArgs {
    pub(super) fn apply(&self, config: &mut Config) -> Result<()> {
        config.keeping.copies = self.proxy_keep;
        if self.proxy.is_empty() {
            return Ok(());
        }
        let proxies = Proxies::read(&|name| std::env::var(name).ok())?;
        let upstreams = self.proxy.iter().map(|text| self.upstream(text, &proxies));
        let upstreams = upstreams.collect::<Result<Vec<_>>>()?;
        config.caching = Some(Caching { upstreams, trust: self.proxy_ttl });
        Ok(())
    }

    fn upstream(&self, text: &str, proxies: &Proxies) -> Result<Upstream> {
        let (prefix, place, plain) = parse(text).map_err(Failure::new)?;
        let file = self.proxy_authfile.clone();
        if let Some(file) = file.as_ref().filter(|file| !file.is_file()) {
            return Err(Failure::new(format!("{}: there is no such file", file.display())));
        }
        let lookup = Lookup {
            files: file.into_iter().map(|path| AuthFile { path, legacy: false }).collect(),
            helpers: Vec::new(),
            search_path: std::env::var_os("PATH").unwrap_or_default(),
        };
        let (proxies, authorities) = (proxies.clone(), system_authorities());
        let connect = move |origin: &Reference| {
            Ok(Options {
                credentials: lookup.find(origin.name())?,
                insecure: plain,
                certificates: Certificates::find(
                    &CERTIFICATES.map(PathBuf::from),
                    origin.domain(),
                )?,
                system_authorities: authorities.clone(),
                http2: http2(),
                proxies: proxies.clone(),
                user_agent: format!("tare/{}", env!("CARGO_PKG_VERSION")),
                ..Options::default()
            })
        };
        Ok(Upstream { prefix, place, connect: Arc::new(connect) })
    }
}

/// `hub=docker.io/library`: the prefix, the registry with its path, and whether it may be reached without TLS.
fn parse(text: &str) -> std::result::Result<(String, String, bool), String> {
    let (prefix, rest) = text.split_once('=').unwrap_or(("", text));
    let (plain, rest) = match (rest.strip_prefix("http://"), rest.strip_prefix("https://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => (false, rest),
    };
    let place = rest.trim_end_matches('/');
    if place.contains("://") || place.contains('@') {
        return Err(format!(
            "`{}` is not a registry; credentials come from --proxy-authfile",
            text.escape_debug()
        ));
    }
    // Docker's registry by the address that its clients use.
    let place = match place.split_once('/').unwrap_or((place, "")) {
        ("registry-1.docker.io" | "index.docker.io", "") => "docker.io".into(),
        ("registry-1.docker.io" | "index.docker.io", path) => format!("docker.io/{path}"),
        _ => place.to_owned(),
    };
    Ok((prefix.trim_end_matches('/').to_owned(), place, plain))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn registries_have_a_prefix_or_none() {
        let check = |text: &str, prefix: &str, place: &str, plain: bool| {
            assert_eq!(parse(text), Ok((prefix.into(), place.into(), plain)), "{text}");
        };
        check("docker.io", "", "docker.io", false);
        check("https://registry-1.docker.io/", "", "docker.io", false);
        check("hub=docker.io/library", "hub", "docker.io/library", false);
        check("a/b=http://r.example:5000", "a/b", "r.example:5000", true);
        assert!(parse("https://user:secret@r.example").is_err());
        assert!(parse("ftp://r.example").is_err());
    }
}
