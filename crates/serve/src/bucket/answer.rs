//! What a store of objects answers: XML, of which few elements matter, and times.

/// The texts of all elements of a name, in their order. What is within them is not unescaped.
pub(super) fn elements<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut found = Vec::new();
    let mut rest = xml;
    while let Some(at) = rest.find(&open) {
        let Some(end) = rest[at..].find(&close) else { break };
        found.push(&rest[at + open.len()..at + end]);
        rest = &rest[at + end + close.len()..];
    }
    found
}

/// The text of the first element of a name.
pub(super) fn element(xml: &str, name: &str) -> Option<String> {
    elements(xml, name).first().map(|text| unescape(text))
}

/// XML's own entities; keys are escaped as in addresses besides.
pub(super) fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#34;", "\"")
        .replace("&apos;", "'")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

/// Seconds since 1970 of `2026-11-26T10:18:03.000Z`.
pub(super) fn iso_s(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    seconds(
        [number(0, 4)?, number(5, 7)?, number(8, 10)?],
        [number(11, 13)?, number(14, 16)?, number(17, 19)?],
    )
}

/// Seconds since 1970 of `Thu, 26 Nov 2026 10:18:03 GMT`.
pub(super) fn http_s(text: &str) -> Option<u64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut parts = text.split(' ').skip(1);
    let day = parts.next()?.parse().ok()?;
    let month = MONTHS.find(parts.next().filter(|it| it.len() == 3)?)? / 3 + 1;
    let year = parts.next()?.parse().ok()?;
    let mut time = parts.next()?.splitn(3, ':').map(|it| it.parse::<u64>().ok());
    seconds([year, month as u64, day], [time.next()??, time.next()??, time.next()??])
}

fn seconds([year, month, day]: [u64; 3], [hour, minute, second]: [u64; 3]) -> Option<u64> {
    let fits = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !fits {
        return None;
    }
    // Years begin in March here, so that leap days come last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found() {
        let xml = "<A><B><K>x&amp;amp;&lt;</K></B><B><K>y</K><K></K></B><K>";
        assert_eq!(elements(xml, "K"), ["x&amp;amp;&lt;", "y", ""]);
        assert_eq!(elements(xml, "B").len(), 2);
        assert_eq!(element(xml, "K").unwrap(), "x&amp;<");
        assert_eq!(element(xml, "Z"), None);
    }

    #[test]
    fn times_are_read() {
        assert_eq!(iso_s("2013-05-24T00:00:00.000Z"), Some(1_369_353_600));
        assert_eq!(http_s("Fri, 24 May 2013 00:00:00 GMT"), Some(1_369_353_600));
        assert_eq!(iso_s("2000-02-29T23:59:59Z"), Some(951_868_799));
        assert_eq!(iso_s("1970-01-01T00:00:00Z"), Some(0));
        for bad in ["", "x", "2013-13-24T00:00:00Z", "1969-12-31T23:59:59Z", "2013-05-24"] {
            assert_eq!((iso_s(bad), http_s(bad)), (None, None), "{bad}");
        }
    }
}
