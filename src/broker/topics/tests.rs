use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

fn topics(names: &[&str]) -> Topics<u32> {
    let mut topics = Topics::new(Limits::default());
    for name in names {
        assert_eq!(topics.create(name), Ok(true));
    }
    topics
}

fn subscribe(topics: &mut Topics<u32>, session: SessionId, text: &str) -> SubscriptionId {
    let subscribed = topics.subscribe(session, &pattern(text), Policy::default());
    subscribed.unwrap().id
}

/// The sessions that get a message, in order, each as often as it gets it.
fn receivers(topics: &mut Topics<u32>, name: &str) -> Vec<SessionId> {
    let mut matched = Vec::new();
    topics.publish(name, &mut matched).unwrap();
    let mut sessions: Vec<_> = matched.iter().map(|found| found.session).collect();
    sessions.sort_unstable();
    sessions
}

// ---- topics ----

#[test]
fn a_topic_that_was_not_created_can_be_neither_subscribed_nor_unsubscribed_nor_published_to() {
    let mut topics = topics(&["news"]);
    let missing = pattern("weather");
    let subscribed = topics.subscribe(1, &missing, Policy::default());
    assert_eq!(subscribed, Err(TopicError::NotFound));
    assert_eq!(topics.unsubscribe(1, &missing), Err(TopicError::NotFound));
    let published = topics.publish("weather", &mut Vec::new());
    assert_eq!(published, Err(TopicError::NotFound));
    assert_eq!(topics.retain("weather", Some(1)), Err(TopicError::NotFound));
}

#[test]
fn topics_are_listed_in_order_and_creating_one_twice_changes_nothing() {
    let mut topics = topics(&["b", "a"]);
    subscribe(&mut topics, 1, "a");
    assert_eq!(topics.create("a"), Ok(false));
    assert!(topics.names().eq(["a", "b"]));
    assert!(topics.exists("a") && !topics.exists("c"));
    assert_eq!(receivers(&mut topics, "a"), [1]);
}

#[test]
fn there_are_no_more_topics_than_there_may_be() {
    let limits = Limits {
        topics: 1,
        ..Limits::default()
    };
    let mut topics = Topics::<u32>::new(limits);
    assert_eq!(topics.create("a"), Ok(true));
    assert_eq!(topics.create("b"), Err(TopicError::TooManyTopics(1)));
    assert_eq!(topics.create("a"), Ok(false));
}

#[test]
fn removing_a_topic_ends_its_subscriptions_and_what_it_retains() {
    let mut topics = topics(&["news"]);
    let to_topic = subscribe(&mut topics, 1, "news");
    subscribe(&mut topics, 2, ">");
    topics.retain("news", Some(5)).unwrap();
    let ended = topics.remove("news").unwrap();
    assert_eq!(ended.len(), 1);
    assert_eq!((ended[0].id, ended[0].session), (to_topic, 1));
    assert_eq!(topics.remove("news"), None);

    assert_eq!(topics.create("news"), Ok(true));
    assert_eq!(receivers(&mut topics, "news"), [2]);
    let again = topics.subscribe(1, &pattern("news"), Policy::default());
    assert_eq!(again.unwrap().retained, []);
}

#[test]
fn a_removed_topic_leaves_room_for_another_subscription() {
    let limits = Limits {
        subscriptions_per_session: 1,
        ..Limits::default()
    };
    let mut topics = Topics::<u32>::new(limits);
    for name in ["a", "b"] {
        topics.create(name).unwrap();
    }
    subscribe(&mut topics, 1, "a");
    let more = topics.subscribe(1, &pattern("b"), Policy::default());
    assert_eq!(more, Err(TopicError::TooManySubscriptions(1)));
    topics.remove("a");
    subscribe(&mut topics, 1, "b");
}

// ---- subscribing and publishing ----

