//! Who we are to a registry: the only place that adds credentials to a request.

use super::address::Address;
use super::answer::Answer;
use super::challenge::Challenge;
use super::http::{Http, Request};
use super::options::{Options, Parallel};
use super::parallel::Extra;
use crate::auth::Credentials;
use crate::error::{Error, ErrorKind, Result};
use oci::json::Raw;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Most redirections of one request.
pub(super) const REDIRECTS_LIMIT: usize = 10;
/// Largest answer of a token service.
const TOKEN_LIMIT_BYTES: usize = 1 << 20;
/// How long a token is good for when nobody says so, and at least: the token specification's number.
const TOKEN_LIFETIME: Duration = Duration::from_secs(60);
/// A token that is used for longer than it lasts is asked for anew; this much earlier, as clocks and
/// networks take their time.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);

/// What a request needs.
#[derive(Clone, Debug)]
pub(super) struct Access(String);

impl Access {
    pub(super) fn pull(repository: &str) -> Self {
        Self(format!("repository:{repository}:pull"))
    }

    pub(super) fn push(repository: &str) -> Self {
        Self(format!("repository:{repository}:pull,push"))
    }

    /// The list of repositories.
    pub(super) fn catalog() -> Self {
        Self("registry:catalog:*".into())
    }

    /// Nothing but to be known.
    pub(super) fn none() -> Self {
        Self(String::new())
    }

    pub(super) fn delete(repository: &str) -> Self {
        Self(format!("repository:{repository}:delete"))
    }
}

oci::document! {
    TokenAnswer(snake) {
        token: String,
        access_token: String,
        /// A number, which some write as a text or a fraction; what is none says nothing.
        expires_in: Raw,
    }
}

struct Token {
    text: String,
    until: Instant,
}

/// A registry that was reached.
pub(super) struct Session {
    http: Http,
    origin: Address,
    credentials: Option<Credentials>,
    token_services: Vec<String>,
    parallel: (Parallel, Arc<Extra>),
    foreign_layers: bool,
    challenge: Mutex<Option<Challenge>>,
    /// By what they are good for.
    tokens: Mutex<BTreeMap<String, Token>>,
}

