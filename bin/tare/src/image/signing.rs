//! Options that sign or encrypt. Nothing does that yet: each is refused, so that nobody takes an image for
//! signed or secret that is not.

use crate::failure::{Failure, Result};
use clap::Args;
use std::path::PathBuf;

const SIGNING: &str = "Signing (not yet)";

/// How copies are signed.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = SIGNING)]
pub(crate) struct SigningArgs {
    /// Sign with a GPG key
    #[arg(long, value_name = "FINGERPRINT")]
    sign_by: Option<String>,
    /// Sign as a file of parameters says
    #[arg(long, value_name = "FILE")]
    sign_by_sigstore: Option<PathBuf>,
    /// Sign with a private key
    #[arg(long, value_name = "FILE")]
    sign_by_sigstore_private_key: Option<PathBuf>,
    /// Sign with a key of Sequoia-PGP
    #[arg(long, value_name = "FINGERPRINT")]
    sign_by_sq_fingerprint: Option<String>,
    /// File with the passphrase of the key
    #[arg(long, value_name = "FILE")]
    sign_passphrase_file: Option<PathBuf>,
    /// The name that is signed
    #[arg(long, value_name = "NAME")]
    sign_identity: Option<String>,
}

impl SigningArgs {
    /// Refuses what cannot be done.
    pub(crate) fn refuse(&self) -> Result<()> {
        let given = [
            ("sign-by", self.sign_by.is_some()),
            ("sign-by-sigstore", self.sign_by_sigstore.is_some()),
            ("sign-by-sigstore-private-key", self.sign_by_sigstore_private_key.is_some()),
            ("sign-by-sq-fingerprint", self.sign_by_sq_fingerprint.is_some()),
            ("sign-passphrase-file", self.sign_passphrase_file.is_some()),
            ("sign-identity", self.sign_identity.is_some()),
        ];
        refuse(&given, "images cannot be signed yet")
            .map_err(|failure| failure.hint("copy the image, and sign it with cosign or skopeo"))
    }
}

const ENCRYPTION: &str = "Encryption (not yet)";
const NO_KEYS: &str = "layers can be neither encrypted nor decrypted yet";
const AS_THEY_ARE: &str = "without keys, encrypted layers are copied as they are";

/// How layers are encrypted.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = ENCRYPTION)]
pub(crate) struct KeysArgs {
    /// Encrypt layers for a key
    #[arg(long, value_name = "PROTOCOL:KEYFILE")]
    encryption_key: Vec<String>,
    /// Which layers, counted from 0; from the last one with a minus sign
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', allow_negative_numbers = true)]
    encrypt_layer: Vec<i64>,
}

impl KeysArgs {
    /// Refuses what cannot be done.
    pub(crate) fn refuse(&self) -> Result<()> {
        let given = [
            ("encryption-key", !self.encryption_key.is_empty()),
            ("encrypt-layer", !self.encrypt_layer.is_empty()),
        ];
        refuse(&given, NO_KEYS).map_err(|failure| failure.hint(AS_THEY_ARE))
    }
}

/// How layers are decrypted.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = ENCRYPTION)]
pub(crate) struct DecryptionArgs {
    /// Decrypt layers with a key
    #[arg(long, value_name = "KEY[:PASSPHRASE]")]
    decryption_key: Vec<String>,
}

impl DecryptionArgs {
    /// Refuses what cannot be done; `hint` says what goes without.
    pub(crate) fn refuse(&self, hint: &str) -> Result<()> {
        let given = [("decryption-key", !self.decryption_key.is_empty())];
        refuse(&given, NO_KEYS).map_err(|failure| failure.hint(hint))
    }
}

/// How layers are encrypted and decrypted.
#[derive(Debug, Default, Args)]
pub(crate) struct EncryptionArgs {
    #[command(flatten)]
    keys: KeysArgs,
    #[command(flatten)]
    decryption: DecryptionArgs,
}

impl EncryptionArgs {
    /// Refuses what cannot be done.
    pub(crate) fn refuse(&self) -> Result<()> {
        self.keys.refuse()?;
        self.decryption.refuse(AS_THEY_ARE)
    }
}

fn refuse(options: &[(&str, bool)], why: &str) -> Result<()> {
    match options.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(Failure::new(format!("--{name}: {why}"))),
        None => Ok(()),
    }
}

/// A verb of skopeo's that signs or checks signatures, with whatever stands behind it.
#[derive(Debug, Args)]
pub(crate) struct NotYet {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Refuses such a verb.
pub(crate) fn refuse_verb(verb: &str) -> Result<()> {
    Err(Failure::new(format!("{verb}: signatures can be neither made nor checked yet"))
        .hint("skopeo and cosign do it"))
}
