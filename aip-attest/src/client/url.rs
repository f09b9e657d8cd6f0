//! A log's address.

use crate::report::{Failure, Result};

/// A log's URL in one spelling: no slash at the end, nothing behind the path.
pub(crate) fn normal_url(url: &str) -> Result<String> {
    let refuse = |why: &str| {
        Failure::new(format!("`{url}` is no log's URL"))
            .because(why)
            .hint("a log's URL looks like https://log.example.com")
    };
    let parsed = reqwest::Url::parse(url).map_err(|error| refuse(&error.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(refuse("it is neither http nor https"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(refuse("it carries a user or password; a token goes into AIP_LOG_TOKEN"));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(refuse("it has a query or a fragment"));
    }
    Ok(parsed.as_str().trim_end_matches('/').to_owned())
}

/// Whether nobody on the way can read: TLS, or this machine.
pub(super) fn is_private_way(base: &str) -> bool {
    base.starts_with("https:") || log_client::is_here(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_one_spelling() {
        for (url, want) in [
            ("https://log.example.com/", "https://log.example.com"),
            ("HTTPS://Log.Example.com:443//", "https://log.example.com"),
            ("http://127.0.0.1:8080/a/b/", "http://127.0.0.1:8080/a/b"),
        ] {
            assert_eq!(normal_url(url).expect(url), want);
        }
        for bad in [
            "",
            "log.example.com",
            "ftp://log.example.com",
            "file:///etc/passwd",
            "https://user:secret@log.example.com",
            "https://log.example.com/?a=b",
            "https://log.example.com/#x",
            "https://",
        ] {
            assert!(normal_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_travels_privately_only() {
        for (url, want) in [
            ("https://log.example.com", true),
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://localhost", true),
            ("http://log.example.com", false),
            ("http://localhost.example.com", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(is_private_way(url), want, "{url}");
        }
    }
}
