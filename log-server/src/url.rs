//! Addresses of logs and witnesses, as they can stand in a policy.

use reqwest::Url;

/// Reads one, and spells it without a slash at its end: what clients ask is below it. Everybody reads a policy, so that no
/// secret stands in it.
pub(crate) fn parse(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|e| e.to_string())?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    if !matches!(url.scheme(), "http" | "https")
        || !is_plain
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err("it is `https://…` or `http://…`, without user, query and fragment".into());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_one_that_clients_take_and_a_policy_can_hold() {
        for (text, want) in [
            ("https://log.example.com", Some("https://log.example.com")),
            ("https://Log.Example.com/a/", Some("https://log.example.com/a")),
            ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("https://log.example.com/a b", Some("https://log.example.com/a%20b")),
            ("log.example.com", None),
            ("ftp://log.example.com", None),
            ("https://u:p@log.example.com", None),
            ("https://log.example.com/?a", None),
            ("https://log.example.com/#a", None),
            ("", None),
        ] {
            assert_eq!(parse(text).ok().as_deref(), want, "{text}");
        }
    }
}
