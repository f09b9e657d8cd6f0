#![no_main]
//! A policy never panics, whatever quorum it asks for.
libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(policy) = text.parse::<tlog::policy::Policy>() {
        assert!(policy.is_met_by(|_| true));
        assert!(policy.weakest_quorum() <= policy.witnesses().len());
    }
});
