//! Messages from one DID to others: written, sealed and sent; fetched, opened and judged.
//!
//! What a message is and what its recipient checks stands in `attestation::message`. Here are the relay that carries it, the
//! evidence that judges sender and recipient, and the files that it comes from and goes to.
//!
//! ```text
//!   composing   arguments and files to a message
//!   sending     a message to a copy for each key of each recipient, and to the relay
//!   relay       signed requests to a log's relay
//!   directory   who somebody is: evidence that may decide something
//!   keys        the keys that open what comes
//!   legacy      mail of Python `aip`, both ways
//!   judging     what came to a verdict
//!   artifacts   does a message's receipt prove the file?
//!   seen        the messages that were shown
//!   saving      attachments to files
//! ```
//! Text of others goes through [`crate::report`], which leaves no command, escape or turned line in it.

pub(crate) mod artifacts;
pub(crate) mod composing;
pub(crate) mod directory;
pub(crate) mod judging;
pub(crate) mod keys;
pub(crate) mod legacy;
pub(crate) mod relay;
pub(crate) mod saving;
pub(crate) mod seen;
pub(crate) mod sending;
