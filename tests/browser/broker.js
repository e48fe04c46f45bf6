/** What tests/browser_broker.rs does in a page: a client of the broker is a pair socket, and JSON. */

import * as sp from "/sp.js";

const WAIT = { timeout: 10_000 };

/** One connection with any number of requests under way. */
class Client {
  #pair = new sp.Pair1();
  #answers = new Map();
  #heard = [];
  #hearing = [];

  async connect(url) {
    await this.#pair.dial(url).connected(WAIT);
    this.#receive();
    return this;
  }

  async #receive() {
    for (;;) {
      const message = JSON.parse((await this.#pair.recv()).text());
      const answered = this.#answers.get(message.id);
      this.#answers.delete(message.id);
      if (answered) answered(message);
      else if (this.#hearing.length) this.#hearing.shift()(message);
      else this.#heard.push(message);
    }
  }

  /** Sends a request, and gives its answer. */
  ask(type, destination, fields = {}) {
    const request = { id: crypto.randomUUID(), type, destination, ...fields };
    const answer = new Promise((done) => this.#answers.set(request.id, done));
    this.#pair.send(JSON.stringify(request), WAIT);
    return answer;
  }

  /** What is no answer: the next publication. */
  hear() {
    if (this.#heard.length) return Promise.resolve(this.#heard.shift());
    return new Promise((done) => this.#hearing.push(done));
  }
}

async function ok(promise) {
  const answer = await promise;
  if (answer.status !== "OK") throw new Error(JSON.stringify(answer));
  return answer;
}

export async function queues(url) {
  const client = await new Client().connect(url);
  await ok(client.ask("CREATE_QUEUE", "browser", { data: { capacity: 10 } }));
  await ok(client.ask("OFFER", "browser", { text: "größer 🐦" }));
  await ok(client.ask("OFFER", "browser", { data: { list: [1, null, "x"] } }));
  const text = (await ok(client.ask("POLL", "browser"))).text;
  const data = (await ok(client.ask("POLL", "browser"))).data;
  const empty = (await client.ask("POLL", "browser", { timeout: 50 })).status;
  const unknown = (await client.ask("POLL", "nothing")).status;
  const nonsense = (await client.ask("NONSENSE")).status;
  await ok(client.ask("OFFER", "browser", { text: "for the command line" }));
  const size = (await ok(client.ask("STATUS_QUEUE", "browser"))).data.size;
  return { text, data, empty, unknown, nonsense, size };
}

let waiting;

/** Begins to wait for a job and for news. */
export async function wait(url) {
  const client = await new Client().connect(url);
  await ok(client.ask("SUBSCRIBE", "news/*"));
  const job = ok(client.ask("POLL", "jobs", { timeout: -1 }));
  const news = client.hear();
  // It is answered although the poll before it is not.
  await ok(client.ask("HEARTBEAT"));
  waiting = { job, news };
}

/** What has come. */
export async function waited() {
  const [job, news] = await Promise.all([waiting.job, waiting.news]);
  return { job: job.text, news: [news.destination, news.text] };
}

export async function refused(url) {
  try {
    await new Client().connect(url);
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
  return "it was let in";
}
