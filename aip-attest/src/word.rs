//! The word of a log, read: none of it is believed before it is verified.
//!
//! | module | what |
//! |---|---|
//! | [`evidence`] | evidence in a file, verified; opens no socket |
//! | [`fresh_evidence`] | evidence from a log, as of now |
//! | [`current`] | is what a log shows now what was seen of it? |
//! | [`whole_log`] | all entries of a log, read and verified |
//! | [`asserted`] | is what a log asserted what its entries say? |
//! | [`said`] | what a DID says of another, to take it back |

pub(crate) mod asserted;
pub(crate) mod current;
pub(crate) mod evidence;
pub(crate) mod fresh_evidence;
pub(crate) mod said;
pub(crate) mod whole_log;
