use super::*;

#[test]
fn a_message_is_at_most_one_and_a_half_cache_lines() {
    assert!(size_of::<Message>() <= 96, "{}", size_of::<Message>());
}