#[test]
fn each_subscriber_gets_one_copy_and_the_publisher_too_if_it_subscribed() {
    let mut topics = topics(&["news", "other"]);
    for session in [3, 1, 2] {
        subscribe(&mut topics, session, "news");
    }
    subscribe(&mut topics, 4, "other");
    assert_eq!(receivers(&mut topics, "news"), [1, 2, 3]);
}

#[test]
fn a_message_that_nobody_subscribed_to_is_published_all_the_same() {
    let mut topics = topics(&["news"]);
    assert_eq!(receivers(&mut topics, "news"), Vec::<SessionId>::new());
    let expected = TopicStats {
        published: 1,
        subscriptions: 0,
        retains: false,
    };
    assert_eq!(topics.stats("news"), Some(expected));
    assert_eq!(topics.stats("missing"), None);
}

#[test]
fn who_unsubscribed_gets_nothing_more() {
    let mut topics = topics(&["news"]);
    for (session, text) in [(1, "news"), (2, "news"), (3, "*"), (4, "*")] {
        subscribe(&mut topics, session, text);
    }
    for (session, text) in [(1, "news"), (3, "*")] {
        let ended = topics.unsubscribe(session, &pattern(text)).unwrap();
        assert_eq!(ended.map(|ended| ended.session), Some(session));
        assert_eq!(topics.unsubscribe(session, &pattern(text)), Ok(None));
    }
    assert_eq!(receivers(&mut topics, "news"), [2, 4]);
}

#[test]
fn a_session_that_is_gone_gets_nothing_more() {
    let mut topics = topics(&["news", "other"]);
    let texts = ["news", "other", ">", "*"];
    let ids = texts.map(|text| subscribe(&mut topics, 1, text));
    subscribe(&mut topics, 2, ">");
    let mut ended: Vec<_> = topics.drop_session(1).iter().map(|one| one.id).collect();
    ended.sort_unstable();
    assert_eq!(ended, ids);
    assert_eq!(topics.drop_session(1), []);
    assert_eq!(receivers(&mut topics, "news"), [2]);
}

#[test]
fn a_subscription_that_ends_leaves_nothing_behind() {
    let mut topics = topics(&["news"]);
    for text in ["news", "a/b/*", "a/b/>", "*"] {
        subscribe(&mut topics, 1, text);
    }
    topics.unsubscribe(1, &pattern("a/b/*")).unwrap();
    topics.unsubscribe(1, &pattern("news")).unwrap();
    topics.drop_session(1);
    subscribe(&mut topics, 2, "news");
    topics.remove("news");
    assert!(topics.patterns.is_empty());
    assert!(topics.sessions.is_empty());
}

#[test]
fn a_session_with_several_subscriptions_that_match_gets_one_copy_by_the_nearest() {
    let mut topics = topics(&["news/eu", "news/us"]);
    let first = subscribe(&mut topics, 1, "news/>");
    subscribe(&mut topics, 1, "*/*");
    let to_topic = subscribe(&mut topics, 1, "news/eu");
    for (name, id) in [("news/eu", to_topic), ("news/us", first)] {
        let mut matched = Vec::new();
        topics.publish(name, &mut matched).unwrap();
        assert_eq!(matched.iter().map(|one| one.id).collect::<Vec<_>>(), [id]);
    }
}

#[test]
fn what_was_matched_before_stays_as_it_is() {
    let mut topics = topics(&["news"]);
    subscribe(&mut topics, 1, "news");
    subscribe(&mut topics, 1, ">");
    subscribe(&mut topics, 2, ">");
    let mut matched = Vec::new();
    topics.publish("news", &mut matched).unwrap();
    let first = matched.clone();
    topics.publish("news", &mut matched).unwrap();
    assert_eq!(matched, [first.clone(), first].concat());
}

