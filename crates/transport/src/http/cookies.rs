//! Cookies of a remote: a jar as a text file, one cookie a line, in the format that curl and most browsers' tools read.
//!
//! Seven fields with tabs between them: domain, whether its subdomains are meant, path, whether over TLS only, when it
//! expires (seconds since 1970; 0 is never), name, value.
#![deny(clippy::indexing_slicing)]

use std::fmt;

/// One cookie.
#[derive(Clone, PartialEq, Eq)]
pub struct Cookie {
    /// The host it is for.
    pub domain: String,
    /// Whether it is for the subdomains of that host too.
    pub subdomains: bool,
    /// What the path of a request must begin with, by whole parts.
    pub path: String,
    /// Whether it is only sent over TLS.
    pub secure: bool,
    /// Until when it is sent, in seconds since 1970; 0 is for ever.
    pub expires: u64,
    /// Its name.
    pub name: String,
    /// Its value, which is a secret.
    pub value: String,
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookie")
            .field("domain", &self.domain)
            .field("path", &self.path)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A line of a jar that is no cookie, or a cookie that fits in no line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the cookies: {why}")]
pub struct CookieError {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Cookies, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CookieJar {
    /// The cookies. Of two with one name for one place the later counts.
    pub cookies: Vec<Cookie>,
}

/// Marks a cookie that scripts of web pages may not see, which means nothing here.
const HTTP_ONLY: &str = "#HttpOnly_";

impl CookieJar {
    /// Largest jar that is read, in bytes.
    pub const MAX_BYTES: u64 = 1 << 20;

    /// Reads a jar. Empty lines and comments are passed over.
    ///
    /// # Errors
    /// See [`CookieError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, CookieError> {
        let text =
            std::str::from_utf8(bytes).map_err(|_invalid| CookieError { line: 1, why: "not UTF-8 text" })?;
        let mut cookies = Vec::new();
        for (text, line) in text.lines().zip(1..) {
            let text = text.strip_prefix(HTTP_ONLY).unwrap_or(text);
            if text.trim().is_empty() || text.starts_with('#') {
                continue;
            }
            cookies.push(cookie(text).map_err(|why| CookieError { line, why })?);
        }
        Ok(Self { cookies })
    }

    /// The jar as a text that [`parse`](Self::parse) reads.
    ///
    /// # Errors
    /// [`CookieError`] where a field holds a tab or a line end.
    pub fn to_text(&self) -> Result<String, CookieError> {
        let mut text = String::new();
        for (cookie, line) in self.cookies.iter().zip(1..) {
            let Cookie { domain, subdomains, path, secure, expires, name, value } = cookie;
            if [domain, path, name, value].iter().any(|field| field.contains(['\t', '\n', '\r'])) {
                return Err(CookieError { line, why: "a tab or a line end in a cookie" });
            }
            let flag = |set: bool| if set { "TRUE" } else { "FALSE" };
            let (subdomains, secure) = (flag(*subdomains), flag(*secure));
            let fields = [domain, subdomains, path, secure, &expires.to_string(), name, value];
            text.push_str(&fields.join("\t"));
            text.push('\n');
        }
        Ok(text)
    }

    /// The value of a `Cookie` header for a request; `None` if no cookie is for it. `now` is in seconds since 1970.
    pub fn header(&self, secure: bool, host: &str, path: &str, now: u64) -> Option<String> {
        self.joined(path, now, |cookie| (secure || !cookie.secure) && is_for_host(cookie, host))
    }

    /// The same for a server that whoever keeps the jar did not name as a remote's: a cookie goes there over TLS alone, and only
    /// to the very host that it names.
    pub(super) fn header_elsewhere(&self, secure: bool, host: &str, path: &str, now: u64) -> Option<String> {
        self.joined(path, now, |cookie| secure && cookie.domain.eq_ignore_ascii_case(host))
    }

