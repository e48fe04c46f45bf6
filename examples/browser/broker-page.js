/** The page for the broker: one client of the address in its query, `?ws=ws://host:port/`. */

import { Client } from "./broker.js";

const ENTRIES = 100;

const $ = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));

/** Adds a line to a log. What comes from others is text, and never markup. @param {string} name @param {string} line */
function log(name, line) {
  const entry = document.createElement("div");
  entry.textContent = line;
  const list = $(`${name}-log`);
  list.append(entry);
  while (list.childElementCount > ENTRIES) list.firstElementChild.remove();
  list.scrollTop = list.scrollHeight;
}

/** Does something and shows what fails. @param {string} name @param {() => Promise<string>} work */
async function attempt(name, work) {
  try {
    log(name, await work());
  } catch (error) {
    log(name, `✗ ${/** @type {Error} */ (error).message}`);
  }
}

/** @param {string} name @param {(text: string) => Promise<string>} use */
function onSubmit(name, use) {
  $(`${name}-form`).onsubmit = (/** @type {Event} */ event) => {
    event.preventDefault();
    const field = $(`${name}-text`);
    const text = field.value;
    field.value = "";
    return attempt(name, () => use(text));
  };
}

const url = new URLSearchParams(location.search).get("ws") ?? `ws://${location.hostname}:8082/`;
const client = new Client(url);

function show() {
  const open = client.state === "open";
  $("state").dataset.state = open ? "open" : "waiting";
  $("state").textContent = open ? `connected to ${url}` : `no connection to ${url}`;
  $("error").textContent = client.error ? `${client.error.message}. Trying again.` : "";
}
client.addEventListener("state", show);
show();

onSubmit("queue", async (text) => {
  await client.ask("OFFER", "browser/jobs", { text });
  return `offered: ${text}`;
});
$("queue-poll").onclick = () =>
  attempt("queue", async () => `polled: ${(await client.ask("POLL", "browser/jobs", { timeout: 500 })).text}`);

client.addEventListener("publication", (event) => {
  const { destination, text } = /** @type {CustomEvent} */ (event).detail;
  log("topic", `${destination}: ${text}`);
});
attempt("topic", async () => {
  await client.subscribe("browser/*");
  return "subscribed";
});
onSubmit("topic", async (text) => {
  const answer = await client.ask("PUBLISH", "browser/news", { text });
  return `went to ${answer.headers.delivered} subscriber(s)`;
});

onSubmit("function", async (text) => (await client.ask("REQUEST", "browser/shout", { text })).text);