#[test]
fn subscribing_again_replaces_the_policy() {
    let mut topics = topics(&["news"]);
    for text in ["news", "*"] {
        subscribe(&mut topics, 1, text);
        let policy = Policy {
            overflow: Overflow::Disconnect,
            depth: 3,
        };
        topics.subscribe(1, &pattern(text), policy).unwrap();
        let mut matched = Vec::new();
        topics.publish("news", &mut matched).unwrap();
        assert_eq!(matched.len(), 1);
        assert_eq!(matched[0].policy, policy);
        topics.drop_session(1);
    }
}

#[test]
fn a_session_has_no_more_subscriptions_than_it_may() {
    let limits = Limits {
        subscriptions_per_session: 2,
        ..Limits::default()
    };
    let mut topics = Topics::<u32>::new(limits);
    subscribe(&mut topics, 1, "a/*");
    subscribe(&mut topics, 1, "b/*");
    let more = topics.subscribe(1, &pattern("c/*"), Policy::default());
    assert_eq!(more, Err(TopicError::TooManySubscriptions(2)));
    subscribe(&mut topics, 1, "a/*");
    subscribe(&mut topics, 2, "c/*");
    topics.unsubscribe(1, &pattern("a/*")).unwrap();
    subscribe(&mut topics, 1, "c/*");
}

// ---- patterns ----

#[test]
fn a_star_is_one_segment_and_a_greater_sign_the_rest() {
    let cases = [
        ("a", "a", true),
        ("a", "b", false),
        ("a/b", "a.b", false),
        ("*", "a", true),
        ("*", "a/b", false),
        (">", "a", true),
        (">", "a/b.c", true),
        ("a/*", "a/b", true),
        ("a/*", "a.b", true),
        ("a.*", "a/b", true),
        ("a/*", "a", false),
        ("a/*", "a/b/c", false),
        ("a/*", "a/", true),
        ("a/>", "a", false),
        ("a/>", "a/b", true),
        ("a/>", "a/b/c", true),
        ("a/>", "b/c", false),
        ("*/c", "a/c", true),
        ("*/c", "a/b", false),
        ("*/*/>", "a/b", false),
        ("*/*/>", "a/b/c/d", true),
    ];
    for (text, name, matches) in cases {
        assert_eq!(pattern(text).matches(name), matches, "{text} and {name}");
    }
}

#[test]
fn a_pattern_meets_topics_that_are_made_later() {
    let mut topics = topics(&[]);
    subscribe(&mut topics, 1, "news/*");
    topics.create("news/eu").unwrap();
    assert_eq!(receivers(&mut topics, "news/eu"), [1]);
}

#[test]
fn patterns_that_differ_in_separators_are_the_same_subscription() {
    let mut topics = topics(&["a/b"]);
    subscribe(&mut topics, 1, "a.*");
    let last = subscribe(&mut topics, 1, "a/*");
    let ended = topics.unsubscribe(1, &pattern("a.*")).unwrap();
    assert_eq!(ended.map(|ended| ended.id), Some(last));
    assert_eq!(receivers(&mut topics, "a/b"), Vec::<SessionId>::new());
    assert_eq!(topics.drop_session(1), []);
}

#[test]
fn texts_that_are_no_patterns_are_refused() {
    let long = "a".repeat(101);
    let cases = [
        ("", PatternError::Length(0)),
        (&long, PatternError::Length(101)),
        ("a b", PatternError::Character(' ')),
        ("caf\u{e9}", PatternError::Character('\u{e9}')),
        ("a*", PatternError::Star),
        ("a/**/b", PatternError::Star),
        ("a>", PatternError::Rest),
        (">/a", PatternError::Rest),
        ("a/>/", PatternError::Rest),
        ("*>", PatternError::Star),
    ];
    for (text, error) in cases {
        assert_eq!(Pattern::parse(text), Err(error), "{text}");
    }
    assert!(Pattern::parse(&"a".repeat(100)).is_ok());
}

#[test]
fn a_topic_named_like_wildcards_costs_no_more_than_another() {
    let stars = vec!["*"; 50].join("/");
    let mut topics = topics(&[&stars]);
    subscribe(&mut topics, 1, &stars);
    assert_eq!(receivers(&mut topics, &stars), [1]);
}

