use super::*;
use Action::{Execute, Offer, Poll, Publish, Subscribe};
use DestinationType::{Function, Queue, Topic};

/// F130.
#[test]
fn each_mode_allows_its_actions_only() {
    for (mode, allowed) in [
        (Mode::Read, &[Poll, Subscribe][..]),
        (Mode::Write, &[Offer, Publish]),
        (Mode::ReadWrite, &[Offer, Poll, Publish, Subscribe]),
        (Mode::Execute, &[Execute]),
        (Mode::Deny, &[]),
    ] {
        for action in [Offer, Poll, Publish, Subscribe, Execute] {
            assert_eq!(
                mode.allows(action),
                allowed.contains(&action),
                "{mode:?} {action:?}"
            );
        }
    }
}

/// D13.
#[test]
fn modes_have_several_names_and_print_as_the_first_of_them() {
    for (kind, mode, names) in [
        (Queue, Mode::Read, &["poll", "read", "READ"][..]),
        (Queue, Mode::Write, &["offer", "write", "Offer"]),
        (
            Queue,
            Mode::ReadWrite,
            &["offer-poll", "poll-offer", "READ_WRITE"],
        ),
        (Topic, Mode::Read, &["subscribe", "read"]),
        (Topic, Mode::Write, &["publish", "write"]),
        (
            Topic,
            Mode::ReadWrite,
            &["publish-subscribe", "subscribe_publish", "read-write"],
        ),
        (
            Function,
            Mode::Execute,
            &["execute", "exec", "send", "EXECUTE"],
        ),
        (Queue, Mode::Deny, &["deny"]),
        (Topic, Mode::Deny, &["deny"]),
        (Function, Mode::Deny, &["deny", "DENY"]),
    ] {
        for name in names {
            assert_eq!(Mode::parse(kind, name), Ok(mode), "{kind} {name}");
        }
        assert_eq!(mode.name(kind), names[0]);
        assert_eq!(Mode::parse(kind, mode.stored()), Ok(mode));
    }
    for (kind, name) in [
        (Queue, "subscribe"),
        (Queue, "execute"),
        (Topic, "poll"),
        (Function, "read"),
        (Function, "offer"),
        (Queue, ""),
    ] {
        let error = Mode::parse(kind, name).unwrap_err();
        assert!(error.to_string().contains(kind.modes()), "{error}");
    }
}

#[test]
fn a_mode_that_a_type_does_not_have_cannot_be_set() {
    let mut acl = Acl::default();
    assert!(acl.set(Queue, "q", Mode::Execute, "u").is_err());
    assert!(acl.set(Function, "f", Mode::Read, "u").is_err());
    assert!(acl.set_default(Topic, Mode::Execute).is_err());
    assert!(acl.set(Queue, "no spaces", Mode::Read, "u").is_err());
    assert_eq!(acl, Acl::default());
}

/// F131, F132, F133, F134.
#[test]
fn a_right_of_the_user_decides_alone_and_else_the_default() {
    let mut acl = Acl::default();
    assert!(acl.allows("u", Poll, "q") && acl.allows("u", Offer, "q"));
    acl.set(Queue, "q", Mode::Write, "u").unwrap();
    assert!(acl.allows("u", Offer, "q"));
    assert!(!acl.allows("u", Poll, "q"), "the default adds nothing");
    assert!(acl.allows("v", Poll, "q") && acl.allows("u", Poll, "r"));
    assert!(acl.allows("u", Subscribe, "q"), "a topic of the same name");
    acl.set(Queue, "q", Mode::Read, "u").unwrap();
    assert!(!acl.allows("u", Offer, "q"), "the last one is in force");
    acl.set_default(Queue, Mode::Deny).unwrap();
    assert!(acl.allows("u", Poll, "q") && !acl.allows("v", Poll, "q"));
}

/// F136.
#[test]
fn rights_are_removed_by_type_name_and_user() {
    let full = || {
        let mut acl = Acl::default();
        for (kind, mode) in [
            (Queue, Mode::Read),
            (Topic, Mode::Read),
            (Function, Mode::Deny),
        ] {
            for (name, user) in [("a", "u"), ("a", "v"), ("b", "u")] {
                acl.set(kind, name, mode, user).unwrap();
            }
        }
        acl
    };
    for (name, user, count) in [
        (None, None, 3),
        (Some("a"), None, 2),
        (None, Some("u"), 2),
        (Some("b"), Some("u"), 1),
        (Some("b"), Some("v"), 0),
    ] {
        let mut acl = full();
        assert_eq!(acl.remove(Topic, name, user), count, "{name:?} {user:?}");
        assert_eq!(acl.entries().count(), 9 - count);
    }
}

#[test]
fn the_most_specific_pattern_decides_and_of_equals_the_one_that_denies() {
    let mut acl = Acl::default();
    acl.set_default(Queue, Mode::Deny).unwrap();
    acl.set(Queue, "a.>", Mode::Read, "u").unwrap();
    acl.set(Queue, "a/*/c", Mode::Deny, "u").unwrap();
    acl.set(Queue, "a/b/c", Mode::Write, "u").unwrap();
    assert!(acl.allows("u", Poll, "a/x") && acl.allows("u", Poll, "a.x.y"));
    assert!(!acl.allows("u", Poll, "a/x/c"));
    assert!(acl.allows("u", Offer, "a/b/c") && !acl.allows("u", Poll, "a/b/c"));
    assert!(!acl.allows("u", Poll, "b"));
    acl.set(Queue, "*/b", Mode::Read, "u").unwrap();
    acl.set(Queue, "c/*", Mode::Deny, "u").unwrap();
    assert!(acl.allows("u", Poll, "d/b") && !acl.allows("u", Poll, "c/b"));
    assert_eq!(acl.remove(Queue, Some("a/>"), None), 1);
}
