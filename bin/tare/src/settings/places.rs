//! Options of how a place is reached: skopeo's, for a place alone or for both sides of a copy.

use super::Access;
use super::args::{parse_credentials, parse_seconds};
use crate::failure::{Failure, Result};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;
use transport::auth::Credentials;

/// What all places of a command have in common.
#[derive(Debug, Default, Args)]
pub(crate) struct RetryArgs {
    /// How often something is tried again that has failed [default: 4]
    #[arg(long, visible_alias = "retry", value_name = "NUMBER")]
    retry_times: Option<u32>,
    /// Pause before that, such as 2s or 1m [default: half a second, and each time twice as long]
    #[arg(long, value_name = "TIME", value_parser = parse_seconds)]
    retry_delay: Option<Duration>,
}

impl RetryArgs {
    fn apply(&self, access: &mut Access) {
        access.attempts = self.retry_times.map(|times| times.saturating_add(1));
        // As skopeo has it: no time is the time that grows.
        access.backoff = self.retry_delay.filter(|delay| !delay.is_zero());
    }
}

/// What the options of one side say.
struct Said<'a> {
    /// What stands before the options' names.
    prefix: &'static str,
    authfile: Option<&'a PathBuf>,
    cert_dir: Option<&'a PathBuf>,
    creds: Option<&'a str>,
    username: Option<&'a str>,
    password: Option<&'a str>,
    no_creds: bool,
    registry_token: Option<&'a str>,
    tls_verify: Option<bool>,
    daemon_host: Option<&'a str>,
    shared_blob_dir: Option<&'a PathBuf>,
}

impl Said<'_> {
    fn credentials(&self) -> Result<Option<Credentials>> {
        let prefix = self.prefix;
        let refuse = |what: &str| Err(Failure::new(format!("--{prefix}{what}")));
        let named = usize::from(self.creds.is_some())
            + usize::from(self.username.is_some() || self.password.is_some())
            + usize::from(self.registry_token.is_some())
            + usize::from(self.no_creds);
        if named > 1 {
            let text = format!(
                "--{prefix}creds, --{prefix}username with --{prefix}password, \
                 --{prefix}registry-token, --{prefix}no-creds: only one of them can be given"
            );
            return Err(Failure::new(text));
        }
        if let Some(token) = self.registry_token {
            return Ok(Some(Credentials::Bearer { token: token.to_owned() }));
        }
        match (self.creds, self.username, self.password) {
            (Some(text), ..) => parse_credentials(text)
                .map(Some)
                .map_err(|it| it.during(format_args!("--{prefix}creds"))),
            (None, Some(user), Some(password)) if !user.is_empty() => {
                Ok(Some(Credentials::Basic { user: user.into(), password: password.into() }))
            }
            (None, Some(_), Some(_)) => refuse("username: it is empty"),
            (None, Some(_), None) => refuse("username: there is no password to it"),
            (None, None, Some(_)) => refuse("password: there is no user name to it"),
            (None, None, None) => Ok(None),
        }
    }

    fn access(&self, retry: &RetryArgs) -> Result<Access> {
        let mut access = Access {
            authfile: self.authfile.cloned(),
            credentials: self.credentials()?,
            anonymous: self.no_creds,
            cert_dir: self.cert_dir.cloned(),
            tls_verify: self.tls_verify,
            daemon_host: self.daemon_host.map(str::to_owned),
            shared_blobs: self.shared_blob_dir.cloned(),
            ..Access::default()
        };
        retry.apply(&mut access);
        Ok(access)
    }
}

/// The same options with something before their names. What a prefix makes of a name is part of it.
macro_rules! place_args {
    ($(#[$about:meta])* $name:ident, $prefix:literal, $whose:literal) => {
        $(#[$about])*
        #[derive(Debug, Default, Args)]
        pub(crate) struct $name {
            #[arg(id = concat!($prefix, "authfile"), long = concat!($prefix, "authfile"),
                value_name = "FILE", help = concat!("File with credentials", $whose))]
            authfile: Option<PathBuf>,
            #[arg(id = concat!($prefix, "cert-dir"), long = concat!($prefix, "cert-dir"), value_name = "DIR",
                help = concat!("Directory with certificates", $whose, " (*.crt) and own ones (*.cert, *.key)"))]
            cert_dir: Option<PathBuf>,
            #[arg(id = concat!($prefix, "creds"), long = concat!($prefix, "creds"),
                value_name = "USER[:PASSWORD]", help = concat!("Credentials", $whose))]
            creds: Option<String>,
            #[arg(id = concat!($prefix, "username"), long = concat!($prefix, "username"),
                value_name = "NAME", help = concat!("User name", $whose))]
            username: Option<String>,
            #[arg(id = concat!($prefix, "password"), long = concat!($prefix, "password"),
                value_name = "TEXT", help = concat!("Password", $whose))]
            password: Option<String>,
            #[arg(id = concat!($prefix, "no-creds"), long = concat!($prefix, "no-creds"),
                help = concat!("Look for no credentials", $whose))]
            no_creds: bool,
            #[arg(id = concat!($prefix, "registry-token"), long = concat!($prefix, "registry-token"),
                value_name = "TOKEN", help = concat!("Bearer token", $whose))]
            registry_token: Option<String>,
            #[arg(id = concat!($prefix, "tls-verify"), long = concat!($prefix, "tls-verify"),
                value_name = "BOOL", num_args = 0..=1, require_equals = true,
                default_missing_value = "true",
                help = concat!("Require HTTPS and a certificate that somebody vouches for", $whose,
                    " [default: as registries.conf says, or true]"))]
            tls_verify: Option<bool>,
            #[arg(id = concat!($prefix, "daemon-host"), long = concat!($prefix, "daemon-host"),
                value_name = "HOST",
                help = concat!("Where dockerd listens", $whose, " [default: unix:///var/run/docker.sock]"))]
            daemon_host: Option<String>,
            #[arg(id = concat!($prefix, "shared-blob-dir"), long = concat!($prefix, "shared-blob-dir"),
                value_name = "DIR", help = concat!("Where layouts (oci:) have their blobs together", $whose))]
            shared_blob_dir: Option<PathBuf>,
        }

        impl $name {
            /// What the libraries want to know.
            pub(crate) fn access(&self, retry: &RetryArgs) -> Result<Access> {
                let said = Said {
                    prefix: $prefix,
                    authfile: self.authfile.as_ref(),
                    cert_dir: self.cert_dir.as_ref(),
                    creds: self.creds.as_deref(),
                    username: self.username.as_deref(),
                    password: self.password.as_deref(),
                    no_creds: self.no_creds,
                    registry_token: self.registry_token.as_deref(),
                    tls_verify: self.tls_verify,
                    daemon_host: self.daemon_host.as_deref(),
                    shared_blob_dir: self.shared_blob_dir.as_ref(),
                };
                said.access(retry)
            }
        }
    };
}

place_args!(
    /// How the only place of a command is reached.
    PlaceArgs, "", ""
);
place_args!(
    /// How the source of a copy is reached.
    SourceArgs, "src-", " for the source"
);
place_args!(
    /// How the destination of a copy is reached.
    DestinationArgs, "dest-", " for the destination"
);
