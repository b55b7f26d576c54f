//! A registry as a whole: who is known there, and what is in it.

use super::answer::Answer;
use super::http::Request;
use super::options::Options;
use super::session::{Access, Session, escape};
use super::{PAGE_SIZE, PAGES_LIMIT};
use crate::error::{Error, ErrorKind, Result};
use oci::image::SIZE_LIMIT_BYTES;

/// Results that a page of a search is asked for: the most that docker's registry gives.
const SEARCH_PAGE: usize = 100;

/// A registry.
pub struct Host {
    session: Session,
    domain: String,
}

oci::document! {
    Catalog(snake) {
        repositories: Vec<String>,
    }

    Results(snake) {
        num_pages: u64,
        results: Vec<OneResult>,
    }

    OneResult(snake) {
        name: String,
        description: String,
        star_count: u64,
        is_official: bool,
        is_automated: bool,
    }
}

/// A repository that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Its name in the registry.
    pub name: String,
    /// What its owner says of it.
    pub description: String,
    /// How many people like it.
    pub stars: u64,
    /// Whether docker vouches for it.
    pub official: bool,
    /// Whether docker's registry builds it.
    pub automated: bool,
}

impl Host {
    /// Reaches a registry by its name, with its port.
    pub fn connect(domain: &str, options: Options) -> Result<Self> {
        Ok(Self { session: Session::open(domain, options)?, domain: domain.to_owned() })
    }

    /// Whether the registry accepts the credentials of the options. One that asks nobody accepts all.
    pub fn log_in(&self) -> Result<()> {
        self.session.log_in()
    }

    /// The repositories, sorted as the registry does, and at most so many. Large registries show none.
    pub fn catalog(&self, limit: usize) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let mut next = Some(self.session.address(&format!("/v2/_catalog?n={PAGE_SIZE}")));
        for _ in 0..PAGES_LIMIT {
            let Some(address) = next.filter(|_| names.len() < limit) else {
                names.truncate(limit);
                return Ok(names);
            };
            let answer = self.session.send(&Request::get(address), &Access::catalog())?;
            if matches!(answer.status, 404 | 405) {
                let text = format!("{}: it does not list its repositories", self.domain);
                return Err(Error::new(ErrorKind::Unsupported, text));
            }
            let answer = answer.expect(&[200], "list the repositories")?;
            next = self.session.next_page(&answer)?;
            let page: Catalog = self.read(answer, "list the repositories")?;
            names.extend(page.repositories);
        }
        Err(self.malformed("list the repositories", "more than 1000 pages"))
    }

    /// Searches, with docker's interface where there is one, and otherwise in the list of repositories.
    pub fn search(&self, term: &str, limit: usize) -> Result<Vec<Found>> {
        let is_docker = self.domain == "docker.io";
        let found = match self.search_index(term, limit) {
            Ok(Some(found)) if is_docker || !found.is_empty() => return Ok(found),
            // Docker's own registry has no list.
            Err(error) if is_docker => return Err(error),
            found => found.ok().flatten(),
        };
        let names = match (self.catalog(usize::MAX), found) {
            (Ok(names), _) => names,
            // Nothing was found, and that may be all.
            (Err(_), Some(found)) => return Ok(found),
            (Err(error), None) => return Err(error),
        };
        let fitting = names.into_iter().filter(|name| name.contains(term)).take(limit);
        Ok(fitting.map(|name| Found { name, ..Found::default() }).collect())
    }

    /// `None` when there is no such interface.
    fn search_index(&self, term: &str, limit: usize) -> Result<Option<Vec<Found>>> {
        let mut found = Vec::new();
        let size = limit.clamp(1, SEARCH_PAGE);
        for page in 1..=PAGES_LIMIT {
            let path = format!("/v1/search?q={}&n={size}&page={page}", escape(term));
            let mut address = self.session.address(&path);
            if self.domain == "docker.io" {
                // Where docker's registry was before it was a registry.
                address.host = "index.docker.io".into();
            }
            let answer = self.session.fetch(&Request::get(address), None)?;
            if page == 1 && (answer.status != 200 || answer.is_page()) {
                // A refusal for other reasons than that there is no such thing.
                let refused = answer.status == 429 || answer.status >= 500;
                return if refused {
                    answer.expect(&[200], "search").map(|_| None)
                } else {
                    Ok(None)
                };
            }
            let answer = answer.expect(&[200], "search")?;
            let results: Results = self.read(answer, "search")?;
            let is_last = results.results.is_empty() || page as u64 >= results.num_pages;
            found.extend(results.results.into_iter().map(|it| Found {
                name: it.name,
                description: it.description,
                stars: it.star_count,
                official: it.is_official,
                automated: it.is_automated,
            }));
            if is_last || found.len() >= limit {
                found.truncate(limit);
                return Ok(Some(found));
            }
        }
        Ok(Some(found))
    }

    fn read<T: oci::json::FromJson + Default>(&self, answer: Answer, what: &str) -> Result<T> {
        let text = answer.read_document(what, SIZE_LIMIT_BYTES)?;
        oci::json::read(&text).map_err(|error| self.malformed(what, &error))
    }

    fn malformed(&self, what: &str, error: &str) -> Error {
        Error::new(ErrorKind::Invalid, format!("{}: {what}: {error}", self.domain))
    }
}