    fn joined(&self, path: &str, now: u64, is_for: impl Fn(&Cookie) -> bool) -> Option<String> {
        let fits = |cookie: &&Cookie| {
            (cookie.expires == 0 || cookie.expires > now) && is_below(&cookie.path, path) && is_for(cookie)
        };
        let mut sent: Vec<&Cookie> = Vec::new();
        for cookie in self.cookies.iter().filter(fits) {
            sent.retain(|other| (&other.name, &other.path) != (&cookie.name, &cookie.path));
            sent.push(cookie);
        }
        // The most specific first, as RFC 6265 asks.
        sent.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<_> = sent.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

fn cookie(line: &str) -> Result<Cookie, &'static str> {
    // Nothing that a header may not hold, and no line end in the eyes of another reader.
    if line.contains(|c: char| c.is_control() && c != '\t') {
        return Err("a control character in a cookie");
    }
    let mut fields = line.split('\t');
    let mut next = || fields.next().ok_or("fewer than seven fields");
    let (domain, subdomains, path, secure) = (next()?, next()?, next()?, next()?);
    let expires = next()?.parse().map_err(|_invalid| "the time of expiry is no number")?;
    // Some programs leave a value that is empty away.
    let (name, value) = (next()?, next().unwrap_or_default());
    if domain.is_empty() || name.is_empty() || fields.next().is_some() {
        return Err("not a cookie of seven fields");
    }
    let set = |flag: &str| flag.eq_ignore_ascii_case("true");
    Ok(Cookie {
        domain: domain.to_owned(),
        subdomains: set(subdomains) || domain.starts_with('.'),
        path: path.to_owned(),
        secure: set(secure),
        expires,
        name: name.to_owned(),
        value: value.to_owned(),
    })
}

fn is_for_host(cookie: &Cookie, host: &str) -> bool {
    let domain = cookie.domain.trim_start_matches('.');
    if host.eq_ignore_ascii_case(domain) {
        return true;
    }
    let host = host.to_ascii_lowercase();
    let above = host.strip_suffix(&domain.to_ascii_lowercase()).and_then(|rest| rest.strip_suffix('.'));
    cookie.subdomains && above.is_some()
}

fn is_below(cookie: &str, path: &str) -> bool {
    match path.strip_prefix(cookie) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || cookie.is_empty() || cookie.ends_with('/'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JAR: &str = "# a comment\n\n\
        127.0.0.1\tFALSE\t/\tFALSE\t2584618363\tfoo\tbar\n\
        #HttpOnly_.example.org\tTRUE\t/os\tTRUE\t0\tkey\tsecret\n\
        127.0.0.1\tFALSE\t/\tFALSE\t0\tfoo\tlater\n\
        127.0.0.1\tFALSE\t/\tFALSE\t1000\told\tx\n";

    #[test]
    fn a_cookie_is_sent_where_it_belongs_and_nowhere_else() {
        let jar = CookieJar::parse(JAR.as_bytes()).expect("valid");
        for (secure, host, path, sent) in [
            (false, "127.0.0.1", "/repo/config", Some("foo=later")),
            (true, "cdn.Example.org", "/os/config", Some("key=secret")),
            (true, "example.org", "/os", Some("key=secret")),
            (true, "example.org", "/osx/config", None),
            (false, "example.org", "/os/config", None),
            (true, "badexample.org", "/os/config", None),
            (true, "org", "/os/config", None),
        ] {
            assert_eq!(jar.header(secure, host, path, 2000).as_deref(), sent, "{host}{path}");
        }
        for (secure, host, sent) in [
            (true, "127.0.0.1", Some("foo=later")),
            (false, "127.0.0.1", None),
            (true, "cdn.example.org", None),
        ] {
            assert_eq!(jar.header_elsewhere(secure, host, "/os/config", 2000).as_deref(), sent, "{host}");
        }
        assert_eq!(jar.header(false, "127.0.0.1", "/", 999).as_deref(), Some("foo=later; old=x"));
        assert!(!format!("{jar:?}").contains("secret"));
    }

    #[test]
    fn a_jar_is_written_as_it_is_read_and_a_bad_line_is_named() {
        let mut jar = CookieJar::parse(JAR.as_bytes()).expect("valid");
        assert_eq!(CookieJar::parse(jar.to_text().expect("valid").as_bytes()), Ok(jar.clone()));
        for bad in [
            "x\tTRUE\t/\tTRUE\t0\tname\ta\rb",
            "x",
            "a\tb\tc\td\te\tf\tg",
            "a\tFALSE\t/\tFALSE\t0\tn\tv\tmore",
            "\tFALSE\t/\tFALSE\t0\tn\tv",
        ] {
            let text = format!("# first\n{bad}\n");
            assert_eq!(CookieJar::parse(text.as_bytes()).map_err(|error| error.line), Err(2), "{bad}");
        }
        if let Some(cookie) = jar.cookies.first_mut() {
            cookie.value = "a\nb".to_owned();
        }
        assert!(jar.to_text().is_err());
    }
}