/// A thread that panicked has left a whole value behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    /// Reaches a registry: by TLS, or without where that is allowed.
    pub(super) fn open(domain: &str, options: Options) -> Result<Self> {
        // Docker's registry is not where its name says.
        let host = if domain == "docker.io" { "registry-1.docker.io" } else { domain };
        let origin = Address { secure: true, host: host.to_ascii_lowercase(), path: "/v2/".into() };
        let origin = origin.checked()?;
        let http = Http::new(&options, &origin)?;
        let may_be_plain = options.insecure || origin.is_loopback();
        let plain = may_be_plain.then(|| Address { secure: false, ..origin.clone() });
        let mut failed: Option<Error> = None;
        for origin in [Some(origin), plain].into_iter().flatten() {
            let request = Request::get(origin.clone());
            // A server that does not speak TLS would be asked again and again.
            let sent = match origin.secure && may_be_plain {
                true => http.send_once(&request, None),
                false => http.send(&request, None),
            };
            match sent {
                Ok(answer) => {
                    let challenge = Challenge::choose(&answer.headers("www-authenticate"));
                    let challenge = challenge.filter(|_| answer.status == 401);
                    answer.drain();
                    return Ok(Self {
                        http,
                        origin,
                        credentials: options.credentials,
                        token_services: options.token_services,
                        parallel: (options.parallel, Arc::default()),
                        foreign_layers: options.foreign_layers,
                        challenge: Mutex::new(challenge),
                        tokens: Mutex::default(),
                    });
                }
                // Who speaks TLS, but cannot be believed, is not spoken to without.
                Err(error) if error.kind() != ErrorKind::Network => return Err(error),
                Err(error) => failed = Some(failed.map_or(error.clone(), |it| it.and(error))),
            }
        }
        let nothing = || Error::new(ErrorKind::Network, "there is no way to reach it");
        Err(failed.unwrap_or_else(nothing))
    }

    /// An address of the registry.
    pub(super) fn address(&self, path: &str) -> Address {
        Address { path: path.to_owned(), ..self.origin.clone() }
    }

    /// Whether an address is the registry itself.
    pub(super) fn is_own(&self, address: &Address) -> bool {
        self.origin.same_origin(address)
    }

    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    /// How large blobs are fetched, and what is in use for that.
    pub(super) fn parallel(&self) -> (&Parallel, &Arc<Extra>) {
        (&self.parallel.0, &self.parallel.1)
    }

    /// Whether layers may come from elsewhere.
    pub(super) fn takes_foreign(&self) -> bool {
        self.foreign_layers
    }

    /// Sends a request; without a need of access, nobody is told who we are.
    pub(super) fn fetch(&self, request: &Request<'_>, access: Option<&Access>) -> Result<Answer> {
        match access {
            Some(access) => self.send(request, access),
            None => self.follow(request, None),
        }
    }

    /// Sends a request, follows where it leads, and says who we are if that is asked for.
    pub(super) fn send(&self, request: &Request<'_>, access: &Access) -> Result<Answer> {
        let authorization = self.authorization(access)?;
        let answer = self.follow(request, authorization.as_deref())?;
        if answer.status != 401 || !self.is_own(&answer.address) {
            return Ok(answer);
        }
        // A token that is no longer good, or a right that was not asked for.
        let Some(challenge) = Challenge::choose(&answer.headers("www-authenticate")) else {
            return Ok(answer);
        };
        *lock(&self.challenge) = Some(challenge);
        lock(&self.tokens).remove(&access.0);
        match self.authorization(access)? {
            Some(authorization) => {
                answer.drain();
                self.follow(request, Some(&authorization))
            }
            None => Ok(answer),
        }
    }

    /// `Link: </v2/...>; rel="next"`. Another host than the registry's gets no credentials, so it is refused.
    pub(super) fn next_page(&self, answer: &Answer) -> Result<Option<Address>> {
        let links = answer.headers("link").join(",");
        match answer.address.next_page(&links)? {
            Some(address) if self.is_own(&address) => Ok(Some(address)),
            None => Ok(None),
            Some(_) => {
                let text = format!("{}: Link: leads to another registry", self.origin.origin());
                Err(Error::new(ErrorKind::Invalid, text))
            }
        }
    }

    /// Whether the registry accepts who we are. One that asks nobody accepts everybody.
    pub(super) fn log_in(&self) -> Result<()> {
        let challenge = lock(&self.challenge).clone();
        if let Some(Challenge::Bearer { realm, .. }) = &challenge
            && !self.trusts(&self.origin.resolve(realm)?)
        {
            let realm = self.origin.resolve(realm)?;
            let text = format!("log in: {} asks for credentials", realm.origin());
            return Err(Error::new(ErrorKind::Denied, text).with_hint(format!(
                "{} is not of the registry's domain: name it as a token service if it may have them",
                realm.host_name()
            )));
        }
        let answer = self.send(&Request::get(self.origin.clone()), &Access::none());
        match answer.and_then(|answer| answer.expect(&[200], "log in")) {
            Err(error) if error.kind() == ErrorKind::Denied => {
                let text =
                    format!("{}: the name or password is not accepted", self.origin.origin());
                Err(Error::new(ErrorKind::Denied, text))
            }
            other => other.map(Answer::drain),
        }
    }

    /// Whether a token service may be told the credentials.
    fn trusts(&self, realm: &Address) -> bool {
        let is_named = || self.token_services.iter().any(|known| known == realm.host_name());
        self.origin.trusts(realm) || realm.secure && is_named()
    }

    /// Follows redirections. Only the registry itself is told who we are.
    fn follow(&self, request: &Request<'_>, authorization: Option<&str>) -> Result<Answer> {
        let mut request = request.clone();
        for _ in 0..=REDIRECTS_LIMIT {
            let own = self.is_own(&request.address);
            let answer = self.http.send(&request, authorization.filter(|_| own))?;
            let is_read = matches!(request.method, "GET" | "HEAD");
            let leads = match answer.status {
                307 | 308 => true,
                301..=303 => is_read,
                _ => false,
            };
            let Some(target) = answer.header("location").filter(|_| leads) else {
                return Ok(answer);
            };
            let next = answer.address.resolve(target)?;
            answer.address.check_step_to(&next)?;
            answer.drain();
            request.address = next;
        }
        let text = format!("{}: leads in a circle", self.origin.origin());
        Err(Error::new(ErrorKind::Network, text))
    }

    /// The value of the header, if one is wanted and there is one.
    fn authorization(&self, access: &Access) -> Result<Option<String>> {
        // Whoever brings a token along knows what it is good for.
        if let Some(Credentials::Bearer { token }) = &self.credentials {
            return Ok(Some(["Bearer ", token].concat()));
        }
        let challenge = lock(&self.challenge).clone();
        match challenge {
            None => Ok(None),
            Some(Challenge::Basic) => Ok(self.basic()),
            Some(Challenge::Bearer { realm, service, scope }) => {
                // The lock is not held over the network: two threads may get a token each.
                if let Some(token) = lock(&self.tokens).get(&access.0)
                    && Instant::now() < token.until
                {
                    return Ok(Some(["Bearer ", &token.text].concat()));
                }
                let token = self.fetch_token(&realm, &service, &[&access.0, &scope])?;
                let header = ["Bearer ", &token.text].concat();
                lock(&self.tokens).insert(access.0.clone(), token);
                Ok(Some(header))
            }
        }
    }

    fn basic(&self) -> Option<String> {
        match &self.credentials {
            Some(Credentials::Basic { user, password }) => {
                let pair = [user, ":", password].concat();
                Some(["Basic ", &oci::base64::encode(pair.as_bytes())].concat())
            }
            _ => None,
        }
    }

    /// Gets a token. A service that is not the registry's own is asked without credentials.
    fn fetch_token(&self, realm: &str, service: &str, scopes: &[&str]) -> Result<Token> {
        // A part of an address is one of the registry's own.
        let realm = self.origin.resolve(realm)?;
        self.origin.check_step_to(&realm)?;
        let host = realm.host_name();
        let trusted = self.trusts(&realm);
        let mut query = String::new();
        let mut add = |name: &str, value: &str| {
            if !value.is_empty() {
                let separator = if query.is_empty() { "" } else { "&" };
                query.push_str(&[separator, name, "=", &escape(value)].concat());
            }
        };
        add("service", service);
        let mut seen: Vec<&str> = Vec::new();
        for scope in scopes {
            if !seen.contains(scope) {
                seen.push(scope);
                add("scope", scope);
            }
        }
        let answer = match &self.credentials {
            Some(Credentials::Identity { token, .. }) if trusted => {
                add("grant_type", "refresh_token");
                add("client_id", "tare");
                add("refresh_token", token);
                let form = Request::post(realm.clone())
                    .header("Content-Type", "application/x-www-form-urlencoded")
                    .body(query.as_bytes());
                self.http.send(&form, None)?
            }
            _ => {
                let basic = self.basic().filter(|_| trusted);
                if let Some(Credentials::Basic { user, .. }) =
                    self.credentials.as_ref().filter(|_| trusted)
                {
                    add("account", user);
                }
                self.http.send(&Request::get(realm.with_query(&query)), basic.as_deref())?
            }
        };
        let answer = answer.expect(&[200], "get a token").map_err(|error| {
            match self.credentials.is_some() && !trusted {
                true => error.with_hint(format!(
                    "{host} is not of the registry's domain, and was not told the credentials"
                )),
                false => error,
            }
        })?;
        let began = Instant::now();
        let text = answer.read_all(TOKEN_LIMIT_BYTES)?;
        let parsed: TokenAnswer = oci::json::read(&text).map_err(|_| {
            let text = format!("{}: its answer is no token", realm.origin());
            Error::new(ErrorKind::Network, text)
        })?;
        let text = if parsed.token.is_empty() { parsed.access_token } else { parsed.token };
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let text = format!("{}: its answer is no token", realm.origin());
            return Err(Error::new(ErrorKind::Network, text));
        }
        let seconds = parsed.expires_in.as_str().trim_matches('"').parse().unwrap_or(0.0);
        let lifetime = Duration::from_secs_f64(f64::clamp(seconds, 0.0, 86_400.0));
        let lifetime = lifetime.max(TOKEN_LIFETIME);
        Ok(Token { text, until: began + (lifetime - TOKEN_MARGIN) })
    }
}

/// Escapes a value of a query or form.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
