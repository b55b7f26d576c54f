//! HTTP beside registries: a file at an address that a user has named, and an agent for a crate that sends
//! something of its own. Nobody is told who we are.

use super::Options;
use super::address::Address;
use super::connect::{Names, connector};
use super::http::{Http, Request};
use super::session::REDIRECTS_LIMIT;
use crate::error::{Error, ErrorKind, Result};
use crate::names;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use ureq::Agent;
use ureq::config::Config;

/// Opens the file: what is read is what comes, and its end is an error when something is missing.
pub fn download(url: &str, options: &Options) -> Result<Box<dyn Read + Send>> {
    let mut address = Address::parse(url)?;
    let http = Http::new(options, &address)?;
    for _ in 0..=REDIRECTS_LIMIT {
        let answer = http.send(&Request::get(address.clone()), None)?;
        let leads = matches!(answer.status, 301..=303 | 307 | 308);
        if let Some(target) = answer.header("location").filter(|_| leads) {
            let next = answer.address.resolve(target)?;
            address.check_step_to(&next)?;
            address = next;
            continue;
        }
        if answer.status == 404 {
            return Err(Error::new(ErrorKind::NotFound, format!("{url}: there is no such file")));
        }
        return Ok(Box::new(answer.expect(&[200], "get the file")?.into_body()));
    }
    Err(Error::new(ErrorKind::Network, format!("{url}: leads from one address to the next")))
}

/// An agent that looks names up as the registry's client does, without libc.
pub fn agent(config: Config, files: names::Files) -> Agent {
    let here = Arc::new(AtomicBool::new(true));
    Agent::with_parts(config.clone(), connector(config), Names { files, own: true, here })
}
