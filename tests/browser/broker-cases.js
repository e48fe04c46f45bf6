/** What tests/browser_broker.rs does in a page, with the client of examples/browser/. */

import { Client } from "/broker.js";

async function status(promise) {
  try {
    return (await promise).status;
  } catch (error) {
    return error.status ?? error.message;
  }
}

export async function queues(url) {
  const client = new Client(url);
  await client.ask("CREATE_QUEUE", "browser", { data: { capacity: 10 } });
  await client.ask("OFFER", "browser", { text: "größer 🐦" });
  await client.ask("OFFER", "browser", { data: { list: [1, null, "x"] } });
  const text = (await client.ask("POLL", "browser")).text;
  const data = (await client.ask("POLL", "browser")).data;
  const empty = await status(client.ask("POLL", "browser", { timeout: 50 }));
  const unknown = await status(client.ask("POLL", "nothing"));
  const nonsense = await status(client.ask("NONSENSE"));
  await client.ask("OFFER", "browser", { text: "for the command line" });
  const size = (await client.ask("STATUS_QUEUE", "browser")).data.size;
  return { text, data, empty, unknown, nonsense, size };
}

let waiting;

/** Begins to wait for a job and for news. */
export async function wait(url) {
  const client = new Client(url);
  await client.subscribe("news/*");
  const job = client.ask("POLL", "jobs", { timeout: 60_000 });
  const news = new Promise((heard) => client.addEventListener("publication", (event) => heard(event.detail)));
  // It is answered although the poll before it is not.
  await client.ask("HEARTBEAT");
  waiting = { job, news };
}

/** What has come. */
export async function waited() {
  const [job, news] = await Promise.all([waiting.job, waiting.news]);
  return { job: job.text, news: [news.destination, news.text] };
}

export async function refused(url) {
  try {
    await new Client(url).ask("HEARTBEAT");
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
  return "it was let in";
}
