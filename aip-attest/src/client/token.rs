//! The token of a log that wants one: it goes along with submissions, and into no message.

use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use super::url;
use crate::environment;
use crate::report::{Failure, Result};

/// `AIP_LOG_TOKEN`, the bearer token of one log.
pub(crate) struct Token(Zeroizing<String>);

impl Token {
    /// The token of the environment, if there is one. A file that was read into the variable ends in a newline, which
    /// is none of it.
    pub(crate) fn of_environment() -> Result<Option<Self>> {
        let token = environment::var("AIP_LOG_TOKEN")?.map(Zeroizing::new);
        let token = token.map(|token| Zeroizing::new(token.trim().to_owned()));
        Ok(token.filter(|token| !token.is_empty()).map(Self))
    }

    /// The header for the log at `base`. Nobody on the way may read it.
    pub(super) fn header(&self, base: &str) -> Result<HeaderValue> {
        if !url::is_private_way(base) {
            return Err(Failure::new(format!("AIP_LOG_TOKEN would be sent to `{base}` in the clear"))
                .hint("use the log's https URL, or unset AIP_LOG_TOKEN"));
        }
        let bearer = Zeroizing::new(format!("Bearer {}", self.0.as_str()));
        let mut value = HeaderValue::from_str(&bearer)
            .map_err(|_| Failure::new("AIP_LOG_TOKEN has characters that no token has"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}
