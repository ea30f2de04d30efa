// The wearer's screen: cards as the kiosk tells them. What has left the kiosk's memory leaves the page.

import { Sound } from "./sound.js";

const FINAL = new Set(["safe", "exposed", "clerk", "failed", "released"]);
const LINE_LOST_MS = 20_000; // after so long without the kiosk no card stays, whatever it said
const BACK_TO_VIETNAMESE_MS = 60_000; // nobody at the kiosk for so long: the next one finds it as it was

const lang = document.body.dataset.lang;
const board = document.querySelector("#cards");
const idle = document.querySelector("#idle");
const trouble = document.querySelector("#trouble");
const offline = document.querySelector("#offline");
const waiting = document.querySelector("#waiting");
const sound = new Sound(document.querySelector("#sound"));
const cards = new Map(); // code → { element, state }
let lineLost = 0;
let nobody = 0;

function show(picture) {
  const present = new Set();
  for (const [code, state, done, total] of picture.cards) {
    present.add(code);
    if (FINAL.has(state)) {
      tell(code, state);
    } else {
      wait(code, state, done, total);
    }
  }
  for (const code of [...cards.keys()]) {
    if (!present.has(code)) {
      remove(code);
    }
  }
  worry(picture.trouble);
  offline.hidden = true;
  document.querySelector("#near").textContent = picture.near;
  document.querySelector("#far").textContent = picture.far;
  arrange();
}

function worry(kind) {
  for (const words of trouble.children) {
    words.hidden = words.dataset.kind !== kind;
  }
  trouble.hidden = !kind;
}

function arrange() {
  idle.hidden = cards.size > 0 || !trouble.hidden || !offline.hidden; // nobody is invited in vain
  board.dataset.crowd = ["one", "one", "two", "three"][cards.size] ?? (cards.size <= 6 ? "few" : "many");
  clearTimeout(nobody);
  if (cards.size === 0 && lang !== "vi") {
    nobody = setTimeout(() => location.replace("/"), BACK_TO_VIETNAMESE_MS);
  }
}

function wait(code, state, done, total) {
  let card = cards.get(code);
  if (!card || FINAL.has(card.state)) {
    remove(code);
    const element = waiting.content.firstElementChild.cloneNode(true);
    element.querySelector(".code").textContent = code;
    card = { element, state };
    cards.set(code, card);
    board.append(element);
    sound.found();
  }
  card.state = state;
  for (const words of card.element.querySelectorAll("[data-state]")) {
    words.hidden = words.dataset.state !== state;
  }
  const bar = card.element.querySelector("progress");
  if (total > 0) {
    bar.value = done / total;
  } else {
    bar.removeAttribute("value");
  }
}

async function tell(code, state) {
  const before = cards.get(code);
  if (before?.state === state) {
    return;
  }
  const card = { element: before?.element ?? document.createElement("article"), state };
  cards.set(code, card);
  if (!before) {
    board.append(card.element);
  }
  const answer = await fetch(`/cards/${code}?lang=${lang}`).catch(() => null);
  if (cards.get(code) !== card) {
    return; // it has left, or changed, meanwhile
  }
  if (!answer?.ok) {
    remove(code);
    arrange();
    return;
  }
  const holder = document.createElement("template");
  holder.innerHTML = await answer.text();
  if (cards.get(code) !== card) {
    return;
  }
  const element = holder.content.firstElementChild;
  element.querySelector(".done").addEventListener("click", () => done(code));
  element.querySelector(".data")?.addEventListener("click", () => hold(element, code, "GET"));
  card.element.replaceWith(element);
  card.element = element;
  sound.verdict(state);
}

// The wearer has seen enough.
function done(code) {
  fetch(`/cards/${code}`, { method: "DELETE" }).catch(() => null);
  remove(code);
  arrange();
}

// What is held of the wearer, in a dialog that goes with the card.
async function hold(element, code, method) {
  const answer = await fetch(`/cards/${code}/held?lang=${lang}`, { method }).catch(() => null);
  if (!answer?.ok || !element.isConnected) {
    return;
  }
  const text = await answer.text();
  element.querySelector("dialog")?.remove();
  element.insertAdjacentHTML("beforeend", text);
  const dialog = element.querySelector("dialog");
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  dialog.querySelector(".danger")?.addEventListener("click", () => hold(element, code, "DELETE"));
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
}

function remove(code) {
  cards.get(code)?.element.remove();
  cards.delete(code);
}

function listen() {
  const line = new EventSource("/events");
  line.addEventListener("message", (event) => {
    clearTimeout(lineLost);
    lineLost = 0;
    show(JSON.parse(event.data));
  });
  line.addEventListener("error", () => {
    worry(null);
    offline.hidden = false;
    arrange();
    lineLost ||= setTimeout(() => {
      [...cards.keys()].forEach(remove);
      arrange();
    }, LINE_LOST_MS);
    if (line.readyState === EventSource.CLOSED) {
      setTimeout(listen, 2000); // the browser has given up; the kiosk will be back
    }
  });
}

document.addEventListener("keydown", (event) => {
  const [only, ...others] = cards.keys();
  if (event.key === "Escape" && only && !others.length && FINAL.has(cards.get(only).state) && !event.defaultPrevented && !document.querySelector("dialog")) {
    done(only);
  }
});
arrange();
listen();