// ---- retained ----

#[test]
fn who_subscribes_gets_the_last_retained_message_of_each_topic_that_matches() {
    let mut topics = topics(&["t/a", "t/b", "u"]);
    for (name, message) in [("t/a", 1), ("t/a", 2), ("t/b", 3), ("u", 4)] {
        topics.retain(name, Some(message)).unwrap();
    }
    let mut retained = |text| {
        let subscribed = topics.subscribe(1, &pattern(text), Policy::default());
        subscribed.unwrap().retained
    };
    assert_eq!(retained("t/a"), [("t/a".to_owned(), 2)]);
    let both = [("t/a".to_owned(), 2), ("t/b".to_owned(), 3)];
    assert_eq!(retained("t/*"), both);
    assert!(topics.stats("t/a").unwrap().retains);
}

#[test]
fn a_retained_message_can_be_taken_back() {
    let mut topics = topics(&["t"]);
    topics.retain("t", Some(1)).unwrap();
    topics.retain("t", None).unwrap();
    for text in ["t", ">"] {
        let subscribed = topics.subscribe(1, &pattern(text), Policy::default());
        assert_eq!(subscribed.unwrap().retained, []);
    }
}

// ---- slow subscribers ----

fn subscription(id: SubscriptionId, overflow: Overflow) -> Subscription {
    Subscription {
        id,
        session: 1,
        policy: Policy { overflow, depth: 2 },
    }
}

fn full(overflow: Overflow) -> (Outbox<u32>, Subscription) {
    let (mut outbox, mine) = (Outbox::new(usize::MAX), subscription(1, overflow));
    assert_eq!(outbox.push(&mine, 1, 1), Pushed::Done);
    assert_eq!(outbox.push(&mine, 2, 1), Pushed::Done);
    (outbox, mine)
}

fn drain(mut outbox: Outbox<u32>) -> Vec<(u32, u64)> {
    std::iter::from_fn(|| outbox.pop()).collect()
}

#[test]
fn a_slow_subscriber_loses_its_oldest_message_unless_it_asked_for_something_else() {
    assert_eq!(Policy::default().overflow, Overflow::DropOldest);
    let (mut outbox, mine) = full(Overflow::DropOldest);
    assert_eq!(outbox.push(&mine, 3, 1), Pushed::DroppedOldest(1));
    assert_eq!(outbox.push(&mine, 4, 1), Pushed::DroppedOldest(1));
    assert_eq!(drain(outbox), [(3, 2), (4, 0)]);
}

#[test]
fn a_slow_subscriber_can_keep_what_it_has() {
    let (mut outbox, mine) = full(Overflow::DropNewest);
    assert_eq!(outbox.push(&mine, 3, 1), Pushed::DroppedNewest);
    assert_eq!(drain(outbox), [(1, 1), (2, 0)]);
}

#[test]
fn a_slow_subscriber_can_be_disconnected() {
    let (mut outbox, mine) = full(Overflow::Disconnect);
    assert_eq!(outbox.push(&mine, 3, 1), Pushed::Disconnect);
}

#[test]
fn a_subscription_that_is_full_takes_nothing_from_another() {
    let (mut outbox, mine) = full(Overflow::DropOldest);
    let other = subscription(2, Overflow::DropNewest);
    assert_eq!(outbox.push(&other, 10, 1), Pushed::Done);
    assert_eq!(outbox.push(&mine, 3, 1), Pushed::DroppedOldest(1));
    assert_eq!(outbox.push(&other, 11, 1), Pushed::Done);
    assert_eq!(outbox.push(&other, 12, 1), Pushed::DroppedNewest);
    assert_eq!(drain(outbox), [(2, 1), (3, 0), (10, 1), (11, 0)]);
}

