//! What is sent to whom: what shows who this machine is goes to servers that its owner named, and to nobody whom a list of
//! mirrors, a metalink or a redirect names.

use super::url::{self, Credentials, Origin, Url};
use super::{HttpOptions, UrlError};
use hyper::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue, InvalidHeaderName};
use hyper::{HeaderMap, Uri};
use std::time::{SystemTime, UNIX_EPOCH};

/// Who said where a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NamedBy {
    /// Who configured the remote: this server gets what they set.
    Owner,
    /// A server. What its address holds is its own; nothing else that is private is sent there.
    Others,
}

/// What is private of a remote.
#[derive(Debug)]
pub(super) struct Secrets {
    /// Those that its owner named.
    origins: Vec<Origin>,
    headers: HeaderMap,
    /// What stood in the address, and where that leads.
    credentials: Option<(Origin, HeaderValue)>,
}

impl Secrets {
    pub(super) fn new(
        base: &Url,
        credentials: Option<&Credentials>,
        named_by: NamedBy,
        options: &HttpOptions,
    ) -> Result<Self, UrlError> {
        let wrong = |why| UrlError { url: base.shown(), why };
        let secret = |value: &str| {
            let mut value = HeaderValue::from_str(value).map_err(|_invalid| wrong("malformed header"))?;
            value.set_sensitive(true);
            Ok::<_, UrlError>(value)
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &options.headers {
            let name: HeaderName =
                name.parse().map_err(|_invalid: InvalidHeaderName| wrong("malformed header"))?;
            headers.append(name, secret(value)?);
        }
        let mut origins = Vec::new();
        for address in &options.origins {
            let (named, _) = Url::parse(address.split(['?', '#']).next().unwrap_or_default())?;
            origins.push(named.origin()?);
        }
        let own = base.origin()?;
        if named_by == NamedBy::Owner {
            origins.push(own.clone());
        }
        let value = credentials.map(|credentials| secret(&url::basic(credentials))).transpose()?;
        Ok(Self { origins, headers, credentials: value.map(|value| (own, value)) })
    }

    /// Whether the owner named this server, or where it leads from plain HTTP to TLS.
    pub(super) fn may_go_to(&self, origin: &Origin) -> bool {
        self.origins.iter().any(|named| named.stands_for(origin))
    }

    /// Puts into a request what its server may see.
    pub(super) fn add_to(&self, headers: &mut HeaderMap, to: &Uri, options: &HttpOptions) {
        let Some(origin) = Origin::of(to) else { return };
        let own = self.credentials.as_ref().filter(|(own, _)| own.stands_for(&origin));
        if let Some((_, value)) = own {
            headers.insert(AUTHORIZATION, value.clone());
        }
        let is_named = self.may_go_to(&origin);
        if is_named {
            headers.extend(self.headers.clone());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let cookies = if is_named {
            options.cookies.header(origin.secure, &origin.host, to.path(), now)
        } else {
            options.cookies.header_elsewhere(origin.secure, &origin.host, to.path(), now)
        };
        if let Some(Ok(mut value)) = cookies.map(|cookies| HeaderValue::from_str(&cookies)) {
            value.set_sensitive(true);
            headers.insert(COOKIE, value);
        }
    }
}
