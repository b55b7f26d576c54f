//! Who may do what: the options.

use ::serve::{Access, Config, Scheme, Tls, TokenService};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(next_help_heading = "Encryption and access")]
pub(super) struct AccessArgs {
    /// Encrypt with this certificate, followed by those that lead to its authority (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Clients need a certificate of one of these authorities (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// Clients may come without a certificate
    #[arg(long, requires = "tls_client_ca")]
    tls_client_optional: bool,
    /// A client is the user whose name is the common name of its certificate
    #[arg(long, requires = "tls_client_ca", conflicts_with_all = ["htpasswd", "token_realm"])]
    client_certificates: bool,
    /// Users with passwords, hashed with bcrypt (see `tare registry htpasswd`)
    #[arg(long, value_name = "FILE", conflicts_with = "token_realm")]
    htpasswd: Option<PathBuf>,
    /// What the registry is called where passwords are asked for
    #[arg(long, value_name = "NAME", default_value = "registry")]
    realm: String,
    /// Clients get tokens of the service at this address
    #[arg(long, value_name = "URL", requires_all = ["token_service", "token_issuer", "token_keys"])]
    token_realm: Option<String>,
    /// What the registry is called there
    #[arg(long, value_name = "NAME", requires = "token_realm")]
    token_service: Option<String>,
    /// Who issues the tokens
    #[arg(long, value_name = "NAME", requires = "token_realm")]
    token_issuer: Option<String>,
    /// The issuer's public keys: PEM, or a JSON Web Key Set
    #[arg(long, value_name = "FILE", requires = "token_realm")]
    token_keys: Option<PathBuf>,
    /// Rules of who may pull, push and delete where (TOML); without them a user may do everything
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Whoever has no credentials may pull
    #[arg(long)]
    anonymous_pull: bool,
    /// Let everybody who reaches it push and delete, also from other machines
    #[arg(long)]
    open: bool,
    /// Take credentials without encryption, also from other machines: something before the registry
    /// encrypts
    #[arg(long)]
    plain_http: bool,
}

impl AccessArgs {
    pub(super) fn apply(&self, config: &mut Config) {
        config.tls =
            self.tls_cert.clone().zip(self.tls_key.clone()).map(|(certificates, key)| Tls {
                certificates,
                key,
                client_authorities: self.tls_client_ca.clone(),
                client_optional: self.tls_client_optional,
            });
        config.access = Access {
            scheme: self.scheme(),
            anonymous_pull: self.anonymous_pull,
            rules: self.rules.clone(),
        };
        config.open = self.open;
        config.plain = self.plain_http;
    }

    fn scheme(&self) -> Scheme {
        if let Some(file) = &self.htpasswd {
            return Scheme::Passwords { file: file.clone(), realm: self.realm.clone() };
        }
        let service = self.token_realm.clone().zip(self.token_service.clone());
        let issuer = self.token_issuer.clone().zip(self.token_keys.clone());
        if let Some(((realm, service), (issuer, keys))) = service.zip(issuer) {
            return Scheme::Tokens(TokenService { realm, service, issuer, keys });
        }
        if self.client_certificates { Scheme::Certificates } else { Scheme::None }
    }
}
