//! A registry in a bucket: the options.

use crate::failure::{Failure, Result};
use crate::settings::system_authorities;
use ::serve::{Bucket, Credentials, Keys};
use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, Args)]
#[command(next_help_heading = "A store of objects")]
pub(super) struct BucketArgs {
    /// Keep the registry in this bucket of a store that speaks S3, which several servers may share; --root then has
    /// what is on its way. The key comes from --s3-credentials, or AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
    /// AWS_SESSION_TOKEN
    #[arg(long, value_name = "BUCKET[/PREFIX]", requires = "s3_endpoint")]
    s3: Option<String>,
    /// Where the store is
    #[arg(long, value_name = "URL", requires = "s3")]
    s3_endpoint: Option<String>,
    /// Its region
    #[arg(long, value_name = "NAME", default_value = "us-east-1")]
    s3_region: String,
    /// The bucket's name is the begin of paths, not of the host's name
    #[arg(long, requires = "s3")]
    s3_path_style: bool,
    /// Send clients to the store for blobs, with addresses that are good for twenty minutes
    #[arg(long, requires = "s3")]
    s3_redirect: bool,
    /// File with the key, as AWS's tools have it (`[default]`). It is read again when it is needed
    #[arg(long, value_name = "FILE", requires = "s3")]
    s3_credentials: Option<PathBuf>,
}

impl BucketArgs {
    pub(super) fn bucket(&self) -> Result<Option<Bucket>> {
        let (Some(place), Some(endpoint)) = (&self.s3, &self.s3_endpoint) else { return Ok(None) };
        let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
        let keys: Keys = match &self.s3_credentials {
            Some(file) => {
                let file = file.clone();
                Arc::new(move || read(&file))
            }
            None => {
                let credentials = from_environment().ok_or_else(|| {
                    Failure::new("nobody has said who we are to the store of objects").hint(
                        "give --s3-credentials, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                    )
                })?;
                Arc::new(move || Ok(credentials.clone()))
            }
        };
        keys().map_err(Failure::new)?;
        Ok(Some(Bucket {
            endpoint: endpoint.clone(),
            region: self.s3_region.clone(),
            name: name.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            path_style: self.s3_path_style,
            redirect: self.s3_redirect,
            keys,
            authorities: system_authorities(),
        }))
    }
}

fn from_environment() -> Option<Credentials> {
    let get = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Some(Credentials {
        id: get("AWS_ACCESS_KEY_ID")?,
        secret: get("AWS_SECRET_ACCESS_KEY")?,
        token: get("AWS_SESSION_TOKEN"),
    })
}

fn read(path: &Path) -> std::result::Result<Credentials, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    parse(&text).ok_or_else(|| {
        format!("{shown}: has no aws_access_key_id and aws_secret_access_key below [default]")
    })
}

fn parse(text: &str) -> Option<Credentials> {
    // Without any section, everything counts.
    let mut counts = !text.lines().any(|line| line.trim_start().starts_with('['));
    let (mut id, mut secret, mut token) = (None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            counts = section.trim() == "default";
            continue;
        }
        let Some((name, value)) = line.split_once('=').filter(|_| counts) else { continue };
        let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
        match name.trim() {
            "aws_access_key_id" => id = value,
            "aws_secret_access_key" => secret = value,
            "aws_session_token" => token = value,
            _ => {}
        }
    }
    Some(Credentials { id: id?, secret: secret?, token })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn keys_are_read_from_the_default_section() {
        let text = "# x\n[other]\naws_access_key_id = no\n[default]\naws_access_key_id = id\naws_secret_access_key=s=/+\naws_session_token =\n[last]\naws_session_token = no\n";
        let found = parse(text).unwrap();
        assert_eq!((&*found.id, &*found.secret, found.token), ("id", "s=/+", None));
        let found = parse("aws_access_key_id=a\naws_secret_access_key=b\naws_session_token=c");
        assert_eq!(found.unwrap().token.as_deref(), Some("c"));
        assert!(parse("[other]\naws_access_key_id=a\naws_secret_access_key=b").is_none());
        assert!(parse("").is_none());
    }
}
