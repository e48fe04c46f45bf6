/**
 * A client of wirebird's broker: requests and answers are JSON objects on a pair socket. docs/broker-protocol.md says what
 * they may contain.
 *
 * @module
 */

import { Pair1 } from "./sp.js";

/** @typedef {Record<string, any>} Fields What a request or an answer contains, such as `text`, `data` and `timeout`. */

/** Milliseconds that an answer may take, beside the time that the request itself says. */
const PATIENCE = 10_000;

/** An answer whose status is not `OK`. */
export class RefusedError extends Error {
  /** @param {Fields} answer */
  constructor(answer) {
    super(`${answer.status}: ${answer.text}`);
    this.name = "RefusedError";
    /** Its status, such as `QUEUE_EMPTY`. */
    this.status = answer.status;
  }
}

/**
 * A connection to a broker, which is made again when it breaks, and its subscriptions with it. What is published comes as
 * the event `publication`, with the message as its `detail`; `state` says that {@link Client.state} changed.
 */
export class Client extends EventTarget {
  #pair = new Pair1();
  #dialer;
  /** @type {Map<string, {resolve: (answer: Fields) => void, reject: (why: Error) => void}>} */ #asked = new Map();
  /** @type {Set<string>} */ #topics = new Set();
  #last = 0;

  /** @param {string} url */
  constructor(url) {
    super();
    this.#dialer = this.#pair.dial(url);
    this.#pair.addEventListener("state", () => this.#changed());
    this.#receive();
  }

  /** The state of the connection. */
  get state() {
    return this.#dialer.state;
  }

  /** What ended the last attempt or connection, until the next is open. */
  get error() {
    return this.#dialer.error;
  }

  /**
   * Sends a request and waits for its answer.
   *
   * @param {string} type
   * @param {string} [destination]
   * @param {Fields} [fields]
   * @returns {Promise<Fields>}
   * @throws {RefusedError} when the answer is not OK. Any other error leaves open whether it was done.
   */
  async ask(type, destination, fields = {}) {
    // It has to be unique within a connection only.
    const id = `00000000-0000-4000-8000-${(++this.#last).toString(16).padStart(12, "0")}`;
    const timeout = PATIENCE + Math.max(fields.timeout ?? 0, 0);
    await this.#dialer.connected({ timeout });
    /** @type {ReturnType<typeof setTimeout> | undefined} */ let timer;
    /** @type {Promise<Fields>} */
    const answered = new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve, reject });
      timer = setTimeout(() => reject(new Error(`no answer to ${type} ${destination} in ${timeout} ms`)), timeout);
      this.#pair.send(JSON.stringify({ id, type, destination, ...fields }), { timeout }).catch(reject);
    });
    try {
      const answer = await answered;
      if (answer.status !== "OK") throw new RefusedError(answer);
      return answer;
    } finally {
      clearTimeout(timer);
      this.#asked.delete(id);
    }
  }

  /** Subscribes to a topic, or to those that a pattern matches. @param {string} topic */
  async subscribe(topic) {
    await this.ask("SUBSCRIBE", topic);
    this.#topics.add(topic);
  }

  /** @param {string} topic */
  async unsubscribe(topic) {
    this.#topics.delete(topic);
    await this.ask("UNSUBSCRIBE", topic);
  }

  close() {
    return this.#pair.close();
  }

  #changed() {
    if (this.state === "open") {
      // One that is refused is tried again with the next connection.
      for (const topic of this.#topics) this.ask("SUBSCRIBE", topic).catch(() => {});
    } else {
      const why = this.error ?? new Error("the connection is closed");
      for (const { reject } of this.#asked.values()) reject(why);
    }
    this.dispatchEvent(new Event("state"));
  }

  async #receive() {
    try {
      for await (const received of this.#pair) {
        const message = JSON.parse(received.text());
        if (message.type === "RESPONSE") this.#asked.get(message.id)?.resolve(message);
        else this.dispatchEvent(new CustomEvent("publication", { detail: message }));
      }
    } catch (error) {
      if (!this.#pair.closed) throw error;
    }
  }
}
