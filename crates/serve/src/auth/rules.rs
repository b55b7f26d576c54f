//! Rules for users and repositories, in TOML:
//!
//! ```toml
//! [[rule]]
//! repositories = ["team/**"]
//! users = ["ann", "bob"]
//! actions = ["pull", "push"]
//!
//! [[rule]]
//! repositories = ["public/**"]
//! users = ["*", "anonymous"]
//! actions = ["pull"]
//! ```
//!
//! What no rule allows is not allowed. `*` among users is every known user, `anonymous` whoever is not
//! known; in repositories it is any text without `/`, and `**` any text.

use super::Action;
use crate::names::Repository;
use crate::pattern::Pattern;

#[derive(Debug)]
pub(super) struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    repositories: Vec<Pattern>,
    users: Vec<String>,
    actions: Vec<Action>,
}

const EVERY_USER: &str = "*";
const ANONYMOUS: &str = "anonymous";

impl Rules {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
            format!("line {line}: {}", error.message().replace('\n', " "))
        })?;
        let mut rules = Vec::new();
        for (key, value) in &table {
            let list = value.as_array().filter(|_| key == "rule");
            for entry in list.ok_or_else(|| format!("`{key}`: only [[rule]] is known here"))? {
                let number = rules.len() + 1;
                rules.push(rule(entry).map_err(|error| format!("rule {number}: {error}"))?);
            }
        }
        Ok(Self(rules))
    }

    /// Whether a rule lets somebody do something.
    pub(super) fn allow(&self, user: Option<&str>, name: &Repository, action: Action) -> bool {
        let name = name.to_string();
        self.0.iter().any(|rule| {
            let meant = rule.users.iter().any(|known| match user {
                Some(user) => known == user || known == EVERY_USER,
                None => known == ANONYMOUS,
            });
            meant
                && rule.actions.contains(&action)
                && rule.repositories.iter().any(|pattern| pattern.matches(&name))
        })
    }
}

fn rule(value: &toml::Value) -> Result<Rule, String> {
    let table = value.as_table().ok_or("is no table")?;
    if let Some(other) =
        table.keys().find(|key| !["repositories", "users", "actions"].contains(&key.as_str()))
    {
        return Err(format!("`{other}` is not known"));
    }
    let list = |key: &str| -> Result<Vec<String>, String> {
        let values = table.get(key).and_then(toml::Value::as_array);
        let values = values.ok_or_else(|| format!("`{key}` is not a list"))?;
        let text = |value: &toml::Value| value.as_str().map(str::to_owned);
        let texts: Option<Vec<String>> = values.iter().map(text).collect();
        texts.ok_or_else(|| format!("`{key}` is not a list of strings"))
    };
    let action = |name: &String| {
        let known = Action::from_name(name);
        known.ok_or_else(|| format!("action `{name}` is none of pull, push, delete"))
    };
    Ok(Rule {
        repositories: list("repositories")?
            .iter()
            .map(|text| Pattern::parse(text))
            .collect::<Result<_, _>>()?,
        users: list("users")?,
        actions: list("actions")?.iter().map(action).collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_rule_allows_is_not_allowed() {
        let rules = Rules::parse(
            br#"
            [[rule]]
            repositories = ["team/**"]
            users = ["ann", "bob"]
            actions = ["pull", "push"]
            [[rule]]
            repositories = ["team/*"]
            users = ["ann"]
            actions = ["delete"]
            [[rule]]
            repositories = ["public/**"]
            users = ["*", "anonymous"]
            actions = ["pull"]
            "#,
        )
        .unwrap();
        let check = |user: &str, name: &str, action: Action, allowed: bool| {
            let name = Repository::parse(name).unwrap();
            let user = Some(user).filter(|user| !user.is_empty());
            assert_eq!(rules.allow(user, &name, action), allowed, "{user:?} {name} {action:?}");
        };
        check("ann", "team/a", Action::Push, true);
        check("ann", "team/a/b", Action::Push, true);
        check("ann", "team/a", Action::Delete, true);
        check("ann", "team/a/b", Action::Delete, false);
        check("bob", "team/a", Action::Delete, false);
        check("bob", "team", Action::Pull, false);
        check("bob", "teams/a", Action::Pull, false);
        check("eve", "team/a", Action::Pull, false);
        check("eve", "public/a", Action::Pull, true);
        check("eve", "public/a", Action::Push, false);
        check("", "public/a/b", Action::Pull, true);
        check("", "team/a", Action::Pull, false);
        // Nobody gets the rights of a name by calling himself so.
        check("anonymous", "public/a", Action::Pull, true);
        check("*", "team/a", Action::Pull, false);
    }

    #[test]
    fn whatever_is_not_understood_makes_rules_invalid() {
        let check = |text: &str, expected: &str| {
            let error = Rules::parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check("x = 1", "`x`: only [[rule]] is known here");
        check("[rule]", "`rule`: only [[rule]]");
        check("[[rule]]", "rule 1: `repositories` is not a list");
        let rule = |more: &str| format!("[[rule]]\nrepositories=['a']\nusers=['b']\n{more}");
        check(&rule("actions=['write']"), "action `write` is none of");
        check(&rule("actions=[1]"), "`actions` is not a list of strings");
        check(&rule("actions=[]\nuser=1"), "`user` is not known");
        check("[[rule]]\nrepositories=['../x']\nusers=[]\nactions=[]", "rule 1:");
        check("\n[[rule", "line 2: unclosed array table");
    }
}