#[test]
fn a_depth_of_zero_counts_as_one() {
    let mut mine = subscription(1, Overflow::DropOldest);
    mine.policy.depth = 0;
    let mut outbox = Outbox::new(usize::MAX);
    assert_eq!(outbox.push(&mine, 1, 1), Pushed::Done);
    assert_eq!(outbox.push(&mine, 2, 1), Pushed::DroppedOldest(1));
}

#[test]
fn bytes_that_are_too_many_are_dropped_as_the_subscription_says() {
    let mut outbox = Outbox::new(10);
    let [old, new, cut] = [
        Overflow::DropOldest,
        Overflow::DropNewest,
        Overflow::Disconnect,
    ];
    let [old, new, cut] = [(1, old), (2, new), (3, cut)].map(|(id, overflow)| Subscription {
        policy: Policy {
            depth: 100,
            overflow,
        },
        ..subscription(id, overflow)
    });
    for (number, bytes) in [(1, 1), (2, 2), (3, 3)] {
        assert_eq!(outbox.push(&old, number, bytes), Pushed::Done);
    }
    assert_eq!(outbox.push(&new, 10, 3), Pushed::Done);
    assert_eq!(outbox.push(&new, 11, 2), Pushed::DroppedNewest);
    assert_eq!(outbox.push(&cut, 20, 2), Pushed::Disconnect);
    assert_eq!(outbox.push(&old, 4, 4), Pushed::DroppedOldest(2));
    // Not even without the others of its own there would be room.
    assert_eq!(outbox.push(&old, 5, 8), Pushed::DroppedNewest);
    assert_eq!(drain(outbox), [(3, 3), (4, 0), (10, 1)]);
}

#[test]
fn a_message_that_is_longer_than_all_there_may_be_goes_alone() {
    let mine = subscription(1, Overflow::DropOldest);
    let mut outbox = Outbox::new(10);
    assert_eq!(outbox.push(&mine, 1, 50), Pushed::Done);
    assert_eq!(outbox.push(&mine, 2, 60), Pushed::DroppedOldest(1));
    assert_eq!(outbox.pop(), Some((2, 1)));
    assert_eq!(
        outbox.push(&mine, 3, 10),
        Pushed::Done,
        "the bytes of what went are free"
    );
    assert_eq!(drain(outbox), [(3, 0)]);
}

// ---- any sequence of calls ----

#[derive(Clone, Debug)]
enum Step {
    Create(String),
    Remove(String),
    Subscribe(SessionId, String),
    Unsubscribe(SessionId, String),
    DropSession(SessionId),
    Publish(String),
}

