//! Addresses: parsing, credentials, percent-encoding, joining, redirects.

use super::UrlError;
use hyper::Uri;

/// A base address of a remote, or a place that a redirect leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) secure: bool,
    /// Host and port, without credentials.
    pub(super) authority: String,
    /// Begins with `/`; percent-encoded.
    pub(super) path: String,
}

/// What stands before the `@` of an address.
pub(super) struct Credentials {
    pub(super) user: Vec<u8>,
    pub(super) password: Vec<u8>,
}

/// A server, as those who keep secrets from others tell servers apart (RFC 6454): protocol, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) secure: bool,
    /// In small letters.
    pub(super) host: String,
    port: u16,
}

impl Origin {
    /// The server that a request goes to.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        let secure = uri.scheme_str() == Some("https");
        let host = uri.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
        Some(Self { secure, host, port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }) })
    }

    /// Whether what is meant for this server may go to the other: the same, or the same host's at the usual port of TLS if this
    /// one is at that of plain HTTP, from where all could read it.
    pub(super) fn stands_for(&self, other: &Self) -> bool {
        let upgraded = !self.secure && other.secure && self.host == other.host;
        self == other || upgraded && (self.port, other.port) == (80, 443)
    }
}

impl Url {
    /// Reads the address of a repository.
    pub(super) fn parse(text: &str) -> Result<(Self, Option<Credentials>), UrlError> {
        let shown = without_credentials(text);
        let wrong = |why| UrlError { url: shown.clone(), why };
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(wrong("not an http or https address"));
        };
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(wrong("not an http or https address")),
        };
        let (authority, path) = match rest.find(['/', '?', '#']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (credentials, authority) = match authority.rsplit_once('@') {
            Some((before, host)) => (Some(credentials(before)), host),
            None => (None, authority),
        };
        if path.contains(['?', '#']) {
            return Err(wrong("a repository's address has no query and no fragment"));
        }
        let path = format!("/{}", encode(path.trim_matches('/'), Keep::Escapes));
        let url =
            Self { secure, authority: authority.to_owned(), path: path.trim_end_matches('/').to_owned() };
        let uri: Uri = url
            .join("x")
            .parse()
            .map_err(|_invalid: hyper::http::uri::InvalidUri| wrong("malformed address"))?;
        if uri.host().is_none_or(str::is_empty) {
            return Err(wrong("the address has no host"));
        }
        Ok((url, credentials))
    }

    fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// The address of a file of the repository; `path` is not encoded.
    pub(super) fn join(&self, path: &str) -> String {
        format!("{}://{}{}/{}", self.scheme(), self.authority, self.path, encode(path, Keep::Slashes))
    }

    /// The server.
    pub(super) fn origin(&self) -> Result<Origin, UrlError> {
        let origin = self.join("x").parse().ok().and_then(|uri| Origin::of(&uri));
        origin.ok_or_else(|| UrlError { url: self.shown(), why: "malformed address" })
    }

    /// The address itself.
    pub(super) fn shown(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.authority, self.path)
    }
}

/// Where a redirect from `from` leads, unless it may not be followed.
pub(super) fn redirect(from: &Uri, location: &str) -> Result<Uri, &'static str> {
    let malformed = "redirected to a malformed address";
    let scheme = from.scheme_str().unwrap_or("http");
    let to: Uri = encode(&resolve(from, location), Keep::Escapes)
        .parse()
        .map_err(|_invalid: hyper::http::uri::InvalidUri| malformed)?;
    match (scheme, to.scheme_str()) {
        ("http", Some("http" | "https")) | ("https", Some("https")) => {}
        ("https", Some("http")) => return Err("redirected from https to http"),
        _ => return Err("redirected to another protocol"),
    }
    let Some(authority) = to.authority() else { return Err(malformed) };
    // Credentials that the server makes up are no more to be sent than ours.
    if authority.as_str().contains('@') { Err("redirected to an address with credentials") } else { Ok(to) }
}

/// What a reference means where it is found at `base` (RFC 3986, section 5.2), without its fragment.
fn resolve(base: &Uri, reference: &str) -> String {
    let reference = reference.split('#').next().unwrap_or_default();
    let (before_query, query) = match reference.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (reference, None),
    };
    let (scheme, rest) = match before_query.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, before_query),
    };
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (Some(authority), path)
        }
        None => (None, rest),
    };
    let of_base = || base.authority().map(hyper::http::uri::Authority::as_str);
    let (authority, path, query) = match (scheme, authority) {
        (Some(_), _) | (None, Some(_)) => (authority, without_dots(path), query),
        (None, None) if path.is_empty() => (of_base(), base.path().to_owned(), query.or(base.query())),
        (None, None) if path.starts_with('/') => (of_base(), without_dots(path), query),
        (None, None) => {
            let dir = base.path().rsplit_once('/').map_or("", |(dir, _)| dir);
            (of_base(), without_dots(&format!("{dir}/{path}")), query)
        }
    };
    let scheme = scheme.or(base.scheme_str()).unwrap_or("http");
    let authority = authority.map_or_else(String::new, |authority| format!("//{authority}"));
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    format!("{scheme}:{authority}{path}{query}")
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// A path without `.` and `..`, of which none leads above the root.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let (is_absolute, segments) = match path.strip_prefix('/') {
        Some(rest) => (true, rest),
        None => (false, path),
    };
    let mut ends_in_dots = false;
    for segment in segments.split('/') {
        ends_in_dots = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    if ends_in_dots {
        kept.push("");
    }
    format!("{}{}", if is_absolute { "/" } else { "" }, kept.join("/"))
}

