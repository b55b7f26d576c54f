//! Other people's rules that would drop what containers send.
//!
//! Each chain on the way of a forwarded packet can drop it, whatever ours says. The usual one is `FORWARD` of
//! iptables, whose policy docker and ufw set to drop; it is told about a bridge by rules in `DOCKER-USER`, docker's
//! place for it, or at its own beginning. Of others the user is warned.

use super::expressions::{ACCEPT, META_IIFNAME, META_OIFNAME, REGISTER_1};
use super::transaction::{GET_CHAIN, GET_RULE, NAME, Transaction, header, kind};
use super::{TABLE, legacy, unavailable};
use crate::error::Result;
use crate::netlink::{Batch, DUMP, Socket, attributes, big_word, text};
use std::collections::BTreeSet;

const FAMILY_IPV4: u8 = 2;
const FAMILY_IPV6: u8 = 10;
const HOOK_FORWARD: u32 = 2;
const POLICY_DROP: u32 = 0;
const IPTABLES: &str = "filter";
const FORWARD: &str = "FORWARD";
const USER: &str = "DOCKER-USER";
const FIREWALLD: &str = "firewalld";

/// A chain of some table.
#[derive(Debug)]
struct Chain {
    family: u8,
    table: String,
    name: String,
    /// It sees forwarded packets, and drops those that no rule of it accepts.
    drops: bool,
}

impl Chain {
    fn is_iptables(&self) -> bool {
        matches!(self.family, FAMILY_IPV4 | FAMILY_IPV6) && self.table == IPTABLES
    }
}

/// Lets others' rules pass what comes from a bridge and goes there; our own decide about it. Returns warnings
/// about those that cannot be told.
pub(crate) fn admit(bridge: &str) -> Result<Vec<String>> {
    let failed = |errno| unavailable("looking at other rules", errno);
    let socket = Socket::netfilter().map_err(failed)?;
    let chains = chains(&socket).map_err(failed)?;
    let mut warnings = BTreeSet::new();
    let mut transaction = Transaction::new(None);
    let mut changes = false;
    for chain in chains.iter().filter(|chain| chain.is_iptables() && chain.name == FORWARD) {
        let user = chains.iter().find(|other| {
            (other.family, other.table.as_str(), other.name.as_str())
                == (chain.family, IPTABLES, USER)
        });
        if !chain.drops && user.is_none() {
            continue;
        }
        let place = user.map_or(FORWARD, |_| USER);
        let rules = rules(&socket, chain.family, place, bridge).map_err(failed)?;
        if !rules.is_empty() {
            continue;
        }
        for key in [META_IIFNAME, META_OIFNAME] {
            transaction.rule_in(chain.family, IPTABLES, place, 0, Some(&comment(bridge)), |rule| {
                rule.meta(key, REGISTER_1).compare(true, &whole_name(bridge)).count();
                rule.verdict(ACCEPT, None);
            });
        }
        changes = true;
    }
    if changes {
        transaction.commit(&socket).map_err(|errno| unavailable("telling iptables", errno))?;
    }
    for chain in chains.iter().filter(|chain| chain.table != TABLE && !chain.is_iptables()) {
        if chain.table == FIREWALLD {
            warnings.insert(format!(
                "firewalld is active, and may drop what containers send; `firewall-cmd --zone=trusted \
                 --add-interface={bridge}` lets it pass"
            ));
        } else if chain.drops {
            warnings.insert(format!(
                "the chain {} of the nftables table {} drops what it does not know; containers reach nobody unless it \
                 accepts `iifname \"{bridge}\"` and `oifname \"{bridge}\"`",
                chain.name, chain.table
            ));
        }
    }
    Ok(warnings.into_iter().collect())
}

/// The same, and by the program of rules of the old kind.
pub(crate) fn admit_everywhere(bridge: &str) -> Result<Vec<String>> {
    let mut warnings = admit(bridge)?;
    warnings.extend(legacy::admit(bridge));
    Ok(warnings)
}

/// Takes the rules of [`admit`] back.
pub(crate) fn dismiss(bridge: &str) -> Result<()> {
    legacy::dismiss(bridge);
    let failed = |errno| unavailable("looking at other rules", errno);
    let socket = Socket::netfilter().map_err(failed)?;
    for family in [FAMILY_IPV4, FAMILY_IPV6] {
        for place in [USER, FORWARD] {
            for handle in rules(&socket, family, place, bridge).map_err(failed)? {
                let mut transaction = Transaction::new(None);
                transaction.delete_rule(family, IPTABLES, place, handle);
                match transaction.commit(&socket) {
                    Ok(()) | Err(sys::Errno::ENOENT) => {}
                    Err(errno) => return Err(unavailable("taking rules of iptables back", errno)),
                }
            }
        }
    }
    Ok(())
}

/// The comment of a rule, as `nft` shows it.
fn comment(bridge: &str) -> Vec<u8> {
    const COMMENT: u8 = 0;
    let text = format!("{TABLE}: {bridge}\0");
    [&[COMMENT, text.len() as u8], text.as_bytes()].concat()
}

fn whole_name(bridge: &str) -> Vec<u8> {
    let mut bytes = bridge.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

fn chains(socket: &Socket) -> sys::Result<Vec<Chain>> {
    let mut batch = Batch::new();
    batch.message(kind(GET_CHAIN), DUMP, &header(0));
    Ok(socket.ask(&batch)?.iter().filter_map(|body| read_chain(body)).collect())
}

fn read_chain(body: &[u8]) -> Option<Chain> {
    const HOOK: u16 = 4;
    const POLICY: u16 = 5;
    let list = body.get(4..)?;
    let find =
        |wanted: u16| attributes(list).find(|(kind, _)| *kind == wanted).map(|found| found.1);
    let hook = find(HOOK).and_then(|hook| attributes(hook).find(|(kind, _)| *kind == 1));
    let forwards = hook.and_then(|(_, number)| big_word(number, 0)) == Some(HOOK_FORWARD);
    let drops = find(POLICY).and_then(|policy| big_word(policy, 0)) == Some(POLICY_DROP);
    Some(Chain {
        family: *body.first()?,
        table: find(NAME).map(text)?,
        name: find(3).map(text)?,
        drops: forwards && drops,
    })
}

/// The handles of our rules about a bridge.
fn rules(socket: &Socket, family: u8, chain: &str, bridge: &str) -> sys::Result<Vec<u64>> {
    const HANDLE: u16 = 3;
    const USERDATA: u16 = 7;
    let mut batch = Batch::new();
    batch.message(kind(GET_RULE), DUMP, &header(family));
    batch.text(NAME, IPTABLES);
    batch.text(2, chain);
    let answers = match socket.ask(&batch) {
        Err(sys::Errno::ENOENT) => return Ok(Vec::new()),
        answers => answers?,
    };
    let wanted = comment(bridge);
    let handle = |body: &Vec<u8>| {
        let list = body.get(4..)?;
        let find = |wanted: u16| attributes(list).find(|(kind, _)| *kind == wanted);
        let is_ours = find(USERDATA).is_some_and(|(_, data)| data.starts_with(&wanted));
        let handle = find(HANDLE)?.1.try_into().ok().map(u64::from_be_bytes);
        handle.filter(|_| is_ours)
    };
    Ok(answers.iter().filter_map(handle).collect())
}
