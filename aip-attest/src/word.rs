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

pub mod asserted;
pub mod current;
pub mod evidence;
pub mod fresh_evidence;
pub mod said;
pub mod whole_log;