/// An address as messages may show it.
pub(super) fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

fn credentials(text: &str) -> Credentials {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    Credentials { user: decode(user), password: decode(password) }
}

#[derive(Clone, Copy, PartialEq)]
enum Keep {
    /// `/` and what is harmless.
    Slashes,
    /// Also what is encoded already, and what separates parts of an address.
    Escapes,
}

fn encode(text: &str, keep: Keep) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
        if plain || (keep == Keep::Escapes && b"%:@!$&'()*+,;=?[]".contains(&byte)) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            for digit in [byte >> 4, byte & 15] {
                encoded.push(char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase());
            }
        }
    }
    encoded
}

/// Undoes percent-encoding; what is not encoded rightly stays as it is.
pub(crate) fn decode(text: &str) -> Vec<u8> {
    percent_encoding::percent_decode_str(text).collect()
}

/// The value of an `Authorization` header for basic authentication.
pub(super) fn basic(credentials: &Credentials) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes = [credentials.user.as_slice(), b":", &credentials.password].concat();
    let mut text = "Basic ".to_owned();
    for group in bytes.chunks(3) {
        let word =
            group.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4_usize {
            let digit = usize::try_from(word >> (18 - 6 * place) & 63).unwrap_or(0);
            let digit = DIGITS.get(digit).copied().unwrap_or(b'A');
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_joined_to_the_path_of_its_repository() {
        let (url, credentials) = Url::parse("https://example.org:8443/a b/repo/").expect("valid");
        assert!(credentials.is_none());
        assert_eq!(url.join("objects/ab/c.filez"), "https://example.org:8443/a%20b/repo/objects/ab/c.filez");
        assert_eq!(url.join("refs/heads/ä%"), "https://example.org:8443/a%20b/repo/refs/heads/%C3%A4%25");
        assert_eq!(Url::parse("http://h").expect("valid").0.join("config"), "http://h/config");
    }

    #[test]
    fn credentials_become_a_header_and_are_never_shown() {
        // RFC 7617, section 2.
        let (url, credentials) = Url::parse("http://Aladdin:open%20sesame@h/r").expect("valid");
        assert_eq!(basic(&credentials.expect("given")), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(url.shown(), "http://h/r");
        assert_eq!(without_credentials("ftp://u:p@h/@x"), "ftp://h/@x");
        assert_eq!(Url::parse("ftp://u:secret@h/").err().expect("ftp").url, "ftp://h/");
    }

    #[test]
    fn what_is_no_web_address_is_refused() {
        for bad in [
            "",
            "example.org",
            "file:///x",
            "http://",
            "http:///x",
            "http://h/?q",
            "http://h/#f",
            "http://a b/",
        ] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_stay_with_protocol_host_and_port_but_may_be_better_kept() {
        let origin = |text: &str| Origin::of(&text.parse().expect("valid")).expect("has a host");
        for (named, asked, may) in [
            ("http://h/a", "http://H:80/b", true),
            ("https://h:443/", "https://h/", true),
            ("http://h/", "https://h/", true),
            ("https://h/", "http://h/", false),
            ("http://h/", "http://h:8080/", false),
            ("http://h:8080/", "https://h/", false),
            ("http://h/", "https://h:8443/", false),
            ("https://h/", "https://www.h/", false),
            ("http://[::1]/", "http://[::1]:80/", true),
        ] {
            assert_eq!(origin(named).stands_for(&origin(asked)), may, "{named} {asked}");
        }
    }

    #[test]
    fn redirects_are_resolved_as_rfc_3986_says_and_never_become_less_secure() {
        let from: Uri = "https://h/a/b".parse().expect("valid");
        for (location, to) in [
            ("https://other/x", "https://other/x"),
            ("//other/x", "https://other/x"),
            ("/x?q=1#f", "https://h/x?q=1"),
            ("c", "https://h/a/c"),
        ] {
            assert_eq!(redirect(&from, location).expect(location).to_string(), to);
        }
        // The table of section 5.4, save what another protocol or no host is in.
        let base: Uri = "http://a/b/c/d;p?q".parse().expect("valid");
        for (location, to) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g#s", "http://a/b/c/g"),
            (";x", "http://a/b/c/;x"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("..g", "http://a/b/c/..g"),
            ("./../g", "http://a/b/g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/./h", "http://a/b/c/g/h"),
            ("g/../h", "http://a/b/c/h"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            ("g?back=http://x/", "http://a/b/c/g?back=http://x/"),
            ("HTTPS://g/h", "https://g/h"),
        ] {
            assert_eq!(redirect(&base, location).expect(location).to_string(), to, "{location}");
        }
        for bad in
            ["g:h", "http:g", "http://h/a", "ftp://h/a", "https://u:p@h/a", "https://", "file:///etc/passwd"]
        {
            assert!(redirect(&from, bad).is_err(), "{bad}");
        }
        let plain: Uri = "http://h/a".parse().expect("valid");
        assert!(redirect(&plain, "https://h/a").is_ok());
    }
}
