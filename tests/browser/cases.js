/** What tests/browser.rs does with the module in a page: each function fails, or gives what the test looks at. */

import * as sp from "/sp.js";

const WAIT = { timeout: 10_000 };

const texts = (/** @type {sp.Message[]} */ messages) => messages.map((message) => message.text());

function same(found, expected, what) {
  if (found.length !== expected.length) throw new Error(`${what}: ${found.length} instead of ${expected.length} bytes`);
  const at = expected.findIndex((byte, at) => found[at] !== byte);
  if (at >= 0) throw new Error(`${what}: byte ${at} is ${found[at]} instead of ${expected[at]}`);
}

async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
  throw new Error("it did not fail");
}

async function connect(socket, ...urls) {
  await Promise.all(urls.map((url) => socket.dial(url).connected(WAIT)));
  return socket;
}

/** Sends messages of all kinds through the chat, where they come back. */
export async function pair(base) {
  const pair = await connect(new sp.Pair1(), `${base}/pair`);
  for (const text of ["plain", "grüße, 世界 🐦", "", "\0zero\0", "\uFEFFmark"]) {
    await pair.send(text, WAIT);
    const found = (await pair.recv(WAIT)).text();
    if (found !== text) throw new Error(`${JSON.stringify(found)} instead of ${JSON.stringify(text)}`);
  }
  for (const size of [1, 256, 70_000, 1 << 20]) {
    const bytes = Uint8Array.from({ length: size }, (_, at) => (at * 131 + (at >> 8)) & 0xff);
    await pair.send(bytes, WAIT);
    same(await pair.recv(WAIT), bytes, `${size} bytes`);
  }
  // A view is only its part of the buffer.
  await pair.send(new Uint16Array([1, 2, 3, 4]).subarray(1, 3));
  same(await pair.recv(WAIT), Uint8Array.of(2, 0, 3, 0), "a view");
  await pair.close();
  return failure(pair.recv());
}

/** Many requests at once, each with its own reply. */
export async function request(base) {
  const req = await connect(new sp.Req(), `${base}/rep`);
  const questions = Array.from({ length: 100 }, (_, number) => `request ${number}`);
  const replies = await Promise.all(questions.map((question) => req.request(question, WAIT)));
  const stats = { ...req.stats };
  await req.close();
  return { right: texts(replies).every((reply, at) => reply === questions[at]), stats };
}

/** Jobs that are pushed, and the news that each is done. */
export async function pushAndSubscribe(base) {
  const sub = new sp.Sub();
  sub.subscribe("clock.");
  await connect(sub, `${base}/pub`);
  // From then on nothing is missed.
  const clock = (await sub.recv(WAIT)).text();
  sub.unsubscribe("clock.");
  sub.subscribe("done.");
  const push = await connect(new sp.Push(), `${base}/pull`);
  for (let number = 0; number < 5; number++) await push.send(`job ${number}`, WAIT);
  const done = [];
  while (done.length < 5) done.push((await sub.recv(WAIT)).text());
  const was = [sub.unsubscribe("done."), sub.unsubscribe("done.")];
  await Promise.all([sub.close(), push.close()]);
  return { done, clock, was };
}

/** The numbers that a flood sends, up to the first that is out of order. */
export async function pull(url) {
  const pull = new sp.Pull();
  pull.dial(url);
  let next = 0;
  for await (const message of pull) {
    if (message.text() !== String(next) || ++next === 10_000) break;
  }
  await pull.close();
  return { next, stats: pull.stats };
}

export async function survey(base) {
  const surveyor = await connect(
    new sp.Surveyor(),
    ...["ann", "ben", "eve"].map((name) => `${base}/respondent/${name}`),
  );
  const answers = [];
  for await (const answer of surveyor.survey("who?", WAIT)) {
    answers.push(answer.text());
    // Leaving the loop ends the survey long before its time.
    if (answers.length === 3) break;
  }
  const nobody = await new sp.Surveyor().survey("anybody?", { timeout: 10 }).all();
  await surveyor.close();
  return { answers: answers.sort(), nobody: nobody.length };
}

/**
 * A member hears the others, and not itself. Nobody tells a member that the server has all the others, so each says it
 * again until everybody has heard.
 */
export async function bus(base) {
  const members = await Promise.all(["a", "b", "c"].map(() => connect(new sp.Bus(), `${base}/bus`)));
  const say = () => members.forEach((member, number) => member.send(`from ${number}`));
  const again = setInterval(say, 20);
  const hear = async (member) => {
    const heard = new Set();
    while (heard.size < 2) heard.add((await member.recv(WAIT)).text());
    return [...heard].sort();
  };
  const heard = await Promise.all(members.map(hear));
  clearInterval(again);
  await Promise.all(members.map((member) => member.close()));
  return heard;
}

/** Answers one question, as the class that the test names. */
async function answer(socket, url) {
  socket.dial(url);
  const request = await socket.recv(WAIT);
  const sent = request.reply(`${request.text()} 42`);
  const again = await failure((async () => request.reply("twice"))());
  await socket.close();
  return { sent, again };
}
export const reply = (url) => answer(new sp.Rep(), url);
export const respond = (url) => answer(new sp.Respondent(), url);

export async function publish(url) {
  const pub = await connect(new sp.Pub(), url);
  for (const text of ["one", "two", "three"]) pub.send(text);
  await pub.close();
}

export async function wrong(base) {
  const states = [];
  const sub = new sp.Sub({ reconnectMin: 10_000 });
  sub.addEventListener("state", ({ state, error }) => states.push(`${state} ${error?.name ?? "fine"}`));
  const failures = [];
  for (const path of ["nowhere", "rep"]) failures.push(await failure(sub.dial(`${base}/${path}`).connected(WAIT)));
  failures.push(await failure((async () => sub.dial("tcp://127.0.0.1:1"))()));
  const { state } = sub;
  await sub.close();
  return { failures, states, state };
}

/** Keeps a socket while the test ends the server and starts it again. */
export const life = {
  async begin(base) {
    this.states = [];
    this.req = new sp.Req({ reconnectMin: 20, reconnectMax: 100 });
    this.req.addEventListener("state", ({ state }) => this.states.push(state));
    await connect(this.req, `${base}/rep`);
    return (await this.req.request("before", WAIT)).text();
  },
  async lost() {
    if (this.req.state !== "open") return;
    await new Promise((lost) => this.req.addEventListener("state", lost, { once: true }));
  },
  async ask() {
    this.reply = this.req.request("while it is away", WAIT);
  },
  async end() {
    const reply = (await this.reply).text();
    await this.req.close();
    return { reply, open: this.states.filter((state) => state === "open").length };
  },
};
export const begin = (base) => life.begin(base);
export const lost = () => life.lost();
export const ask = () => life.ask();
export const end = () => life.end();