fn joined(segments: &[&'static str], longest: usize) -> impl Strategy<Value = String> {
    let segment = proptest::sample::select(segments.to_vec());
    let separated = (segment, proptest::sample::select(vec!["/", "."]));
    proptest::collection::vec(separated, 1..=longest).prop_map(|parts| {
        let texts = parts.iter().enumerate().map(|(at, (segment, separator))| {
            let separator = if at == 0 { "" } else { separator };
            format!("{separator}{segment}")
        });
        texts.collect()
    })
}

fn step() -> impl Strategy<Value = Step> {
    let name = || joined(&["a", "b"], 3);
    let text = || {
        (joined(&["a", "b", "*"], 3), any::<bool>())
            .prop_map(|(text, rest)| if rest { text + "/>" } else { text })
    };
    prop_oneof![
        3 => name().prop_map(Step::Create),
        1 => name().prop_map(Step::Remove),
        4 => (0..4_u64, text()).prop_map(|(session, text)| Step::Subscribe(session, text)),
        2 => (0..4_u64, text()).prop_map(|(session, text)| Step::Unsubscribe(session, text)),
        1 => (0..4_u64).prop_map(Step::DropSession),
        6 => name().prop_map(Step::Publish),
    ]
}

/// Topics and subscriptions as lists, the oldest subscription first.
#[derive(Default)]
struct Model {
    names: BTreeSet<String>,
    subscriptions: Vec<(SubscriptionId, SessionId, Pattern)>,
}

impl Model {
    fn knows(&self, pattern: &Pattern) -> bool {
        pattern.has_wildcards() || self.names.contains(pattern.as_str())
    }

    /// Ends some subscriptions, and returns their ids.
    fn end(&mut self, ends: impl Fn(SessionId, &Pattern) -> bool) -> Vec<SubscriptionId> {
        let all = std::mem::take(&mut self.subscriptions);
        let (ended, left) = all
            .into_iter()
            .partition(|(_, session, pattern)| ends(*session, pattern));
        self.subscriptions = left;
        let ended: Vec<(SubscriptionId, SessionId, Pattern)> = ended;
        ended.into_iter().map(|(id, ..)| id).collect()
    }

    fn receivers(&self, name: &str) -> Vec<SubscriptionId> {
        let sessions: BTreeSet<_> = self
            .subscriptions
            .iter()
            .map(|(_, session, _)| session)
            .collect();
        let best = sessions.into_iter().filter_map(|session| {
            let mine = self
                .subscriptions
                .iter()
                .filter(|(_, owner, _)| owner == session);
            let matching: Vec<_> = mine.filter(|(.., pattern)| pattern.matches(name)).collect();
            let named = matching
                .iter()
                .find(|(.., pattern)| !pattern.has_wildcards());
            named.or_else(|| matching.first()).map(|(id, ..)| *id)
        });
        best.collect()
    }
}

fn sorted(subscriptions: Vec<Subscription>) -> Vec<SubscriptionId> {
    let mut ids: Vec<_> = subscriptions.iter().map(|one| one.id).collect();
    ids.sort_unstable();
    ids
}

fn check(steps: Vec<Step>) {
    let (mut topics, mut model) = (Topics::<u32>::new(Limits::default()), Model::default());
    for step in steps {
        match step {
            Step::Create(name) => {
                assert_eq!(topics.create(&name), Ok(model.names.insert(name)));
            }
            Step::Remove(name) => {
                let ended = topics.remove(&name).map(sorted);
                let expected = model.names.remove(&name);
                let expected = expected.then(|| model.end(|_, pattern| pattern.as_str() == name));
                assert_eq!(ended, expected);
            }
            Step::Subscribe(session, text) => {
                let pattern = pattern(&text);
                let subscribed = topics.subscribe(session, &pattern, Policy::default());
                assert_eq!(subscribed.is_ok(), model.knows(&pattern));
                if let Ok(subscribed) = subscribed {
                    model.end(|owner, other| owner == session && *other == pattern);
                    model.subscriptions.push((subscribed.id, session, pattern));
                }
            }
            Step::Unsubscribe(session, text) => {
                let pattern = pattern(&text);
                let ended = topics.unsubscribe(session, &pattern);
                assert_eq!(ended.is_ok(), model.knows(&pattern));
                if let Ok(ended) = ended {
                    let expected = model.end(|owner, other| owner == session && *other == pattern);
                    assert_eq!(sorted(Vec::from_iter(ended)), expected);
                }
            }
            Step::DropSession(session) => {
                let ended = sorted(topics.drop_session(session));
                assert_eq!(ended, model.end(|owner, _| owner == session));
            }
            Step::Publish(name) => {
                let mut matched = Vec::new();
                let published = topics.publish(&name, &mut matched);
                assert_eq!(published.is_ok(), model.names.contains(&name));
                if published.is_ok() {
                    let mut expected = model.receivers(&name);
                    expected.sort_unstable();
                    assert_eq!(sorted(matched), expected);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn topics_do_what_their_model_does(steps in proptest::collection::vec(step(), 1..200)) {
        check(steps);
    }

    #[test]
    fn a_pattern_is_read_back_as_the_same(text in "[ab./*>]{0,6}") {
        if let Ok(pattern) = Pattern::parse(&text) {
            prop_assert_eq!(Pattern::parse(pattern.as_str()), Ok(pattern));
        }
    }
}
