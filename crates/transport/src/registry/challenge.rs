//! What a registry asks for: `WWW-Authenticate` (RFC 9110, section 11.6.1).

use std::collections::BTreeMap;

/// A way to say who one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A name and a password with each request.
    Basic,
    /// A token, from a service.
    Bearer {
        /// The service's address.
        realm: String,
        /// What it knows the registry by.
        service: String,
        /// What the request needs, in the registry's words.
        scope: String,
    },
}

impl Challenge {
    /// The best of all that a registry offers.
    pub(super) fn choose(headers: &[String]) -> Option<Self> {
        let offers = headers.iter().flat_map(|header| split(header));
        let mut basic = None;
        for (scheme, mut parameters) in offers {
            match &*scheme {
                "bearer" => {
                    let mut take = |name: &str| parameters.remove(name).unwrap_or_default();
                    let (realm, service, scope) = (take("realm"), take("service"), take("scope"));
                    if !realm.is_empty() {
                        return Some(Self::Bearer { realm, service, scope });
                    }
                }
                "basic" => basic = Some(Self::Basic),
                _ => {}
            }
        }
        basic
    }
}

/// Splits `Basic realm="x", Bearer realm="y",service=z` into schemes with parameters.
fn split(header: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut offers: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let length = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(length);
        if word.is_empty() {
            return offers;
        }
        match behind.trim_start().strip_prefix('=') {
            Some(value) => {
                let (value, behind) = read_value(value.trim_start());
                if let Some((_, parameters)) = offers.last_mut() {
                    parameters.insert(word.to_ascii_lowercase(), value);
                }
                rest = behind;
            }
            None => {
                offers.push((word.to_ascii_lowercase(), BTreeMap::new()));
                rest = behind;
            }
        }
    }
}

/// A word, or a text in quotes, and what is behind it.
fn read_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let length = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..length].to_owned(), &text[length..]);
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => value.extend(characters.next()),
            other => value.push(other),
        }
    }
    (value, characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: &str, scope: &str| {
            let [realm, service, scope] = [realm, service, scope].map(str::to_owned);
            Some(Challenge::Bearer { realm, service, scope })
        };
        let check = |headers: &[&str], expected: Option<Challenge>| {
            let headers: Vec<_> = headers.iter().map(ToString::to_string).collect();
            assert_eq!(Challenge::choose(&headers), expected, "{headers:?}");
        };
        check(&[], None);
        check(&["Negotiate"], None);
        check(&["Basic realm=\"x\""], Some(Challenge::Basic));
        check(&["basic"], Some(Challenge::Basic));
        let docker = "Bearer realm=\"https://auth.example/token\",service=\"r.example\",scope=\"repository:a/b:pull,push\"";
        let expected =
            bearer("https://auth.example/token", "r.example", "repository:a/b:pull,push");
        check(&[docker], expected.clone());
        check(&["Basic realm=\"x\"", docker], expected.clone());
        check(&[&format!("Basic realm=\"x, y\", {docker}")], expected);
        check(&["BEARER Realm = \"a\\\"b\" , service=s"], bearer("a\"b", "s", ""));
        check(&["Bearer service=x"], None);
        check(&["Bearer realm=\"unclosed"], bearer("unclosed", "", ""));
        check(&["=x, ,,"], None);
        check(&["realm=x"], None);
    }
}
