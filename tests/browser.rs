//! Browsers as peers: the module of examples/browser in headless Chromium, against nng and against this library.

#[path = "../examples/browser/broker.rs"]
mod broker;
#[path = "browser/chromium.rs"]
mod chromium;
#[path = "../examples/browser/http.rs"]
mod http;
mod peers;
#[path = "../examples/browser/server.rs"]
mod server;
#[path = "browser/servers.rs"]
mod servers;

use chromium::Browser;
use http::{File, HTML, PAGE, SCRIPT};
use serde_json::json;
use servers::{Asker, Extra, Nng, Server, Wirebird};

/// What the tests' own page needs, beside the module.
const TEST_FILES: [File; 3] = [
    (
        "/empty",
        HTML,
        r#"<!doctype html><title>empty</title><link rel="icon" href="data:,">"#,
    ),
    ("/cases.js", SCRIPT, include_str!("browser/cases.js")),
    ("/fakes.js", SCRIPT, include_str!("browser/fakes.js")),
];

/// Serves the page and the tests' files, and gives the address.
fn site() -> String {
    let files: Vec<File> = [PAGE, &TEST_FILES].concat();
    let address = http::serve("127.0.0.1:0", files.leak());
    format!("http://{}", address.expect("the files can be served"))
}

/// Calls a function of tests/browser/cases.js.
macro_rules! run {
    ($page:expr, $function:literal, $argument:expr) => {
        $page.run("/cases.js", $function, $argument)
    };
}

macro_rules! with_page {
    ($page:ident) => {
        let browser = Browser::launch();
        let $page = browser.open(format!("{}/empty", site()));
    };
}

fn pair1_carries_text_and_binary_up_to_a_mebibyte<S: Server>() {
    let server = S::start();
    with_page!(page);
    let closed = run!(page, "pair", server.base());
    assert_eq!(closed, "ClosedError: the socket is closed");
}

fn a_hundred_requests_at_once_get_their_own_replies<S: Server>() {
    let server = S::start();
    with_page!(page);
    let found = run!(page, "request", server.base());
    let stats = json!({"sent": 100, "received": 100, "dropped": 0, "missed": 0, "ignored": 0});
    assert_eq!(found, json!({"right": true, "stats": stats}));
}

fn pushed_jobs_are_done_and_only_subscribed_news_arrive<S: Server>() {
    let server = S::start();
    with_page!(page);
    let found = run!(page, "pushAndSubscribe", server.base());
    let done: Vec<_> = (0..5).map(|number| format!("done.job {number}")).collect();
    assert_eq!(found["done"], json!(done));
    let clock = found["clock"].as_str().unwrap_or_default();
    assert!(clock.starts_with("clock."), "{clock:?}");
    assert_eq!(found["was"], json!([true, false]));
}

fn ten_thousand_messages_are_pulled_in_order<S: Server>() {
    let flood = S::flood(10_000);
    with_page!(page);
    let found = run!(page, "pull", flood.url());
    assert_eq!(found["next"], 10_000, "{found}");
    assert_eq!(found["stats"]["dropped"], 0, "{found}");
}

fn a_survey_gets_the_answers_of_all<S: Server>() {
    let server = S::start();
    with_page!(page);
    let found = run!(page, "survey", server.base());
    let answers = json!(["ann: who?", "ben: who?", "eve: who?"]);
    assert_eq!(found, json!({"answers": answers, "nobody": 0}));
}

fn members_of_a_bus_hear_the_others<S: Server>() {
    let server = S::start();
    with_page!(page);
    let heard = run!(page, "bus", server.base());
    let expected = json!([
        ["from 1", "from 2"],
        ["from 0", "from 2"],
        ["from 0", "from 1"]
    ]);
    assert_eq!(heard, expected);
}

fn a_browser_replies<S: Server>() {
    let asking = S::ask(Asker::Req, "how much?");
    with_page!(page);
    let found = run!(page, "reply", asking.url());
    assert_eq!(found["sent"], true);
    let again = "SpError: this request was answered before";
    assert_eq!(found["again"], again);
    assert_eq!(asking.line("answer "), "how much? 42");
}

fn a_browser_responds_to_surveys<S: Server>() {
    let asking = S::ask(Asker::Surveyor, "how many?");
    with_page!(page);
    assert_eq!(run!(page, "respond", asking.url())["sent"], true);
    assert_eq!(asking.line("answer "), "how many? 42");
}

fn a_browser_publishes_and_what_it_sent_before_closing_arrives<S: Server>() {
    let hearing = S::hear(3);
    with_page!(page);
    run!(page, "publish", hearing.url());
    assert_eq!(hearing.line("heard three"), "");
}

