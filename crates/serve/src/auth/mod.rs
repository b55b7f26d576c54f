//! Who may do what.
//!
//! A request is somebody's: of nobody known, of a user with a password or a certificate, or of whoever has
//! a token. What they may do is said by the rules, or by the token itself. A refusal is the same whether a
//! repository is there or not.

mod bcrypt;
mod der;
mod htpasswd;
mod keys;
mod rules;
mod token;

pub(crate) use der::common_name;
pub use htpasswd::hash_password;

use crate::names::Repository;
use crate::refusal::{Code, Refusal};
use crate::registry::Sink;
use crate::watched::Watched;
use crate::web::route::Route;
use htpasswd::Passwords;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, StatusCode};
use rules::Rules;
use std::path::PathBuf;
use token::{Granted, Tokens};

/// For [`crate::inputs`].
pub(crate) fn feed_passwords(bytes: &[u8]) -> Result<(), String> {
    htpasswd::Users::parse(bytes).map(drop)
}

/// For [`crate::inputs`].
pub(crate) fn feed_rules(bytes: &[u8]) -> Result<(), String> {
    let rules = Rules::parse(bytes)?;
    let name = Repository::parse("a/b").ok_or("no name")?;
    let _ = rules.allow(None, &name, Action::Pull);
    Ok(())
}

/// For [`crate::inputs`]: no key has signed nothing.
pub(crate) fn feed_keys(bytes: &[u8]) -> Result<(), String> {
    let keys = keys::Keys::parse(bytes)?;
    match ["RS256", "ES256", "EdDSA", "HS256", "none", ""]
        .iter()
        .any(|algorithm| keys.verify(algorithm, "", b"a.b", b""))
    {
        true => panic!("an empty signature is one"),
        false => Ok(()),
    }
}

/// How clients say who they are.
#[derive(Clone, Debug, Default)]
pub enum Scheme {
    /// Not at all: everybody may do everything.
    #[default]
    None,
    /// With a name and a password of an htpasswd file.
    Passwords {
        /// The file. It is read again when it changes.
        file: PathBuf,
        /// What the registry is called where a password is asked for.
        realm: String,
    },
    /// With a token of a service that the registry trusts.
    Tokens(TokenService),
    /// With a certificate only, which TLS has verified.
    Certificates,
}

/// A service that gives tokens.
#[derive(Clone, Debug)]
pub struct TokenService {
    /// Where clients get a token.
    pub realm: String,
    /// What the registry is called there: the audience of a token.
    pub service: String,
    /// Who signs tokens.
    pub issuer: String,
    /// Its public keys: PEM (keys and certificates) or a JSON Web Key Set. They are read again when they
    /// change.
    pub keys: PathBuf,
}

/// Who may do what.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// How clients say who they are.
    pub scheme: Scheme,
    /// Who says nothing may read.
    pub anonymous_pull: bool,
    /// A file with rules for users and repositories. Without one, a user may do everything.
    pub rules: Option<PathBuf>,
}

/// What is done to a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Pull,
    Push,
    Delete,
}

impl Action {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Pull, Self::Push, Self::Delete].into_iter().find(|known| known.name() == name)
    }

    /// What a request does to its repository. To give up an upload is part of putting something.
    pub(crate) fn of(method: &Method, route: &Route) -> Self {
        match (method, route) {
            (&Method::GET | &Method::HEAD, Route::Upload(..)) => Self::Push,
            (&Method::GET | &Method::HEAD, _) => Self::Pull,
            (&Method::DELETE, Route::Upload(..)) => Self::Push,
            (&Method::DELETE, _) => Self::Delete,
            _ => Self::Push,
        }
    }
}

/// Whose a request is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Who {
    /// A name that was proved.
    pub(crate) user: Option<String>,
    /// What a token allows, which is then all that counts.
    granted: Option<Vec<Granted>>,
}

/// Decides.
pub(crate) struct Gate {
    proof: Proof,
    anonymous_pull: bool,
    rules: Option<Watched<Rules>>,
    tell: Sink,
}

enum Proof {
    None,
    Passwords(Box<Passwords>, String),
    Tokens(Tokens),
    Certificates,
}

impl Gate {
    pub(crate) fn new(access: &Access, tell: Sink) -> Result<Self, String> {
        let proof = match &access.scheme {
            Scheme::None => Proof::None,
            Scheme::Passwords { file, realm } => {
                check_quoted("the realm", realm)?;
                Proof::Passwords(Box::new(Passwords::open(file)?), realm.clone())
            }
            Scheme::Tokens(service) => Proof::Tokens(Tokens::open(service)?),
            Scheme::Certificates => Proof::Certificates,
        };
        let rules = access.rules.as_deref().map(|path| Watched::open(path, Rules::parse));
        Ok(Self { proof, anonymous_pull: access.anonymous_pull, rules: rules.transpose()?, tell })
    }

