//! Text of pages. Everything that is not written here is escaped.

use std::fmt::{Display, Write};
use std::sync::OnceLock;
use transport::hash::digest_of;

/// How pages look. They have no script and load nothing.
const STYLE: &str = "
:root{color-scheme:light dark;--line:#8884;--dim:#777}
body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.3rem;overflow-wrap:anywhere}h2{font-size:1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
th{font-weight:600;white-space:nowrap}
code{font:13px ui-monospace,monospace}
.number{text-align:right;white-space:nowrap}.dim{color:var(--dim)}
";

/// What browsers let a page do: look as above.
pub(super) fn policy() -> &'static str {
    static POLICY: OnceLock<String> = OnceLock::new();
    POLICY.get_or_init(|| {
        let digest = digest_of(oci::Algorithm::Sha256, STYLE.as_bytes());
        let hash = oci::base64::encode(digest.hash());
        format!(
            "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
    })
}

/// A page on its way.
pub(super) struct Page(String);

impl Page {
    /// Begins a page. A title is in it twice: above it, and as what a browser calls it.
    pub(super) fn new(title: &str) -> Self {
        let mut page = Self(String::with_capacity(8 << 10));
        page.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
        page.raw("<meta name=\"viewport\" content=\"width=device-width\"><title>").text(title);
        page.raw("</title><style>").raw(STYLE).raw("</style></head><body>\n<h1>").text(title);
        page.raw("</h1>\n");
        page
    }

    pub(super) fn end(mut self) -> String {
        self.raw("</body></html>\n");
        self.0
    }

    /// Text of the page's own.
    pub(super) fn raw(&mut self, text: &'static str) -> &mut Self {
        self.0.push_str(text);
        self
    }

    /// Text of others.
    pub(super) fn text(&mut self, text: impl Display) -> &mut Self {
        let _ = write!(Escaped(&mut self.0), "{text}");
        self
    }

    /// A link to another page of the registry's.
    pub(super) fn link(&mut self, target: &str, text: impl Display) -> &mut Self {
        self.raw("<a href=\"").text(target).raw("\">").text(text).raw("</a>")
    }

    /// A row with a name and a value.
    pub(super) fn row(&mut self, name: impl Display, value: impl Display) -> &mut Self {
        self.raw("<tr><th>").text(name).raw("</th><td><code>").text(value);
        self.raw("</code></td></tr>\n")
    }
}

struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // Marks that turn text around would show another name than the one that is there.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => self.0.push('\u{fffd}'),
                other if other.is_control() => self.0.push('\u{fffd}'),
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}

/// A size as people read it.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KB", "MB", "GB", "TB", "PB"];
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match bytes {
        0..1000 => format!("{bytes} B"),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_no_markup() {
        let mut page = Page::new("<script>");
        page.link("/x\"onclick='y", "a&b\u{202e}\0");
        let text = page.end();
        assert!(text.contains("<title>&lt;script&gt;</title>"), "{text}");
        let link = "<a href=\"/x&quot;onclick=&#39;y\">a&amp;b\u{fffd}\u{fffd}</a>";
        assert!(text.contains(link), "{text}");
    }

    #[test]
    fn sizes_have_units() {
        let check = |bytes: u64, expected: &str| assert_eq!(size(bytes), expected);
        check(0, "0 B");
        check(999, "999 B");
        check(1000, "1.0 KB");
        check(999_949, "999.9 KB");
        check(999_950, "1.0 MB");
        check(u64::MAX, "18446.7 PB");
    }
}
