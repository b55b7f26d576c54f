//! bcrypt's hashes as text: `$2y$10$` with 22 digits of salt and 31 of hash.

/// Where the digits of its base 64 are.
const DIGITS: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// The least that bcrypt knows, and the most that anybody waits for: two seconds.
const COSTS: std::ops::RangeInclusive<u32> = 4..=14;
/// It reads no more of a password.
pub(super) const PASSWORD_LIMIT_BYTES: usize = 72;
const SALT_DIGITS: usize = 22;
const HASH_BYTES: usize = 23;

/// The hash of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hash {
    cost: u32,
    salt: [u8; 16],
    hash: [u8; HASH_BYTES],
}

impl Hash {
    pub(super) fn make(password: &str, cost: u32, salt: [u8; 16]) -> Self {
        Self { cost, salt, hash: hash(password, cost, salt) }
    }

    /// Reads what htpasswd and others write. The versions differ only in mistakes of old programs.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let rest = ["$2a$", "$2b$", "$2y$"].iter().find_map(|prefix| text.strip_prefix(prefix))?;
        let (cost, digits) = rest.split_once('$')?;
        let cost = cost.parse().ok().filter(|cost| cost_is_fine(*cost))?;
        let (salt, hash) = digits.split_at_checked(SALT_DIGITS)?;
        Some(Self {
            cost,
            salt: decode(salt)?.try_into().ok()?,
            hash: decode(hash)?.try_into().ok()?,
        })
    }

    /// Whether it is that of a password. Takes as long as its cost says.
    pub(super) fn is_of(&self, password: &str) -> bool {
        if password.len() > PASSWORD_LIMIT_BYTES {
            return false;
        }
        let found = hash(password, self.cost, self.salt);
        // As long for a hash that differs early as for one that differs late.
        found.iter().zip(self.hash).fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "$2y${:02}${}{}", self.cost, encode(&self.salt), encode(&self.hash))
    }
}

fn cost_is_fine(cost: u32) -> bool {
    COSTS.contains(&cost)
}

fn hash(password: &str, cost: u32, salt: [u8; 16]) -> [u8; HASH_BYTES] {
    // With the zero behind it, as C's programs do.
    let mut key = [password.as_bytes(), b"\0"].concat();
    key.truncate(PASSWORD_LIMIT_BYTES);
    let mut hash = [0; HASH_BYTES];
    hash.copy_from_slice(&bcrypt::bcrypt(cost, salt, &key)[..HASH_BYTES]);
    hash
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in text.bytes() {
        let digit = DIGITS.iter().position(|&known| known == byte)?;
        bits = bits << 6 | digit as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    // What is left over says nothing; programs differ in it.
    Some(bytes)
}

fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let octet = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for index in 0..=group.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * index)) as usize & 63]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of jBCrypt, and one of Apache's htpasswd.
    #[test]
    fn hashes_are_those_of_other_programs() {
        for (password, text) in [
            ("", "$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s."),
            ("a", "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe"),
            ("abc", "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i"),
            (
                "abcdefghijklmnopqrstuvwxyz",
                "$2a$06$.rCVZVOThsIa97pEDOxvGuRRgzG64bvtJ0938xuqzv18d3ZpQhstC",
            ),
            (
                "~!@#$%^&*()      ~!@#$%^&*()PNBFRD",
                "$2a$06$fPIsBO8qRqkjj273rfaOI.HtSV9jLDpTbZn782DC6/t7qT67P6FfO",
            ),
        ] {
            let hash = Hash::parse(text).unwrap();
            assert!(hash.is_of(password), "{password}");
            assert!(!hash.is_of(&format!("{password}x")), "{password}");
            assert_eq!(hash.to_string(), text.replace("$2a$", "$2y$"));
        }
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        let good = Hash::make("secret", 4, [7; 16]).to_string();
        assert_eq!(Hash::parse(&good), Some(Hash::make("secret", 4, [7; 16])));
        for bad in [
            String::new(),
            good[1..].to_owned(),
            good.replace("$2y$", "$2x$"),
            good.replace("$04$", "$03$"),
            good.replace("$04$", "$31$"),
            good.replace("$04$", "$x$"),
            format!("{good}."),
            good[..good.len() - 1].to_owned(),
            good.replace(&good[10..11], "ä"),
            format!("{}!", &good[..good.len() - 1]),
        ] {
            assert_eq!(Hash::parse(&bad), None, "{bad}");
        }
        assert!(!Hash::make("x", 4, [0; 16]).is_of(&"x".repeat(73)));
    }
}