fn a_wrong_path_or_protocol_is_an_error_that_says_so<S: Server>() {
    let server = S::start();
    with_page!(page);
    let found = run!(page, "wrong", server.base());
    let refused = |path: &str| {
        format!(
            "ConnectError: cannot connect to {}/{path}: no pub listens there",
            server.base()
        )
    };
    let address = "AddressError: the address tcp://127.0.0.1:1 is not of the form ws://host:port/path or \
                   wss://host:port/path";
    assert_eq!(
        found["failures"],
        json!([refused("nowhere"), refused("rep"), address])
    );
    let attempts = ["connecting fine", "waiting ConnectError"];
    let closed = ["closed ConnectError"; 2];
    let states = [attempts, attempts, closed].concat();
    assert_eq!(found["states"], json!(states));
    assert_eq!(found["state"], "waiting");
}

fn a_request_survives_the_end_of_its_server<S: Server>() {
    let mut server = S::start();
    with_page!(page);
    assert_eq!(run!(page, "begin", server.base()), "before");
    server.stop();
    run!(page, "lost", json!(null));
    run!(page, "ask", json!(null));
    server.start_again();
    let found = run!(page, "end", json!(null));
    assert_eq!(found, json!({"reply": "while it is away", "open": 2}));
}

fn the_page_shows_every_protocol_at_work<S: Server>() {
    let server = S::start();
    let browser = Browser::launch();
    let page = browser.open(format!("{}/?ws={}", site(), server.base()));
    page.wait_for_text("#summary", "7 of 7 connected");
    let submit = |name: &str, text: &str| {
        page.eval(format!("document.querySelector('#{name}-text').focus()"));
        page.type_text(text);
        page.press("Enter");
    };

    submit("pair", "<b>hello</b>");
    page.wait_for_text("#pair-log", "<b>hello</b>");
    submit("req", "anybody?");
    page.wait_for_text("#req-log", "anybody?  (");
    submit("survey", "who?");
    page.wait_for_text("#survey-log", "3 answered");
    for answer in ["ann: who?", "ben: who?", "eve: who?"] {
        page.wait_for_text("#survey-log", answer);
    }
    // Who hears the clock is known to the publisher.
    page.wait_for_text("#sub-clock", ":");
    submit("push", "wash up");
    page.wait_for_text("#push-log", "done: wash up");
    assert_eq!(page.text("#sub-dice"), "–");
    page.click("#sub-dice-on");
    page.wait_for("Number(document.querySelector('#sub-dice').textContent) > 0");
    page.wait_for_text("#pull-log", "task ");
    page.click("#pull-toggle");
    page.wait_for_text("#pull-state", "stopped");
    page.click("#pull-toggle");
    page.wait_for_text("#pull-state", "connected");
    for (side, other) in [("left", "right"), ("right", "left")] {
        // It is not known when the server has both.
        page.eval(format!(
            "document.again = setInterval(() => {{
                document.querySelector('#bus-{side}-text').value = 'from the {side}';
                document.querySelector('#bus-{side}-form').requestSubmit();
            }}, 20)"
        ));
        page.wait_for_text(&format!("#bus-{other}-log"), &format!("from the {side}"));
        page.eval("clearInterval(document.again)");
    }
    assert!(!page.text("#bus-right-log").contains("right"));
    assert_eq!(page.text(".error"), "");
}

fn the_page_says_when_the_server_is_away_and_goes_on_when_it_is_back<S: Server>() {
    let mut server = S::start();
    let browser = Browser::launch();
    let page = browser.open(format!("{}/?ws={}", site(), server.base()));
    page.wait_for_text("#summary", "7 of 7 connected");
    server.stop();
    page.wait_for_text("#summary", "0 of 7 connected");
    page.wait_for_text("#pair-state", "not connected");
    page.wait_for_text("#pair-error", "Trying again.");
    server.start_again();
    page.wait_for_text("#summary", "7 of 7 connected");
    assert_eq!(page.text("#pair-state"), "connected");
    assert_eq!(page.text("#pair-error"), "");
}