    /// Finds out whose a request is. `certificate` is the name in the client's certificate.
    pub(crate) async fn identify(
        &self,
        headers: &HeaderMap,
        certificate: Option<&str>,
    ) -> Result<Who, Refusal> {
        let shown = headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
        let named = |user: Option<&str>| Who { user: user.map(str::to_owned), granted: None };
        match (&self.proof, shown) {
            // A certificate is the stronger proof; where nothing is asked for, what is shown means nothing.
            (Proof::None | Proof::Certificates, _) | (_, None) => Ok(named(certificate)),
            (Proof::Passwords(passwords, _), Some(shown)) => {
                let user = passwords.check(shown, &*self.tell).await?;
                user.map(|user| named(Some(&user))).ok_or_else(|| self.unauthorized(None, ""))
            }
            (Proof::Tokens(tokens), Some(shown)) => {
                let token = shown.strip_prefix("Bearer ").unwrap_or_default();
                match tokens.verify(token, &*self.tell) {
                    Ok(token) => Ok(Who { user: token.subject, granted: Some(token.granted) }),
                    Err(why) => {
                        // The client gets to know that it is no good, and the operator why.
                        (self.tell)(&format!("a token was refused: {why}"));
                        Err(self.unauthorized(None, "invalid_token"))
                    }
                }
            }
        }
    }

    /// Whether somebody may do something.
    pub(crate) fn permits(&self, who: &Who, name: &Repository, action: Action) -> bool {
        if let Some(granted) = &who.granted {
            return granted.iter().any(|it| it.allows(name, action));
        }
        if matches!(self.proof, Proof::None) && self.rules.is_none() {
            return true;
        }
        if action == Action::Pull && self.anonymous_pull {
            return true;
        }
        let user = who.user.as_deref();
        match &self.rules {
            Some(rules) => rules.get(&*self.tell).allow(user, name, action),
            None => user.is_some(),
        }
    }

    /// Lets a request through, or refuses it.
    pub(crate) fn check(
        &self,
        who: &Who,
        name: &Repository,
        action: Action,
    ) -> Result<(), Refusal> {
        match self.permits(who, name, action) {
            true => Ok(()),
            false => Err(self.refuse(who, Some((name, action)))),
        }
    }

    /// Whether somebody may ask which repositories there are. They are told of those that they may read.
    pub(crate) fn check_catalog(&self, who: &Who) -> Result<(), Refusal> {
        let allowed = match (&self.proof, &who.granted) {
            (Proof::None, _) => true,
            (_, Some(granted)) => granted.iter().any(Granted::allows_catalog),
            (_, None) => who.user.is_some() || self.anonymous_pull,
        };
        match allowed {
            true => Ok(()),
            false => Err(self.refuse(who, None)),
        }
    }

    /// `/v2/`, with which clients find out whether their credentials are good.
    pub(crate) fn check_base(&self, who: &Who) -> Result<(), Refusal> {
        let known = who.user.is_some() || who.granted.is_some();
        match matches!(self.proof, Proof::None) || known {
            true => Ok(()),
            false => Err(self.unauthorized(None, "")),
        }
    }

    fn refuse(&self, who: &Who, what: Option<(&Repository, Action)>) -> Refusal {
        let is_token = matches!(self.proof, Proof::Tokens(_));
        if who.user.is_none() && who.granted.is_none() {
            return self.unauthorized(what, "");
        }
        if is_token {
            return self.unauthorized(what, "insufficient_scope");
        }
        Refusal::new(StatusCode::FORBIDDEN, Code::Denied, "you may not do that")
    }

    /// 401, with how to do better.
    fn unauthorized(&self, what: Option<(&Repository, Action)>, error: &str) -> Refusal {
        let text = "credentials are needed, or other ones";
        let refusal = Refusal::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, text);
        let challenge = match &self.proof {
            Proof::None | Proof::Certificates => return refusal,
            Proof::Passwords(_, realm) => format!("Basic realm=\"{realm}\", charset=\"UTF-8\""),
            Proof::Tokens(tokens) => tokens.challenge(&scope(what), error),
        };
        match HeaderValue::from_str(&challenge) {
            Ok(value) => refusal.with_header(WWW_AUTHENTICATE, value),
            Err(_) => refusal,
        }
    }
}

/// What a client has to ask a token service for. Names were parsed: nothing of them ends a header.
fn scope(what: Option<(&Repository, Action)>) -> String {
    match what {
        None => "registry:catalog:*".into(),
        Some((name, Action::Pull)) => format!("repository:{name}:pull"),
        // Whoever puts something looks first whether it is there.
        Some((name, Action::Push)) => format!("repository:{name}:pull,push"),
        Some((name, Action::Delete)) => format!("repository:{name}:delete"),
    }
}

/// What stands between quotes in a header.
fn check_quoted(what: &str, text: &str) -> Result<(), String> {
    let fine = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    match text.bytes().all(fine) {
        true => Ok(()),
        false => Err(format!("{what} `{}` cannot stand in a header", text.escape_debug())),
    }
}

/// Splits `Basic BASE64` into a name and a password.
fn basic(shown: &str) -> Option<(String, String)> {
    let (scheme, encoded) = shown.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(oci::base64::decode(encoded.trim())?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}
