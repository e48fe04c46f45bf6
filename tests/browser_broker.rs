//! A browser as a client of `wirebird broker`: the module of examples/browser in headless Chromium, and JSON.

#[allow(dead_code, reason = "the part for pages that are looked at")]
#[path = "browser/chromium.rs"]
mod chromium;
#[path = "../examples/browser/http.rs"]
mod http;
mod peers;

use chromium::{Browser, Page};
use http::{File, HTML, PAGE, SCRIPT};
use peers::served::{Served, serve};
use serde_json::{Value, json};

const TEST_FILES: [File; 2] = [
    (
        "/empty",
        HTML,
        r#"<!doctype html><title>empty</title><link rel="icon" href="data:,">"#,
    ),
    (
        "/broker-cases.js",
        SCRIPT,
        include_str!("browser/broker-cases.js"),
    ),
];

fn site() -> String {
    let files: Vec<File> = [PAGE, &TEST_FILES].concat();
    let address = http::serve("127.0.0.1:0", files.leak());
    format!("http://{}", address.expect("the files can be served"))
}

/// A broker that pages of the tests' site may use, and where.
fn broker(site: &str) -> (Served, String) {
    let served = serve(&format!("--listen ws://127.0.0.1:0/broker --origin {site}"));
    let url = format!("ws{}", served.broker.line("Listening at: ws"));
    (served, url)
}

fn run(page: &Page<'_>, function: &str, url: &str) -> Value {
    page.run("/broker-cases.js", function, url)
}

#[test]
fn a_page_makes_a_queue_offers_and_polls() {
    let site = site();
    let (served, url) = broker(&site);
    let browser = Browser::launch();
    let page = browser.open(format!("{site}/empty"));
    let found = run(&page, "queues", &url);
    let expected = json!({
        "text": "größer 🐦",
        "data": {"list": [1, null, "x"]},
        "empty": "QUEUE_EMPTY",
        "unknown": "QUEUE_NOT_FOUND",
        "nonsense": "BAD_REQUEST",
        "size": 1,
    });
    assert_eq!(found, expected);
    assert_eq!(served.gives("poll browser"), "for the command line\n");
}

#[test]
fn a_page_has_a_poll_waiting_while_it_does_something_else_and_hears_publications() {
    let site = site();
    let (served, url) = broker(&site);
    served.gives("topic create news/browser");
    served.gives("queue create jobs");
    let browser = Browser::launch();
    let page = browser.open(format!("{site}/empty"));
    run(&page, "wait", &url);
    served.gives("offer jobs work");
    served.gives("publish news/browser hello");
    let found = page.run("/broker-cases.js", "waited", json!(null));
    assert_eq!(
        found,
        json!({"job": "work", "news": ["news/browser", "hello"]})
    );
}

#[test]
fn a_page_that_is_closed_leaves_nothing_waiting() {
    let site = site();
    let (served, url) = broker(&site);
    served.gives("topic create news/browser");
    served.gives("queue create jobs");
    let browser = Browser::launch();
    let page = browser.open(format!("{site}/empty"));
    run(&page, "wait", &url);
    drop(browser);
    let end = std::time::Instant::now() + peers::DEADLINE;
    loop {
        let status: Value = serde_json::from_str(&served.gives("status --json")).unwrap();
        // The command that asks is one.
        if status["data"]["connection-count"] == 1 {
            assert_eq!(status["data"]["waiting-count"], 0);
            break;
        }
        assert!(std::time::Instant::now() < end, "{status}");
    }
    served.gives("offer jobs kept");
    assert_eq!(served.gives("poll jobs"), "kept\n");
}

/// Pages of other sites are not let in.
#[test]
fn a_page_of_another_site_is_turned_away() {
    let (here, elsewhere) = (site(), site());
    let (_served, url) = broker(&elsewhere);
    let browser = Browser::launch();
    let page = browser.open(format!("{here}/empty"));
    let refused = run(&page, "refused", &url);
    let refused = refused.as_str().unwrap_or_default();
    assert!(refused.starts_with("ConnectError: "), "{refused}");
}
