//! Transactions on nf_tables: all of it, or nothing.

use super::TABLE;
use super::expressions::Expressions;
use super::layout::Element;
use crate::netlink::{ACK, APPEND, Batch, CREATE, DUMP, EXCL, Socket, attributes, big_word};
use sys::{Errno, Result};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const BATCH_GENERATION: u16 = 1;
pub(super) const NEW_TABLE: u16 = 0;
const GET_TABLE: u16 = 1;
pub(super) const DELETE_TABLE: u16 = 2;
pub(super) const NEW_CHAIN: u16 = 3;
pub(super) const GET_CHAIN: u16 = 4;
pub(super) const NEW_RULE: u16 = 6;
pub(super) const GET_RULE: u16 = 7;
pub(super) const DELETE_RULE: u16 = 8;
pub(super) const NEW_SET: u16 = 9;
const NEW_ELEMENT: u16 = 12;
const GET_ELEMENT: u16 = 13;
const DELETE_ELEMENT: u16 = 14;
const GET_GENERATION: u16 = 16;
pub(super) const FAMILY_INET: u8 = 1;
pub(super) const NAME: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_USERDATA: u16 = 7;
const LIST_ELEMENT: u16 = 1;
const ELEMENTS_SET: u16 = 2;
const ELEMENTS: u16 = 3;
/// An attribute is at most 64 KB; the largest element has some 80 bytes.
const ELEMENTS_A_MESSAGE: usize = 500;

pub(super) fn kind(message: u16) -> u16 {
    SUBSYSTEM << 8 | message
}

/// `struct nfgenmsg`: family, version, resource.
pub(super) fn header(family: u8) -> [u8; 4] {
    [family, 0, 0, 0]
}

/// Changes that happen together.
pub(super) struct Transaction {
    pub(super) batch: Batch,
}

impl Transaction {
    /// With a generation: it is refused (`ERESTART`) if anybody has changed anything since.
    pub(super) fn new(generation: Option<u32>) -> Self {
        let mut batch = Batch::new();
        let [_, subsystem] = SUBSYSTEM.to_be_bytes();
        batch.message(BATCH_BEGIN, 0, &[0, 0, 0, subsystem]);
        if let Some(generation) = generation {
            batch.big_number(BATCH_GENERATION, generation);
        }
        Self { batch }
    }

    pub(super) fn message(&mut self, family: u8, message: u16, flags: u16) {
        self.batch.message(kind(message), flags, &header(family));
    }

    /// Adds a rule behind the others of a chain of the own table.
    pub(super) fn rule(&mut self, chain: &str, fill: impl FnOnce(&mut Expressions<'_>)) {
        self.rule_in(FAMILY_INET, TABLE, chain, APPEND, None, fill);
    }

    /// Adds a rule, behind the others with [`APPEND`], or before them.
    pub(super) fn rule_in(
        &mut self,
        family: u8,
        table: &str,
        chain: &str,
        place: u16,
        comment: Option<&[u8]>,
        fill: impl FnOnce(&mut Expressions<'_>),
    ) {
        self.message(family, NEW_RULE, CREATE | place);
        self.batch.text(NAME, table);
        self.batch.text(RULE_CHAIN, chain);
        self.batch.nest(RULE_EXPRESSIONS, |batch| fill(&mut Expressions(batch)));
        if let Some(comment) = comment {
            self.batch.attribute(RULE_USERDATA, comment);
        }
    }

    /// Removes a rule.
    pub(super) fn delete_rule(&mut self, family: u8, table: &str, chain: &str, handle: u64) {
        self.message(family, DELETE_RULE, 0);
        self.batch.text(NAME, table);
        self.batch.text(RULE_CHAIN, chain);
        self.batch.attribute(RULE_HANDLE, &handle.to_be_bytes());
    }

    pub(super) fn add_elements(&mut self, elements: &[Element]) {
        self.elements(NEW_ELEMENT, CREATE, elements);
    }

    pub(super) fn delete_elements(&mut self, elements: &[Element]) {
        self.elements(DELETE_ELEMENT, 0, elements);
    }

    fn elements(&mut self, message: u16, flags: u16, elements: &[Element]) {
        for of_set in elements.chunk_by(|a, b| a.set == b.set) {
            for some in of_set.chunks(ELEMENTS_A_MESSAGE) {
                self.message(FAMILY_INET, message, flags);
                // Removed elements are named by their keys.
                write_elements(&mut self.batch, some, message == NEW_ELEMENT);
            }
        }
    }

    pub(super) fn delete_table(&mut self) {
        self.message(FAMILY_INET, DELETE_TABLE, 0);
        self.batch.text(NAME, TABLE);
    }

    /// Makes the changes.
    pub(super) fn commit(mut self, socket: &Socket) -> Result<()> {
        self.batch.acknowledge();
        let [_, subsystem] = SUBSYSTEM.to_be_bytes();
        self.batch.message(BATCH_END, 0, &[0, 0, 0, subsystem]);
        socket.exchange(&self.batch)?.check().map_err(|(_, errno, _)| errno)
    }
}

fn write_elements(batch: &mut Batch, elements: &[Element], with_data: bool) {
    batch.text(NAME, TABLE);
    batch.text(ELEMENTS_SET, elements[0].set);
    batch.nest(ELEMENTS, |batch| {
        for element in elements {
            batch.nest(LIST_ELEMENT, |batch| element.write(batch, with_data));
        }
    });
}

/// Whether the own table is there.
pub(super) fn has_table(socket: &Socket) -> Result<bool> {
    let mut batch = Batch::new();
    batch.message(kind(GET_TABLE), ACK, &header(FAMILY_INET));
    batch.text(NAME, TABLE);
    found(socket.ask(&batch))
}

/// Whether an element is there.
pub(super) fn has_element(socket: &Socket, element: &Element) -> Result<bool> {
    let mut batch = Batch::new();
    batch.message(kind(GET_ELEMENT), ACK, &header(FAMILY_INET));
    write_elements(&mut batch, std::slice::from_ref(element), false);
    found(socket.ask(&batch))
}

fn found(answer: Result<Vec<Vec<u8>>>) -> Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// How many elements a set has.
pub(super) fn count_elements(socket: &Socket, set: &str) -> Result<usize> {
    let mut batch = Batch::new();
    batch.message(kind(GET_ELEMENT), DUMP, &header(FAMILY_INET));
    batch.text(NAME, TABLE);
    batch.text(ELEMENTS_SET, set);
    let answers = socket.ask(&batch)?;
    let lists = answers.iter().flat_map(|body| attributes(body.get(4..).unwrap_or_default()));
    Ok(lists.filter(|(kind, _)| *kind == ELEMENTS).map(|(_, list)| attributes(list).count()).sum())
}

/// The number of the last change of all tables.
pub(super) fn generation(socket: &Socket) -> Result<u32> {
    let mut batch = Batch::new();
    batch.message(kind(GET_GENERATION), ACK, &header(0));
    let answers = socket.ask(&batch)?;
    let body = answers.first().ok_or(Errno::EPROTO)?;
    let mut list = attributes(body.get(4..).unwrap_or_default());
    let number = list.find(|(kind, _)| *kind == 1).and_then(|(_, value)| big_word(value, 0));
    number.ok_or(Errno::EPROTO)
}

/// A table that must not be there yet.
pub(super) fn new_table(transaction: &mut Transaction) {
    transaction.message(FAMILY_INET, NEW_TABLE, CREATE | EXCL);
    transaction.batch.text(NAME, TABLE);
}
