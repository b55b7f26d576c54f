//! Expressions of rules, as nf_tables wants them. `nft --debug=netlink` shows the same.

use crate::netlink::Batch;

/// Registers of 16 bytes (`NFT_REG_1`...), and of 4 (`NFT_REG32_00` is where the first one begins).
pub(super) const REGISTER_1: u32 = 1;
pub(super) const REGISTER_2: u32 = 2;
pub(super) const WORD_1: u32 = 9;
pub(super) const WORD_2: u32 = 10;
pub(super) const WORD_4: u32 = 12;
pub(super) const WORD_5: u32 = 13;
const VERDICT: u32 = 0;

const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;

pub(super) const DROP: i32 = 0;
pub(super) const ACCEPT: i32 = 1;
pub(super) const JUMP: i32 = -3;
pub(super) const RETURN: i32 = -5;

pub(super) const META_IIFNAME: u32 = 6;
pub(super) const META_OIFNAME: u32 = 7;
pub(super) const META_NFPROTO: u32 = 15;
pub(super) const META_L4PROTO: u32 = 16;
pub(super) const CT_STATE: u32 = 0;
pub(super) const CT_STATUS: u32 = 2;
/// `established` and `related`.
pub(super) const STATE_ESTABLISHED_RELATED: u32 = 6;
/// `IPS_DST_NAT`
pub(super) const STATUS_DNAT: u32 = 0x20;
pub(super) const NETWORK_HEADER: u32 = 1;
pub(super) const TRANSPORT_HEADER: u32 = 2;
pub(super) const FAMILY_V4: u32 = 2;
pub(super) const FAMILY_V6: u32 = 10;
const RTN_LOCAL: u32 = 2;

/// Writes the expressions of a rule.
pub(super) struct Expressions<'a>(pub(super) &'a mut Batch);

impl Expressions<'_> {
    fn add(&mut self, name: &str, data: impl FnOnce(&mut Batch)) -> &mut Self {
        self.0.nest(LIST_ELEMENT, |batch| {
            batch.text(EXPRESSION_NAME, name);
            batch.nest(EXPRESSION_DATA, data);
        });
        self
    }

    /// Loads something about the packet.
    pub(super) fn meta(&mut self, key: u32, register: u32) -> &mut Self {
        self.add("meta", |batch| {
            batch.big_number(1, register);
            batch.big_number(2, key);
        })
    }

    /// Loads something about the connection.
    fn connection(&mut self, key: u32) -> &mut Self {
        self.add("ct", |batch| {
            batch.big_number(1, REGISTER_1);
            batch.big_number(2, key);
        })
    }

    /// Loads bytes of the packet.
    pub(super) fn payload(
        &mut self,
        base: u32,
        offset: u32,
        length: u32,
        register: u32,
    ) -> &mut Self {
        self.add("payload", |batch| {
            batch.big_number(1, register);
            batch.big_number(2, base);
            batch.big_number(3, offset);
            batch.big_number(4, length);
        })
    }

    /// Writes the first two bytes of a register into the transport header, and mends the checksum.
    pub(super) fn set_port(&mut self, offset: u32, checksum_offset: u32) -> &mut Self {
        self.add("payload", |batch| {
            batch.big_number(5, REGISTER_1);
            batch.big_number(2, TRANSPORT_HEADER);
            batch.big_number(3, offset);
            batch.big_number(4, 2);
            batch.big_number(6, 1);
            batch.big_number(7, checksum_offset);
        })
    }

    /// Puts a value into the first register.
    pub(super) fn value(&mut self, value: &[u8]) -> &mut Self {
        self.add("immediate", |batch| {
            batch.big_number(1, REGISTER_1);
            batch.nest(2, |batch| batch.attribute(DATA_VALUE, value));
        })
    }

    /// Goes on if the first register is (or is not) this.
    pub(super) fn compare(&mut self, equal: bool, value: &[u8]) -> &mut Self {
        self.add("cmp", |batch| {
            batch.big_number(1, REGISTER_1);
            batch.big_number(2, u32::from(!equal));
            batch.nest(3, |batch| batch.attribute(DATA_VALUE, value));
        })
    }

    /// Goes on with packets of one kind of addresses.
    pub(super) fn family(&mut self, family: u32) -> &mut Self {
        self.meta(META_NFPROTO, REGISTER_1).compare(true, &[family as u8])
    }

    /// Goes on with connections that have one of these bits.
    fn bits(&mut self, key: u32, bits: u32) -> &mut Self {
        self.connection(key);
        self.add("bitwise", |batch| {
            batch.big_number(1, REGISTER_1);
            batch.big_number(2, REGISTER_1);
            batch.big_number(3, 4);
            batch.nest(4, |batch| batch.attribute(DATA_VALUE, &bits.to_ne_bytes()));
            batch.nest(5, |batch| batch.attribute(DATA_VALUE, &[0; 4]));
        });
        self.compare(false, &[0; 4])
    }

    /// Goes on with packets of connections that are known.
    pub(super) fn established(&mut self) -> &mut Self {
        self.bits(CT_STATE, STATE_ESTABLISHED_RELATED)
    }

    /// Goes on with connections to published ports.
    pub(super) fn translated(&mut self) -> &mut Self {
        self.bits(CT_STATUS, STATUS_DNAT)
    }

    /// Goes on if what the first register and those behind it have is in a set (or is not).
    pub(super) fn is_in(&mut self, set: &str, is: bool) -> &mut Self {
        self.add("lookup", |batch| {
            batch.text(1, set);
            batch.big_number(2, REGISTER_1);
            if !is {
                batch.big_number(5, 1);
            }
        })
    }

    /// Goes on if it is in a map, with what it leads to in the first register and those behind it.
    pub(super) fn map(&mut self, map: &str) -> &mut Self {
        self.add("lookup", |batch| {
            batch.text(1, map);
            batch.big_number(2, REGISTER_1);
            batch.big_number(3, REGISTER_1);
        })
    }

    /// Goes on with packets to an address of the host.
    pub(super) fn local_destination(&mut self) -> &mut Self {
        self.add("fib", |batch| {
            const RESULT_ADDRESS_TYPE: u32 = 3;
            const DESTINATION: u32 = 2;
            batch.big_number(1, REGISTER_1);
            batch.big_number(2, RESULT_ADDRESS_TYPE);
            batch.big_number(3, DESTINATION);
        });
        self.compare(true, &RTN_LOCAL.to_ne_bytes())
    }

    /// Sends it to the address in the first register and the port in another.
    pub(super) fn translate(&mut self, family: u32, port: u32) -> &mut Self {
        self.add("nat", |batch| {
            const DESTINATION: u32 = 1;
            batch.big_number(1, DESTINATION);
            batch.big_number(2, family);
            batch.big_number(3, REGISTER_1);
            batch.big_number(5, port);
        })
    }

    /// Gives it the address of the device that it leaves by.
    pub(super) fn masquerade(&mut self) -> &mut Self {
        self.add("masq", |_| {})
    }

    /// Counts, as `iptables` wants all its rules to do.
    pub(super) fn count(&mut self) -> &mut Self {
        self.add("counter", |_| {})
    }

    /// Decides.
    pub(super) fn verdict(&mut self, code: i32, chain: Option<&str>) {
        self.add("immediate", |batch| {
            batch.big_number(1, VERDICT);
            batch.nest(2, |batch| {
                batch.nest(DATA_VERDICT, |batch| {
                    batch.big_number(VERDICT_CODE, code as u32);
                    if let Some(chain) = chain {
                        batch.text(VERDICT_CHAIN, chain);
                    }
                });
            });
        });
    }
}
