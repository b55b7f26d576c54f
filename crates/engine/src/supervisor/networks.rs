//! Networks of a container change while it runs.

use super::run::Supervisor;
use crate::error::{Error, Result};
use crate::launch::{connect, network};
use crate::record::Endpoint;
use crate::wire::{Frame, NUMBER_BYTES, kind};

impl Supervisor<'_> {
    /// Does what a client has asked for, and answers.
    pub(super) fn change_networks(&mut self, frame: &Frame) {
        let Some((number, body)) = frame.payload.split_at_checked(NUMBER_BYTES) else { return };
        let done = match frame.kind {
            kind::CONNECT => self.connect(body),
            _ => self.disconnect(&String::from_utf8_lossy(body)),
        };
        let error = done.err().map_or_else(Vec::new, |error| error.encode());
        self.clients.tell(kind::ANSWER, &[number, &error].concat());
    }

    fn connect(&mut self, body: &[u8]) -> Result<()> {
        let endpoint: Endpoint = oci::json::read(body).map_err(Error::invalid)?;
        let networks = network::open(self.engine)?;
        connect::check(&networks, &self.config, &endpoint)?;
        self.config.network.endpoints.push(endpoint);
        if let Some(record) = &self.record {
            let connected =
                connect::connect(self.engine, &self.config, &mut self.joined, record.pid);
            if let Err(error) = connected {
                self.config.network.endpoints.pop();
                return Err(error);
            }
        }
        if let Some(joined) = &mut self.joined {
            for warning in std::mem::take(&mut joined.warnings) {
                self.log.write(true, format!("tare: {warning}\n").as_bytes());
            }
            let new = joined.attached.last().cloned();
            self.engine.tell_networks("connect", &self.config.id, new.as_slice());
        }
        self.keep_networks()
    }

    fn disconnect(&mut self, name: &str) -> Result<()> {
        let endpoints = &mut self.config.network.endpoints;
        let Some(at) = endpoints.iter().position(|it| it.network == name) else {
            return Err(connect::is_not_in(&self.config, name));
        };
        let endpoint = endpoints.remove(at);
        if let Some((record, joined)) = self.record.as_ref().zip(self.joined.as_mut()) {
            let left = joined.attached.iter().find(|it| it.network == name).cloned();
            let gone = connect::disconnect(self.engine, &self.config, joined, name, record.pid);
            if let Err(error) = gone {
                self.config.network.endpoints.insert(at, endpoint);
                return Err(error);
            }
            self.engine.tell_networks("disconnect", &self.config.id, left.as_slice());
        }
        self.keep_networks()
    }

    /// Writes down what has changed: for the next start, and for whoever looks.
    fn keep_networks(&mut self) -> Result<()> {
        if let Some(joined) = &self.joined {
            self.state.networks.clone_from(&joined.attached);
            self.state.ports.clone_from(&joined.ports);
        }
        self.save();
        let endpoints = &self.config.network.endpoints;
        self.engine
            .change_record(&self.config.id, |now| now.network.endpoints.clone_from(endpoints))
    }
}
