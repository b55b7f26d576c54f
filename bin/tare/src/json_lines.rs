//! JSON for people, of which no member is lost and none moves.

/// Sets the lines of JSON that is well-formed.
pub(crate) fn indented(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0usize;
    let mut string = false;
    let mut characters = text.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("    ", depth));
    };
    while let Some(character) = characters.next() {
        if string {
            out.push(character);
            match character {
                '\\' => out.extend(characters.next()),
                '"' => string = false,
                _ => {}
            }
            continue;
        }
        match character {
            '"' => {
                string = true;
                out.push(character);
            }
            '{' | '[' => {
                while characters.next_if(|it| it.is_whitespace()).is_some() {}
                out.push(character);
                match characters.next_if(|it| matches!(it, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            it if it.is_whitespace() => {}
            it => out.push(it),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::indented;

    #[test]
    fn json_gets_lines_and_stays_what_it_is() {
        let check = |text: &str, expected: &str| assert_eq!(indented(text), expected);
        check("{}", "{}");
        check("[ ]", "[]");
        check(
            r#"{"a":1,"b":[true,{ "c" :"x,{\"" }]}"#,
            "{\n    \"a\": 1,\n    \"b\": [\n        true,\n        {\n            \"c\": \"x,{\\\"\"\n        }\n    ]\n}",
        );
    }
}