#[test]
fn a_page_is_a_client_of_a_broker() {
    let site = site();
    let broker = broker::start("ws://127.0.0.1:0", &site).expect("the broker listens");
    let browser = Browser::launch();
    let page = browser.open(format!("{site}/broker?ws={}", broker.url));
    page.wait_for_text("#state", "connected to");
    let submit = |name: &str, text: &str| {
        page.eval(format!("document.querySelector('#{name}-text').focus()"));
        page.type_text(text);
        page.press("Enter");
    };

    submit("queue", "<b>wash up</b>");
    page.wait_for_text("#queue-log", "offered");
    assert_eq!(broker.broker.queue_status("browser/jobs").size, 1);
    page.click("#queue-poll");
    page.wait_for_text("#queue-log", "polled: <b>wash up</b>");
    page.click("#queue-poll");
    page.wait_for_text("#queue-log", "QUEUE_EMPTY");
    submit("topic", "it rains");
    page.wait_for_text("#topic-log", "browser/news: it rains");
    page.wait_for_text("#topic-log", "went to 1 subscriber");
    submit("function", "grüße");
    page.wait_for_text("#function-log", "GRÜSSE");
    submit("function", " ");
    page.wait_for_text("#function-log", "BAD_REQUEST: there is nothing to shout");
}

#[test]
fn a_page_subscribes_again_when_its_broker_is_back() {
    let site = site();
    let first = broker::start("ws://127.0.0.1:0", &site).expect("the broker listens");
    let url = first.url.clone();
    let browser = Browser::launch();
    let page = browser.open(format!("{site}/broker?ws={url}"));
    page.wait_for_text("#state", "connected to");
    page.wait_for_text("#topic-log", "subscribed");
    drop(first);
    page.wait_for_text("#state", "no connection to");
    let _second = broker::start(&url, &site).expect("the broker listens again");
    // What is published before the page has subscribed again goes to nobody.
    page.eval(
        "document.again = setInterval(() => {
            document.querySelector('#topic-text').value = 'back';
            document.querySelector('#topic-form').requestSubmit();
        }, 20)",
    );
    page.wait_for_text("#topic-log", "browser/news: back");
    page.eval("clearInterval(document.again)");
}

#[test]
fn a_page_of_another_origin_is_no_client() {
    let broker = broker::start("ws://127.0.0.1:0", "http://elsewhere.example");
    let broker = broker.expect("the broker listens");
    let browser = Browser::launch();
    let page = browser.open(format!("{}/broker?ws={}", site(), broker.url));
    page.wait_for_text("#error", "no pair1 listens there");
    assert_eq!(broker.broker.connections(), 0);
}

/// Calls a function of tests/browser/fakes.js, which fails or not.
macro_rules! without_server {
    ($($test:ident: $function:literal;)*) => {
        $(
            #[test]
            fn $test() {
                with_page!(page);
                page.run("/fakes.js", $function, json!(null));
            }
        )*
    };
}

without_server! {
    receive_queues_are_bounded_and_what_meets_the_bound_is_counted: "bounds";
    topics_are_prefixes_and_unsubscribing_drops_what_waits: "subscriptions";
    a_malformed_message_costs_the_connection_and_a_late_one_does_not: "malformed";
    replies_carry_the_backtrace_to_the_same_connection: "backtraces";
    pair1_counts_hops: "hops";
    requests_are_sent_again_and_stale_replies_ignored: "requests";
    surveys_end_with_their_time: "surveys";
    senders_wait_for_room_up_to_a_bound: "backPressure";
    peers_take_turns: "turns";
    closing_ends_whatever_waits: "closing";
    reconnecting_is_tried_more_and_more_seldom: "delays";
    an_attempt_that_is_not_answered_or_answered_wrongly_fails: "attempts";
    misuse_is_an_error_that_names_the_value: "misuse";
}

macro_rules! against_each {
    ($($test:ident)*) => {
        mod nng {
            use super::*;

            $(
                #[test]
                fn $test() {
                    super::$test::<Nng>();
                }
            )*
        }

        mod wirebird {
            use super::*;

            $(
                #[test]
                // To be deleted as soon as there is the transport.

                fn $test() {
                    super::$test::<Wirebird>();
                }
            )*
        }
    };
}

against_each! {
    pair1_carries_text_and_binary_up_to_a_mebibyte
    a_hundred_requests_at_once_get_their_own_replies
    pushed_jobs_are_done_and_only_subscribed_news_arrive
    ten_thousand_messages_are_pulled_in_order
    a_survey_gets_the_answers_of_all
    members_of_a_bus_hear_the_others
    a_browser_replies
    a_browser_responds_to_surveys
    a_browser_publishes_and_what_it_sent_before_closing_arrives
    a_wrong_path_or_protocol_is_an_error_that_says_so
    a_request_survives_the_end_of_its_server
    the_page_shows_every_protocol_at_work
    the_page_says_when_the_server_is_away_and_goes_on_when_it_is_back
}
